// SPDX-License-Identifier: MIT OR Apache-2.0

//! The SMC Calling Convention (DEN0028) as a client.

use super::{Test, needs_hypervisor};
use crate::outcome::Outcome;
use crate::rt::call::{Regs, call, hvc, regs, smc};
use crate::rt::{env, random::Random, trap};
use crate::{ensure, ensure_eq, mrs};
use platform::Conduit;

pub const TESTS: &[Test] = &[
    ("version", version),
    ("features", features),
    ("unknown_functions", unknown_functions),
    ("high_half_of_x0", high_half_of_x0),
    ("immediates", immediates),
    ("registers_preserved", registers_preserved),
    ("random_unknown_functions", random_unknown_functions),
    ("from_el0", from_el0),
    ("from_aarch32", from_aarch32),
];

const BOTH: [Conduit; 2] = [Conduit::Smc, Conduit::Hvc];
const SMCCC_VERSION: u64 = 0x8000_0000;
const ARCH_FEATURES: u64 = 0x8000_0001;
const WORKAROUNDS: [u64; 3] = [0x8000_8000, 0x8000_7fff, 0x8000_3fff];

fn version() -> Outcome {
    needs_hypervisor()?;
    for conduit in BOTH {
        let version = call(conduit, regs([SMCCC_VERSION]))[0];
        ensure!(
            (0x1_0001..0x2_0000).contains(&version),
            "version {version:#x} by {conduit:?}"
        );
    }
    Ok(())
}

fn feature(conduit: Conduit, function: u64) -> i32 {
    call(conduit, regs([ARCH_FEATURES, function]))[0] as i32
}

/// Checks that what SMCCC_ARCH_FEATURES offers works, what it denies is unknown.
fn features() -> Outcome {
    needs_hypervisor()?;
    for conduit in BOTH {
        ensure_eq!(feature(conduit, SMCCC_VERSION), 0, "SMCCC_VERSION");
        ensure_eq!(feature(conduit, ARCH_FEATURES), 0, "SMCCC_ARCH_FEATURES");
        ensure_eq!(feature(conduit, 0x8000_0003), -1, "an undefined function");
        for function in WORKAROUNDS {
            let offered = feature(conduit, function) >= 0;
            let out = call(conduit, regs([function, 1]));
            ensure!(
                offered || is_unknown(function, out),
                "{function:#x} returns {:#x}",
                out[0]
            );
        }
    }
    Ok(())
}

/// Tells whether the answer is NOT_SUPPORTED, as wide as the call; OP-TEE knows no 64-bit calls,
/// and answers in 32 bits.
fn is_unknown(function: u64, out: Regs) -> bool {
    let is_trusted_os = function >> 24 & 0x3f >= 50;
    let is_wide = function & 1 << 30 != 0;
    out[0] == if is_wide { u64::MAX } else { 0xffff_ffff } || is_trusted_os && out[0] == 0xffff_ffff
}

/// Calls one of each owner, fast and yielding, 32 and 64 bits; h26.
fn unknown_functions() -> Outcome {
    needs_hypervisor()?;
    for owner in 0..64u64 {
        for kind in [0x8000_0000u64, 0xc000_0000, 0, 0x4000_0000] {
            let function = kind | owner << 24 | 0xfdec;
            for conduit in BOTH {
                let out = call(conduit, regs([function]));
                ensure!(
                    is_unknown(function, out),
                    "{function:#x} by {conduit:?}: {:#x}",
                    out[0]
                );
            }
        }
    }
    Ok(())
}

/// Checks that the function identifier is w0: what is above it neither makes nor breaks a function.
fn high_half_of_x0() -> Outcome {
    needs_hypervisor()?;
    for conduit in BOTH {
        for function in [SMCCC_VERSION << 32, 0xdead_beef_8400_fdec] {
            let out = call(conduit, regs([function]));
            ensure!(
                is_unknown(function & 0xffff_ffff, out),
                "{function:#x}: {:#x}",
                out[0]
            );
        }
    }
    Ok(())
}

