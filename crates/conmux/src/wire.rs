// SPDX-License-Identifier: MIT OR Apache-2.0

//! Bytes on their way to the UART.

use core::fmt::{self, Write};

use arrayvec::ArrayVec;

use crate::{NAME, PIECE};

/// Room for what one step puts here: a line's end, and a name before each byte of a piece.
const ROOM: usize = 2 + 2 * PIECE * (NAME + 4);

/// A queue that is filled by one step and emptied before the next.
pub(crate) struct Wire {
    bytes: ArrayVec<u8, ROOM>,
    /// How many of them are sent.
    sent: usize,
}

impl Wire {
    pub(crate) const fn new() -> Self {
        Self {
            bytes: ArrayVec::new_const(),
            sent: 0,
        }
    }

    /// Returns the next byte to send.
    pub(crate) fn front(&self) -> Option<u8> {
        self.bytes.get(self.sent).copied()
    }

    /// Takes the next byte out.
    pub(crate) fn pop(&mut self) {
        self.sent += 1;
        if self.sent >= self.bytes.len() {
            self.bytes.clear();
            self.sent = 0;
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Tells whether there is room for a byte that no step puts here.
    pub(crate) fn has_room(&self) -> bool {
        self.bytes.len() < ROOM / 2
    }

    pub(crate) fn push(&mut self, byte: u8) {
        // There is room for the longest piece: nothing is lost here.
        let _ = self.bytes.try_push(byte);
    }

    /// Adds text, with a carriage return before each newline.
    pub(crate) fn write(&mut self, text: fmt::Arguments<'_>) {
        // It takes every byte.
        let _ = self.write_fmt(text);
    }
}

impl Write for Wire {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        Direct(|byte| self.push(byte)).write_str(text)
    }
}

/// Text for something that takes every byte, with a carriage return before each newline.
pub(crate) struct Direct<S>(pub(crate) S);

impl<S: FnMut(u8)> Write for Direct<S> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            if byte == b'\n' {
                (self.0)(b'\r');
            }
            (self.0)(byte);
        }
        Ok(())
    }
}
