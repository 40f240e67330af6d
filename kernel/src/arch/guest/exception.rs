// SPDX-License-Identifier: MIT OR Apache-2.0

//! Exceptions that EL2 raises in a guest.

use super::super::registers::*;
use super::{GuestRegs, SPSR_EL1H};

/// Returns the vector of an exception that EL2 raises in the guest (DDI 0487 D1.3.1).
fn vector_offset(spsr: u64) -> u64 {
    match (Pstate::AARCH32.is_set(spsr), Pstate::M.read_as_enum(spsr)) {
        (true, _) => 0x600,
        (false, Some(Pstate::M::Value::EL1t)) => 0x000,
        (false, Some(Pstate::M::Value::EL1h)) => 0x200,
        (false, _) => 0x400,
    }
}

/// Makes the guest take a synchronous exception to its EL1, as hardware without EL2 would
/// (DDI 0487 D1.3.3).
pub fn raise(regs: &mut GuestRegs, esr: u64, far: Option<u64>) {
    let sctlr = SCTLR_EL1.get();
    ESR_EL1.set(syndrome_at_el1(esr, regs));
    ELR_EL1.set(regs.pc);
    SPSR_EL1.set(regs.spsr);
    if let Some(far) = far {
        FAR_EL1.set(far);
    }
    regs.pc = VBAR_EL1.get().wrapping_add(vector_offset(regs.spsr));
    regs.spsr = pstate_after_exception(regs.spsr, sctlr);
}

/// Returns an abort that EL1 itself has caused is of a class of its own.
fn syndrome_at_el1(esr: u64, regs: &GuestRegs) -> u64 {
    let from_el1 = !regs.is_aarch32() && !regs.is_at_el0();
    match ESR_EL1::EC.read_as_enum(esr) {
        Some(ESR_EL1::EC::Value::InstrAbortLowerEL) if from_el1 => {
            ESR_EL1::EC::InstrAbortCurrentEL.modify(esr)
        }
        Some(ESR_EL1::EC::Value::DataAbortLowerEL) if from_el1 => {
            ESR_EL1::EC::DataAbortCurrentEL.modify(esr)
        }
        _ => esr,
    }
}

/// Returns EL1h with everything masked; PAN unless SCTLR_EL1.SPAN, SSBS from SCTLR_EL1.DSSBS, DIT kept, the
/// condition flags kept.
fn pstate_after_exception(spsr: u64, sctlr: u64) -> u64 {
    const FLAGS: u64 = Pstate::NZCV.val(0).mask();
    const DIT: u64 = Pstate::DIT::SET.mask();
    // DIT is elsewhere in the PSTATE of AArch32.
    let kept = match Pstate::AARCH32.is_set(spsr) {
        true => spsr & FLAGS,
        false => spsr & (FLAGS | DIT),
    };
    let has_pan = ID_AA64MMFR1_EL1.is_set(ID_AA64MMFR1_EL1::PAN);
    let pan = has_pan && (!Sctlr::SPAN.is_set(sctlr) || Pstate::PAN.is_set(spsr));
    let ssbs = PFR1.is_set(Pfr1::SSBS) && Sctlr::DSSBS.is_set(sctlr);
    let set = Pstate::PAN.val(pan.into()) + Pstate::SSBS.val(ssbs.into());
    kept | set.value | SPSR_EL1H
}
