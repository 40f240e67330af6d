// SPDX-License-Identifier: MIT OR Apache-2.0

//! The generic timer's node (Linux binding arm,arch_timer).

use crate::BoardError;
use crate::interrupt::Controller;
use crate::tree::NodeContext;

pub(crate) const COMPATIBLE: &[&str] = &["arm,armv8-timer"];

/// The generic timer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Timer {
    /// INTID of the non-secure EL1 physical timer.
    pub physical: u32,
    /// INTID of the EL1 virtual timer.
    pub virtual_: u32,
    /// INTID of the non-secure EL2 physical timer.
    pub hypervisor: u32,
    /// Hz, where the firmware left CNTFRQ_EL0 wrong; else the register is right.
    pub frequency: Option<u32>,
}

impl Timer {
    pub(crate) fn read(place: &NodeContext, gic: Controller) -> Result<Self, BoardError> {
        let ppi = |name, index| {
            let found = gic.named(place, name, index);
            found
                .map(|interrupt| interrupt.intid)
                .ok_or(BoardError::property(place.name(), "interrupts"))
        };
        Ok(Self {
            physical: ppi("phys", 1)?,
            virtual_: ppi("virt", 2)?,
            hypervisor: ppi("hyp-phys", 3)?,
            frequency: place.cell("clock-frequency"),
        })
    }
}
