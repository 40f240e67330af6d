// SPDX-License-Identifier: MIT OR Apache-2.0

//! Drivers of the UARTs that a board's console may be.
//!
//! The firmware has set the line up and used it: no driver touches speed, format or clocks. None waits: who wants to send a
//! byte is told whether there was room. Registers are reached through [`Frame`], which is the device on a board and a model
//! of it in tests.
#![no_std]
#![forbid(unsafe_code)]

mod cadence;
mod frame;
mod mini_uart;
mod ns16550;
mod pl011;

pub use frame::Frame;

use frame::Block;
use platform::{ConsoleKind, RegisterLayout};

/// What a console needs of its UART.
pub trait Driver {
    /// Sends a byte if there is room for it.
    fn send(&self, byte: u8) -> bool;

    /// Returns the next received byte.
    fn receive(&self) -> Option<u8>;

    /// Forgets interrupts from before. False if the UART, as the firmware set it up, has none for what arrives or leaves.
    fn prepare_interrupts(&self) -> bool {
        true
    }

    /// Chooses whether bytes that arrive interrupt, and whether room for bytes to send does.
    fn set_interrupts(&self, receive: bool, transmit: bool);

    /// Takes note of the transmit interrupt, which comes again when what is sent now is out. Most end by themselves.
    fn clear_transmit_interrupt(&self) {}
}

/// A UART of any kind. One core uses it at a time.
pub enum Uart<'f> {
    /// Arm's PL011, also as an SBSA UART.
    Pl011(pl011::Pl011<'f>),
    /// The Raspberry Pi's mini UART.
    MiniUart(mini_uart::MiniUart<'f>),
    /// The UART of Xilinx' SoCs.
    Cadence(cadence::Cadence<'f>),
    /// A 16550 or the like.
    Ns16550(ns16550::Ns16550<'f>),
}

impl<'f> Uart<'f> {
    /// Returns the driver of a UART of this `kind`, which is turned on, with its registers in `frame` as `layout` says.
    pub fn new(kind: ConsoleKind, layout: RegisterLayout, frame: &'f dyn Frame) -> Self {
        let block = Block { frame, layout };
        match kind {
            ConsoleKind::Pl011 => Self::Pl011(pl011::Pl011::new(block)),
            ConsoleKind::Sbsa => Self::Pl011(pl011::Pl011::sbsa(block)),
            ConsoleKind::Bcm2835Aux => Self::MiniUart(mini_uart::MiniUart::new(block)),
            ConsoleKind::Cadence => Self::Cadence(cadence::Cadence::new(block)),
            ConsoleKind::Ns16550 | ConsoleKind::DwApb | ConsoleKind::Tegra => {
                Self::Ns16550(ns16550::Ns16550::new(block, kind))
            }
        }
    }

    /// Returns what drives it.
    pub fn driver(&self) -> &dyn Driver {
        match self {
            Self::Pl011(uart) => uart,
            Self::MiniUart(uart) => uart,
            Self::Cadence(uart) => uart,
            Self::Ns16550(uart) => uart,
        }
    }
}
