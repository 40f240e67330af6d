// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a guest prints until the console takes it.

use alloc::collections::VecDeque;

use crate::{KEPT, LINE};

/// The output of one guest that waits for the wire. It never makes the guest wait: what has no
/// room is dropped and counted.
///
/// While the guest is shown, a full ring drops what comes until all that it holds is written, so
/// that whole passages come through, with one gap between them. While the guest is not shown,
/// the oldest bytes make room for the newest.
#[derive(Debug, Default)]
pub struct Ring {
    bytes: VecDeque<u8>,
    /// Newlines in `bytes`.
    lines: usize,
    hidden: bool,
    /// Bytes dropped before those that are held, and behind them, that were not told yet.
    early: u64,
    late: u64,
    dropped: u64,
}

impl Ring {
    /// Makes a ring without room, which drops everything.
    pub const fn new() -> Self {
        Self {
            bytes: VecDeque::new(),
            lines: 0,
            hidden: false,
            early: 0,
            late: 0,
            dropped: 0,
        }
    }

    /// Takes the memory for [`KEPT`] bytes: all that the ring will ever need.
    pub fn reserve(&mut self) {
        self.bytes.reserve_exact(KEPT);
    }

    /// Holds the guest's next byte, or drops one.
    pub fn push(&mut self, byte: u8) {
        let full = self.bytes.len() >= KEPT.min(self.bytes.capacity());
        if self.late > 0 || full && !self.hidden {
            self.late = self.late.saturating_add(1);
            self.dropped = self.dropped.saturating_add(1);
            return;
        }
        if full {
            if self.pop().is_none() {
                return;
            }
            self.early = self.early.saturating_add(1);
            self.dropped = self.dropped.saturating_add(1);
        }
        self.lines += usize::from(byte == b'\n');
        self.bytes.push_back(byte);
    }

    /// Returns how many bytes were dropped since the board started.
    pub const fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Chooses which bytes a full ring drops: the oldest if the guest is hidden.
    pub(crate) fn set_hidden(&mut self, hidden: bool) {
        self.hidden = hidden;
        if hidden {
            self.early = self.early.saturating_add(core::mem::take(&mut self.late));
        }
    }

    pub(crate) fn pop(&mut self) -> Option<u8> {
        let byte = self.bytes.pop_front()?;
        self.lines -= usize::from(byte == b'\n');
        Some(byte)
    }

    /// Takes the number of bytes that were dropped in front of the next byte.
    pub(crate) fn take_gap(&mut self) -> u64 {
        let late = match self.bytes.is_empty() {
            true => core::mem::take(&mut self.late),
            false => 0,
        };
        late.saturating_add(core::mem::take(&mut self.early))
    }

    /// Tells whether there is something to write.
    pub(crate) fn has_output(&self) -> bool {
        !self.bytes.is_empty() || self.late > 0
    }

    /// Tells whether there is enough to break another's line for.
    pub(crate) fn is_pressing(&self) -> bool {
        self.lines > 0 || self.bytes.len() >= LINE || self.late > 0
    }
}
