// SPDX-License-Identifier: MIT OR Apache-2.0

//! The runs in QEMU, and what many of them have in common.

mod boards;
mod devices;
mod dma;
mod guest;
mod linux;
mod refusals;
mod regression;
mod several;

use super::case::Expect::{Absent, Line, Off, Statuses, Times};
use super::case::{BASE, Boots, Case, Expect};

mod soak;
mod sweep;

/// The text of a manifest in qemu/profiles/test.
macro_rules! manifest {
    ($name:literal) => {
        include_str!(concat!("../../../../qemu/profiles/test/", $name, ".toml"))
    };
}
use manifest;

/// Returns all runs, the quick ones first.
pub fn all() -> impl Iterator<Item = &'static Case> {
    [
        refusals::CASES,
        guest::CASES,
        linux::CASES,
        boards::CASES,
        devices::CASES,
        dma::CASES,
        several::CASES,
        sweep::CASES,
        regression::CASES,
    ]
    .into_iter()
    .flatten()
}

/// Runs that take too long for each change.
pub fn long() -> impl Iterator<Item = &'static Case> {
    soak::CASES
        .iter()
        .chain(soak::POISON)
        .chain(regression::SOAK)
        .chain(dma::SOAK)
        .chain(sweep::LONG)
}

/// Runs in which EL2's longest section with interrupts masked is looked for.
pub fn masked() -> impl Iterator<Item = &'static Case> {
    let named = ["sixteen-guests", "hostile-beside-linux", "stress"];
    let these = all().filter(move |case| named.contains(&case.name));
    core::iter::once(&several::FLOOD).chain(these)
}

const PANIC: Expect = Absent("teevisor: panic");
const QUIET: Expect = Absent("teevisor: warning");
/// The poison does so on each of four cores that have FEAT_RAS.
const SERRORS_LEFT: Expect = Times(
    4,
    "the firmware left an SError pending, ESR 0x80000000: ignored",
);
const OK: Expect = Statuses(&[0]);

/// A few of xtest's cases: a pseudo TA, a TA from the guest's file system, shared memory.
const SHORT: Boots = Boots::Linux("xtest -l 0 -t regression 1001 && xtest -l 0 -t regression 1004");

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

/// The bare-metal guest's tests that every machine can run.
const GUEST: Case = Case {
    boots: Boots::TestGuest(""),
    expect: &[Line(" passed, 0 failed"), Absent("FAILED"), PANIC, Off],
    ..BASE
};

/// The hypervisor can't start: it says why and stops.
const REFUSED: Case = Case {
    seconds: 120,
    ..BASE
};

/// Writes the manifest of the bare-metal test guest with arguments.
pub fn test_guest_manifest(bootargs: &str) -> String {
    format!(
        "version = 1\n[[guest]]\nname = \"test\"\nvcpus = 4\nmemory = \"16MiB\"\n\
         kernel = \"testguest.bin\"\nbootargs = \"{bootargs}\"\nmax-restart-delay = \"0s\"\n"
    )
}
