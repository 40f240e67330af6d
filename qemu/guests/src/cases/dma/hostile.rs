// SPDX-License-Identifier: MIT OR Apache-2.0

//! DMA at what is not the guest's: addresses of the board's that bootargs' `dma-aims=0x…,0x…` name, and some that no guest
//! has. It begins once something is typed: then there is somebody at those addresses.

use super::{BUFFER, PAGE, Page, device, first_dirty, pattern};
use crate::cases::{Test, needs_hypervisor};
use crate::outcome::Outcome;
use crate::rt::{console, cpu, env};
use crate::{ensure, println};

pub const TESTS: &[Test] = &[
    ("is_told_to", is_told_to),
    ("reads", reads),
    ("writes", writes),
    ("works_still", works_still),
];

/// Beyond what a guest, or a core, can name.
const FAR: [u64; 4] = [1 << 39, 1 << 44, 1 << 47, !0xfff];
/// The device's memory is divided among as many reads.
const PIECE: usize = 64;
/// Pages of RAM that the tests use themselves.
const OWN_PAGES: u64 = 2;

/// Returns all aims.
fn aims() -> impl Iterator<Item = u64> {
    let (start, size) = env::get().ram;
    env::addresses("dma-aims").chain(FAR).chain([start + size])
}

fn is_told_to() -> Outcome {
    needs_hypervisor()?;
    println!("guest: waits");
    while console::typed().is_none() {
        cpu::relax();
    }
    Ok(())
}

/// Reads a piece from each aim. Such a read returns nothing, or zeros.
fn reads() -> Outcome {
    needs_hypervisor()?;
    let edu = device()?;
    let (kept, seen) = (Page::free(0), Page::free(1));
    kept.fill(pattern);
    edu.load(kept)?;
    let mut count = 0;
    for (n, aim) in aims().enumerate() {
        ensure!((n + 1) * PIECE <= BUFFER - PIECE, "too many aims");
        edu.read(aim, n * PIECE, PIECE)?;
        count += 1;
    }
    let (start, size) = env::get().ram;
    edu.read(start + size - 3, BUFFER - PIECE, PIECE)?;
    seen.fill(|_| 0xff);
    edu.store(seen)?;
    println!("guest: {count} reads were tried");
    let nothing = |offset, found| found == pattern(offset) || found == 0;
    seen.check("read", 0..BUFFER - PIECE, nothing)?;
    seen.check("read beyond RAM", BUFFER - PIECE + 3..BUFFER, nothing)?;
    let rest = count * PIECE..BUFFER - PIECE;
    seen.check("not read", rest, |offset, found| found == pattern(offset))
}

/// Writes 2 KiB, and a few bytes, to each aim. None of it may be in this guest's RAM either, where the board's addresses of
/// it are not the guest's.
fn writes() -> Outcome {
    needs_hypervisor()?;
    let edu = device()?;
    let kept = Page::free(0);
    kept.fill(pattern);
    edu.load(kept)?;
    let mut count = 0;
    for aim in aims() {
        edu.write(aim, 0, BUFFER)?;
        edu.write(aim + 0x40, 0, 4)?;
        count += 2;
    }
    // The first bytes are the guest's own.
    let (start, size) = env::get().ram;
    edu.write(start + size - 3, 0, BUFFER)?;
    println!("guest: {count} writes were tried");
    let end = (start + size - 8) as *mut u64;
    // SAFETY: the last word of RAM, which nothing uses.
    unsafe { end.write_volatile(end.read_volatile() & u64::MAX >> 24) };
    let dirty = first_dirty(kept.address() + OWN_PAGES * PAGE as u64);
    ensure!(dirty.is_none(), "own RAM has changed: {dirty:x?}");
    Ok(())
}

/// The device is none the worse for what was refused.
fn works_still() -> Outcome {
    let edu = device()?;
    let (from, to) = (Page::free(0), Page::free(1));
    from.fill(|offset| !pattern(offset));
    edu.load(from)?;
    edu.store(to)?;
    to.check("copied", 0..BUFFER, |offset, found| {
        found == !pattern(offset)
    })
}
