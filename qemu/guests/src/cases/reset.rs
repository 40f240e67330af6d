// SPDX-License-Identifier: MIT OR Apache-2.0

//! SYSTEM_RESET, again and again, until the virtual counter says that it is enough.
//!
//! A restarted guest is given nothing that says so, and its memory has been scrubbed. So the
//! harness counts the lines that begin `guest:` and hold `boot at`: there must be two or more.

use super::{Test, needs_hypervisor};
use crate::outcome::Outcome;
use crate::rt::call::psci::{CPU_ON, SYSTEM_RESET, psci};
use crate::rt::sysreg::Sysreg;
use crate::rt::{cpu, env, gic, time};
use crate::{ensure, ensure_eq, msr, println};

pub const TESTS: &[Test] = &[
    ("scrubbed", scrubbed),
    ("fresh_registers", fresh_registers),
    ("devices", devices),
    ("reset", reset),
];

const PATTERN: u64 = 0x7365_6372_6574_2121;

/// Returns all of RAM, by double words, where a loader puts no images; the stacks too of vCPUs that
/// have not run yet.
fn words() -> impl Iterator<Item = *mut u64> {
    unsafe extern "C" {
        static __stacks_start: u8;
        static __image_end: u8;
    }
    const STACK: u64 = 0x8000;
    let stacks = &raw const __stacks_start as u64 + STACK..&raw const __image_end as u64;
    let ranges = core::iter::once(stacks).chain(env::spare_ram());
    ranges
        .flat_map(|range| range.step_by(8))
        .map(|at| at as *mut u64)
}

/// Checks that nothing is in RAM of what this guest, or what had it before, left there.
fn scrubbed() -> Outcome {
    needs_hypervisor()?;
    for word in words() {
        // SAFETY: mapped RAM that nothing uses.
        let found = unsafe { word.read_volatile() };
        ensure!(found == 0, "{word:?} holds {found:#x}");
    }
    Ok(())
}

/// Registers that hold any value without effect: thread ids, faults, TTBR1_EL1, keys, deferred
/// errors, timers' compare values. Not every core has all.
fn scratch_registers() -> impl Iterator<Item = Sysreg> {
    let thread = [(3, 13, 0, 2), (3, 13, 0, 3), (0, 13, 0, 4), (3, 13, 0, 5)];
    let faults = [(0, 5, 1, 0), (0, 5, 1, 1), (0, 6, 0, 0), (0, 7, 4, 0)];
    let others = [
        (0, 2, 0, 1),
        (0, 13, 0, 1),
        (0, 12, 1, 1),
        (3, 14, 2, 2),
        (3, 14, 3, 2),
    ];
    let keys = (0..10).map(|n| (0, 2, 1 + n / 4, n % 4));
    let all = thread.into_iter().chain(faults).chain(others).chain(keys);
    all.map(|(op1, crn, crm, op2)| Sysreg(3, op1, crn, crm, op2))
}

/// Checks that nothing is in the registers either. Some of those above keep only some of the
/// pattern's bits.
fn fresh_registers() -> Outcome {
    needs_hypervisor()?;
    for register in scratch_registers() {
        let found = register.read().unwrap_or(0);
        let is_secret = (0..48).any(|bit| found >> bit & 0xffff == PATTERN >> bit & 0xffff);
        ensure!(found == 0 || !is_secret, "{register:?} holds {found:#x}");
    }
    for (n, found) in vectors().into_iter().enumerate() {
        ensure_eq!(found, 0, format_args!("half {} of v{}", n % 2, n / 2));
    }
    Ok(())
}

core::arch::global_asm!(
    ".arch_extension fp",
    ".arch_extension simd",
    ".macro all_vectors operation",
    "\\operation {{v0.2d-v3.2d}}, [x0], #64",
    "\\operation {{v4.2d-v7.2d}}, [x0], #64",
    "\\operation {{v8.2d-v11.2d}}, [x0], #64",
    "\\operation {{v12.2d-v15.2d}}, [x0], #64",
    "\\operation {{v16.2d-v19.2d}}, [x0], #64",
    "\\operation {{v20.2d-v23.2d}}, [x0], #64",
    "\\operation {{v24.2d-v27.2d}}, [x0], #64",
    "\\operation {{v28.2d-v31.2d}}, [x0], #64",
    "ret",
    ".endm",
    "read_vectors: all_vectors st1",
    "write_vectors: all_vectors ld1",
);

unsafe extern "C" {
    fn read_vectors(to: *mut [u64; 64]);
    fn write_vectors(from: *const [u64; 64]);
}

/// Returns V0 to V31, low half first.
fn vectors() -> [u64; 64] {
    enable_fp();
    let mut vectors = [0; 64];
    // SAFETY: it writes 512 bytes.
    unsafe { read_vectors(&raw mut vectors) };
    vectors
}

/// Sets CPACR_EL1.FPEN. The program itself is built without.
fn enable_fp() {
    msr!("cpacr_el1", 3 << 20);
}

/// Checks that the virtual devices are as at first.
fn devices() -> Outcome {
    needs_hypervisor()?;
    ensure_eq!(gic::is_enabled(88), false, "SPI 88 enabled");
    for cpu in 1..env::get().vcpus {
        ensure!(!cpu::is_on(cpu), "vCPU {cpu} is on");
    }
    Ok(())
}

/// Writes where nothing in use is in the way.
fn leave_secrets() {
    for word in env::spare_ram().flat_map(|range| range.step_by(8)) {
        // SAFETY: RAM that nothing uses.
        unsafe { (word as *mut u64).write_volatile(PATTERN) };
    }
    for register in scratch_registers() {
        let _ = register.write(PATTERN);
    }
    enable_fp();
    // SAFETY: the program does not use these registers.
    unsafe { write_vectors(&[PATTERN; 64]) };
}

/// Leaves secrets, pending interrupts and running vCPUs behind, and resets, until bootargs'
/// `reset-until=SECONDS` (default 15) on the counter. With `reset-amid-start` the other vCPUs are
/// only just being turned on: none may come up when the guest is gone.
fn reset() -> Outcome {
    needs_hypervisor()?;
    if time::now() >= env::number("reset-until").unwrap_or(15) * time::frequency() {
        return Ok(());
    }
    let amid_start = env::words().any(|word| word == "reset-amid-start");
    ensure!(amid_start || cpu::start_all(), "not all vCPUs are on");
    leave_secrets();
    gic::enable(88);
    cpu::mask_irqs();
    gic::set_pending(88);
    println!("guest: resets");
    for cpu in (1..env::get().vcpus as u64).filter(|_| amid_start) {
        psci([CPU_ON, cpu, cpu::entry_point(), 0]);
    }
    let result = psci([SYSTEM_RESET]);
    ensure_eq!(result, 0, "SYSTEM_RESET came back with");
    Ok(())
}
