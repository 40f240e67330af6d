// SPDX-License-Identifier: MIT OR Apache-2.0

//! The bare-metal test guest, and what it tries on its own.

use super::{GUEST, PANIC, QUIET, manifest};
use crate::firmware::Optee;
use crate::image::Profile;
use crate::test::case::Expect::{Absent, Line, Off, Shown, Times};
use crate::test::case::{BASE, Boots, Case};
use platform::Conduit;
use platform::GicVersion;

/// A guest that tries everything it can name, and another that does not notice.
const ISOLATION: Case = Case {
    boots: Boots::Manifest(manifest!("isolation-pair")),
    expect: &[
        Line("neighbour| guest: 1 passed, 0 failed, 0 skipped"),
        Line("hostile| guest: "),
        Times(2, " passed, 0 failed"),
        Absent("FAILED"),
        PANIC,
        QUIET,
        Off,
    ],
    seconds: 900,
    ..BASE
};

/// Two that let their watchdogs expire.
const WATCHDOGS: Case = Case {
    boots: Boots::Manifest(manifest!("watchdogs")),
    expect: &[
        Line("late: its watchdog has expired: it restarts"),
        Line("late| guest: the watchdog has restarted it"),
        Line("late| guest: 8 passed, 0 failed, 0 skipped"),
        Line("hangs: its watchdog has expired: it stops"),
        Line("hangs: off"),
        Line("turns| guest: 1 passed, 0 failed, 0 skipped"),
        Absent("FAILED"),
        PANIC,
        Off,
    ],
    ..GUEST
};

/// A guest that resets itself until some seconds have passed.
const RESETS: Case = Case {
    boots: Boots::TestGuest("test=reset"),
    expect: &[
        Times(3, "boot at"),
        Line(" passed, 0 failed"),
        Absent("crashed"),
        Absent("FAILED"),
        PANIC,
        Off,
    ],
    ..GUEST
};

/// Two vCPUs whose calls meet inside OP-TEE.
pub const RACE: Case = Case {
    boots: Boots::Manifest(manifest!("race")),
    expect: &[
        Shown("done under a parked call"),
        Shown("calls named the buffer"),
        Line("test race::h30_two_first_calls ... ok"),
        Line("guest: 3 passed, 0 failed, 0 skipped"),
        Absent("FAILED"),
        PANIC,
        Off,
    ],
    seconds: 900,
    ..GUEST
};

