// SPDX-License-Identifier: MIT OR Apache-2.0

//! The bounds of the manifest's `rates`, which are 5000 traps, 500 kicks and 1000 device interrupts a second here: for half
//! a second of the counter the guest does as much of each as it can.

use super::{Test, needs_second_vcpu};
use crate::outcome::Outcome;
use crate::rt::call::psci::{VERSION, psci};
use crate::rt::{cpu, gic, read32, time, write32};
use crate::{ensure, println};
use platform::{INTIDS, LAST_OWN_SPI};

pub const TESTS: &[Test] = &[
    ("traps", traps),
    ("kicks", kicks),
    ("device_interrupts", device_interrupts),
];

/// How long each is tried, in milliseconds.
const SPAN: u64 = 500;
/// The board's real-time clock (Arm DDI 0224, PL031) on QEMU's virt: its count, its match, its mask and its clearing.
const CLOCK: u64 = 0x0901_0000;
const RTCDR: u64 = CLOCK;
const RTCMR: u64 = CLOCK + 4;
const RTCIMSC: u64 = CLOCK + 0x10;
const RTCICR: u64 = CLOCK + 0x1c;

fn traps() -> Outcome {
    let mut count = 0;
    time::repeat(SPAN, || {
        psci([VERSION, 0, 0, 0]);
        count += 1;
    });
    is_about("calls", count, 5000)
}

fn kicks() -> Outcome {
    needs_second_vcpu()?;
    ensure!(cpu::start_all(), "not all vCPUs are on");
    let mut count = 0;
    time::repeat(SPAN, || {
        count += u32::from(cpu::run_on(1, |x| x, 0).is_some());
    });
    // Some find a vCPU that waits for its turn: that needs no kick.
    is_about("SGIs to the other core", count / 2, 500)
}

/// An interrupt that nobody clears comes again as soon as its handler has ended it.
fn device_interrupts() -> Outcome {
    let spis = || LAST_OWN_SPI + 1..INTIDS as u32;
    let taken = || spis().map(|intid| gic::taken(0, intid)).sum::<u32>();
    for spi in spis() {
        gic::route(spi, 0);
        gic::enable(spi);
    }
    write32(RTCIMSC, 1);
    write32(RTCMR, read32(RTCDR));
    let before = taken();
    time::repeat(SPAN, || ());
    let count = taken() - before;
    write32(RTCICR, 1);
    write32(RTCIMSC, 0);
    is_about("interrupts", count, 1000)
}

/// Checks that no more of `what` came than the rate allows, and that they went on coming.
fn is_about(what: &str, count: u32, a_second: u32) -> Outcome {
    println!("guest: {count} {what}");
    let allowed = a_second * SPAN as u32 / 1000;
    let period = a_second / 100;
    ensure!(count <= allowed + 2 * period, "{count} {what}");
    ensure!(count > 2 * period, "{count} {what}");
    Ok(())
}
