//! The runs in QEMU, as a table.

use super::passthrough;
use crate::boards::{Board, Loader};
use crate::bundle::Conduit;
use crate::firmware::{Gic, Optee};
use crate::image::Profile;
use crate::packages::Suite;
use crate::qemu::Machine;
use crate::session::{Script, Step, once};

/// The text of a manifest in qemu/profiles/test.
macro_rules! manifest {
    ($name:literal) => {
        include_str!(concat!("../../../qemu/profiles/test/", $name, ".toml"))
    };
}

/// One machine started once, and what its console must say.
pub struct Case {
    /// Its name, also of the folder of its logs.
    pub name: &'static str,
    /// The board.
    pub board: Board,
    /// What starts the hypervisor.
    pub loader: Loader,
    /// Interrupt controller.
    pub gic: Gic,
    /// QEMU's name of the cores.
    pub cpu: &'static str,
    /// Number of cores.
    pub smp: u32,
    /// RAM, as QEMU writes it.
    pub mem: &'static str,
    /// Whether the cores have EL2.
    pub el2: bool,
    /// The secure world, if not the machine's usual one.
    pub optee: Option<Optee>,
    /// Debian suite of OP-TEE, if not the machine's usual one.
    pub optee_suite: Option<Suite>,
    /// Build of the hypervisor.
    pub profile: Profile,
    /// vCPUs of the first guest, if not the manifest's number.
    pub vcpus: Option<u32>,
    /// Conduit of the first guest, if not the manifest's.
    pub conduit: Option<Conduit>,
    /// Whether it has a disk.
    pub disk: bool,
    /// Whether there are bytes in free RAM that something before the hypervisor left.
    pub residue: bool,
    /// What is in the bundle.
    pub boots: Boots,
    /// What is typed at the console, each after what it must have said.
    pub types: Script,
    /// Wall time after which it has failed.
    pub seconds: u64,
    /// All of this must hold.
    pub expect: &'static [Expect],
}

