// SPDX-License-Identifier: MIT OR Apache-2.0

//! Words of memory that others use at the same time: each is read or written once, two by an instruction, which the
//! compiler does not do for accesses that it may neither repeat nor leave out.

use core::arch::asm;

/// Words of a step: those of a parameter of OP-TEE's.
pub const GROUP: usize = 4;

/// Reads four words, each once, and moves `from` behind them.
///
/// # Safety
/// They are mapped as Normal memory at a multiple of 8, and anyone may write them meanwhile.
#[inline(always)]
pub unsafe fn read(from: &mut *const u64) -> [u64; GROUP] {
    let (a, b, c, d);
    // SAFETY: the caller's promise; nothing but the words is accessed.
    unsafe {
        asm!(
            "ldp {a}, {b}, [{from}], #16",
            "ldp {c}, {d}, [{from}], #16",
            from = inout(reg) *from,
            a = out(reg) a,
            b = out(reg) b,
            c = out(reg) c,
            d = out(reg) d,
            options(nostack, preserves_flags, readonly),
        );
    }
    [a, b, c, d]
}

/// Writes four words, each once, and moves `to` behind them.
///
/// # Safety
/// They are mapped as Normal memory at a multiple of 8, nothing of Rust's is there, and anyone may use them meanwhile.
#[inline(always)]
pub unsafe fn write(to: &mut *mut u64, words: [u64; GROUP]) {
    let [a, b, c, d] = words;
    // SAFETY: the caller's promise; nothing but the words is accessed.
    unsafe {
        asm!(
            "stp {a}, {b}, [{to}], #16",
            "stp {c}, {d}, [{to}], #16",
            to = inout(reg) *to,
            a = in(reg) a,
            b = in(reg) b,
            c = in(reg) c,
            d = in(reg) d,
            options(nostack, preserves_flags),
        );
    }
}
