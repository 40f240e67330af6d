// SPDX-License-Identifier: MIT OR Apache-2.0

extern crate std;

use super::*;
use proptest::prelude::*;
use std::vec::Vec;

fn with(most: Option<u32>, longest: u64) -> Restarts {
    Restarts::new(Limits { most, longest })
}

/// Lets a guest that runs for `life` restart `times` times; returns the waits.
fn row(restarts: &mut Restarts, life: u64, times: usize) -> Vec<Result<u64, TooMany>> {
    let mut now = 0;
    (0..times)
        .map(|_| {
            restarts.started(now);
            now += life;
            let wait = restarts.next(now);
            now += wait.unwrap_or(0);
            wait
        })
        .collect()
}

#[test]
fn the_first_restart_comes_at_once_and_waits_double() {
    let waits = row(&mut with(None, 1000), 5, 7);
    assert_eq!(waits, [0, 100, 200, 400, 800, 1000, 1000].map(Ok));
}

#[test]
fn without_a_wait_each_restart_comes_at_once() {
    assert_eq!(row(&mut with(None, 0), 5, 50), [Ok(0); 50]);
}

#[test]
fn a_row_ends_at_its_limit() {
    let waits = row(&mut with(Some(2), 1000), 5, 4);
    assert_eq!(waits, [Ok(0), Ok(100), Err(TooMany(2)), Err(TooMany(2))]);
    assert_eq!(row(&mut with(Some(0), 1000), 5, 1), [Err(TooMany(0))]);
}

#[test]
fn a_guest_that_has_come_up_begins_a_new_row() {
    assert_eq!(row(&mut with(Some(1), 1000), STEADY, 9), [Ok(0); 9]);
    let mut restarts = with(Some(1), 1000);
    assert_eq!(row(&mut restarts, STEADY - 1, 2), [Ok(0), Err(TooMany(1))]);
}

#[test]
fn an_operator_begins_a_new_row() {
    let mut restarts = with(Some(1), 1000);
    assert_eq!(row(&mut restarts, 5, 2), [Ok(0), Err(TooMany(1))]);
    restarts.forget();
    assert_eq!(row(&mut restarts, 5, 1), [Ok(0)]);
}

proptest! {
    #[test]
    fn waits_never_shrink_nor_exceed_the_longest(longest in 0..u64::MAX, life in 0..STEADY) {
        let waits: Vec<_> = row(&mut with(None, longest), life / 64, 64);
        for pair in waits.windows(2) {
            prop_assert!(pair[0].unwrap() <= pair[1].unwrap());
        }
        prop_assert!(waits.iter().all(|wait| wait.unwrap() <= longest));
    }
}
