//! The board's UART, whichever it is.

use board::ConsoleKind;

use super::cadence::Cadence;
use super::mini_uart::MiniUart;
use super::pl011::Pl011;
use crate::arch::mmio::Mmio;

/// The driver of the board's console. All drivers leave the line's speed to the firmware.
#[derive(Clone, Copy, Debug)]
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
    /// The driver of `console`, which is turned on.
    ///
    /// # Safety
    /// The console's registers are mapped as a device and EL2 owns them.
    pub unsafe fn new(console: &board::Console) -> Self {
        // SAFETY: the caller's promise.
        let frame = unsafe { Mmio::new(console.registers.start.0, console.registers.size) };
        match console.kind {
            ConsoleKind::Pl011 => Self::Pl011(Pl011::new(frame)),
            ConsoleKind::Sbsa => Self::Pl011(Pl011::sbsa(frame)),
            ConsoleKind::Bcm2835Aux => Self::Mini(MiniUart::new(frame)),
            ConsoleKind::Cadence => Self::Cadence(Cadence::new(frame)),
        }
    }

    /// Sends a byte, waiting for room.
    pub fn send(&self, byte: u8) {
        each!(self, uart => uart.send(byte));
    }

    /// The next received byte.
    pub fn receive(&self) -> Option<u8> {
        each!(self, uart => uart.receive())
    }

    /// Raises the interrupt when bytes arrive.
    pub fn enable_receive_interrupt(&self) {
        each!(self, uart => uart.enable_receive_interrupt());
    }
}
