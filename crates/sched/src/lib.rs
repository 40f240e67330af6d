// SPDX-License-Identifier: MIT OR Apache-2.0

//! Which core serves a vCPU ([`place`]), and whose turn it is there: round-robin among the vCPUs
//! that are fixed to the core.
//!
//! A vCPU keeps the core until its slice ends, it waits or it yields. Then the next one that can
//! run, in the order of their numbers, gets a whole slice. One that becomes able to run waits for
//! its turn: it takes the core from no other. So a vCPU that can run waits at most for one slice of
//! each of the others.
#![no_std]
#![forbid(unsafe_code)]

pub mod place;

/// The turns of one core. Times are ticks of the system counter.
#[derive(Clone, Debug, Default)]
pub struct RoundRobin {
    current: usize,
    /// When the slice of `current` ends.
    end: u64,
}

impl RoundRobin {
    /// Makes the state in which no vCPU has had a turn.
    pub const fn new() -> Self {
        Self { current: 0, end: 0 }
    }

    /// Chooses the vCPU that runs from `now` on: one of the `count` vCPUs for which `can_run` holds. `None`
    /// if there is none. A new turn lasts for what `slice` says.
    pub fn choose(
        &mut self,
        now: u64,
        count: usize,
        can_run: impl Fn(usize) -> bool,
        slice: impl Fn(usize) -> u64,
    ) -> Option<usize> {
        if self.current < count && now < self.end && can_run(self.current) {
            return Some(self.current);
        }
        // The current one comes last: it goes on only if no other can run.
        let next = (1..=count)
            .map(|step| (self.current.min(count - 1) + step) % count)
            .find(|&index| can_run(index))?;
        self.current = next;
        self.end = now.saturating_add(slice(next).max(1));
        Some(next)
    }

    /// Returns when the current turn ends.
    pub const fn end(&self) -> u64 {
        self.end
    }

    /// Ends the current turn early.
    pub const fn end_now(&mut self) {
        self.end = 0;
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use proptest::prelude::*;
    use std::vec;
    use std::vec::Vec;

    #[test]
    fn a_turn_lasts_for_its_slice() {
        let mut turns = RoundRobin::new();
        let mut at = |now| turns.choose(now, 2, |_| true, |index| [10, 30][index]);
        assert_eq!(at(100), Some(1));
        assert_eq!(at(129), Some(1));
        assert_eq!(at(130), Some(0));
        assert_eq!(at(139), Some(0));
        assert_eq!(at(140), Some(1));
    }

    #[test]
    fn who_is_alone_goes_on_in_a_new_slice() {
        let mut turns = RoundRobin::new();
        for now in 0..100 {
            assert_eq!(turns.choose(now, 3, |index| index == 2, |_| 10), Some(2));
        }
        assert_eq!(turns.end(), 100);
    }

    #[test]
    fn even_a_slice_of_nothing_is_a_turn() {
        let mut turns = RoundRobin::new();
        assert_eq!(turns.choose(7, 2, |_| true, |_| 0), Some(1));
        assert_eq!(turns.end(), 8);
        assert_eq!(turns.choose(7, 2, |_| true, |_| 0), Some(1));
        assert_eq!(turns.choose(8, 2, |_| true, |_| 0), Some(0));
    }

    #[test]
    fn one_that_wakes_waits_for_its_turn() {
        let mut turns = RoundRobin::new();
        assert_eq!(turns.choose(0, 2, |index| index == 0, |_| 10), Some(0));
        assert_eq!(turns.choose(5, 2, |_| true, |_| 10), Some(0));
        assert_eq!(turns.choose(10, 2, |_| true, |_| 10), Some(1));
    }

    #[test]
    fn who_waits_or_yields_gives_the_rest_of_its_slice_away() {
        let mut turns = RoundRobin::new();
        assert_eq!(turns.choose(0, 2, |_| true, |_| 10), Some(1));
        assert_eq!(turns.choose(1, 2, |index| index == 0, |_| 10), Some(0));
        turns.end_now();
        assert_eq!(turns.choose(2, 2, |_| true, |_| 10), Some(1));
        assert_eq!(turns.end(), 12);
    }

    #[test]
    fn nobody_runs_where_nobody_can() {
        let mut turns = RoundRobin::new();
        assert_eq!(turns.choose(0, 0, |_| true, |_| 10), None);
        assert_eq!(turns.choose(0, 4, |_| false, |_| 10), None);
        assert_eq!(turns.choose(u64::MAX, 1, |_| true, |_| 0), Some(0));
    }

    #[test]
    fn those_that_are_gone_are_never_asked() {
        let mut turns = RoundRobin::new();
        assert_eq!(turns.choose(0, 3, |index| index == 2, |_| 10), Some(2));
        let of_two = |index| index < 2 || panic!("asked about {index} of 2");
        assert_eq!(turns.choose(1, 2, of_two, |_| 10), Some(0));
    }

    #[test]
    fn after_those_that_are_gone_the_first_is_next() {
        let mut turns = RoundRobin::new();
        assert_eq!(turns.choose(0, 5, |index| index == 4, |_| 10), Some(4));
        assert_eq!(turns.choose(1, 3, |_| true, |_| 10), Some(0));
    }

    proptest! {
        /// A vCPU that can run all the time runs after at most one slice of each of the others.
        #[test]
        fn nobody_starves(
            slices in prop::collection::vec(1_u64..50, 1..9),
            patient in 0_usize..9,
            steps in prop::collection::vec((0_u64..20, any::<u8>(), any::<bool>()), 1..400),
        ) {
            let count = slices.len();
            let patient = patient % count;
            let others: u64 = (0..count).filter(|&n| n != patient).map(|n| slices[n]).sum();
            let longest_step = 20;
            let mut turns = RoundRobin::new();
            let mut now = 0;
            let mut last_ran = 0;
            for (pass, mask, yields) in steps {
                now += pass;
                let can_run = |n: usize| n == patient || mask & 1 << n != 0;
                let chosen = turns.choose(now, count, can_run, |n| slices[n]);
                let chosen = chosen.expect("the patient one can run");
                prop_assert!(can_run(chosen));
                prop_assert!(turns.end() > now && turns.end() <= now + slices[chosen]);
                if chosen == patient {
                    last_ran = now;
                }
                prop_assert!(now - last_ran <= others + longest_step * count as u64);
                if yields {
                    turns.end_now();
                }
            }
        }

        /// vCPUs that never wait get their share of the time.
        #[test]
        fn time_is_shared_by_slices(slices in prop::collection::vec(1_u64..50, 1..9)) {
            let mut turns = RoundRobin::new();
            let mut got: Vec<u64> = vec![0; slices.len()];
            let round: u64 = slices.iter().sum();
            for now in 0..round * 10 {
                let chosen = turns.choose(now, slices.len(), |_| true, |n| slices[n]);
                got[chosen.expect("all can run")] += 1;
            }
            let wanted: Vec<u64> = slices.iter().map(|slice| slice * 10).collect();
            prop_assert_eq!(got, wanted);
        }
    }
}
