// SPDX-License-Identifier: MIT OR Apache-2.0

//! The LINFlexD of NXP's S32 as a UART (S32G2RM, chapter "LINFlexD"). In buffer mode there is room for one byte, and it
//! interrupts; in FIFO mode it does not, and the same flags mean full and empty.

use core::sync::atomic::{AtomicBool, Ordering};

use platform::AccessWidth;
use tock_registers::interfaces::{ReadWriteable, Readable, Writeable};
use tock_registers::register_bitfields;

use crate::Driver;
use crate::frame::{Block, Register};

register_bitfields! {u32,
    /// LINIER.
    Interrupts [
        DRIE OFFSET(2) NUMBITS(1) [],
        DTIE OFFSET(1) NUMBITS(1) [],
    ],
    /// UARTCR.
    Control [
        RFBM OFFSET(9) NUMBITS(1) [],
        TFBM OFFSET(8) NUMBITS(1) [],
        RXEN OFFSET(5) NUMBITS(1) [],
        TXEN OFFSET(4) NUMBITS(1) [],
    ],
    /// UARTSR. Ones that are written clear.
    Status [
        RMB OFFSET(9) NUMBITS(1) [],
        FEF OFFSET(8) NUMBITS(1) [],
        BOF OFFSET(7) NUMBITS(1) [],
        /// A byte was received, or the receive FIFO is empty.
        DRFRFE OFFSET(2) NUMBITS(1) [],
        /// A byte was sent, or the transmit FIFO is full.
        DTFTFF OFFSET(1) NUMBITS(1) [],
    ],
}

const INTERRUPTS: Register<Interrupts::Register> = Register::new(0x04);
const CONTROL: Register<Control::Register> = Register::new(0x10);
const STATUS: Register<Status::Register> = Register::new(0x14);
/// BDRL and BDRM.
const TRANSMIT: Register<()> = Register::of_width(0x38, AccessWidth::Byte);
const RECEIVE: Register<()> = Register::of_width(0x3c, AccessWidth::Byte);

/// A LINFlexD.
pub struct Linflex<'f> {
    block: Block<'f>,
    transmit_fifo: bool,
    receive_fifo: bool,
    /// The buffer's byte is on its way, or was when that was last looked at.
    sends: AtomicBool,
}

impl<'f> Linflex<'f> {
    /// Turns both directions on, in case the firmware did not, and looks which modes it has left them in.
    pub fn new(block: Block<'f>) -> Self {
        block
            .at(CONTROL)
            .modify(Control::RXEN::SET + Control::TXEN::SET);
        let control = block.at(CONTROL).extract();
        Self {
            block,
            transmit_fifo: control.is_set(Control::TFBM),
            receive_fifo: control.is_set(Control::RFBM),
            sends: AtomicBool::new(false),
        }
    }

    fn has_room(&self) -> bool {
        let flag = self.block.at(STATUS).is_set(Status::DTFTFF);
        if self.transmit_fifo {
            return !flag;
        }
        // One that the firmware's last byte left would else count as the end of our first.
        if flag {
            self.block.at(STATUS).write(Status::DTFTFF::SET);
            self.sends.store(false, Ordering::Relaxed);
        }
        !self.sends.load(Ordering::Relaxed)
    }
}

impl Driver for Linflex<'_> {
    fn send(&self, byte: u8) -> bool {
        let room = self.has_room();
        if room {
            self.sends.store(!self.transmit_fifo, Ordering::Relaxed);
            self.block.at(TRANSMIT).set(byte.into());
        }
        room
    }

    fn receive(&self) -> Option<u8> {
        let flag = self.block.at(STATUS).is_set(Status::DRFRFE);
        if flag == self.receive_fifo {
            return None;
        }
        let byte = self.block.at(RECEIVE).get() as u8;
        if !self.receive_fifo {
            let done = Status::RMB::SET + Status::DRFRFE::SET;
            let errors = Status::FEF::SET + Status::BOF::SET;
            self.block.at(STATUS).write(done + errors);
        }
        Some(byte)
    }

    fn prepare_interrupts(&self) -> bool {
        !self.transmit_fifo && !self.receive_fifo
    }

    fn set_interrupts(&self, receive: bool, transmit: bool) {
        self.block
            .at(INTERRUPTS)
            .write(Interrupts::DRIE.val(receive.into()) + Interrupts::DTIE.val(transmit.into()));
    }
}
