// SPDX-License-Identifier: MIT OR Apache-2.0

//! The list of attacks. Each goes on until CNTPCT is there, or ends its guest.

use super::{cpu_time, devices, lives, rest, secure};
use crate::rt::env;

/// A way to delay another guest.
pub struct Attack {
    pub name: &'static str,
    /// How many of the attacker's vCPUs compute at once: each has turns.
    pub vcpus: u32,
    pub run: fn(until: u64),
}

const fn one(name: &'static str, run: fn(until: u64)) -> Attack {
    Attack {
        name,
        vcpus: 1,
        run,
    }
}

const fn two(name: &'static str, run: fn(until: u64)) -> Attack {
    Attack {
        name,
        vcpus: 2,
        run,
    }
}

/// Returns those whose names contain one of bootargs' `delay-cases=LIST`; without that, all.
pub fn wanted() -> impl Iterator<Item = &'static Attack> {
    let parts = || {
        env::argument("delay-cases")
            .into_iter()
            .flat_map(|list| list.split(','))
    };
    let named = move |name: &str| parts().any(|part| name.contains(part));
    let all = env::argument("delay-cases").is_none();
    ATTACKS
        .iter()
        .filter(move |attack| all || named(attack.name))
}

/// All of them. Those of OP-TEE are named so.
const ATTACKS: &[Attack] = &[
    one("nothing", rest),
    one("loop", cpu_time::compute),
    two("loops of two vCPUs", cpu_time::compute_twice),
    one("FP registers", cpu_time::fp_registers),
    one("YIELD and WFE", cpu_time::yields),
    one("WFI with an interrupt pending", cpu_time::waits),
    one("CPU_SUSPEND with an interrupt pending", cpu_time::suspends),
    one("timers that are always due", cpu_time::timers),
    one("caches by set and way", cpu_time::set_way),
    one("TLBI and IC broadcasts", cpu_time::broadcasts),
    one("accesses to nothing", cpu_time::faults),
    one("jumps to nothing", cpu_time::jumps),
    one("instructions that EL2 decodes", cpu_time::decoded),
    one("debug registers", cpu_time::debug_registers),
    one("ID and undefined registers", cpu_time::id_registers),
    one("UART: text", devices::uart_text),
    one("UART: line ends", devices::uart_lines),
    one("UART: interrupts", devices::uart_interrupts),
    one("GIC: state reads", devices::gic_reads),
    one("GIC: priorities and routes", devices::gic_priorities),
    one("GIC: enables", devices::gic_enables),
    one("GIC: pending and active bits", devices::gic_pending),
    one("GIC: all SPIs at once", devices::gic_spis),
    one("GIC: SGIs to itself", devices::sgis_to_itself),
    one("GIC: SGIs to a vCPU that is off", devices::sgis_to_nobody),
    two("GIC: SGIs between two vCPUs", devices::sgis_to_another),
    one("watchdog", devices::watchdog),
    one("hypercalls", lives::hypercalls),
    two("CPU_ON and CPU_OFF", lives::on_and_off),
    one("OP-TEE: fast calls", secure::fast_calls),
    one("OP-TEE: unknown functions", secure::unknown_functions),
    one("OP-TEE: bad messages", secure::bad_messages),
    one("OP-TEE: the VM's first call", secure::sessions),
    one("OP-TEE: sessions", secure::sessions),
    one("OP-TEE: buffers of a page", secure::small_buffers),
    one("OP-TEE: buffers of 32 MiB", secure::large_buffers),
    one("OP-TEE: lists that never end", secure::endless_lists),
    one("OP-TEE: calls left in an RPC", secure::suspended_calls),
    two("OP-TEE: sessions of two vCPUs", secure::sessions_twice),
    two("SYSTEM_RESET", lives::resets),
    one("crashes", lives::crashes),
    one("watchdog's restarts", lives::watchdog_restarts),
    one("OP-TEE: resets with buffers and calls", secure::resets),
];
