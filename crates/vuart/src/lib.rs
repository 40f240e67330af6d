// SPDX-License-Identifier: MIT OR Apache-2.0

//! An Arm PL011 UART (DDI 0183G, revision r1p5) as a guest sees it.
//!
//! The model has no line and no clock. A byte written is out at once, so the transmit FIFO is
//! always empty; a byte received waits in a FIFO as deep as the real one. The caller carries
//! bytes and the level of the combined interrupt (UARTINTR).
//!
//! A guest has no firmware under it that would set the UART up, and drivers rely on some:
//! Linux's `earlycon` and its `arm,sbsa-uart` driver never touch the control registers. So
//! [`Uart::reset`] leaves the state that firmware leaves: enabled, 8 bits, FIFOs on.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod fifo;
mod regs;
mod serial;

use fifo::Fifo;
use regs::*;
pub use serial::{Received, Serial};

/// What a register write did outside the UART.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub struct Effects {
    /// The byte to put on the line.
    pub tx: Option<u8>,
    /// The level of UARTINTR now.
    pub level: bool,
}

/// The receive FIFO has no room: keep the byte and offer it again once [`Uart::is_full`] says no.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Full;

/// The state of one PL011.
#[derive(Clone, Debug)]
pub struct Uart {
    rx: Fifo,
    /// A byte was dropped by a full FIFO and no read has told the guest yet (UARTDR bit 11).
    overrun: bool,
    rsr: u32,
    ilpr: u32,
    ibrd: u32,
    fbrd: u32,
    lcr_h: u32,
    cr: u32,
    ifls: u32,
    imsc: u32,
    ris: u32,
    dmacr: u32,
}

impl Default for Uart {
    fn default() -> Self {
        Self::new()
    }
}

impl Uart {
    /// Makes a UART as [`reset`](Self::reset) leaves it.
    pub const fn new() -> Self {
        Self {
            rx: Fifo::new(),
            overrun: false,
            rsr: 0,
            ilpr: 0,
            ibrd: 0,
            fbrd: 0,
            lcr_h: LCR_H_FEN | LCR_H_WLEN_8,
            cr: CR_UARTEN | CR_TXE | CR_RXE,
            ifls: IFLS_HALF,
            imsc: 0,
            ris: 0,
            dmacr: 0,
        }
    }

    /// Goes back to the state that a guest starts with; received bytes are forgotten and UARTINTR
    /// is low.
    pub fn reset(&mut self) {
        *self = Self::new();
    }

    /// Returns the level of UARTINTR: any interrupt raised and not masked (DDI 0183G, "UARTINTR").
    pub fn level(&self) -> bool {
        self.ris & self.imsc != 0
    }

    /// Tells whether [`receive`](Self::receive) would refuse a byte.
    pub fn is_full(&self) -> bool {
        self.rx.len() >= self.depth()
    }

    /// Takes a byte that arrives on the line, and returns the level of UARTINTR.
    ///
    /// A disabled receiver hears nothing: the byte is gone, as on the real line.
    ///
    /// # Errors
    /// [`Full`] if the FIFO has no room; nothing has changed then.
    pub fn receive(&mut self, byte: u8) -> Result<bool, Full> {
        if self.enabled(CR_RXE) {
            if self.is_full() {
                return Err(Full);
            }
            self.push(byte);
        }
        Ok(self.level())
    }

    /// Reads `size` bytes at `offset` in the frame: the value and the level of UARTINTR after it.
    ///
    /// Accesses that the UART does not have (wider than 32 bits, unaligned, unknown register)
    /// read zero.
    pub fn read(&mut self, offset: u64, size: u8) -> (u32, bool) {
        let value = match lane(offset, size) {
            // Only an access to the data byte itself takes it out of the FIFO.
            Some((DR, 0, mask)) => self.pop() & mask,
            Some((DR, ..)) | None => 0,
            Some((register, shift, mask)) => (self.register(register) >> shift) & mask,
        };
        (value, self.level())
    }

    /// Writes the low `size` bytes of `value` at `offset` in the frame.
    ///
    /// The bus has no byte strobes: a write narrower than its register clears the rest, and
    /// one that does not start at a register is ignored.
    pub fn write(&mut self, offset: u64, size: u8, value: u64) -> Effects {
        let tx = match lane(offset, size) {
            Some((DR, 0, _)) => self.transmit(value as u8),
            Some((register, 0, mask)) => {
                self.set_register(register, value as u32 & mask);
                None
            }
            _ => None,
        };
        Effects {
            tx,
            level: self.level(),
        }
    }

