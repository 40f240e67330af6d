// SPDX-License-Identifier: MIT OR Apache-2.0

//! Cache maintenance by address (DDI 0487 D7.5).

use super::barrier::{dsb, isb};
use super::registers::*;

/// Returns the bytes of the smallest data cache line.
fn line() -> u64 {
    4 << CTR_EL0.read(Ctr::DminLine)
}

/// Lines that one turn of a loop takes: most of its instructions are the lines' then.
const TURN: u64 = 8;

/// Cleans and invalidates `start..start + size` to the point of coherency, for observers without caches.
pub fn clean_invalidate(start: u64, size: u64) {
    let (line, end) = (line(), start + size);
    let mut at = start & !(line - 1);
    while end.saturating_sub(at) >= TURN * line {
        for _ in 0..TURN {
            clean_invalidate_line(at);
            at = at.wrapping_add(line);
        }
    }
    while at < end {
        clean_invalidate_line(at);
        at = at.wrapping_add(line);
    }
    dsb();
}

#[inline(always)]
fn clean_invalidate_line(at: u64) {
    // SAFETY: maintenance by address changes no memory as coherent observers see it.
    unsafe { core::arch::asm!("dc civac, {}", in(reg) at, options(nostack, preserves_flags)) };
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
    let block = 4 << DCZID_EL0.read(Dczid::BS);
    let (mut at, end) = (start, start + size);
    if DCZID_EL0.is_set(Dczid::DZP) {
        // SAFETY: the caller's promise.
        unsafe { (start as *mut u8).write_bytes(0, size as usize) };
    } else if block == line() && size.is_multiple_of(ZERO_TURN * block) {
        while at < end {
            // SAFETY: the caller's promise; a turn's blocks divide the range.
            at = unsafe { zero_lines(at, block) };
        }
        return dsb();
    } else {
        while at < end {
            // SAFETY: the caller's promise; a block is at most 2 KiB and divides a page.
            unsafe { zero_block(at) };
            at = at.wrapping_add(block);
        }
    }
    clean_invalidate(start, size);
}

/// Lines that [`zero_lines`] takes.
const ZERO_TURN: u64 = 32;

/// Zeroes so many lines from `at` on down to the point of coherency, by three instructions for each; returns what is behind
/// them.
///
/// # Safety
/// The caller owns them; a line is a block of DCZID_EL0.BS.
#[inline(always)]
unsafe fn zero_lines(mut at: u64, line: u64) -> u64 {
    // SAFETY: the caller's promise. The line is cleaned behind the stores to it without a barrier (DDI 0487 D7.5.9.8).
    unsafe {
        core::arch::asm!(
            ".rept {count}",
            "dc zva, {at}",
            "dc civac, {at}",
            "add {at}, {at}, {line}",
            ".endr",
            at = inout(reg) at,
            line = in(reg) line,
            count = const ZERO_TURN,
            options(nostack, preserves_flags),
        );
    }
    at
}

/// Bytes that one turn of [`copy`] takes.
const COPY_TURN: usize = 64;

/// Copies `bytes` to `to`, mapped RAM that nobody else uses, down to the point of coherency. Neither need be aligned: the
/// compiler's own copy takes four times the instructions, as it must not count on that.
///
/// # Safety
/// The caller owns as many bytes at `to`.
pub unsafe fn copy(to: u64, bytes: &[u8]) {
    let (turns, rest) = bytes.as_chunks::<COPY_TURN>();
    let mut at = to;
    for turn in turns {
        // SAFETY: the caller's promise. Both are normal memory, and SCTLR_EL2.A is off.
        unsafe {
            core::arch::asm!(
                "ldp {a}, {b}, [{from}]",
                "ldp {c}, {d}, [{from}, #16]",
                "stp {a}, {b}, [{at}], #64",
                "stp {c}, {d}, [{at}, #-48]",
                "ldp {a}, {b}, [{from}, #32]",
                "ldp {c}, {d}, [{from}, #48]",
                "stp {a}, {b}, [{at}, #-32]",
                "stp {c}, {d}, [{at}, #-16]",
                from = in(reg) turn.as_ptr(),
                at = inout(reg) at,
                a = out(reg) _,
                b = out(reg) _,
                c = out(reg) _,
                d = out(reg) _,
                options(nostack, preserves_flags),
            );
        }
    }
    // SAFETY: the caller's promise.
    unsafe { (at as *mut u8).copy_from_nonoverlapping(rest.as_ptr(), rest.len()) };
    clean_invalidate(to, bytes.len() as u64);
}

/// # Safety
/// The caller owns the block of DCZID_EL0.BS at `at`.
#[inline(always)]
unsafe fn zero_block(at: u64) {
    // SAFETY: the caller's promise.
    unsafe { core::arch::asm!("dc zva, {}", in(reg) at, options(nostack, preserves_flags)) };
}
