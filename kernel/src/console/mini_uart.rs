// SPDX-License-Identifier: MIT OR Apache-2.0

//! The Raspberry Pi's mini UART (BCM2711 ARM Peripherals, section 2.2), at the speed that the
//! firmware set.

use tock_registers::interfaces::{Readable, Writeable};
use tock_registers::registers::{ReadOnly, ReadWrite};
use tock_registers::{register_bitfields, register_structs};

use crate::arch::mmio;

register_bitfields! {u32,
    /// AUX_MU_IO_REG.
    Data [
        DATA OFFSET(0) NUMBITS(8) [],
    ],
    /// AUX_MU_IER_REG.
    InterruptEnable [
        /// Called "don't care", yet nothing arrives without them (as the errata of the BCM2835's
        /// document say; that document also has the next two the wrong way round).
        REQUIRED OFFSET(2) NUMBITS(2) [],
        /// The transmit FIFO is empty.
        TRANSMIT OFFSET(1) NUMBITS(1) [],
        RECEIVE OFFSET(0) NUMBITS(1) [],
    ],
    /// AUX_MU_LSR_REG.
    LineStatus [
        TRANSMITTER_READY OFFSET(5) NUMBITS(1) [],
        DATA_READY OFFSET(0) NUMBITS(1) [],
    ],
    /// AUX_MU_CNTL_REG, in which zeros turn flow control off.
    Control [
        TRANSMITTER_ENABLE OFFSET(1) NUMBITS(1) [],
        RECEIVER_ENABLE OFFSET(0) NUMBITS(1) [],
    ],
}

register_structs! {
    /// The mini UART's registers, from AUX_MU_IO_REG on.
    pub Registers {
        (0x00 => data: ReadWrite<u32, Data::Register>),
        (0x04 => interrupt_enable: ReadWrite<u32, InterruptEnable::Register>),
        (0x08 => _reserved0),
        (0x14 => line_status: ReadOnly<u32, LineStatus::Register>),
        (0x18 => _reserved1),
        (0x20 => control: ReadWrite<u32, Control::Register>),
        (0x24 => @END),
    }
}

type Frame = mmio::Registers<Registers>;

/// A mini UART that EL2 owns. The firmware has turned it on in AUX_ENABLES, which it shares with
/// two SPI controllers.
#[derive(Clone, Copy)]
pub struct MiniUart(Frame);

impl MiniUart {
    /// Turns both directions on, in case the firmware did not.
    pub fn new(frame: Frame) -> Self {
        frame
            .control
            .write(Control::RECEIVER_ENABLE::SET + Control::TRANSMITTER_ENABLE::SET);
        Self(frame)
    }

    /// Sends a byte if there is room for it.
    pub fn send(&self, byte: u8) -> bool {
        let room = self.0.line_status.is_set(LineStatus::TRANSMITTER_READY);
        if room {
            self.0.data.write(Data::DATA.val(byte.into()));
        }
        room
    }

    /// Returns the next received byte.
    pub fn receive(&self) -> Option<u8> {
        self.0
            .line_status
            .is_set(LineStatus::DATA_READY)
            .then(|| self.0.data.read(Data::DATA) as u8)
    }

    /// Chooses whether received bytes that wait interrupt, and whether an empty transmit FIFO does;
    /// there is nothing to acknowledge.
    pub fn set_interrupts(&self, receive: bool, transmit: bool) {
        self.0.interrupt_enable.write(
            InterruptEnable::REQUIRED::SET
                + InterruptEnable::RECEIVE.val(receive.into())
                + InterruptEnable::TRANSMIT.val(transmit.into()),
        );
    }
}
