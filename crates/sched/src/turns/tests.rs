// SPDX-License-Identifier: MIT OR Apache-2.0

extern crate std;

use super::*;
use proptest::prelude::*;
use std::vec;
use std::vec::Vec;

/// vCPUs without budgets, each with a priority and a slice.
fn plain(of: &[(u8, u64)]) -> Turns {
    let share = |&(priority, slice)| Share {
        priority,
        slice,
        budget: None,
    };
    Turns::new(of.len(), of.iter().map(share), 0)
}

fn equals(slices: &[u64]) -> Turns {
    let of: Vec<_> = slices.iter().map(|&slice| (0, slice)).collect();
    plain(&of)
}

fn limited(priority: u8, budget: u64, period: u64) -> Share {
    Share {
        priority,
        slice: 10,
        budget: Some(Budget { budget, period }),
    }
}

/// When the current turn ends if nobody else comes.
fn end(turns: &Turns) -> Option<u64> {
    turns.next_choice(|_| None)
}

#[test]
fn a_turn_lasts_for_its_slice() {
    let mut turns = equals(&[10, 30]);
    let mut at = |now| turns.choose(now, |_| true);
    assert_eq!(at(100), Some(1));
    assert_eq!(at(129), Some(1));
    assert_eq!(at(130), Some(0));
    assert_eq!(at(139), Some(0));
    assert_eq!(at(140), Some(1));
}

#[test]
fn who_is_alone_goes_on_in_a_new_slice() {
    let mut turns = equals(&[10; 3]);
    for now in 0..100 {
        assert_eq!(turns.choose(now, |index| index == 2), Some(2));
    }
    assert_eq!(end(&turns), Some(100));
}

#[test]
fn who_has_the_core_alone_needs_no_end() {
    let mut turns = equals(&[10]);
    assert_eq!(turns.choose(5, |_| true), Some(0));
    assert_eq!(end(&turns), None);
}

#[test]
fn even_a_slice_of_nothing_is_a_turn() {
    let mut turns = equals(&[0, 0]);
    assert_eq!(turns.choose(7, |_| true), Some(1));
    assert_eq!(end(&turns), Some(8));
    assert_eq!(turns.choose(7, |_| true), Some(1));
    assert_eq!(turns.choose(8, |_| true), Some(0));
}

#[test]
fn one_that_wakes_waits_for_its_turn() {
    let mut turns = equals(&[10, 10]);
    assert_eq!(turns.choose(0, |index| index == 0), Some(0));
    assert_eq!(turns.choose(5, |_| true), Some(0));
    assert_eq!(turns.choose(10, |_| true), Some(1));
}

#[test]
fn who_waits_or_yields_gives_the_rest_of_its_slice_away() {
    let mut turns = equals(&[10, 10]);
    assert_eq!(turns.choose(0, |_| true), Some(1));
    assert_eq!(turns.choose(1, |index| index == 0), Some(0));
    turns.end_now();
    assert_eq!(turns.choose(2, |_| true), Some(1));
    assert_eq!(end(&turns), Some(12));
}

#[test]
fn nobody_runs_where_nobody_can() {
    assert_eq!(equals(&[]).choose(0, |_| true), None);
    assert_eq!(equals(&[10; 4]).choose(0, |_| false), None);
    assert_eq!(equals(&[0]).choose(u64::MAX, |_| true), Some(0));
}

#[test]
fn a_higher_priority_takes_the_core_at_once() {
    let mut turns = plain(&[(0, 10), (9, 10), (0, 10)]);
    assert_eq!(turns.choose(0, |index| index == 0), Some(0));
    assert_eq!(
        turns.next_choice(|index| (index == 1).then_some(4)),
        Some(4)
    );
    assert_eq!(turns.choose(4, |_| true), Some(1));
    assert_eq!(turns.choose(30, |_| true), Some(1), "and keeps it");
    assert_eq!(
        turns.choose(31, |index| index != 1),
        Some(0),
        "the rest of its slice"
    );
    assert_eq!(end(&turns), Some(37));
    assert_eq!(turns.choose(37, |index| index != 1), Some(2));
}

#[test]
fn a_wake_of_an_equal_or_lower_one_is_no_alarm() {
    let mut turns = plain(&[(5, 10), (5, 10), (1, 10)]);
    assert_eq!(turns.choose(0, |index| index == 0), Some(0));
    assert_eq!(turns.next_choice(|_| Some(3)), Some(10));
    assert_eq!(turns.choose(1, |_| false), None);
    assert_eq!(turns.next_choice(|_| Some(3)), Some(3));
}

