// SPDX-License-Identifier: MIT OR Apache-2.0

//! SMC and HVC with the whole register file of SMCCC 1.2, and PSCI on top.

use super::env;
use core::arch::asm;
use platform::Conduit;

/// x0–x17.
pub type Regs = [u64; 18];

macro_rules! instruction {
    ($name:ident, $mnemonic:literal) => {
        /// Returns the instruction with this immediate: registers in, registers out.
        pub fn $name<const IMMEDIATE: u16>(regs: Regs) -> Regs {
            let mut r = regs;
            // SAFETY: the callee may change x0–x17, and only memory that these name to it, which
            // the callers keep in statics that are read through volatile or atomic accesses.
            unsafe {
                asm!(
                    concat!($mnemonic, " #{imm}"),
                    imm = const IMMEDIATE,
                    inout("x0") r[0], inout("x1") r[1], inout("x2") r[2], inout("x3") r[3],
                    inout("x4") r[4], inout("x5") r[5], inout("x6") r[6], inout("x7") r[7],
                    inout("x8") r[8], inout("x9") r[9], inout("x10") r[10], inout("x11") r[11],
                    inout("x12") r[12], inout("x13") r[13], inout("x14") r[14],
                    inout("x15") r[15], inout("x16") r[16], inout("x17") r[17],
                    options(nostack),
                );
            }
            r
        }
    };
}
instruction!(smc, "smc");
instruction!(hvc, "hvc");

/// Returns `first` in x0 and up; the other registers hold numbers of their own.
pub fn regs<const N: usize>(first: [u64; N]) -> Regs {
    core::array::from_fn(|n| {
        first
            .get(n)
            .copied()
            .unwrap_or(0xa5a5_0000_5a5a_0000 + n as u64)
    })
}

/// Calls through `conduit`.
pub fn call(conduit: Conduit, regs: Regs) -> Regs {
    match conduit {
        Conduit::Smc => smc::<0>(regs),
        Conduit::Hvc => hvc::<0>(regs),
    }
}

/// PSCI function identifiers (DEN0022F.b 5.1).
pub mod psci {
    use super::{Regs, call, env, regs};

    /// PSCI_VERSION.
    pub const VERSION: u64 = 0x8400_0000;
    /// CPU_SUSPEND, SMC64.
    pub const CPU_SUSPEND: u64 = 0xc400_0001;
    /// CPU_OFF.
    pub const CPU_OFF: u64 = 0x8400_0002;
    /// CPU_ON, SMC64.
    pub const CPU_ON: u64 = 0xc400_0003;
    /// AFFINITY_INFO, SMC64.
    pub const AFFINITY_INFO: u64 = 0xc400_0004;
    /// MIGRATE_INFO_TYPE.
    pub const MIGRATE_INFO_TYPE: u64 = 0x8400_0006;
    /// SYSTEM_OFF.
    pub const SYSTEM_OFF: u64 = 0x8400_0008;
    /// SYSTEM_RESET.
    pub const SYSTEM_RESET: u64 = 0x8400_0009;
    /// PSCI_FEATURES.
    pub const FEATURES: u64 = 0x8400_000a;

    /// Calls PSCI by the tree's method; x0 of the result, with an SMC32 code's sign kept.
    pub fn psci<const N: usize>(args: [u64; N]) -> i64 {
        let result: Regs = call(env::get().conduit, regs(args));
        if args[0] & 1 << 30 != 0 {
            result[0] as i64
        } else {
            i64::from(result[0] as i32)
        }
    }

    /// Powers the guest off.
    pub fn system_off() -> ! {
        psci([SYSTEM_OFF]);
        loop {
            core::hint::spin_loop();
        }
    }
}
