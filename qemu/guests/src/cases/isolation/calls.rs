// SPDX-License-Identifier: MIT OR Apache-2.0

//! Every SMC and HVC that nobody defines: NOT_SUPPORTED, no register changed and nothing told.

use crate::cases::needs_hypervisor;
use crate::outcome::Outcome;
use crate::rt::random::Random;
use crate::rt::sysreg;
use crate::{ensure, ensure_eq};
use platform::Conduit;

/// x0 to x30.
#[repr(C)]
struct All([u64; 31]);

// call_all_smc(registers), call_all_hvc(registers): the instruction with all of x0 to x30 from
// there, and back to there.
core::arch::global_asm!(
    ".macro call_all instruction",
    ".global call_all_\\instruction",
    "call_all_\\instruction:",
    "stp x29, x30, [sp, #-112]!",
    "stp x19, x20, [sp, #16]",
    "stp x21, x22, [sp, #32]",
    "stp x23, x24, [sp, #48]",
    "stp x25, x26, [sp, #64]",
    "stp x27, x28, [sp, #80]",
    "str x0, [sp, #96]",
    "mov x30, x0",
    "ldp x0, x1, [x30]",
    "ldp x2, x3, [x30, #16]",
    "ldp x4, x5, [x30, #32]",
    "ldp x6, x7, [x30, #48]",
    "ldp x8, x9, [x30, #64]",
    "ldp x10, x11, [x30, #80]",
    "ldp x12, x13, [x30, #96]",
    "ldp x14, x15, [x30, #112]",
    "ldp x16, x17, [x30, #128]",
    "ldp x18, x19, [x30, #144]",
    "ldp x20, x21, [x30, #160]",
    "ldp x22, x23, [x30, #176]",
    "ldp x24, x25, [x30, #192]",
    "ldp x26, x27, [x30, #208]",
    "ldp x28, x29, [x30, #224]",
    "ldr x30, [x30, #240]",
    "\\instruction #0",
    "str x30, [sp, #104]",
    "ldr x30, [sp, #96]",
    "stp x0, x1, [x30]",
    "stp x2, x3, [x30, #16]",
    "stp x4, x5, [x30, #32]",
    "stp x6, x7, [x30, #48]",
    "stp x8, x9, [x30, #64]",
    "stp x10, x11, [x30, #80]",
    "stp x12, x13, [x30, #96]",
    "stp x14, x15, [x30, #112]",
    "stp x16, x17, [x30, #128]",
    "stp x18, x19, [x30, #144]",
    "stp x20, x21, [x30, #160]",
    "stp x22, x23, [x30, #176]",
    "stp x24, x25, [x30, #192]",
    "stp x26, x27, [x30, #208]",
    "stp x28, x29, [x30, #224]",
    "ldr x0, [sp, #104]",
    "str x0, [x30, #240]",
    "ldp x27, x28, [sp, #80]",
    "ldp x25, x26, [sp, #64]",
    "ldp x23, x24, [sp, #48]",
    "ldp x21, x22, [sp, #32]",
    "ldp x19, x20, [sp, #16]",
    "ldp x29, x30, [sp], #112",
    "ret",
    ".endm",
    "call_all smc",
    "call_all hvc",
);

unsafe extern "C" {
    fn call_all_smc(registers: *mut All);
    fn call_all_hvc(registers: *mut All);
}

fn call(conduit: Conduit, mut registers: All) -> All {
    // SAFETY: no function called here reads or writes memory, and all registers are given back.
    unsafe {
        match conduit {
            Conduit::Smc => call_all_smc(&raw mut registers),
            Conduit::Hvc => call_all_hvc(&raw mut registers),
        }
    }
    registers
}

const CONDUITS: [Conduit; 2] = [Conduit::Smc, Conduit::Hvc];
/// Fast and yielding, 32 and 64 bits.
const KINDS: [u64; 4] = [0x8000_0000, 0xc000_0000, 0, 0x4000_0000];

