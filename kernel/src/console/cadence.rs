//! The Cadence UART of Xilinx' SoCs (UG1085, "UART Controller"; registers: UG1087, module
//! "UART"), at the speed that the firmware set.

use crate::arch::mmio::Mmio;

const CR: u64 = 0x0;
const IER: u64 = 0x8;
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

    /// Sends a byte, waiting for room.
    pub fn send(&self, byte: u8) {
        while self.0.read32(SR) & SR_TX_FULL != 0 {
            core::hint::spin_loop();
        }
        self.0.write32(FIFO, u32::from(byte));
    }

    /// The next received byte.
    pub fn receive(&self) -> Option<u8> {
        // Cleared before the look: a byte that comes after the look raises it again.
        self.0.write32(ISR, RX_INTERRUPT);
        (self.0.read32(SR) & SR_RX_EMPTY == 0).then(|| self.0.read32(FIFO) as u8)
    }

    /// Raises the interrupt at every byte that arrives.
    pub fn enable_receive_interrupt(&self) {
        self.0.write32(RXTOUT, 0);
        self.0.write32(RXWM, 1);
        self.0.write32(ISR, u32::MAX);
        self.0.write32(IER, RX_INTERRUPT);
    }
}
