// SPDX-License-Identifier: MIT OR Apache-2.0

//! The Cadence UART of Xilinx' SoCs (UG1085, "UART Controller"; registers: UG1087, module
//! "UART"), at the speed that the firmware set.

use tock_registers::interfaces::{ReadWriteable, Readable, Writeable};
use tock_registers::registers::{ReadOnly, ReadWrite, WriteOnly};
use tock_registers::{register_bitfields, register_structs};

use crate::arch::mmio;

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

register_structs! {
    /// The UART's registers.
    pub Registers {
        (0x00 => control: ReadWrite<u32, Control::Register>),
        (0x04 => _reserved0),
        (0x08 => interrupt_enable: WriteOnly<u32, Interrupts::Register>),
        (0x0c => interrupt_disable: WriteOnly<u32, Interrupts::Register>),
        (0x10 => _reserved1),
        /// Ones that are written clear.
        (0x14 => interrupt_status: ReadWrite<u32, Interrupts::Register>),
        (0x18 => _reserved2),
        (0x1c => receive_timeout: ReadWrite<u32>),
        (0x20 => receive_trigger: ReadWrite<u32>),
        (0x24 => _reserved3),
        (0x2c => status: ReadOnly<u32, Status::Register>),
        (0x30 => fifo: ReadWrite<u32, Fifo::Register>),
        (0x34 => @END),
    }
}

type Frame = mmio::Registers<Registers>;

/// A Cadence UART that EL2 owns.
#[derive(Clone, Copy)]
pub struct Cadence(Frame);

impl Cadence {
    /// Turns both directions on, in case the firmware did not.
    pub fn new(frame: Frame) -> Self {
        let off = Control::RXDIS::CLEAR + Control::TXDIS::CLEAR;
        frame
            .control
            .modify(off + Control::RXEN::SET + Control::TXEN::SET);
        Self(frame)
    }

    /// Sends a byte if there is room for it.
    pub fn send(&self, byte: u8) -> bool {
        let room = !self.0.status.is_set(Status::TFUL);
        if room {
            self.0.fifo.write(Fifo::FIFO.val(byte.into()));
        }
        room
    }

    /// Takes note of the transmit interrupt, which comes again when what is sent now is out.
    pub fn clear_transmit_interrupt(&self) {
        self.0.interrupt_status.write(Interrupts::TEMPTY::SET);
    }

    /// Returns the next received byte.
    pub fn receive(&self) -> Option<u8> {
        // Cleared before the look: a byte that comes after the look raises it again.
        self.0.interrupt_status.write(Interrupts::RTRIG::SET);
        (!self.0.status.is_set(Status::REMPTY)).then(|| self.0.fifo.read(Fifo::FIFO) as u8)
    }

    /// Makes every byte that arrives an interrupt, once they are on.
    pub fn prepare_interrupts(&self) {
        self.0.receive_timeout.set(0);
        self.0.receive_trigger.set(1);
        self.0.interrupt_status.set(u32::MAX);
    }

    /// Chooses whether bytes that arrive interrupt, and whether an empty transmit FIFO does.
    pub fn set_interrupts(&self, receive: bool, transmit: bool) {
        for (interrupt, on) in [
            (Interrupts::RTRIG::SET, receive),
            (Interrupts::TEMPTY::SET, transmit),
        ] {
            match on {
                true => self.0.interrupt_enable.write(interrupt),
                false => self.0.interrupt_disable.write(interrupt),
            }
        }
    }
}
