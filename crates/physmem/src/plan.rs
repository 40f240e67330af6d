// SPDX-License-Identifier: MIT OR Apache-2.0

//! What EL2 maps of a board, decided before the first table is made.

use addr::{PAGE_SIZE, PaRange};
use core::fmt;

use crate::{Error, FreeMap, table_pages};

/// What a board's tree names, and what of its memory the image takes.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// RAM, in any order.
    pub memory: &'a [PaRange],
    /// What of it is taken, the image among it.
    pub reserved: &'a [PaRange],
    /// Registers that EL2 or guests map as a device's.
    pub devices: &'a [PaRange],
    /// What else EL2 maps: the bundle, spin tables.
    pub others: &'a [PaRange],
    /// End of what the core can address.
    pub end: u64,
}

/// What is free, and what of it the tables take.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Plan {
    /// Free memory, all of which EL2 maps.
    pub free: FreeMap,
    /// Memory for the tables of all that EL2 maps: mapped too, and no longer free.
    pub tables: PaRange,
}

/// Why there is no [`Plan`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PlanError {
    /// The memory map has too many pieces.
    Memory(Error),
    /// It lies beyond what the core can address.
    Beyond(PaRange),
    /// These registers lie in what the tree calls memory.
    InMemory(PaRange),
    /// There is no room for this many bytes of tables in one piece.
    Tables(u64),
}

impl fmt::Display for PlanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory(error) => error.fmt(f),
            Self::Beyond(range) => write!(
                f,
                "{:#x} bytes at {} lie beyond what this core can address",
                range.size, range.start
            ),
            Self::InMemory(range) => write!(
                f,
                "a device's registers, {:#x} bytes at {}, lie in a memory node's reg: correct the device tree",
                range.size, range.start
            ),
            Self::Tables(size) => write!(
                f,
                "no {} KiB of free memory in one piece for the hypervisor itself: give the board more RAM, \
                 or join ranges of /reserved-memory that lie near each other",
                size >> 10
            ),
        }
    }
}

impl core::error::Error for PlanError {}

impl From<Error> for PlanError {
    fn from(error: Error) -> Self {
        Self::Memory(error)
    }
}

/// Decides what EL2 maps.
pub fn plan(wanted: &Wanted) -> Result<Plan, PlanError> {
    let mut free = FreeMap::new(wanted.memory, wanted.reserved)?;
    let ranges = free.ranges().iter();
    let mapped = || ranges.clone().chain(wanted.devices).chain(wanted.others);
    if let Some(range) = mapped().find(|range| range.end().0 > wanted.end) {
        return Err(PlanError::Beyond(*range));
    }
    let mut devices = wanted.devices.iter();
    if let Some(device) = devices.find(|device| ranges.clone().any(|ram| ram.overlaps(device))) {
        return Err(PlanError::InMemory(*device));
    }
    let size = table_pages(mapped().copied()) * PAGE_SIZE;
    let tables = free
        .allocate(size, PAGE_SIZE)
        .ok_or(PlanError::Tables(size))?;
    Ok(Plan { free, tables })
}
