// SPDX-License-Identifier: MIT OR Apache-2.0

//! Which identification registers a guest sees, and with which values.
//!
//! HCR_EL2.TID3 makes every read of the ID space (op0 = 3, op1 = 0, CRn = 0, CRm = 1..=7) trap to
//! EL2, its reserved encodings included (DDI 0487, D24.2, HCR_EL2). [`guest_value`] answers such a read.
//! The rule is an allow list: a field of the host's register reaches the guest only if it is named
//! in [`table`], and then never above the highest value whose feature was looked at and found to
//! need nothing of EL2. Everything else, all that future architectures define included, reads as
//! "not implemented".
//!
//! # What EL2 must trap, so that what is hidden is also absent
//! An ID register only tells; these bits make the hidden registers UNDEFINED (the trap is answered
//! with an UNDEF at EL1) and the hidden instructions undefined by themselves:
//!
//! | hidden | held by |
//! |---|---|
//! | SVE, SME | CPTR_EL2.TZ = 1, CPTR_EL2.TSM = 1 |
//! | SMIDR_EL1 | HCR_EL2.TID1 = 1, which traps REVIDR_EL1 and AIDR_EL1 too |
//! | SMPRI_EL1, TPIDR2_EL0 | HFGRTR_EL2 and HFGWTR_EL2 n-bits = 0; nothing on a core without them |
//! | PMU | MDCR_EL2.{TPM, TPMCR} = 1 |
//! | SPE, TRBE, trace filter | MDCR_EL2.{TPMS, TTRF} = 1, E2PB = E2TB = 0 |
//! | trace registers | CPTR_EL2.TTA = 1 |
//! | AMU | CPTR_EL2.TAM = 1 |
//! | RAS error records | HCR_EL2.TERR = 1, FIEN = 0 |
//! | LORegions | HCR_EL2.TLOR = 1 |
//! | MTE | HCR_EL2.ATA = 0, TID5 = 1 |
//! | MPAM | MPAM2_EL2.{TRAPMPAM0EL1, TRAPMPAM1EL1} = 1 |
//! | SCXTNUM_ELx | HCR_EL2.EnSCXT = 0 |
//! | TCR2, SCTLR2, MOPS, LS64, NMI, CMOW | HCRX_EL2 = 0 |
//! | PIE, POE, GCS, BRBE, THE | HFGRTR_EL2, HFGWTR_EL2, HDFGRTR_EL2 and HDFGWTR_EL2 n-bits = 0 |
//! | implementation defined registers | HCR_EL2.{TIDCP, TACR} = 1 |
//! | AArch32 at EL1 | HCR_EL2.RW = 1 |
//!
//! What is shown needs HCR_EL2.{API, APK} = 1 (pointer authentication belongs to the guest), and
//! the guest's keys, DIT, SSBS, UAO and PAN switched with its other registers.
//!
//! # The registers that do not trap
//! A guest sees the real MIDR_EL1 (VPIDR_EL2 = MIDR_EL1), REVIDR_EL1 and AIDR_EL1: they name errata that the
//! guest has to work around itself. CTR_EL0, CLIDR_EL1, CCSIDR_EL1 and DCZID_EL0 are the host's as
//! well, because the cache instructions they describe run untrapped. MPIDR_EL1 is [`vmpidr`].
#![no_std]
#![forbid(unsafe_code)]

use platform::{GicVersion, VcpuId};

mod field;
pub mod table;

#[cfg(test)]
mod tests;

pub use field::Field;
pub use table::Reg;

/// A system register encoding with op0 = 3, as the ISS of a trapped MRS or MSR has it
/// (DDI 0487, D24.2, ESR_EL2, "ISS encoding for an exception from MSR, MRS, or System instruction
/// execution").
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Encoding {
    /// Bits 16:14 of the ISS.
    pub op1: u8,
    /// Bits 13:10.
    pub crn: u8,
    /// Bits 4:1.
    pub crm: u8,
    /// Bits 19:17.
    pub op2: u8,
}

impl Encoding {
    /// Tells whether HCR_EL2.TID3 traps this register, so that [`guest_value`] answers for it.
    pub const fn is_id_space(self) -> bool {
        self.op1 == 0 && self.crn == 0 && 1 <= self.crm && self.crm <= 7 && self.op2 <= 7
    }
}

/// Returns what the guest reads from `encoding`, or `None` if that is not in the ID space.
///
/// `host` reads the register of this core; it is asked only for those that a guest may see a part
/// of. All other encodings of the ID space are RAZ, the reserved ones too (DDI 0487, D24.2, "access
/// to reserved ID registers").
pub fn guest_value(
    encoding: Encoding,
    gic: GicVersion,
    mut host: impl FnMut(Reg) -> u64,
) -> Option<u64> {
    if !encoding.is_id_space() {
        return None;
    }
    let Some(reg) = Reg::new(encoding.crm, encoding.op2) else {
        return Some(0);
    };
    if reg.is_aarch32() && !has_aarch32(host(Reg::IdAa64Pfr0)) {
        // UNKNOWN when no Exception level has AArch32 (DDI 0487, D24.2, ID_*_EL1).
        return Some(0);
    }
    let shown = filter(reg.fields(), host(reg));
    Some(match (reg, gic) {
        (Reg::IdAa64Pfr0, GicVersion::V2) => shown & !table::GIC.mask(),
        _ => shown,
    })
}

/// Returns the guest's VMPIDR_EL2: uniprocessor and multithreading bits clear, Aff0 the vCPU's
/// number (DDI 0487, D24.2, MPIDR_EL1: bit 31 is RES1).
pub const fn vmpidr(vcpu: VcpuId) -> u64 {
    1 << 31 | vcpu.0 as u64
}

/// Returns `host` with each of `fields` capped and all other bits clear.
fn filter(fields: &[Field], host: u64) -> u64 {
    fields
        .iter()
        .fold(0, |value, field| value | field.cap(host))
}

/// Tells whether EL0 can use AArch32 (ID_AA64PFR0_EL1.EL0 = 2).
fn has_aarch32(pfr0: u64) -> bool {
    pfr0 & 0xf >= 2
}
