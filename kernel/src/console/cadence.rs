//! The Cadence UART of Xilinx' SoCs (UG1085, "UART Controller"; registers: UG1087, module
//! "UART"), at the speed that the firmware set.

use crate::arch::mmio::Mmio;

const CR: u64 = 0x0;
const IER: u64 = 0x8;
const IDR: u64 = 0xc;
const ISR: u64 = 0x14;
const RXTOUT: u64 = 0x1c;
const RXWM: u64 = 0x20;
const SR: u64 = 0x2c;
const FIFO: u64 = 0x30;

const CR_RX_ENABLE: u32 = 1 << 2;
const CR_RX_DISABLE: u32 = 1 << 3;
const CR_TX_ENABLE: u32 = 1 << 4;
const CR_TX_DISABLE: u32 = 1 << 5;
const SR_RX_EMPTY: u32 = 1 << 1;
const SR_TX_FULL: u32 = 1 << 4;
/// The receive FIFO has reached its trigger level.
const RX_INTERRUPT: u32 = 1;
/// The transmit FIFO has become empty.
const TX_INTERRUPT: u32 = 1 << 3;

/// A Cadence UART that EL2 owns.
#[derive(Clone, Copy, Debug)]
pub struct Cadence(Mmio);

impl Cadence {
    /// Turns both directions on, in case the firmware did not.
    pub fn new(frame: Mmio) -> Self {
        let off = CR_RX_DISABLE | CR_TX_DISABLE;
        frame.write32(CR, frame.read32(CR) & !off | CR_RX_ENABLE | CR_TX_ENABLE);
        Self(frame)
    }

    /// Sends a byte if there is room for it.
    pub fn send(&self, byte: u8) -> bool {
        let room = self.0.read32(SR) & SR_TX_FULL == 0;
        if room {
            self.0.write32(FIFO, u32::from(byte));
        }
        room
    }

    /// Takes note of the transmit interrupt, which comes again when what is sent now is out.
    pub fn clear_transmit_interrupt(&self) {
        self.0.write32(ISR, TX_INTERRUPT);
    }

    /// The next received byte.
    pub fn receive(&self) -> Option<u8> {
        // Cleared before the look: a byte that comes after the look raises it again.
        self.0.write32(ISR, RX_INTERRUPT);
        (self.0.read32(SR) & SR_RX_EMPTY == 0).then(|| self.0.read32(FIFO) as u8)
    }

    /// Makes every byte that arrives an interrupt, once they are on.
    pub fn prepare_interrupts(&self) {
        self.0.write32(RXTOUT, 0);
        self.0.write32(RXWM, 1);
        self.0.write32(ISR, u32::MAX);
    }

    /// Chooses whether bytes that arrive interrupt, and whether an empty transmit FIFO does.
    pub fn set_interrupts(&self, receive: bool, transmit: bool) {
        for (interrupt, on) in [(RX_INTERRUPT, receive), (TX_INTERRUPT, transmit)] {
            self.0.write32(if on { IER } else { IDR }, interrupt);
        }
    }
}
