// SPDX-License-Identifier: MIT OR Apache-2.0

//! The board's devices: who may have one, and what a guest makes of it.

use super::{LINUX, OK, PANIC, QUIET, REFUSED, manifest};
use crate::test::case::Expect::{Absent, Line, Off, Statuses};
use crate::test::case::{BASE, Boots, Case};
use platform::GicVersion;

/// A device without DMA whose interrupt is a level.
const CLOCK: Case = Case {
    boots: Boots::Manifest(manifest!("passthrough-clock")),
    expect: &[
        OK,
        Line("guest linux has /pl031@9010000 at 0x9010000"),
        Line("rtc-pl031 9010000.pl031"),
        Line("alarms 3"),
        PANIC,
        QUIET,
        Off,
    ],
    ..BASE
};

/// The runs.
pub const CASES: &[Case] = &[
    Case {
        name: "refuses-console-device",
        boots: Boots::Manifest(manifest!("console-device")),
        expect: &[
            Line("teevisor: error: guest thief: device /pl011@9000000: it is, or shares"),
            PANIC,
        ],
        ..REFUSED
    },
    Case {
        name: "refuses-device-twice",
        boots: Boots::Manifest(manifest!("one-page-twice")),
        expect: &[
            Line("teevisor: error: guest two: device /virtio_mmio@a003c00: guest number 0 has it"),
            PANIC,
        ],
        ..REFUSED
    },
    Case {
        name: "refuses-dma-without-direct-map",
        boots: Boots::Manifest(manifest!("dma-without-direct-map")),
        expect: &[
            Line("teevisor: error: guest lost: device /virtio_mmio@a003e00: virtio_mmio does DMA"),
            PANIC,
        ],
        ..REFUSED
    },
    Case {
        name: "passthrough-disk",
        boots: Boots::Manifest(manifest!("passthrough-disk")),
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
        gic: GicVersion::V2,
        boots: Boots::Manifest(manifest!("passthrough-disk")),
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
        name: "passthrough-bridge",
        boots: Boots::Manifest(manifest!("passthrough-bridge")),
        nvme: true,
        expect: &[
            OK,
            Line("guest linux has /pcie@10000000 at 0x4010000000, and 0 more in the same pages"),
            Line("guest linux does without 1 of the windows of /pcie@10000000"),
            Line("teevisor: warning: guest linux reaches all of the board's memory"),
            Line("linux: restarted"),
            Line("linux| interrupts "),
            Line("linux| 4010000000-401fffffff : PCI ECAM"),
            Line("other| guest: "),
            Absent("FAILED"),
            PANIC,
            Off,
        ],
        ..BASE
    },
    Case {
        name: "passthrough-clock",
        ..CLOCK
    },
    Case {
        name: "passthrough-clock-gicv2",
        gic: GicVersion::V2,
        ..CLOCK
    },
    // An SMMU that no guest has a device behind lets nothing through, and is nobody's concern.
    Case {
        name: "smmu-unused",
        smmu: true,
        e1000e: true,
        expect: &[
            OK,
            Line("regression_1004 OK"),
            Absent("holds guests' devices"),
            PANIC,
            QUIET,
            Off,
        ],
        ..LINUX
    },
    Case {
        name: "smmu-linux",
        boots: Boots::Manifest(manifest!("smmu-linux")),
        smmu: true,
        nvme_blank: true,
        e1000e: true,
        expect: &[
            Statuses(&[0, 0]),
            Line("the SMMU at 0x9050000 holds guests' devices: 65536 streams"),
            Line("linux: restarted"),
            Line("linux| device works"),
            Line("other| 8 test cases of which 0 failed"),
            Absent("its device"),
            Absent("reaches all of the board's memory"),
            PANIC,
            QUIET,
            Off,
        ],
        ..BASE
    },
];