#[test]
fn a_budget_that_is_used_up_ends_the_turn_until_the_next_period() {
    let shares = [limited(3, 20, 100), limited(0, 100, 100)];
    let mut turns = Turns::new(2, shares.into_iter(), 0);
    assert_eq!(turns.choose(50, |_| true), Some(0));
    assert_eq!(turns.choose(60, |_| true), Some(0));
    assert_eq!(end(&turns), Some(70));
    assert_eq!(turns.choose(70, |_| true), Some(1));
    assert_eq!(turns.choose(80, |_| true), Some(1));
    assert_eq!(turns.next_choice(|_| Some(0)), Some(90), "a slice");
    assert_eq!(turns.choose(95, |_| true), Some(1));
    assert_eq!(turns.next_choice(|_| Some(0)), Some(100), "a period");
    assert_eq!(turns.choose(100, |_| true), Some(0));
    assert_eq!((turns.total(0), turns.total(1)), (20, 30));
}

#[test]
fn two_budgets_may_follow_each_other() {
    let mut turns = Turns::new(1, [limited(3, 20, 100)].into_iter(), 0);
    assert_eq!(turns.choose(80, |_| true), Some(0));
    assert_eq!(end(&turns), Some(120), "the end of one period and the next");
    assert_eq!(turns.choose(120, |_| true), None);
    assert_eq!(turns.next_choice(|_| Some(0)), Some(200));
}

#[test]
fn what_was_taken_too_much_is_owed() {
    let mut turns = Turns::new(1, [limited(0, 20, 100)].into_iter(), 0);
    assert_eq!(turns.choose(0, |_| true), Some(0));
    assert_eq!(turns.choose(50, |_| true), None, "30 too late");
    assert_eq!(turns.choose(100, |_| true), None);
    assert_eq!(turns.next_choice(|_| Some(0)), Some(200));
    assert_eq!(turns.choose(200, |_| true), Some(0));
    assert_eq!(end(&turns), Some(210));
}

#[test]
fn what_is_not_used_is_lost_with_its_period() {
    let mut turns = Turns::new(1, [limited(0, 20, 100)].into_iter(), 0);
    assert_eq!(turns.choose(930, |_| true), Some(0));
    assert_eq!(end(&turns), Some(950));
    assert_eq!(turns.choose(950, |_| true), None);
}

#[test]
fn those_that_are_outranked_are_known() {
    let turns = plain(&[(1, 10), (2, 10), (2, 10)]);
    assert!(turns.is_outranked(0));
    assert!(!turns.is_outranked(1) && !turns.is_outranked(2));
    assert!(!equals(&[10, 10]).is_outranked(0));
}

#[test]
fn shares_of_a_core_are_rounded_down() {
    let share = |budget, period| Budget { budget, period }.share();
    assert_eq!(share(1, 2), 500_000_000);
    assert_eq!(share(1, 3), 333_333_333);
    assert_eq!(share(7, 7), 1_000_000_000);
    assert_eq!(share(u64::MAX, 1), u32::MAX);
}

/// A vCPU that now and then waits: its share, and for how long it waits and wants to run by turns.
#[derive(Clone, Debug)]
struct Model {
    share: Share,
    works: u64,
    waits: u64,
}

/// A time at which vCPU `model` wants to run: from `waits` on, until it has had `works`.
#[derive(Clone, Debug, Default)]
struct Wish {
    had: u64,
    wakes: u64,
}

fn models() -> impl Strategy<Value = Vec<Model>> {
    let budget = (1_u64..30, 0_u64..60).prop_map(|(budget, more)| Budget {
        budget,
        period: budget + more,
    });
    let share = (0_u8..3, 0_u64..12, prop::option::of(budget));
    let model =
        (share, 1_u64..40, 0_u64..50).prop_map(|((priority, slice, budget), works, waits)| Model {
            share: Share {
                priority,
                slice,
                budget,
            },
            works,
            waits,
        });
    prop::collection::vec(model, 1..6)
}

