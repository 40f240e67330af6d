// SPDX-License-Identifier: MIT OR Apache-2.0

//! Bare-metal EL1 guests that test teevisor from inside.
//!
//! One program: /chosen bootargs say `test=NAME[,NAME…]`, groups as [`GROUPS`] lists them; without
//! that, all groups marked so run. Each test prints `test GROUP::NAME ... ok`, `FAILED: why` or
//! `skipped: why`; the last line is `guest: N passed, N failed, N skipped`, and then the guest
//! powers itself off.
#![no_std]
#![no_main]

mod cases;
mod outcome;
mod rt;

use cases::{GROUPS, Group};
use outcome::Stop;
use rt::{call::psci, env};

#[derive(Default)]
struct Tally {
    passed: u32,
    failed: u32,
    skipped: u32,
}

/// Runs the groups that the bootargs ask for.
fn run() -> ! {
    let env = env::get();
    let gic = if env.gicv3 { 3 } else { 2 };
    println!(
        "guest: {} vCPUs, {} MiB, GICv{gic}, boot at {}",
        env.vcpus,
        env.ram.1 >> 20,
        rt::time::now()
    );
    let mut tally = Tally::default();
    for group in GROUPS.iter().filter(|group| is_wanted(group)) {
        run_group(group, &mut tally);
    }
    if tally.passed + tally.failed + tally.skipped == 0 {
        println!("guest: FAILED: no test is named {:?}", env.arguments);
    }
    println!(
        "guest: {} passed, {} failed, {} skipped",
        tally.passed, tally.failed, tally.skipped
    );
    psci::system_off()
}

fn is_wanted(group: &Group) -> bool {
    match env::argument("test") {
        Some(names) => names.split(',').any(|name| name == group.name),
        None => group.by_default,
    }
}

fn run_group(group: &Group, tally: &mut Tally) {
    for (name, test) in group.tests {
        // One line at a time: other vCPUs and the UART's own test print too.
        match test() {
            Ok(()) => {
                tally.passed += 1;
                println!("test {}::{name} ... ok", group.name);
            }
            Err(Stop::Failed(why)) => {
                tally.failed += 1;
                println!("test {}::{name} ... FAILED: {why}", group.name);
            }
            Err(Stop::Skipped(why)) => {
                tally.skipped += 1;
                println!("test {}::{name} ... skipped: {why}", group.name);
            }
        }
    }
}
