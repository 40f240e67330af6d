// SPDX-License-Identifier: MIT OR Apache-2.0

//! How often and how soon a guest may restart.
//!
//! A guest that resets, crashes or is bitten by its watchdog soon after each start would scrub its RAM and print the
//! same lines for ever. Restarts *in a row*, each less than [`STEADY`] after the start before it, are counted: the
//! first comes at once, each further one waits twice as long as the one before, and there may be a limit.
#![no_std]
#![forbid(unsafe_code)]

/// A guest that has run for so long, in milliseconds, has come up: what it does next starts a new row.
pub const STEADY: u64 = 60_000;
/// The shortest wait, that of the second restart in a row, in milliseconds.
const FIRST: u64 = 100;
/// Doublings after which a wait is longer than any limit on it.
const DOUBLINGS: u32 = 32;

/// What the manifest says of a guest's restarts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Most restarts in a row, if there is a limit.
    pub most: Option<u32>,
    /// The longest wait before one of them, in milliseconds.
    pub longest: u64,
}

/// There were as many restarts in a row as there may be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TooMany(pub u32);

/// The restarts of one guest. Times are in milliseconds since any fixed moment.
#[derive(Clone, Debug)]
pub struct Restarts {
    limits: Limits,
    started: u64,
    row: u32,
}

impl Restarts {
    /// Makes the count of a guest that has not restarted.
    pub const fn new(limits: Limits) -> Self {
        Self {
            limits,
            started: 0,
            row: 0,
        }
    }

    /// Notes that the guest starts to run at `now`.
    pub fn started(&mut self, now: u64) {
        self.started = now;
    }

    /// Notes that the guest's run ended at `now` and that it is to restart: how long it has to wait, in
    /// milliseconds.
    pub fn next(&mut self, now: u64) -> Result<u64, TooMany> {
        if now.saturating_sub(self.started) >= STEADY {
            self.row = 0;
        }
        if self.limits.most.is_some_and(|most| self.row >= most) {
            return Err(TooMany(self.row));
        }
        let wait = match self.row {
            0 => 0,
            row => FIRST << (row - 1).min(DOUBLINGS),
        };
        self.row = self.row.saturating_add(1);
        Ok(wait.min(self.limits.longest))
    }

    /// Begins a new row: the operator wants the guest to start.
    pub fn forget(&mut self) {
        self.row = 0;
    }
}

#[cfg(test)]
mod tests;
