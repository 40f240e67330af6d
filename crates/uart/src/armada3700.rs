// SPDX-License-Identifier: MIT OR Apache-2.0

//! The first UART of Marvell's Armada 3700 (Functional Specifications, "UART").

use tock_registers::interfaces::{ReadWriteable, Readable, Writeable};
use tock_registers::register_bitfields;

use crate::Driver;
use crate::frame::{Block, Register};

register_bitfields! {u32,
    /// UART1_CTRL.
    Control [
        TRANSMIT_INTERRUPT OFFSET(5) NUMBITS(1) [],
        RECEIVE_INTERRUPT OFFSET(4) NUMBITS(1) [],
        /// Interrupts of breaks and errors.
        ERRORS OFFSET(0) NUMBITS(4) [],
    ],
    /// UART1_STATUS.
    Status [
        TRANSMIT_FULL OFFSET(11) NUMBITS(1) [],
        RECEIVE_READY OFFSET(4) NUMBITS(1) [],
    ],
}

const RECEIVE: Register<()> = Register::new(0x00);
const TRANSMIT: Register<()> = Register::new(0x04);
const CONTROL: Register<Control::Register> = Register::new(0x08);
const STATUS: Register<Status::Register> = Register::new(0x0c);

/// An Armada 3700's UART.
pub struct Armada3700<'f>(pub Block<'f>);

impl Driver for Armada3700<'_> {
    fn send(&self, byte: u8) -> bool {
        let room = !self.0.at(STATUS).is_set(Status::TRANSMIT_FULL);
        if room {
            self.0.at(TRANSMIT).set(byte.into());
        }
        room
    }

    fn receive(&self) -> Option<u8> {
        let waits = self.0.at(STATUS).is_set(Status::RECEIVE_READY);
        waits.then(|| self.0.at(RECEIVE).get() as u8)
    }

    fn prepare_interrupts(&self) -> bool {
        self.0.at(CONTROL).modify(Control::ERRORS::CLEAR);
        true
    }

    fn set_interrupts(&self, receive: bool, transmit: bool) {
        self.0.at(CONTROL).modify(
            Control::RECEIVE_INTERRUPT.val(receive.into())
                + Control::TRANSMIT_INTERRUPT.val(transmit.into()),
        );
    }
}
