// SPDX-License-Identifier: MIT OR Apache-2.0

//! The board's UART, whichever it is.

use core::sync::atomic::{AtomicBool, Ordering};

use board::ConsoleKind;

use super::cadence::Cadence;
use super::mini_uart::MiniUart;
use super::pl011::Pl011;
use crate::arch::mmio::Registers;

/// Looks at a UART without room before it counts as standing still: longer than any byte takes.
const PATIENCE: u32 = 1_000_000;
/// The last byte found no room that long.
///
/// Protocol: a hint; who writes to the UART holds the console's lock, or is the last to run.
static STALLED: AtomicBool = AtomicBool::new(false);

/// The driver of the board's console. All drivers leave the line's speed to the firmware.
#[derive(Clone, Copy)]
pub enum Uart {
    /// Arm's PL011, also as an SBSA UART.
    Pl011(Pl011),
    /// The Raspberry Pi's mini UART.
    Mini(MiniUart),
    /// The UART of Xilinx' SoCs.
    Cadence(Cadence),
}

macro_rules! each {
    ($self:expr, $uart:ident => $call:expr) => {
        match $self {
            Uart::Pl011($uart) => $call,
            Uart::Mini($uart) => $call,
            Uart::Cadence($uart) => $call,
        }
    };
}

impl Uart {
    /// Returns the driver of `console`, which is turned on.
    ///
    /// # Safety
    /// The console's registers are mapped as a device and EL2 owns them.
    pub unsafe fn new(console: &board::Console) -> Self {
        let base = console.registers.start.0;
        // SAFETY: the caller's promise.
        unsafe {
            match console.kind {
                ConsoleKind::Pl011 => Self::Pl011(Pl011::new(Registers::new(base))),
                ConsoleKind::Sbsa => Self::Pl011(Pl011::sbsa(Registers::new(base))),
                ConsoleKind::Bcm2835Aux => Self::Mini(MiniUart::new(Registers::new(base))),
                ConsoleKind::Cadence => Self::Cadence(Cadence::new(Registers::new(base))),
            }
        }
    }

    /// Sends a byte if there is room for it.
    pub fn send(&self, byte: u8) -> bool {
        #[cfg(feature = "slow-uart")]
        if !super::slow::take_room() {
            return false;
        }
        each!(self, uart => uart.send(byte))
    }

    /// Sends a byte and waits for room, but not for a UART that stands still: then it is lost.
    pub fn send_now(&self, byte: u8) {
        let patience = match STALLED.load(Ordering::Relaxed) {
            true => 1,
            false => PATIENCE,
        };
        let sent = (0..patience).any(|_| {
            core::hint::spin_loop();
            self.send(byte)
        });
        STALLED.store(!sent, Ordering::Relaxed);
    }

    /// Takes note of the transmit interrupt. The mini UART's ends by itself.
    pub fn clear_transmit_interrupt(&self) {
        match self {
            Self::Pl011(uart) => uart.clear_transmit_interrupt(),
            Self::Mini(_) => {}
            Self::Cadence(uart) => uart.clear_transmit_interrupt(),
        }
    }

    /// Returns the next received byte.
    pub fn receive(&self) -> Option<u8> {
        each!(self, uart => uart.receive())
    }

    /// Forgets interrupts from before. The mini UART has none to forget.
    pub fn prepare_interrupts(&self) {
        match self {
            Self::Pl011(uart) => uart.prepare_interrupts(),
            Self::Mini(_) => {}
            Self::Cadence(uart) => uart.prepare_interrupts(),
        }
    }

    /// Chooses whether bytes that arrive interrupt, and whether room for bytes to send does.
    pub fn set_interrupts(&self, receive: bool, transmit: bool) {
        each!(self, uart => uart.set_interrupts(receive, transmit));
    }
}
