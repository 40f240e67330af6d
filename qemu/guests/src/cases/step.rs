// SPDX-License-Identifier: MIT OR Apache-2.0

//! What is left of an instruction that the hypervisor has done for the guest: the program counter,
//! the base register and the stepping state behind it are those of the bare machine.

use super::{Test, needs_hypervisor};
use crate::outcome::{Outcome, Stop};
use crate::rt::{cpu, env, gic, read32, time::Timer, trap};
use crate::{ensure, ensure_eq, mrs, msr};
use core::arch::{asm, global_asm};
use platform::{GICD_BASE, UART_BASE};

pub const TESTS: &[Test] = &[
    ("one_step_is_one_instruction", one_step_is_one_instruction),
    ("thumb_instructions_are_short", thumb_instructions_are_short),
    ("writeback", writeback),
    ("pairs", pairs),
    ("no_other_class", no_other_class),
];

// Each ends with SVC if every instruction had its effect once, with UDF otherwise.
global_asm!(
    ".balign 64",
    "t32_wfi: .hword 0x2000", // movs r0, #0
    ".hword 0xbf30",          // wfi
    ".hword 0x3001",          // adds r0, #1
    ".hword 0x3001",
    ".hword 0x3001",
    ".hword 0x2803", // cmp r0, #3
    ".hword 0xd100", // bne 1f
    ".hword 0xdf00", // svc 0
    ".hword 0xde00", // 1: udf 0
    ".hword 0xbf00",
    ".balign 64",
    "t32_it_wfi: .hword 0x2000", // movs r0, #0
    ".hword 0x2801",             // cmp r0, #1
    ".hword 0xbf06",             // itte eq
    ".hword 0xbf30",             // wfieq
    ".hword 0x3010",             // addeq r0, #16
    ".hword 0x3001",             // addne r0, #1
    ".hword 0x2801",             // cmp r0, #1
    ".hword 0xd100",             // bne 1f
    ".hword 0xdf00",             // svc 0
    ".hword 0xde00",             // 1: udf 0
);

unsafe extern "C" {
    static t32_wfi: u16;
    static t32_it_wfi: u16;
}

/// Checks that a 16-bit WFI that traps (where several vCPUs share a core, or a vCPU its only core)
/// is two bytes long, and one in an IT block leaves the block one instruction further.
fn thumb_instructions_are_short() -> Outcome {
    needs_hypervisor()?;
    if mrs!("id_aa64pfr0_el1") & 0xf != 2 {
        return Err(Stop::Skipped("no AArch32"));
    }
    ensure_eq!(env::get().ram.0 >> 30, 1, "the GiB of the 32-bit alias");
    // SCTLR_EL1.nTWI and ITD: EL0 may wait, and use IT as it likes.
    const NTWI: u64 = 1 << 16;
    const ITD: u64 = 1 << 7;
    let sctlr = mrs!("sctlr_el1");
    msr!("sctlr_el1", (sctlr | NTWI) & !ITD);
    for (name, code) in [("wfi", &raw const t32_wfi), ("itte", &raw const t32_it_wfi)] {
        // Something has to end the wait.
        let timer = Timer::Virtual;
        gic::enable(27);
        let exception = cpu::without_irqs(|| {
            timer.start(timer.counter());
            let exception = trap::run_thumb_at_el0(code as u64);
            timer.stop();
            exception
        });
        let right = exception.is_some_and(|e| e.class() == trap::EC_SVC32);
        ensure!(right, "{name}: {exception:x?}");
    }
    msr!("sctlr_el1", sctlr);
    Ok(())
}

global_asm!(
    ".balign 64",
    "step_id: mrs x9, id_aa64pfr0_el1",
    "add x0, x0, #1",
    "add x0, x0, #1",
    "ret",
    ".balign 64",
    "step_uart: ldr w9, [x1]",
    "add x0, x0, #1",
    "add x0, x0, #1",
    "ret",
);

unsafe extern "C" {
    static step_id: u32;
    static step_uart: u32;
}

