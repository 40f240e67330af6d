// SPDX-License-Identifier: MIT OR Apache-2.0

//! Every address that is not the guest's: a synchronous external abort, whatever is there for
//! others. Addresses are intermediate physical ones; where EL2 maps them by mistake, they are the
//! board's.

use super::{is_own, own};
use crate::cases::needs_hypervisor;
use crate::outcome::{Outcome, Stop};
use crate::rt::random::Random;
use crate::rt::trap::{self, Exception};
use crate::rt::window::{self, As};
use crate::rt::{env, read8, read16, read32, read64, write8, write16, write32, write64};
use crate::{ensure, ensure_eq, mrs};
use core::arch::asm;
use platform::{GICD_BASE, UART_BASE};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
/// What stage 2 translates (docs/architecture/memory.md).
const IPA_BITS: u32 = 39;

/// What QEMU's `virt` has where a guest has nothing: flash, OP-TEE's memory, the physical GIC, the
/// secure UART, clock, GPIO, virtio, PCIe, the hypervisor, its bundle, and guests' RAM.
const BOARD: [u64; 17] = [
    0x0000_0000,
    0x0400_0000,
    0x0802_0000,
    0x0804_0000,
    0x0901_0000,
    0x0902_0000,
    0x0903_0000,
    0x0904_0000,
    0x0a00_0000,
    0x0e00_0000,
    0x0e10_0000,
    0x1000_0000,
    0x3eff_0000,
    0x6000_0000,
    0x6800_0000,
    0x8000_0000,
    0xbfff_f000,
];

/// Returns the board's addresses, and some that no board has.
fn foreign() -> impl Iterator<Item = u64> {
    let (start, size) = env::get().ram;
    let others = [
        start - 4 * KIB,
        start + size,
        128 * GIB,
        (1 << IPA_BITS) - 4 * KIB,
    ];
    BOARD.into_iter().chain(others).filter(|&at| !is_own(at))
}

/// Reads and writes at `address` fail. `n` chooses the width.
fn is_nobodys(address: u64, n: u64) -> Outcome {
    let width = 1 << (n % 4);
    let address = address & !(width - 1);
    let at = window::show(address, As::Device);
    let read = trap::catch(|| match width {
        1 => drop(read8(at)),
        2 => drop(read16(at)),
        4 => drop(read32(at)),
        _ => drop(read64(at)),
    });
    ensure!(
        read.is_some_and(|e| e.is_data_abort(at, false)),
        "read of {width} bytes at {address:#x}: {read:x?}"
    );
    let write = trap::catch(|| match width {
        1 => write8(at, 0xa5),
        2 => write16(at, 0xa5a5),
        4 => write32(at, 0xa5a5_a5a5),
        _ => write64(at, 0xa5a5_a5a5_a5a5_a5a5),
    });
    ensure!(
        write.is_some_and(|e| e.is_data_abort(at, true)),
        "write of {width} bytes at {address:#x}: {write:x?}"
    );
    Ok(())
}

/// Tries all of `addresses` that are not the guest's, with all widths in turn.
fn are_nobodys(addresses: impl Iterator<Item = u64>) -> Outcome {
    needs_hypervisor()?;
    let result = (0..)
        .zip(addresses.filter(|&at| !is_own(at)))
        .try_for_each(|(n, at)| is_nobodys(at, n));
    window::close();
    result
}

/// Tries one address in each GiB that stage 2 translates.
pub fn every_gib() -> Outcome {
    let mut random = Random::new(0x67);
    are_nobodys((0u64..1 << (IPA_BITS - 30)).map(|n| n * GIB + random.below(GIB)))
}

/// Tries around each power of two that the core can name. What it cannot name is refused by stage
/// 1.
pub fn address_lines() -> Outcome {
    let around = |bit: u32| [(1u64 << bit) - 8, 1 << bit, (1 << bit) + 4 * KIB];
    let bits = window::address_bits();
    are_nobodys((20..bits).flat_map(around))?;
    for bit in bits..48 {
        let at = window::show(1 << bit, As::Device);
        let taken = trap::catch(|| {
            read32(at);
        });
        ensure!(
            taken.is_some_and(Exception::is_address_size_fault),
            "bit {bit} of an address: {taken:x?}"
        );
    }
    window::close();
    Ok(())
}

