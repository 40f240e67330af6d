// SPDX-License-Identifier: MIT OR Apache-2.0

//! Devices that master the bus, behind an SMMU.

use super::{PANIC, QUIET, manifest};
use crate::firmware::Optee;
use crate::script::{Script, Step, guest, hypervisor, once};
use crate::test::case::Expect::{Absent, Line, Off, Same, Times};
use crate::test::case::{BASE, Boots, Case};

/// QEMU's edu on the PCI bus, which a guest has as its own.
const EDU: Case = Case {
    smmu: true,
    pci: &["edu,dma_mask=0xffffffffffffffff"],
    ..BASE
};

/// What must hold beside a guest that owns a device: the other one has noticed nothing, and EL2 lives.
macro_rules! unharmed {
    ($($expect:expr),* $(,)?) => {
        &[
            $($expect,)*
            Line("victim| guest: 1 passed, 0 failed, 0 skipped"),
            Absent("FAILED"),
            PANIC,
            QUIET,
            Off,
        ]
    };
}

/// The hostile guest begins once the other watches, which ends when the hostile one is through.
const BESIDE: Script = &[
    once(guest("victim", "guest: watches"), ""),
    once(guest("hostile", "guest: waits"), "\x1d1go\r"),
    once(hypervisor("hostile: off"), "\x1d2go\r"),
];

/// Lives that end by SYSTEM_RESET, so many; the monitor tells the same before and after.
const fn resets(times: usize) -> [Step; 6] {
    [
        once(guest("victim", "guest: watches"), "\x1dmmemory\r"),
        once(hypervisor("guests have 32 MiB"), ""),
        Step {
            times,
            ..once(hypervisor("hostile: restarted"), "")
        },
        once(hypervisor("hostile: restarted"), "stop hostile\r"),
        once(hypervisor("hostile: off"), "memory\rlist\r"),
        once(hypervisor("1 hostile: off, 16 MiB"), "quit\r\x1d2go\r"),
    ]
}

/// Lives that end by SYSTEM_OFF, so many; each next one begins a while after that.
const fn offs(times: usize) -> [Step; 4] {
    [
        once(guest("victim", "guest: watches"), "\x1dm"),
        Step {
            times,
            delay: 300,
            ..once(hypervisor("hostile: off"), "start hostile\r")
        },
        once(guest("hostile", "nothing_came_late ... ok"), "").anew(),
        once(hypervisor("hostile: off"), "quit\r\x1d2go\r"),
    ]
}

const RESETS: Case = Case {
    boots: Boots::Manifest(manifest!("dma-resets")),
    types: &resets(8),
    expect: unharmed![
        Times(8, "hostile| guest: nothing came late"),
        Times(8, "teevisor: hostile: restarted"),
        Same(" KiB in use ("),
    ],
    ..EDU
};

/// Runs of `cargo xtask soak`.
pub const SOAK: &[Case] = &[Case {
    name: "dma-resets-200",
    types: &resets(200),
    expect: unharmed![
        Times(200, "hostile| guest: nothing came late"),
        Times(200, "teevisor: hostile: restarted"),
        Same(" KiB in use ("),
    ],
    seconds: 3600,
    ..RESETS
}];

/// The runs.
pub const CASES: &[Case] = &[
    Case {
        name: "dma-bare",
        smmu: false,
        el2: false,
        optee: Some(Optee::None),
        boots: Boots::Bare("bare test=dma"),
        expect: &[Line(" passed, 0 failed"), Absent("FAILED"), Off],
        ..EDU
    },
    // The first refused access is told.
    Case {
        name: "dma-hostile",
        boots: Boots::Manifest(manifest!("dma-hostile")),
        types: BESIDE,
        expect: unharmed![
            Line("guest hostile: 1 vCPUs, 16 MiB of RAM at 0x40800000"),
            Line("guest victim: 1 vCPUs, 16 MiB of RAM at 0x60200000"),
            Line(
                "hostile: its device /pcie@10000000, stream 0x8: F_TRANSLATION, read of 0x60000000"
            ),
            Line("hostile| guest: 25 reads were tried"),
            Line("hostile| guest: 50 writes were tried"),
            Line("hostile| guest: 7 passed, 0 failed, 0 skipped"),
        ],
        ..EDU
    },
    Case {
        name: "dma-resets",
        ..RESETS
    },
    // The device writes after its guest has ended.
    Case {
        name: "dma-offs",
        boots: Boots::Manifest(manifest!("dma-offs")),
        types: &offs(5),
        expect: unharmed![
            Times(6, "hostile| guest: nothing came late"),
            Line("hostile: its device /pcie@10000000, stream 0x8: C_BAD_STE"),
        ],
        ..EDU
    },
];
