// SPDX-License-Identifier: MIT OR Apache-2.0

//! Cache maintenance by address (DDI 0487 D7.5).

use super::barrier::{dsb, isb};
use super::registers::*;

/// Returns the bytes of the smallest data cache line.
fn line() -> u64 {
    4 << CTR_EL0.read(Ctr::DminLine)
}

/// Cleans and invalidates `start..start + size` to the point of coherency, for observers without caches.
pub fn clean_invalidate(start: u64, size: u64) {
    let mut at = start & !(line() - 1);
    while at < start + size {
        // SAFETY: maintenance by address changes no memory as coherent observers see it.
        unsafe { core::arch::asm!("dc civac, {}", in(reg) at, options(nostack, preserves_flags)) };
        at += line();
    }
    dsb();
}

/// Makes code written by this core visible to instruction fetches of all cores.
pub fn invalidate_instructions() {
    dsb();
    // SAFETY: as above.
    unsafe { core::arch::asm!("ic ialluis", options(nostack, preserves_flags)) };
    dsb();
    isb();
}

/// Zeroes `start..start + size`, all mapped RAM that nobody else uses, down to the point of coherency.
///
/// # Safety
/// The caller owns the range; both ends are page-aligned.
pub unsafe fn zero(start: u64, size: u64) {
    if DCZID_EL0.is_set(Dczid::DZP) {
        // SAFETY: the caller's promise.
        unsafe { (start as *mut u8).write_bytes(0, size as usize) };
    } else {
        let block = 4 << DCZID_EL0.read(Dczid::BS);
        let mut at = start;
        while at < start + size {
            // SAFETY: the caller's promise; a block is at most 2 KiB and divides a page.
            unsafe {
                core::arch::asm!("dc zva, {}", in(reg) at, options(nostack, preserves_flags))
            };
            at += block;
        }
    }
    clean_invalidate(start, size);
}