/// Tries below RAM, where boards have their devices: every 16 KiB, and every page next to what the
/// guest has.
pub fn below_ram() -> Outcome {
    let mut random = Random::new(0x62);
    are_nobodys(
        (0..GIB)
            .step_by(16 << 10)
            .map(|at| at + random.below(16 * KIB)),
    )?;
    are_nobodys((0x0800_0000..0x0820_0000).step_by(4096))?;
    are_nobodys((0x0900_0000..0x0920_0000).step_by(4096))
}

/// Tries the four GiB from RAM's start on: other guests, the hypervisor, and more.
pub fn ram_of_the_board() -> Outcome {
    let mut random = Random::new(0x72);
    are_nobodys(
        (GIB..5 * GIB)
            .step_by(64 << 10)
            .map(|at| at + random.below(64 * KIB)),
    )
}

/// Tries the last and the first bytes outside of each thing that the guest has.
pub fn edges() -> Outcome {
    let edge = |(start, size): (u64, u64)| {
        let end = start + size;
        [
            start - 4 * KIB,
            start - 8,
            start - 1,
            end,
            end + 1,
            end + 8,
            end + 4 * KIB,
            end + 2 * MIB,
        ]
    };
    // `is_nobodys` aligns down: only addresses that stay outside whatever the width.
    let stays_outside = |at: &u64| !is_own(at & !7);
    let edges = || own().into_iter().flat_map(edge).filter(stays_outside);
    (0..4).try_for_each(|width| are_nobodys(edges().flat_map(|at| [at; 4]).skip(width)))
}

/// Tries anywhere.
pub fn random_addresses() -> Outcome {
    let mut random = Random::new(0x61);
    let bits = window::address_bits();
    // Every new GiB is a change of the page tables: several addresses in each.
    are_nobodys((0..500).flat_map(|_| {
        let start = random.below(1 << bits) & !(GIB - 1);
        let offsets: [u64; 8] = core::array::from_fn(|_| random.below(GIB));
        offsets.map(|offset| start + offset)
    }))
}

macro_rules! ways {
    ($at:ident: $($instruction:literal)*) => {
        [$(
            // SAFETY: nothing is there; the vector skips the instruction.
            ($instruction, trap::catch(|| unsafe {
                asm!(
                    ".arch_extension lse",
                    "mov x10, #0", "mov x11, #0", "mov x12, #0", "mov x13, #0",
                    $instruction,
                    in("x9") $at,
                    out("x10") _, out("x11") _, out("x12") _, out("x13") _,
                )
            })),
        )*]
    };
}

/// Tries every kind of instruction that takes an address: it aborts, or (cache maintenance,
/// prefetch) is done without effect.
pub fn every_way() -> Outcome {
    needs_hypervisor()?;
    let result = foreign().try_for_each(|address| {
        let at = window::show(address, As::Memory);
        for (instruction, taken) in ways!(at:
            "ldrb w10, [x9]" "ldrsb x10, [x9]" "ldrh w10, [x9]" "ldrsh w10, [x9]" "ldr w10, [x9]"
            "ldrsw x10, [x9]" "ldr x10, [x9]" "ldr x10, [x9], #0" "ldr x10, [x9, #0]!"
            "ldp w10, w11, [x9]" "ldp x10, x11, [x9]" "ldnp x10, x11, [x9]"
            "ldxrb w10, [x9]" "ldxr x10, [x9]" "ldxp x10, x11, [x9]" "ldaxr w10, [x9]"
            "ldar x10, [x9]" "ldarb w10, [x9]"
        ) {
            let right = taken.is_some_and(|e| e.is_data_abort(at, false));
            ensure!(right, "{instruction} of {address:#x}: {taken:x?}");
        }
        for (instruction, taken) in ways!(at:
            "strb wzr, [x9]" "strh wzr, [x9]" "str wzr, [x9]" "str xzr, [x9]" "str x10, [x9], #0"
            "stp wzr, wzr, [x9]" "stp xzr, xzr, [x9]" "stnp xzr, xzr, [x9]"
            "stlr xzr, [x9]" "stlrb wzr, [x9]" "dc zva, x9"
        ) {
            let right =
                taken.is_some_and(|e| e.is_data_abort(at & !63, true) || e.is_data_abort(at, true));
            ensure!(right, "{instruction} of {address:#x}: {taken:x?}");
        }
        for (instruction, taken) in ways!(at:
            "dc civac, x9" "dc cvac, x9" "dc ivac, x9" "dc cvau, x9" "ic ivau, x9"
            "prfm pldl1keep, [x9]" "prfm pstl1keep, [x9]" "stxr w10, xzr, [x9]"
        ) {
            let right = taken.is_none_or(|e| e.is_data_abort(at, true));
            ensure!(right, "{instruction} of {address:#x}: {taken:x?}");
        }
        atomics(address, at)
    });
    window::close();
    result
}

