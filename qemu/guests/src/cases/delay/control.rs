// SPDX-License-Identifier: MIT OR Apache-2.0

//! The control task: how late its timer's handler has run, under each attack.

use super::attacks::{self, Attack};
use super::{Plan, cpu_time, now, rest};
use crate::cases::{needs_hypervisor, traps::wait_for};
use crate::outcome::Outcome;
use crate::rt::random::Random;
use crate::rt::time::{self, Timer};
use crate::rt::{cpu, env, gic};
use crate::{ensure, println};
use platform::VIRTUAL_TIMER_INTID;

/// How often it is woken, in microseconds, unless bootargs' `delay-period=` says so: at random between half of that and one
/// and a half, as the attacker may do things in step.
const PERIOD: u64 = 1_000;
const MOST: usize = 1 << 14;

static SAMPLES: spin::Mutex<Samples> = spin::Mutex::new(Samples {
    ticks: [0; MOST],
    count: 0,
});

/// How late each period was.
struct Samples {
    ticks: [u32; MOST],
    count: usize,
}

impl Samples {
    fn add(&mut self, ticks: u64) {
        if let Some(slot) = self.ticks.get_mut(self.count) {
            *slot = ticks as u32;
            self.count += 1;
        }
    }

    /// Returns what this part of the samples stays below, in nanoseconds. They are sorted.
    fn rank(&self, part: usize, of: usize) -> u64 {
        let index = (self.count * part / of).min(self.count - 1);
        u64::from(self.ticks[index]) * (1_000_000_000 / time::frequency())
    }

    /// Prints and forgets them. Returns the longest.
    fn report(&mut self, attack: &Attack) -> u64 {
        let Attack { name, vcpus, .. } = attack;
        self.ticks[..self.count].sort_unstable();
        let parts = [(1, 2), (99, 100), (999, 1000), (1, 1)];
        let [median, most, nearly_all, longest] = parts.map(|(n, of)| self.rank(n, of));
        let count = self.count;
        println!("delay: {name}: {vcpus} {count} {median} {most} {nearly_all} {longest}");
        self.count = 0;
        longest
    }
}

/// Measures under each attack. No delay may be longer than bootargs' `delay-most=NANOSECONDS`.
pub fn wakes_in_time() -> Outcome {
    needs_hypervisor()?;
    let plan = Plan::get();
    let most = env::number("delay-most").unwrap_or(u64::MAX);
    ensure!(now() < plan.from, "the guests started after `delay-from`");
    cpu_time::enable_fp();
    rest(plan.from);
    gic::enable(VIRTUAL_TIMER_INTID);
    let period = env::number("delay-period").unwrap_or(PERIOD);
    let period = period * time::frequency() / 1_000_000;
    let mut random = Random::new(1);
    let mut samples = SAMPLES.lock();
    for (n, attack) in attacks::wanted().enumerate() {
        // The next attack's delays are not this one's.
        while now() + 2 * period < plan.begin(n + 1) {
            samples.add(late(time::now() + period / 2 + random.below(period)));
        }
        rest(plan.begin(n + 1));
        ensure!(samples.count > 0, "no period during {}", attack.name);
        let longest = samples.report(attack);
        ensure!(longest <= most, "{longest} instructions: {}", attack.name);
    }
    Ok(())
}

/// Returns how many ticks after `deadline` its handler has run, and the FP registers are there.
fn late(deadline: u64) -> u64 {
    let before = gic::taken(cpu::me(), VIRTUAL_TIMER_INTID);
    Timer::Virtual.start(deadline);
    wait_for(|| gic::taken(cpu::me(), VIRTUAL_TIMER_INTID) != before);
    cpu_time::use_fp();
    time::now() - deadline
}
