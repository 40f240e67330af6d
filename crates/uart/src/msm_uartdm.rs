// SPDX-License-Identifier: MIT OR Apache-2.0

//! Qualcomm's UARTDM 1.4, of SoCs before GENI (APQ8016E Technical Reference Manual, chapter "UART").

use tock_registers::interfaces::{ReadWriteable, Readable, Writeable};
use tock_registers::register_bitfields;

use crate::Driver;
use crate::frame::{Block, Register};

register_bitfields! {u32,
    /// UART_DM_SR.
    Status [
        TRANSMIT_EMPTY OFFSET(3) NUMBITS(1) [],
        RECEIVE_READY OFFSET(0) NUMBITS(1) [],
    ],
    /// UART_DM_CR: a command, in two parts, or a switch.
    Command [
        COMMAND OFFSET(4) NUMBITS(8) [
            ResetErrors = 0x03,
            ResetStale = 0x08,
            ResetTransmitReady = 0x30,
            EnableStale = 0x50
        ],
        TRANSMIT_ENABLE OFFSET(2) NUMBITS(1) [],
        RECEIVE_ENABLE OFFSET(0) NUMBITS(1) [],
    ],
    /// UART_DM_IMR and ISR.
    Interrupts [
        TRANSMIT_READY OFFSET(7) NUMBITS(1) [],
        /// The receive FIFO is above its watermark.
        RECEIVE_LEVEL OFFSET(4) NUMBITS(1) [],
        /// Something is in it, and no more comes.
        RECEIVE_STALE OFFSET(3) NUMBITS(1) [],
    ],
    /// UART_DM_DMEN.
    Modes [
        /// A word of the receive FIFO is a byte.
        RECEIVE_SINGLE OFFSET(5) NUMBITS(1) [],
    ],
}

const STATUS: Register<Status::Register> = Register::new(0x08);
const COMMAND: Register<Command::Register> = Register::new(0x10);
/// IMR where it is written, ISR where it is read.
const INTERRUPTS: Register<Interrupts::Register> = Register::new(0x14);
const RECEIVE_WATERMARK: Register<()> = Register::new(0x20);
/// How many bytes may arrive.
const RECEIVE_COUNT: Register<()> = Register::new(0x34);
const MODES: Register<Modes::Register> = Register::new(0x3c);
/// How many bytes will be sent.
const TRANSMIT_COUNT: Register<()> = Register::new(0x40);
/// TF and RF.
const FIFO: Register<()> = Register::new(0x70);

/// As many as the register takes: then what arrives is never too much.
const ANY_NUMBER: u32 = 0xff_ffff;

/// A UARTDM.
pub struct MsmUartdm<'f>(Block<'f>);

impl<'f> MsmUartdm<'f> {
    /// Turns both directions on, in case the firmware did not, and lets each byte that arrives be a word of its own.
    pub fn new(block: Block<'f>) -> Self {
        block
            .at(COMMAND)
            .write(Command::TRANSMIT_ENABLE::SET + Command::RECEIVE_ENABLE::SET);
        block.at(MODES).modify(Modes::RECEIVE_SINGLE::SET);
        block.at(RECEIVE_WATERMARK).set(0);
        let uart = Self(block);
        uart.expect_bytes();
        uart
    }

    /// Ends what told of bytes, and lets more arrive.
    fn expect_bytes(&self) {
        let command = self.0.at(COMMAND);
        command.write(Command::COMMAND::ResetErrors);
        command.write(Command::COMMAND::ResetStale);
        self.0.at(RECEIVE_COUNT).set(ANY_NUMBER);
        command.write(Command::COMMAND::EnableStale);
    }

    fn has_byte(&self) -> bool {
        self.0.at(STATUS).is_set(Status::RECEIVE_READY)
    }
}

impl Driver for MsmUartdm<'_> {
    fn send(&self, byte: u8) -> bool {
        let room = self.0.at(STATUS).is_set(Status::TRANSMIT_EMPTY)
            || self.0.at(INTERRUPTS).is_set(Interrupts::TRANSMIT_READY);
        if room {
            let ready = Command::COMMAND::ResetTransmitReady;
            self.0.at(COMMAND).write(ready);
            self.0.at(TRANSMIT_COUNT).set(1);
            // The count arrives before the byte.
            self.0.at(TRANSMIT_COUNT).get();
            self.0.at(FIFO).set(byte.into());
        }
        room
    }

    fn receive(&self) -> Option<u8> {
        if !self.has_byte() {
            self.expect_bytes();
        }
        self.has_byte().then(|| self.0.at(FIFO).get() as u8)
    }

    fn set_interrupts(&self, receive: bool, transmit: bool) {
        let receive = receive.into();
        self.0.at(INTERRUPTS).write(
            Interrupts::RECEIVE_LEVEL.val(receive)
                + Interrupts::RECEIVE_STALE.val(receive)
                + Interrupts::TRANSMIT_READY.val(transmit.into()),
        );
    }
}