/// Tries FEAT_LSE's instructions, where the core has them: those that cannot give a syndrome.
fn atomics(address: u64, at: u64) -> Outcome {
    if mrs!("id_aa64isar0_el1") >> 20 & 0xf == 0 {
        return Ok(());
    }
    for (instruction, taken) in ways!(at:
        "ldadd x10, x11, [x9]" "ldset w10, w11, [x9]" "swp x10, x11, [x9]" "swpalb w10, w11, [x9]"
        "cas x10, x11, [x9]" "casp x10, x11, x12, x13, [x9]" "stadd x10, [x9]"
    ) {
        let right = taken.is_some_and(|e| e.is_data_abort(at, true) || e.is_data_abort(at, false));
        ensure!(right, "{instruction} of {address:#x}: {taken:x?}");
    }
    Ok(())
}

/// Puts page tables in what is not the guest's memory: no walk reads them, whoever causes it.
pub fn table_walks() -> Outcome {
    needs_hypervisor()?;
    let devices = [UART_BASE.0, GICD_BASE.0];
    let result = foreign().chain(devices).try_for_each(|address| {
        window::walk_through(address);
        let at = window::BASE;
        for (instruction, taken) in ways!(at:
            "ldr x10, [x9]" "str xzr, [x9]" "ldp x10, x11, [x9]" "dc civac, x9" "ic ivau, x9"
        ) {
            // QEMU does not translate the addresses of cache maintenance.
            let right = taken.map_or(
                instruction.contains("c i") || instruction.contains("c c"),
                Exception::is_walk_abort,
            );
            ensure!(right, "{instruction} by tables at {address:#x}: {taken:x?}");
        }
        let taken = jump(at);
        ensure!(
            taken.is_some_and(Exception::is_walk_abort),
            "execution by tables at {address:#x}: {taken:x?}"
        );
        match translation(at) {
            Ok(par) => ensure!(par & 1 == 1, "tables at {address:#x} translate: {par:#x}"),
            Err(e) => ensure!(e.is_walk_abort(), "AT by tables at {address:#x}: {e:x?}"),
        }
        Ok(())
    });
    window::close();
    result
}

/// Calls a function at `at`.
fn jump(at: u64) -> Option<Exception> {
    // SAFETY: it cannot be fetched; the vector returns from the call.
    let function = unsafe { core::mem::transmute::<u64, extern "C" fn()>(at) };
    trap::catch(|| function())
}

/// Fetches instructions from nothing and from devices.
pub fn execute() -> Outcome {
    needs_hypervisor()?;
    let devices = [UART_BASE.0, GICD_BASE.0];
    let result = foreign().chain(devices).try_for_each(|address| {
        let at = window::show(address, As::Memory);
        let taken = jump(at);
        ensure!(
            taken.is_some_and(|e| e.is_instruction_abort(at)),
            "execution of {address:#x}: {taken:x?}"
        );
        Ok(())
    });
    window::close();
    result
}

/// Returns PAR_EL1 after AT S1E1R.
fn translation(at: u64) -> Result<u64, Exception> {
    // SAFETY: it only writes PAR_EL1.
    let taken = trap::catch(|| unsafe { asm!("at s1e1r, {}", "isb", in(reg) at) });
    taken.map_or_else(|| Ok(mrs!("par_el1")), Err)
}

/// Checks that AT tells intermediate physical addresses: what the guest wrote to its tables, of its
/// own memory and of what is not its own.
pub fn translate() -> Outcome {
    const ADDRESS: u64 = (1 << 48) - (1 << 12);
    let here = translate as *const () as u64;
    for address in foreign().chain([here]) {
        let at = window::show(address, As::Memory);
        let par = translation(at).map_err(|e| {
            Stop::Failed(crate::outcome::Text::new(format_args!(
                "AT of {address:#x}: {e:x?}"
            )))
        })?;
        ensure_eq!(par & 1, 0, "PAR_EL1.F");
        ensure_eq!(par & ADDRESS, address & ADDRESS, "PAR_EL1.PA");
    }
    window::close();
    Ok(())
}
