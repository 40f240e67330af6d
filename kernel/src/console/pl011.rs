// SPDX-License-Identifier: MIT OR Apache-2.0

//! The board's PL011 (DDI 0183G), at the speed that the firmware set.

use tock_registers::interfaces::{ReadWriteable, Readable, Writeable};
use tock_registers::registers::{ReadOnly, ReadWrite, WriteOnly};
use tock_registers::{register_bitfields, register_structs};

use crate::arch::mmio;

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

register_structs! {
    /// The PL011's registers (3.2, "Summary of registers").
    pub Registers {
        (0x00 => data: ReadWrite<u32, Data::Register>),
        (0x04 => _reserved0),
        (0x18 => flags: ReadOnly<u32, Flags::Register>),
        (0x1c => _reserved1),
        (0x30 => control: ReadWrite<u32, Control::Register>),
        (0x34 => _reserved2),
        (0x38 => interrupt_mask: ReadWrite<u32, Interrupts::Register>),
        (0x3c => _reserved3),
        (0x44 => interrupt_clear: WriteOnly<u32, Interrupts::Register>),
        (0x48 => @END),
    }
}

type Frame = mmio::Registers<Registers>;

/// A PL011 that EL2 owns.
#[derive(Clone, Copy)]
pub struct Pl011(Frame);

impl Pl011 {
    /// Turns the UART on, in case the firmware did not.
    pub fn new(frame: Frame) -> Self {
        frame
            .control
            .modify(Control::UARTEN::SET + Control::TXE::SET + Control::RXE::SET);
        Self(frame)
    }

    /// Returns an SBSA generic UART (DEN0029, appendix B): the same without control registers, always on.
    pub fn sbsa(frame: Frame) -> Self {
        Self(frame)
    }

    /// Sends a byte if there is room for it.
    pub fn send(&self, byte: u8) -> bool {
        let room = !self.0.flags.is_set(Flags::TXFF);
        if room {
            self.0.data.write(Data::DATA.val(byte.into()));
        }
        room
    }

    /// Takes note of the transmit interrupt, which comes again when what is sent now is out.
    pub fn clear_transmit_interrupt(&self) {
        self.0.interrupt_clear.write(Interrupts::TRANSMIT::SET);
    }

    /// Returns the next received byte.
    pub fn receive(&self) -> Option<u8> {
        (!self.0.flags.is_set(Flags::RXFE)).then(|| self.0.data.read(Data::DATA) as u8)
    }

    /// Forgets interrupts from before.
    pub fn prepare_interrupts(&self) {
        self.0.interrupt_clear.write(Interrupts::ALL::SET);
    }

    /// Chooses whether bytes that arrive interrupt, and whether room in the transmit FIFO does.
    pub fn set_interrupts(&self, receive: bool, transmit: bool) {
        self.0.interrupt_mask.write(
            Interrupts::RECEIVE.val(receive.into())
                + Interrupts::RECEIVE_TIMEOUT.val(receive.into())
                + Interrupts::TRANSMIT.val(transmit.into()),
        );
    }
}
