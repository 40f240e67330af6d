// SPDX-License-Identifier: MIT OR Apache-2.0

//! From the boot loader's jump to the first Rust function.
//!
//! `entry.s` holds the arm64 Image header (Linux, Documentation/arch/arm64/booting.rst), the
//! primary and the secondary entry. The primary entry relocates the image to where it was
//! loaded, maps the image and the device tree with 2 MiB blocks and turns the MMU on, so that all
//! Rust code runs with caches. Secondary cores start on the tables that the primary core built.
//!
//! The kernel provides these symbols:
//! - `primary_main(tree: u64, tree_size: u64, entry_ticks: u64) -> !`, at EL2 with the MMU on; the size
//!   is 0 if x0 held no tree;
//! - `cannot_start(why: u64, tree: u64) -> !`, with the MMU off: why is an exception level that is not 2,
//!   [`HOST_EXTENSIONS`] or [`MISPLACED`];
//! - `secondary_main(context: u64) -> !`, at EL2 on the final tables;
//! - `exception_vectors`, the EL2 vector table.
#![no_std]

pub mod early;
pub mod stage;

use core::arch::global_asm;
use core::cell::UnsafeCell;
use core::mem::offset_of;

use stage::Stage;

/// Bytes of one core's stack, without its guard page. Making guests of a board's tree takes most of
/// it, on the first core.
pub const STACK_SIZE: usize = 0x1_0000;
/// Bytes from one core's stack to the next: the guard page lies at the low end.
pub const STACK_STRIDE: usize = STACK_SIZE + 0x1000;
/// In the place of an exception level: EL2 whose HCR_EL2.E2H can't be cleared (a core without
/// FEAT_E2H0).
pub const HOST_EXTENSIONS: u64 = 0x102;
/// In the place of an exception level: the image does not lie on a multiple of 2 MiB.
pub const MISPLACED: u64 = 0x103;
/// Cores that have a stack; further ones are not started.
pub const MAX_CORES: usize = 8;

/// What a test's build does to a core before its first instruction: nothing in others.
#[cfg(not(feature = "poison"))]
macro_rules! poison {
    () => {
        ".macro poison_primary\n.endm\n.macro poison_secondary\n.endm\n"
    };
}
#[cfg(feature = "poison")]
macro_rules! poison {
    () => {
        concat!(
            ".macro poison_primary\nbl poison_shared\nbl poison\n.endm\n",
            ".macro poison_secondary\nbl poison_alone\nbl poison\n.endm\n",
            include_str!("poison.s")
        )
    };
}

/// The early console's part in what follows: nothing in a usual build.
#[cfg(not(feature = "early-console"))]
macro_rules! early {
    () => {
        ".macro early_letter\n.endm\n.macro early_map\n.endm\n"
    };
}
#[cfg(feature = "early-console")]
macro_rules! early {
    () => {
        include_str!("early.s")
    };
}

global_asm!(
    poison!(),
    early!(),
    include_str!("entry.s"),
    STACK_STRIDE = const STACK_STRIDE,
    STACKS_SIZE = const STACK_STRIDE * MAX_CORES,
    MAX_CORES = const MAX_CORES,
    START_SIZE = const size_of::<SecondaryStart>(),
    HOST_EXTENSIONS = const HOST_EXTENSIONS,
    MISPLACED = const MISPLACED,
    EARLY_BLOCKS = const 3 + early::BLOCKS,
    ENTERED = const Stage::Entered as u8,
    CLEARED = const Stage::Cleared as u8,
    FIT = const Stage::Fit as u8,
    TREE = const Stage::Tree as u8,
    TABLES = const Stage::Tables as u8,
    POST_CODE = const stage::POST_CODE,
    POST_MAGIC = const stage::MAGIC,
);

/// What a starting secondary core reads with its MMU off; the primary core must have cleaned it
/// to the point of coherency. `entry.s` relies on the order.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct SecondaryStart {
    /// Top of the core's stack.
    pub stack_top: u64,
    /// TTBR0_EL2.
    pub ttbr0: u64,
    /// TCR_EL2, but for PS, which each core has of its own.
    pub tcr: u64,
    /// MAIR_EL2.
    pub mair: u64,
    /// SCTLR_EL2.
    pub sctlr: u64,
    /// Handed to `secondary_main`.
    pub context: u64,
    /// The affinity fields of the core's MPIDR_EL1, or [`NO_CORE`]. A core that was released already goes by it.
    pub mpidr: u64,
}

