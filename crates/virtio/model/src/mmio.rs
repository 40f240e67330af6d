// SPDX-License-Identifier: MIT OR Apache-2.0

//! A driver that sets a device up (Virtio 1.2, 3.1.1 and 4.2.3).

/// Offsets of registers (4.2.2).
#[allow(missing_docs)]
pub mod register {
    pub const MAGIC: u64 = 0x000;
    pub const VERSION: u64 = 0x004;
    pub const DEVICE_ID: u64 = 0x008;
    pub const DEVICE_FEATURES: u64 = 0x010;
    pub const DEVICE_FEATURES_SEL: u64 = 0x014;
    pub const DRIVER_FEATURES: u64 = 0x020;
    pub const DRIVER_FEATURES_SEL: u64 = 0x024;
    pub const QUEUE_SEL: u64 = 0x030;
    pub const QUEUE_NUM_MAX: u64 = 0x034;
    pub const QUEUE_NUM: u64 = 0x038;
    pub const QUEUE_READY: u64 = 0x044;
    pub const QUEUE_NOTIFY: u64 = 0x050;
    pub const INTERRUPT_STATUS: u64 = 0x060;
    pub const INTERRUPT_ACK: u64 = 0x064;
    pub const STATUS: u64 = 0x070;
    pub const QUEUE_DESC: u64 = 0x080;
    pub const QUEUE_DRIVER: u64 = 0x090;
    pub const QUEUE_DEVICE: u64 = 0x0a0;
    pub const GENERATION: u64 = 0x0fc;
    pub const CONFIG: u64 = 0x100;
}
use register::*;

/// A device's registers, as its guest reaches them.
pub trait Registers {
    /// Reads a word.
    fn read(&mut self, offset: u64) -> u32;
    /// Writes a word.
    fn write(&mut self, offset: u64, value: u32);
}

/// A queue that is to be set up: its size, and where its table and its rings are.
pub type Setup = (u16, [u64; 3]);

/// Resets a device and sets it up as Linux does, with those of its features that are in `wanted`.
///
/// # Errors
/// What the device didn't accept.
pub fn bring_up(
    registers: &mut dyn Registers,
    wanted: u64,
    queues: &[Setup],
) -> Result<u64, &'static str> {
    if registers.read(MAGIC) != 0x7472_6976 || registers.read(VERSION) != 2 {
        return Err("no device");
    }
    registers.write(STATUS, 0);
    registers.write(STATUS, 1);
    registers.write(STATUS, 3);
    let mut features = 0;
    for half in [1, 0] {
        registers.write(DEVICE_FEATURES_SEL, half);
        let offered = u64::from(registers.read(DEVICE_FEATURES)) << (32 * half);
        features |= offered & wanted;
        registers.write(DRIVER_FEATURES_SEL, half);
        registers.write(DRIVER_FEATURES, (features >> (32 * half)) as u32);
    }
    registers.write(STATUS, 0xb);
    if registers.read(STATUS) != 0xb {
        return Err("features");
    }
    for (number, &(size, places)) in queues.iter().enumerate() {
        registers.write(QUEUE_SEL, number as u32);
        if registers.read(QUEUE_READY) != 0 || registers.read(QUEUE_NUM_MAX) < size.into() {
            return Err("queue");
        }
        registers.write(QUEUE_NUM, size.into());
        for (offset, place) in [QUEUE_DESC, QUEUE_DRIVER, QUEUE_DEVICE]
            .into_iter()
            .zip(places)
        {
            registers.write(offset, place as u32);
            registers.write(offset + 4, (place >> 32) as u32);
        }
        registers.write(QUEUE_READY, 1);
    }
    registers.write(STATUS, 0xf);
    match registers.read(STATUS) {
        0xf => Ok(features),
        _ => Err("driver ok"),
    }
}
