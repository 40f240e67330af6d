// SPDX-License-Identifier: MIT OR Apache-2.0

//! The SMC Calling Convention (DEN0028): function identifiers, and the service of the Arm
//! Architecture Calls.

use crate::Outcome;
use ::smccc::arch::{
    SMCCC_ARCH_FEATURES, SMCCC_ARCH_WORKAROUND_1, SMCCC_ARCH_WORKAROUND_2, SMCCC_ARCH_WORKAROUND_3,
    SMCCC_VERSION,
};
use platform::Workarounds;

/// The version that guests are told: 1.2, whose promise beyond 1.1 is that x4–x17 are preserved
/// (DEN0028 7.2; the SVE hint bit would be 1.3's).
pub const VERSION: u64 = 0x1_0002;

const SUCCESS: i32 = 0;
const NOT_SUPPORTED: i32 = -1;

/// A function identifier: the low 32 bits of x0, whatever the high ones hold (DEN0028 2.5, "the
/// Function Identifier is passed in W0").
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Function(pub u32);

/// The owning entity of a function identifier (DEN0028 6.1, bits 29:24).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Owner {
    /// 0: Arm Architecture Calls, answered by [`call`].
    Architecture,
    /// 4: Standard Secure Service Calls; of these, [`crate::Vpsci`] answers PSCI.
    StandardSecure,
    /// 50..=63: the trusted OS, OP-TEE. (48 and 49, the trusted applications' range, are not.)
    TrustedOs,
    /// CPU, SiP, OEM, hypervisor and trusted application services, and what is reserved: none of
    /// them exists here.
    Other,
}

impl Function {
    /// Takes the identifier in x0.
    pub const fn new(x0: u64) -> Self {
        Self(x0 as u32)
    }

    /// Tells whether arguments and results are 64 bits wide (bit 30).
    pub const fn is_smc64(self) -> bool {
        self.0 & 1 << 30 != 0
    }

    /// Returns whose call it is.
    pub const fn owner(self) -> Owner {
        match self.0 >> 24 & 0x3f {
            0 => Owner::Architecture,
            4 => Owner::StandardSecure,
            50..=63 => Owner::TrustedOs,
            _ => Owner::Other,
        }
    }

    /// Returns x0 for the result `code`: 32 bits zero-extended for an SMC32 call, sign-extended to
    /// 64 for an SMC64 call (DEN0028 3.1, DEN0022F.b 5.2.2).
    pub const fn result(self, code: i32) -> u64 {
        if self.is_smc64() {
            code as i64 as u64
        } else {
            code as u32 as u64
        }
    }

    /// Returns x0 for "Unknown Function Identifier" (DEN0028 5.2). It is also the answer to a call
    /// whose SMC or HVC immediate is not 0, all of which are reserved (DEN0028 2.9).
    pub const fn not_supported(self) -> u64 {
        self.result(NOT_SUPPORTED)
    }

    /// Returns the function's number among its owner's (bits 15:0).
    pub const fn number(self) -> u16 {
        self.0 as u16
    }

    /// Returns the argument `x` as wide as this function takes it.
    pub(crate) const fn argument(self, x: u64) -> u64 {
        if self.is_smc64() { x } else { x as u32 as u64 }
    }
}

/// Returns what SMCCC_ARCH_FEATURES tells a guest about `function`, the low half of an argument.
fn feature(firmware: &Workarounds, function: u32) -> i32 {
    match function {
        SMCCC_VERSION | SMCCC_ARCH_FEATURES => SUCCESS,
        SMCCC_ARCH_WORKAROUND_1 => firmware.one,
        SMCCC_ARCH_WORKAROUND_2 => permanent(firmware.two),
        SMCCC_ARCH_WORKAROUND_3 => firmware.three,
        _ => NOT_SUPPORTED,
    }
}

/// Returns what a guest is told of SMCCC_ARCH_WORKAROUND_2: if the firmware has it, that the
/// mitigation is always on. The call switches a state of the physical core that other guests and
/// EL2 share, so it stays as the firmware leaves it, enabled.
const fn permanent(answer: i32) -> i32 {
    if answer < 0 { answer } else { 1 }
}

/// Tells whether a call is this service's.
pub const fn owns(function: Function) -> bool {
    matches!(function.owner(), Owner::Architecture)
}

/// Answers an Arm Architecture Call with first argument `x1`, by what the firmware has.
pub fn call(function: Function, x1: u64, firmware: &Workarounds) -> Outcome {
    match function.0 {
        SMCCC_VERSION => Outcome::Return(VERSION),
        SMCCC_ARCH_FEATURES => Outcome::Return(function.result(feature(firmware, x1 as u32))),
        SMCCC_ARCH_WORKAROUND_1 if firmware.one >= 0 => Outcome::Firmware(function),
        SMCCC_ARCH_WORKAROUND_2 if firmware.two >= 0 => Outcome::Return(0),
        SMCCC_ARCH_WORKAROUND_3 if firmware.three >= 0 => Outcome::Firmware(function),
        _ => Outcome::Return(function.not_supported()),
    }
}