const _: () = {
    assert!(offset_of!(SecondaryStart, ttbr0) == 8);
    assert!(offset_of!(SecondaryStart, tcr) == 16);
    assert!(offset_of!(SecondaryStart, mair) == 24);
    assert!(offset_of!(SecondaryStart, sctlr) == 32);
    assert!(offset_of!(SecondaryStart, context) == 40);
    assert!(offset_of!(SecondaryStart, mpidr) == 48);
};

/// What no core has as its affinity.
pub const NO_CORE: u64 = u64::MAX;

/// One for each core. A core that starts late, when no other waits for it any more, still finds its
/// own.
#[unsafe(export_name = "secondary_starts")]
static STARTS: Starts = Starts(
    [const {
        UnsafeCell::new(SecondaryStart {
            stack_top: 0,
            ttbr0: 0,
            tcr: 0,
            mair: 0,
            sctlr: 0,
            context: 0,
            mpidr: NO_CORE,
        })
    }; MAX_CORES],
);

struct Starts([UnsafeCell<SecondaryStart>; MAX_CORES]);

// SAFETY: `set_start`'s caller keeps to one writer; readers are cores with their MMU off.
unsafe impl Sync for Starts {}

/// Sets what core number `core` (< [`MAX_CORES`]) starts with: its physical address and its size,
/// for cleaning it to the point of coherency.
///
/// # Safety
/// Only the primary core calls this, before it starts that core. Once the core's affinity is in memory, nothing
/// else changes.
pub unsafe fn set_start(core: usize, start: SecondaryStart) -> (u64, u64) {
    let at = STARTS.0[core].get();
    // SAFETY: the caller's promise: no other core writes it, and one that reads it meanwhile, its MMU off, takes nothing
    // but its own affinity for an answer.
    unsafe { at.write(start) };
    (at as u64, size_of::<SecondaryStart>() as u64)
}

unsafe extern "C" {
    static __image_start: u8;
    static __text_end: u8;
    static __rodata_end: u8;
    static __bss_end: u8;
    static __stacks_start: u8;
    static __image_end: u8;
    fn secondary_entry();
    fn spin_table_entry();
}

/// Where the parts of the running image lie, as physical (= EL2 virtual) addresses.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    /// First byte of the image, 2 MiB-aligned; code up to `text_end`.
    pub start: u64,
    /// End of code, start of constants.
    pub text_end: u64,
    /// End of constants, start of data and bss.
    pub rodata_end: u64,
    /// End of bss; stacks start at `stacks_start`.
    pub data_end: u64,
    /// The lowest guard page.
    pub stacks_start: u64,
    /// End of everything but the page of [`stage::POST_CODE`].
    pub end: u64,
}

impl Layout {
    /// Returns the layout of this image.
    pub fn get() -> Self {
        Self {
            start: &raw const __image_start as u64,
            text_end: &raw const __text_end as u64,
            rodata_end: &raw const __rodata_end as u64,
            data_end: &raw const __bss_end as u64,
            stacks_start: &raw const __stacks_start as u64,
            end: &raw const __image_end as u64,
        }
    }

    /// Returns the mapped part of the stack of core number `core` (< [`MAX_CORES`]), lowest address
    /// and top.
    pub fn stack(&self, core: usize) -> (u64, u64) {
        let top = self.stacks_start + ((core + 1) * STACK_STRIDE) as u64;
        (top - STACK_SIZE as u64, top)
    }
}

/// Returns where a secondary core must enter, with x0 = the address of its [`SecondaryStart`].
pub fn secondary_entry_address() -> u64 {
    secondary_entry as *const () as u64
}

/// Returns where a secondary core that is released from a spin table must enter.
pub fn spin_table_entry_address() -> u64 {
    spin_table_entry as *const () as u64
}