/// Checks that every immediate but 0 is reserved.
fn immediates() -> Outcome {
    needs_hypervisor()?;
    for out in [
        smc::<1>(regs([SMCCC_VERSION])),
        smc::<0xffff>(regs([SMCCC_VERSION])),
        hvc::<1>(regs([SMCCC_VERSION])),
        hvc::<0x4a48>(regs([SMCCC_VERSION])),
        hvc::<0xea1>(regs([SMCCC_VERSION])),
    ] {
        ensure!(is_unknown(SMCCC_VERSION, out), "{:#x}", out[0]);
    }
    Ok(())
}

/// Checks that x4–x17 survive every call (DEN0028 2.6, of SMCCC 1.2), known or not.
fn registers_preserved() -> Outcome {
    needs_hypervisor()?;
    let unknown = 0x8600_1234;
    for conduit in BOTH {
        for function in [
            SMCCC_VERSION,
            ARCH_FEATURES,
            0x8400_0000,
            unknown,
            0xb200_fdec,
        ] {
            let before = regs([function]);
            let after = call(conduit, before);
            ensure!(
                before[4..] == after[4..],
                "{function:#x} by {conduit:?} changed x4-x17"
            );
        }
    }
    Ok(())
}

/// Numbers that nobody defines, with random arguments.
fn random_unknown_functions() -> Outcome {
    needs_hypervisor()?;
    let mut random = Random::new(26);
    for _ in 0..2000 {
        let mut x: Regs = core::array::from_fn(|_| random.next());
        // The owners between the standard services and the trusted applications are nobody's.
        let owner = 5 + random.below(43);
        x[0] = x[0] & !(0x3f << 24) | owner << 24;
        let conduit = if random.below(2) == 0 {
            Conduit::Smc
        } else {
            Conduit::Hvc
        };
        let out = call(conduit, x);
        ensure!(
            is_unknown(x[0], out),
            "{:#x} by {conduit:?}: {:#x}",
            x[0],
            out[0]
        );
        ensure!(
            x[1..] == out[1..],
            "{:#x} by {conduit:?} changed registers",
            x[0]
        );
    }
    Ok(())
}

core::arch::global_asm!(
    ".balign 8",
    "el0_smc: smc #0",
    "svc #0",
    "el0_hvc: hvc #0",
    "svc #0",
    "el0_svc: svc #0",
    "aarch32_smc: .inst 0xe1600070",
    ".inst 0xef000000",
    "aarch32_hvc: .inst 0xe1400070",
    ".inst 0xef000000",
    "aarch32_svc: .inst 0xef000000",
);

unsafe extern "C" {
    static el0_smc: u32;
    static el0_hvc: u32;
    static el0_svc: u32;
    static aarch32_smc: u32;
    static aarch32_hvc: u32;
    static aarch32_svc: u32;
}

/// Checks that SMC and HVC from EL0 are UNDEFINED and taken to EL1; h26.
fn from_el0() -> Outcome {
    let svc = trap::run_at_el0(&raw const el0_svc as u64, false);
    ensure!(
        svc.is_some_and(|e| e.class() == trap::EC_SVC),
        "SVC from EL0: {svc:x?}"
    );
    for code in [&raw const el0_smc, &raw const el0_hvc] {
        let exception = trap::run_at_el0(code as u64, false);
        ensure!(
            exception.is_some_and(|e| e.is_undefined()),
            "from EL0: {exception:x?}"
        );
    }
    Ok(())
}

/// Tries SMC and HVC from AArch32 User mode, where the core has it; h26.
fn from_aarch32() -> Outcome {
    if mrs!("id_aa64pfr0_el1") & 0xf != 2 {
        return Err(crate::outcome::Stop::Skipped("no AArch32"));
    }
    ensure!(
        env::get().ram.0 >> 30 == 1,
        "the 32-bit alias covers RAM's first GiB"
    );
    let svc = trap::run_at_el0(&raw const aarch32_svc as u64, true);
    ensure!(
        svc.is_some_and(|e| e.class() == trap::EC_SVC32),
        "SVC from A32: {svc:x?}"
    );
    for code in [&raw const aarch32_smc, &raw const aarch32_hvc] {
        let exception = trap::run_at_el0(code as u64, true);
        ensure!(
            exception.is_some_and(|e| e.is_undefined()),
            "from A32: {exception:x?}"
        );
    }
    Ok(())
}
