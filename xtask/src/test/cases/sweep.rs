// SPDX-License-Identifier: MIT OR Apache-2.0

//! Manifests across what EL2's memory depends on: guests, vCPUs, the length of `bootargs`, watchdogs, devices. Every
//! other guest is restarted, as often as it may be.

use super::{PANIC, QUIET};
use crate::test::case::Expect::{Absent, Off, Times};
use crate::test::case::{BASE, Boots, Case, Expect};

/// Writes the manifest of so many guests with so many vCPUs each. `FULL` ones have bootargs as long as can be and a
/// watchdog; the first one has the board's clock then.
fn manifest<const GUESTS: usize, const VCPUS: usize, const FULL: bool>() -> String {
    let guest = |n: usize| {
        let test = match n % 2 {
            0 => "test=boot",
            _ => "test=crash crash=vector crash-until=3600",
        };
        let more = if FULL {
            let padding = " ".repeat(2047 - test.len());
            let device = if n == 0 {
                "devices = [\"/pl031@9010000\"]\n"
            } else {
                ""
            };
            format!("{padding}\"\nwatchdog = {{ action = \"stop\" }}\n{device}")
        } else {
            "\"\n".into()
        };
        format!(
            "[[guest]]\nname = \"g{n}\"\nvcpus = {VCPUS}\nmemory = \"16MiB\"\nkernel = \"testguest.bin\"\n\
             on-crash = \"restart\"\nmax-restarts = 2\nmax-restart-delay = \"0s\"\nbootargs = \"{test}{more}"
        )
    };
    let guests: String = (0..GUESTS).map(guest).collect();
    format!("version = 1\n{guests}")
}

macro_rules! expect {
    ($guests:literal, $restarts:literal) => {
        &[
            Times($guests, ": off"),
            Times($restarts, ": restarted"),
            Absent("FAILED"),
            ERROR,
            PANIC,
            QUIET,
            Off,
        ]
    };
}

macro_rules! sweep {
    ($guests:literal, $vcpus:literal, $full:literal, $restarts:literal) => {
        Case {
            name: concat!("sweep-", $guests, "-guests-", $vcpus, "-vcpus-full-", $full),
            boots: Boots::Made(manifest::<$guests, $vcpus, $full>),
            expect: expect!($guests, $restarts),
            ..BASE
        }
    };
}

const ERROR: Expect = Absent("teevisor: error");

/// The one that takes most.
pub const CASES: &[Case] = &[sweep!(16, 8, true, 16)];

/// The others.
pub const LONG: &[Case] = &[
    sweep!(1, 1, false, 0),
    sweep!(1, 8, true, 0),
    sweep!(2, 1, true, 2),
    sweep!(3, 8, false, 2),
    sweep!(5, 3, true, 4),
    sweep!(8, 1, false, 8),
    sweep!(9, 8, true, 8),
    sweep!(14, 1, true, 14),
    sweep!(15, 2, true, 14),
    sweep!(16, 1, false, 16),
    sweep!(16, 5, true, 16),
    sweep!(16, 8, false, 16),
];
