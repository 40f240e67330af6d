// SPDX-License-Identifier: MIT OR Apache-2.0

//! OP-TEE as U-Boot's driver calls it: CALL_WITH_ARG with nothing but page-aligned messages, every
//! buffer registered by a list whose first page it starts anywhere in, every request for memory
//! answered with fresh memory that is gone once it is freed, and no cache of any of it.
//!
//! Unlike U-Boot the client also gives OP-TEE a TA, the guest's initrd: so OP-TEE asks for more
//! than the page of an RPC argument.

mod client;

use super::{Test, needs_tee};
use crate::outcome::{Outcome, Stop};
use crate::rt::env;
use crate::rt::tee::{self, Page, command};
use crate::{ensure, ensure_eq, println};
pub use client::{Client, MEMORY};
use client::{Counts, FRESH};

pub const TESTS: &[Test] = &[
    ("identity", identity),
    ("pseudo_ta", pseudo_ta),
    ("unusable_ta", unusable_ta),
    ("user_ta", user_ta),
    ("lies_about_files", lies_about_files),
];

/// Checks that U-Boot runs on one core and says so; it needs nothing but dynamic shared memory.
fn identity() -> Outcome {
    const UNIPROCESSOR: u64 = 1;
    const DYNAMIC_SHM: u64 = 1 << 2;
    needs_tee()?;
    let out = tee::raw([tee::EXCHANGE_CAPABILITIES, UNIPROCESSOR]);
    ensure_eq!(out[0], 0, "EXCHANGE_CAPABILITIES");
    ensure!(out[1] & DYNAMIC_SHM != 0, "no dynamic shared memory");
    Ok(())
}

/// Asks the device enumeration pseudo TA, as U-Boot's service discovery asks it.
fn pseudo_ta() -> Outcome {
    needs_tee()?;
    let mut client = Client::with_file(&[]);
    let (ret, session) = client.open(tee::DEVICE_PTA);
    ensure_eq!(ret, 0, "OPEN_SESSION");
    let buffer = client.register(4096)?;
    let page = Page::of_arguments()
        .message(command::INVOKE, 1)
        .target(0, session)
        .param(0, 0x6, [0, 4096, buffer.cookie]);
    let done = client.call(page);
    let size = page.values(0)[1];
    let first = Page::at(buffer.address);
    let (start, end) = (first.word(0), first.word(size as usize));
    client.unregister(buffer)?;
    client.close(session)?;
    ensure_eq!(done, (0, 0), "INVOKE_COMMAND");
    if size == 0 {
        return Err(Stop::Skipped("this OP-TEE lists no devices"));
    }
    ensure!(size.is_multiple_of(16), "{size} bytes of UUIDs");
    ensure!(start != FRESH, "no UUID was written");
    ensure_eq!(end, FRESH, "the word behind the UUIDs");
    client.finish()
}

/// Checks that OP-TEE asks for a file, gets one that is no TA, and gives all memory back.
fn unusable_ta() -> Outcome {
    needs_tee()?;
    let mut client = Client::with_file(&[0x5a; 5000]);
    for round in 1..=20 {
        let (ret, _) = client.open(tee::NO_TA);
        ensure!(ret != 0, "a file that is no TA opened");
        client.finish()?;
        let Counts { pages, buffers, .. } = client.counts;
        ensure!(
            pages >= round && buffers >= round,
            "{pages} pages and {buffers} buffers in {round} rounds"
        );
    }
    Ok(())
}

/// Plays a normal world whose files are damaged, too short, too long or others than those asked
/// for, and which says what it likes of them. OP-TEE refuses, or does not notice; afterwards it
/// works.
fn lies_about_files() -> Outcome {
    needs_tee()?;
    let mut client = Client::new()?;
    let seed = env::number("seed").unwrap_or(1);
    let rounds = env::number("lies").unwrap_or(100);
    let mut opened = 0;
    for round in 0..rounds {
        client.lie(Some(seed << 32 | round));
        if let Ok(session) = client.open_ta() {
            opened += 1;
            client.close(session)?;
        }
        client.finish()?;
    }
    println!("guest: {opened} of {rounds} sessions opened in spite of lies");
    client.lie(None);
    let session = client.open_ta()?;
    client.close(session)?;
    client.finish()
}

/// Uses a session of a user TA, end to end: loaded, called with buffers, closed.
fn user_ta() -> Outcome {
    const ABC: [u64; 4] = [
        0xba78_16bf_8f01_cfea,
        0x4141_40de_5dae_2223,
        0xb003_61a3_9617_7a9c,
        0xb410_ff61_f200_15ad,
    ];
    needs_tee()?;
    let mut client = Client::new()?;
    let session = client.open_ta()?;
    let input = client.register(64)?;
    Page::at(input.address).set_word(0, u32::from_le_bytes(*b"abc."));
    let digest = client.sha256(session, [0, 3, input.cookie])?;
    client.unregister(input)?;
    client.close(session)?;
    ensure_eq!(digest, ABC, "SHA-256 of abc");
    let Counts { pages, buffers, .. } = client.counts;
    ensure!(pages >= 1 && buffers >= 2, "OP-TEE asked for nothing");
    client.finish()
}
