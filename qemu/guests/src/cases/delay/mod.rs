// SPDX-License-Identifier: MIT OR Apache-2.0

//! Whether a guest can delay another on the same core, for `cargo xtask bench --delay`: a control task, whose timer
//! wakes it once in a while, beside an attacker that tries one thing after another to make it late.
//!
//! The two share nothing but CNTPCT: from bootargs' `delay-from=MILLISECONDS` on each attack has so many
//! milliseconds (`delay-slot=`), at the end of which the attacker rests. One that restarts goes on with
//! the attack whose time it is.

mod attacks;
mod control;
mod cpu_time;
mod devices;
mod lives;
mod secure;

use super::{Test, needs_hypervisor};
use crate::outcome::Outcome;
use crate::rt::time::{self, Timer};
use crate::rt::{env, gic};
use platform::PHYSICAL_TIMER_INTID;

pub const CONTROL: &[Test] = &[("wakes_in_time", control::wakes_in_time)];
pub const ATTACKER: &[Test] = &[("attacks", attack_all)];

/// The part of an attack's time in which the attacker rests.
const REST: u64 = 8;

/// When each attack is under way.
#[derive(Clone, Copy)]
struct Plan {
    /// Ticks of CNTPCT: when the first begins, and how long each lasts.
    from: u64,
    each: u64,
}

impl Plan {
    fn get() -> Self {
        let ticks = |key, default| time::ticks(env::number(key).unwrap_or(default));
        Self {
            from: ticks("delay-from", 2_000),
            each: ticks("delay-slot", 20),
        }
    }

    /// Returns when attack number `n` begins; the one before, with its rest, has ended.
    fn begin(self, n: usize) -> u64 {
        self.from + self.each * n as u64
    }

    /// Returns the attack at the time `now`, which is not before the first.
    fn number(self, now: u64) -> usize {
        ((now - self.from) / self.each) as usize
    }
}

fn now() -> u64 {
    Timer::Physical.counter()
}

/// Does `step` again and again until CNTPCT is there.
fn repeat(until: u64, mut step: impl FnMut()) {
    while now() < until {
        step();
    }
}

/// Leaves the core to others until CNTPCT is there.
fn rest(until: u64) {
    gic::enable(PHYSICAL_TIMER_INTID);
    while now() < until {
        Timer::Physical.start(until);
        super::traps::wait_for(|| now() >= until);
    }
    Timer::Physical.stop();
}

/// Makes each attack in its time.
fn attack_all() -> Outcome {
    needs_hypervisor()?;
    let plan = Plan::get();
    rest(plan.from);
    while let Some(attack) = attacks::wanted().nth(plan.number(now())) {
        let end = plan.begin(plan.number(now()) + 1);
        let until = end - plan.each / REST;
        if now() < until {
            (attack.run)(until);
            clean_up();
        }
        rest(end);
    }
    Ok(())
}

/// Leaves nothing of an attack to the next.
fn clean_up() {
    Timer::Virtual.stop();
    Timer::Physical.stop();
    gic::init_distributor();
    gic::init_cpu();
    crate::rt::cpu::unmask_irqs();
}
