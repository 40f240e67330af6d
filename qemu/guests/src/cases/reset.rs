//! SYSTEM_RESET, again and again, until the virtual counter says that it is enough.
//!
//! A restarted guest is given nothing that says so, and its memory has been scrubbed. So the
//! harness counts the lines that begin `guest:` and hold `boot at`: there must be two or more.

use super::{Test, needs_hypervisor};
use crate::outcome::Outcome;
use crate::rt::call::psci::{SYSTEM_RESET, psci};
use crate::rt::{cpu, env, gic, time};
use crate::{ensure, ensure_eq, println};

pub const TESTS: &[Test] = &[
    ("scrubbed", scrubbed),
    ("devices", devices),
    ("reset", reset),
];

const PATTERN: u64 = 0x7365_6372_6574_2121;

/// The upper half of RAM by pages, but for the tree: a loader puts no images there.
fn pages() -> impl Iterator<Item = *mut u64> {
    let (start, size) = env::get().ram;
    let (tree, bytes) = env::get().tree;
    let is_free = move |page: &u64| page + 4096 <= tree || tree + bytes as u64 <= *page;
    (start + size / 2..start + size)
        .step_by(4096)
        .filter(is_free)
        .map(|page| page as *mut u64)
}

/// Nothing of what the guest wrote before its last reset is there.
fn scrubbed() -> Outcome {
    needs_hypervisor()?;
    for page in pages() {
        // SAFETY: mapped RAM that nothing uses.
        let found = unsafe { page.read_volatile() };
        ensure!(found == 0, "{page:?} holds {found:#x}");
    }
    Ok(())
}

/// The virtual devices are as at first.
fn devices() -> Outcome {
    needs_hypervisor()?;
    ensure_eq!(gic::is_enabled(88), false, "SPI 88 enabled");
    for cpu in 1..env::get().vcpus {
        ensure!(!cpu::is_on(cpu), "vCPU {cpu} is on");
    }
    Ok(())
}

/// Leaves secrets, pending interrupts and running vCPUs behind, and resets, until bootargs'
/// `reset-until=SECONDS` (default 15) on the counter.
fn reset() -> Outcome {
    needs_hypervisor()?;
    if time::now() >= env::number("reset-until").unwrap_or(15) * time::frequency() {
        return Ok(());
    }
    for page in pages() {
        // SAFETY: as above.
        unsafe { page.write_volatile(PATTERN) };
    }
    ensure!(cpu::start_all(), "not all vCPUs are on");
    gic::enable(88);
    cpu::mask_irqs();
    gic::set_pending(88);
    println!("guest: resets");
    let result = psci([SYSTEM_RESET]);
    ensure_eq!(result, 0, "SYSTEM_RESET came back with");
    Ok(())
}
