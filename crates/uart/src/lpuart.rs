// SPDX-License-Identifier: MIT OR Apache-2.0

//! NXP's LPUART with registers of 32 bits (IMX8ULPRM and LS1028ARM, chapter "Low Power Universal Asynchronous
//! Receiver/Transmitter"). Layerscape's older ones are big-endian; i.MX has four registers more before these.

use tock_registers::interfaces::{ReadWriteable, Readable, Writeable};
use tock_registers::register_bitfields;

use crate::Driver;
use crate::frame::{Block, Register};

register_bitfields! {u32,
    /// STAT. Ones that are written clear the flags, but TDRE and RDRF.
    Status [
        /// The transmit FIFO is not above its watermark.
        TDRE OFFSET(23) NUMBITS(1) [],
        FLAGS OFFSET(14) NUMBITS(7) [
            /// IDLE, OR, NF, FE and PE: nothing arrives any more while OR is set.
            Receiver = 0b1111100
        ],
        /// LBKDIF and RXEDGIF.
        EDGES OFFSET(30) NUMBITS(2) [],
    ],
    /// CTRL.
    Control [
        /// ORIE, NEIE, FEIE and PEIE.
        ERRORS OFFSET(24) NUMBITS(4) [],
        TIE OFFSET(23) NUMBITS(1) [],
        TCIE OFFSET(22) NUMBITS(1) [],
        RIE OFFSET(21) NUMBITS(1) [],
        /// The line is idle: then what is below the watermark has arrived, too.
        ILIE OFFSET(20) NUMBITS(1) [],
        TE OFFSET(19) NUMBITS(1) [],
        RE OFFSET(18) NUMBITS(1) [],
        /// MA1IE and MA2IE.
        MATCHES OFFSET(14) NUMBITS(2) [],
    ],
    /// DATA.
    Data [
        DATA OFFSET(0) NUMBITS(8) [],
    ],
    /// FIFO.
    Fifo [
        /// TXOFE and RXUFE.
        ERRORS OFFSET(8) NUMBITS(2) [],
        TXFE OFFSET(7) NUMBITS(1) [],
        TXFIFOSIZE OFFSET(4) NUMBITS(3) [],
    ],
    /// WATER.
    Water [
        RXCOUNT OFFSET(24) NUMBITS(8) [],
        TXCOUNT OFFSET(8) NUMBITS(8) [],
    ],
}

const STATUS: Register<Status::Register> = Register::new(0x04);
const CONTROL: Register<Control::Register> = Register::new(0x08);
const DATA: Register<Data::Register> = Register::new(0x0c);
const FIFO: Register<Fifo::Register> = Register::new(0x18);
const WATER: Register<Water::Register> = Register::new(0x1c);

/// An LPUART.
pub struct Lpuart<'f> {
    block: Block<'f>,
    /// Bytes that its transmit FIFO holds, if that is on.
    depth: Option<u32>,
}

impl<'f> Lpuart<'f> {
    /// Turns both directions on, in case the firmware did not, and looks how deep it has left the transmit FIFO.
    pub fn new(block: Block<'f>) -> Self {
        block
            .at(CONTROL)
            .modify(Control::TE::SET + Control::RE::SET);
        let fifo = block.at(FIFO);
        let depth = match fifo.read(Fifo::TXFIFOSIZE) {
            0 => 1,
            size => 2 << size,
        };
        let depth = fifo.is_set(Fifo::TXFE).then_some(depth);
        Self { block, depth }
    }

    fn has_byte(&self) -> bool {
        self.block.at(WATER).read(Water::RXCOUNT) > 0
    }

    fn clear_flags(&self) {
        let clear = Status::FLAGS::Receiver + Status::EDGES::CLEAR;
        self.block.at(STATUS).modify(clear);
    }
}

impl Driver for Lpuart<'_> {
    fn send(&self, byte: u8) -> bool {
        let room = match self.depth {
            Some(depth) => self.block.at(WATER).read(Water::TXCOUNT) < depth,
            None => self.block.at(STATUS).is_set(Status::TDRE),
        };
        if room {
            self.block.at(DATA).write(Data::DATA.val(byte.into()));
        }
        room
    }

    fn receive(&self) -> Option<u8> {
        if !self.has_byte() {
            self.clear_flags();
        }
        self.has_byte()
            .then(|| self.block.at(DATA).read(Data::DATA) as u8)
    }

    /// Turns the interrupts off that [`Driver::set_interrupts`] does not know.
    fn prepare_interrupts(&self) -> bool {
        let others = Control::ERRORS::CLEAR + Control::TCIE::CLEAR + Control::MATCHES::CLEAR;
        self.block.at(CONTROL).modify(others);
        self.block.at(FIFO).modify(Fifo::ERRORS::CLEAR);
        true
    }

    fn set_interrupts(&self, receive: bool, transmit: bool) {
        self.block.at(CONTROL).modify(
            Control::RIE.val(receive.into())
                + Control::ILIE.val(receive.into())
                + Control::TIE.val(transmit.into()),
        );
    }
}
