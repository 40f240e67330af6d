// SPDX-License-Identifier: MIT OR Apache-2.0

//! All of xtest's regression cases: the long runs.

use super::{OK, PANIC, QUIET, manifest};
use crate::firmware::Optee;
use crate::image::Profile;
use crate::packages::Suite;
use crate::script::{Saying, Script, Step, guest, hypervisor, once};
use crate::test::case::Expect::{Absent, Line, Off, Same, Shown, Statuses, Sum, Times};
use crate::test::case::{BASE, Boots, Case};

/// All of xtest's regression cases.
const REGRESSION: Case = Case {
    boots: Boots::Linux("xtest -l 0 -t regression"),
    expect: &[
        OK,
        Line("108 test cases of which 0 failed"),
        Line("0 test cases were skipped"),
        PANIC,
        QUIET,
        Off,
    ],
    seconds: 1500,
    ..BASE
};

/// The regression suite in two guests at once.
pub const TWO: Case = Case {
    boots: Boots::Manifest(manifest!("two-regressions")),
    expect: &[
        Statuses(&[0, 0]),
        Times(2, "108 test cases of which 0 failed"),
        Times(2, "0 test cases were skipped"),
        PANIC,
        QUIET,
        Off,
    ],
    ..REGRESSION
};

/// The victim is restarted at random points until Linux is through, then stopped for good.
const KILLER: Script = &[
    once(guest("victim", "guest: 2 vCPUs"), "\x1dmmemory\r"),
    once(hypervisor("guests have 272 MiB"), "reset victim\r"),
    Step {
        times: 100,
        until: Some(guest("linux", "108 test cases of which")),
        delay: 1500,
        ..once(hypervisor("victim: restarted"), "reset victim\r")
    },
    once(hypervisor("victim: restarted"), "stop victim\r"),
    once(hypervisor("victim: off"), "memory\r"),
    once(hypervisor("guests have 272 MiB"), "tee victim\r"),
    once(hypervisor("victim: 0 of 16 calls"), "list\r"),
    once(hypervisor("victim: off, 16 MiB"), "quit\rgo\r"),
];

/// Restarts the victim so many times, each as soon as it has started.
const fn restarts(times: usize) -> [Step; 5] {
    [
        once(guest("linux", "ready"), "\x1d2"),
        once(guest("victim", "guest: 2 vCPUs"), "\x1dmreset victim\r"),
        Step {
            times: times - 2,
            ..once(hypervisor("victim: restarted"), "reset victim\r")
        },
        once(hypervisor("victim: restarted"), "stop victim\r"),
        once(hypervisor("victim: off"), "quit\r\x1d1go\r"),
    ]
}

/// Lives of a guest that resets itself: so many, then it is stopped.
const fn lives(times: usize) -> [Step; 4] {
    [
        once(guest("linux", "ready"), ""),
        Step {
            times,
            ..once(hypervisor("victim: restarted"), "")
        },
        once(hypervisor("victim: restarted"), "\x1dmstop victim\r"),
        once(hypervisor("victim: off"), "quit\r\x1d1go\r"),
    ]
}

/// Restarts cost OP-TEE nothing: 4.10 halts the board after some forty new VMs.
const RESTARTS: Case = Case {
    boots: Boots::Manifest(manifest!("restarts")),
    types: &restarts(150),
    expect: &[
        OK,
        Times(149, "teevisor: victim: restarted"),
        Line("linux| 1 test case of which 0 failed"),
        Absent("gets no TEE"),
        Absent("FAILED"),
        PANIC,
        QUIET,
        Off,
    ],
    seconds: 900,
    ..BASE
};

/// The one guest that can have the OP-TEE is restarted so many times, each as soon as it has started.
const fn owner_restarts(times: usize) -> [Step; 4] {
    const WORKS: Saying = guest("victim", "h35_all_threads_are_free ... ok");
    [
        Step {
            delay: 100,
            ..once(WORKS, "\x1dmreset victim\r")
        },
        Step {
            times: times - 1,
            delay: 100,
            ..once(WORKS, "reset victim\r")
        },
        once(WORKS, "tee victim\r"),
        once(hypervisor(" of 16 calls"), "stop victim\r"),
    ]
}