/// The runs.
pub const CASES: &[Case] = &[
    Case {
        name: "guest-gicv3",
        ..GUEST
    },
    Case {
        name: "guest-gicv2",
        gic: GicVersion::V2,
        ..GUEST
    },
    Case {
        name: "guest-gicv3-debug",
        profile: Profile::Debug,
        ..GUEST
    },
    Case {
        name: "guest-hvc",
        conduit: Some(Conduit::Hvc),
        ..GUEST
    },
    Case {
        name: "guest-max",
        cpu: "max",
        ..GUEST
    },
    // Four vCPUs in turns.
    Case {
        name: "guest-one-core",
        smp: 1,
        ..GUEST
    },
    // Each hole takes EL2 a table.
    Case {
        name: "guest-one-core-gicv2-poisoned",
        profile: Profile::Poisoned,
        holes: 40,
        smp: 1,
        gic: GicVersion::V2,
        expect: &[
            Line("abcdefgh"),
            Line(" passed, 0 failed"),
            Absent("FAILED"),
            PANIC,
            Off,
        ],
        ..GUEST
    },
    Case {
        name: "guest-two-cores-max-poisoned",
        profile: Profile::Poisoned,
        stage: Some(16),
        cpu: "max",
        smp: 2,
        expect: &[
            Times(2, "the firmware left an SError pending"),
            Line(" passed, 0 failed"),
            Absent("FAILED"),
            PANIC,
            Off,
        ],
        ..GUEST
    },
    Case {
        name: "isolation-gicv3",
        ..ISOLATION
    },
    Case {
        name: "isolation-gicv2",
        gic: GicVersion::V2,
        ..ISOLATION
    },
    Case {
        name: "isolation-max",
        cpu: "max",
        ..ISOLATION
    },
    // The first line says that the residue is in the guest's RAM.
    Case {
        name: "guest-first-start",
        boots: Boots::TestGuest("test=reset reset-until=0"),
        residue: true,
        stage: Some(16),
        expect: &[
            Line("16 MiB of RAM at 0x40200000"),
            Line("reset::scrubbed ... ok"),
            Line(" passed, 0 failed"),
            Absent("FAILED"),
            PANIC,
            Off,
        ],
        ..GUEST
    },
    Case {
        name: "guest-resets-max",
        cpu: "max",
        ..RESETS
    },
    Case {
        name: "guest-resets",
        ..RESETS
    },
    // vCPUs are being started when the guest goes.
    Case {
        name: "guest-h19-resets-amid-start",
        boots: Boots::TestGuest("test=reset reset-amid-start"),
        expect: &[
            Times(10, "boot at"),
            Line(" passed, 0 failed"),
            Absent("crashed"),
            Absent("FAILED"),
            PANIC,
            Off,
        ],
        ..RESETS
    },
    Case {
        name: "guest-crashes",
        boots: Boots::Manifest(manifest!("crashes")),
        expect: &[
            Line("vector: crashed: vCPU 0 can take no exception"),
            Line("secondary: crashed: vCPU 1 can take no exception"),
            Line("undefined: crashed: vCPU 0 can take no exception"),
            Line("undefined: off"),
            Absent("undefined: restarted"),
            Line("circle: restarts in 200 ms"),
            Absent("circle: restarts in 400 ms"),
            Line("circle: it has restarted 3 times in a row"),
            Line("circle: crashed: vCPU 0 can take no exception, its vector faults: "),
            Line("circle: off"),
            Times(2, "vector| guest: 1 vCPUs"),
            Times(2, "secondary| guest: 2 vCPUs"),
            Line("vector| guest: 1 passed, 0 failed, 0 skipped"),
            Line("secondary| guest: 1 passed, 0 failed, 0 skipped"),
            Absent("FAILED"),
            PANIC,
            Off,
        ],
        ..GUEST
    },
    Case {
        name: "guest-limits",
        boots: Boots::Manifest(manifest!("limits")),
        expect: &[
            Shown("buffers at once"),
            Shown("a buffer of 64 MiB: "),
            Shown("pages in one buffer"),
            Shown("pages beside a TA"),
            Line("test limits::what_optee_takes ... ok"),
            Line(" passed, 0 failed"),
            Absent("FAILED"),
            PANIC,
            Off,
        ],
        ..GUEST
    },
    Case {
        name: "guest-classic",
        boots: Boots::Manifest(manifest!("uncached")),
        expect: &[
            Line("test uncached::user_ta ... ok"),
            Shown("sessions opened in spite of lies"),
            Line(" passed, 0 failed"),
            Absent("FAILED"),
            PANIC,
            Off,
        ],
        ..GUEST
    },
    Case {
        name: "guest-h28-h30-race-one-core",
        smp: 1,
        ..RACE
    },
    Case {
        name: "guest-h28-h30-race-two-cores",
        smp: 2,
        ..RACE
    },
    Case {
        name: "guest-rates",
        boots: Boots::Manifest(manifest!("rates")),
        expect: &[
            Line("greedy| guest: 3 passed, 0 failed, 0 skipped"),
            Line("beside| guest: 1 passed, 0 failed, 0 skipped"),
            Absent("FAILED"),
            PANIC,
            QUIET,
            Off,
        ],
        smp: 2,
        ..GUEST
    },
    Case {
        name: "guest-budgets",
        boots: Boots::Manifest(manifest!("budgets")),
        expect: &[
            Line("limited| guest: 2 passed, 0 failed, 0 skipped"),
            Line("beside| guest: 1 passed, 0 failed, 0 skipped"),
            Absent("FAILED"),
            PANIC,
            QUIET,
            Off,
        ],
        smp: 1,
        ..GUEST
    },
    Case {
        name: "guest-watchdogs",
        ..WATCHDOGS
    },
    Case {
        name: "guest-watchdogs-gicv2",
        gic: GicVersion::V2,
        ..WATCHDOGS
    },
    // What the guest's tests of OP-TEE say of OP-TEE itself.
    Case {
        name: "guest-bare-optee",
        el2: false,
        optee: Some(Optee::Plain),
        boots: Boots::Bare("bare test=optee,limits"),
        expect: &[
            Shown("pages in one buffer"),
            Line(" passed, 0 failed"),
            Absent("FAILED"),
            Off,
        ],
        ..GUEST
    },
];
