// SPDX-License-Identifier: MIT OR Apache-2.0

//! The hypervisor's own lines until the console takes them.

/// Bytes that wait at most: the longest answer of the monitor.
const ROOM: usize = 16 << 10;

/// The hypervisor's lines that wait for the wire. A line that has no room is dropped whole and
/// counted.
pub struct Log {
    bytes: [u8; ROOM],
    first: usize,
    len: usize,
    dropped: u64,
}

impl Default for Log {
    fn default() -> Self {
        Self::new()
    }
}

impl Log {
    /// Makes a log without lines.
    pub const fn new() -> Self {
        Self {
            bytes: [0; ROOM],
            first: 0,
            len: 0,
            dropped: 0,
        }
    }

    /// Adds a line, given in pieces and without its newline; or counts it as dropped.
    pub fn push(&mut self, pieces: &[&str]) {
        let size = pieces.iter().map(|piece| piece.len()).sum::<usize>() + 1;
        if self.dropped > 0 || size > ROOM - self.len {
            self.dropped += 1;
            return;
        }
        pieces.iter().for_each(|piece| self.append(piece));
        self.append("\n");
    }

    /// Tells whether a line of `size` bytes would not be dropped.
    pub fn has_room(&self, size: usize) -> bool {
        self.dropped == 0 && size < ROOM - self.len
    }

    fn append(&mut self, text: &str) {
        for &byte in text.as_bytes() {
            self.bytes[(self.first + self.len) % ROOM] = byte;
            self.len += 1;
        }
    }

    pub(crate) fn pop(&mut self) -> Option<u8> {
        self.len = self.len.checked_sub(1)?;
        let byte = self.bytes[self.first];
        self.first = (self.first + 1) % ROOM;
        Some(byte)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0 && self.dropped == 0
    }

    /// Takes the number of lines that were dropped, once those before them are written.
    pub(crate) fn take_dropped(&mut self) -> u64 {
        match self.len {
            0 => core::mem::take(&mut self.dropped),
            _ => 0,
        }
    }
}
