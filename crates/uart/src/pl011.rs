// SPDX-License-Identifier: MIT OR Apache-2.0

//! Arm's PL011 (DDI 0183G).

use tock_registers::interfaces::{ReadWriteable, Readable, Writeable};
use tock_registers::register_bitfields;

use crate::Driver;
use crate::frame::{Block, Register};

register_bitfields! {u32,
    /// UARTDR.
    Data [
        DATA OFFSET(0) NUMBITS(8) [],
    ],
    /// UARTFR.
    Flags [
        TXFF OFFSET(5) NUMBITS(1) [],
        RXFE OFFSET(4) NUMBITS(1) [],
    ],
    /// UARTCR.
    Control [
        RXE OFFSET(9) NUMBITS(1) [],
        TXE OFFSET(8) NUMBITS(1) [],
        UARTEN OFFSET(0) NUMBITS(1) [],
    ],
    /// UARTIMSC and UARTICR.
    Interrupts [
        ALL OFFSET(0) NUMBITS(11) [],
        RECEIVE_TIMEOUT OFFSET(6) NUMBITS(1) [],
        TRANSMIT OFFSET(5) NUMBITS(1) [],
        RECEIVE OFFSET(4) NUMBITS(1) [],
    ],
}

// 3.2, "Summary of registers".
const DATA: Register<Data::Register> = Register::new(0x00);
const FLAGS: Register<Flags::Register> = Register::new(0x18);
const CONTROL: Register<Control::Register> = Register::new(0x30);
const INTERRUPT_MASK: Register<Interrupts::Register> = Register::new(0x38);
const INTERRUPT_CLEAR: Register<Interrupts::Register> = Register::new(0x44);

/// A PL011.
pub struct Pl011<'f>(Block<'f>);

impl<'f> Pl011<'f> {
    /// Turns the UART on, in case the firmware did not.
    pub fn new(block: Block<'f>) -> Self {
        block
            .at(CONTROL)
            .modify(Control::UARTEN::SET + Control::TXE::SET + Control::RXE::SET);
        Self(block)
    }

    /// Returns an SBSA generic UART (DEN0029, appendix B): the same without control registers, always on.
    pub fn sbsa(block: Block<'f>) -> Self {
        Self(block)
    }
}

impl Driver for Pl011<'_> {
    fn send(&self, byte: u8) -> bool {
        let room = !self.0.at(FLAGS).is_set(Flags::TXFF);
        if room {
            self.0.at(DATA).write(Data::DATA.val(byte.into()));
        }
        room
    }

    fn receive(&self) -> Option<u8> {
        let waits = !self.0.at(FLAGS).is_set(Flags::RXFE);
        waits.then(|| self.0.at(DATA).read(Data::DATA) as u8)
    }

    fn prepare_interrupts(&self) -> bool {
        self.0.at(INTERRUPT_CLEAR).write(Interrupts::ALL::SET);
        true
    }

    fn set_interrupts(&self, receive: bool, transmit: bool) {
        self.0.at(INTERRUPT_MASK).write(
            Interrupts::RECEIVE.val(receive.into())
                + Interrupts::RECEIVE_TIMEOUT.val(receive.into())
                + Interrupts::TRANSMIT.val(transmit.into()),
        );
    }

    fn clear_transmit_interrupt(&self) {
        self.0.at(INTERRUPT_CLEAR).write(Interrupts::TRANSMIT::SET);
    }
}