/// What is in the bundle.
#[derive(Clone, Copy)]
pub enum Boots {
    /// The default manifest's Linux, and the command that it runs.
    Linux(&'static str),
    /// The bare-metal test guest with these arguments.
    TestGuest(&'static str),
    /// The same in the hypervisor's place.
    Bare(&'static str),
    /// The guests of a manifest.
    Manifest(&'static str),
    /// An archive whose manifest is not one.
    DamagedManifest,
    /// These bytes instead of a bundle.
    Bytes(&'static [u8]),
    /// The device tree names no initrd.
    NoBundle,
}

impl Boots {
    /// The arguments of what is in the hypervisor's place.
    pub fn bare(&self) -> Option<&'static str> {
        match self {
            Self::Bare(bootargs) => Some(bootargs),
            _ => None,
        }
    }

    /// What Linux runs.
    pub fn command(&self) -> Option<&'static str> {
        match self {
            Self::Linux(command) => Some(command),
            _ => None,
        }
    }
}

/// Something that must hold of a run.
pub enum Expect {
    /// A line contains this.
    Line(&'static str),
    /// The same, and it is shown beside the run's name.
    Shown(&'static str),
    /// At least so many lines contain this.
    Times(usize, &'static str),
    /// The numbers before this, in all lines that contain it, are together at least so many. The
    /// sum is shown beside the run's name.
    Sum(usize, &'static str),
    /// At least two lines contain this, and they are the same.
    Same(&'static str),
    /// No line contains this.
    Absent(&'static str),
    /// No line between those with the first two texts contains the third.
    Between(&'static str, &'static str, &'static str),
    /// What guests' inits reported, in order.
    Statuses(&'static [i32]),
    /// The machine is powered off.
    Off,
}
use Expect::{Absent, Between, Line, Off, Same, Shown, Statuses, Sum, Times};

impl Case {
    /// The machine.
    pub fn machine(&self) -> Machine {
        Machine {
            board: self.board,
            loader: self.loader,
            gic: self.gic,
            cpu: self.cpu.into(),
            smp: self.smp,
            mem: self.mem.into(),
            el2: self.el2,
            optee: self.optee,
            optee_suite: self.optee_suite,
            ..Machine::default()
        }
    }

    /// Whether the run may end once the lines are there: the machine may go on for ever.
    pub fn waits_for_lines_only(&self) -> bool {
        let line = |expect: &Expect| {
            matches!(
                expect,
                Line(_) | Shown(_) | Times(..) | Sum(..) | Same(_) | Absent(_)
            )
        };
        self.expect.iter().all(line)
    }
}

/// What a case is when it does not say otherwise.
pub const BASE: Case = Case {
    name: "",
    board: Board::Virt,
    loader: Loader::TfA,
    gic: Gic::V3,
    cpu: "cortex-a57",
    smp: 4,
    mem: "2G",
    el2: true,
    optee: None,
    optee_suite: None,
    profile: Profile::Release,
    vcpus: None,
    conduit: None,
    disk: false,
    residue: false,
    boots: Boots::NoBundle,
    types: &[],
    seconds: 120,
    expect: &[],
};

/// A few of xtest's cases: a pseudo TA, a TA from the guest's file system, shared memory.
const SHORT: Boots = Boots::Linux("xtest -l 0 -t regression 1001 && xtest -l 0 -t regression 1004");
/// OP-TEE's watchdog test notifies once a second: the driver must have had an interrupt of it.
const NOTIFIED: &str = "sleep 4; dmesg | grep optee: ; \
    grep optee_notif /proc/interrupts | grep -v ' 0  *0  *GICv3'";
/// Two cores; and the board's UART takes what is typed.
const TYPED: &str = "test ! -e /dev/tee0 && test $(nproc) = 2 && echo ready; \
    read word </dev/console; test $word = typed";
const TYPES: Script = &[once("ready", "typed\r")];
const PANIC: Expect = Absent("teevisor: panic");
const QUIET: Expect = Absent("teevisor: warning");
const OK: Expect = Statuses(&[0]);

/// One Linux guest boots and uses OP-TEE.
const LINUX: Case = Case {
    boots: SHORT,
    expect: &[OK, Line("regression_1004 OK"), PANIC, QUIET, Off],
    ..BASE
};
/// Linux boots and finds no TEE; the hypervisor has said why.
const NO_TEE: Case = Case {
    boots: Boots::Linux("test ! -e /dev/tee0"),
    expect: &[
        OK,
        Line("the guests get no TEE: the device tree has no linaro,optee-tz node"),
        Line("init: the device tree has no TEE"),
        PANIC,
        QUIET,
        Off,
    ],
    ..BASE
};
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
/// The same in two guests at once.
const TWO: Case = Case {
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
/// Two Linux guests with two vCPUs each use OP-TEE.
const TWO_LINUX: Case = Case {
    boots: Boots::Manifest(manifest!("two-linux")),
    expect: &[
        Statuses(&[0, 0]),
        Line("one| regression_1004 OK"),
        Line("two| regression_1004 OK"),
        PANIC,
        Off,
    ],
    ..BASE
};
/// The bare-metal guest's tests that every machine can run.
const GUEST: Case = Case {
    boots: Boots::TestGuest(""),
    expect: &[Line(" passed, 0 failed"), Absent("FAILED"), PANIC, Off],
    ..BASE
};
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
    seconds: 240,
    ..BASE
};
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
/// The hypervisor can't start: it says why and stops.
const REFUSED: Case = Case {
    seconds: 30,
    ..BASE
};

/// A session of an operator: both guests' shells, every command of the monitor, errors.
/// A key to a guest shows its prompt, which may wait for the line that another's prompt holds.
const OPERATOR: Script = &[
    once("| ~ # ", "\r"),
    once("one| ~ # ", "echo first-$((40 + 2))\r"),
    once("one| first-42", "\x1d2\r"),
    once("two| ~ # ", "echo second-$((40 + 2))\r"),
    once("two| second-42", "\x1do"),
    once("only two's output is shown", "echo alone-$((40 + 2))\r"),
    once("alone-42", "\x1do"),
    once("all guests' output is shown", "\x1d?"),
    once(
        "type to the next guest",
        "while :; do echo t''ick; sleep 1; done\r",
    ),
    once("two| tick", "\x1dn"),
    once("keys go to one", "\x1dm"),
    once("teevisor> ", "list\r"),
    once("vCPU 1 on core", "pause two\r"),
    once("two: paused", "pause two\r"),
    once("two is paused already", "list\r"),
    once("2 two: paused", "quit\rsleep 4; echo wait-$((40 + 2))\r"),
    once("one| wait-42", "\x1dmresume two\r"),
    once("two: resumed", ""),
    once("two| tick", "memory\r"),
    once("guests have 512 MiB", "tee\r"),
    once("two: 0 of 16 calls", "help\r"),
    once("close the monitor", "lsit\r"),
    once("there is no command", "stop three\r"),
    once("there is no guest", "focus two\r"),
    once("keys go to two", "pause two\r"),
    once("two: paused", "reset two\r"),
    once("teevisor: two: restarted", "quit\r"),
    once("two| ~ # ", "echo third-$((40 + 2))\r"),
    once("two| third-42", "\x1dmlist\r"),
    once("2 two: running, 256 MiB of RAM, restarts: 1", "stop two\r"),
    once("teevisor: two: off", "reset two\r"),
    once("two is off", "start two\r"),
    once("teevisor: two: restarted", "quit\r"),
    once("two| ~ # ", "echo fourth-$((40 + 2)); poweroff -f\r"),
    once("teevisor: two: off", "\x1dmstop one\r"),
];

/// The victim is restarted at random points until Linux is through, then stopped for good.
const KILLER: Script = &[
    once("victim| guest: 2 vCPUs", "\x1dmmemory\r"),
    once("guests have 272 MiB", "reset victim\r"),
    Step {
        said: "victim: restarted",
        keys: "reset victim\r",
        times: 100,
        until: "108 test cases of which",
        delay: 1500,
    },
    once("victim: restarted", "stop victim\r"),
    once("victim: off", "memory\r"),
    once("guests have 272 MiB", "tee victim\r"),
    once("victim: 0 of 16 calls", "list\r"),
    once("victim: off, 16 MiB", "quit\rgo\r"),
];

/// All runs, the quick ones first.
pub const CASES: &[Case] = &[
    Case {
        name: "refuses-no-bundle",
        boots: Boots::NoBundle,
        expect: &[
            Line("teevisor: error: /chosen has no linux,initrd-start"),
            PANIC,
        ],
        ..REFUSED
    },
    Case {
        name: "refuses-damaged-bundle",
        boots: Boots::Bytes(b"this is not an archive"),
        expect: &[Line("teevisor: error: bundle: "), PANIC],
        ..REFUSED
    },
    Case {
        name: "refuses-damaged-manifest",
        boots: Boots::DamagedManifest,
        expect: &[Line("teevisor: error: bundle: manifest.dtb: "), PANIC],
        ..REFUSED
    },
    Case {
        name: "refuses-too-little-memory",
        boots: Boots::Manifest(manifest!("too-large")),
        expect: &[Line("teevisor: error: guest giant: "), PANIC],
        ..REFUSED
    },
    Case {
        name: "refuses-console-device",
        boots: Boots::Manifest(passthrough::CONSOLE_DEVICE),
        expect: &[
            Line("teevisor: error: guest thief: device /pl011@9000000: it is, or shares"),
            PANIC,
        ],
        ..REFUSED
    },
    Case {
        name: "refuses-device-twice",
        boots: Boots::Manifest(passthrough::ONE_PAGE_TWICE),
        expect: &[
            Line("teevisor: error: guest two: device /virtio_mmio@a003c00: guest number 0 has it"),
            PANIC,
        ],
        ..REFUSED
    },
    Case {
        name: "refuses-dma-without-direct-map",
        boots: Boots::Manifest(passthrough::NOT_DIRECT),
        expect: &[
            Line("teevisor: error: guest lost: device /virtio_mmio@a003e00: it does DMA"),
            PANIC,
        ],
        ..REFUSED
    },
    Case {
        name: "refuses-el1",
        el2: false,
        boots: Boots::TestGuest(""),
        expect: &[Line("teevisor: error: entered at EL1")],
        ..REFUSED
    },
    Case {
        name: "guest-gicv3",
        ..GUEST
    },
    Case {
        name: "guest-gicv2",
        gic: Gic::V2,
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
    Case {
        name: "guest-one-core-gicv2",
        smp: 1,
        gic: Gic::V2,
        ..GUEST
    },
    Case {
        name: "guest-two-cores-max",
        cpu: "max",
        smp: 2,
        ..GUEST
    },
    Case {
        name: "isolation-gicv3",
        ..ISOLATION
    },
    Case {
        name: "isolation-gicv2",
        gic: Gic::V2,
        ..ISOLATION
    },
    Case {
        name: "isolation-max",
        cpu: "max",
        ..ISOLATION
    },
    Case {
        name: "isolation-beside-linux",
        boots: Boots::Manifest(manifest!("isolation-linux")),
        expect: &[
            OK,
            Line("linux| regression_1004 OK"),
            Line("hostile| guest: "),
            Line(" passed, 0 failed"),
            Absent("FAILED"),
            PANIC,
            QUIET,
            Off,
        ],
        seconds: 240,
        ..BASE
    },
    // The first line says that the residue is in the guest's RAM.
    Case {
        name: "guest-first-start",
        boots: Boots::TestGuest("test=reset reset-until=0"),
        residue: true,
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
        boots: Boots::TestGuest("test=reset"),
        expect: &[
            Times(3, "boot at"),
            Line(" passed, 0 failed"),
            Absent("FAILED"),
            PANIC,
            Off,
        ],
        ..GUEST
    },
    Case {
        name: "guest-resets",
        boots: Boots::TestGuest("test=reset"),
        expect: &[
            Times(3, "boot at"),
            Line(" passed, 0 failed"),
            Absent("FAILED"),
            PANIC,
            Off,
        ],
        ..GUEST
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
            Line(" passed, 0 failed"),
            Absent("FAILED"),
            PANIC,
            Off,
        ],
        ..GUEST
    },
    Case {
        name: "guest-watchdogs",
        boots: Boots::Manifest(manifest!("watchdogs")),
        expect: &[
            Line("late: its watchdog has expired: it restarts"),
            Line("late| guest: the watchdog has restarted it"),
            Line("late| guest: 8 passed, 0 failed, 0 skipped"),
            Line("hangs: its watchdog has expired: it stops"),
            Line("hangs: off"),
            Absent("FAILED"),
            PANIC,
            Off,
        ],
        ..GUEST
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
    Case {
        name: "linux-cortex-a53",
        cpu: "cortex-a53",
        ..LINUX
    },
    Case {
        name: "linux-cortex-a57",
        cpu: "cortex-a57",
        ..LINUX
    },
    Case {
        name: "linux-cortex-a72",
        cpu: "cortex-a72",
        ..LINUX
    },
    Case {
        name: "linux-cortex-a76",
        cpu: "cortex-a76",
        ..LINUX
    },
    Case {
        name: "linux-max",
        cpu: "max",
        ..LINUX
    },
    Case {
        name: "linux-gicv2",
        gic: Gic::V2,
        ..NO_TEE
    },
    Case {
        name: "linux-gicv2-optee",
        gic: Gic::V2,
        optee: Some(Optee::Virtualized),
        ..LINUX
    },
    Case {
        name: "linux-direct",
        loader: Loader::Direct,
        ..NO_TEE
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
            QUIET,
            Off,
        ],
        ..NO_TEE
    },
    Case {
        name: "rpi4-linux",
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
    },
    Case {
        name: "rpi4-linux-spin-table",
        board: Board::Rpi4,
        loader: Loader::Direct,
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
        gic: Gic::V2,
        optee: Some(Optee::Virtualized),
        ..EIGHT_CORES
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
            Line("the guests get no TEE: OP-TEE is built without virtualization"),
            Line("init: the device tree has no TEE"),
            PANIC,
            QUIET,
            Off,
        ],
        ..NO_TEE
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
    Case {
        name: "third-guest-without-tee",
        boots: Boots::Manifest(manifest!("three")),
        expect: &[
            Line("guest three gets no TEE: OP-TEE has no room for another guest"),
            Line("one| guest: "),
            Line("two| guest: "),
            Line("three| guest: "),
            Absent("FAILED"),
            PANIC,
            Off,
        ],
        ..BASE
    },
    Case {
        name: "two-linux",
        ..TWO_LINUX
    },
    Case {
        name: "two-linux-one-core",
        smp: 1,
        ..TWO_LINUX
    },
    Case {
        name: "operator",
        boots: Boots::Manifest(manifest!("shells")),
        types: OPERATOR,
        expect: &[
            Line("one| first-42"),
            Line("two| second-42"),
            Line("alone-42"),
            Absent("| alone-42"),
            Between("two is paused already", "two: resumed", "two| tick"),
            Line("two| third-42"),
            Line("two| fourth-42"),
            Line("teevisor: 1 one: running, 256 MiB of RAM, restarts: 0"),
            Line("there is no command `lsit`"),
            Line("there is no guest `three`"),
            Times(2, "teevisor: two: restarted"),
            PANIC,
            QUIET,
            Off,
        ],
        // Linux boots four times.
        seconds: 300,
        ..BASE
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
    Case {
        name: "hostile-beside-linux",
        boots: Boots::Manifest(manifest!("hostile")),
        expect: &[
            OK,
            Line("linux| regression_1004 OK"),
            Line("linux| regression_1006 OK"),
            Line("hostile| guest: 10 passed, 0 failed, 0 skipped"),
            Absent("FAILED"),
            PANIC,
            QUIET,
            Off,
        ],
        ..BASE
    },
    Case {
        name: "passthrough-disk",
        boots: Boots::Manifest(passthrough::PASSTHROUGH),
        disk: true,
        expect: &[
            OK,
            Line("guest linux has /virtio_mmio@a003e00 at 0xa003e00, and 7 more in the same pages"),
            Line("teevisor: warning: guest linux reaches all of the board's memory"),
            Line("linux: restarted"),
            Line("linux| interrupts "),
            Line("linux| regression_1004 OK"),
            Line("other| guest: "),
            Absent("FAILED"),
            PANIC,
            Off,
        ],
        ..BASE
    },
    Case {
        name: "passthrough-disk-gicv2",
        gic: Gic::V2,
        boots: Boots::Manifest(passthrough::PASSTHROUGH),
        disk: true,
        expect: &[
            OK,
            Line("guest linux has /virtio_mmio@a003e00 at 0xa003e00, and 7 more in the same pages"),
            Line("teevisor: warning: guest linux reaches all of the board's memory"),
            Line("linux: restarted"),
            Line("linux| interrupts "),
            Line("other| guest: "),
            Absent("FAILED"),
            PANIC,
            Off,
        ],
        ..BASE
    },
    Case {
        name: "two-regressions",
        ..TWO
    },
    // The same with two vCPUs on each core.
    Case {
        name: "two-regressions-two-cores",
        smp: 2,
        ..TWO
    },
    Case {
        name: "regression-debug",
        profile: Profile::Debug,
        vcpus: Some(1),
        ..REGRESSION
    },
];

/// The manifest of the bare-metal test guest with arguments.
pub fn test_guest_manifest(bootargs: &str) -> String {
    format!(
        "version = 1\n[[guest]]\nname = \"test\"\nvcpus = 4\nmemory = \"16MiB\"\n\
         kernel = \"testguest.bin\"\nbootargs = \"{bootargs}\"\n"
    )
}
