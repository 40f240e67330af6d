// SPDX-License-Identifier: MIT OR Apache-2.0

//! Which physical memory is free, as arithmetic on ranges: no memory is touched here.
//!
//! [`FreeMap::new`] takes the board's RAM less everything reserved. What is left is kept
//! sorted, disjoint, merged and in whole pages. Page 0 is never free: OP-TEE reads physical
//! address 0 as "no address", so a guest whose page lay there could not share it.
//!
//! Guests are given 2 MiB granules, the block size of stage 2 at level 2, and a start on a
//! 1 GiB boundary when they are large enough for level-1 blocks and such a place exists.
#![no_std]
#![forbid(unsafe_code)]

use addr::{PAGE_SIZE, Pa, PaRange};
use arrayvec::ArrayVec;
use core::fmt;

mod plan;
mod tables;
#[cfg(test)]
mod tests;

pub use plan::{Plan, PlanError, Wanted, plan};
pub use tables::table_pages;

/// Most separate free ranges a [`FreeMap`] holds.
pub const MAX_RANGES: usize = 64;
/// Most ranges [`FreeMap::allocate_guest`] makes a guest's RAM of.
pub const MAX_GUEST_RANGES: usize = 4;
/// Bytes of a stage-2 level-2 block: the unit of guest RAM.
pub const GUEST_GRANULE: u64 = 2 << 20;

/// Bytes of a stage-2 level-1 block.
const LARGE_BLOCK: u64 = 1 << 30;

/// The ranges that make up one guest's RAM, in the order in which the guest sees them.
pub type GuestRam = ArrayVec<PaRange, MAX_GUEST_RANGES>;

/// Why a [`FreeMap`] could not take a range.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Error {
    /// Free memory is in more than [`MAX_RANGES`] pieces.
    TooManyRanges,
    /// The range given back is not page-aligned, or part of it is free already.
    NotAllocated(PaRange),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooManyRanges => write!(
                f,
                "free memory is in more than {MAX_RANGES} pieces: join ranges of /reserved-memory that lie \
                 near each other"
            ),
            Self::NotAllocated(range) => {
                write!(
                    f,
                    "{:#x} bytes at {} were not allocated",
                    range.size, range.start
                )
            }
        }
    }
}

impl core::error::Error for Error {}

/// The free physical memory.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct FreeMap {
    /// Sorted by start; neither overlapping nor touching; page-aligned; without page 0.
    ranges: ArrayVec<PaRange, MAX_RANGES>,
}

impl FreeMap {
    /// Takes `memory` less `reserved`.
    ///
    /// Both may overlap, touch and come in any order. Memory is trimmed inwards and
    /// reservations are widened outwards to whole pages.
    pub fn new(memory: &[PaRange], reserved: &[PaRange]) -> Result<Self, Error> {
        let mut map = Self::default();
        for range in memory.iter().filter_map(whole_pages) {
            map.insert(range)?;
        }
        for range in reserved {
            map.reserve(range)?;
        }
        Ok(map)
    }

    /// Returns the free ranges, in order of address.
    pub fn ranges(&self) -> &[PaRange] {
        &self.ranges
    }

    /// Returns how many bytes are free in all.
    pub fn free_bytes(&self) -> u64 {
        self.ranges.iter().map(|range| range.size).sum()
    }

    /// Takes every page that `range` touches out of the map; pages not free stay so.
    pub fn reserve(&mut self, range: &PaRange) -> Result<(), Error> {
        let (start, end) = (range.start.page().0, page_up(range.end().0));
        let mut left = ArrayVec::new();
        for free in &self.ranges {
            let below = span(free.start.0, free.end().0.min(start));
            let above = span(free.start.0.max(end), free.end().0);
            for piece in [below, above].into_iter().flatten() {
                left.try_push(piece).map_err(|_| Error::TooManyRanges)?;
            }
        }
        self.ranges = left;
        Ok(())
    }

    /// Takes `size` bytes, rounded up to pages, that start on a multiple of `align`, a power
    /// of two; from the smallest free range that has room.
    pub fn allocate(&mut self, size: u64, align: u64) -> Option<PaRange> {
        if size == 0 || !align.is_power_of_two() {
            return None;
        }
        let size = size.checked_next_multiple_of(PAGE_SIZE)?;
        let taken = self.smallest_fit(size, align.max(PAGE_SIZE))?;
        self.reserve(&taken).ok()?;
        Some(taken)
    }

