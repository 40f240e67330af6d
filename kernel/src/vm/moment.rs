// SPDX-License-Identifier: MIT OR Apache-2.0

//! A moment at which a core has something to do, looked at without a lock.

use core::sync::atomic::{AtomicU64, Ordering};

/// A moment in ticks of CNTPCT, or none.
///
/// Protocol: a load is an Acquire, a store a Release. What orders it with a kick, who has one says.
pub struct Moment(AtomicU64);

/// In the place of none: no counter gets there.
const NEVER: u64 = u64::MAX;

impl Moment {
    /// None.
    pub const fn never() -> Self {
        Self(AtomicU64::new(NEVER))
    }

    /// Returns it, if there is one.
    pub fn get(&self) -> Option<u64> {
        let at = self.0.load(Ordering::Acquire);
        (at != NEVER).then_some(at)
    }

    /// Sets it. True if it is sooner than it was.
    pub fn set(&self, at: Option<u64>) -> bool {
        let at = at.unwrap_or(NEVER);
        self.0.swap(at, Ordering::AcqRel) > at
    }
}