/// An OP-TEE for one normal world keeps nothing of its guest's lives.
const OWNER: Case = Case {
    boots: Boots::Manifest(manifest!("owner")),
    optee: Some(Optee::Plain),
    types: &owner_restarts(50),
    expect: &[
        Line("threads for one guest alone: it is not built for virtualization"),
        Line("guest other gets no TEE: OP-TEE is not built for virtualization"),
        Times(50, "teevisor: victim: restarted"),
        Sum(1, " calls inside OP-TEE"),
        Sum(1, " suspended in RPC"),
        Sum(1, " half-way through a list"),
        Line("victim: off"),
        Absent("guest victim gets no TEE"),
        Absent("OP-TEE still has"),
        Absent("FAILED"),
        PANIC,
        Off,
    ],
    seconds: 900,
    ..BASE
};

/// Long runs of `cargo xtask soak`.
pub const SOAK: &[Case] = &[
    Case {
        name: "regression-plain",
        optee: Some(Optee::Plain),
        seconds: 3600,
        ..REGRESSION
    },
    Case {
        // Its xtest has some more.
        name: "regression-plain-sid",
        optee: Some(Optee::Plain),
        seconds: 3600,
        optee_suite: Some(Suite::Sid),
        expect: &[
            OK,
            Line("112 test cases of which 0 failed"),
            Line("0 test cases were skipped"),
            PANIC,
            QUIET,
            Off,
        ],
        ..REGRESSION
    },
    Case {
        name: "h35-owner-restarts-500",
        types: &owner_restarts(500),
        seconds: 3 * 3600,
        ..OWNER
    },
    Case {
        name: "h35-owner-restarts-500-sid",
        types: &owner_restarts(500),
        optee_suite: Some(Suite::Sid),
        seconds: 3 * 3600,
        ..OWNER
    },
    Case {
        name: "restarts-2000",
        types: &restarts(2000),
        seconds: 3 * 3600,
        ..RESTARTS
    },
    Case {
        name: "restarts-2000-sid",
        types: &restarts(2000),
        optee_suite: Some(Suite::Sid),
        seconds: 3 * 3600,
        ..RESTARTS
    },
    Case {
        name: "h29-keepalive-200",
        boots: Boots::Manifest(manifest!("keepalive")),
        types: &lives(200),
        expect: &[
            OK,
            Times(200, "victim| guest: opened and closed"),
            Line("linux| 1 test case of which 0 failed"),
            Absent("gets no TEE"),
            Absent("FAILED"),
            PANIC,
            QUIET,
            Off,
        ],
        seconds: 3600,
        ..BASE
    },
];

/// The runs.
pub const CASES: &[Case] = &[
    Case {
        name: "h35-owner-restarts",
        ..OWNER
    },
    Case {
        name: "h29-restarts-sid",
        optee_suite: Some(Suite::Sid),
        ..RESTARTS
    },
    Case {
        name: "stress",
        boots: Boots::Manifest(manifest!("stress")),
        types: KILLER,
        expect: &[
            OK,
            Line("linux| 108 test cases of which 0 failed"),
            Line("linux| 0 test cases were skipped"),
            Times(100, "teevisor: victim: restarted"),
            Sum(1, " calls inside OP-TEE"),
            Sum(1, " suspended in RPC"),
            Sum(1, " half-way through a list"),
            Shown("2 victim: off, 16 MiB of RAM, restarts: "),
            Line(
                "victim: 0 of 16 calls (0 in OP-TEE), 0 of 1100 buffers, 0 of 131072 KiB shared, 0 of ",
            ),
            Same(" KiB in use ("),
            Line("linux| 1 test case of which 0 failed"),
            Absent("gets no TEE"),
            Absent("FAILED"),
            PANIC,
            QUIET,
            Off,
        ],
        seconds: 1500,
        ..BASE
    },
    // With two vCPUs on each core, and EL2 checks its own assertions.
    Case {
        name: "two-regressions",
        profile: Profile::Debug,
        smp: 2,
        ..TWO
    },
];
