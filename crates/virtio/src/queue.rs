// SPDX-License-Identifier: MIT OR Apache-2.0

//! The device's side of a split virtqueue (2.7).
//!
//! ```text
//! descriptors  16 bytes each: address, length (32), flags (16), next (16)
//! available    flags (16), index (16), entries (16 each), used_event (16)
//! used         flags (16), index (16), entries of id (32) and length (32), avail_event (16)
//! ```

use addr::Ipa;

use crate::chain::Chain;
use crate::memory::{Memory, NotRam};

/// Most descriptors of a queue.
pub const MAX_SIZE: u16 = 256;

/// Flag of the available ring: no interrupts. Of the used ring: no kicks.
const NO_NOTIFICATION: u16 = 1;
/// Bytes in front of the entries in both rings.
const HEADER: u64 = 4;

/// Where a queue is. Only [`Transport::queue`](crate::Transport::queue) and tests make one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Layout {
    /// Descriptors and entries of the rings: a power of two up to [`MAX_SIZE`].
    pub size: u16,
    /// The table of descriptors, at a multiple of 16.
    pub descriptors: Ipa,
    /// The ring that the driver writes, at a multiple of 2.
    pub available: Ipa,
    /// The ring that the device writes, at a multiple of 4.
    pub used: Ipa,
    /// The feature EVENT_IDX was chosen.
    pub event_idx: bool,
}

impl Layout {
    fn is_ram<M: Memory>(&self, memory: &M) -> bool {
        let size = u64::from(self.size);
        memory.is_ram(self.descriptors, size * 16)
            && memory.is_ram(self.available, HEADER + size * 2 + 2)
            && memory.is_ram(self.used, HEADER + size * 8 + 2)
    }

    fn available_index(&self) -> Ipa {
        behind(self.available, 2)
    }

    fn available_entry(&self, index: u16) -> Ipa {
        behind(self.available, HEADER + self.slot(index) * 2)
    }

    fn used_event(&self) -> Ipa {
        behind(self.available, HEADER + u64::from(self.size) * 2)
    }

    fn used_index(&self) -> Ipa {
        behind(self.used, 2)
    }

    fn used_entry(&self, index: u16) -> Ipa {
        behind(self.used, HEADER + self.slot(index) * 8)
    }

    fn avail_event(&self) -> Ipa {
        behind(self.used, HEADER + u64::from(self.size) * 8)
    }

    fn slot(&self, index: u16) -> u64 {
        (index & self.size.wrapping_sub(1)).into()
    }
}

/// An address that wraps ends up where no RAM is.
fn behind(base: Ipa, bytes: u64) -> Ipa {
    Ipa(base.0.wrapping_add(bytes))
}

/// What a driver has done wrong with a ring.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// A ring or a buffer is not in the guest's RAM.
    NotRam,
    /// A descriptor that the table doesn't have, or more available buffers than the queue holds.
    Index,
    /// A chain of more descriptors than there are.
    Loop,
    /// An indirect descriptor, which was not offered.
    Indirect,
    /// A buffer to write where the device reads, or the other way round.
    Direction,
    /// A buffer too small for what comes in any case.
    Short,
}

impl From<NotRam> for Fault {
    fn from(_: NotRam) -> Self {
        Self::NotRam
    }
}

/// The device's side of a queue. One that does not run has no buffers.
///
/// After a [`Fault`] it does not run any more.
#[derive(Clone, Debug, Default)]
pub struct Queue {
    layout: Option<Layout>,
    /// Buffers that were taken since the start, as the ring counts.
    taken: u16,
    /// How far the driver's index was when it was last read.
    available: u16,
    /// Buffers that were given back.
    used: u16,
    /// As many had been given back when the driver's wish for interrupts was last looked at.
    signaled: u16,
    /// The driver was told not to kick.
    is_quiet: bool,
}

impl Queue {
    /// Makes a queue that does not run.
    pub const fn new() -> Self {
        Self {
            layout: None,
            taken: 0,
            available: 0,
            used: 0,
            signaled: 0,
            is_quiet: false,
        }
    }

    /// Starts at the first entry of a queue of the guest's, or stops. Nothing of before is remembered.
    ///
    /// # Errors
    /// [`Fault::NotRam`] if the guest's RAM doesn't have all of it.
    pub fn set<M: Memory>(&mut self, memory: &M, layout: Option<Layout>) -> Result<(), Fault> {
        *self = Self::new();
        match layout {
            Some(layout) if !layout.is_ram(memory) => Err(Fault::NotRam),
            layout => {
                self.layout = layout;
                Ok(())
            }
        }
    }

    /// Stops.
    pub fn stop(&mut self) {
        *self = Self::new();
    }

    /// Tells whether all buffers are taken that the driver had when its index was last read.
    #[inline]
    pub fn is_drained(&self) -> bool {
        self.taken == self.available
    }

    /// Tells whether the queue runs.
    pub fn is_running(&self) -> bool {
        self.layout.is_some()
    }

