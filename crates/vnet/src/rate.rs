// SPDX-License-Identifier: MIT OR Apache-2.0

//! How much a port may send.
//!
//! Not by `crates/rate`, which counts events: a frame of 9,000 bytes may be more than a period's share, and what it
//! has taken beyond it must not be forgotten.

/// So much a second, by a clock of so many ticks a second.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rate {
    /// Ticks of a byte, in [`FRACTION`]s.
    byte: u64,
    /// Ticks of a frame, however short, in [`FRACTION`]s.
    frame: u64,
    /// How long a port may have been silent so that it counts.
    burst: u64,
}

/// Parts of a tick.
const FRACTION: u64 = 1 << 20;
/// A port that was silent for this part of a second may make up for it.
const BURST: u64 = 100;

impl Rate {
    /// Returns the rate of `bytes` and `frames` a second, where `None` is no bound.
    pub fn a_second(bytes: Option<u64>, frames: Option<u64>, frequency: u64) -> Self {
        let each = |rate: Option<u64>| match rate {
            None => 0,
            Some(rate) => frequency.saturating_mul(FRACTION).div_ceil(rate.max(1)),
        };
        Self {
            byte: each(bytes),
            frame: each(frames),
            burst: frequency / BURST,
        }
    }
}

/// A line on which each frame takes its time.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    rate: Option<Rate>,
    /// When what was sent is through.
    free: u64,
    /// And parts of a tick behind that.
    rest: u64,
}

impl Line {
    pub const fn new(rate: Option<Rate>) -> Self {
        Self {
            rate,
            free: 0,
            rest: 0,
        }
    }

    /// Returns until when the line is busy, if it is.
    pub fn busy(&self, now: u64) -> Option<u64> {
        (self.rate.is_some() && self.free > now).then_some(self.free)
    }

    /// Sends a frame.
    pub fn send(&mut self, bytes: u32, now: u64) {
        let Some(rate) = self.rate else { return };
        let takes = rate.byte.saturating_mul(bytes.into()).max(rate.frame);
        let takes = takes.saturating_add(self.rest);
        let from = self.free.max(now.saturating_sub(rate.burst));
        self.free = from.saturating_add(takes / FRACTION);
        self.rest = takes % FRACTION;
    }
}
