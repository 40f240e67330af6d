// SPDX-License-Identifier: MIT OR Apache-2.0

//! The hypervisor cannot start: it says why and stops.

use super::{PANIC, REFUSED, manifest};
use crate::image::Profile;
use crate::test::case::Expect::Line;
use crate::test::case::{Boots, Case, Front};

/// The runs.
pub const CASES: &[Case] = &[
    Case {
        name: "refuses-no-bundle",
        stage: Some(11),
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
        name: "refuses-too-large-quotas",
        mem: "1G",
        boots: Boots::Manifest(manifest!("too-large-quotas")),
        expect: &[
            Line("teevisor: error: EL2 needs "),
            Line("first of guest greedy, which takes "),
            PANIC,
        ],
        ..REFUSED
    },
    Case {
        name: "refuses-el1",
        el2: false,
        stage: Some(2),
        boots: Boots::TestGuest(""),
        expect: &[Line("teevisor: error: entered at EL1")],
        ..REFUSED
    },
    Case {
        name: "refuses-load-address",
        front: Front::Misplaces,
        stage: Some(2),
        expect: &[Line(
            "teevisor: error: loaded at an address that is no multiple of 2 MiB; ",
        )],
        ..REFUSED
    },
    // An exception as early as can be.
    Case {
        name: "refuses-lost-tree-poisoned",
        profile: Profile::Poisoned,
        front: Front::LosesTree,
        stage: Some(3),
        expect: &[
            Line("abc"),
            Line("exception before the MMU is on: ESR 0x96000010, ELR 0x"),
            Line("FAR 0xb000000"),
        ],
        ..REFUSED
    },
];