/// What ran at each tick, when the core looks at its alarm and at nothing else.
fn run(models: &[Model], ticks: u64) -> Result<Vec<Option<usize>>, TestCaseError> {
    let mut turns = Turns::new(models.len(), models.iter().map(|model| model.share), 0);
    let mut wishes = vec![Wish::default(); models.len()];
    let mut ran = Vec::new();
    let mut used = vec![0; models.len()];
    let mut alarm = Some(0);
    for now in 0..ticks {
        for (used, model) in used.iter_mut().zip(models) {
            if model.share.budget.is_some_and(|it| now % it.period == 0) {
                *used = 0;
            }
        }
        let wants = |wish: &Wish| wish.wakes <= now;
        let may = |n: usize| models[n].share.budget.is_none_or(|it| used[n] < it.budget);
        let mut chosen = ran.last().copied().flatten();
        let waits = chosen.is_some_and(|n: usize| !wants(&wishes[n]));
        if waits || alarm.is_some_and(|alarm| alarm <= now) {
            chosen = turns.choose(now, |n| wants(&wishes[n]));
            alarm = turns.next_choice(|n| Some(wishes[n].wakes.max(now)));
            prop_assert!(alarm.is_none_or(|alarm| alarm > now));
        }
        let best = (0..models.len())
            .filter(|&n| wants(&wishes[n]) && may(n))
            .map(|n| models[n].share.priority)
            .max();
        prop_assert_eq!(chosen.map(|n| models[n].share.priority), best, "at {}", now);
        if let Some(n) = chosen {
            prop_assert!(wants(&wishes[n]), "{n} waits at {now}");
            prop_assert!(may(n), "{n} has used its budget up at {now}");
            used[n] += 1;
            wishes[n].had += 1;
            if wishes[n].had == models[n].works {
                wishes[n] = Wish {
                    had: 0,
                    wakes: now + 1 + models[n].waits,
                };
            }
        }
        ran.push(chosen);
    }
    Ok(ran)
}

proptest! {
    /// The highest priority that can run and may runs at each tick, nobody has more than its budget in a period,
    /// and looking at the alarm alone is enough for both.
    #[test]
    fn the_highest_that_may_runs_and_the_alarm_is_never_late(models in models()) {
        run(&models, 400)?;
    }

    /// Who can run all the time waits for one slice of each of its equals, not counting the time of others.
    #[test]
    fn nobody_starves_among_equals(mut models in models(), patient in 0_usize..6) {
        let patient = patient % models.len();
        models[patient].share.budget = None;
        models[patient].waits = 0;
        let priority = models[patient].share.priority;
        let equal = |n: usize| n != patient && models[n].share.priority == priority;
        let slices: u64 = (0..models.len()).filter(|&n| equal(n)).map(|n| models[n].share.slice.max(1)).sum();
        let mut waited = 0;
        for ran in run(&models, 600)? {
            match ran {
                Some(n) if n == patient => waited = 0,
                Some(n) if equal(n) => waited += 1,
                _ => {}
            }
            prop_assert!(waited <= slices);
        }
    }

    /// vCPUs that never wait get their share of the time.
    #[test]
    fn time_is_shared_by_slices(slices in prop::collection::vec(1_u64..50, 1..9)) {
        let mut turns = equals(&slices);
        let mut got: Vec<u64> = vec![0; slices.len()];
        let round: u64 = slices.iter().sum();
        for now in 0..round * 10 {
            let chosen = turns.choose(now, |_| true);
            got[chosen.expect("all can run")] += 1;
        }
        let wanted: Vec<u64> = slices.iter().map(|slice| slice * 10).collect();
        prop_assert_eq!(got, wanted);
    }

    /// However late the core looks, over many periods nobody gets more than its budgets and the last overrun.
    #[test]
    fn late_looks_do_not_add_up(budget in 1_u64..30, more in 0_u64..60, late in prop::collection::vec(0_u64..200, 1..80)) {
        let period = budget + more;
        let mut account = Account::new(Budget { budget, period }, 0);
        let (mut now, mut total, mut longest) = (0, 0, 0);
        for late in late {
            account.refill(now);
            if account.left() > 0 {
                let end = account.dry_at(now) + late;
                account.spend(now, end);
                total += end - now;
                longest = longest.max(late);
                now = end;
            } else {
                let next = account.refilled_at();
                prop_assert!(next > now);
                now = next;
                account.refill(now);
                prop_assert!(account.left() > 0, "not refilled when it said");
            }
            prop_assert!(total <= (now / period + 1) * budget + longest);
        }
    }

    /// Whatever the numbers are, nothing overflows.
    #[test]
    fn any_numbers_do(
        budget in any::<u64>(), period in any::<u64>(), slice in any::<u64>(),
        times in prop::collection::vec(any::<u64>(), 1..20),
    ) {
        let share = Share { priority: 0, slice, budget: Some(Budget { budget, period }) };
        let mut turns = Turns::new(2, [share, share].into_iter(), times[0]);
        for now in times {
            turns.choose(now, |_| true);
            turns.next_choice(|_| Some(now));
            turns.end_now();
        }
    }
}
