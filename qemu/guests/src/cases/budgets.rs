// SPDX-License-Identifier: MIT OR Apache-2.0

//! The bounds of the manifest's budgets, which are 2 of 10 ms of the core and 0.2 of 20 ms of OP-TEE here: for half a second
//! of the counter the guest takes as much of each as it can get.

use super::{Test, needs_tee};
use crate::outcome::Outcome;
use crate::rt::{tee, time};
use crate::{ensure, println};

pub const TESTS: &[Test] = &[("of_the_core", of_the_core), ("of_optee", of_optee)];

/// What is tried, the core's budget and its period, and the period of OP-TEE's, in milliseconds.
const SPAN: u64 = 500;
const BUDGET: u64 = 2;
const PERIOD: u64 = 10;
const TEE_PERIOD: u64 = 20;
/// OPTEE_SMC_CALL_GET_OS_REVISION (OP-TEE optee_smc.h).
const OS_REVISION: u64 = 0xbf00_0001;

/// Reads the counter again and again. What passes between two reads that are close to each other is its own time. Where
/// the host makes a turn late, the next ones are fewer: there is no telling how many.
fn of_the_core() -> Outcome {
    let near = time::ticks(1) / 20;
    let (mut own, mut last) = (0, time::now());
    time::repeat(SPAN, || {
        let now = time::now();
        let took = now - last;
        own += if took < near { took } else { 0 };
        last = now;
    });
    let own = own / time::ticks(1);
    println!("guest: {own} of {SPAN} ms of the core");
    let most = (SPAN / PERIOD + 2) * BUDGET;
    ensure!(own <= most, "{own} ms of the core, and at most {most}");
    Ok(())
}

/// Calls OP-TEE again and again: most of the time passes in calls that wait for a next period. Messages end as ever, if later.
fn of_optee() -> Outcome {
    needs_tee()?;
    let (mut calls, mut waited) = (0, 0);
    time::repeat(SPAN, || {
        let now = time::now();
        tee::raw([OS_REVISION, 0]);
        calls += 1;
        let took = time::now() - now;
        waited += if took > time::ticks(TEE_PERIOD) / 2 {
            took
        } else {
            0
        };
    });
    let waited = waited / time::ticks(1);
    println!("guest: {calls} calls, {waited} ms in those that waited");
    ensure!(
        waited >= SPAN / 2,
        "{waited} of {SPAN} ms in calls that waited"
    );
    super::optee::session(tee::WITH_ARG)
}
