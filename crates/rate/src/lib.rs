// SPDX-License-Identifier: MIT OR Apache-2.0

//! How often something may happen, asked so that it costs next to nothing as long as it may.
//!
//! Who counts events compares the count with [`Allowance::limit`], and asks for the time only when it is reached. Then
//! either the period is over, and the next one begins; or whoever makes the events has to wait for its end. So in the
//! long run there are no more of them than the rate says, and in no period more than twice as many.
#![no_std]
#![forbid(unsafe_code)]

/// So many events in each period.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rate {
    /// Events, at least one.
    pub most: u64,
    /// Ticks of any clock, at least one.
    pub period: u64,
}

impl Rate {
    /// Returns the rate of `events` a second, by a clock of `frequency` ticks a second: it is held in periods of a
    /// hundredth of that.
    pub const fn a_second(events: u64, frequency: u64) -> Self {
        const PERIODS: u64 = 100;
        let most = events.div_ceil(PERIODS);
        // As long as so many events take: of few a second, one has a longer period.
        let period =
            (most as u128 * frequency as u128 / if events > 0 { events } else { 1 } as u128) as u64;
        Self {
            most: if most > 0 { most } else { 1 },
            period: if period > 0 { period } else { 1 },
        }
    }
}

/// What is left of a rate in this period.
#[derive(Clone, Debug)]
pub struct Allowance {
    rate: Option<Rate>,
    began: u64,
    limit: u64,
}

impl Allowance {
    /// Makes the allowance of events that were not counted yet, from `now` on. Without a rate nothing bounds them.
    pub const fn new(rate: Option<Rate>, now: u64) -> Self {
        Self {
            rate,
            began: now,
            limit: match rate {
                Some(rate) => rate.most,
                None => u64::MAX,
            },
        }
    }

    /// Returns the count with which [`Self::reached`] has to be asked.
    pub const fn limit(&self) -> u64 {
        self.limit
    }

    /// Notes that `count` events, [`Self::limit`] or more, have come by `now`. Returns until when no more may come, if the
    /// period is not over.
    pub fn reached(&mut self, count: u64, now: u64) -> Option<u64> {
        let rate = self.rate?;
        let end = self.began.saturating_add(rate.period);
        self.limit = count.saturating_add(rate.most);
        self.began = end.max(now);
        (now < end).then_some(end)
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    #[test]
    fn without_a_rate_nobody_waits() {
        let mut free = Allowance::new(None, 5);
        assert_eq!(free.limit(), u64::MAX);
        assert_eq!(free.reached(u64::MAX, 5), None);
    }

    #[test]
    fn who_is_too_fast_waits_for_the_end_of_the_period() {
        let mut of_ten = Allowance::new(
            Some(Rate {
                most: 10,
                period: 100,
            }),
            1000,
        );
        assert_eq!(of_ten.limit(), 10);
        assert_eq!(of_ten.reached(10, 1030), Some(1100));
        assert_eq!(of_ten.limit(), 20);
        assert_eq!(of_ten.reached(20, 1100), Some(1200));
    }

    #[test]
    fn who_is_slow_goes_on() {
        let mut of_ten = Allowance::new(
            Some(Rate {
                most: 10,
                period: 100,
            }),
            0,
        );
        assert_eq!(of_ten.reached(10, 100), None);
        assert_eq!(of_ten.reached(20, 5000), None);
        assert_eq!(of_ten.reached(30, 5001), Some(5100));
    }

    #[test]
    fn a_second_has_a_hundred_periods() {
        let rate = Rate::a_second(20_000, 1_000_000);
        assert_eq!(
            rate,
            Rate {
                most: 200,
                period: 10_000
            }
        );
        assert_eq!(
            Rate::a_second(1, 1_000_000),
            Rate {
                most: 1,
                period: 1_000_000
            }
        );
        assert_eq!(
            Rate::a_second(150, 3000),
            Rate {
                most: 2,
                period: 40
            }
        );
        assert_eq!(Rate::a_second(0, 0), Rate { most: 1, period: 1 });
        assert_eq!(
            Rate::a_second(u64::MAX, u64::MAX).most,
            u64::MAX.div_ceil(100)
        );
    }

    proptest! {
        /// Whatever the pauses between events, no period sees more than twice the rate's, and all of them no more than
        /// the rate and one period's.
        #[test]
        fn the_rate_is_held(
            most in 1_u64..20,
            period in 1_u64..200,
            pauses in prop::collection::vec(prop_oneof![Just(0), 0_u64..10, 0_u64..1000], 1..500),
        ) {
            let mut allowance = Allowance::new(Some(Rate { most, period }), 0);
            let mut now = 0;
            let mut came = Vec::new();
            for pause in pauses {
                now += pause;
                came.push(now);
                let count = came.len() as u64;
                if count >= allowance.limit() {
                    now = allowance.reached(count, now).unwrap_or(now);
                }
            }
            for (first, &start) in came.iter().enumerate() {
                let within = came[first..].iter().take_while(|&&at| at < start + period).count();
                prop_assert!(within as u64 <= 2 * most);
            }
            prop_assert!(came.len() as u64 <= (now / period + 1) * most);
        }
    }
}
