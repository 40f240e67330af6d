// SPDX-License-Identifier: MIT OR Apache-2.0

//! The Cadence UART of Xilinx' SoCs (UG1085, "UART Controller"; registers: UG1087, module "UART").

use tock_registers::interfaces::{ReadWriteable, Readable, Writeable};
use tock_registers::register_bitfields;

use crate::Driver;
use crate::frame::{Block, Register};

register_bitfields! {u32,
    /// Control_reg0.
    Control [
        TXDIS OFFSET(5) NUMBITS(1) [],
        TXEN OFFSET(4) NUMBITS(1) [],
        RXDIS OFFSET(3) NUMBITS(1) [],
        RXEN OFFSET(2) NUMBITS(1) [],
    ],
    /// Intrpt_en_reg0, Intrpt_dis_reg0 and Chnl_int_sts_reg0.
    Interrupts [
        /// The transmit FIFO has become empty.
        TEMPTY OFFSET(3) NUMBITS(1) [],
        /// The receive FIFO has reached its trigger level.
        RTRIG OFFSET(0) NUMBITS(1) [],
    ],
    /// Channel_sts_reg0.
    Status [
        TFUL OFFSET(4) NUMBITS(1) [],
        REMPTY OFFSET(1) NUMBITS(1) [],
    ],
    /// TX_RX_FIFO0.
    Fifo [
        FIFO OFFSET(0) NUMBITS(8) [],
    ],
}

const CONTROL: Register<Control::Register> = Register::new(0x00);
const INTERRUPT_ENABLE: Register<Interrupts::Register> = Register::new(0x08);
const INTERRUPT_DISABLE: Register<Interrupts::Register> = Register::new(0x0c);
/// Ones that are written clear.
const INTERRUPT_STATUS: Register<Interrupts::Register> = Register::new(0x14);
const RECEIVE_TIMEOUT: Register<()> = Register::new(0x1c);
const RECEIVE_TRIGGER: Register<()> = Register::new(0x20);
const STATUS: Register<Status::Register> = Register::new(0x2c);
const FIFO: Register<Fifo::Register> = Register::new(0x30);

/// A Cadence UART.
pub struct Cadence<'f>(Block<'f>);

impl<'f> Cadence<'f> {
    /// Turns both directions on, in case the firmware did not.
    pub fn new(block: Block<'f>) -> Self {
        let off = Control::RXDIS::CLEAR + Control::TXDIS::CLEAR;
        block
            .at(CONTROL)
            .modify(off + Control::RXEN::SET + Control::TXEN::SET);
        Self(block)
    }
}

impl Driver for Cadence<'_> {
    fn send(&self, byte: u8) -> bool {
        let room = !self.0.at(STATUS).is_set(Status::TFUL);
        if room {
            self.0.at(FIFO).write(Fifo::FIFO.val(byte.into()));
        }
        room
    }

    fn receive(&self) -> Option<u8> {
        // Cleared before the look: a byte that comes after the look raises it again.
        self.0.at(INTERRUPT_STATUS).write(Interrupts::RTRIG::SET);
        let waits = !self.0.at(STATUS).is_set(Status::REMPTY);
        waits.then(|| self.0.at(FIFO).read(Fifo::FIFO) as u8)
    }

    /// Turns all interrupts off, and makes every byte that arrives one, once they are on.
    fn prepare_interrupts(&self) -> bool {
        self.0.at(INTERRUPT_DISABLE).set(u32::MAX);
        self.0.at(RECEIVE_TIMEOUT).set(0);
        self.0.at(RECEIVE_TRIGGER).set(1);
        self.0.at(INTERRUPT_STATUS).set(u32::MAX);
        true
    }

    fn set_interrupts(&self, receive: bool, transmit: bool) {
        for (interrupt, on) in [
            (Interrupts::RTRIG::SET, receive),
            (Interrupts::TEMPTY::SET, transmit),
        ] {
            match on {
                true => self.0.at(INTERRUPT_ENABLE).write(interrupt),
                false => self.0.at(INTERRUPT_DISABLE).write(interrupt),
            }
        }
    }

    fn clear_transmit_interrupt(&self) {
        self.0.at(INTERRUPT_STATUS).write(Interrupts::TEMPTY::SET);
    }
}
