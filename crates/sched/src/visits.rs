// SPDX-License-Identifier: MIT OR Apache-2.0

//! How long a guest may be in OP-TEE.

use crate::budget::{Account, Budget};

/// Bounds of a guest's visits to OP-TEE, each by itself and all in a period. Times are ticks.
#[derive(Clone, Debug)]
pub struct Visits {
    longest: u64,
    account: Option<Account>,
}

impl Visits {
    /// Makes the bounds, if there is one. The first period begins at `now`.
    pub fn new(longest: Option<u64>, budget: Option<Budget>, now: u64) -> Option<Self> {
        let any = longest.is_some() || budget.is_some();
        any.then(|| Self {
            longest: longest.unwrap_or(u64::MAX),
            account: budget.map(|budget| Account::new(budget, now)),
        })
    }

    /// Returns until when a visit that begins at `now` may last.
    ///
    /// # Errors
    /// When it may begin, if the budget is used up.
    pub fn begin(&mut self, now: u64) -> Result<u64, u64> {
        let end = now.saturating_add(self.longest);
        let Some(account) = &mut self.account else {
            return Ok(end);
        };
        account.refill(now);
        match account.left() {
            0 => Err(account.refilled_at()),
            _ => Ok(end.min(account.dry_at(now))),
        }
    }

    /// Takes the time of a visit. Of visits at the same time each one counts.
    pub fn end(&mut self, from: u64, to: u64) {
        if let Some(account) = &mut self.account {
            account.spend(from, to);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_visit_lasts_for_its_bound() {
        assert!(Visits::new(None, None, 0).is_none());
        let mut visits = Visits::new(Some(10), None, 0).expect("it is bounded");
        assert_eq!(visits.begin(5), Ok(15));
        visits.end(5, 300);
        assert_eq!(visits.begin(300), Ok(310));
    }

    #[test]
    fn who_has_had_its_budget_waits_for_the_next() {
        let budget = Budget {
            budget: 20,
            period: 100,
        };
        let mut visits = Visits::new(Some(15), Some(budget), 0).expect("it is bounded");
        assert_eq!(visits.begin(0), Ok(15));
        visits.end(0, 15);
        assert_eq!(visits.begin(40), Ok(45));
        visits.end(40, 45);
        assert_eq!(visits.begin(46), Err(100));
        assert_eq!(visits.begin(100), Ok(115));
    }

    proptest! {
        /// Visits that begin when they may and end when they must get no more than the budget in a period. Each further
        /// one at the same time may be as long as what is left of one period and the budget of the next, once.
        #[test]
        fn nobody_gets_more_than_its_budget(
            budget in 1_u64..30, more in 0_u64..60, longest in prop::option::of(1_u64..40),
            gaps in prop::collection::vec(0_u64..50, 1..60), at_once in 1_u64..3,
        ) {
            let period = budget + more;
            let mut visits = Visits::new(longest, Some(Budget { budget, period }), 0).expect("it is bounded");
            let (mut now, mut total) = (0, 0);
            for gap in gaps {
                match visits.begin(now) {
                    Ok(end) => {
                        prop_assert!(end > now);
                        (0..at_once).for_each(|_| visits.end(now, end));
                        total += at_once * (end - now);
                        now = end + gap;
                    }
                    Err(again) => {
                        prop_assert!(again > now);
                        now = again;
                    }
                }
                let further = 2 * (at_once - 1);
                prop_assert!(total <= (now / period + 1 + further) * budget);
            }
        }
    }
}
