// SPDX-License-Identifier: MIT OR Apache-2.0

//! Whose turn it is on a core, until when, and what that costs whom.

use crate::budget::{Account, Budget};
use crate::sooner;
use alloc::vec::Vec;

/// What a vCPU may have of its core.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Share {
    /// Who has more runs first, always.
    pub priority: u8,
    /// How long a turn lasts where others of the same priority want one, in ticks.
    pub slice: u64,
    /// The most that it gets, if there is a limit.
    pub budget: Option<Budget>,
}

/// What a vCPU has of its core.
#[derive(Debug)]
struct Entry {
    share: Share,
    account: Option<Account>,
    /// It had the last turn of its priority.
    is_last: bool,
    /// What is left of that turn.
    left: u64,
    /// All that it has had.
    total: u64,
    /// It can run and may, as of the last choice.
    is_ready: bool,
}

impl Entry {
    fn new(share: Share, now: u64) -> Self {
        Self {
            share,
            account: share.budget.map(|budget| Account::new(budget, now)),
            is_last: false,
            left: 0,
            total: 0,
            is_ready: false,
        }
    }

    fn spend(&mut self, from: u64, to: u64) {
        let time = to - from;
        self.total = self.total.saturating_add(time);
        self.left = self.left.saturating_sub(time);
        if let Some(account) = &mut self.account {
            account.spend(from, to);
        }
    }

    /// Tells whether it may run at `now`.
    fn has_budget(&mut self, now: u64) -> bool {
        self.account.as_mut().is_none_or(|account| {
            account.refill(now);
            account.left() > 0
        })
    }

    /// Returns when it may run if it wants to at `wanted`.
    fn may_run_at(&self, wanted: u64) -> u64 {
        match &self.account {
            Some(account) if account.left() == 0 => wanted.max(account.refilled_at()),
            _ => wanted,
        }
    }
}

/// The turns of one core. Times are ticks of the system counter, which never goes back.
#[derive(Debug)]
pub struct Turns {
    entries: Vec<Entry>,
    /// Who runs, and since when.
    current: Option<usize>,
    since: u64,
}

impl Turns {
    /// Makes the state in which none of `count` vCPUs has had a turn. Their periods begin at `now`.
    pub fn new(count: usize, shares: impl Iterator<Item = Share>, now: u64) -> Self {
        // Of its final size at once: growing would leave more of the heap in use.
        let mut entries = Vec::with_capacity(count);
        entries.extend(shares.map(|share| Entry::new(share, now)));
        Self {
            entries,
            current: None,
            since: now,
        }
    }

    /// Returns the bytes of heap that it takes for so many vCPUs.
    pub const fn heap_bytes(vcpus: usize) -> usize {
        vcpus * size_of::<Entry>()
    }

    /// Chooses the vCPU that runs from `now` on: of those for which `can_run` holds and that have something left
    /// of their budgets the one with the highest priority; of several the one whose turn it is. `None` if there is
    /// none.
    pub fn choose(&mut self, now: u64, can_run: impl Fn(usize) -> bool) -> Option<usize> {
        self.account(now);
        self.current = self.highest(now, can_run).map(|level| self.turn_of(level));
        self.current
    }

    /// Lets who ran until `now` pay for it.
    fn account(&mut self, now: u64) {
        let from = self.since;
        self.since = now.max(from);
        if let Some(current) = self.current {
            self.entries[current].spend(from, self.since);
        }
    }

    /// Returns the highest priority of those that run if none is higher, and notes who they are.
    fn highest(&mut self, now: u64, can_run: impl Fn(usize) -> bool) -> Option<u8> {
        let mut highest = None;
        for (index, entry) in self.entries.iter_mut().enumerate() {
            entry.is_ready = can_run(index) && entry.has_budget(now);
            if entry.is_ready {
                highest = highest.max(Some(entry.share.priority));
            }
        }
        highest
    }

    /// Returns whose turn it is among those of a priority, of whom somebody is ready: the next one after the last
    /// gets a whole slice when that one's has ended.
    fn turn_of(&mut self, priority: u8) -> usize {
        let is_level = |entry: &Entry| entry.share.priority == priority;
        let last = self.entries.iter().position(|e| e.is_last && is_level(e));
        if let Some(last) = last
            && self.entries[last].is_ready
            && self.entries[last].left > 0
        {
            return last;
        }
        // The last one comes last: it goes on only if no other can run.
        let count = self.entries.len();
        let next = (1..=count)
            .map(|step| (last.unwrap_or(0) + step) % count)
            .find(|&index| self.entries[index].is_ready && is_level(&self.entries[index]))
            .unwrap_or(0);
        if let Some(last) = last {
            self.entries[last].is_last = false;
        }
        let entry = &mut self.entries[next];
        entry.is_last = true;
        entry.left = entry.share.slice.max(1);
        next
    }

    /// Returns when to choose again at the latest, whoever can run then: `wants` says of a vCPU that was not chosen
    /// when it can, if that is known.
    pub fn next_choice(&self, wants: impl Fn(usize) -> Option<u64>) -> Option<u64> {
        let current = self.current.map(|index| &self.entries[index]);
        // A loop: this is on the way of each change of vCPUs.
        let mut first = current.and_then(|it| self.end_of(it));
        for (index, entry) in self.entries.iter().enumerate() {
            let outranks = current.is_none_or(|it| entry.share.priority > it.share.priority);
            if outranks
                && self.current != Some(index)
                && let Some(wanted) = wants(index)
            {
                first = sooner(first, Some(entry.may_run_at(wanted)));
            }
        }
        first
    }

    /// Returns when the turn of who runs ends by itself.
    fn end_of(&self, current: &Entry) -> Option<u64> {
        // Also where nobody of its priority waits: somebody may have come without a word.
        let slice = self.slice_end().filter(|_| self.entries.len() > 1);
        let dry = current.account.as_ref().map(|it| it.dry_at(self.since));
        sooner(slice, dry)
    }

    /// Returns when the slice of who runs ends, whether or not anybody wants the core then.
    pub fn slice_end(&self) -> Option<u64> {
        let current = &self.entries[self.current?];
        Some(self.since.saturating_add(current.left))
    }

    /// Ends the current turn early.
    pub fn end_now(&mut self) {
        if let Some(current) = self.current {
            self.entries[current].left = 0;
        }
    }

    /// Tells whether a vCPU with a higher priority than number `index` is there.
    pub fn is_outranked(&self, index: usize) -> bool {
        let priority = |entry: &Entry| entry.share.priority;
        let own = self.entries.get(index).map(priority);
        self.entries.iter().any(|it| Some(priority(it)) > own)
    }

    /// Returns who runs.
    pub fn current(&self) -> Option<usize> {
        self.current
    }

    /// Returns the time that vCPU number `index` has had until the last choice.
    pub fn total(&self, index: usize) -> u64 {
        self.entries.get(index).map_or(0, |entry| entry.total)
    }
}

#[cfg(test)]
mod tests;
