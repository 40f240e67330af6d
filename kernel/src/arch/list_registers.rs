// SPDX-License-Identifier: MIT OR Apache-2.0

//! The virtual CPU interface of a GICv3 on this core: ICH_*_EL2 (IHI 0069H 12.4). Only the guest that
//! is on the core notices what is written.

use super::registers::*;

/// Most active priority registers: AP0R and AP1R.
pub const ACTIVE_PRIORITIES: usize = 8;

macro_rules! numbered {
    ($(#[$read_doc:meta])* $read:ident, $(#[$write_doc:meta])* $write:ident:
     $($n:literal => $register:ident,)*) => {
        $(#[$read_doc])*
        pub fn $read(n: usize) -> u64 {
            match n {
                $( $n => $register.get(), )*
                _ => 0,
            }
        }

        $(#[$write_doc])*
        pub fn $write(n: usize, value: u64) {
            match n {
                $( $n => $register.set(value), )*
                _ => {}
            }
        }
    };
}

numbered!(
    /// Reads list register `n`.
    read_list_register,
    /// Writes list register `n`.
    write_list_register:
    0 => ICH_LR0_EL2,
    1 => ICH_LR1_EL2,
    2 => ICH_LR2_EL2,
    3 => ICH_LR3_EL2,
    4 => ICH_LR4_EL2,
    5 => ICH_LR5_EL2,
    6 => ICH_LR6_EL2,
    7 => ICH_LR7_EL2,
    8 => ICH_LR8_EL2,
    9 => ICH_LR9_EL2,
    10 => ICH_LR10_EL2,
    11 => ICH_LR11_EL2,
    12 => ICH_LR12_EL2,
    13 => ICH_LR13_EL2,
    14 => ICH_LR14_EL2,
    15 => ICH_LR15_EL2,
);

numbered!(
    /// Reads active priority register `n`, which the core [has](active_priorities): AP0R\<n\> is
    /// number n, AP1R\<n\> is number 4 + n.
    read_active_priority,
    /// Writes active priority register `n`, likewise.
    write_active_priority:
    0 => ICH_AP0R0_EL2,
    1 => ICH_AP0R1_EL2,
    2 => ICH_AP0R2_EL2,
    3 => ICH_AP0R3_EL2,
    4 => ICH_AP1R0_EL2,
    5 => ICH_AP1R1_EL2,
    6 => ICH_AP1R2_EL2,
    7 => ICH_AP1R3_EL2,
);

/// Returns the number of list registers.
pub fn count() -> usize {
    ICH_VTR.read(IchVtr::ListRegs) as usize + 1
}

/// Returns the numbers of the active priority registers that exist: one, two or four of each group do.
pub fn active_priorities() -> impl Iterator<Item = usize> {
    let count = 1 << ICH_VTR.read(IchVtr::PREbits).saturating_sub(4).min(2);
    (0..count).flat_map(|n| [n, n + 4])
}

/// Returns whether ICH_HCR_EL2.TDIR is there.
pub fn can_trap_dir() -> bool {
    ICH_VTR.is_set(IchVtr::TDS)
}

/// Reads ICH_VMCR_EL2.
pub fn read_vmcr() -> u32 {
    ICH_VMCR_EL2.get() as u32
}

/// Writes ICH_VMCR_EL2.
pub fn write_vmcr(value: u32) {
    ICH_VMCR_EL2.set(value.into());
}

/// Reads ICH_HCR_EL2.
pub fn read_hcr() -> u32 {
    ICH_HCR_EL2.get() as u32
}

/// Writes ICH_HCR_EL2.
pub fn write_hcr(value: u32) {
    ICH_HCR_EL2.set(value.into());
}
