// SPDX-License-Identifier: MIT OR Apache-2.0

//! SErrors of this core: physical ones, which HCR_EL2.AMO brings to EL2, and the guest's virtual one (DDI 0487 D1.3.5,
//! D1.8). EL2 runs with them masked and takes them here, where it is clear whose they are.

use serror::SError;

use super::super::barrier::{dsb, isb};
use super::super::registers::*;

/// Most SErrors that firmware may leave on a core.
const LEFTOVERS: u32 = 16;

pub(super) fn has_ras() -> bool {
    PFR0.is_set(Pfr0::RAS)
}

/// Returns the SError of this core with this ESR_EL2.
pub fn with(syndrome: u64) -> SError {
    SError {
        syndrome,
        has_ras: has_ras(),
    }
}

/// Waits for what has been begun on this core and takes the SError that it has caused, if any.
///
/// An ESB defers it to DISR_EL1 (FEAT_RAS); without that extension it becomes pending, and is taken here.
pub fn pending() -> Option<SError> {
    dsb();
    // SAFETY: ESB, a NOP without FEAT_RAS; it orders and defers errors, nothing else.
    unsafe { core::arch::asm!("hint #16", options(nostack, preserves_flags)) };
    isb();
    deferred().or_else(unmasked)
}

fn deferred() -> Option<SError> {
    if !has_ras() {
        return None;
    }
    let found = DISR_EL1.extract();
    if !found.is_set(Disr::A) {
        return None;
    }
    DISR_EL1.set(0);
    isb();
    Some(with(found.get()))
}

fn unmasked() -> Option<SError> {
    unsafe extern "C" {
        fn take_serror() -> u64;
    }
    if !ISR.is_set(Isr::A) {
        return None;
    }
    // SAFETY: `vectors.s` keeps to the C calling convention. Nobody reads later what an exit of a guest has left in
    // ESR_EL2, ELR_EL2, SPSR_EL2, FAR_EL2 and HPFAR_EL2.
    let taken = unsafe { take_serror() };
    (taken != 0).then(|| with(taken))
}

/// Takes what firmware has left pending on this core. Returns the last one's syndrome, if there was any.
pub fn drain() -> Option<SError> {
    (0..LEFTOVERS).map_while(|_| pending()).last()
}

/// Makes the guest on this core take `error` as a virtual SError, when it has them unmasked.
pub fn pend(error: &SError) {
    if has_ras() {
        VSESR_EL2.set(error.virtual_syndrome());
    }
    HCR_EL2.modify(HCR_EL2::VSE::SET);
}

/// Tells whether the guest on this core has a virtual SError to take.
pub fn is_pending() -> bool {
    HCR_EL2.is_set(HCR_EL2::VSE)
}
