// SPDX-License-Identifier: MIT OR Apache-2.0

//! Renesas' SCIF and HSCIF (R-Car Series, 3rd Generation, User's Manual, chapters "SCIF" and "HSCIF"; RZ/G2L's, chapter
//! "SCIFA"). Registers have their numbers in order: R-Car has them four bytes apart, RZ two.

use platform::AccessWidth;
use tock_registers::interfaces::{ReadWriteable, Readable, Writeable};
use tock_registers::register_bitfields;

use crate::Driver;
use crate::frame::{Block, Register};

register_bitfields! {u32,
    /// SCSCR.
    Control [
        TIE OFFSET(7) NUMBITS(1) [],
        RIE OFFSET(6) NUMBITS(1) [],
        TE OFFSET(5) NUMBITS(1) [],
        RE OFFSET(4) NUMBITS(1) [],
        REIE OFFSET(3) NUMBITS(1) [],
        TOIE OFFSET(2) NUMBITS(1) [],
    ],
    /// SCFSR. A flag that was read as one is cleared by a zero.
    Status [
        ER OFFSET(7) NUMBITS(1) [],
        TEND OFFSET(6) NUMBITS(1) [],
        TDFE OFFSET(5) NUMBITS(1) [],
        BRK OFFSET(4) NUMBITS(1) [],
        RDF OFFSET(1) NUMBITS(1) [],
        DR OFFSET(0) NUMBITS(1) [],
    ],
    /// SCFDR: bytes in the FIFOs. SCIF's fields are narrower, with zeros beside.
    Counts [
        T OFFSET(8) NUMBITS(8) [],
        R OFFSET(0) NUMBITS(8) [],
    ],
    /// SCLSR.
    LineStatus [
        /// Nothing arrives any more while it is set.
        ORER OFFSET(0) NUMBITS(1) [],
    ],
}

const CONTROL: Register<Control::Register> = Register::new(2);
const TRANSMIT: Register<()> = Register::of_width(3, AccessWidth::Byte);
const STATUS: Register<Status::Register> = Register::new(4);
const RECEIVE: Register<()> = Register::of_width(5, AccessWidth::Byte);
const COUNTS: Register<Counts::Register> = Register::new(7);
const LINE_STATUS: Register<LineStatus::Register> = Register::new(9);

/// What SCIF's transmit FIFO holds; HSCIF's holds more.
const DEPTH: u32 = 16;

/// A SCIF or HSCIF.
pub struct Scif<'f>(Block<'f>);

impl<'f> Scif<'f> {
    /// Turns both directions on, in case the firmware did not.
    pub fn new(block: Block<'f>) -> Self {
        block
            .at(CONTROL)
            .modify(Control::TE::SET + Control::RE::SET);
        Self(block)
    }

    fn has_byte(&self) -> bool {
        self.0.at(COUNTS).read(Counts::R) > 0
    }

    fn clear_receive_flags(&self) {
        self.0.at(STATUS).modify(
            Status::ER::CLEAR + Status::BRK::CLEAR + Status::RDF::CLEAR + Status::DR::CLEAR,
        );
        if self.0.at(LINE_STATUS).is_set(LineStatus::ORER) {
            self.0.at(LINE_STATUS).modify(LineStatus::ORER::CLEAR);
        }
    }
}

impl Driver for Scif<'_> {
    fn send(&self, byte: u8) -> bool {
        let room = self.0.at(COUNTS).read(Counts::T) < DEPTH;
        if room {
            self.0.at(TRANSMIT).set(byte.into());
            let ready = Status::TDFE::CLEAR + Status::TEND::CLEAR;
            self.0.at(STATUS).modify(ready);
        }
        room
    }

    fn receive(&self) -> Option<u8> {
        if !self.has_byte() {
            self.clear_receive_flags();
        }
        self.has_byte().then(|| self.0.at(RECEIVE).get() as u8)
    }

    /// Turns the interrupts off that [`Driver::set_interrupts`] does not know. RZ has a line for each reason, more than a
    /// console's one interrupt.
    fn prepare_interrupts(&self) -> bool {
        let others = Control::REIE::CLEAR + Control::TOIE::CLEAR;
        self.0.at(CONTROL).modify(others);
        self.0.layout.shift == 2
    }

    fn set_interrupts(&self, receive: bool, transmit: bool) {
        self.0
            .at(CONTROL)
            .modify(Control::RIE.val(receive.into()) + Control::TIE.val(transmit.into()));
    }
}
