// SPDX-License-Identifier: MIT OR Apache-2.0

//! Which private interrupts (PPIs) EL2 handles: how they are wired is the board's affair, and most boards follow BSA.

use crate::interrupt::is_private;
use crate::{Board, BoardError, Gic, Timer};
use platform::{PHYSICAL_TIMER_INTID, VIRTUAL_TIMER_INTID};

/// The INTIDs of the private interrupts that EL2 handles: four different ones from 16 to 31.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ppis {
    /// The maintenance interrupt of the list registers.
    pub maintenance: u32,
    /// EL2's physical timer.
    pub hypervisor: u32,
    /// EL1's virtual timer, a guest's.
    pub virtual_: u32,
    /// EL1's physical timer, a guest's.
    pub physical: u32,
}

impl Board {
    /// Returns the private interrupts to be enabled on each core, bit n for INTID n: EL2's, and OP-TEE's if it is one.
    pub fn private_interrupts(&self) -> u32 {
        let own = self.ppis.all().map(|(_, intid)| intid);
        let optee = self.optee.and_then(|optee| optee.interrupt);
        let optee = optee.map(|interrupt| interrupt.intid);
        let private = own.into_iter().chain(optee.filter(|&id| is_private(id)));
        private.fold(0, |bits, intid| bits | 1 << intid)
    }
}

impl Ppis {
    /// Takes those of the GIC and of the timer, if each is a PPI and none has the number of another.
    pub(crate) fn of(gic: &Gic, timer: &Timer) -> Result<Self, BoardError> {
        let ppis = Self {
            maintenance: match gic {
                Gic::V2(gic) => gic.maintenance,
                Gic::V3(gic) => gic.maintenance,
            },
            hypervisor: timer.hypervisor,
            virtual_: timer.virtual_,
            physical: timer.physical,
        };
        let mut seen = 0_u32;
        for (what, intid) in ppis.all() {
            if !is_private(intid) || seen & 1 << intid != 0 {
                return Err(BoardError::Ppi(what, intid));
            }
            seen |= 1 << intid;
        }
        Ok(ppis)
    }

    fn all(&self) -> [(&'static str, u32); 4] {
        [
            ("virtual timer", self.virtual_),
            ("physical timer", self.physical),
            ("hypervisor timer", self.hypervisor),
            ("GIC's maintenance interrupt", self.maintenance),
        ]
    }

    /// Returns the guest's INTID of its timer whose interrupt is `intid` here: guests have BSA's.
    pub fn guests(&self, intid: u32) -> Option<u32> {
        match intid {
            _ if intid == self.virtual_ => Some(VIRTUAL_TIMER_INTID),
            _ if intid == self.physical => Some(PHYSICAL_TIMER_INTID),
            _ => None,
        }
    }
}
