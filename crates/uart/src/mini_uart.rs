// SPDX-License-Identifier: MIT OR Apache-2.0

//! The Raspberry Pi's mini UART (BCM2711 ARM Peripherals, section 2.2).

use tock_registers::interfaces::{Readable, Writeable};
use tock_registers::register_bitfields;

use crate::Driver;
use crate::frame::{Block, Register};

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

// From AUX_MU_IO_REG on.
const DATA: Register<Data::Register> = Register::new(0x00);
const INTERRUPT_ENABLE: Register<InterruptEnable::Register> = Register::new(0x04);
const LINE_STATUS: Register<LineStatus::Register> = Register::new(0x14);
const CONTROL: Register<Control::Register> = Register::new(0x20);

/// A mini UART. The firmware has turned it on in AUX_ENABLES, which it shares with two SPI controllers.
pub struct MiniUart<'f>(Block<'f>);

impl<'f> MiniUart<'f> {
    /// Turns both directions on, in case the firmware did not.
    pub fn new(block: Block<'f>) -> Self {
        block
            .at(CONTROL)
            .write(Control::RECEIVER_ENABLE::SET + Control::TRANSMITTER_ENABLE::SET);
        Self(block)
    }
}

impl Driver for MiniUart<'_> {
    fn send(&self, byte: u8) -> bool {
        let room = self.0.at(LINE_STATUS).is_set(LineStatus::TRANSMITTER_READY);
        if room {
            self.0.at(DATA).write(Data::DATA.val(byte.into()));
        }
        room
    }

    fn receive(&self) -> Option<u8> {
        let waits = self.0.at(LINE_STATUS).is_set(LineStatus::DATA_READY);
        waits.then(|| self.0.at(DATA).read(Data::DATA) as u8)
    }

    fn set_interrupts(&self, receive: bool, transmit: bool) {
        self.0.at(INTERRUPT_ENABLE).write(
            InterruptEnable::REQUIRED::SET
                + InterruptEnable::RECEIVE.val(receive.into())
                + InterruptEnable::TRANSMIT.val(transmit.into()),
        );
    }
}
