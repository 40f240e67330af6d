// SPDX-License-Identifier: MIT OR Apache-2.0

//! What traps and interrupts cost, for `cargo xtask bench --traps`: there a tick of the counter stands for a fixed number
//! of instructions, those of guest, EL2 and firmware on all cores together. Each line says how many for one turn.

use super::{Test, needs_hypervisor};
use crate::outcome::Outcome;
use crate::rt::call::psci::VERSION;
use crate::rt::time::Timer;
use crate::rt::{cpu, env, gic, read32, time, write32};
use crate::{ensure, println};
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering::SeqCst};
use platform::{GICD_BASE, UART_BASE, VIRTUAL_TIMER_INTID};

pub const TESTS: &[Test] = &[
    ("calls", calls),
    ("registers", registers),
    ("interrupts", interrupts),
    ("timers", timers),
];

/// For two vCPUs that share a core.
pub const TURNS_OF_VCPUS: &[Test] = &[("turns", turns)];

/// Turns of each measurement.
const TURNS: u32 = 1_000;
/// UARTFR of the PL011 (DDI 0183, table 3-1).
const UARTFR: u64 = 0x18;
/// GICD_ISENABLER2 and GICD_ISPENDR2 (IHI 0069H, table 12-25).
const ISENABLER2: u64 = 0x108;
const ISPENDR2: u64 = 0x208;
/// The SGIs of an interrupt and its answer.
const PING: u32 = 3;
const PONG: u32 = 4;
/// Changes from one vCPU to the other that are measured.
const CHANGES: u32 = 50;
/// Which vCPU was on the core last, in bit 0, and when; 0 at first.
static SEEN: AtomicU64 = AtomicU64::new(0);
/// Ticks from when one was there last to when the other one was, of all the changes.
static BETWEEN: AtomicU64 = AtomicU64::new(0);
static CHANGED: AtomicU32 = AtomicU32::new(0);
/// From a timer's setting to its deadline, in ticks.
const AHEAD: u64 = 200;

fn calls() -> Outcome {
    needs_hypervisor()?;
    measure("hypercall", hypercall);
    Ok(())
}

/// Asks for PSCI's version, without more instructions than that takes.
fn hypercall() {
    // SAFETY: a call by SMCCC, which keeps all but x0 to x17 (DEN0028, section 3.1).
    unsafe { core::arch::asm!("hvc #0", inout("x0") VERSION => _, clobber_abi("C")) };
}

fn registers() -> Outcome {
    measure("UART register read", || {
        read32(UART_BASE.0 + UARTFR);
    });
    measure("distributor register read", || {
        read32(GICD_BASE.0 + gic::TYPER);
    });
    measure("distributor state read", || {
        read32(GICD_BASE.0 + ISPENDR2);
    });
    measure("distributor register write", || {
        write32(GICD_BASE.0 + ISENABLER2, 0);
    });
    Ok(())
}

fn interrupts() -> Outcome {
    measure("SGI to itself", || {
        let before = gic::taken(0, PING);
        gic::send_sgi(PING, 1);
        wait_for(|| gic::taken(0, PING) != before);
    });
    if env::get().vcpus < 2 {
        return Ok(());
    }
    ensure!(cpu::start_all(), "not all vCPUs are on");
    cpu::begin(1, answer, gic::taken(1, PING).into());
    measure_halves("SGI to another vCPU", || {
        let before = gic::taken(0, PONG);
        gic::send_sgi(PING, 1 << 1);
        wait_for(|| gic::taken(0, PONG) != before);
    });
    ensure!(cpu::finish(1).is_some(), "the other vCPU has not ended");
    Ok(())
}

/// Answers all pings that are measured, after so many `before`.
fn answer(before: u64) -> u64 {
    for turn in 0..TURNS {
        wait_for(|| gic::taken(1, PING) > before as u32 + turn);
        gic::send_sgi(PONG, 1);
    }
    0
}

/// Two vCPUs compute, and the core changes from one to the other at the end of each turn.
fn turns() -> Outcome {
    needs_hypervisor()?;
    ensure!(cpu::start_all(), "not all vCPUs are on");
    cpu::begin(1, take_turns, 1);
    take_turns(0);
    ensure!(cpu::finish(1).is_some(), "the other vCPU has not ended");
    report("change of two busy vCPUs", BETWEEN.load(SeqCst), CHANGES);
    Ok(())
}

fn take_turns(me: u64) -> u64 {
    while CHANGED.load(SeqCst) < CHANGES {
        let now = time::now();
        let last = SEEN.swap(now << 1 | me, SeqCst);
        // One whose turn ends between the two has looked too early.
        let between = now.checked_sub(last >> 1).filter(|_| last & 1 != me);
        if let Some(between) =
            between.filter(|_| last != 0 && CHANGED.fetch_add(1, SeqCst) < CHANGES)
        {
            BETWEEN.fetch_add(between, SeqCst);
        }
    }
    0
}

fn timers() -> Outcome {
    gic::enable(VIRTUAL_TIMER_INTID);
    measure_late("timer of a busy vCPU", |_| {});
    measure_late("timer of a waiting vCPU", |before| {
        wait_for(|| gic::taken(0, VIRTUAL_TIMER_INTID) != before);
    });
    Ok(())
}

/// Measures from a timer's deadline to the end of its handler.
fn measure_late(what: &str, wait: impl Fn(u32)) {
    let mut late = 0;
    for _ in 0..TURNS {
        let before = gic::taken(0, VIRTUAL_TIMER_INTID);
        let deadline = time::now() + AHEAD;
        Timer::Virtual.start(deadline);
        while gic::taken(0, VIRTUAL_TIMER_INTID) == before {
            wait(before);
        }
        late += time::now() - deadline;
    }
    Timer::Virtual.stop();
    report(what, late, TURNS);
}

fn measure(what: &str, turn: impl FnMut()) {
    report(what, time_of(turn), TURNS);
}

/// Measures what has two like halves, one on each vCPU.
fn measure_halves(what: &str, turn: impl FnMut()) {
    report(what, time_of(turn), 2 * TURNS);
}

fn time_of(mut turn: impl FnMut()) -> u64 {
    let start = time::now();
    (0..TURNS).for_each(|_| turn());
    time::now() - start
}

fn report(what: &str, ticks: u64, turns: u32) {
    let nanoseconds = ticks * (1_000_000_000 / time::frequency());
    println!("traps: {what}: {}", nanoseconds / u64::from(turns));
}

/// Lets others run until an interrupt makes it so.
pub fn wait_for(done: impl Fn() -> bool) {
    cpu::without_irqs(|| {
        while !done() {
            cpu::wait_for_interrupt();
            cpu::unmask_irqs();
            cpu::mask_irqs();
        }
    });
}
