// SPDX-License-Identifier: MIT OR Apache-2.0

//! Why there is no start, as the operator reads it.

use core::fmt;

use addr::Pa;
use board::BoardError;
use manifest::{MEMBER, ManifestError, archive::ArchiveError};

use crate::arch::mmu::CannotMap;
use crate::vm::create::CreateError;

/// Why teevisor can't run here.
#[derive(Debug)]
pub enum SetupError {
    /// x0 holds no device tree.
    NoTree(Pa),
    /// The device tree can't be used.
    Board(BoardError),
    /// Memory, the image or a device can't be mapped.
    Map(CannotMap),
    /// The memory map can't be used.
    Memory(physmem::PlanError),
    /// There is no room for this many bytes of EL2's heap.
    Heap(u64),
    /// The same, for the guests. The one of this name takes most of it: so many bytes.
    GuestsHeap {
        /// Bytes needed, in one piece.
        needed: u64,
        /// Bytes free.
        free: u64,
        /// The guest that takes most.
        name: &'static str,
        /// Bytes it takes.
        takes: u64,
    },
    /// The first core has no redistributor.
    Redistributor,
    /// Nobody says how fast the timer counts.
    Frequency,
    /// The tree names no initrd.
    NoBundle,
    /// The bundle is damaged.
    Archive(ArchiveError<'static>),
    /// The bundle has no manifest.
    NoManifest,
    /// The manifest can't be used.
    Manifest(ManifestError<'static>),
    /// A guest can't be made.
    Guest(&'static str, CreateError<'static>),
}

impl fmt::Display for SetupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoTree(at) => write!(
                f,
                "x0 = {at} is not a device tree: start teevisor by Linux's boot protocol \
                 (TF-A: ARM_LINUX_KERNEL_AS_BL33=1)"
            ),
            Self::Board(error) => write!(f, "device tree: {error}"),
            Self::Map(CannotMap(range)) => {
                write!(
                    f,
                    "device tree: {:#x} bytes at {} can't be mapped",
                    range.size, range.start
                )
            }
            Self::Memory(error) => write!(f, "device tree: {error}"),
            Self::Heap(size) => {
                write!(
                    f,
                    "no {} KiB of free memory in one piece for the hypervisor itself: give the board more RAM, \
                     or join ranges of /reserved-memory that lie near each other",
                    size >> 10
                )
            }
            Self::GuestsHeap {
                needed,
                free,
                name,
                takes,
            } => write!(
                f,
                "EL2 needs {} KiB in one piece to keep the guests, and {} KiB are free: lower max-buffers, \
                 max-shared or vcpus, first of guest {name}, which takes {} KiB",
                needed >> 10,
                free >> 10,
                takes >> 10
            ),
            Self::Redistributor => f.write_str("the GIC has no redistributor for the boot core"),
            Self::Frequency => f.write_str(
                "the firmware left CNTFRQ_EL0 at 0: give the device tree's timer node its \
                 clock-frequency",
            ),
            Self::NoBundle => f.write_str(
                "/chosen has no linux,initrd-start and -end: load the bundle as the initrd",
            ),
            Self::Archive(error) => write!(f, "bundle: {error}"),
            Self::NoManifest => {
                write!(
                    f,
                    "bundle: no {MEMBER}: make the bundle with `cargo xtask bundle`"
                )
            }
            Self::Manifest(error) => write!(f, "bundle: {MEMBER}: {error}"),
            Self::Guest(name, error) => write!(f, "guest {name}: {error}"),
        }
    }
}

macro_rules! from {
    ($($error:ty => $variant:ident),* $(,)?) => {
        $(impl From<$error> for SetupError {
            fn from(error: $error) -> Self {
                Self::$variant(error)
            }
        })*
    };
}
from!(
    BoardError => Board,
    CannotMap => Map,
    physmem::PlanError => Memory,
    ArchiveError<'static> => Archive,
    ManifestError<'static> => Manifest,
);
