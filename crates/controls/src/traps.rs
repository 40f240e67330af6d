// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a guest may do by itself, and what comes to EL2.

use aarch64_cpu::registers::{CNTHCTL_EL2, HCR_EL2, MDCR_EL2};
use addr::Pa;
use platform::VmId;

use crate::Cptr;

/// The features of a core that have bits of their own in HCR_EL2, RES0 without the feature.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Features {
    /// FEAT_LOR.
    pub lor: bool,
    /// FEAT_RAS.
    pub ras: bool,
    /// FEAT_MTE.
    pub mte: bool,
    /// FEAT_PAuth, by any algorithm.
    pub pointer_authentication: bool,
}

/// What HCR_EL2 says of one vCPU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Vcpu {
    /// A virtual SError is pending.
    pub serror: bool,
    /// WFI and WFE give the core away, instead of waiting there.
    pub shares_core: bool,
}

/// Returns HCR_EL2 while `vcpu` is on a core with `features` (DDI 0487 D19.2.48).
pub fn hcr(features: Features, vcpu: Vcpu) -> u64 {
    let mut value = HCR_EL2::VM::Enable
        + HCR_EL2::SWIO::SET
        // A walk through what stage 2 maps as a device faults, whoever begins it.
        + HCR_EL2::PTW::SET
        + HCR_EL2::FMO::EnableVirtualFIQ
        + HCR_EL2::IMO::EnableVirtualIRQ
        + HCR_EL2::AMO::SET
        + HCR_EL2::FB::SET
        + HCR_EL2::BSU::InnerShareable
        + HCR_EL2::TID1::SET
        + HCR_EL2::TID3::SET
        + HCR_EL2::TSC::EnableTrapEl1SmcToEl2
        + HCR_EL2::TIDCP::SET
        + HCR_EL2::TACR::SET
        + HCR_EL2::RW::EL1IsAarch64;
    if features.lor {
        value += HCR_EL2::TLOR::SET;
    }
    if features.ras {
        value += HCR_EL2::TERR::SET;
    }
    if features.mte {
        value += HCR_EL2::TID5::SET;
    }
    // The keys are the guest's.
    if features.pointer_authentication {
        value += HCR_EL2::APK::DisableTrapPointerAuthKeyRegsToEl2
            + HCR_EL2::API::DisableTrapPointerAuthInstToEl2;
    }
    if vcpu.serror {
        value += HCR_EL2::VSE::SET;
    }
    if vcpu.shares_core {
        value += HCR_EL2::TWI::SET + HCR_EL2::TWE::SET;
    }
    value.value
}

/// HCR_EL2 before a core's first guest: interrupts and SErrors come to EL2, which takes those that firmware has left
/// pending.
pub const HCR_NO_GUEST: u64 = HCR_EL2::RW::EL1IsAarch64.value
    | HCR_EL2::FMO::EnableVirtualFIQ.value
    | HCR_EL2::IMO::EnableVirtualIRQ.value
    | HCR_EL2::AMO::SET.value;

/// CPTR_EL2 while the FP registers are the guest's: SVE, SME, trace and activity monitors trap; the rest are
/// RES1.
pub const CPTR: u64 = Cptr::TAM::SET.value
    | Cptr::TTA::SET.value
    | Cptr::RES1_12.val(3).value
    | Cptr::RES1_9::SET.value
    | Cptr::RES1_0.val(0x1ff).value;

/// Returns MDCR_EL2 for a core with so many event counters: the PMU, statistical profiling, trace filters and
/// debug registers trap; all counters are left to EL1, as reset does.
pub fn mdcr(counters: u64) -> u64 {
    let fields = MDCR_EL2::HPMN.val(counters)
        + MDCR_EL2::TPMCR::SET
        + MDCR_EL2::TPM::SET
        + MDCR_EL2::TDA::SET
        + MDCR_EL2::TDOSA::SET
        + MDCR_EL2::TDRA::SET
        + MDCR_EL2::TPMS::SET
        + MDCR_EL2::TTRF::SET;
    fields.value
}

/// CNTHCTL_EL2: the guest may use the physical counter and timer.
pub const CNTHCTL: u64 = CNTHCTL_EL2::EL1PCTEN::SET.value | CNTHCTL_EL2::EL1PCEN::SET.value;

/// MPAM2_EL2 (DDI 0598): TRAPMPAM0EL1 and TRAPMPAM1EL1, EL0's and EL1's accesses to their partitions trap.
pub const MPAM2: u64 = 0b11 << 48;

/// Returns VTTBR_EL2 for a guest with its root table at `root`. Its VMID is one more than its number, so that
/// 0 stays unused.
pub const fn vttbr(vm: VmId, root: Pa) -> u64 {
    (vmid(vm) as u64) << 48 | root.0
}

/// Returns the VMID of a guest: one more than its number, so that 0 stays unused.
pub const fn vmid(vm: VmId) -> u16 {
    vm.0 + 1
}
