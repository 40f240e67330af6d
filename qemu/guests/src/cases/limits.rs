// SPDX-License-Identifier: MIT OR Apache-2.0

//! Shared memory up to the default quotas: as many buffers, and as large a one, as a guest may
//! have. What OP-TEE's own heap does not hold, OP-TEE must refuse, not the hypervisor.

use super::uncached::{self, Client};
use super::{Test, needs_hypervisor};
use crate::outcome::{Outcome, Stop};
use crate::rt::env;
use crate::rt::tee::{self, Page};
use crate::{ensure, ensure_eq, println};

pub const TESTS: &[Test] = &[
    ("buffers_at_once", buffers_at_once),
    ("largest_buffer", largest_buffer),
    ("what_optee_takes", what_optee_takes),
];

/// A page list's entries; another follows.
const ENTRIES: u64 = 511;
/// Pages of 64 MiB.
const MOST: u64 = (64 << 20) / 4096;
const COOKIE: u64 = 0x1a26_e000;

/// Checks that the default `max-buffers` can be had, and not one more.
fn buffers_at_once() -> Outcome {
    const DEFAULT: u64 = 1100;
    super::needs_tee()?;
    needs_hypervisor()?;
    let page = [Page::shared(0).address()];
    let register = |n: &u64| tee::register(Page::shared(1), &page, COOKIE + n) == (0, 0);
    let count = (0..=DEFAULT).take_while(register).count() as u64;
    let answer = (
        Page::of_arguments().word(tee::RET),
        Page::of_arguments().word(tee::RET_ORIGIN),
    );
    for n in 0..count {
        ensure_eq!(tee::unregister(COOKIE + n), (0, 0), "UNREGISTER_SHM");
    }
    println!("guest: {count} buffers at once");
    ensure_eq!(count, DEFAULT, "buffers at once");
    ensure_eq!(answer, (tee::OUT_OF_MEMORY, tee::COMMS), "one more");
    Ok(())
}

/// A buffer of many pages: its page lists, and its data behind them.
struct Large {
    lists: u64,
    data: u64,
    pages: u64,
}

/// What became of a registration.
#[derive(Debug, PartialEq, Eq)]
enum Registered {
    Yes,
    RefusedByHypervisor,
    RefusedByOptee(u32),
}

impl Large {
    fn new(pages: u64) -> Result<Self, Stop> {
        let ram = env::free_ram();
        let lists = ram.start + uncached::MEMORY;
        let data = lists + 4096 * MOST.div_ceil(ENTRIES);
        if data + 4096 * pages > ram.end {
            return Err(Stop::Skipped("too little RAM: it takes a guest of 80 MiB"));
        }
        let large = Self { lists, data, pages };
        large.write_lists();
        Ok(large)
    }

    /// Returns page `n`: from the last one down, so that no two neighbors lie one behind the other.
    fn page(&self, n: u64) -> u64 {
        self.data + 4096 * (self.pages - 1 - n)
    }

    fn write_lists(&self) {
        for n in 0..self.pages {
            let list = Page::at(self.lists + 4096 * (n / ENTRIES));
            list.set_long(8 * (n % ENTRIES) as usize, self.page(n));
            list.set_long(8 * ENTRIES as usize, list.address() + 4096);
        }
    }

    /// Registers it. How often the guest could take interrupts meanwhile, too.
    fn register(&self) -> (Registered, u64) {
        let mut pauses = 0;
        let page = tee::registration(Page::at(self.lists), 4096 * self.pages, COOKIE);
        let (status, ret) = tee::perform_with(tee::WITH_ARG, page, |out| {
            pauses += u64::from(out[0] == tee::FOREIGN_INTERRUPT);
            tee::reply(out, page)
        });
        let registered = match (status, ret, page.word(tee::RET_ORIGIN)) {
            (0, 0, _) => Registered::Yes,
            (0, ret, origin) if origin != tee::COMMS => Registered::RefusedByOptee(ret),
            _ => Registered::RefusedByHypervisor,
        };
        (registered, pauses)
    }

    /// Fills the buffer's last 64 KiB, which lie in 16 pages in descending order, with numbers.
    fn write_end(&self) -> [u64; 3] {
        const SIZE: u64 = 64 << 10;
        let offset = 4096 * self.pages - SIZE;
        for n in 0..SIZE / 8 {
            let at = offset + 8 * n;
            let page = Page::at(self.page(at / 4096));
            page.set_long((at % 4096) as usize, n);
        }
        [offset, SIZE, COOKIE]
    }
}

/// SHA-256 of the numbers from 0 to 8191 in 64 bits each, little-endian.
const NUMBERS: [u64; 4] = [
    0xd7c2_866f_911c_21d6,
    0xef9d_d404_b53d_d751,
    0x6860_ff6b_088a_5135,
    0xb3b7_1c81_442c_0c9e,
];

/// Checks that 64 MiB in one buffer pass the hypervisor, a list page at a time, whatever OP-TEE
/// makes of it.
fn largest_buffer() -> Outcome {
    super::needs_tee()?;
    let (whole, pauses) = Large::new(MOST)?.register();
    println!("guest: a buffer of 64 MiB: {whole:x?}, {pauses} pauses");
    if whole == Registered::Yes {
        ensure_eq!(tee::unregister(COOKIE), (0, 0), "UNREGISTER_SHM");
    }
    ensure!(
        whole != Registered::RefusedByHypervisor,
        "64 MiB in one buffer are refused"
    );
    let lists = MOST.div_ceil(ENTRIES);
    ensure!(
        env::is_bare() || pauses >= lists - 1,
        "{pauses} pauses in {lists} page lists"
    );
    Ok(())
}

/// Measures the largest buffer that OP-TEE's heap holds, found by halving, and used by a TA.
fn what_optee_takes() -> Outcome {
    super::needs_tee()?;
    let most = most_pages()?;
    println!("guest: OP-TEE takes {most} pages in one buffer");
    ensure!(most > ENTRIES, "not even two page lists");
    let mut client = Client::new()?;
    let session = client.open_ta()?;
    let pages = most_pages()?;
    println!("guest: OP-TEE takes {pages} pages beside a TA");
    let large = Large::new(pages)?;
    ensure_eq!(large.register().0, Registered::Yes, "REGISTER_SHM");
    let digest = client.sha256(session, large.write_end());
    ensure_eq!(tee::unregister(COOKIE), (0, 0), "UNREGISTER_SHM");
    client.close(session)?;
    ensure_eq!(digest?, NUMBERS, "SHA-256 of the buffer's end");
    ensure_eq!(most_pages()?, most, "pages afterwards");
    Ok(())
}

/// Returns the most pages in one buffer that OP-TEE takes, up to [`MOST`].
fn most_pages() -> Result<u64, Stop> {
    let (mut fits, mut too_many) = (0, MOST + 1);
    while too_many - fits > 1 {
        let pages = fits.midpoint(too_many);
        match Large::new(pages)?.register().0 {
            Registered::Yes => {
                ensure_eq!(tee::unregister(COOKIE), (0, 0), "UNREGISTER_SHM");
                fits = pages;
            }
            Registered::RefusedByOptee(_) => too_many = pages,
            Registered::RefusedByHypervisor => ensure!(false, "{pages} pages are refused"),
        }
    }
    Ok(fits)
}
