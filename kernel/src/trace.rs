// SPDX-License-Identifier: MIT OR Apache-2.0

//! The newest steps of a guest's calls to OP-TEE, recorded as they happen.

use mediator::{Event, EventKind, Trace};
use monitor::{Detail, TraceLine};

use crate::arch::timer;

/// Steps that are kept.
const KEPT: usize = 32;
/// Steps that are shown at once as they come: the core's interrupts wait for as many lines.
const SHOWN: usize = 8;

/// A step and when it happened, in ticks of the system counter.
#[derive(Clone, Copy)]
struct Step {
    ticks: u64,
    event: Event,
}

/// Records the steps of one guest, under the lock of its TEE.
pub struct Recorder {
    steps: [Option<Step>; KEPT],
    /// Steps so far. It wraps.
    recorded: usize,
    /// Of these, how many were taken by [`Recorder::fresh`] or before it was asked for.
    taken: usize,
}

impl Recorder {
    /// Returns one that has recorded nothing.
    pub const fn new() -> Self {
        Self {
            steps: [None; KEPT],
            recorded: 0,
            taken: 0,
        }
    }

    /// Returns the steps that are kept, the oldest first.
    pub fn kept(&self) -> Steps {
        self.some(KEPT, KEPT)
    }

    /// Returns the next few steps since the last time, and how many before them are not kept.
    pub fn fresh(&mut self) -> (Steps, usize) {
        let count = self.recorded.wrapping_sub(self.taken);
        let kept = count.min(KEPT);
        let left = kept.saturating_sub(SHOWN);
        self.taken = self.recorded.wrapping_sub(left);
        (self.some(kept, SHOWN), count - kept)
    }

    /// Forgets what was not shown.
    pub fn skip(&mut self) {
        self.taken = self.recorded;
    }

    /// Returns `most` at most of the newest `count` steps.
    fn some(&self, count: usize, most: usize) -> Steps {
        let mut steps = [None; KEPT];
        for (n, step) in steps[..count.min(most)].iter_mut().enumerate() {
            let at = self.recorded.wrapping_sub(count).wrapping_add(n);
            *step = self.steps[at % KEPT];
        }
        Steps(steps)
    }
}

impl Trace for Recorder {
    #[inline]
    fn event(&mut self, event: Event) {
        self.steps[self.recorded % KEPT] = Some(Step {
            ticks: timer::coarse(),
            event,
        });
        self.recorded = self.recorded.wrapping_add(1);
    }
}

/// Steps that were copied out of a [`Recorder`], so that they can be shown without its lock.
pub struct Steps([Option<Step>; KEPT]);

impl Steps {
    /// No steps.
    pub const NONE: Self = Self([None; KEPT]);

    /// Returns the lines that show them, of the guest called `name`.
    pub fn lines<'a>(&'a self, name: &'a str) -> impl Iterator<Item = TraceLine<'a>> {
        let line = |step: &Step| {
            let (what, detail) = describe(step.event.what);
            TraceLine {
                time: microseconds(step.ticks),
                guest: name,
                vcpu: step.event.vcpu.0,
                call: step.event.call,
                what,
                detail,
            }
        };
        self.0.iter().flatten().map(line)
    }
}

fn microseconds(ticks: u64) -> u64 {
    let hz = timer::frequency();
    ticks / hz * 1_000_000 + ticks % hz * 1_000_000 / hz
}

fn describe(what: EventKind) -> (&'static str, Option<Detail>) {
    match what {
        EventKind::Fast(id) => ("fast call to OP-TEE", Some(Detail::Function(id.0))),
        EventKind::Taken(command) => (
            "taken over:",
            Some(Detail::Command(command.name(), command.0)),
        ),
        EventKind::Secure => ("enters OP-TEE", None),
        EventKind::Interrupted => ("interrupted", None),
        EventKind::Chunk => ("a part of its list is translated", None),
        EventKind::Rpc(command) => (
            "RPC to the guest:",
            Some(Detail::Command(command.name(), command.0)),
        ),
        EventKind::RpcAnswered(result) => ("RPC answered at EL2:", Some(Detail::Result(result.0))),
        EventKind::RpcPage => ("asks for, or returns, the page of its RPCs", None),
        EventKind::Refused(result) => ("refused:", Some(Detail::Result(result.0))),
        EventKind::Ended(code) => ("ended:", Some(Detail::Result(code.0))),
    }
}
