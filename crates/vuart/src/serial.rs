// SPDX-License-Identifier: MIT OR Apache-2.0

//! A guest's UART, and what was typed for it faster than it reads.

use alloc::collections::VecDeque;

use crate::Uart;

/// Bytes that can wait: a paste of some lines.
const BACKLOG: usize = 4096;

/// The UART as the guest sees it. Its 32-byte FIFO is filled from the backlog as the guest reads.
pub struct Serial {
    uart: Uart,
    backlog: VecDeque<u8>,
    /// Bytes lost since the last that was kept.
    lost: u64,
}

/// What became of a typed byte.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Received {
    /// The byte waits for the guest.
    Kept,
    /// The byte waits, and so many before it were lost.
    KeptAfter(u64),
    /// The byte is lost, the first since one was kept.
    Lost,
    /// The byte is lost, as were those before it.
    LostToo,
}

impl Default for Serial {
    fn default() -> Self {
        Self::new()
    }
}

impl Serial {
    /// Makes a UART as after reset. All memory it will ever use is taken now.
    pub fn new() -> Self {
        Self {
            uart: Uart::new(),
            backlog: VecDeque::with_capacity(BACKLOG),
            lost: 0,
        }
    }

    /// As after reset; what was typed is forgotten.
    pub fn reset(&mut self) {
        self.uart.reset();
        self.backlog.clear();
        self.lost = 0;
    }

    /// Tells whether [`receive`](Self::receive) would lose a byte.
    pub fn is_full(&self) -> bool {
        self.backlog.len() >= BACKLOG
    }

    /// Returns the level of the UART's interrupt.
    pub fn level(&self) -> bool {
        self.uart.level()
    }

    /// Writes a register. Returns the byte that this sent, if it sent one.
    pub fn write(&mut self, offset: u64, size: u8, value: u64) -> Option<u8> {
        let sent = self.uart.write(offset, size, value).tx;
        self.refill();
        sent
    }

    /// Reads a register.
    pub fn read(&mut self, offset: u64, size: u8) -> u32 {
        let (value, _) = self.uart.read(offset, size);
        self.refill();
        value
    }

    /// Takes a byte typed for the guest; it is lost only if thousands before it still wait.
    pub fn receive(&mut self, byte: u8) -> Received {
        if self.is_full() {
            self.lost = self.lost.saturating_add(1);
            return match self.lost {
                1 => Received::Lost,
                _ => Received::LostToo,
            };
        }
        self.backlog.push_back(byte);
        self.refill();
        match core::mem::take(&mut self.lost) {
            0 => Received::Kept,
            lost => Received::KeptAfter(lost),
        }
    }

    fn refill(&mut self) {
        while let Some(&byte) = self.backlog.front()
            && self.uart.receive(byte).is_ok()
        {
            self.backlog.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use std::vec::Vec;

    const DR: u64 = 0;
    const FR: u64 = 0x18;
    const FR_RX_EMPTY: u32 = 1 << 4;

    fn read_all(serial: &mut Serial) -> Vec<u8> {
        let mut bytes = Vec::new();
        while serial.read(FR, 4) & FR_RX_EMPTY == 0 {
            bytes.push(serial.read(DR, 4) as u8);
        }
        bytes
    }

    #[test]
    fn a_paste_longer_than_the_fifo_arrives_whole() {
        let mut serial = Serial::new();
        let paste: Vec<u8> = (0..1000_u32).map(|n| n as u8).collect();
        for &byte in &paste {
            assert_eq!(serial.receive(byte), Received::Kept);
        }
        assert_eq!(read_all(&mut serial), paste);
        assert!(!serial.level());
    }

    #[test]
    fn a_flood_is_bounded_and_a_reset_forgets_it() {
        let mut serial = Serial::new();
        let received: Vec<_> = (0..2 * BACKLOG).map(|_| serial.receive(b'x')).collect();
        let lost = received
            .iter()
            .filter(|&&what| what != Received::Kept)
            .count();
        assert_eq!(received[2 * BACKLOG - lost], Received::Lost);
        assert_eq!(received[2 * BACKLOG - 1], Received::LostToo);
        assert!(serial.is_full());
        let kept = read_all(&mut serial).len();
        assert!((BACKLOG..2 * BACKLOG).contains(&kept));
        assert_eq!(serial.receive(b'x'), Received::KeptAfter(lost as u64));
        serial.reset();
        assert!(read_all(&mut serial).is_empty());
    }
}
