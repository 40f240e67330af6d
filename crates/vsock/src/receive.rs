// SPDX-License-Identifier: MIT OR Apache-2.0

//! A device's receive side.

use virtio::{Chain, Cursor, Fault, Layout, Memory, Queue};

use crate::packet::{HEADER, Header, Op};

/// What became of a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Delivered {
    /// So many bytes of its data were delivered, the rest has to follow in another packet.
    Yes {
        /// Bytes of data.
        bytes: u32,
        /// The guest wants an interrupt.
        interrupt: bool,
    },
    /// It has to wait for a buffer.
    NoBuffer,
    /// There is nobody to take it.
    Down,
}

/// Data of a packet: in the RAM of the guest that sends it, or EL2's own.
pub(crate) enum Data<'a, M> {
    Guest(Cursor<'a>, &'a M),
    Own(&'a [u8]),
}

/// The queue of what a guest receives.
#[derive(Clone, Debug, Default)]
pub struct Receive {
    queue: Queue,
    /// The buffer at hand.
    chain: Chain,
    /// It has left a packet waiting too long, and has taken none since.
    is_stuck: bool,
}

impl Receive {
    /// Makes the receive side of a guest that has not set up its device.
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts or stops, as the device's registers say.
    ///
    /// # Errors
    /// What is wrong with it: the device fails.
    pub fn set<M: Memory>(&mut self, memory: &M, layout: Option<Layout>) -> Result<(), Fault> {
        self.is_stuck = false;
        self.queue.set(memory, layout)?;
        // As long as nobody waits for its buffers.
        self.queue.spare_kicks(memory)
    }

    /// Stops: nothing of the guest's RAM is used any more.
    pub fn stop(&mut self) {
        self.is_stuck = false;
        self.queue.stop();
    }

    /// Notes that a packet has waited too long.
    pub(crate) fn give_up(&mut self) {
        self.is_stuck = true;
    }

    /// Delivers a packet, or as much of its data as the next buffer holds.
    pub(crate) fn deliver<M: Memory>(
        &mut self,
        memory: &M,
        header: &Header,
        data: &mut Data<'_, M>,
    ) -> Result<Delivered, Fault> {
        let result = self.try_deliver(memory, header, data);
        if result.is_err() {
            self.stop();
        }
        result
    }

    fn try_deliver<M: Memory>(
        &mut self,
        memory: &M,
        header: &Header,
        data: &mut Data<'_, M>,
    ) -> Result<Delivered, Fault> {
        if !self.queue.is_running() {
            return Ok(Delivered::Down);
        }
        if !self.find_buffer(memory, header.len)? {
            return Ok(match self.is_stuck {
                true => Delivered::Down,
                false => Delivered::NoBuffer,
            });
        }
        self.is_stuck = false;
        let room = self.chain.writable().saturating_sub(HEADER as u64);
        let bytes = u64::from(header.len).min(room) as u32;
        let header = Header {
            len: bytes,
            ..*header
        };
        self.queue.take();
        let mut to = self.chain.writer();
        to.write(memory, &header.bytes())?;
        match data {
            Data::Guest(from, from_memory) => from.copy(*from_memory, (&mut to, memory), bytes)?,
            Data::Own(own) => {
                to.write(memory, own.get(..bytes as usize).ok_or(Fault::NotRam)?)?;
            }
        }
        self.queue.put(memory, &self.chain, HEADER as u32 + bytes)?;
        let interrupt = self.queue.wants_interrupt(memory)?;
        Ok(Delivered::Yes { bytes, interrupt })
    }

    /// Looks for a buffer. If there is none, the guest is to kick when it has one.
    fn find_buffer<M: Memory>(&mut self, memory: &M, data: u32) -> Result<bool, Fault> {
        let enough = HEADER as u64 + u64::from(data);
        let mut found = self.queue.peek(memory, &mut self.chain, enough)?;
        if !found && self.queue.ask_for_kick(memory)? {
            found = self.queue.peek(memory, &mut self.chain, enough)?;
        }
        if !found {
            return Ok(false);
        }
        self.queue.spare_kicks(memory)?;
        if self.chain.readable() > 0 {
            return Err(Fault::Direction);
        }
        // With data at least a byte of it: else it would never end.
        let least = HEADER as u64 + u64::from(data.min(1));
        match self.chain.writable() >= least {
            true => Ok(true),
            false => Err(Fault::Short),
        }
    }
}

impl Header {
    /// Tells whether nobody answers it: a reset is the last word.
    pub(crate) fn is_last(&self) -> bool {
        self.op == Op::Reset
    }
}