    /// Reads the next available buffer into `chain`; false if there is none. Who has `enough` bytes needs no more of
    /// it.
    ///
    /// The buffer stays the driver's next one until [`Self::take`]: it may wait, and is read anew then.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn peek<M: Memory>(
        &mut self,
        memory: &M,
        chain: &mut Chain,
        enough: u64,
    ) -> Result<bool, Fault> {
        let found = self.look(memory, chain, enough);
        self.stop_if_wrong(found)
    }

    fn look<M: Memory>(
        &mut self,
        memory: &M,
        chain: &mut Chain,
        enough: u64,
    ) -> Result<bool, Fault> {
        let Some(layout) = self.layout else {
            return Ok(false);
        };
        if self.taken == self.available && !self.look_again(memory, &layout)? {
            return Ok(false);
        }
        let head = memory.load(layout.available_entry(self.taken))?;
        chain.walk(memory, (layout.descriptors, layout.size), head, enough)?;
        Ok(true)
    }

    /// Reads how far the driver is. Whether there is a buffer.
    fn look_again<M: Memory>(&mut self, memory: &M, layout: &Layout) -> Result<bool, Fault> {
        let available = memory.load(layout.available_index())?;
        if available.wrapping_sub(self.taken) > layout.size {
            return Err(Fault::Index);
        }
        self.available = available;
        Ok(available != self.taken)
    }

    /// Takes the buffer that [`Self::peek`] has found.
    pub fn take(&mut self) {
        if self.taken != self.available {
            self.taken = self.taken.wrapping_add(1);
        }
    }

    /// Gives a buffer back, of which the first `written` bytes were written, after all that was written to it.
    ///
    /// # Errors
    /// [`Fault::NotRam`].
    pub fn put<M: Memory>(&mut self, memory: &M, chain: &Chain, written: u32) -> Result<(), Fault> {
        let done = self.give_back(memory, chain.head(), written);
        self.stop_if_wrong(done)
    }

    fn give_back<M: Memory>(&mut self, memory: &M, head: u16, written: u32) -> Result<(), Fault> {
        let Some(layout) = self.layout else {
            return Ok(());
        };
        memory.write_halves(layout.used_entry(self.used), [head.into(), written])?;
        self.used = self.used.wrapping_add(1);
        memory.store(layout.used_index(), self.used)?;
        Ok(())
    }

    /// Tells whether the driver wants an interrupt for what was given back since this was last asked (2.7.7, 2.7.10).
    ///
    /// # Errors
    /// [`Fault::NotRam`].
    pub fn wants_interrupt<M: Memory>(&mut self, memory: &M) -> Result<bool, Fault> {
        let wants = self.interrupt_is_wanted(memory);
        self.stop_if_wrong(wants)
    }

    fn interrupt_is_wanted<M: Memory>(&mut self, memory: &M) -> Result<bool, Fault> {
        let Some(layout) = self.layout.filter(|_| self.used != self.signaled) else {
            return Ok(false);
        };
        memory.fence();
        let before = core::mem::replace(&mut self.signaled, self.used);
        if !layout.event_idx {
            return Ok(memory.load(layout.available)? & NO_NOTIFICATION == 0);
        }
        let event = memory.load(layout.used_event())?;
        let since_event = self.used.wrapping_sub(event).wrapping_sub(1);
        Ok(since_event < self.used.wrapping_sub(before))
    }

    /// Asks for a kick when the next buffer is available. True if one has been made available already, which nobody
    /// may kick for.
    ///
    /// # Errors
    /// What is wrong with the driver's index.
    pub fn ask_for_kick<M: Memory>(&mut self, memory: &M) -> Result<bool, Fault> {
        let found = self.listen(memory);
        self.stop_if_wrong(found)
    }

    fn listen<M: Memory>(&mut self, memory: &M) -> Result<bool, Fault> {
        let Some(layout) = self.layout else {
            return Ok(false);
        };
        if layout.event_idx {
            memory.store(layout.avail_event(), self.taken)?;
        } else if self.is_quiet {
            memory.store(layout.used, 0)?;
        } else {
            // It was asked for all the time.
            return Ok(self.taken != self.available);
        }
        self.is_quiet = false;
        memory.fence();
        self.look_again(memory, &layout)
    }

    /// Asks for no kicks, as somebody will look anyway. (With EVENT_IDX there are none until they are asked for, but
    /// for one each 65,536 buffers.)
    ///
    /// # Errors
    /// [`Fault::NotRam`].
    pub fn spare_kicks<M: Memory>(&mut self, memory: &M) -> Result<(), Fault> {
        let Some(layout) = self.layout.filter(|_| !self.is_quiet) else {
            return Ok(());
        };
        self.is_quiet = true;
        if layout.event_idx {
            return Ok(());
        }
        let done = memory.store(layout.used, NO_NOTIFICATION);
        self.stop_if_wrong(done.map_err(Fault::from))
    }

    fn stop_if_wrong<T>(&mut self, result: Result<T, Fault>) -> Result<T, Fault> {
        if result.is_err() {
            self.stop();
        }
        result
    }
}
