// SPDX-License-Identifier: MIT OR Apache-2.0

//! Runs of `cargo xtask soak`: what a short run shows now and then, thousands of times.

use super::guest::RACE;
use super::manifest;
use super::regression::TWO;
use crate::test::case::{Boots, Case};

/// Ten thousand tries of each race.
const LONG_RACE: Case = Case {
    boots: Boots::Manifest(manifest!("race-long")),
    seconds: 3 * 3600,
    ..RACE
};

/// The runs.
pub const CASES: &[Case] = &[
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
