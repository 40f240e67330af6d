// SPDX-License-Identifier: MIT OR Apache-2.0

//! Which devices are whose: nothing is given twice.

use crate::devices::{Device, DeviceError};
use crate::interrupt::Interrupt;
use crate::smmu::Streams;
use addr::PaRange;
use arrayvec::ArrayVec;

/// Most runs of pages, most interrupts and most runs of streams that all guests can be given together.
const MAX_GIVEN: usize = 64;

/// What all guests have been given so far.
#[derive(Default)]
pub struct AssignedDevices {
    pages: ArrayVec<(usize, PaRange), MAX_GIVEN>,
    interrupts: ArrayVec<(usize, u32), MAX_GIVEN>,
    streams: ArrayVec<(usize, Streams), MAX_GIVEN>,
}

impl AssignedDevices {
    /// Gives `device` to the guest of number `guest`, which may have other devices in the same
    /// pages, with the same interrupt or behind the same stream of an SMMU. Returns those runs of its pages that the guest has not
    /// had before.
    pub fn give(
        &mut self,
        guest: usize,
        device: &Device<'_>,
    ) -> Result<ArrayVec<PaRange, MAX_GIVEN>, DeviceError> {
        for Interrupt { intid, .. } in &device.interrupts {
            self.give_interrupt(guest, *intid)?;
        }
        for streams in &device.streams {
            self.give_streams(guest, *streams)?;
        }
        let before = self.pages.len();
        for run in device.pages() {
            self.give_pages(guest, run)?;
        }
        let new = self.pages.iter().skip(before);
        Ok(new.map(|(_, pages)| *pages).collect())
    }

    fn give_interrupt(&mut self, guest: usize, intid: u32) -> Result<(), DeviceError> {
        match self.interrupts.iter().find(|(_, given)| *given == intid) {
            Some((owner, _)) if *owner == guest => Ok(()),
            Some((owner, _)) => Err(DeviceError::GivenInterrupt(*owner, intid)),
            None => push(&mut self.interrupts, (guest, intid), "interrupts"),
        }
    }

    fn give_streams(&mut self, guest: usize, run: Streams) -> Result<(), DeviceError> {
        let mut shared = self
            .streams
            .iter()
            .filter(|(_, given)| given.overlaps(&run));
        match shared.find(|(owner, _)| *owner != guest) {
            Some((owner, given)) => {
                Err(DeviceError::GivenStream(*owner, given.first.max(run.first)))
            }
            None => push(&mut self.streams, (guest, run), "runs of stream ids"),
        }
    }

    /// Adds what of `run` the guest does not have.
    fn give_pages(&mut self, guest: usize, run: PaRange) -> Result<(), DeviceError> {
        let mut start = run.start;
        while let Some(rest) = PaRange::new(start, run.end().0 - start.0) {
            let first = self
                .pages
                .iter()
                .filter(|(_, given)| given.overlaps(&rest))
                .min_by_key(|(_, given)| given.start);
            let (end, next) = match first {
                Some((owner, _)) if *owner != guest => {
                    return Err(DeviceError::Given(*owner));
                }
                Some((_, given)) => (given.start.max(start), given.end().min(run.end())),
                None => (rest.end(), rest.end()),
            };
            if let Some(piece) = PaRange::new(start, end.0 - start.0) {
                push(&mut self.pages, (guest, piece), "pages")?;
            }
            start = next;
        }
        Ok(())
    }
}

fn push<T, const N: usize>(
    list: &mut ArrayVec<T, N>,
    item: T,
    what: &'static str,
) -> Result<(), DeviceError> {
    list.try_push(item)
        .map_err(|_| DeviceError::TooMany(what, N))
}
