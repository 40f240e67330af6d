// SPDX-License-Identifier: MIT OR Apache-2.0

//! Ways to crash, one of which bootargs' `crash=KIND` names. The guest comes back from none.
//!
//! Like the resets, a guest that is restarted goes on until the counter says that it is enough.

use super::{Test, needs_hypervisor};
use crate::outcome::{Outcome, Stop};
use crate::rt::{cpu, env, read32, time};
use crate::{ensure, msr, println};
use core::arch::{asm, global_asm};

pub const TESTS: &[Test] = &[("crash", crash)];

/// Nothing is here.
const HOLE: u64 = 128 << 30;

// Vectors whose every instruction is a read of PMCR_EL0, which a guest does not have.
global_asm!(
    ".balign 2048",
    "undefined_vectors:",
    ".rept 512",
    "mrs x9, pmcr_el0",
    ".endr"
);

unsafe extern "C" {
    fn undefined_vectors();
}

/// Crashes, unless the counter says more than bootargs' `crash-until=SECONDS` (default 15).
fn crash() -> Outcome {
    needs_hypervisor()?;
    if time::now() >= env::number("crash-until").unwrap_or(15) * time::frequency() {
        return Ok(());
    }
    let kind = env::argument("crash").unwrap_or("vector");
    println!("guest: crashes: {kind}");
    match kind {
        "vector" => vector(HOLE),
        "undefined" => vector(undefined_vectors as *const () as u64),
        "secondary" => secondary()?,
        "hang" => hang(),
        _ => return Err(Stop::Skipped("no such kind")),
    }
    ensure!(false, "it goes on");
    Ok(())
}

/// Causes an abort, while the vectors at `base` can take none.
fn vector(base: u64) {
    msr!("vbar_el1", base);
    read32(HOLE);
}

/// Hangs so that only a watchdog notices.
fn hang() -> ! {
    cpu::mask_irqs();
    loop {
        cpu::wait_for_interrupt();
    }
}

/// Lets a vCPU other than the first jump to where nothing is, without MMU and vectors.
fn secondary() -> Outcome {
    super::needs_second_vcpu()?;
    ensure!(cpu::start_all(), "not all vCPUs are on");
    cpu::begin(1, jump, HOLE);
    time::eventually(|| false);
    Ok(())
}

fn jump(to: u64) -> u64 {
    // SAFETY: the program is where it is with the MMU as without, and this vCPU never comes back.
    unsafe {
        asm!("msr vbar_el1, {to}", "msr sctlr_el1, {off}", "isb", "br {to}",
            to = in(reg) to, off = in(reg) 0x30d0_0800_u64, options(noreturn))
    }
}
