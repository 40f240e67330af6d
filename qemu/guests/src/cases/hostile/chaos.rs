// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a hostile guest writes: numbers from one table, so that it knows afterwards which of the
//! numbers that it finds it never wrote.

use crate::rt::random::Random;
use crate::rt::tee::{Page, split};
use crate::rt::{cpu, env, gic};
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use platform::{GICD_BASE, UART_BASE};

/// How many of [`Page::shared`] are for abuse. The others are for calls that must work.
const PAGES: u64 = 12;

/// Physical RAM and secure RAM of QEMU's virt machine with 2 GiB.
const BOARD: [core::ops::Range<u64>; 2] = [0x4000_0000..0xc000_0000, 0x0e00_0000..0x0f00_0000];

const NUMBERS: [u64; 32] = [
    0,
    1,
    2,
    3,
    5,
    6,
    7,
    8,
    9,
    0xa,
    0xb,
    16,
    32,
    0x101,
    0x20a,
    0x209,
    0x20b,
    0x7020a,
    0xf00,
    4095,
    4096,
    4097,
    0x1_ff000,
    0x20_0000,
    0x20_1000,
    1 << 27,
    1 << 32,
    1 << 40,
    1 << 63,
    !4095,
    !7,
    u64::MAX,
];

const LEN: usize = 96;
static TABLE: spin::Once<[u64; LEN]> = spin::Once::new();

/// Returns a page for abuse.
pub fn page(n: u64) -> Page {
    Page::shared((n % PAGES) as usize)
}

/// Addresses that are not the guest's memory, but devices, other guests', the secure world's and
/// the hypervisor's.
fn foreign() -> [u64; 12] {
    let (start, size) = env::get().ram;
    let all = [
        start - 4096,
        start + size,
        GICD_BASE.0,
        UART_BASE.0,
        0x0e10_0000,
        0x4200_0000,
        0x6000_0000,
        0x6800_0000,
        0x8000_0000,
        0xbfff_f000,
        1 << 39,
        1 << 47,
    ];
    all.map(|address| if is_ours(address) { 0 } else { address })
}

/// Tells whether `address` is in the guest's RAM.
pub fn is_ours(address: u64) -> bool {
    let (start, size) = env::get().ram;
    (start..start + size).contains(&address)
}

/// Tells whether `value` may be a physical address that this guest has only from the
/// hypervisor or OP-TEE: it is in the board's memory, and not one of those that the guest writes,
/// which are [`foreign`] ones and those of the pages that it shares. An address of the host's that
/// equals one of these goes unseen.
pub fn is_leak(value: u64) -> bool {
    let page = value & !4095;
    BOARD.iter().any(|range| range.contains(&value))
        && !Page::all().any(|own| own.address() == page)
        && !foreign().contains(&page)
}

/// Keeps a random number from being taken for a leak, or from naming memory of the guest that it
/// needs itself.
fn tame(value: u64) -> u64 {
    if BOARD.iter().any(|range| range.contains(&value)) {
        value | 0xc000_0000
    } else {
        value
    }
}

/// Returns every double word that the hostile tests write to shared pages, or use as a cookie.
pub fn table() -> &'static [u64; LEN] {
    TABLE.call_once(|| {
        let mut random = Random::new(seed() ^ 0x7461_626c_6500);
        let foreign = foreign();
        core::array::from_fn(|n| match n {
            0..32 => NUMBERS[n],
            32..44 => page(n as u64 - 32).address(),
            44..52 => page(n as u64 - 44).cookie(),
            52..64 => foreign[n - 52],
            64..80 => page(n as u64).address() + 8 * (n as u64 - 63),
            80..88 => tame(random.next() >> 32),
            _ => tame(random.next()),
        })
    })
}

/// Returns the seed of the run.
pub fn seed() -> u64 {
    env::number("seed").unwrap_or(1)
}

/// Tells how many rounds each test has.
pub fn rounds() -> u64 {
    env::number("hostile-rounds").unwrap_or(2000)
}

/// Tells how many calls are left suspended at once: all threads that Debian's OP-TEE has for a
/// guest.
pub fn threads() -> usize {
    env::number("hostile-threads").unwrap_or(2) as usize
}

/// A generator with a taste.
pub struct Chaos(Random);

impl Chaos {
    /// Makes a generator, different for each `purpose`, the same for the same seed.
    pub fn new(purpose: u64) -> Self {
        Self(Random::new(seed() << 8 | purpose))
    }

    /// Returns a number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0.below(bound)
    }

    /// Returns true one time in `n`.
    pub fn once_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    /// Returns 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0.next()
    }

    /// Returns one of the table.
    pub fn value(&mut self) -> u64 {
        table()[self.below(LEN as u64) as usize]
    }

    /// Returns a page for abuse.
    pub fn page(&mut self) -> Page {
        page(self.below(PAGES))
    }

    /// Returns a cookie under which something may be registered.
    pub fn cookie(&mut self) -> u64 {
        page(self.below(8)).cookie()
    }

    /// Returns 32 bits, small ones more often.
    pub fn word(&mut self) -> u64 {
        match self.below(4) {
            0 => self.below(16),
            1 => tame(self.value() & 0xffff_ffff),
            2 => 1 << self.below(30),
            _ => tame(self.bits() >> 32),
        }
    }

    /// Returns x0 = `function`, then a pair that may be an address or a cookie, and words.
    pub fn registers(&mut self, function: u64) -> [u64; 8] {
        let mut regs = [function; 8];
        for reg in &mut regs[1..] {
            *reg = self.word();
        }
        for first in [1, 4] {
            if !self.once_in(4) {
                [regs[first], regs[first + 1]] = split(self.value());
            }
        }
        regs
    }
}

static STOP: AtomicBool = AtomicBool::new(false);
static WRITES: AtomicU64 = AtomicU64::new(0);

/// Runs `work` on the second vCPU, if there is one, until [`stop_other`].
pub fn start_other(work: fn(u64) -> u64) {
    STOP.store(false, SeqCst);
    if env::get().vcpus > 1 {
        cpu::begin(1, work, 0);
    }
}

/// Ends it. Whether it ended.
pub fn stop_other() -> bool {
    STOP.store(true, SeqCst);
    env::get().vcpus < 2 || cpu::finish(1).is_some()
}

/// Tells how many times [`race`] has written.
pub fn writes() -> u64 {
    WRITES.load(SeqCst)
}

/// Rewrites messages and page lists while another vCPU makes calls with them.
pub fn race(_: u64) -> u64 {
    let mut chaos = Chaos::new(0x72);
    while !STOP.load(SeqCst) {
        let offset = match chaos.below(4) {
            0 => 8 * chaos.below(512),
            _ => 8 * chaos.below(40),
        };
        let value = match offset {
            // Command and num_params stay likely ones, so that calls come far.
            0 => chaos.below(8),
            24 => chaos.below(7) << 32,
            _ => chaos.value(),
        };
        chaos.page().set_long(offset as usize, value);
        WRITES.fetch_add(1, SeqCst);
    }
    0
}

/// Waits without interrupts while another vCPU plays with the GIC, then puts its own part right.
pub fn hold(_: u64) -> u64 {
    cpu::mask_irqs();
    while !STOP.load(SeqCst) {
        core::hint::spin_loop();
    }
    gic::init_cpu();
    cpu::unmask_irqs();
    0
}
