// SPDX-License-Identifier: MIT OR Apache-2.0

//! Several guests at once.

use super::{OK, PANIC, QUIET, manifest};
use crate::bench::delay;
use crate::firmware::Optee;
use crate::image::Profile;
use crate::script::{Script, guest, hypervisor, once};
use crate::test::case::Expect::{Absent, Between, Line, Off, Statuses, Times};
use crate::test::case::{BASE, Boots, Case};

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

/// More than is kept for a guest that reads nothing.
const PASTE: &str = match core::str::from_utf8(&[b'#'; 5000]) {
    Ok(text) => text,
    Err(_) => "",
};

/// A session of an operator: both guests' shells, every command of the monitor, errors.
/// The first key comes before the hypervisor listens: it must not be deaf to those that follow.
const OPERATOR: Script = &[
    once(hypervisor("NOTICE:  BL31"), "\r"),
    once(guest("one", "~ # "), "echo first-$((40 + 2))\r").nudged(),
    once(guest("one", "first-42"), "\x1d2\r"),
    once(
        guest("two", "~ # "),
        "xtest -l 0 -t regression 1001; xtest -l 0 -t regression 1011; echo second-$((40 + 2))\r",
    )
    .nudged(),
    once(guest("two", "second-42"), "\x1do"),
    once(
        hypervisor("only two's output is shown"),
        "echo alone-$((40 + 2))\r",
    ),
    once(guest("two", "alone-42"), "\x1do"),
    once(hypervisor("all guests' output is shown"), "\x1d?"),
    once(
        hypervisor("type to the next guest"),
        "while :; do echo t''ick; sleep 1; done\r",
    ),
    once(guest("two", "tick"), "\x1dn"),
    once(hypervisor("keys go to one"), "\x1dm").anew(),
    once(hypervisor("teevisor> "), "list\r"),
    once(hypervisor("vCPU 1 on core"), "pause two\r"),
    once(hypervisor("two: paused"), "pause two\r"),
    once(hypervisor("two is paused already"), "list\r"),
    once(
        hypervisor("2 two: paused"),
        "quit\recho stands; sleep 4; echo wait-$((40 + 2))\r",
    ),
    once(guest("one", "wait-42"), "\x1dmresume two\r"),
    once(hypervisor("two: resumed"), ""),
    once(guest("two", "tick"), "memory\r").anew(),
    once(hypervisor("guests have 512 MiB"), "tee\r"),
    once(hypervisor("two: 0 of 16 calls"), "help\r"),
    once(hypervisor("close the monitor"), "lsit\r"),
    once(hypervisor("there is no command"), "stop three\r"),
    once(hypervisor("there is no guest"), "focus two\r"),
    once(hypervisor("keys go to two"), "pause two\r"),
    once(hypervisor("two: paused"), "reset two\r"),
    once(hypervisor("teevisor: two: restarted"), "quit\r"),
    once(guest("two", "~ # "), "echo third-$((40 + 2))\r")
        .anew()
        .nudged(),
    once(guest("two", "third-42"), "cat >/dev/null\r\x1dmpause two\r"),
    once(hypervisor("two: paused"), "quit\r"),
    once(hypervisor("teevisor> quit"), PASTE),
    once(
        hypervisor("two does not read: what is typed is lost"),
        "\x1dmresume two\r",
    ),
    once(hypervisor("two: resumed"), "quit\r"),
    once(hypervisor("two reads again: "), "\x03\x1dmlist\r").nudged(),
    once(
        hypervisor("2 two: running, 256 MiB of RAM, restarts: 1"),
        "stop two\r",
    ),
    once(hypervisor("teevisor: two: off"), "reset two\r"),
    once(hypervisor("two is off"), "start two\r"),
    once(hypervisor("teevisor: two: restarted"), "quit\r"),
    once(
        guest("two", "~ # "),
        "echo fourth-$((40 + 2)); poweroff -f\r",
    )
    .anew()
    .nudged(),
    once(hypervisor("teevisor: two: off"), "\x1dmstop one\r"),
];

/// Guests that flood a slow console, and one that restarts all the time, beside silent ones. Only with the plugin that
/// counts: otherwise it shows nothing.
pub const FLOOD: Case = Case {
    name: "flood",
    boots: Boots::Manifest(manifest!("flood")),
    profile: Profile::SlowConsole,
    smp: 4,
    expect: &[
        Line("silent: off"),
        Line("silent-too: off"),
        Line("circle: crashed"),
        Absent("FAILED"),
        PANIC,
        Off,
    ],
    seconds: 900,
    ..BASE
};

/// A guest that tries everything to delay a control task on its core, without OP-TEE: the control task judges.
const DELAY: Case = Case {
    name: "delay-beside-an-attacker",
    boots: Boots::Made(delay::short_manifest),
    optee: Some(Optee::None),
    smp: 1,
    icount: true,
    expect: &[
        Line("test control::wakes_in_time ... ok"),
        Line("test attacker::attacks ... ok"),
        Line("attacker: crashed"),
        Absent("FAILED"),
        PANIC,
        Off,
    ],
    ..BASE
};

/// All that the monitor can tell, while guests are restarted.
const TELLS: Script = &[once(
    guest("g1", "guest: crashes"),
    "\x1dmlist\rtee\rtrace g1\rhelp\rmemory\r",
)];

/// The runs.
pub const CASES: &[Case] = &[
    DELAY,
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
        seconds: 900,
        ..BASE
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
        name: "sixteen-guests",
        boots: Boots::Manifest(manifest!("sixteen-guests")),
        types: TELLS,
        expect: &[
            Line("teevisor: guest g15: 1 vCPUs"),
            Times(8, "guest: 6 passed, 0 failed"),
            Times(8, ": it has restarted 3 times in a row"),
            Times(24, ": restarted"),
            Line("16 g15: "),
            Line("; 0 allocations since all cores serve guests"),
            Times(16, ": off"),
            Absent("FAILED"),
            PANIC,
            Off,
        ],
        seconds: 900,
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
            Line(" typed bytes were lost"),
            Absent("| alone-42"),
            Between("one| stands", "two: resumed", "two| tick"),
            Line("two| third-42"),
            Line("two| fourth-42"),
            Line("teevisor: 1 one: running, 256 MiB of RAM, restarts: 0"),
            Line("guest one may open every trusted application"),
            Absent("guest two may open every trusted application"),
            Line("denied: d96a5b40-c3e5-21e3-8794-1002a5d5c61b, open, times: "),
            Line("denied: cb3e5ba0-adf1-11e0-998b-0002a5d5c51b, load, times: "),
            Line("two| regression_1011 FAILED"),
            Line("there is no command `lsit`"),
            Line("there is no guest `three`"),
            Times(2, "teevisor: two: restarted"),
            PANIC,
            QUIET,
            Off,
        ],
        // Linux boots four times.
        seconds: 900,
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
];
