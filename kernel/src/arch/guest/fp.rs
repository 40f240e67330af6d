// SPDX-License-Identifier: MIT OR Apache-2.0

//! The FP and SIMD registers, which change hands only when a vCPU uses them: EL2 is built without.

use core::arch::asm;

use super::super::barrier::isb;
use super::super::registers::*;

/// V0 to V31, FPCR and FPSR of a vCPU that does not have them.
#[repr(C, align(16))]
#[derive(Clone)]
pub struct FpState {
    vectors: [u128; 32],
    fpcr: u64,
    fpsr: u64,
}

macro_rules! all_pairs {
    ($op:literal) => {
        concat!(
            ".arch_extension fp\n.arch_extension simd\n",
            $op,
            " q0, q1, [{at}, #0]\n",
            $op,
            " q2, q3, [{at}, #32]\n",
            $op,
            " q4, q5, [{at}, #64]\n",
            $op,
            " q6, q7, [{at}, #96]\n",
            $op,
            " q8, q9, [{at}, #128]\n",
            $op,
            " q10, q11, [{at}, #160]\n",
            $op,
            " q12, q13, [{at}, #192]\n",
            $op,
            " q14, q15, [{at}, #224]\n",
            $op,
            " q16, q17, [{at}, #256]\n",
            $op,
            " q18, q19, [{at}, #288]\n",
            $op,
            " q20, q21, [{at}, #320]\n",
            $op,
            " q22, q23, [{at}, #352]\n",
            $op,
            " q24, q25, [{at}, #384]\n",
            $op,
            " q26, q27, [{at}, #416]\n",
            $op,
            " q28, q29, [{at}, #448]\n",
            $op,
            " q30, q31, [{at}, #480]\n",
        )
    };
}

impl FpState {
    /// Returns all zero, as a vCPU starts with.
    pub const fn reset() -> Self {
        Self {
            vectors: [0; 32],
            fpcr: 0,
            fpsr: 0,
        }
    }

    /// Takes over what the core holds. The registers do not [trap](set_trap).
    pub fn save(&mut self) {
        // SAFETY: writes the 512 bytes of `vectors`.
        unsafe { asm!(all_pairs!("stp"), at = in(reg) &raw mut self.vectors, options(nostack)) }
        self.fpcr = FPCR.get();
        self.fpsr = FPSR.get();
    }

    /// Gives the core's registers these values. They do not [trap](set_trap).
    pub fn load(&self) {
        // SAFETY: reads the 512 bytes of `vectors`; only guests use the registers.
        unsafe {
            asm!(all_pairs!("ldp"), at = in(reg) &raw const self.vectors, options(nostack));
        }
        FPCR.set(self.fpcr);
        FPSR.set(self.fpsr);
    }
}

/// Sets whether the next use of the registers on this core traps.
pub fn set_trap(on: bool) {
    if CPTR.is_set(Cptr::TFP) != on {
        CPTR.modify(Cptr::TFP.val(on.into()));
        isb();
    }
}
