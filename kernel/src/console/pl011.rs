//! The board's PL011 (DDI 0183G), at the speed that the firmware set.

use crate::arch::mmio::Mmio;

const DR: u64 = 0x0;
const FR: u64 = 0x18;
const CR: u64 = 0x30;
const IMSC: u64 = 0x38;
const ICR: u64 = 0x44;

const FR_RX_EMPTY: u32 = 1 << 4;
const FR_TX_FULL: u32 = 1 << 5;
/// UARTEN, TXE, RXE.
const CR_ENABLE: u32 = 1 | 1 << 8 | 1 << 9;
/// Receive and receive timeout.
const RX_INTERRUPTS: u32 = 1 << 4 | 1 << 6;
const TX_INTERRUPT: u32 = 1 << 5;

/// A PL011 that EL2 owns.
#[derive(Clone, Copy, Debug)]
pub struct Pl011(Mmio);

impl Pl011 {
    /// Turns the UART on, in case the firmware did not.
    pub fn new(frame: Mmio) -> Self {
        frame.write32(CR, frame.read32(CR) | CR_ENABLE);
        Self(frame)
    }

    /// An SBSA generic UART (DEN0029, appendix B): the same without control registers, always on.
    pub fn sbsa(frame: Mmio) -> Self {
        Self(frame)
    }

    /// Sends a byte if there is room for it.
    pub fn send(&self, byte: u8) -> bool {
        let room = self.0.read32(FR) & FR_TX_FULL == 0;
        if room {
            self.0.write32(DR, u32::from(byte));
        }
        room
    }

    /// Takes note of the transmit interrupt, which comes again when what is sent now is out.
    pub fn clear_transmit_interrupt(&self) {
        self.0.write32(ICR, TX_INTERRUPT);
    }

    /// The next received byte.
    pub fn receive(&self) -> Option<u8> {
        (self.0.read32(FR) & FR_RX_EMPTY == 0).then(|| self.0.read32(DR) as u8)
    }

    /// Forgets interrupts from before.
    pub fn prepare_interrupts(&self) {
        self.0.write32(ICR, 0x7ff);
    }

    /// Chooses whether bytes that arrive interrupt, and whether room in the transmit FIFO does.
    pub fn set_interrupts(&self, receive: bool, transmit: bool) {
        let bits = |on, bits| if on { bits } else { 0 };
        let chosen = bits(receive, RX_INTERRUPTS) | bits(transmit, TX_INTERRUPT);
        self.0.write32(IMSC, chosen);
    }
}
