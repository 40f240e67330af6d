// SPDX-License-Identifier: MIT OR Apache-2.0

//! The core this code runs on.

use core::cell::UnsafeCell;

use boot::MAX_CORES;

use super::barrier::{dsb, isb};
use super::registers::*;

/// Bytes of the stack on which a fault of EL2's own is reported.
const EMERGENCY_STACK: usize = 4096;

/// What TPIDR_EL2 points to. `vectors.s` reads the first field.
#[repr(C, align(16))]
struct CoreBlock {
    emergency_top: UnsafeCell<u64>,
    index: UnsafeCell<usize>,
    emergency_stack: UnsafeCell<[u8; EMERGENCY_STACK]>,
}

// SAFETY: each block is written once by its own core in `set_current`, before it is read.
unsafe impl Sync for CoreBlock {}

static BLOCKS: [CoreBlock; MAX_CORES] = [const {
    CoreBlock {
        emergency_top: UnsafeCell::new(0),
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

/// Returns the number of this core.
pub fn current() -> usize {
    let block = TPIDR_EL2.get() as *const CoreBlock;
    // SAFETY: `set_current` ran first on this core and left a pointer to a static block.
    unsafe { *(*block).index.get() }
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

/// Stops this core for good.
pub fn park() -> ! {
    loop {
        wait_for_interrupt();
    }
}
