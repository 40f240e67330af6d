// SPDX-License-Identifier: MIT OR Apache-2.0

//! The registers of a network device.

use virtio::{Effect, Layout, Transport};

use crate::Mac;

/// What virtio calls a network device (5.1.1).
pub const DEVICE_ID: u32 = 1;
/// Number of the queue of what the guest receives (5.1.2).
pub const RECEIVE: usize = 0;
/// Number of the queue of what it sends.
pub const TRANSMIT: usize = 1;

/// Features (5.1.3).
const F_MTU: u64 = 1 << 3;
const F_MAC: u64 = 1 << 5;
const F_STATUS: u64 = 1 << 16;

/// Bytes of `struct virtio_net_config` (5.1.4) up to the MTU.
const CONFIG: usize = 12;
const STATUS: usize = 6;
const MTU: usize = 10;
const LINK_UP: u8 = 1;

/// Registers of a network device.
#[derive(Clone, Debug)]
pub struct Device {
    transport: Transport<2>,
    config: [u8; CONFIG],
}

impl Device {
    /// Makes a device with this address, for frames of up to `mtu` bytes behind their Ethernet header. The link is
    /// up.
    pub fn new(mac: Mac, mtu: u16) -> Self {
        let mut config = [0; CONFIG];
        config[..STATUS].copy_from_slice(&mac.0);
        config[STATUS] = LINK_UP;
        config[MTU..].copy_from_slice(&mtu.to_le_bytes());
        Self {
            transport: Transport::new(DEVICE_ID, F_MTU | F_MAC | F_STATUS),
            config,
        }
    }

    /// Goes back to the state that a guest starts with; its queues stop, too.
    pub fn reset(&mut self) {
        self.transport.reset();
    }

    /// Returns where queue [`RECEIVE`] or [`TRANSMIT`] is, if it may run.
    pub fn queue(&self, queue: usize) -> Option<Layout> {
        self.transport.queue(queue)
    }

    /// Reads a register.
    pub fn read(&self, offset: u64, size: u8) -> u64 {
        self.transport.read(offset, size, &self.config)
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

    /// Says whether the link is up. True if the interrupt's level has risen.
    pub fn set_link(&mut self, is_up: bool) -> bool {
        let status = if is_up { LINK_UP } else { 0 };
        if self.config[STATUS] == status {
            return false;
        }
        self.config[STATUS] = status;
        self.transport.config_changed()
    }
}
