//! Exceptions that EL2 raises in a guest.

use super::super::registers::*;
use super::{GuestRegs, SPSR_EL1H};

/// The vector of an exception that EL2 raises in the guest (DDI 0487 D1.3.1).
fn vector_offset(spsr: u64) -> u64 {
    match spsr & 0x1f {
        0b0_0100 => 0x000, // EL1t
        0b0_0101 => 0x200, // EL1h
        mode if mode & 0x10 == 0 => 0x400,
        _ => 0x600, // from AArch32
    }
}

/// Makes the guest take a synchronous exception to its EL1, as hardware without EL2 would
/// (DDI 0487 D1.3.3).
pub fn raise(regs: &mut GuestRegs, esr: u64, far: Option<u64>) {
    let sctlr = SCTLR_EL1.get();
    let from_el1 = matches!(regs.spsr & 0x1f, 4 | 5);
    let class = if from_el1 && matches!(esr >> 26, 0x20 | 0x24) {
        1 << 26
    } else {
        0
    };
    ESR_EL1.set(esr | class);
    ELR_EL1.set(regs.pc);
    SPSR_EL1.set(regs.spsr);
    if let Some(far) = far {
        FAR_EL1.set(far);
    }
    regs.pc = VBAR_EL1.get().wrapping_add(vector_offset(regs.spsr));
    regs.spsr = pstate_after_exception(regs.spsr, sctlr);
}

/// EL1h, everything masked; PAN unless SCTLR_EL1.SPAN, SSBS from SCTLR_EL1.DSSBS, DIT kept, the
/// condition flags kept.
fn pstate_after_exception(spsr: u64, sctlr: u64) -> u64 {
    let kept = if spsr & 0x10 == 0 {
        spsr & (0xf << 28 | 1 << 24)
    } else {
        spsr & 0xf << 28
    };
    let has_pan = ID_AA64MMFR1_EL1.get() >> 20 & 0xf != 0;
    let span_off = sctlr & 1 << 23 == 0;
    let pan = if has_pan && (span_off || spsr & 1 << 22 != 0) {
        1 << 22
    } else {
        0
    };
    let has_ssbs = ID_AA64PFR1_EL1.get() >> 4 & 0xf != 0;
    let ssbs = if has_ssbs && sctlr & 1 << 44 != 0 {
        1 << 12
    } else {
        0
    };
    kept | pan | ssbs | SPSR_EL1H
}
