// SPDX-License-Identifier: MIT OR Apache-2.0

//! PSCI 1.x (DEN0022F.b) as a client.

use super::{Test, needs_hypervisor, needs_second_vcpu};
use crate::outcome::{Outcome, Stop};
use crate::rt::call::psci::*;
use crate::rt::call::{call, regs};
use crate::rt::time::{self, Timer};
use crate::rt::{cpu, env, gic};
use crate::{ensure, ensure_eq, mrs};
use platform::Conduit;

pub const TESTS: &[Test] = &[
    ("version", version),
    ("features", features),
    ("migration", migration),
    ("both_conduits", both_conduits),
    ("bad_targets", bad_targets),
    ("bad_entry_points", bad_entry_points),
    ("cpu_on", cpu_on),
    ("already_on", already_on),
    ("affinity_info", affinity_info),
    ("cpu_off_and_on", cpu_off_and_on),
    ("race_to_turn_on", race_to_turn_on),
    ("standby", standby),
    ("bad_power_state", bad_power_state),
];

const NOT_SUPPORTED: i64 = -1;
const INVALID_PARAMETERS: i64 = -2;
const ALREADY_ON: i64 = -4;
const ON_PENDING: i64 = -5;
const INVALID_ADDRESS: i64 = -9;

fn version() -> Outcome {
    let version = psci([VERSION]);
    ensure!(
        version >> 16 == 1 && version & 0xffff >= 1,
        "PSCI version {version:#x}"
    );
    Ok(())
}

fn features() -> Outcome {
    for function in [
        VERSION,
        CPU_SUSPEND,
        CPU_OFF,
        CPU_ON,
        AFFINITY_INFO,
        MIGRATE_INFO_TYPE,
        SYSTEM_OFF,
        SYSTEM_RESET,
        FEATURES,
    ] {
        ensure_eq!(psci([FEATURES, function]), 0, "PSCI_FEATURES");
    }
    for function in [0x8400_001f, 0x8400_0050, 0xffff_ffff, 0] {
        ensure_eq!(
            psci([FEATURES, function]),
            NOT_SUPPORTED,
            "PSCI_FEATURES of nothing"
        );
    }
    Ok(())
}

fn migration() -> Outcome {
    ensure_eq!(psci([MIGRATE_INFO_TYPE]), 2, "MIGRATE_INFO_TYPE");
    Ok(())
}

fn both_conduits() -> Outcome {
    needs_hypervisor()?;
    for conduit in [Conduit::Smc, Conduit::Hvc] {
        let out = call(conduit, regs([VERSION]));
        ensure_eq!(
            out[0],
            psci([VERSION]) as u64,
            "version by the other conduit"
        );
    }
    Ok(())
}

fn bad_targets() -> Outcome {
    let vcpus = env::get().vcpus as u64;
    for target in [
        vcpus,
        0xff,
        1 << 8,
        1 << 16,
        1 << 32,
        1 << 24,
        1 << 31,
        u64::MAX,
    ] {
        let result = psci([CPU_ON, target, cpu::entry_point(), 0]);
        ensure!(
            result == INVALID_PARAMETERS,
            "CPU_ON of {target:#x}: {result}"
        );
        let result = psci([AFFINITY_INFO, target, 0]);
        ensure!(
            result == INVALID_PARAMETERS,
            "AFFINITY_INFO of {target:#x}: {result}"
        );
    }
    Ok(())
}

fn bad_entry_points() -> Outcome {
    needs_hypervisor()?;
    needs_second_vcpu()?;
    let (start, size) = env::get().ram;
    for entry in [0, start - 4, start + size, !3, platform::UART_BASE.0] {
        let result = psci([CPU_ON, 1, entry, 0]);
        ensure!(result == INVALID_ADDRESS, "CPU_ON at {entry:#x}: {result}");
    }
    Ok(())
}

