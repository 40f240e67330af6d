//! The Raspberry Pi's mini UART (BCM2711 ARM Peripherals, section 2.2), at the speed that the
//! firmware set.

use crate::arch::mmio::Mmio;

const IO: u64 = 0x0;
const IER: u64 = 0x4;
const LSR: u64 = 0x14;
const CNTL: u64 = 0x20;

/// Receive. Bits 3:2 are called "don't care", yet nothing arrives without them (as the errata of
/// the BCM2835's document say; that document also has bits 0 and 1 the wrong way round).
const IER_RECEIVE: u32 = 0b1101;
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

    /// Sends a byte, waiting for room.
    pub fn send(&self, byte: u8) {
        while self.0.read32(LSR) & LSR_ROOM == 0 {
            core::hint::spin_loop();
        }
        self.0.write32(IO, u32::from(byte));
    }

    /// The next received byte.
    pub fn receive(&self) -> Option<u8> {
        (self.0.read32(LSR) & LSR_RECEIVED != 0).then(|| self.0.read32(IO) as u8)
    }

    /// Raises the interrupt while received bytes wait; there is nothing to acknowledge.
    pub fn enable_receive_interrupt(&self) {
        self.0.write32(IER, IER_RECEIVE);
    }
}