/// Tells whether docs/smc-services.md, PSCI or SMCCC define `function`, or it is one of PSCI's that
/// do not return.
fn is_defined(function: u64) -> bool {
    const PSCI: core::ops::Range<u64> = 0..0x20;
    let (owner, number) = (function >> 24 & 0x3f, function & 0xffff);
    let is_fast = function & 1 << 31 != 0;
    match owner {
        0 => is_fast && matches!(number, 0 | 1 | 0x3fff | 0x7fff | 0x8000),
        4 => is_fast && PSCI.contains(&number),
        50 => number < 0x20,
        63 => is_fast && matches!(number, 0xff00 | 0xff01 | 0xff03),
        _ => false,
    }
}

/// Calls `function` with arguments from `random` and judges what comes back.
fn is_unknown(conduit: Conduit, function: u64, random: &mut Random) -> Outcome {
    let mut before = All(core::array::from_fn(|_| random.next()));
    // The upper half of x0 does not count.
    before.0[0] = before.0[0] & !0xffff_ffff | function;
    let arguments = before.0;
    let after = call(conduit, before).0;
    let is_trusted_os = function >> 24 & 0x3f >= 50;
    let is_wide = function & 1 << 30 != 0;
    // OP-TEE knows no 64-bit calls, and answers in 32 bits.
    let right = match after[0] {
        0xffff_ffff => !is_wide || is_trusted_os,
        u64::MAX => is_wide,
        _ => false,
    };
    ensure!(
        right,
        "{function:#x} by {conduit:?} returns {:#x}",
        after[0]
    );
    for n in 1..31 {
        // OP-TEE's answers have four words.
        let kept = after[n] == arguments[n] || n < 4 && is_trusted_os && after[n] == 0;
        ensure!(
            kept,
            "{function:#x} by {conduit:?}: x{n} is {:#x} after {:#x}",
            after[n],
            arguments[n]
        );
    }
    Ok(())
}

fn are_unknown(functions: impl Iterator<Item = u64>) -> Outcome {
    needs_hypervisor()?;
    let mut random = Random::new(0x73);
    functions
        .filter(|&function| !is_defined(function))
        .try_for_each(|function| {
            CONDUITS
                .into_iter()
                .try_for_each(|conduit| is_unknown(conduit, function, &mut random))
        })
}

/// Calls the lowest and the highest 256 numbers of each owner and kind, and one elsewhere.
pub fn every_owner() -> Outcome {
    let mut random = Random::new(0x6f);
    are_unknown((0..64u64).flat_map(|owner| {
        let elsewhere = random.below(0x1_0000);
        KINDS.into_iter().flat_map(move |kind| {
            (0..0x100)
                .chain(0xff00..0x1_0000)
                .chain([elsewhere])
                .map(move |number| kind | owner << 24 | number)
        })
    }))
}

/// Checks that bits 23:16 must be zero (DEN0028 2.5): with one of them no function is the one that
/// it looks like, even if it would power off.
pub fn reserved_bits() -> Outcome {
    let functions = [
        0x8000_0000,
        0x8400_0000,
        0x8400_0003,
        0xc400_0012,
        0xbf00_ff01,
        0x3200_0004,
    ];
    are_unknown(
        functions
            .into_iter()
            .flat_map(|function| (16..24).map(move |bit| function | 1u64 << bit)),
    )
}

/// Tries every immediate but 0, with a function that is defined.
pub fn immediates() -> Outcome {
    const SMC: u32 = 0xd400_0003;
    const HVC: u32 = 0xd400_0002;
    needs_hypervisor()?;
    for base in [SMC, HVC] {
        for immediate in (1..0x1_0000).step_by(7).chain([0xffff]) {
            let out = sysreg::run(base | immediate << 5, 0xdead_beef_8400_0000);
            ensure_eq!(out, Ok(0xffff_ffff), "PSCI_VERSION with an immediate");
        }
    }
    Ok(())
}
