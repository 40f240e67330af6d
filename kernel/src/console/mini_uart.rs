//! The Raspberry Pi's mini UART (BCM2711 ARM Peripherals, section 2.2), at the speed that the
//! firmware set.

use crate::arch::mmio::Mmio;

const IO: u64 = 0x0;
const IER: u64 = 0x4;
const LSR: u64 = 0x14;
const CNTL: u64 = 0x20;

/// Bits 3:2 are called "don't care", yet nothing arrives without them (as the errata of the
/// BCM2835's document say; that document also has bits 0 and 1 the wrong way round).
const IER_BASE: u32 = 0b1100;
const IER_RECEIVE: u32 = 1;
/// The transmit FIFO is empty.
const IER_TRANSMIT: u32 = 1 << 1;
const LSR_RECEIVED: u32 = 1;
const LSR_ROOM: u32 = 1 << 5;
/// Receiver and transmitter on, flow control off.
const CNTL_ENABLE: u32 = 0b11;

/// A mini UART that EL2 owns. The firmware has turned it on in AUX_ENABLES, which it shares with
/// two SPI controllers.
#[derive(Clone, Copy, Debug)]
pub struct MiniUart(Mmio);

impl MiniUart {
    /// Turns both directions on, in case the firmware did not.
    pub fn new(frame: Mmio) -> Self {
        frame.write32(CNTL, CNTL_ENABLE);
        Self(frame)
    }

    /// Sends a byte if there is room for it.
    pub fn send(&self, byte: u8) -> bool {
        let room = self.0.read32(LSR) & LSR_ROOM != 0;
        if room {
            self.0.write32(IO, u32::from(byte));
        }
        room
    }

    /// The next received byte.
    pub fn receive(&self) -> Option<u8> {
        (self.0.read32(LSR) & LSR_RECEIVED != 0).then(|| self.0.read32(IO) as u8)
    }

    /// Chooses whether received bytes that wait interrupt, and whether an empty transmit FIFO does;
    /// there is nothing to acknowledge.
    pub fn set_interrupts(&self, receive: bool, transmit: bool) {
        let bit = |on, bit| if on { bit } else { 0 };
        let chosen = bit(receive, IER_RECEIVE) | bit(transmit, IER_TRANSMIT);
        self.0.write32(IER, IER_BASE | chosen);
    }
}
