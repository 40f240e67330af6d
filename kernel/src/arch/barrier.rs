// SPDX-License-Identifier: MIT OR Apache-2.0

//! Barriers (DDI 0487 B2.3.12).

use aarch64_cpu::asm::barrier;

/// Waits until earlier writes to system registers are in effect.
#[inline]
pub fn isb() {
    barrier::isb(barrier::SY);
}

/// Waits until earlier memory accesses and maintenance are complete.
#[inline]
pub fn dsb() {
    barrier::dsb(barrier::SY);
}
