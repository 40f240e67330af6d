// SPDX-License-Identifier: MIT OR Apache-2.0

//! The Generic Watchdog (DEN0094, appendix "Generic watchdog"): registers, the warning, the end.
//!
//! The last test lets it expire, unless it has done so already: the guest's next boot sees that,
//! and runs all tests once more.

use super::{Test, needs_second_vcpu};
use crate::outcome::{Outcome, Stop};
use crate::rt::{cpu, env, gic, read32, read64, time, write32, write64};
use crate::{ensure, ensure_eq, println};
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use platform::{WATCHDOG_CONTROL_BASE, WATCHDOG_INTID, WATCHDOG_REFRESH_BASE};

pub const TESTS: &[Test] = &[
    ("status", status),
    ("identification", identification),
    ("registers", registers),
    ("refresh", refresh),
    ("warns", || warns(0)),
    ("enabled_by_another_vcpu", || {
        needs_second_vcpu()?;
        ensure!(cpu::start_all(), "not all vCPUs are on");
        warns(1)
    }),
    ("stopped", stopped),
    ("expires", expires),
];

/// For a guest whose first two vCPUs have long turns on one core.
pub const TURNS: &[Test] = &[("is_seen_within_a_turn", is_seen_within_a_turn)];

const WCS: u64 = WATCHDOG_CONTROL_BASE.0;
const WOR: u64 = WATCHDOG_CONTROL_BASE.0 + 0x8;
const WCV: u64 = WATCHDOG_CONTROL_BASE.0 + 0x10;
const IIDR: u64 = 0xfcc;
const ENABLE: u32 = 1;
const WS0: u32 = 2;
const WS1: u32 = 4;

/// WS1 as this boot found it.
static CAME_BACK: AtomicBool = AtomicBool::new(false);

/// Checks that the watchdog is off, and WS1 alone if it has just restarted the guest.
fn status() -> Outcome {
    if !env::get().watchdog {
        return Err(Stop::Skipped("no watchdog"));
    }
    let status = read32(WCS);
    CAME_BACK.store(status & WS1 != 0, Relaxed);
    ensure_eq!(status & !WS1, 0, "WCS but for WS1");
    if status & WS1 != 0 {
        println!("guest: the watchdog has restarted it");
    }
    stop();
    ensure_eq!(read32(WCS), 0, "WCS after a refresh");
    Ok(())
}

fn identification() -> Outcome {
    let iidr = read32(WATCHDOG_CONTROL_BASE.0 + IIDR);
    ensure_eq!(iidr >> 16 & 0xf, 1, "architecture revision");
    ensure_eq!(
        read32(WATCHDOG_REFRESH_BASE.0 + IIDR),
        iidr,
        "W_IIDR of the refresh frame"
    );
    Ok(())
}

fn registers() -> Outcome {
    write64(WOR, u64::MAX);
    ensure_eq!(read64(WOR), (1 << 48) - 1, "WOR");
    write32(WOR, 0x1234_5678);
    write32(WOR + 4, 0);
    ensure_eq!(read64(WOR), 0x1234_5678, "WOR in halves");
    write64(WCV, 0x1234_5678_9abc_def0);
    ensure_eq!(read32(WCV), 0x9abc_def0, "WCV's low half");
    ensure_eq!(read32(WCV + 4), 0x1234_5678, "WCV's high half");
    Ok(())
}

/// Checks that a refresh counts anew, from the time that the virtual counter says.
fn refresh() -> Outcome {
    let offset = time::ticks(60_000);
    start(offset);
    let before = time::now();
    write32(WATCHDOG_REFRESH_BASE.0, 0);
    let compare = read64(WCV);
    let after = time::now();
    let status = read32(WCS);
    stop();
    ensure_eq!(status, ENABLE, "WCS");
    let right = (before..=after).contains(&compare.wrapping_sub(offset));
    ensure!(
        right,
        "WCV {compare:#x}, refreshed {before:#x} to {after:#x}"
    );
    Ok(())
}

