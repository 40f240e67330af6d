// SPDX-License-Identifier: MIT OR Apache-2.0

//! The receive FIFO.

/// A ring of the bytes that were received and not read yet.
#[derive(Clone, Debug)]
pub(crate) struct Fifo {
    bytes: [u8; Self::DEPTH],
    head: usize,
    len: usize,
}

impl Fifo {
    /// Bytes it holds since revision r1p5 (DDI 0183G, product revisions).
    pub(crate) const DEPTH: usize = 32;

    pub(crate) const fn new() -> Self {
        Self {
            bytes: [0; Self::DEPTH],
            head: 0,
            len: 0,
        }
    }

    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::new();
    }

    /// Appends a byte; a full ring stays as it is (callers ask first).
    pub(crate) fn push(&mut self, byte: u8) {
        if self.len < Self::DEPTH {
            self.bytes[(self.head + self.len) % Self::DEPTH] = byte;
            self.len += 1;
        }
    }

    pub(crate) fn pop(&mut self) -> Option<u8> {
        if self.len == 0 {
            return None;
        }
        let byte = self.bytes[self.head % Self::DEPTH];
        self.head = (self.head + 1) % Self::DEPTH;
        self.len -= 1;
        Some(byte)
    }
}
