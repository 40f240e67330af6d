// SPDX-License-Identifier: MIT OR Apache-2.0

//! Boards, loaders, and machines of other sizes.

use super::{GUEST, LINUX, NO_TEE, OK, PANIC, QUIET, SERRORS_LEFT, manifest};
use crate::firmware::Optee;
use crate::image::Profile;
use crate::qemu::{Board, Loader};
use crate::script::{Script, guest, once};
use crate::test::case::Expect::{Absent, Line, Off};
use crate::test::case::{Boots, Case};
use platform::GicVersion;

/// Two cores; and the board's UART takes what is typed.
const TYPED: &str = "test ! -e /dev/tee0 && test $(nproc) = 2 && echo ready; \
    read word </dev/console; test $word = typed";

const TYPES: Script = &[once(guest("linux", "ready"), "typed\r")];
/// As many cores as are used, and a guest that has them all.
const EIGHT_CORES: Case = Case {
    smp: 8,
    mem: "8G",
    vcpus: Some(8),
    boots: Boots::TestGuest("test=boot,psci,gic,timer,optee"),
    expect: &[
        Line("8192 MiB of RAM, 8 cores"),
        Line("test optee::register_unregister ... ok"),
        Line(" passed, 0 failed"),
        Absent("FAILED"),
        PANIC,
        QUIET,
        Off,
    ],
    ..GUEST
};

/// Linux on the Raspberry Pi 4.
const RPI4_LINUX: Case = Case {
    board: Board::Rpi4,
    boots: Boots::Linux(TYPED),
    types: TYPES,
    expect: &[
        OK,
        Line("teevisor: Raspberry Pi 4 Model B: 960 MiB of RAM, 4 cores, GICv2"),
        PANIC,
        QUIET,
        Off,
    ],
    ..NO_TEE
};

/// A core that Debian's TF-A does not know, and what only firmware below EL3 could leave.
pub const DIRECT_POISONED: Case = Case {
    cpu: "neoverse-n1",
    loader: Loader::Direct,
    profile: Profile::Poisoned,
    expect: &[
        OK,
        Line("abcdefgh"),
        Line("core 0x3: CNTFRQ_EL0 is 0, the first core's "),
        SERRORS_LEFT,
        Line("the guests get no TEE: the device tree has no linaro,optee-tz node"),
        PANIC,
        Off,
    ],
    ..NO_TEE
};

/// Linux, too, beyond 512 GiB.
pub const SBSA_LINUX: Case = Case {
    name: "sbsa-linux",
    board: Board::Sbsa,
    ..LINUX
};

/// The runs.
pub const CASES: &[Case] = &[
    Case {
        name: "linux-direct-neoverse-n1-poisoned",
        expect: &[
            OK,
            Line("abcdefgh"),
            Line("core 0x1: CNTFRQ_EL0 is 0, the first core's "),
            SERRORS_LEFT,
            // The second core has let them come when the first was in EL2.
            Line("interrupt 8192 is nobody's: it is disabled"),
            Line("interrupt 34 is nobody's: it is disabled"),
            PANIC,
            Off,
        ],
        ..DIRECT_POISONED
    },
    Case {
        name: "linux-u-boot",
        loader: Loader::UBoot,
        expect: &[
            OK,
            Line("U-Boot 20"),
            Line("Starting kernel"),
            Line("init: the device tree has no TEE"),
            PANIC,
            // Nobody is at EL3.
            Line("(MIDR 0x411fd070): guests can steer the branch predictor"),
            Off,
        ],
        ..NO_TEE
    },
    Case {
        name: "rpi4-linux",
        ..RPI4_LINUX
    },
    Case {
        name: "rpi4-linux-spin-table",
        loader: Loader::Direct,
        expect: &[
            OK,
            Line("teevisor: Raspberry Pi 4 Model B: 960 MiB of RAM, 4 cores, GICv2"),
            Line("(MIDR 0x410fd083): guests can steer the branch predictor"),
            PANIC,
            Off,
        ],
        ..RPI4_LINUX
    },
    Case {
        name: "rpi4-linux-polled-16550",
        loader: Loader::Direct,
        polled_16550: true,
        expect: &[OK, PANIC, Off],
        ..RPI4_LINUX
    },
    Case {
        name: "rpi4-guest",
        board: Board::Rpi4,
        ..GUEST
    },
    Case {
        name: "zcu102-linux",
        board: Board::Zcu102,
        vcpus: Some(1),
        boots: Boots::Linux(
            "echo ready; read word </dev/console; test $word = typed && xtest -l 0 -t regression 1001 && \
             xtest -l 0 -t regression 1004",
        ),
        types: TYPES,
        ..LINUX
    },
    Case {
        name: "zcu102-guest",
        board: Board::Zcu102,
        boots: Boots::Manifest(manifest!("one-core")),
        ..GUEST
    },
    // QEMU's GIC there does not pass virtual interrupts on to the cores.
    Case {
        name: "imx8mp-guest",
        board: Board::Imx8mp,
        loader: Loader::Direct,
        boots: Boots::TestGuest("test=boot,smc"),
        ..GUEST
    },
    Case {
        name: "versal-guest",
        board: Board::Versal,
        loader: Loader::Direct,
        boots: Boots::TestGuest(""),
        ..GUEST
    },
    // Image, tables and guests beyond 512 GiB.
    Case {
        name: "sbsa-guest",
        board: Board::Sbsa,
        ..GUEST
    },
    Case {
        name: "linux-one-core-1g",
        smp: 1,
        mem: "1G",
        vcpus: Some(1),
        ..LINUX
    },
    Case {
        name: "guest-eight-cores-8g",
        ..EIGHT_CORES
    },
    Case {
        name: "guest-gicv2-eight-cores-8g",
        gic: GicVersion::V2,
        optee: Some(Optee::Virtualized),
        ..EIGHT_CORES
    },
];
