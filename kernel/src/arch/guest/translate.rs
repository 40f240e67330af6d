//! The guest's own view of its addresses, and its stack pointers.

use core::arch::asm;

use addr::Ipa;

use super::super::barrier::isb;
use super::super::registers::*;

/// PSTATE.M: EL1 with SP_EL1.
const EL1H: u64 = 5;

/// Returns the IPA of `address` as the guest's stage 1 translates a read at the exception level
/// of `spsr` now, if it does (DDI 0487 C6.2, AT). The guest's PAR_EL1 stays.
pub fn translate(address: u64, spsr: u64) -> Option<Ipa> {
    const FAILED: u64 = 1;
    const PAGE: u64 = 0xf_ffff_ffff_f000;
    let kept = PAR_EL1.get();
    // SAFETY: a translation changes PAR_EL1 alone. HCR_EL2.PTW keeps its walk to memory, so that
    // it ends in PAR_EL1 whatever the guest's tables say.
    unsafe {
        match spsr & 0xf {
            0 => asm!("at s1e0r, {}", in(reg) address, options(nostack, preserves_flags)),
            _ => asm!("at s1e1r, {}", in(reg) address, options(nostack, preserves_flags)),
        }
    }
    isb();
    let result = PAR_EL1.get();
    PAR_EL1.set(kept);
    (result & FAILED == 0).then_some(Ipa(result & PAGE | address & 0xfff))
}

/// Returns the stack pointer that the state `spsr` uses.
pub fn stack_pointer(spsr: u64) -> u64 {
    match spsr & 0xf {
        EL1H => SP_EL1.get(),
        _ => SP_EL0.get(),
    }
}

/// Sets the stack pointer that the state `spsr` uses.
pub fn set_stack_pointer(spsr: u64, value: u64) {
    match spsr & 0xf {
        EL1H => SP_EL1.set(value),
        _ => SP_EL0.set(value),
    }
}