    /// Takes RAM for a guest: `size` bytes, rounded up to [`GUEST_GRANULE`], as one range if
    /// possible, else as at most `max_ranges` (itself at most [`MAX_GUEST_RANGES`]).
    ///
    /// Every range starts on a multiple of [`GUEST_GRANULE`] and is one in size. On `None`
    /// nothing was taken.
    pub fn allocate_guest(&mut self, size: u64, max_ranges: usize) -> Option<GuestRam> {
        let size = size.checked_next_multiple_of(GUEST_GRANULE)?;
        if size == 0 || max_ranges == 0 {
            return None;
        }
        let whole = (size >= LARGE_BLOCK)
            .then(|| self.allocate(size, LARGE_BLOCK))
            .flatten();
        if let Some(range) = whole.or_else(|| self.allocate(size, GUEST_GRANULE)) {
            return Some(GuestRam::from_iter([range]));
        }
        let mut trial = self.clone();
        let pieces = trial.gather(size, max_ranges.min(MAX_GUEST_RANGES))?;
        *self = trial;
        Some(pieces)
    }

    /// Gives back a range that was allocated or reserved.
    pub fn release(&mut self, range: PaRange) -> Result<(), Error> {
        let aligned = range.start.is_aligned(PAGE_SIZE) && range.size.is_multiple_of(PAGE_SIZE);
        let free = self.ranges.iter().any(|free| free.overlaps(&range));
        if !aligned || free || range.start == Pa(0) {
            return Err(Error::NotAllocated(range));
        }
        self.insert(range)
    }

    /// Adds page-aligned `range`, merged with the ranges that it overlaps or touches.
    fn insert(&mut self, range: PaRange) -> Result<(), Error> {
        let (mut start, mut end) = (range.start.0, range.end().0);
        self.ranges.retain(|free| {
            let apart = free.end().0 < start || end < free.start.0;
            if !apart {
                start = start.min(free.start.0);
                end = end.max(free.end().0);
            }
            apart
        });
        let Some(merged) = span(start, end) else {
            return Ok(());
        };
        let at = self
            .ranges
            .partition_point(|free| free.start < merged.start);
        self.ranges
            .try_insert(at, merged)
            .map_err(|_| Error::TooManyRanges)
    }

    /// Finds where `size` bytes aligned to `align` fit into the smallest free range.
    fn smallest_fit(&self, size: u64, align: u64) -> Option<PaRange> {
        let fitting = self.ranges.iter().filter_map(|free| {
            let start = free.start.0.checked_next_multiple_of(align)?;
            let place = PaRange::new(Pa(start), size)?;
            free.contains(&place).then_some((free.size, place))
        });
        fitting
            .min_by_key(|(room, _)| *room)
            .map(|(_, place)| place)
    }

    /// Takes `size` bytes from the largest ranges first, so that they are as few as can be.
    fn gather(&mut self, size: u64, max_ranges: usize) -> Option<GuestRam> {
        let mut pieces = GuestRam::new();
        let mut missing = size;
        while missing > 0 && pieces.len() < max_ranges {
            let piece = match self.allocate(missing, GUEST_GRANULE) {
                Some(rest) => rest,
                None => self.take_largest()?,
            };
            missing -= piece.size;
            pieces.push(piece);
        }
        (missing == 0).then_some(pieces)
    }

    /// Takes the largest run of whole granules.
    fn take_largest(&mut self) -> Option<PaRange> {
        let granules = self.ranges.iter().filter_map(|free| {
            let start = free.start.0.checked_next_multiple_of(GUEST_GRANULE)?;
            span(start, free.end().0 & !(GUEST_GRANULE - 1))
        });
        let largest = granules.max_by_key(|range| range.size)?;
        self.reserve(&largest).ok()?;
        Some(largest)
    }
}

/// Returns the range from `start` up to `end`, unless that is empty.
fn span(start: u64, end: u64) -> Option<PaRange> {
    PaRange::new(Pa(start), end.checked_sub(start)?)
}

/// Returns `end` rounded up to a page, or down at the very top of the address space.
fn page_up(end: u64) -> u64 {
    end.checked_next_multiple_of(PAGE_SIZE).unwrap_or(u64::MAX)
}

/// Returns the whole pages inside `range`, page 0 left out.
fn whole_pages(range: &PaRange) -> Option<PaRange> {
    let start = range
        .start
        .0
        .checked_next_multiple_of(PAGE_SIZE)?
        .max(PAGE_SIZE);
    span(start, range.end().page().0)
}
