// SPDX-License-Identifier: MIT OR Apache-2.0

//! Calls to EL3 and the secure world by real SMC (SMCCC, DEN0028).

use core::sync::atomic::{AtomicBool, Ordering};

use smccc::{
    Call, Smc,
    arch::{SMCCC_ARCH_FEATURES, SMCCC_VERSION},
};

/// Whether there is firmware at EL3 that answers calls: without, an SMC would go nowhere.
///
/// Protocol: stored before other cores are started.
static PRESENT: AtomicBool = AtomicBool::new(false);

/// Says that the board has firmware to call.
pub fn set_present() {
    PRESENT.store(true, Ordering::Relaxed);
}

fn is_present() -> bool {
    PRESENT.load(Ordering::Relaxed)
}

/// Returns an SMC32 with all eight argument registers; the first four results, zero-extended.
///
/// SMCCC 1.1 onwards preserves x4–x17, and so do TF-A and OP-TEE for every call made here.
#[inline]
pub fn smc32(regs: &[u32; 8]) -> [u32; 4] {
    let [function, args @ ..] = *regs;
    let [r0, r1, r2, r3, ..] = Smc::call32(function, args);
    [r0, r1, r2, r3]
}

/// Starts the core with affinity `mpidr` at `entry` with x0 = `context`.
pub fn cpu_on(mpidr: u64, entry: u64, context: u64) -> Result<(), smccc::psci::Error> {
    smccc::psci::cpu_on::<Smc>(mpidr, entry, context)
}

/// Powers the board off; returns if the firmware can't.
pub fn system_off() {
    if is_present() {
        let _ = smccc::psci::system_off::<Smc>();
    }
}

/// Returns what SMCCC_ARCH_FEATURES answers for the architecture call `id` on this core; NOT_SUPPORTED from a
/// firmware older than SMCCC 1.1, or from none.
pub fn arch_feature(id: u32) -> i32 {
    const NOT_SUPPORTED: i32 = -1;
    if !has_smccc_1_1() {
        return NOT_SUPPORTED;
    }
    smc32(&[SMCCC_ARCH_FEATURES, id, 0, 0, 0, 0, 0, 0])[0] as i32
}

/// Tells whether the firmware has SMCCC 1.1, by the order of questions that older ones survive: SMCCC_VERSION is
/// asked only where PSCI_FEATURES knows it, and that only of PSCI 1.0 (DEN0028 7.2.1).
fn has_smccc_1_1() -> bool {
    const PSCI_1_0: smccc::psci::Version = smccc::psci::Version { major: 1, minor: 0 };
    const SMCCC_1_1: smccc::arch::Version = smccc::arch::Version { major: 1, minor: 1 };
    is_present()
        && smccc::psci::version::<Smc>().is_ok_and(|version| version >= PSCI_1_0)
        && smccc::psci::psci_features::<Smc>(SMCCC_VERSION).is_ok()
        && smccc::arch::version::<Smc>().is_ok_and(|version| version >= SMCCC_1_1)
}
