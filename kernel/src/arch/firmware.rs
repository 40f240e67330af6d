// SPDX-License-Identifier: MIT OR Apache-2.0

//! Calls to EL3 and the secure world by real SMC (SMCCC, DEN0028).

use core::arch::asm;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use board::{Psci, PsciVersion};
use platform::Workarounds;
use smccc::{
    Call, Smc,
    arch::{
        SMCCC_ARCH_FEATURES, SMCCC_ARCH_WORKAROUND_1, SMCCC_ARCH_WORKAROUND_2,
        SMCCC_ARCH_WORKAROUND_3, SMCCC_VERSION,
    },
    psci::PSCI_CPU_ON_64,
};

/// Whether the device tree promises firmware at EL3 with PSCI 0.2 or later: without any, an SMC would go nowhere, and
/// 0.1 has no functions but those that the tree numbers.
///
/// Protocol: stored before other cores are started.
static IS_STANDARD: AtomicBool = AtomicBool::new(false);
/// The function that starts a core, or [`NONE`]; the same protocol.
static CPU_ON: AtomicU32 = AtomicU32::new(NONE);

/// No function of the firmware's.
const NONE: u32 = 0;

/// Says that the board has firmware to call by SMC, and which.
pub fn set_present(psci: &Psci) {
    let (is_standard, cpu_on) = match psci.version {
        PsciVersion::V0_1 => (false, psci.cpu_on.unwrap_or(NONE)),
        PsciVersion::V0_2 | PsciVersion::V1_0 => (true, PSCI_CPU_ON_64),
    };
    CPU_ON.store(cpu_on, Ordering::Relaxed);
    IS_STANDARD.store(is_standard, Ordering::Relaxed);
}

fn is_standard() -> bool {
    IS_STANDARD.load(Ordering::Relaxed)
}

/// Firmware of any age.
struct Firmware;

impl Call for Firmware {
    #[inline]
    fn call32(function: u32, args: [u32; 7]) -> [u32; 8] {
        let mut regs = [0; 8];
        regs[0] = function;
        regs[1..].copy_from_slice(&args);
        // SAFETY: what is called is the firmware's to answer; it gets no address of EL2's but those in `args`, which
        // the callers answer for. Only from SMCCC 1.1 on are x4 to x17 kept where they are no results.
        unsafe {
            asm!(
                "smc #0",
                inout("w0") regs[0],
                inout("w1") regs[1],
                inout("w2") regs[2],
                inout("w3") regs[3],
                inout("w4") regs[4],
                inout("w5") regs[5],
                inout("w6") regs[6],
                inout("w7") regs[7],
                out("x8") _, out("x9") _, out("x10") _, out("x11") _, out("x12") _,
                out("x13") _, out("x14") _, out("x15") _, out("x16") _, out("x17") _,
                options(nostack)
            );
        }
        regs
    }

    fn call64(function: u32, args: [u64; 17]) -> [u64; 18] {
        Smc::call64(function, args)
    }
}

/// Returns an SMC32 with all eight argument registers; the first four results, zero-extended.
#[inline]
pub fn smc32(regs: &[u32; 8]) -> [u32; 4] {
    let [function, args @ ..] = *regs;
    let [r0, r1, r2, r3, ..] = Firmware::call32(function, args);
    [r0, r1, r2, r3]
}

/// Starts the core with affinity `mpidr` at `entry` with x0 = `context`. False if the firmware refuses, or if there
/// is none to call.
pub fn cpu_on(mpidr: u64, entry: u64, context: u64) -> bool {
    const SUCCESS: u32 = 0;
    let function = CPU_ON.load(Ordering::Relaxed);
    if function == NONE {
        return false;
    }
    let mut args = [0; 17];
    args[..3].copy_from_slice(&[mpidr, entry, context]);
    let [result, ..] = Firmware::call64(function, args);
    result as u32 == SUCCESS
}

/// Powers the board off; returns if the firmware can't.
pub fn system_off() {
    if is_standard() {
        let _ = smccc::psci::system_off::<Firmware>();
    }
}

/// Returns what SMCCC_ARCH_FEATURES answers on this core for the calls that work around a CPU's vulnerabilities; none is
/// there in a firmware older than SMCCC 1.1.
pub fn workarounds() -> Workarounds {
    if !has_smccc_1_1() {
        return Workarounds::NONE;
    }
    let ask = |id| smc32(&[SMCCC_ARCH_FEATURES, id, 0, 0, 0, 0, 0, 0])[0] as i32;
    Workarounds {
        one: ask(SMCCC_ARCH_WORKAROUND_1),
        two: ask(SMCCC_ARCH_WORKAROUND_2),
        three: ask(SMCCC_ARCH_WORKAROUND_3),
    }
}

/// Tells whether the firmware has SMCCC 1.1, by the order of questions that older ones survive: SMCCC_VERSION is
/// asked only where PSCI_FEATURES knows it, and that only of PSCI 1.0 (DEN0028 7.2.1).
fn has_smccc_1_1() -> bool {
    const PSCI_1_0: smccc::psci::Version = smccc::psci::Version { major: 1, minor: 0 };
    const SMCCC_1_1: smccc::arch::Version = smccc::arch::Version { major: 1, minor: 1 };
    is_standard()
        && smccc::psci::version::<Firmware>().is_ok_and(|version| version >= PSCI_1_0)
        && smccc::psci::psci_features::<Firmware>(SMCCC_VERSION).is_ok()
        && smccc::arch::version::<Firmware>().is_ok_and(|version| version >= SMCCC_1_1)
}
