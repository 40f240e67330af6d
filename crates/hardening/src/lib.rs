// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a core must do when a guest has left it, so that the guest can't steer EL2's speculation.
//!
//! A guest trains the branch predictor that EL2 is about to use, and EL2 maps all guests' RAM. Cores differ in
//! what the guest's training reaches (Arm, "Cache Speculation Side-channels" and "Spectre-BHB"): branch targets of
//! another context (CVE-2017-5715), or only the history by which one of EL2's own targets is chosen
//! (CVE-2022-23960). [`Entry::choose`] says per core which of the remedies is needed, by its identification
//! registers and the answers of its firmware.
#![no_std]
#![forbid(unsafe_code)]

mod cores;

#[cfg(test)]
mod tests;

use core::fmt;

use platform::Workarounds;
use smccc::arch::{SMCCC_ARCH_WORKAROUND_1, SMCCC_ARCH_WORKAROUND_3};

/// A core by its identification registers (DDI 0487 D19.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Core {
    /// MIDR_EL1.
    pub midr: u64,
    /// ID_AA64PFR0_EL1.
    pub pfr0: u64,
    /// ID_AA64MMFR1_EL1.
    pub mmfr1: u64,
    /// ID_AA64ISAR2_EL1.
    pub isar2: u64,
}

impl Core {
    /// Returns CSV2: 0 says nothing, from 1 on no context uses another's branch targets, from 3 on no other's
    /// history either.
    fn csv2(&self) -> u64 {
        self.pfr0 >> 56 & 0xf
    }

    /// Tells whether history from before an exception to a higher level is not used behind it.
    fn has_ecbhb(&self) -> bool {
        self.mmfr1 >> 60 & 0xf != 0
    }

    /// Tells whether the instruction CLRBHB clears the history.
    fn has_clrbhb(&self) -> bool {
        self.isar2 >> 28 & 0xf != 0
    }
}

/// The firmware's answer that the core does not need the call.
const NOT_NEEDED: i32 = 1;

/// What a core does between a guest's exit and EL2's first indirect branch.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Entry {
    /// This call of the firmware, by SMC, which forgets what the predictor has learnt.
    pub call: Option<u32>,
    /// So many taken branches, which push the guest's out of the history.
    pub branches: u8,
    /// The instruction CLRBHB.
    pub clear: bool,
    /// It would need a call that its firmware lacks.
    pub exposed: bool,
}

impl Entry {
    /// Nothing: the core needs no help.
    pub const PLAIN: Self = Self {
        call: None,
        branches: 0,
        clear: false,
        exposed: false,
    };

    /// Returns what `core` needs, whose firmware answers `firmware` to it.
    pub fn choose(core: &Core, firmware: &Workarounds) -> Self {
        let targets = Self::against_targets(core, firmware);
        if targets.call == Some(SMCCC_ARCH_WORKAROUND_3) {
            // It forgets the history, too.
            return targets;
        }
        let history = Self::against_history(core, firmware);
        Self {
            call: history.call.or(targets.call),
            exposed: targets.exposed || history.exposed,
            ..history
        }
    }

    /// Returns what keeps the guest's branch targets out.
    fn against_targets(core: &Core, firmware: &Workarounds) -> Self {
        if core.csv2() > 0 || cores::keeps_targets(core.midr) || firmware.one == NOT_NEEDED {
            return Self::PLAIN;
        }
        let all = call(firmware.three, SMCCC_ARCH_WORKAROUND_3);
        Self::calling(all.or(call(firmware.one, SMCCC_ARCH_WORKAROUND_1)))
    }

    /// Returns what keeps the guest's branch history out.
    fn against_history(core: &Core, firmware: &Workarounds) -> Self {
        if core.csv2() >= 3 || core.has_ecbhb() {
            return Self::PLAIN;
        }
        let (clear, branches) = (core.has_clrbhb(), cores::branches(core.midr));
        if clear {
            return Self {
                clear,
                ..Self::PLAIN
            };
        }
        if branches > 0 {
            return Self {
                branches,
                ..Self::PLAIN
            };
        }
        if cores::keeps_history(core.midr) || firmware.three == NOT_NEEDED {
            return Self::PLAIN;
        }
        // Cortex-A73, A75, and whatever is not known.
        Self::calling(call(firmware.three, SMCCC_ARCH_WORKAROUND_3))
    }

    /// Returns the entry that makes this call, or lacks it.
    fn calling(call: Option<u32>) -> Self {
        Self {
            call,
            exposed: call.is_none(),
            ..Self::PLAIN
        }
    }

    /// Tells whether there is nothing to do.
    pub fn is_plain(&self) -> bool {
        self.call.is_none() && self.branches == 0 && !self.clear
    }
}

/// Returns `function` if the firmware's answer for it is that the core needs it.
fn call(answer: i32, function: u32) -> Option<u32> {
    const NEEDED: i32 = 0;
    (answer == NEEDED).then_some(function)
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.call {
            Some(SMCCC_ARCH_WORKAROUND_1) => f.write_str("SMCCC_ARCH_WORKAROUND_1")?,
            Some(SMCCC_ARCH_WORKAROUND_3) => f.write_str("SMCCC_ARCH_WORKAROUND_3")?,
            _ if self.clear => f.write_str("CLRBHB")?,
            _ if self.branches == 0 => f.write_str("nothing")?,
            _ => {}
        }
        match self.branches {
            0 => Ok(()),
            n if self.call.is_some() => write!(f, " and {n} branches"),
            n => write!(f, "{n} branches"),
        }
    }
}
