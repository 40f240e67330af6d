// SPDX-License-Identifier: MIT OR Apache-2.0

//! The UART of Samsung's Exynos since the S5PV210 (Exynos 4210 User's Manual, chapter "Universal Asynchronous Receiver and
//! Transmitter"), and of SoCs that were made of them.

use tock_registers::interfaces::{ReadWriteable, Readable, Writeable};
use tock_registers::register_bitfields;

use crate::Driver;
use crate::frame::{Block, Register};

register_bitfields! {u32,
    /// UCON.
    Control [
        /// Interrupts last as long as their reason.
        TRANSMIT_LEVEL OFFSET(9) NUMBITS(1) [],
        RECEIVE_LEVEL OFFSET(8) NUMBITS(1) [],
        /// What is below the trigger level interrupts, too, when no more comes.
        RECEIVE_TIMEOUT OFFSET(7) NUMBITS(1) [],
        TRANSMIT_MODE OFFSET(2) NUMBITS(2) [
            /// By interrupts or polling.
            Cpu = 1
        ],
        RECEIVE_MODE OFFSET(0) NUMBITS(2) [
            /// By interrupts or polling.
            Cpu = 1
        ],
    ],
    /// UFCON.
    FifoControl [
        ENABLE OFFSET(0) NUMBITS(1) [],
    ],
    /// UTRSTAT.
    Status [
        TRANSMIT_EMPTY OFFSET(1) NUMBITS(1) [],
        RECEIVE_READY OFFSET(0) NUMBITS(1) [],
    ],
    /// UFSTAT.
    FifoStatus [
        TRANSMIT_FULL OFFSET(24) NUMBITS(1) [],
        /// Full, and the count below.
        RECEIVE OFFSET(0) NUMBITS(9) [],
    ],
    /// UINTP, in which ones that are written clear, and UINTM, in which ones keep interrupts away.
    Interrupts [
        MODEM OFFSET(3) NUMBITS(1) [],
        TRANSMIT OFFSET(2) NUMBITS(1) [],
        ERROR OFFSET(1) NUMBITS(1) [],
        RECEIVE OFFSET(0) NUMBITS(1) [],
    ],
}

const CONTROL: Register<Control::Register> = Register::new(0x04);
const FIFO_CONTROL: Register<FifoControl::Register> = Register::new(0x08);
const STATUS: Register<Status::Register> = Register::new(0x10);
const FIFO_STATUS: Register<FifoStatus::Register> = Register::new(0x18);
const TRANSMIT: Register<()> = Register::new(0x20);
const RECEIVE: Register<()> = Register::new(0x24);
const PENDING: Register<Interrupts::Register> = Register::new(0x30);
const MASK: Register<Interrupts::Register> = Register::new(0x38);

/// A Samsung UART.
pub struct Samsung<'f> {
    block: Block<'f>,
    has_fifos: bool,
}

impl<'f> Samsung<'f> {
    /// Turns both directions on, in case the firmware did not, and looks whether it has turned the FIFOs on.
    pub fn new(block: Block<'f>) -> Self {
        block
            .at(CONTROL)
            .modify(Control::TRANSMIT_MODE::Cpu + Control::RECEIVE_MODE::Cpu);
        let has_fifos = block.at(FIFO_CONTROL).is_set(FifoControl::ENABLE);
        Self { block, has_fifos }
    }

    fn has_room(&self) -> bool {
        match self.has_fifos {
            true => !self.block.at(FIFO_STATUS).is_set(FifoStatus::TRANSMIT_FULL),
            false => self.block.at(STATUS).is_set(Status::TRANSMIT_EMPTY),
        }
    }

    fn has_byte(&self) -> bool {
        match self.has_fifos {
            true => self.block.at(FIFO_STATUS).read(FifoStatus::RECEIVE) > 0,
            false => self.block.at(STATUS).is_set(Status::RECEIVE_READY),
        }
    }
}

impl Driver for Samsung<'_> {
    fn send(&self, byte: u8) -> bool {
        let room = self.has_room();
        if room {
            self.block.at(TRANSMIT).set(byte.into());
        }
        room
    }

    fn receive(&self) -> Option<u8> {
        if !self.has_byte() {
            self.block
                .at(PENDING)
                .write(Interrupts::RECEIVE::SET + Interrupts::ERROR::SET);
        }
        self.has_byte().then(|| self.block.at(RECEIVE).get() as u8)
    }

    fn prepare_interrupts(&self) -> bool {
        self.block.at(CONTROL).modify(
            Control::TRANSMIT_LEVEL::SET
                + Control::RECEIVE_LEVEL::SET
                + Control::RECEIVE_TIMEOUT::SET,
        );
        true
    }

    fn set_interrupts(&self, receive: bool, transmit: bool) {
        self.block.at(MASK).write(
            Interrupts::MODEM::SET
                + Interrupts::ERROR::SET
                + Interrupts::RECEIVE.val((!receive).into())
                + Interrupts::TRANSMIT.val((!transmit).into()),
        );
    }

    fn clear_transmit_interrupt(&self) {
        self.block.at(PENDING).write(Interrupts::TRANSMIT::SET);
    }
}
