// SPDX-License-Identifier: MIT OR Apache-2.0

//! A port's receive side.

use virtio::{Chain, Cursor, Fault, Layout, Memory, Queue};

use crate::{ETHERNET, HEADER};

/// What has become of the frames for a port.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ReceiveCounters {
    /// Frames that the guest got.
    pub frames: u64,
    /// Bytes of those.
    pub bytes: u64,
    /// Frames lost because the guest had no buffer available.
    pub no_buffer: u64,
    /// Frames lost because the guest's next buffer was too small.
    pub too_small: u64,
    /// Frames lost because the guest's device was not set up, or had failed.
    pub down: u64,
}

/// A frame that is to be delivered.
pub(crate) struct Frame<'a, M> {
    /// Its Ethernet header, as it was when it was judged.
    pub header: &'a [u8; ETHERNET as usize],
    /// What follows, in the sender's RAM.
    pub rest: Cursor<'a>,
    /// Bytes, its header included.
    pub bytes: u32,
    /// The sender's RAM.
    pub memory: &'a M,
}

/// The queue of what a guest receives.
#[derive(Clone, Debug, Default)]
pub struct Receive {
    queue: Queue,
    counters: ReceiveCounters,
    /// The buffer at hand.
    chain: Chain,
}

impl Receive {
    /// Makes the receive side of a port whose guest has not set up its device.
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts or stops, as the device's registers say.
    ///
    /// # Errors
    /// What is wrong with it: the device fails.
    pub fn set<M: Memory>(&mut self, memory: &M, layout: Option<Layout>) -> Result<(), Fault> {
        self.queue.set(memory, layout)?;
        // New buffers are found when a frame comes: a kick for them would be a trap for nothing.
        self.queue.spare_kicks(memory)
    }

    /// Stops: nothing of the guest's RAM is used any more.
    pub fn stop(&mut self) {
        self.queue.stop();
    }

    /// Returns what was counted since the port was made.
    pub fn counters(&self) -> ReceiveCounters {
        self.counters
    }

    /// Delivers a frame, or counts why not. Whether the guest wants an interrupt for it.
    pub(crate) fn deliver<M: Memory>(
        &mut self,
        memory: &M,
        frame: Frame<'_, M>,
    ) -> Result<bool, Fault> {
        if !self.queue.is_running() {
            self.counters.down += 1;
            return Ok(false);
        }
        let result = self.try_deliver(memory, frame);
        if result.is_err() {
            self.queue.stop();
            self.counters.down += 1;
        }
        result
    }

    fn try_deliver<M: Memory>(
        &mut self,
        memory: &M,
        mut frame: Frame<'_, M>,
    ) -> Result<bool, Fault> {
        let needed = HEADER + frame.bytes;
        if !self.queue.peek(memory, &mut self.chain, needed.into())? {
            self.counters.no_buffer += 1;
            return Ok(false);
        }
        if self.chain.readable() > 0 {
            return Err(Fault::Direction);
        }
        if self.chain.writable() < needed.into() {
            self.counters.too_small += 1;
            return Ok(false);
        }
        self.queue.take();
        let mut to = self.chain.writer();
        to.write(memory, &start(frame.header))?;
        let rest = frame.bytes - ETHERNET;
        frame.rest.copy(frame.memory, (&mut to, memory), rest)?;
        self.queue.put(memory, &self.chain, needed)?;
        self.counters.frames += 1;
        self.counters.bytes += u64::from(frame.bytes);
        self.queue.wants_interrupt(memory)
    }
}

/// Returns what comes before a frame's contents: `struct virtio_net_hdr`, of one buffer, and the Ethernet header.
fn start(header: &[u8; ETHERNET as usize]) -> [u8; (HEADER + ETHERNET) as usize] {
    let mut bytes = [0; (HEADER + ETHERNET) as usize];
    let (virtio, ethernet) = bytes.split_at_mut(HEADER as usize);
    virtio[NUM_BUFFERS] = 1;
    ethernet.copy_from_slice(header);
    bytes
}

/// Where `struct virtio_net_hdr` has its num_buffers, a little-endian half word.
const NUM_BUFFERS: usize = 10;
