// SPDX-License-Identifier: MIT OR Apache-2.0

//! The tests, one module for each group.

use crate::outcome::{Outcome, Stop};
use crate::rt::env;

mod boot;
mod budgets;
mod crash;
mod delay;
mod dma;
mod fault;
mod flood;
mod gic;
mod hostile;
mod id;
mod isolation;
mod keepalive;
mod limits;
mod loading;
mod neighbour;
mod optee;
mod psci;
mod race;
mod rates;
mod reset;
mod smc;
mod step;
mod timer;
mod traps;
mod uart;
mod uncached;
mod victim;
mod watchdog;

/// A test's name and body.
pub type Test = (&'static str, fn() -> Outcome);

/// Tests that run together.
pub struct Group {
    /// What bootargs' `test=` calls it.
    pub name: &'static str,
    /// Whether it runs when bootargs name no group.
    pub by_default: bool,
    /// In the order they run.
    pub tests: &'static [Test],
}

/// All groups.
pub const GROUPS: &[Group] = &[
    Group {
        name: "boot",
        by_default: true,
        tests: boot::TESTS,
    },
    Group {
        name: "psci",
        by_default: true,
        tests: psci::TESTS,
    },
    Group {
        name: "gic",
        by_default: true,
        tests: gic::TESTS,
    },
    Group {
        name: "timer",
        by_default: true,
        tests: timer::TESTS,
    },
    Group {
        name: "uart",
        by_default: true,
        tests: uart::TESTS,
    },
    Group {
        name: "fault",
        by_default: true,
        tests: fault::TESTS,
    },
    Group {
        name: "step",
        by_default: true,
        tests: step::TESTS,
    },
    Group {
        name: "smc",
        by_default: true,
        tests: smc::TESTS,
    },
    Group {
        name: "id",
        by_default: true,
        tests: id::TESTS,
    },
    Group {
        name: "optee",
        by_default: true,
        tests: optee::TESTS,
    },
    Group {
        name: "loading",
        by_default: true,
        tests: loading::TESTS,
    },
    Group {
        name: "uncached",
        by_default: true,
        tests: uncached::TESTS,
    },
    Group {
        name: "keepalive",
        by_default: false,
        tests: keepalive::TESTS,
    },
    Group {
        name: "limits",
        by_default: false,
        tests: limits::TESTS,
    },
    Group {
        name: "hostile",
        by_default: false,
        tests: hostile::TESTS,
    },
    Group {
        name: "isolation",
        by_default: false,
        tests: isolation::TESTS,
    },
    Group {
        name: "neighbour",
        by_default: false,
        tests: neighbour::TESTS,
    },
    Group {
        name: "race",
        by_default: false,
        tests: race::TESTS,
    },
    Group {
        name: "reset",
        by_default: false,
        tests: reset::TESTS,
    },
    Group {
        name: "victim",
        by_default: false,
        tests: victim::TESTS,
    },
    Group {
        name: "watchdog",
        by_default: false,
        tests: watchdog::TESTS,
    },
    Group {
        name: "watchdog-turns",
        by_default: false,
        tests: watchdog::TURNS,
    },
    Group {
        name: "flood",
        by_default: false,
        tests: flood::FLOOD,
    },
    Group {
        name: "silent",
        by_default: false,
        tests: flood::SILENT,
    },
    Group {
        name: "traps",
        by_default: false,
        tests: traps::TESTS,
    },
    Group {
        name: "control",
        by_default: false,
        tests: delay::CONTROL,
    },
    Group {
        name: "attacker",
        by_default: false,
        tests: delay::ATTACKER,
    },
    Group {
        name: "dma",
        by_default: false,
        tests: dma::OWN,
    },
    Group {
        name: "dma-hostile",
        by_default: false,
        tests: dma::HOSTILE,
    },
    Group {
        name: "dma-lives",
        by_default: false,
        tests: dma::LIVES,
    },
    Group {
        name: "rates",
        by_default: false,
        tests: rates::TESTS,
    },
    Group {
        name: "turns",
        by_default: false,
        tests: traps::TURNS_OF_VCPUS,
    },
    Group {
        name: "budgets",
        by_default: false,
        tests: budgets::TESTS,
    },
    Group {
        name: "crash",
        by_default: false,
        tests: crash::TESTS,
    },
];

/// Skips a test that only a hypervisor can pass.
fn needs_hypervisor() -> Outcome {
    if env::is_bare() {
        Err(Stop::Skipped("bare machine"))
    } else {
        Ok(())
    }
}

/// Skips without an OP-TEE.
fn needs_tee() -> Outcome {
    match env::get().tee {
        Some(_) => Ok(()),
        None => Err(Stop::Skipped("no OP-TEE in the tree")),
    }
}

/// Skips a test for which there must be a second vCPU.
fn needs_second_vcpu() -> Outcome {
    if env::get().vcpus < 2 {
        Err(Stop::Skipped("one vCPU"))
    } else {
        Ok(())
    }
}
