// SPDX-License-Identifier: MIT OR Apache-2.0

//! The UART of Amlogic's Meson (S905X data sheet, chapter "UART").

use tock_registers::interfaces::{ReadWriteable, Readable, Writeable};
use tock_registers::register_bitfields;

use crate::Driver;
use crate::frame::{Block, Register};

register_bitfields! {u32,
    /// UART_WFIFO and UART_RFIFO.
    Data [
        DATA OFFSET(0) NUMBITS(8) [],
    ],
    /// UART_CONTROL.
    Control [
        TRANSMIT_INTERRUPT OFFSET(28) NUMBITS(1) [],
        RECEIVE_INTERRUPT OFFSET(27) NUMBITS(1) [],
        RECEIVE_ENABLE OFFSET(13) NUMBITS(1) [],
        TRANSMIT_ENABLE OFFSET(12) NUMBITS(1) [],
    ],
    /// UART_STATUS.
    Status [
        TRANSMIT_FULL OFFSET(21) NUMBITS(1) [],
        RECEIVE_EMPTY OFFSET(20) NUMBITS(1) [],
    ],
    /// UART_MISC.
    Misc [
        /// Bytes below which the transmit FIFO interrupts whenever one leaves.
        TRANSMIT_LEVEL OFFSET(8) NUMBITS(8) [],
        /// Bytes from which on the receive FIFO interrupts.
        RECEIVE_LEVEL OFFSET(0) NUMBITS(8) [],
    ],
}

const TRANSMIT: Register<Data::Register> = Register::new(0x00);
const RECEIVE: Register<Data::Register> = Register::new(0x04);
const CONTROL: Register<Control::Register> = Register::new(0x08);
const STATUS: Register<Status::Register> = Register::new(0x0c);
const MISC: Register<Misc::Register> = Register::new(0x10);

/// Half of what the smallest FIFO holds.
const TRANSMIT_LEVEL: u32 = 32;

/// A Meson UART. Its interrupts are edges.
pub struct Meson<'f>(Block<'f>);

impl<'f> Meson<'f> {
    /// Turns both directions on, in case the firmware did not.
    pub fn new(block: Block<'f>) -> Self {
        block
            .at(CONTROL)
            .modify(Control::RECEIVE_ENABLE::SET + Control::TRANSMIT_ENABLE::SET);
        Self(block)
    }
}

impl Driver for Meson<'_> {
    fn send(&self, byte: u8) -> bool {
        let room = !self.0.at(STATUS).is_set(Status::TRANSMIT_FULL);
        if room {
            self.0.at(TRANSMIT).write(Data::DATA.val(byte.into()));
        }
        room
    }

    fn receive(&self) -> Option<u8> {
        let waits = !self.0.at(STATUS).is_set(Status::RECEIVE_EMPTY);
        waits.then(|| self.0.at(RECEIVE).read(Data::DATA) as u8)
    }

    fn prepare_interrupts(&self) -> bool {
        let levels = Misc::TRANSMIT_LEVEL.val(TRANSMIT_LEVEL) + Misc::RECEIVE_LEVEL.val(1);
        self.0.at(MISC).modify(levels);
        true
    }

    fn set_interrupts(&self, receive: bool, transmit: bool) {
        self.0.at(CONTROL).modify(
            Control::RECEIVE_INTERRUPT.val(receive.into())
                + Control::TRANSMIT_INTERRUPT.val(transmit.into()),
        );
    }
}
