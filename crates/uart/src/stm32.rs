// SPDX-License-Identifier: MIT OR Apache-2.0

//! The USART of ST's STM32 since the H7 (RM0457, chapter "USART").

use tock_registers::interfaces::{ReadWriteable, Readable, Writeable};
use tock_registers::register_bitfields;

use crate::Driver;
use crate::frame::{Block, Register};

register_bitfields! {u32,
    /// USART_CR1.
    Control1 [
        /// RXFFIE and TXFEIE.
        FIFOS OFFSET(30) NUMBITS(2) [],
        /// EOBIE and RTOIE.
        TIMEOUTS OFFSET(26) NUMBITS(2) [],
        CMIE OFFSET(14) NUMBITS(1) [],
        PEIE OFFSET(8) NUMBITS(1) [],
        TXFNFIE OFFSET(7) NUMBITS(1) [],
        TCIE OFFSET(6) NUMBITS(1) [],
        RXFNEIE OFFSET(5) NUMBITS(1) [],
        IDLEIE OFFSET(4) NUMBITS(1) [],
        TE OFFSET(3) NUMBITS(1) [],
        RE OFFSET(2) NUMBITS(1) [],
        UE OFFSET(0) NUMBITS(1) [],
    ],
    /// USART_CR3.
    Control3 [
        RXFTIE OFFSET(28) NUMBITS(1) [],
        TXFTIE OFFSET(23) NUMBITS(1) [],
        EIE OFFSET(0) NUMBITS(1) [],
    ],
    /// USART_ISR.
    Status [
        TXFNF OFFSET(7) NUMBITS(1) [],
        RXFNE OFFSET(5) NUMBITS(1) [],
    ],
    /// USART_ICR.
    Clear [
        /// ORECF, NECF, FECF and PECF. An overrun interrupts as a byte does.
        ERRORS OFFSET(0) NUMBITS(4) [],
    ],
}

const CONTROL_1: Register<Control1::Register> = Register::new(0x00);
const CONTROL_3: Register<Control3::Register> = Register::new(0x08);
const STATUS: Register<Status::Register> = Register::new(0x1c);
const CLEAR: Register<Clear::Register> = Register::new(0x20);
const RECEIVE: Register<()> = Register::new(0x24);
const TRANSMIT: Register<()> = Register::new(0x28);

/// An STM32's USART.
pub struct Stm32<'f>(Block<'f>);

impl<'f> Stm32<'f> {
    /// Turns both directions on, in case the firmware did not.
    pub fn new(block: Block<'f>) -> Self {
        block
            .at(CONTROL_1)
            .modify(Control1::UE::SET + Control1::TE::SET + Control1::RE::SET);
        Self(block)
    }
}

impl Driver for Stm32<'_> {
    fn send(&self, byte: u8) -> bool {
        let room = self.0.at(STATUS).is_set(Status::TXFNF);
        if room {
            self.0.at(TRANSMIT).set(byte.into());
        }
        room
    }

    fn receive(&self) -> Option<u8> {
        let waits = self.0.at(STATUS).is_set(Status::RXFNE);
        if !waits {
            self.0.at(CLEAR).write(Clear::ERRORS::SET);
        }
        waits.then(|| self.0.at(RECEIVE).get() as u8)
    }

    /// Turns the interrupts off that [`Driver::set_interrupts`] does not know.
    fn prepare_interrupts(&self) -> bool {
        self.0.at(CONTROL_1).modify(
            Control1::FIFOS::CLEAR
                + Control1::TIMEOUTS::CLEAR
                + Control1::CMIE::CLEAR
                + Control1::PEIE::CLEAR
                + Control1::TCIE::CLEAR
                + Control1::IDLEIE::CLEAR,
        );
        self.0
            .at(CONTROL_3)
            .modify(Control3::RXFTIE::CLEAR + Control3::TXFTIE::CLEAR + Control3::EIE::CLEAR);
        true
    }

    fn set_interrupts(&self, receive: bool, transmit: bool) {
        self.0
            .at(CONTROL_1)
            .modify(Control1::RXFNEIE.val(receive.into()) + Control1::TXFNFIE.val(transmit.into()));
    }
}
