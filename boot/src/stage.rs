// SPDX-License-Identifier: MIT OR Apache-2.0

//! How far the image has come: for whoever has nothing but a debugger, or the boot loader after a reset.
//!
//! The *post code* is a word in the last page of the image's 2 MiB block, which stays where it is from build to
//! build. With an early console ([`crate::early`]) each stage before the board's console is a letter, too.

use core::arch::asm;

use crate::{Layout, early};

/// Bytes from the image's start to the post code, which has a page of its own.
pub const POST_CODE: u64 = 0x1f_f000;
/// The post code's upper half: "teev", and what was in the memory before is not. The lower half is the [`Stage`].
pub const MAGIC: u64 = 0x7465_6576 << 32;

/// A stage. docs/hardware.md says of each what may fail behind it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub enum Stage {
    /// The first instruction has run.
    Entered = 1,
    /// The image is relocated, its memory is cleared.
    Cleared,
    /// The exception level and the load address are right.
    Fit,
    /// x0 has a device tree. Left out if not.
    Tree,
    /// The early tables are built.
    Tables,
    /// The MMU and the caches are on.
    Mmu,
    /// EL2 runs on its own tables.
    OwnTables,
    /// The tree's console is found. Left out if it has none that we drive.
    Console,
    /// The whole board is understood.
    Board,
    /// Memory is mapped, and the heap is there.
    Memory,
    /// The interrupt controller works.
    Interrupts,
    /// The bundle's manifest is read.
    Manifest,
    /// The other cores are started.
    Cores,
    /// OP-TEE is asked for.
    Tee,
    /// The guests are made.
    Guests,
    /// The cores serve guests: each prepares the RAM of those whose first vCPU it has, then lets them run.
    Running,
}

/// Notes that `stage` is reached.
pub fn reached(stage: Stage) {
    note(0, MAGIC | stage as u64);
    if stage <= Stage::Console {
        early::put(b'a' - 1 + stage as u8);
    }
}

/// Leaves ESR_EL2, ELR_EL2 and FAR_EL2 of an exception of EL2's own behind the post code.
pub fn failed(registers: [u64; 3]) {
    (1..).zip(registers).for_each(|(at, value)| note(at, value));
}

/// Writes the word number `at` of the post code's page, into memory itself.
fn note(at: u64, value: u64) {
    let word = (Layout::get().start + POST_CODE + at * 8) as *mut u64;
    // SAFETY: the page is the image's own and is mapped, nothing else is in it, and `at` is small. Cleaning keeps memory
    // as it is.
    unsafe {
        word.write_volatile(value);
        asm!("dc cvac, {}", "dsb sy", in(reg) word, options(nostack, preserves_flags));
    }
}
