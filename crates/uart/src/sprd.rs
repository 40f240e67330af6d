// SPDX-License-Identifier: MIT OR Apache-2.0

//! The UART of Spreadtrum's and Unisoc's SoCs (Linux: drivers/tty/serial/sprd_serial.c has its registers).

use tock_registers::interfaces::{ReadWriteable, Readable, Writeable};
use tock_registers::register_bitfields;

use crate::Driver;
use crate::frame::{Block, Register};

register_bitfields! {u32,
    /// STS1: bytes in the FIFOs.
    Counts [
        TRANSMIT OFFSET(8) NUMBITS(8) [],
        RECEIVE OFFSET(0) NUMBITS(8) [],
    ],
    /// IEN and ICLR.
    Interrupts [
        /// Bytes wait, fewer than the threshold, and none comes.
        TIMEOUT OFFSET(13) NUMBITS(1) [],
        TRANSMIT OFFSET(1) NUMBITS(1) [],
        RECEIVE OFFSET(0) NUMBITS(1) [],
    ],
    /// CTL2.
    Thresholds [
        TRANSMIT OFFSET(8) NUMBITS(7) [],
        RECEIVE OFFSET(0) NUMBITS(7) [],
    ],
}

const TRANSMIT: Register<()> = Register::new(0x00);
const RECEIVE: Register<()> = Register::new(0x04);
const COUNTS: Register<Counts::Register> = Register::new(0x0c);
const INTERRUPT_ENABLE: Register<Interrupts::Register> = Register::new(0x10);
const INTERRUPT_CLEAR: Register<Interrupts::Register> = Register::new(0x14);
const THRESHOLDS: Register<Thresholds::Register> = Register::new(0x20);

/// What the transmit FIFO holds.
const DEPTH: u32 = 128;

/// A Spreadtrum UART.
pub struct Sprd<'f>(pub Block<'f>);

impl Sprd<'_> {
    fn has_byte(&self) -> bool {
        self.0.at(COUNTS).read(Counts::RECEIVE) > 0
    }
}

impl Driver for Sprd<'_> {
    fn send(&self, byte: u8) -> bool {
        let room = self.0.at(COUNTS).read(Counts::TRANSMIT) < DEPTH;
        if room {
            self.0.at(TRANSMIT).set(byte.into());
        }
        room
    }

    fn receive(&self) -> Option<u8> {
        if !self.has_byte() {
            self.0.at(INTERRUPT_CLEAR).write(Interrupts::TIMEOUT::SET);
        }
        self.has_byte().then(|| self.0.at(RECEIVE).get() as u8)
    }

    fn prepare_interrupts(&self) -> bool {
        let levels = Thresholds::TRANSMIT.val(DEPTH / 2) + Thresholds::RECEIVE.val(1);
        self.0.at(THRESHOLDS).modify(levels);
        self.0.at(INTERRUPT_CLEAR).set(u32::MAX);
        true
    }

    fn set_interrupts(&self, receive: bool, transmit: bool) {
        self.0.at(INTERRUPT_ENABLE).write(
            Interrupts::RECEIVE.val(receive.into())
                + Interrupts::TIMEOUT.val(receive.into())
                + Interrupts::TRANSMIT.val(transmit.into()),
        );
    }

    fn clear_transmit_interrupt(&self) {
        self.0.at(INTERRUPT_CLEAR).write(Interrupts::TRANSMIT::SET);
    }
}
