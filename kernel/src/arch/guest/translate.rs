// SPDX-License-Identifier: MIT OR Apache-2.0

//! The guest's own view of its addresses, and its stack pointers.

use core::arch::asm;

use addr::Ipa;

use super::super::barrier::isb;
use super::super::registers::*;

/// Returns the IPA of `address` as the guest's stage 1 translates a read at the exception level
/// of `spsr` now, if it does (DDI 0487 C6.2, AT). The guest's PAR_EL1 stays.
pub fn translate(address: u64, spsr: u64) -> Option<Ipa> {
    const PAGE: u64 = PAR_EL1::PA.val(0).mask();
    let kept = PAR_EL1.get();
    // SAFETY: a translation changes PAR_EL1 alone. HCR_EL2.PTW keeps its walk to memory, so that
    // it ends in PAR_EL1 whatever the guest's tables say.
    unsafe {
        match Pstate::M::EL0t.matches_all(spsr) {
            true => asm!("at s1e0r, {}", in(reg) address, options(nostack, preserves_flags)),
            false => asm!("at s1e1r, {}", in(reg) address, options(nostack, preserves_flags)),
        }
    }
    isb();
    let result = PAR_EL1.extract();
    PAR_EL1.set(kept);
    (!result.is_set(PAR_EL1::F)).then_some(Ipa(result.get() & PAGE | address & 0xfff))
}

/// Returns the stack pointer that the state `spsr` uses.
pub fn stack_pointer(spsr: u64) -> u64 {
    match uses_sp_el1(spsr) {
        true => SP_EL1.get(),
        false => SP_EL0.get(),
    }
}

/// Sets the stack pointer that the state `spsr` uses.
pub fn set_stack_pointer(spsr: u64, value: u64) {
    match uses_sp_el1(spsr) {
        true => SP_EL1.set(value),
        false => SP_EL0.set(value),
    }
}

fn uses_sp_el1(spsr: u64) -> bool {
    Pstate::M::EL1h.matches_all(spsr)
}
