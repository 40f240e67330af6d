// SPDX-License-Identifier: MIT OR Apache-2.0

//! What an SMMU has to say.

use addr::Pa;

use super::Smmu;
use crate::event;
use crate::registers::*;
use crate::{Event, GlobalErrors, Hardware};

impl<H: Hardware> Smmu<H> {
    /// Takes the oldest event, if there is one. A device makes them as fast as they are taken, so take a few at a time; the
    /// interrupt comes when the first one arrives in an empty queue (3.18), so come back for the rest.
    pub fn next_event(&mut self) -> Option<Event> {
        let produced = self.hardware.read32(EVENTQ_PROD);
        if self.events.pointer(produced ^ self.consumed) == 0 {
            return None;
        }
        self.hardware.barrier();
        let at = self.setup.events.0 + self.events.index(self.consumed) * event::SIZE;
        let record = core::array::from_fn(|word| self.hardware.load(Pa(at + word as u64 * 8)));
        // The record was read before the SMMU may write the next one there.
        self.hardware.barrier();
        let next = self.events.next(self.consumed);
        self.consume(self.consumed & OVERFLOW | next);
        Some(Event::decode(record))
    }

    /// Tells whether events were lost since this was asked: the queue was full (7.4). QEMU's SMMU calls that an abort of its
    /// write to the queue.
    pub fn overflowed(&mut self) -> bool {
        let is_aborted = self.take_errors(GERROR_EVENTQ) != 0;
        let flags = self.hardware.read32(EVENTQ_PROD) ^ self.consumed;
        if flags & OVERFLOW != 0 {
            self.consume(self.consumed ^ OVERFLOW);
        }
        is_aborted || flags & OVERFLOW != 0
    }

    /// Takes the errors that concern the whole SMMU, if there are any. A refused command is the business of the
    /// operation that gave it, and lost events are that of [`Self::overflowed`].
    pub fn errors(&mut self) -> Option<GlobalErrors> {
        let active = self.take_errors(!(GERROR_CMDQ | GERROR_EVENTQ));
        (active != 0).then_some(GlobalErrors(active))
    }

    /// Returns which of these errors are active, and acknowledges them.
    fn take_errors(&mut self, which: u32) -> u32 {
        let acknowledged = self.hardware.read32(GERRORN);
        let active = (self.hardware.read32(GERROR) ^ acknowledged) & which;
        if active != 0 {
            self.hardware.write32(GERRORN, acknowledged ^ active);
        }
        active
    }

    fn consume(&mut self, register: u32) {
        self.consumed = register;
        self.hardware.write32(EVENTQ_CONS, register);
    }
}