/// Checks that a software step over an instruction that traps ends behind it, not one instruction
/// later.
fn one_step_is_one_instruction() -> Outcome {
    needs_hypervisor()?;
    for (name, code) in [("mrs", &raw const step_id), ("ldr", &raw const step_uart)] {
        let code = code as u64;
        let stopped = trap::step(code, UART_BASE.0 + 0x18);
        ensure_eq!(stopped.wrapping_sub(code), 4, name);
    }
    Ok(())
}

macro_rules! access {
    ($instruction:literal, $base:expr, $x10:expr) => {{
        let (mut base, mut x10, mut x11): (u64, u64, u64) = ($base, $x10, 0x5a5a_5a5a_5a5a_5a5a);
        let exception = trap::catch(|| {
            // SAFETY: device registers; a fault is skipped.
            unsafe {
                asm!($instruction, inout("x9") base, inout("x10") x10, inout("x11") x11,
                     options(nostack));
            }
        });
        (exception, base, x10, x11)
    }};
}

/// GICD_TYPER, which is the same for each read, behind GICD_CTLR.
const TYPER: u64 = GICD_BASE.0 + 4;
/// Eight priorities of SPIs.
const PRIORITIES: u64 = GICD_BASE.0 + 0x400 + 32;
const UNTOUCHED: u64 = 0x5a5a_5a5a_5a5a_5a5a;

/// Tries what a compiler makes of `*p++`.
fn writeback() -> Outcome {
    needs_hypervisor()?;
    let typer = u64::from(read32(TYPER));
    ensure_eq!(
        access!("ldr w10, [x9], #8", TYPER, 0),
        (None, TYPER + 8, typer, UNTOUCHED),
        "post-indexed load"
    );
    ensure_eq!(
        access!("ldr w10, [x9, #-4]!", TYPER + 4, 0),
        (None, TYPER, typer, UNTOUCHED),
        "pre-indexed load"
    );
    ensure_eq!(
        access!("str w10, [x9], #4", PRIORITIES, 0xa0a0_a0a0),
        (None, PRIORITIES + 4, 0xa0a0_a0a0, UNTOUCHED),
        "post-indexed store"
    );
    ensure_eq!(read32(PRIORITIES), 0xa0a0_a0a0, "the stored priorities");
    ensure_eq!(
        access!("ldrsb x10, [x9], #1", PRIORITIES, 0),
        (None, PRIORITIES + 1, 0xffff_ffff_ffff_ffa0, UNTOUCHED),
        "signed load of a byte"
    );
    Ok(())
}

/// Tries LDP and STP: two registers of the device, in order.
fn pairs() -> Outcome {
    needs_hypervisor()?;
    let (_, _, x10, _) = access!("stp w10, wzr, [x9]", PRIORITIES, 0xb0b0_b0b0);
    ensure_eq!(x10, 0xb0b0_b0b0, "the stored register");
    ensure_eq!(read32(PRIORITIES), 0xb0b0_b0b0, "the first word");
    ensure_eq!(read32(PRIORITIES + 4), 0, "the second word");
    ensure_eq!(
        access!("ldp w11, w10, [x9], #8", PRIORITIES, 1),
        (None, PRIORITIES + 8, 0, 0xb0b0_b0b0),
        "load of a pair"
    );
    ensure_eq!(
        access!("ldpsw x10, x11, [x9, #-8]!", PRIORITIES + 8, 1),
        (None, PRIORITIES, 0xffff_ffff_b0b0_b0b0, 0),
        "signed load of a pair"
    );
    Ok(())
}

/// Checks that an exclusive is none that a device's registers know: an abort, and nothing changed.
fn no_other_class() -> Outcome {
    needs_hypervisor()?;
    let (exception, base, x10, _) = access!("ldxr w10, [x9]", TYPER, 7);
    let right = exception.is_some_and(|e| e.is_data_abort(TYPER, false));
    ensure!(right && base == TYPER && x10 == 7, "ldxr: {exception:x?}");
    Ok(())
}
