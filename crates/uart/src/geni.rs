// SPDX-License-Identifier: MIT OR Apache-2.0

//! The UART that Qualcomm's GENI serial engine is with the firmware for it (Linux: include/linux/soc/qcom/geni-se.h).
//!
//! The main sequencer sends what a command gives it, here a byte each; the secondary one receives while its command lasts.

use core::sync::atomic::{AtomicU8, AtomicU32, Ordering};

use tock_registers::interfaces::{ReadWriteable, Readable, Writeable};
use tock_registers::register_bitfields;

use crate::Driver;
use crate::frame::{Block, Register};

register_bitfields! {u32,
    /// SE_GENI_STATUS.
    Status [
        SECONDARY_ACTIVE OFFSET(12) NUMBITS(1) [],
        MAIN_ACTIVE OFFSET(0) NUMBITS(1) [],
    ],
    /// SE_GENI_RX_PACKING_CFG0 and 1: two bytes' places in a word of the FIFO each.
    Packing [
        STOPS_AT_SECOND OFFSET(10) NUMBITS(1) [],
        STOPS_AT_FIRST OFFSET(0) NUMBITS(1) [],
    ],
    /// SE_GENI_M_CMD0 and S_CMD0.
    Command [
        OPCODE OFFSET(27) NUMBITS(5) [
            /// UART_START_TX or UART_START_READ.
            Start = 1
        ],
    ],
    /// The main and the secondary sequencer's interrupts.
    Interrupts [
        RECEIVE_LAST OFFSET(27) NUMBITS(1) [],
        RECEIVE_WATERMARK OFFSET(26) NUMBITS(1) [],
        COMMAND_DONE OFFSET(0) NUMBITS(1) [],
    ],
    /// SE_GENI_DMA_MODE_EN.
    Dma [
        GENI_DMA_MODE_EN OFFSET(0) NUMBITS(1) [],
    ],
    /// SE_IRQ_EN: whose interrupts leave the engine.
    Gate [
        GENI_S_IRQ_EN OFFSET(3) NUMBITS(1) [],
        GENI_M_IRQ_EN OFFSET(2) NUMBITS(1) [],
    ],
    /// SE_GENI_RX_FIFO_STATUS.
    Received [
        IS_LAST_PARTIAL OFFSET(31) NUMBITS(1) [],
        BYTES_OF_LAST OFFSET(28) NUMBITS(3) [],
        WORDS OFFSET(0) NUMBITS(25) [],
    ],
}

const STATUS: Register<Status::Register> = Register::new(0x040);
const DMA: Register<Dma::Register> = Register::new(0x258);
const TRANSMIT_LENGTH: Register<()> = Register::new(0x270);
const PACKING_0: Register<Packing::Register> = Register::new(0x284);
const PACKING_1: Register<Packing::Register> = Register::new(0x288);
const MAIN_COMMAND: Register<Command::Register> = Register::new(0x600);
const MAIN_ENABLE: Register<Interrupts::Register> = Register::new(0x614);
const MAIN_CLEAR: Register<Interrupts::Register> = Register::new(0x618);
const SECONDARY_COMMAND: Register<Command::Register> = Register::new(0x630);
const SECONDARY_ENABLE: Register<Interrupts::Register> = Register::new(0x644);
const SECONDARY_CLEAR: Register<Interrupts::Register> = Register::new(0x648);
const TRANSMIT: Register<()> = Register::new(0x700);
const RECEIVE: Register<()> = Register::new(0x780);
const RECEIVED: Register<Received::Register> = Register::new(0x804);
/// SE_GSI_EVENT_EN: what goes to the DMA engine instead.
const EVENTS: Register<()> = Register::new(0xe18);
const GATE: Register<Gate::Register> = Register::new(0xe1c);

/// A GENI UART.
pub struct Geni<'f> {
    block: Block<'f>,
    /// Bytes that a word of the receive FIFO has.
    bytes_per_word: u8,
    /// What was read and not yet asked for, the next byte lowest, and how many bytes that is.
    word: AtomicU32,
    left: AtomicU8,
}

