// SPDX-License-Identifier: MIT OR Apache-2.0

//! Drivers of the UARTs that a board's console may be.
//!
//! The firmware has set the line up and used it: no driver touches speed, format or clocks. None waits: who wants to send a
//! byte is told whether there was room. Registers are reached through [`Frame`], which is the device on a board and a model
//! of it in tests.
#![no_std]
#![forbid(unsafe_code)]

mod armada3700;
mod cadence;
mod frame;
mod geni;
mod imx;
mod linflex;
mod lpuart;
mod meson;
mod mini_uart;
mod msm_uartdm;
mod ns16550;
mod pl011;
mod samsung;
mod scif;
mod sprd;
mod stm32;

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
    /// NXP's i.MX.
    Imx(imx::Imx<'f>),
    /// NXP's LPUART.
    Lpuart(lpuart::Lpuart<'f>),
    /// Amlogic's Meson.
    Meson(meson::Meson<'f>),
    /// Renesas' SCIF or HSCIF.
    Scif(scif::Scif<'f>),
    /// Qualcomm's GENI as a UART.
    Geni(geni::Geni<'f>),
    /// Samsung's UART.
    Samsung(samsung::Samsung<'f>),
    /// Qualcomm's UARTDM.
    MsmUartdm(msm_uartdm::MsmUartdm<'f>),
    /// Marvell's Armada 3700.
    Armada3700(armada3700::Armada3700<'f>),
    /// ST's STM32.
    Stm32(stm32::Stm32<'f>),
    /// NXP's LINFlexD as a UART.
    Linflex(linflex::Linflex<'f>),
    /// Spreadtrum's UART.
    Sprd(sprd::Sprd<'f>),
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
            ConsoleKind::Imx => Self::Imx(imx::Imx::new(block)),
            ConsoleKind::Lpuart => Self::Lpuart(lpuart::Lpuart::new(block)),
            ConsoleKind::Meson => Self::Meson(meson::Meson::new(block)),
            ConsoleKind::Scif => Self::Scif(scif::Scif::new(block)),
            ConsoleKind::Geni => Self::Geni(geni::Geni::new(block)),
            ConsoleKind::Samsung => Self::Samsung(samsung::Samsung::new(block)),
            ConsoleKind::MsmUartdm => Self::MsmUartdm(msm_uartdm::MsmUartdm::new(block)),
            ConsoleKind::Armada3700 => Self::Armada3700(armada3700::Armada3700(block)),
            ConsoleKind::Stm32 => Self::Stm32(stm32::Stm32::new(block)),
            ConsoleKind::Linflex => Self::Linflex(linflex::Linflex::new(block)),
            ConsoleKind::Sprd => Self::Sprd(sprd::Sprd(block)),
        }
    }

    /// Returns what drives it.
    pub fn driver(&self) -> &dyn Driver {
        match self {
            Self::Pl011(uart) => uart,
            Self::MiniUart(uart) => uart,
            Self::Cadence(uart) => uart,
            Self::Ns16550(uart) => uart,
            Self::Imx(uart) => uart,
            Self::Lpuart(uart) => uart,
            Self::Meson(uart) => uart,
            Self::Scif(uart) => uart,
            Self::Geni(uart) => uart,
            Self::Samsung(uart) => uart,
            Self::MsmUartdm(uart) => uart,
            Self::Armada3700(uart) => uart,
            Self::Stm32(uart) => uart,
            Self::Linflex(uart) => uart,
            Self::Sprd(uart) => uart,
        }
    }
}
