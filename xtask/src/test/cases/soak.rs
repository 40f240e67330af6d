// SPDX-License-Identifier: MIT OR Apache-2.0

//! Runs of `cargo xtask soak`: what a short run shows now and then, thousands of times.

use super::boards::{DIRECT_POISONED, SBSA_LINUX};
use super::guest::RACE;
use super::linux::{POISONED, RAS_POISONED};
use super::regression::TWO;
use super::{GUEST, manifest};
use crate::firmware::Optee;
use crate::packages::Suite;
use crate::test::case::{Boots, Case};
use platform::GicVersion;

/// Ten thousand tries of each race.
const LONG_RACE: Case = Case {
    boots: Boots::Manifest(manifest!("race-long")),
    seconds: 3 * 3600,
    ..RACE
};

/// Linux with OP-TEE, where Debian's TF-A knows the core, on all that firmware has left: each core with each GIC.
macro_rules! poisoned {
    ($($cpu:literal, $case:ident, $tee:expr;)*) => {
        &[$(
            poisoned!(@ "7.2-gicv2", $cpu, V2, false, $case, $tee),
            poisoned!(@ "10-gicv3", $cpu, V3, true, $case, $tee),
            poisoned!(@ "10-gicv2", $cpu, V2, true, $case, $tee),
        )*]
    };
    (@ $with:literal, $cpu:literal, $gic:ident, $newer:literal, $case:ident, $tee:expr) => {
        Case {
            name: concat!("poisoned-qemu-", $with, "-", $cpu),
            cpu: $cpu,
            gic: GicVersion::$gic,
            optee: $tee,
            newer_qemu: $newer,
            ..$case
        }
    };
}

/// With GICv3 and an older QEMU they are in `cargo xtask test`.
pub const POISON: &[Case] = poisoned!(
    "cortex-a53", POISONED, Some(Optee::Virtualized);
    "cortex-a72", POISONED, Some(Optee::Virtualized);
    "cortex-a76", RAS_POISONED, Some(Optee::Virtualized);
    "max", RAS_POISONED, Some(Optee::Virtualized);
    "neoverse-n1", DIRECT_POISONED, None;
);

/// A hostile guest owns an OP-TEE that is not built for virtualization.
const HOSTILE_OWNER: Case = Case {
    boots: Boots::TestGuest("test=boot,optee,loading,hostile,optee"),
    optee: Some(Optee::Plain),
    seconds: 3600,
    ..GUEST
};

/// The runs.
pub const CASES: &[Case] = &[
    Case {
        name: "hostile-plain",
        ..HOSTILE_OWNER
    },
    Case {
        name: "hostile-plain-sid",
        optee_suite: Some(Suite::Sid),
        ..HOSTILE_OWNER
    },
    SBSA_LINUX,
    // A core for each vCPU.
    Case {
        name: "two-regressions-four-cores",
        ..TWO
    },
    Case {
        name: "h28-race-one-core",
        smp: 1,
        ..LONG_RACE
    },
    Case {
        name: "h28-race-two-cores",
        smp: 2,
        ..LONG_RACE
    },
];
