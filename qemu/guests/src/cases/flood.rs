// SPDX-License-Identifier: MIT OR Apache-2.0

//! Guests that flood the console, and silent ones beside them, for bootargs' `seconds=N` (default 5)
//! of the counter. What the silent ones lose by that is for the harness to see.

use super::Test;
use crate::outcome::Outcome;
use crate::println;
use crate::rt::{console, cpu, env, time};

/// Prints without end.
pub const FLOOD: &[Test] = &[("prints", prints)];
/// Computes without a word, with nothing that EL2 would have to do.
pub const SILENT: &[Test] = &[("computes", computes)];

fn end() -> u64 {
    time::now() + env::number("seconds").unwrap_or(5) * time::frequency()
}

fn prints() -> Outcome {
    let mut lines = 0_u64;
    let end = end();
    while time::now() < end {
        console::print(format_args!("flood {lines}\r{}\n", Repeated("\rx", 40)));
        lines += 1;
    }
    println!("guest: {lines} lines");
    Ok(())
}

fn computes() -> Outcome {
    cpu::mask_irqs();
    // Marks for qemu/bench/masked.c.
    // SAFETY: without effect.
    unsafe { core::arch::asm!("movz xzr, #0x7ee4", options(nomem, nostack)) };
    let mut steps = 0_u64;
    let end = end();
    while time::now() < end {
        steps += 1;
    }
    // SAFETY: as above.
    unsafe { core::arch::asm!("movz xzr, #0x7ee5", options(nomem, nostack)) };
    cpu::unmask_irqs();
    println!("guest: {steps} steps");
    Ok(())
}

/// Text that is written several times.
struct Repeated(&'static str, usize);

impl core::fmt::Display for Repeated {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        (0..self.1).try_for_each(|_| f.write_str(self.0))
    }
}
