// SPDX-License-Identifier: MIT OR Apache-2.0

//! Streams that follow one another.

use core::fmt;

/// A run of stream ids: those of a device, or of all that a PCI host bridge may have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Streams {
    /// The first one.
    pub first: u32,
    /// How many there are.
    pub count: u32,
}

impl Streams {
    /// Names a single stream.
    pub const fn one(stream: u32) -> Self {
        Self {
            first: stream,
            count: 1,
        }
    }

    /// Tells whether `stream` is one of them.
    pub const fn contains(self, stream: u32) -> bool {
        stream >= self.first && stream - self.first < self.count
    }

    /// Tells whether there are any, and all have less than `bits` bits.
    pub(crate) const fn fit(self, bits: u32) -> bool {
        self.count > 0 && self.first as u64 + self.count as u64 <= 1 << bits
    }

    /// Returns each of them. They fit.
    pub(crate) fn ids(self) -> impl Iterator<Item = u32> {
        (0..self.count).map(move |index| self.first + index)
    }

    /// Splits them into aligned blocks of a power of two, as few as there can be: their first streams, and the
    /// logarithms of their sizes. They fit.
    pub(crate) fn blocks(self) -> impl Iterator<Item = (u32, u32)> {
        let (mut next, end) = (self.first as u64, self.first as u64 + self.count as u64);
        core::iter::from_fn(move || {
            let left = (end - next).checked_ilog2()?;
            let (first, log2) = (next as u32, next.trailing_zeros().min(left));
            next += 1 << log2;
            Some((first, log2))
        })
    }
}

impl fmt::Display for Streams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.count {
            1 => write!(f, "stream {:#x}", self.first),
            count => write!(f, "{count} streams from {:#x}", self.first),
        }
    }
}
