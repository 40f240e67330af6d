// SPDX-License-Identifier: MIT OR Apache-2.0

//! What this core is: its identification registers (DDI 0487 D19.2).

use hardening::Core;
use idregs::Reg;

use super::registers::*;

/// Reads the identification register.
pub fn read(register: Reg) -> u64 {
    match register {
        Reg::IdPfr0 => ID_PFR0_EL1.get(),
        Reg::IdPfr1 => ID_PFR1_EL1.get(),
        Reg::IdDfr0 => ID_DFR0_EL1.get(),
        Reg::IdIsar0 => ID_ISAR0_EL1.get(),
        Reg::IdIsar1 => ID_ISAR1_EL1.get(),
        Reg::IdIsar2 => ID_ISAR2_EL1.get(),
        Reg::IdIsar3 => ID_ISAR3_EL1.get(),
        Reg::IdIsar4 => ID_ISAR4_EL1.get(),
        Reg::IdIsar5 => ID_ISAR5_EL1.get(),
        Reg::IdIsar6 => ID_ISAR6_EL1.get(),
        Reg::Mvfr0 => MVFR0_EL1.get(),
        Reg::Mvfr1 => MVFR1_EL1.get(),
        Reg::Mvfr2 => MVFR2_EL1.get(),
        Reg::IdPfr2 => ID_PFR2_EL1.get(),
        Reg::IdAa64Pfr0 => ID_AA64PFR0_EL1.get(),
        Reg::IdAa64Pfr1 => ID_AA64PFR1_EL1.get(),
        Reg::IdAa64Dfr0 => ID_AA64DFR0_EL1.get(),
        Reg::IdAa64Isar0 => ID_AA64ISAR0_EL1.get(),
        Reg::IdAa64Isar1 => ID_AA64ISAR1_EL1.get(),
        Reg::IdAa64Isar2 => ID_AA64ISAR2_EL1.get(),
        Reg::IdAa64Mmfr0 => ID_AA64MMFR0_EL1.get(),
        Reg::IdAa64Mmfr1 => ID_AA64MMFR1_EL1.get(),
        Reg::IdAa64Mmfr2 => ID_AA64MMFR2_EL1.get(),
    }
}

/// Returns what tells how the core's branch predictor behaves.
pub fn core() -> Core {
    Core {
        midr: MIDR_EL1.get(),
        pfr0: PFR0.get(),
        mmfr1: MMFR1.get(),
        isar2: ISAR2.get(),
    }
}

/// Reads REVIDR_EL1.
pub fn revidr() -> u64 {
    REVIDR_EL1.get()
}

/// Reads AIDR_EL1.
pub fn aidr() -> u64 {
    AIDR_EL1.get()
}
