// SPDX-License-Identifier: MIT OR Apache-2.0

//! Lives that each leave a write to their RAM behind, which the device makes up to 100 ms later. The next life finds all of
//! its RAM zero, however long it waits: RAM behind the images is zeroed between, and nothing comes after that.
//!
//! A life ends by SYSTEM_RESET, right after the write was begun or up to 100 ms later; with `dma-off` by SYSTEM_OFF, right
//! after. The harness counts the lives.

use super::{BUFFER, Page, device, edu, first_dirty, pattern};
use crate::cases::{Test, needs_hypervisor};
use crate::outcome::Outcome;
use crate::rt::call::psci::{self, SYSTEM_RESET};
use crate::rt::random::Random;
use crate::rt::{env, time};
use crate::{ensure, ensure_eq, println};

pub const TESTS: &[Test] = &[
    ("nothing_came_late", nothing_came_late),
    ("leaves_a_write_behind", leaves_a_write_behind),
];

/// Where the write goes: the first page of RAM that is free, and one amid it.
const TARGETS: [u64; 2] = [0, 256];

/// Waits for longer than a transfer takes, without the device, and looks at all of RAM.
fn nothing_came_late() -> Outcome {
    needs_hypervisor()?;
    time::pause(2 * edu::TRANSFER + 50);
    let dirty = first_dirty(0);
    ensure!(dirty.is_none(), "a write has come: {dirty:x?}");
    println!("guest: nothing came late");
    Ok(())
}

fn leaves_a_write_behind() -> Outcome {
    needs_hypervisor()?;
    let mut random = Random::new(time::now());
    let is_off = env::words().any(|word| word == "dma-off");
    let edu = device()?;
    let target = Page::free(TARGETS[random.below(2) as usize]);
    target.fill(pattern);
    edu.load(target)?;
    edu.begin_write(target.address(), 0, BUFFER);
    println!("guest: leaves a write behind");
    if is_off {
        psci::system_off();
    }
    if random.below(2) == 0 {
        time::pause(random.below(edu::TRANSFER));
    }
    let result = psci::psci([SYSTEM_RESET]);
    ensure_eq!(result, 0, "SYSTEM_RESET came back with");
    Ok(())
}
