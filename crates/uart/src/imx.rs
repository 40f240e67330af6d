// SPDX-License-Identifier: MIT OR Apache-2.0

//! The UART of NXP's i.MX (IMX8MPRM, chapter "Universal Asynchronous Receiver/Transmitter").

use tock_registers::interfaces::{ReadWriteable, Readable, Writeable};
use tock_registers::register_bitfields;

use crate::Driver;
use crate::frame::{Block, Register};

register_bitfields! {u32,
    /// URXD and UTXD.
    Data [
        DATA OFFSET(0) NUMBITS(8) [],
    ],
    /// UCR1.
    Control1 [
        /// The transmit FIFO holds less than its trigger level.
        TRDYEN OFFSET(13) NUMBITS(1) [],
        IDEN OFFSET(12) NUMBITS(1) [],
        RRDYEN OFFSET(9) NUMBITS(1) [],
        TXMPTYEN OFFSET(6) NUMBITS(1) [],
        RTSDEN OFFSET(5) NUMBITS(1) [],
        UARTEN OFFSET(0) NUMBITS(1) [],
    ],
    /// UCR2.
    Control2 [
        TXEN OFFSET(2) NUMBITS(1) [],
        RXEN OFFSET(1) NUMBITS(1) [],
        /// A zero resets the UART.
        SRST OFFSET(0) NUMBITS(1) [],
    ],
    /// UCR4.
    Control4 [
        TCEN OFFSET(3) NUMBITS(1) [],
        BKEN OFFSET(2) NUMBITS(1) [],
        OREN OFFSET(1) NUMBITS(1) [],
        /// A byte waits.
        DREN OFFSET(0) NUMBITS(1) [],
    ],
    /// UTS.
    Test [
        RXEMPTY OFFSET(5) NUMBITS(1) [],
        TXFULL OFFSET(4) NUMBITS(1) [],
    ],
}

const RECEIVE: Register<Data::Register> = Register::new(0x00);
const TRANSMIT: Register<Data::Register> = Register::new(0x40);
const CONTROL_1: Register<Control1::Register> = Register::new(0x80);
const CONTROL_2: Register<Control2::Register> = Register::new(0x84);
const CONTROL_4: Register<Control4::Register> = Register::new(0x8c);
const TEST: Register<Test::Register> = Register::new(0xb4);

/// An i.MX UART.
pub struct Imx<'f>(Block<'f>);

impl<'f> Imx<'f> {
    /// Turns both directions on, in case the firmware did not.
    pub fn new(block: Block<'f>) -> Self {
        block.at(CONTROL_1).modify(Control1::UARTEN::SET);
        block
            .at(CONTROL_2)
            .modify(Control2::TXEN::SET + Control2::RXEN::SET + Control2::SRST::SET);
        Self(block)
    }
}

impl Driver for Imx<'_> {
    fn send(&self, byte: u8) -> bool {
        let room = !self.0.at(TEST).is_set(Test::TXFULL);
        if room {
            self.0.at(TRANSMIT).write(Data::DATA.val(byte.into()));
        }
        room
    }

    fn receive(&self) -> Option<u8> {
        let waits = !self.0.at(TEST).is_set(Test::RXEMPTY);
        waits.then(|| self.0.at(RECEIVE).read(Data::DATA) as u8)
    }

    /// Turns the interrupts off that [`Driver::set_interrupts`] does not know.
    fn prepare_interrupts(&self) -> bool {
        self.0.at(CONTROL_1).modify(
            Control1::IDEN::CLEAR
                + Control1::RRDYEN::CLEAR
                + Control1::TXMPTYEN::CLEAR
                + Control1::RTSDEN::CLEAR,
        );
        self.0
            .at(CONTROL_4)
            .modify(Control4::TCEN::CLEAR + Control4::BKEN::CLEAR + Control4::OREN::CLEAR);
        true
    }

    fn set_interrupts(&self, receive: bool, transmit: bool) {
        let (receive, transmit) = (receive.into(), transmit.into());
        self.0.at(CONTROL_4).modify(Control4::DREN.val(receive));
        self.0.at(CONTROL_1).modify(Control1::TRDYEN.val(transmit));
    }
}