    fn register(&self, register: u64) -> u32 {
        match register {
            RSR_ECR => self.rsr,
            FR => self.flags(),
            ILPR => self.ilpr,
            IBRD => self.ibrd,
            FBRD => self.fbrd,
            LCR_H => self.lcr_h,
            CR => self.cr,
            IFLS => self.ifls,
            IMSC => self.imsc,
            RIS => self.ris,
            MIS => self.ris & self.imsc,
            DMACR => self.dmacr,
            ID_FIRST..=ID_LAST => ID[((register - ID_FIRST) / 4) as usize],
            _ => 0,
        }
    }

    fn set_register(&mut self, register: u64, value: u32) {
        match register {
            RSR_ECR => self.rsr = 0,
            ILPR => self.ilpr = value & 0xff,
            IBRD => self.ibrd = value & 0xffff,
            FBRD => self.fbrd = value & 0x3f,
            LCR_H => self.set_line_control(value & 0xff),
            CR => self.cr = value & CR_MASK,
            IFLS => self.ifls = value & 0x3f,
            IMSC => self.imsc = value & INT_ALL,
            ICR => self.ris &= !value,
            DMACR => self.dmacr = value & 0x7,
            _ => {}
        }
    }

    /// Sets UARTLCR_H. Turning the FIFOs on or off empties them.
    fn set_line_control(&mut self, value: u32) {
        if (self.lcr_h ^ value) & LCR_H_FEN != 0 {
            self.rx.clear();
            self.overrun = false;
            self.ris &= !(INT_RX | INT_RT);
        }
        self.lcr_h = value;
    }

    /// Returns UARTFR. The far end is always there and ready, and what is sent is gone at once.
    fn flags(&self) -> u32 {
        let rxfe = if self.rx.len() == 0 { FR_RXFE } else { 0 };
        let rxff = if self.is_full() { FR_RXFF } else { 0 };
        FR_CTS | FR_DSR | FR_DCD | FR_TXFE | rxfe | rxff
    }

    fn enabled(&self, direction: u32) -> bool {
        let wanted = CR_UARTEN | direction;
        self.cr & wanted == wanted
    }

    fn depth(&self) -> usize {
        if self.lcr_h & LCR_H_FEN != 0 {
            Fifo::DEPTH
        } else {
            1
        }
    }

    /// Returns the number of bytes at which the receive interrupt is raised (DDI 0183G 3.3.9).
    fn rx_trigger(&self) -> usize {
        if self.lcr_h & LCR_H_FEN == 0 {
            return 1;
        }
        match (self.ifls >> 3) & 0x7 {
            0 => Fifo::DEPTH / 8,
            1 => Fifo::DEPTH / 4,
            2 => Fifo::DEPTH / 2,
            3 => Fifo::DEPTH * 3 / 4,
            _ => Fifo::DEPTH * 7 / 8,
        }
    }

    /// Sends a byte: to the line, or to the own receiver in loopback.
    ///
    /// The FIFO that the byte passed through has drained below any trigger level again, which
    /// is what raises the transmit interrupt. Drivers that fill the FIFO and then unmask the
    /// interrupt to be called for more depend on it being raised by every write.
    fn transmit(&mut self, byte: u8) -> Option<u8> {
        if !self.enabled(CR_TXE) {
            return None;
        }
        self.ris |= INT_TX;
        if self.cr & CR_LBE == 0 {
            return Some(byte);
        }
        self.loop_back(byte);
        None
    }

    fn loop_back(&mut self, byte: u8) {
        if !self.enabled(CR_RXE) {
            return;
        }
        if self.is_full() {
            self.overrun = true;
            self.rsr |= RSR_OE;
            self.ris |= INT_OE;
        } else {
            self.push(byte);
        }
    }

    /// Takes a byte in. The next byte comes after more than the 32 bit periods that the receive
    /// timeout waits, for the line is as slow as whoever types: so the timeout is raised at once.
    fn push(&mut self, byte: u8) {
        self.rx.push(byte);
        self.ris |= INT_RT;
        if self.rx.len() >= self.rx_trigger() {
            self.ris |= INT_RX;
        }
    }

    /// Takes the oldest byte. The receive interrupt ends below the trigger level, the timeout
    /// when the FIFO is empty (DDI 0183G, "UARTRXINTR" and "UARTRTINTR"); bytes left behind raise the timeout
    /// again even if the guest had cleared it, so that none is ever forgotten.
    fn pop(&mut self) -> u32 {
        let Some(byte) = self.rx.pop() else { return 0 };
        if self.rx.len() < self.rx_trigger() {
            self.ris &= !INT_RX;
        }
        if self.rx.len() == 0 {
            self.ris &= !INT_RT;
        } else {
            self.ris |= INT_RT;
        }
        let error = if self.overrun { DR_OE } else { 0 };
        self.overrun = false;
        u32::from(byte) | error
    }
}
