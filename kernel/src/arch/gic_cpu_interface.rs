// SPDX-License-Identifier: MIT OR Apache-2.0

//! The physical CPU interface of a GICv3 on this core: ICC_* (IHI 0069H 12.2).
//!
//! By arm-gic where it has what EL2 needs. What it lacks is here, on the registers below it: EOImode
//! 1, in which an interrupt that went to a guest stays active until the guest ends it, and targets
//! of SGIs by range.

use arm_gic::{InterruptGroup, gicv3::GicCpuInterface};
use arm_sysregs::el1::{accessors::*, registers::*};

use super::barrier::{dsb, isb};
use super::registers::{ICC_AP1R0_EL1, ICC_AP1R1_EL1, ICC_AP1R2_EL1, ICC_AP1R3_EL1, Writeable};

/// Makes the GIC's system registers the interface of EL2 and of guests.
pub fn use_registers() {
    // Without Enable: ICC_SRE_EL1 traps, so no guest turns its system register interface off.
    GicCpuInterface::disable_legacy_interrupt_bypass_el2(true);
    GicCpuInterface::enable_system_register_el2(false);
    isb();
    GicCpuInterface::disable_legacy_interrupt_bypass_el1(true);
    GicCpuInterface::enable_system_register_el1();
    isb();
}

/// Sets the interface up: everything is let through, and EOI only drops the priority.
pub fn init() {
    clear_active_priorities();
    GicCpuInterface::set_priority_mask(0xff);
    write_icc_bpr1_el1(IccBpr1El1::empty());
    write_icc_ctlr_el1(IccCtlrEl1::EOIMODE);
    GicCpuInterface::enable_group1(true);
    isb();
}

/// Forgets what was being handled before EL2 came: its priority would keep all others away.
fn clear_active_priorities() {
    ICC_AP1R0_EL1.set(0);
    // PRIbits is one less than the bits of a priority; a register holds 32 of them.
    let bits = read_icc_ctlr_el1().pribits() + 1;
    if bits >= 6 {
        ICC_AP1R1_EL1.set(0);
    }
    if bits >= 7 {
        ICC_AP1R2_EL1.set(0);
        ICC_AP1R3_EL1.set(0);
    }
}

/// Acknowledges the most urgent pending interrupt, and returns its INTID.
pub fn acknowledge() -> Option<u32> {
    let intid = GicCpuInterface::get_and_acknowledge_interrupt(InterruptGroup::Group1);
    // It is no LDAR: what the sender wrote before could be read from before it.
    dsb();
    let intid = intid?;
    // 1020 to 1022 mean, as 1023 does, that there is none for EL2. INTIDs beyond are LPIs and the
    // extended ranges, which have to be ended like all others.
    Some(u32::from(intid)).filter(|intid| !matches!(intid, 1020..1024))
}

/// Drops the running priority; the interrupt stays active.
pub fn drop_priority(intid: u32) {
    write_icc_eoir1_el1(IccEoir1El1::from_bits_retain(intid.into()));
    // Before anything is deactivated or unmasked (IHI 0069H 4.1.1).
    isb();
}

/// Deactivates an interrupt whose priority was dropped.
pub fn deactivate(intid: u32) {
    write_icc_dir_el1(IccDirEl1::from_bits_retain(intid.into()));
}

/// Returns what [`send_sgi`] takes for the SGI `intid` to the core with these affinity fields of MPIDR_EL1.
pub fn sgi(intid: u32, affinity: u64) -> u64 {
    let target = 1 << (affinity & 0xf);
    let range = affinity >> 4 & 0xf;
    (affinity & 0xff_0000_0000) << 16
        | (affinity & 0xff_0000) << 16
        | range << 44
        | u64::from(intid) << 24
        | (affinity & 0xff00) << 8
        | target
}

/// Sends an [`sgi`]. What this core has written before is visible to the other one when it takes the SGI.
pub fn send_sgi(value: u64) {
    dsb();
    write_icc_sgi1r_el1(IccSgi1rEl1::from_bits_retain(value));
    isb();
}
