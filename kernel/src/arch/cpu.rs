// SPDX-License-Identifier: MIT OR Apache-2.0

//! The core this code runs on.

use core::cell::UnsafeCell;
use core::mem::offset_of;

use boot::MAX_CORES;
use hardening::Entry;

use super::barrier::{dsb, isb};
use super::registers::*;

/// Bytes of the stack on which a fault of EL2's own is reported.
const EMERGENCY_STACK: usize = 4096;

/// What TPIDR_EL2 points to. `vectors.s` reads the first fields, at the offsets that are checked below.
#[repr(C, align(16))]
struct CoreBlock {
    emergency_top: UnsafeCell<u64>,
    work: UnsafeCell<EntryWork>,
    index: UnsafeCell<usize>,
    emergency_stack: UnsafeCell<[u8; EMERGENCY_STACK]>,
}

/// What this core does at each exit of a guest, before the rest of EL2 runs.
#[repr(C)]
struct EntryWork {
    /// The function of an SMC; 0: none.
    call: u32,
    /// So many taken branches.
    branches: u32,
    /// What is added to the exit's number: [`CHECK_SERROR`] or 0.
    mark: u32,
    /// Not 0: the core needs it whoever its guest is.
    always: u32,
}

const _: () = {
    assert!(offset_of!(CoreBlock, emergency_top) == 0);
    assert!(offset_of!(CoreBlock, work) + offset_of!(EntryWork, call) == 8);
    assert!(offset_of!(CoreBlock, work) + offset_of!(EntryWork, branches) == 12);
    assert!(offset_of!(CoreBlock, work) + offset_of!(EntryWork, mark) == 16);
};

/// In an exit's number: the guest can cause SErrors, look whether it has.
pub(super) const CHECK_SERROR: u32 = 4;

// SAFETY: each block is only used by its own core.
unsafe impl Sync for CoreBlock {}

static BLOCKS: [CoreBlock; MAX_CORES] = [const {
    CoreBlock {
        emergency_top: UnsafeCell::new(0),
        work: UnsafeCell::new(EntryWork {
            call: 0,
            branches: 0,
            mark: 0,
            always: 0,
        }),
        index: UnsafeCell::new(0),
        emergency_stack: UnsafeCell::new([0; EMERGENCY_STACK]),
    }
}; MAX_CORES];

/// Makes this core number `index` (< `MAX_CORES`), once, before anything asks for [`current`].
pub fn set_current(index: usize) {
    let block = &BLOCKS[index];
    // SAFETY: only this core uses its block, and nothing reads it before TPIDR_EL2 is set.
    unsafe {
        *block.index.get() = index;
        *block.emergency_top.get() = block.emergency_stack.get() as u64 + EMERGENCY_STACK as u64;
    }
    TPIDR_EL2.set(block as *const CoreBlock as u64);
    isb();
}

fn block() -> &'static CoreBlock {
    // SAFETY: `set_current` ran first on this core and left a pointer to a static block.
    unsafe { &*(TPIDR_EL2.get() as *const CoreBlock) }
}

/// Returns the number of this core.
pub fn current() -> usize {
    // SAFETY: `set_current` was the last to write it.
    unsafe { *block().index.get() }
}

/// Lets this core do what `entry` says at each exit of a guest.
pub fn harden(entry: &Entry) {
    // SAFETY: only this core uses its block, and no guest runs here now.
    let work = unsafe { &mut *block().work.get() };
    work.call = entry.call.unwrap_or(0);
    work.branches = entry.branches.into();
    // It has its own table of vectors, which CLRBHB is always in.
    work.always = (!entry.is_plain()).into();
    set_vectors(work);
}

/// Says whether the guest that runs here next can cause SErrors: then each of its exits looks for one.
pub fn check_serrors(may_cause: bool) {
    // SAFETY: as in `harden`.
    let work = unsafe { &mut *block().work.get() };
    let mark = if may_cause { CHECK_SERROR } else { 0 };
    if work.mark != mark {
        work.mark = mark;
        set_vectors(work);
    }
}

/// Chooses the vectors that do what is to do, and no more.
fn set_vectors(work: &EntryWork) {
    unsafe extern "C" {
        static exception_vectors: u8;
        static exception_vectors_with_work: u8;
    }
    let vectors = match work.always | work.mark {
        0 => &raw const exception_vectors,
        _ => &raw const exception_vectors_with_work,
    };
    VBAR_EL2.set(vectors as u64);
    isb();
}

/// Returns the affinity fields of this core's MPIDR_EL1.
pub fn mpidr() -> u64 {
    MPIDR_EL1.get() & 0xff_00ff_ffff
}

/// MIDR_EL1.
pub fn midr() -> u64 {
    MIDR_EL1.get()
}

/// Sleeps until an interrupt is pending, masked or not.
pub fn wait_for_interrupt() {
    dsb();
    aarch64_cpu::asm::wfi();
}

/// Wakes the cores that wait for an event.
pub fn send_event() {
    aarch64_cpu::asm::sev();
}

/// Tells that this core waits for another one in a loop. An emulator that runs one core at a time changes over.
pub fn relax() {
    // SAFETY: a hint.
    unsafe { core::arch::asm!("yield", options(nomem, nostack, preserves_flags)) };
}

/// Stops this core for good.
pub fn park() -> ! {
    loop {
        wait_for_interrupt();
    }
}
