// SPDX-License-Identifier: MIT OR Apache-2.0

//! Runs of `cargo xtask soak`: what a short run shows now and then, thousands of times.

use super::boards::{DIRECT_POISONED, SBSA_LINUX};
use super::guest::RACE;
use super::linux::{POISONED, RAS_POISONED};
use super::regression::TWO;
use super::{GUEST, PANIC, QUIET, manifest};
use crate::firmware::Optee;
use crate::packages::Suite;
use crate::qemu::Board;
use crate::test::case::Expect::{Absent, Line, Off, Statuses};
use crate::test::case::{BASE, Boots, Case};
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

/// Behind the SMMU of another machine, whose RAM begins at 1 TiB.
const SBSA_SMMU_LINUX: Case = Case {
    name: "sbsa-smmu-linux",
    board: Board::Sbsa,
    boots: Boots::Made(|| manifest!("smmu-linux").replace("/pcie@10000000", "/pcie@80000000")),
    nvme_blank: true,
    e1000e: true,
    expect: &[
        Statuses(&[0, 0]),
        Line("the SMMU at 0x60050000 holds guests' devices: 65536 streams"),
        Line("linux: restarted"),
        Line("linux| device works"),
        Absent("its device"),
        PANIC,
        QUIET,
        Off,
    ],
    ..BASE
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
    SBSA_SMMU_LINUX,
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
