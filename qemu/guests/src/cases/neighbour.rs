// SPDX-License-Identifier: MIT OR Apache-2.0

//! A guest that goes about its work beside a hostile one, until bootargs' `neighbour-until=SECONDS`
//! (default 20) on the counter, or with `neighbour-until-typed` until something is typed: its memory stays, its calls work,
//! its timer fires once for each time it is set, and no interrupt comes that it did not cause.

use super::Test;
use crate::outcome::Outcome;
use crate::rt::time::Timer;
use crate::rt::{console, cpu, env, gic, time};
use crate::{ensure, ensure_eq, mrs, msr, println};
use platform::{INTIDS, VIRTUAL_TIMER_INTID};

pub const TESTS: &[Test] = &[("undisturbed", undisturbed)];

/// The SGI that it sends to itself.
const SGI: u32 = 3;
const PATTERN: u64 = 0x6e65_6967_6862_6f75;

fn undisturbed() -> Outcome {
    let is_over = end();
    ensure!(cpu::start_all(), "not all vCPUs are on");
    (16..INTIDS as u32).for_each(gic::enable);
    words().for_each(|word| {
        // SAFETY: RAM that nothing uses.
        unsafe { word.write_volatile(word as u64 ^ PATTERN) }
    });
    msr!("tpidr_el1", PATTERN);
    let mut rounds = 0;
    while rounds == 0 || !is_over() {
        round(rounds)?;
        rounds += 1;
        if rounds == 1 {
            println!("guest: watches");
        }
    }
    println!("guest: {rounds} rounds");
    Ok(())
}

/// Returns what tells that it is enough.
fn end() -> impl Fn() -> bool {
    let until_typed = env::words().any(|word| word == "neighbour-until-typed");
    let end = env::number("neighbour-until").unwrap_or(20) * time::frequency();
    move || {
        if until_typed {
            console::typed().is_some()
        } else {
            time::now() >= end
        }
    }
}

/// Returns all of RAM behind the image, but for the tree.
fn words() -> impl Iterator<Item = *mut u64> {
    env::spare_ram()
        .flat_map(|range| range.step_by(8))
        .map(|at| at as *mut u64)
}

fn round(rounds: u32) -> Outcome {
    fires_once(rounds)?;
    if env::get().tee.is_some() {
        super::optee::use_optee()?;
    }
    let sum = |x: u64| x.wrapping_mul(3) ^ (mrs!("mpidr_el1") & 7);
    for cpu in 1..env::get().vcpus {
        let done = cpu::run_on(cpu, sum, rounds.into());
        ensure_eq!(done, Some((u64::from(rounds) * 3) ^ cpu as u64), "work");
    }
    ensure_eq!(mrs!("tpidr_el1"), PATTERN, "TPIDR_EL1");
    let other = words().find(|&word| {
        // SAFETY: as above.
        unsafe { word.read_volatile() != word as u64 ^ PATTERN }
    });
    ensure!(other.is_none(), "memory at {other:?} has changed");
    no_others(rounds + 1)
}

/// Takes the interrupts of the timer and of an SGI, each of them one time.
fn fires_once(rounds: u32) -> Outcome {
    Timer::Virtual.start(time::now() + time::ticks(1));
    gic::send_sgi(SGI, 1);
    let taken = || (gic::taken(0, VIRTUAL_TIMER_INTID), gic::taken(0, SGI));
    let wanted = (rounds + 1, rounds + 1);
    time::eventually(|| taken() == wanted);
    Timer::Virtual.stop();
    ensure_eq!(taken(), wanted, "timer interrupts and SGIs");
    Ok(())
}

/// Checks that nothing comes but what this guest has caused, `rounds` times.
fn no_others(rounds: u32) -> Outcome {
    for cpu in 0..env::get().vcpus {
        for intid in 0..INTIDS as u32 {
            let own = match (cpu, intid) {
                (0, VIRTUAL_TIMER_INTID | SGI) => rounds,
                (1.., cpu::WORK_SGI) => rounds,
                _ => 0,
            };
            ensure_eq!(
                (cpu, intid, gic::taken(cpu, intid)),
                (cpu, intid, own),
                "interrupts"
            );
        }
    }
    ensure_eq!(gic::strays(), 0, "interrupts of no INTID");
    Ok(())
}