/// Checks that the first timeout of a watchdog that `cpu` enables interrupts the first vCPU, and
/// not before it is due. The refresh takes it back.
fn warns(cpu: usize) -> Outcome {
    gic::enable(WATCHDOG_INTID);
    let taken = gic::taken(0, WATCHDOG_INTID);
    let offset = time::ticks(100);
    let due = time::now() + offset;
    if cpu == 0 {
        start(offset);
    } else {
        cpu::run_on(cpu, start_there, offset);
    }
    let came = time::eventually(|| gic::taken(0, WATCHDOG_INTID) > taken);
    let (now, status) = (time::now(), read32(WCS));
    let pending = gic::is_pending(WATCHDOG_INTID);
    stop();
    ensure!(came, "INTID {WATCHDOG_INTID} was not taken");
    ensure!(now > due, "taken at {now}, before {due}");
    ensure_eq!(status & (ENABLE | WS0), ENABLE | WS0, "WCS");
    ensure!(pending, "the level has gone");
    ensure!(!gic::is_pending(WATCHDOG_INTID), "the level stays");
    Ok(())
}

fn start_there(offset: u64) -> u64 {
    start(offset);
    0
}

/// Checks that one that is turned off does nothing.
fn stopped() -> Outcome {
    gic::enable(WATCHDOG_INTID);
    let taken = gic::taken(0, WATCHDOG_INTID);
    start(time::ticks(60_000));
    stop();
    write64(WCV, time::now());
    time::pause(20);
    ensure_eq!(gic::taken(0, WATCHDOG_INTID), taken, "times taken");
    ensure_eq!(read32(WCS), 0, "WCS");
    Ok(())
}

fn expires() -> Outcome {
    if CAME_BACK.load(Relaxed) {
        return Ok(());
    }
    println!("guest: lets its watchdog expire");
    cpu::mask_irqs();
    start(time::ticks(100));
    time::eventually(|| false);
    ensure!(
        false,
        "the watchdog has done nothing: WCS {:#x}",
        read32(WCS)
    );
    Ok(())
}

/// Attempts, each of which a turn's end may spoil.
const ATTEMPTS: usize = 30;
/// Grows while the first vCPU has its turn.
static TURNS_OF_FIRST: AtomicU64 = AtomicU64::new(0);
static DONE: AtomicBool = AtomicBool::new(false);

/// Checks that the deadline that the second vCPU sets is seen while it computes: the first vCPU, on the same core, has
/// had no turn until then.
fn is_seen_within_a_turn() -> Outcome {
    if !env::get().watchdog {
        return Err(Stop::Skipped("no watchdog"));
    }
    needs_second_vcpu()?;
    ensure!(cpu::start_all(), "not all vCPUs are on");
    gic::enable(WATCHDOG_INTID);
    cpu::mask_irqs();
    DONE.store(false, Relaxed);
    cpu::begin(1, is_seen_at_once, ATTEMPTS as u64);
    while !DONE.load(Relaxed) {
        TURNS_OF_FIRST.fetch_add(1, Relaxed);
    }
    let seen = cpu::finish(1);
    cpu::unmask_irqs();
    ensure_eq!(seen, Some(1), "attempts in which the deadline was seen");
    Ok(())
}

/// Tells whether one of `attempts` deadlines is seen within the turn in which it was set.
fn is_seen_at_once(attempts: u64) -> u64 {
    let seen = (0..attempts).any(|_| {
        // Another vCPU's work from here on means that the turn was over.
        let before = TURNS_OF_FIRST.load(Relaxed);
        start(time::ticks(60_000));
        let due = time::now() + time::ticks(20);
        write64(WCV, due);
        while time::now() < due || !gic::is_pending(WATCHDOG_INTID) {}
        let after = TURNS_OF_FIRST.load(Relaxed);
        stop();
        before == after
    });
    DONE.store(true, Relaxed);
    seen.into()
}

fn start(offset: u64) {
    write64(WOR, offset);
    write32(WCS, ENABLE);
}

fn stop() {
    write32(WCS, 0);
}
