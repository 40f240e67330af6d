// SPDX-License-Identifier: MIT OR Apache-2.0

//! The generic timer's EL1 timers (DDI 0487, D12).

use super::Test;
use crate::outcome::Outcome;
use crate::rt::time::{self, Timer};
use crate::rt::{cpu, env, gic};
use crate::{ensure, ensure_eq};

pub const TESTS: &[Test] = &[
    ("virtual_fires", || fires(Timer::Virtual)),
    ("physical_fires", || fires(Timer::Physical)),
    ("virtual_masked", || masked(Timer::Virtual)),
    ("physical_masked", || masked(Timer::Physical)),
    ("virtual_level", || level(Timer::Virtual)),
    ("wakes_from_wfi", wakes_from_wfi),
    ("on_every_vcpu", on_every_vcpu),
    ("counters_agree", counters_agree),
];

const ENABLE: u64 = 1;
const IMASK: u64 = 2;
const ISTATUS: u64 = 4;

fn intid(timer: Timer) -> u32 {
    if timer == Timer::Virtual { 27 } else { 30 }
}

/// Fires ten times, never before its deadline.
fn fires(timer: Timer) -> Outcome {
    let intid = intid(timer);
    gic::enable(intid);
    for _ in 0..10 {
        let before = gic::taken(0, intid);
        let deadline = timer.counter() + time::ticks(5);
        timer.start(deadline);
        let fired = time::eventually(|| gic::taken(0, intid) > before);
        let counter = timer.counter();
        timer.stop();
        ensure!(fired, "INTID {intid} was not taken");
        ensure!(counter >= deadline, "taken at {counter}, before {deadline}");
        ensure_eq!(gic::taken(0, intid), before + 1, "times taken");
    }
    Ok(())
}

/// Checks that with IMASK the condition holds, but signals nothing.
fn masked(timer: Timer) -> Outcome {
    let intid = intid(timer);
    gic::enable(intid);
    let before = gic::taken(0, intid);
    timer.arm(timer.counter(), IMASK | ENABLE);
    let held = time::eventually(|| timer.control() & ISTATUS != 0);
    time::pause(5);
    let control = timer.control();
    timer.stop();
    ensure!(held, "ISTATUS stays 0");
    ensure_eq!(control, ISTATUS | IMASK | ENABLE, "control register");
    ensure_eq!(gic::taken(0, intid), before, "times taken");
    ensure_eq!(timer.control() & ENABLE, 0, "ENABLE after stopping");
    Ok(())
}

/// Checks that the interrupt is level-sensitive: it is pending for as long as the condition holds,
/// and goes when the timer is stopped, without ever being taken.
fn level(timer: Timer) -> Outcome {
    let intid = intid(timer);
    gic::enable(intid);
    let before = gic::taken(0, intid);
    cpu::without_irqs(|| {
        timer.start(timer.counter());
        let rose = time::eventually(|| gic::is_pending(intid));
        timer.stop();
        let fell = time::eventually(|| !gic::is_pending(intid));
        ensure!(rose, "INTID {intid} never became pending");
        ensure!(fell, "INTID {intid} stays pending");
        Ok(())
    })?;
    time::pause(2);
    ensure_eq!(gic::taken(0, intid), before, "times taken");
    Ok(())
}

fn wakes_from_wfi() -> Outcome {
    gic::enable(27);
    for _ in 0..10 {
        let before = gic::taken(0, 27);
        Timer::Virtual.start(time::now() + time::ticks(5));
        while gic::taken(0, 27) == before {
            cpu::mask_irqs();
            if gic::taken(0, 27) == before {
                cpu::wait_for_interrupt();
            }
            cpu::unmask_irqs();
        }
        Timer::Virtual.stop();
    }
    Ok(())
}

/// Checks that each vCPU's timer is its own.
fn on_every_vcpu() -> Outcome {
    super::needs_second_vcpu()?;
    ensure!(cpu::start_all(), "not all vCPUs are on");
    for cpu in 1..env::get().vcpus {
        let boot = gic::taken(0, 27);
        let fired = cpu::run_on(cpu, fire_here, 0);
        ensure_eq!(fired, Some(1), "the timer fired");
        ensure_eq!(gic::taken(0, 27), boot, "the boot vCPU's interrupts");
    }
    Ok(())
}

fn fire_here(_: u64) -> u64 {
    let me = cpu::me();
    gic::enable(27);
    let before = gic::taken(me, 27);
    Timer::Virtual.start(time::now() + time::ticks(5));
    let fired = time::eventually(|| gic::taken(me, 27) > before);
    Timer::Virtual.stop();
    u64::from(fired)
}

/// Checks that the virtual counter is the physical one less an offset that does not move.
fn counters_agree() -> Outcome {
    let (mut least, mut most) = (i64::MIN, i64::MAX);
    for _ in 0..1000 {
        let before = Timer::Virtual.counter();
        let physical = Timer::Physical.counter();
        let after = Timer::Virtual.counter();
        least = least.max(physical.wrapping_sub(after) as i64);
        most = most.min(physical.wrapping_sub(before) as i64);
    }
    ensure!(
        least <= most,
        "the offset moved: at least {least} and at most {most}"
    );
    Ok(())
}
