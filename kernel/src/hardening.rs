// SPDX-License-Identifier: MIT OR Apache-2.0

//! Each core's protection against guests that steer its speculation, and what guests are told of it.

use hardening::{Core, Entry};
use log::{info, warn};
use platform::Workarounds;
use spin::Mutex;

use crate::arch::{cpu, firmware, identification};

/// What is known of the cores so far.
struct Known {
    /// What the firmware has told of them, together.
    answers: Option<Workarounds>,
    /// What the last one does that has been told of.
    told: Entry,
}

static KNOWN: Mutex<Known> = Mutex::new(Known {
    answers: None,
    told: Entry::PLAIN,
});

/// Asks the firmware about this core and lets its exits do what it needs.
pub fn init_core() {
    let answers = firmware::workarounds();
    let core = identification::core();
    let entry = Entry::choose(&core, &answers);
    cpu::harden(&entry);
    let mut known = KNOWN.lock();
    let others = known.answers.unwrap_or(answers);
    known.answers = Some(others.or_worse(&answers));
    // A line for each kind of core.
    if core::mem::replace(&mut known.told, entry) != entry {
        report(&core, &entry);
    }
}

fn report(core: &Core, entry: &Entry) {
    let mpidr = cpu::mpidr();
    if !entry.is_plain() {
        info!("core {mpidr:#x} and its like: branch predictor: {entry} at each exit of a guest");
    }
    if entry.exposed {
        warn!(
            "core {mpidr:#x} and its like (MIDR {:#x}): guests can steer the branch predictor (CVE-2017-5715, \
             CVE-2022-23960): the firmware lacks SMCCC_ARCH_WORKAROUND_1 or _3, update it",
            core.midr
        );
    }
}

/// Returns what all guests are told: of the cores that run, the worst.
pub fn of_the_board() -> Workarounds {
    KNOWN.lock().answers.unwrap_or(Workarounds::NONE)
}
