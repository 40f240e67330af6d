// SPDX-License-Identifier: MIT OR Apache-2.0

//! The fields of CPTR_EL2, which aarch64-cpu has for HCR_EL2.E2H = 1.
#![allow(missing_docs)]

use tock_registers::register_bitfields;

register_bitfields! {u64,
    /// CPTR_EL2 with HCR_EL2.E2H = 0 (DDI 0487 D19.2.34).
    pub Cptr [
        /// Traps the activity monitors.
        TAM OFFSET(30) NUMBITS(1) [],
        /// Traps accesses to trace registers.
        TTA OFFSET(20) NUMBITS(1) [],
        /// RES1, or TSM: traps SME.
        RES1_12 OFFSET(12) NUMBITS(2) [],
        /// Traps FP and SIMD.
        TFP OFFSET(10) NUMBITS(1) [],
        /// RES1.
        RES1_9 OFFSET(9) NUMBITS(1) [],
        /// RES1, or TZ: traps SVE.
        RES1_0 OFFSET(0) NUMBITS(9) [],
    ],
}
