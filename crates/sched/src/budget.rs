// SPDX-License-Identifier: MIT OR Apache-2.0

//! How much time somebody may have in each period.

/// So much time in each period, in ticks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Budget {
    /// The time, at least 1 and at most the period.
    pub budget: u64,
    /// The period.
    pub period: u64,
}

impl Budget {
    /// Returns which part of a core's time this is, in billionths, rounded down: thirds make a whole.
    pub fn share(&self) -> u32 {
        let billionths = u128::from(self.budget) * 1_000_000_000;
        let share = billionths / u128::from(self.period.max(1));
        u32::try_from(share).unwrap_or(u32::MAX)
    }
}

/// A budget and what is left of it.
///
/// It is full when a period begins, whatever was left of the last, and what is left stays until the period
/// ends: a deferrable server. Who took more than there was, because nothing could end its turn in time, has
/// so much less in the next period.
#[derive(Clone, Debug)]
pub struct Account {
    of: Budget,
    used: u64,
    /// When the next period begins.
    next: u64,
}

impl Account {
    /// Opens an account; its first period begins at `now`.
    pub fn new(of: Budget, now: u64) -> Self {
        let period = of.period.max(1);
        let budget = of.budget.clamp(1, period);
        Self {
            of: Budget { budget, period },
            used: 0,
            next: now.saturating_add(period),
        }
    }

    /// Begins the period in which `now` is. Nobody has spent from it since the last time.
    pub fn refill(&mut self, now: u64) {
        if now < self.next {
            return;
        }
        let periods = (now - self.next) / self.of.period + 1;
        self.used = self
            .used
            .saturating_sub(periods.saturating_mul(self.of.budget));
        self.advance(periods);
    }

    fn advance(&mut self, periods: u64) {
        let ahead = periods.saturating_mul(self.of.period);
        self.next = self.next.saturating_add(ahead);
    }

    /// Takes the time from `from`, which is in the period that was begun last, to `to`: of each period from
    /// that period's budget.
    pub fn spend(&mut self, from: u64, to: u64) {
        if to < self.next {
            self.used = self.used.saturating_add(to.saturating_sub(from));
            return;
        }
        let Budget { budget, period } = self.of;
        let before = self.next.saturating_sub(from);
        self.used = self.used.saturating_add(before).saturating_sub(budget);
        let after = to - self.next;
        let whole = after / period;
        let owed = whole.saturating_mul(period - budget);
        self.used = self
            .used
            .saturating_add(owed.saturating_add(after % period));
        self.advance(whole + 1);
    }

    /// Returns what is left in the period that was begun last.
    pub fn left(&self) -> u64 {
        self.of.budget.saturating_sub(self.used)
    }

    /// Returns when there is something to spend again, if there is nothing left.
    pub fn refilled_at(&self) -> u64 {
        // Who owes as much as a budget waits for more than one period.
        let periods = self.used / self.of.budget;
        let more = periods.saturating_sub(1).saturating_mul(self.of.period);
        self.next.saturating_add(more)
    }

    /// Returns when who spends from `now` on without a break has nothing left.
    pub fn dry_at(&self, now: u64) -> u64 {
        let end = now.saturating_add(self.left());
        if end < self.next {
            end
        } else {
            self.next.saturating_add(self.of.budget)
        }
    }
}
