// SPDX-License-Identifier: MIT OR Apache-2.0

//! Accesses to addresses where the guest has nothing: architectural aborts, and life goes on.

use super::{Test, needs_hypervisor};
use crate::outcome::Outcome;
use crate::rt::{env, read32, trap, write32};
use crate::{ensure, ensure_eq};
use core::arch::asm;
use platform::{GICD_BASE, RAM_BASE, UART_BASE};

pub const TESTS: &[Test] = &[
    ("read", read),
    ("write", write),
    ("execute", execute),
    ("widths", widths),
    ("past_ram", past_ram),
    ("low_addresses", low_addresses),
    ("pairs_on_devices", pairs_on_devices),
    ("cache_maintenance", cache_maintenance),
    ("many", many),
];

/// A hole between the devices, and one far behind RAM.
const HOLE: u64 = 0x0b00_0000;
const FAR_HOLE: u64 = 128 << 30;

fn read() -> Outcome {
    for address in [HOLE, FAR_HOLE] {
        let exception = trap::catch(|| {
            read32(address);
        });
        let right = exception.is_some_and(|e| e.is_data_abort(address, false));
        ensure!(right, "read of {address:#x}: {exception:x?}");
    }
    Ok(())
}

fn write() -> Outcome {
    for address in [HOLE, FAR_HOLE] {
        let exception = trap::catch(|| write32(address, 1));
        let right = exception.is_some_and(|e| e.is_data_abort(address, true));
        ensure!(right, "write of {address:#x}: {exception:x?}");
    }
    Ok(())
}

fn execute() -> Outcome {
    // SAFETY: it cannot be fetched; the vector returns from the call.
    let function = unsafe { core::mem::transmute::<u64, extern "C" fn()>(FAR_HOLE) };
    let exception = trap::catch(|| function());
    let right = exception.is_some_and(|e| e.is_instruction_abort(FAR_HOLE));
    ensure!(right, "jump to {FAR_HOLE:#x}: {exception:x?}");
    Ok(())
}

macro_rules! access {
    ($instruction:literal, $address:expr) => {
        // SAFETY: nothing is there; the vector skips the instruction.
        (($instruction), trap::catch(|| unsafe {
            asm!($instruction, in("x9") $address, out("x10") _, out("x11") _, out("x12") _)
        }))
    };
}

/// Tries every width, and what a stage-2 abort describes no syndrome for: pairs, exclusives,
/// writeback.
fn widths() -> Outcome {
    let at = FAR_HOLE + 0x40;
    for (instruction, exception) in [
        access!("ldrb w10, [x9]", at),
        access!("ldrsh x10, [x9]", at),
        access!("ldr x10, [x9]", at),
        access!("ldp x10, x11, [x9]", at),
        access!("ldxr x10, [x9]", at),
        access!("ldar x10, [x9]", at),
        access!("ldr x10, [x9], #0", at),
        access!("strb wzr, [x9]", at),
        access!("strh wzr, [x9]", at),
        access!("str xzr, [x9]", at),
        access!("stp xzr, xzr, [x9]", at),
        access!("stlr xzr, [x9]", at),
    ] {
        let write = instruction.starts_with("st");
        let right = exception.is_some_and(|e| e.is_data_abort(at, write));
        ensure!(right, "{instruction}: {exception:x?}");
    }
    Ok(())
}

/// Tries the first word behind RAM.
fn past_ram() -> Outcome {
    let (start, size) = env::get().ram;
    let end = start + size;
    let exception = trap::catch(|| {
        read32(end);
    });
    ensure!(
        exception.is_some_and(|e| e.is_data_abort(end, false)),
        "{end:#x}: {exception:x?}"
    );
    Ok(())
}

/// Addresses where the machine, but not the guest, may have something.
fn low_addresses() -> Outcome {
    needs_hypervisor()?;
    for address in [
        0,
        0x0400_0000,
        0x0904_0000,
        0x0a00_3e00,
        0x0e10_0000,
        0x1000_0000,
        RAM_BASE.0 - 4,
    ] {
        for exception in [
            trap::catch(|| {
                read32(address);
            }),
            trap::catch(|| write32(address, 0)),
        ] {
            let right = exception
                .is_some_and(|e| e.is_data_abort(address, false) || e.is_data_abort(address, true));
            ensure!(right, "{address:#x}: {exception:x?}");
        }
    }
    Ok(())
}

/// Accesses that no PL011 or GIC defines are refused or ignored, but never stop the guest.
fn pairs_on_devices() -> Outcome {
    for address in [UART_BASE.0 + 0x20, GICD_BASE.0 + 0x400] {
        for (instruction, exception) in [
            access!("ldp x10, x11, [x9]", address),
            access!("ldr x10, [x9]", address),
            access!("ldr x10, [x9], #0", address),
        ] {
            let right = exception.is_none_or(|e| e.is_data_abort(address, false));
            ensure!(right, "{instruction} of {address:#x}: {exception:x?}");
        }
    }
    Ok(())
}

/// Maintains caches by address on a hole: done or aborted. By set and way: done, to the guest's
/// knowledge.
fn cache_maintenance() -> Outcome {
    for (instruction, exception) in [
        access!("dc civac, x9", FAR_HOLE),
        access!("dc cvac, x9", FAR_HOLE),
        access!("dc ivac, x9", FAR_HOLE),
        access!("ic ivau, x9", FAR_HOLE),
    ] {
        let right = exception.is_none_or(|e| e.esr >> 26 == 0x25);
        ensure!(right, "{instruction}: {exception:x?}");
    }
    for (instruction, exception) in [
        access!("dc isw, x9", 0u64),
        access!("dc csw, x9", 0u64),
        access!("dc cisw, x9", 0u64),
        access!("ic iallu", 0u64),
        access!("tlbi vmalle1is", 0u64),
    ] {
        ensure!(exception.is_none(), "{instruction}: {exception:x?}");
    }
    Ok(())
}

/// Checks that a guest that faults all the time harms no other and still gets every fault.
fn many() -> Outcome {
    let mut caught = 0;
    for n in 0..2000 {
        let address = FAR_HOLE + n * 4096;
        let exception = trap::catch(|| write32(address, 0));
        caught += u32::from(exception.is_some_and(|e| e.is_data_abort(address, true)));
    }
    ensure_eq!(caught, 2000, "faults");
    Ok(())
}