fn cpu_on() -> Outcome {
    for cpu in 1..env::get().vcpus {
        let context_id = 0x1234_5678_9abc_def0 + cpu as u64;
        ensure_eq!(
            psci([AFFINITY_INFO, cpu as u64, 0]),
            1,
            "AFFINITY_INFO before"
        );
        ensure_eq!(cpu::start(cpu, context_id), 0, "CPU_ON");
        let (entries, x0, sctlr) = cpu::entered(cpu);
        ensure_eq!(entries, 1, "entries");
        ensure_eq!(x0, context_id, "x0 at entry");
        ensure_eq!(sctlr & 0x1005, 0, "MMU and caches at entry");
        ensure_eq!(
            cpu::run_on(cpu, |_| mrs!("mpidr_el1"), 0),
            Some(1 << 31 | cpu as u64),
            "MPIDR"
        );
        ensure_eq!(
            cpu::run_on(cpu, |_| mrs!("CurrentEL"), 0),
            Some(4),
            "CurrentEL"
        );
    }
    Ok(())
}

fn already_on() -> Outcome {
    for cpu in 0..env::get().vcpus as u64 {
        let result = psci([CPU_ON, cpu, cpu::entry_point(), 0]);
        ensure!(result == ALREADY_ON, "CPU_ON of {cpu}: {result}");
    }
    Ok(())
}

fn affinity_info() -> Outcome {
    for cpu in 0..env::get().vcpus as u64 {
        ensure_eq!(psci([AFFINITY_INFO, cpu, 0]), 0, "AFFINITY_INFO");
    }
    needs_hypervisor()?;
    for level in 1..=4 {
        ensure_eq!(
            psci([AFFINITY_INFO, 0, level]),
            INVALID_PARAMETERS,
            "AFFINITY_INFO, level"
        );
    }
    Ok(())
}

fn cpu_off_and_on() -> Outcome {
    needs_second_vcpu()?;
    for round in 0..4 {
        for cpu in 1..env::get().vcpus {
            ensure!(cpu::stop(cpu), "vCPU {cpu} stays on");
        }
        for cpu in 1..env::get().vcpus {
            ensure_eq!(cpu::start(cpu, round), 0, "CPU_ON");
            ensure_eq!(cpu::entered(cpu).1, round, "x0 at entry");
        }
    }
    Ok(())
}

/// Lets two vCPUs turn on a third at once: one succeeds, the other is told why not.
fn race_to_turn_on() -> Outcome {
    needs_hypervisor()?;
    if env::get().vcpus < 3 {
        return Err(Stop::Skipped("fewer than three vCPUs"));
    }
    for _ in 0..8 {
        ensure!(cpu::stop(2), "vCPU 2 stays on");
        let before = cpu::entered(2).0;
        let turn_on = |_| psci([CPU_ON, 2, cpu::entry_point(), 7]) as u64;
        cpu::begin(1, turn_on, 0);
        let mine = turn_on(0) as i64;
        let Some(other) = cpu::finish(1).map(|result| result as i64) else {
            return Err(Stop::Skipped("vCPU 1 hangs"));
        };
        let (won, lost) = if mine == 0 {
            (mine, other)
        } else {
            (other, mine)
        };
        ensure_eq!(won, 0, "the winner");
        ensure!(
            [ALREADY_ON, ON_PENDING].contains(&lost),
            "the loser: {lost}"
        );
        ensure!(
            time::eventually(|| cpu::entered(2).0 == before + 1),
            "vCPU 2 did not come once"
        );
    }
    Ok(())
}

/// Checks that CPU_SUSPEND to standby ends with an interrupt and keeps the context.
fn standby() -> Outcome {
    gic::enable(27);
    let before = gic::taken(0, 27);
    let deadline = time::now() + time::ticks(20);
    let result = cpu::without_irqs(|| {
        Timer::Virtual.start(deadline);
        psci([CPU_SUSPEND, 0, 0, 0])
    });
    let ended = time::now();
    let taken = time::eventually(|| gic::taken(0, 27) > before);
    Timer::Virtual.stop();
    ensure_eq!(result, 0, "CPU_SUSPEND");
    ensure!(taken, "the interrupt that ended the standby was not taken");
    // A wakeup may come early for other reasons, but a bare machine's does not.
    ensure!(
        ended <= deadline + time::ticks(20_000),
        "slept for {} ticks too long",
        ended - deadline
    );
    Ok(())
}

fn bad_power_state() -> Outcome {
    for state in [1 << 31, 1 << 20] {
        let result = psci([CPU_SUSPEND, state, cpu::entry_point(), 0]);
        ensure!(
            result == INVALID_PARAMETERS,
            "CPU_SUSPEND {state:#x}: {result}"
        );
    }
    Ok(())
}
