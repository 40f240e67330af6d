// SPDX-License-Identifier: MIT OR Apache-2.0

//! Reading the compiled manifest.
//!
//! It is a device tree: keys of the whole manifest in the root, a node for each guest under its
//! name, with properties called as the keys of the TOML are, and the guest's tables below. The module
//! `table` says what bytes a value has. Durations are in microseconds.

use crate::table::{Keys, Table, Value, table};
use crate::{Guest, MAX_GUESTS, Problem, VERSION, check, check_housekeeping};
use arrayvec::ArrayVec;
use core::fmt;
use fdt::Fdt;
use fdt::helpers::UnalignedFallibleNode as Node;
use platform::flattened;

table! {
    /// The keys of the whole manifest, in the root.
    pub(crate) struct Top {
        /// The format, [`VERSION`].
        pub version: u32 = "version",
        /// The core that has console and monitor, as a position in the board's /cpus.
        pub housekeeping_core: Option<u32> = "housekeeping-core",
    }
}

/// A manifest that keeps all rules.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Manifest<'a> {
    guests: ArrayVec<Guest<'a>, MAX_GUESTS>,
    housekeeping_core: Option<u32>,
}

/// Why a blob is no manifest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ManifestError<'a> {
    /// It is no device tree, or a damaged one.
    Damaged,
    /// Its `version` is another one than ours.
    Version(u32),
    /// It has more guests than there is room for.
    TooManyGuests,
    /// A guest, or the whole manifest if the name is empty, has a key that we don't know: it was
    /// compiled for a newer teevisor.
    UnknownKey(&'a str, &'a str),
    /// A key of a guest, or of the whole manifest, is missing or its value has the wrong form.
    Malformed(&'a str, &'static str),
    /// A rule is broken.
    Invalid(Problem<'a>),
}

impl fmt::Display for ManifestError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Damaged => f.write_str("damaged or not compiled: make the bundle again"),
            Self::Version(found) => {
                write!(
                    f,
                    "version {found}, but this teevisor reads version {VERSION}: make the bundle with its own xtask"
                )
            }
            Self::TooManyGuests => write!(f, "more than {MAX_GUESTS} guests"),
            Self::UnknownKey(guest, key) => {
                let guest = Whose(guest);
                write!(
                    f,
                    "{guest}unknown key {key}: make the bundle with this teevisor's own xtask"
                )
            }
            Self::Malformed(guest, key) => {
                let guest = Whose(guest);
                write!(
                    f,
                    "{guest}{key} is missing or malformed: make the bundle again"
                )
            }
            Self::Invalid(problem) => problem.fmt(f),
        }
    }
}

impl core::error::Error for ManifestError<'_> {}

/// The start of a message about a guest's key; no guest has the whole manifest's keys.
struct Whose<'a>(&'a str);

impl fmt::Display for Whose<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            "" => Ok(()),
            guest => write!(f, "guest {guest}: "),
        }
    }
}

impl<'a> Manifest<'a> {
    /// Reads and checks a compiled manifest; bytes behind it are ignored.
    // Inlined into the kernel it would be built for speed, and twice as large.
    #[inline(never)]
    pub fn parse(blob: &'a [u8]) -> Result<Self, ManifestError<'a>> {
        let blob = sound(blob).ok_or(ManifestError::Damaged)?;
        let tree = Fdt::new_unaligned_fallible(blob).map_err(damaged)?;
        let root = tree
            .find_node("/")
            .map_err(damaged)?
            .ok_or(ManifestError::Damaged)?;
        let version = u32::read(&Table::root(root), "version");
        match version.map_err(|_| ManifestError::Damaged)? {
            VERSION => Self::read(root),
            other => Err(ManifestError::Version(other)),
        }
    }

    fn read(root: Node<'a>) -> Result<Self, ManifestError<'a>> {
        let top = Table::root(root);
        top.has_only_properties(Top::KEYS)?;
        let Top {
            housekeeping_core, ..
        } = Top::read(&top)?;
        let mut guests = ArrayVec::new();
        for node in root.children().map_err(damaged)?.iter() {
            let table = Table::of_guest(node.map_err(damaged)?)?;
            table.has_only(Guest::KEYS)?;
            guests
                .try_push(Guest::read(&table)?)
                .map_err(|_| ManifestError::TooManyGuests)?;
        }
        check(&guests).map_err(ManifestError::Invalid)?;
        check_housekeeping(housekeeping_core, &guests).map_err(ManifestError::Invalid)?;
        Ok(Self {
            guests,
            housekeeping_core,
        })
    }

    /// Returns the core that has console, monitor and OP-TEE's notifications, as a position in the board's
    /// /cpus, if the manifest chooses one.
    pub fn housekeeping_core(&self) -> Option<usize> {
        self.housekeeping_core.map(|core| core as usize)
    }

    /// Returns the guests, in the order in which they were written.
    pub fn guests(&self) -> &[Guest<'a>] {
        &self.guests
    }
}

/// Maps an error of the tree's reader.
pub(crate) fn damaged<'a>(_: fdt::FdtError) -> ManifestError<'a> {
    ManifestError::Damaged
}

/// Returns the tree at the front of `blob` if its header can be trusted.
fn sound(blob: &[u8]) -> Option<&[u8]> {
    let blob = blob.get(..flattened::total_size(blob)?)?;
    flattened::has_sound_header(blob).then_some(blob)
}
