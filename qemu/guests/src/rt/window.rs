// SPDX-License-Identifier: MIT OR Apache-2.0

//! One GiB of virtual addresses through which the boot vCPU names any address.

use super::trap::{l1_table, remap};
use crate::{mrs, msr};
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The entry of the page tables that is the window; nothing else is there.
const ENTRY: u64 = 255;
const GIB: u64 = 1 << 30;
/// Where the window begins.
pub const BASE: u64 = ENTRY * GIB;

/// How the window shows memory.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum As {
    /// Device-nGnRE, never executed: no access but those that a program makes.
    Device,
    /// Normal, write-back, executable at EL1.
    Memory,
}

impl As {
    /// Returns descriptor bits: block, access flag, AttrIndx, shareability, UXN and PXN, as in
    /// entry.s.
    const fn attributes(self) -> u64 {
        match self {
            Self::Device => 0x0060_0000_0000_0401,
            Self::Memory => 0x0040_0000_0000_0705,
        }
    }
}

static SHOWN: AtomicU64 = AtomicU64::new(0);

/// Returns the bits of an address by ID_AA64MMFR0_EL1.PARange, at most the 48 that a block
/// descriptor holds.
pub fn address_bits() -> u32 {
    [32, 36, 40, 42, 44, 48][pa_range() as usize]
}

fn pa_range() -> u64 {
    (mrs!("id_aa64mmfr0_el1") & 0xf).min(5)
}

/// Shows the byte at `address`, below 2^48. Returns where it is seen until the window shows
/// something else.
pub fn show(address: u64, how: As) -> u64 {
    let block = address & !(GIB - 1);
    point(block | how.attributes());
    BASE + (address - block)
}

/// Makes the page at `address` the window's table of the next level.
pub fn walk_through(address: u64) {
    const TABLE: u64 = 3;
    point(address & !0xfff | TABLE);
}

/// Leaves the window as it was at first.
pub fn close() {
    point(BASE | As::Memory.attributes());
}

fn point(descriptor: u64) {
    const IPS: u64 = 7 << 32;
    if SHOWN.swap(descriptor, Relaxed) == descriptor {
        return;
    }
    // TCR_EL1.IPS: all that the core has. remap() synchronizes.
    msr!("tcr_el1", mrs!("tcr_el1") & !IPS | pa_range() << 32);
    remap(&l1_table()[ENTRY as usize], descriptor);
}