impl<'f> Geni<'f> {
    /// Starts receiving, unless the firmware has left it on.
    pub fn new(block: Block<'f>) -> Self {
        if !block.at(STATUS).is_set(Status::SECONDARY_ACTIVE) {
            block.at(SECONDARY_COMMAND).write(Command::OPCODE::Start);
        }
        let (low, high) = (block.at(PACKING_0), block.at(PACKING_1));
        let bytes_per_word = match () {
            () if low.is_set(Packing::STOPS_AT_FIRST) => 1,
            () if low.is_set(Packing::STOPS_AT_SECOND) => 2,
            () if high.is_set(Packing::STOPS_AT_FIRST) => 3,
            () => 4,
        };
        Self {
            block,
            bytes_per_word,
            word: AtomicU32::new(0),
            left: AtomicU8::new(0),
        }
    }

    /// Takes a word out of the receive FIFO, if there is one.
    fn take_word(&self) {
        let status = self.block.at(RECEIVED).extract();
        let is_partial = status.is_set(Received::IS_LAST_PARTIAL);
        let bytes = match (
            status.read(Received::WORDS),
            status.read(Received::BYTES_OF_LAST),
        ) {
            (0, _) => return,
            (1, bytes @ 1..=3) if is_partial => bytes as u8,
            _ => self.bytes_per_word,
        };
        let word = self.block.at(RECEIVE).get();
        self.word.store(word, Ordering::Relaxed);
        self.left.store(bytes, Ordering::Relaxed);
    }
}

impl Driver for Geni<'_> {
    fn send(&self, byte: u8) -> bool {
        let room = !self.block.at(STATUS).is_set(Status::MAIN_ACTIVE);
        if room {
            self.block.at(TRANSMIT_LENGTH).set(1);
            self.block.at(MAIN_COMMAND).write(Command::OPCODE::Start);
            self.block.at(TRANSMIT).set(byte.into());
        }
        room
    }

    fn receive(&self) -> Option<u8> {
        if self.left.load(Ordering::Relaxed) == 0 {
            // Cleared before the look: what comes after the look raises them again.
            let told = Interrupts::RECEIVE_LAST::SET + Interrupts::RECEIVE_WATERMARK::SET;
            self.block.at(SECONDARY_CLEAR).write(told);
            self.block.at(MAIN_CLEAR).write(told);
            self.take_word();
        }
        let left = self.left.load(Ordering::Relaxed).checked_sub(1)?;
        let word = self.word.load(Ordering::Relaxed);
        self.left.store(left, Ordering::Relaxed);
        self.word.store(word >> 8, Ordering::Relaxed);
        Some(word as u8)
    }

    /// Lets both sequencers' interrupts out: firmware that only polls leaves them shut in.
    fn prepare_interrupts(&self) -> bool {
        self.block.at(EVENTS).set(0);
        self.block.at(DMA).modify(Dma::GENI_DMA_MODE_EN::CLEAR);
        self.block
            .at(GATE)
            .write(Gate::GENI_S_IRQ_EN::SET + Gate::GENI_M_IRQ_EN::SET);
        self.block.at(SECONDARY_CLEAR).set(u32::MAX);
        self.block.at(MAIN_CLEAR).set(u32::MAX);
        true
    }

    fn set_interrupts(&self, receive: bool, transmit: bool) {
        let receive = Interrupts::RECEIVE_LAST.val(receive.into())
            + Interrupts::RECEIVE_WATERMARK.val(receive.into());
        self.block.at(SECONDARY_ENABLE).write(receive);
        self.block
            .at(MAIN_ENABLE)
            .write(receive + Interrupts::COMMAND_DONE.val(transmit.into()));
    }

    fn clear_transmit_interrupt(&self) {
        self.block
            .at(MAIN_CLEAR)
            .write(Interrupts::COMMAND_DONE::SET);
    }
}
