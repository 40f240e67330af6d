// SPDX-License-Identifier: MIT OR Apache-2.0

//! How often a guest does what costs others time: it is counted, and the manifest's `rates` bound it.

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use rate::{Allowance, Rate};
use spin::Mutex;

use super::moment::Moment;
use crate::arch::timer;

/// The manifest's bounds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rates {
    /// Traps of each vCPU.
    pub traps: Option<Rate>,
    /// Kicks by each vCPU.
    pub kicks: Option<Rate>,
    /// Interrupts of the guest's devices.
    pub device_interrupts: Option<Rate>,
}

impl Rates {
    /// Takes over what the manifest says.
    pub fn of(rates: Option<manifest::Rates>) -> Self {
        let rate = |events: Option<u32>| {
            events.map(|events| Rate::a_second(events.into(), timer::frequency()))
        };
        rates.map_or(Self::default(), |rates| Self {
            traps: rate(rates.traps),
            kicks: rate(rates.kicks),
            device_interrupts: rate(rates.device_interrupts),
        })
    }
}

/// What a vCPU has done.
///
/// Protocol: written by the vCPU's core alone; no other memory is read by what they say.
pub struct Costs {
    traps: AtomicU64,
    kicks: AtomicU64,
    /// With how many kicks [`Bounds`] is asked.
    kick_limit: AtomicU64,
    waits: AtomicU32,
}

/// [`Costs`], to be shown.
#[derive(Clone, Copy, Debug, Default)]
pub struct Shown {
    /// How often the vCPU came to EL2 by itself.
    pub traps: u64,
    /// How often it interrupted another core.
    pub kicks: u64,
    /// How often it had to wait.
    pub waits: u32,
}

impl Costs {
    /// Nothing yet.
    pub const fn new() -> Self {
        Self {
            traps: AtomicU64::new(0),
            kicks: AtomicU64::new(0),
            kick_limit: AtomicU64::new(u64::MAX),
            waits: AtomicU32::new(0),
        }
    }

    /// Counts a trap. Returns how many there are.
    #[inline(always)]
    pub fn count_trap(&self) -> u64 {
        count(&self.traps)
    }

    /// Counts a kick. True if [`Bounds`] is to be asked.
    pub fn count_kick(&self) -> bool {
        count(&self.kicks) >= self.kick_limit.load(Ordering::Relaxed)
    }

    /// Returns them as they are.
    pub fn shown(&self) -> Shown {
        Shown {
            traps: self.traps.load(Ordering::Relaxed),
            kicks: self.kicks.load(Ordering::Relaxed),
            waits: self.waits.load(Ordering::Relaxed),
        }
    }
}

/// Adds one to what one core alone writes: no exchange is needed.
#[inline(always)]
fn count(counter: &AtomicU64) -> u64 {
    let more = counter.load(Ordering::Relaxed).wrapping_add(1);
    counter.store(more, Ordering::Relaxed);
    more
}

/// What a vCPU may do yet.
pub struct Bounds {
    traps: Allowance,
    kicks: Allowance,
    /// Until when it waits, in ticks of CNTPCT; 0 if it does not.
    until: u64,
}

impl Bounds {
    /// Makes the bounds of a vCPU whose `costs` are none.
    pub fn new(rates: &Rates, costs: &Costs) -> Self {
        let now = timer::now();
        let kicks = Allowance::new(rates.kicks, now);
        costs.kick_limit.store(kicks.limit(), Ordering::Relaxed);
        Self {
            traps: Allowance::new(rates.traps, now),
            kicks,
            until: 0,
        }
    }

    /// Returns with how many traps [`Self::look`] is to be called.
    #[inline(always)]
    pub fn trap_limit(&self) -> u64 {
        self.traps.limit()
    }

    /// Lets the vCPU wait if it has done something too often.
    pub fn look(&mut self, costs: &Costs) {
        let now = timer::now();
        let done = costs.shown();
        let of = |allowance: &mut Allowance, count| {
            (count >= allowance.limit()).then(|| allowance.reached(count, now))?
        };
        let until = of(&mut self.traps, done.traps).max(of(&mut self.kicks, done.kicks));
        costs
            .kick_limit
            .store(self.kicks.limit(), Ordering::Relaxed);
        if let Some(until) = until {
            self.hold(until);
            costs.waits.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Lets the vCPU wait until then, at least.
    pub fn hold(&mut self, until: u64) {
        self.until = self.until.max(until);
    }

    /// Lets the vCPU wait no longer.
    pub fn release(&mut self) {
        self.until = 0;
    }

    /// Returns until when the vCPU waits, in ticks of CNTPCT; a moment of the past if it does not.
    pub fn until(&self) -> u64 {
        self.until
    }
}

/// Interrupts of the board's devices that are a guest's. The core of its vCPU 0 takes all of them.
pub struct DeviceInterrupts {
    state: Mutex<Interrupts>,
    /// When they come again, if they are held back. Written and read by the core of vCPU 0 alone.
    due: Moment,
}

struct Interrupts {
    count: u64,
    waits: u32,
    allowance: Allowance,
}

impl DeviceInterrupts {
    /// None so far.
    pub fn new(rate: Option<Rate>) -> Self {
        Self {
            state: Mutex::new(Interrupts {
                count: 0,
                waits: 0,
                allowance: Allowance::new(rate, timer::now()),
            }),
            due: Moment::never(),
        }
    }

    /// Counts one. True if no more may come before [`Self::due`].
    pub fn count(&self) -> bool {
        let state = &mut *self.state.lock();
        state.count += 1;
        if state.count < state.allowance.limit() {
            return false;
        }
        let until = state.allowance.reached(state.count, timer::now());
        if let Some(until) = until {
            state.waits = state.waits.saturating_add(1);
            self.due.set(Some(until));
        }
        until.is_some()
    }

    /// Returns when they may come again, in ticks of CNTPCT, if they are held back.
    pub fn due(&self) -> Option<u64> {
        self.due.get()
    }

    /// Notes that they are held back no longer.
    pub fn forget(&self) {
        self.due.set(None);
    }

    /// Returns how many there were, and how often they had to wait.
    pub fn shown(&self) -> (u64, u32) {
        let state = self.state.lock();
        (state.count, state.waits)
    }
}
