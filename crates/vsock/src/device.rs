// SPDX-License-Identifier: MIT OR Apache-2.0

//! The registers of a socket device.

use virtio::{Effect, Layout, Transport};

/// What virtio calls a socket device (5.10.1).
pub const DEVICE_ID: u32 = 19;
/// Number of the queue of what the guest receives (5.10.2).
pub const RECEIVE: usize = 0;
/// Number of the queue of what it sends.
pub const TRANSMIT: usize = 1;
/// Number of the queue of events.
pub const EVENT: usize = 2;

/// Feature: sockets of streams (5.10.3).
const F_STREAM: u64 = 1 << 0;

/// Registers of a socket device.
#[derive(Clone, Debug)]
pub struct Device {
    transport: Transport<3>,
    cid: u64,
}

impl Device {
    /// Makes a device with this address.
    pub const fn new(cid: u64) -> Self {
        Self {
            transport: Transport::new(DEVICE_ID, F_STREAM),
            cid,
        }
    }

    /// Goes back to the state that a guest starts with; its queues stop, too.
    pub fn reset(&mut self) {
        self.transport.reset();
    }

    /// Returns where a queue is, if it may run.
    pub fn queue(&self, queue: usize) -> Option<Layout> {
        self.transport.queue(queue)
    }

    /// Reads a register.
    pub fn read(&self, offset: u64, size: u8) -> u64 {
        self.transport.read(offset, size, &self.cid.to_le_bytes())
    }

    /// Writes a register.
    pub fn write(&mut self, offset: u64, size: u8, value: u64) -> Effect {
        self.transport.write(offset, size, value)
    }

    /// Returns the level of the interrupt.
    pub fn level(&self) -> bool {
        self.transport.level()
    }

    /// Interrupts the guest for buffers that were used. True if the level has risen.
    pub fn interrupt(&mut self) -> bool {
        self.transport.interrupt()
    }

    /// Gives up until the guest resets the device; its queues stop, too. True if the interrupt's level has risen.
    pub fn fail(&mut self) -> bool {
        self.transport.fail()
    }
}
