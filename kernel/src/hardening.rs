// SPDX-License-Identifier: MIT OR Apache-2.0

//! Each core's protection against guests that steer its speculation, and what guests are told of it.

use hardening::{Core, Entry};
use log::{info, warn};
use platform::Workarounds;
use smccc::arch::{SMCCC_ARCH_WORKAROUND_1, SMCCC_ARCH_WORKAROUND_2, SMCCC_ARCH_WORKAROUND_3};
use spin::Mutex;

use crate::arch::{cpu, firmware, identification};

/// What the firmware has told of the cores so far, together.
static BOARD: Mutex<Option<Workarounds>> = Mutex::new(None);

/// Asks the firmware about this core and lets its exits do what it needs.
pub fn init_core() {
    let answers = Workarounds {
        one: firmware::arch_feature(SMCCC_ARCH_WORKAROUND_1),
        two: firmware::arch_feature(SMCCC_ARCH_WORKAROUND_2),
        three: firmware::arch_feature(SMCCC_ARCH_WORKAROUND_3),
    };
    let mut board = BOARD.lock();
    *board = Some(board.map_or(answers, |others| others.or_worse(&answers)));
    drop(board);
    let core = identification::core();
    let entry = Entry::choose(&core, &answers);
    cpu::harden(&entry);
    report(&core, &entry);
}

fn report(core: &Core, entry: &Entry) {
    let mpidr = cpu::mpidr();
    if !entry.is_plain() {
        info!("core {mpidr:#x}: branch predictor: {entry} at each exit of a guest");
    }
    if entry.exposed {
        warn!(
            "core {mpidr:#x} (MIDR {:#x}): guests can steer its branch predictor (CVE-2017-5715, CVE-2022-23960): \
             its firmware lacks SMCCC_ARCH_WORKAROUND_1 and _3, update it",
            core.midr
        );
    }
}

/// Returns what all guests are told: of the cores that run, the worst. A guest may be moved from one to another.
pub fn of_the_board() -> Workarounds {
    BOARD.lock().unwrap_or(Workarounds::NONE)
}
