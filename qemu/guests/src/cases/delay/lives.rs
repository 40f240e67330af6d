// SPDX-License-Identifier: MIT OR Apache-2.0

//! Attacks by PSCI, and by restarts: each costs EL2 the guest's whole RAM and images.

use super::devices::set_watchdog;
use super::repeat;
use crate::msr;
use crate::rt::call::psci::{AFFINITY_INFO, CPU_ON, FEATURES, SYSTEM_RESET, VERSION, psci};
use crate::rt::call::{call, regs};
use crate::rt::{cpu, read32};
use platform::Conduit;

/// Nothing is here.
const HOLE: u64 = 128 << 30;

pub fn hypercalls(until: u64) {
    repeat(until, || {
        for [function, argument] in [
            [VERSION, 0],
            [FEATURES, VERSION],
            [AFFINITY_INFO, 1],
            [CPU_ON, 77],
            [0x8400_00ff, 0],
            [0xc600_0000, 0],
        ] {
            for conduit in [Conduit::Smc, Conduit::Hvc] {
                call(conduit, regs([function, argument]));
            }
        }
    });
}

pub fn on_and_off(until: u64) {
    repeat(until, || {
        cpu::start(1, 0);
        cpu::stop(1);
    });
}

pub fn resets(until: u64) {
    cpu::start_all();
    repeat(until, || {
        psci([SYSTEM_RESET]);
    });
}

/// Leaves itself without vectors: EL2 sees that it can take no exception.
pub fn crashes(_: u64) {
    msr!("vbar_el1", HOLE);
    read32(HOLE);
}

pub fn watchdog_restarts(until: u64) {
    set_watchdog(0);
    repeat(until, || {});
}
