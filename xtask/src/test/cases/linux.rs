// SPDX-License-Identifier: MIT OR Apache-2.0

//! One Linux guest.

use super::{LINUX, NO_TEE, OK, PANIC, QUIET, SERRORS_LEFT, manifest};
use crate::firmware::Optee;
use crate::image::Profile;
use crate::packages::Suite;
use crate::script::{Script, guest, hypervisor, once};
use crate::test::case::Expect::{Absent, Line, Off, Times};
use crate::test::case::{Boots, Case};
use platform::Conduit;
use platform::GicVersion;

/// OP-TEE's watchdog test notifies once a second: the driver must have had an interrupt of it.
const NOTIFIED: &str = "sleep 4; dmesg | grep optee: ; \
    grep optee_notif /proc/interrupts | grep -v ' 0  *0  *GICv3'";

/// The operator follows a guest's calls, then looks back at the newest.
const OBSERVER: Script = &[
    once(guest("linux", "~ # "), "\x1dmfollow 1\rquit\r"),
    once(
        hypervisor("its calls to OP-TEE are shown"),
        "xtest -l 0 -t regression 1004\r",
    ),
    once(
        guest("linux", "TEE test application done"),
        "\x1dmfollow 1\r",
    ),
    once(hypervisor("are no longer shown"), "trace linux\r"),
    once(hypervisor("ended: 0x0"), "stop 1\r").anew(),
];

/// Firmware has left the worst.
pub const POISONED: Case = Case {
    profile: Profile::Poisoned,
    ..LINUX
};

/// The same on cores that have FEAT_RAS.
pub const RAS_POISONED: Case = Case {
    expect: &[
        OK,
        SERRORS_LEFT,
        Line("regression_1004 OK"),
        Absent("is nobody's"),
        PANIC,
        Off,
    ],
    ..POISONED
};

/// The runs.
pub const CASES: &[Case] = &[
    Case {
        name: "linux-cortex-a53-poisoned",
        cpu: "cortex-a53",
        expect: &[
            OK,
            Line("regression_1004 OK"),
            Absent("branch predictor"),
            PANIC,
            QUIET,
            Off,
        ],
        ..POISONED
    },
    Case {
        name: "linux-cortex-a57",
        cpu: "cortex-a57",
        expect: &[
            OK,
            Line("regression_1004 OK"),
            Line("branch predictor: SMCCC_ARCH_WORKAROUND_3 at each exit"),
            PANIC,
            QUIET,
            Off,
        ],
        ..LINUX
    },
    Case {
        name: "linux-cortex-a72-poisoned",
        cpu: "cortex-a72",
        ..POISONED
    },
    Case {
        name: "linux-cortex-a76-poisoned",
        cpu: "cortex-a76",
        expect: &[
            OK,
            SERRORS_LEFT,
            Line("regression_1004 OK"),
            Line("branch predictor: 24 branches at each exit"),
            PANIC,
            Off,
        ],
        ..RAS_POISONED
    },
    Case {
        name: "linux-max-poisoned",
        cpu: "max",
        ..RAS_POISONED
    },
    Case {
        name: "linux-gicv2",
        gic: GicVersion::V2,
        ..NO_TEE
    },
    Case {
        name: "linux-gicv2-optee-poisoned",
        gic: GicVersion::V2,
        optee: Some(Optee::Virtualized),
        ..POISONED
    },
    Case {
        name: "linux-hvc",
        conduit: Some(Conduit::Hvc),
        ..LINUX
    },
    Case {
        name: "linux-four-vcpus",
        vcpus: Some(4),
        ..LINUX
    },
    Case {
        name: "linux-one-core",
        smp: 1,
        ..LINUX
    },
    Case {
        name: "linux-notifications",
        boots: Boots::Linux(NOTIFIED),
        expect: &[
            OK,
            Line("optee: Asynchronous notifications enabled"),
            Line("optee: dynamic shared memory is enabled"),
            PANIC,
            QUIET,
            Off,
        ],
        ..LINUX
    },
    Case {
        name: "linux-debug",
        profile: Profile::Debug,
        vcpus: Some(1),
        ..LINUX
    },
    Case {
        name: "linux-no-optee",
        optee: Some(Optee::None),
        ..NO_TEE
    },
    Case {
        name: "linux-plain-optee",
        optee: Some(Optee::Plain),
        expect: &[
            OK,
            Line("threads for one guest alone: it is not built for virtualization"),
            Line("regression_1004 OK"),
            PANIC,
            QUIET,
            Off,
        ],
        ..LINUX
    },
    Case {
        name: "linux-optee-sid",
        optee_suite: Some(Suite::Sid),
        expect: &[
            OK,
            Line("teevisor: OP-TEE 4."),
            // That is the release's.
            Absent("teevisor: OP-TEE 4.5"),
            Line("regression_1004 OK"),
            PANIC,
            QUIET,
            Off,
        ],
        ..LINUX
    },
    Case {
        name: "linux-traced",
        boots: Boots::Manifest(manifest!("linux-shell")),
        types: OBSERVER,
        expect: &[
            Line("taken over: OPEN_SESSION"),
            Line("RPC to the guest: LOAD_TA"),
            Line("RPC to the guest: SHM_ALLOC"),
            Line("taken over: UNREGISTER_SHM"),
            Line("linux: its calls to OP-TEE are no longer shown"),
            PANIC,
            QUIET,
            Off,
        ],
        ..LINUX
    },
    Case {
        name: "linux-panic",
        boots: Boots::Manifest(manifest!("linux-panic")),
        expect: &[
            Line("Kernel panic - not syncing: sysrq triggered crash"),
            Line("teevisor: linux: restarted"),
            Times(2, "1 test case of which 0 failed"),
            PANIC,
            QUIET,
        ],
        ..LINUX
    },
    Case {
        name: "linux-kexec",
        boots: Boots::Manifest(manifest!("linux-kexec")),
        expect: &[
            OK,
            Times(2, "1 test case of which 0 failed"),
            Line("kexec=1"),
            Absent("teevisor: linux: restarted"),
            PANIC,
            QUIET,
            Off,
        ],
        ..LINUX
    },
    Case {
        name: "linux-watchdog",
        boots: Boots::Manifest(manifest!("linux-watchdog")),
        expect: &[
            OK,
            Line("linux: its watchdog has expired: it restarts"),
            Line("regression_1004 OK"),
            PANIC,
            QUIET,
            Off,
        ],
        ..LINUX
    },
];
