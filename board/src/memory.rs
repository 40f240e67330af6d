// SPDX-License-Identifier: MIT OR Apache-2.0

//! RAM and what of it is taken.

use crate::tree::{NodeContext, Tree};
use crate::{BoardError, fit};
use addr::{Pa, PaRange};
use arrayvec::ArrayVec;
use core::ops::ControlFlow;

/// Most ranges of RAM.
pub const MAX_MEMORY: usize = 16;
/// Most reserved ranges that neither touch nor overlap.
pub const MAX_RESERVED: usize = 48;

/// Guests are given memory in pieces of this size.
const GRANULE: u64 = 2 << 20;

pub(crate) type Reserved = ArrayVec<PaRange, MAX_RESERVED>;

/// Returns RAM of the normal world: specification 3.4. Adds memory of the secure world alone to `reserved`: it may lie
/// inside other memory.
pub(crate) fn memory(
    tree: &Tree,
    reserved: &mut Reserved,
) -> Result<ArrayVec<PaRange, MAX_MEMORY>, BoardError> {
    let mut memory = ArrayVec::new();
    for place in tree.root().children() {
        let place = place?;
        if !is_memory(&place) {
            continue;
        }
        if place.is_enabled() {
            for range in place.memory() {
                fit(&mut memory, range?, "memory ranges")?;
            }
        } else if place.is_secure() {
            take(reserved, &place)?;
        }
    }
    if memory.is_empty() {
        Err(BoardError::NoMemory)
    } else {
        Ok(memory)
    }
}

/// Returns what is taken: `own` of ours, the memory reservation block (5.3) and /reserved-memory (3.5). A reservation
/// that is disabled for the normal world is respected all the same.
pub(crate) fn reserved(tree: &Tree, own: [Option<PaRange>; 2]) -> Result<Reserved, BoardError> {
    let mut reserved = Reserved::new();
    for range in own.into_iter().flatten().chain(tree.reservations()) {
        reserve(&mut reserved, range)?;
    }
    if let Some(parent) = tree.find("/reserved-memory") {
        for place in parent.children() {
            take(&mut reserved, &place?)?;
        }
    }
    Ok(reserved)
}

fn take(reserved: &mut Reserved, place: &NodeContext) -> Result<(), BoardError> {
    for range in place.memory() {
        reserve(reserved, range?)?;
    }
    Ok(())
}

/// Adds what devices have of RAM: registers, where a memory node's range goes over them, framebuffers, and memory that they
/// share with the CPUs. In whole granules, of which neighbors join: such devices can be many.
///
/// Nothing has all of RAM: what seems so is a bus or a memory controller.
pub(crate) fn reserve_devices(
    tree: &Tree,
    memory: &[PaRange],
    reserved: &mut Reserved,
) -> Result<(), BoardError> {
    let mut outcome = Ok(());
    tree.each_of_all(&mut |place| {
        if !is_memory(place) {
            let mut registers = place.reg().map_while(Result::ok);
            outcome = registers.try_for_each(|range| reserve_granules(&range, memory, reserved));
        }
        match outcome {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        }
    })?;
    outcome
}

fn reserve_granules(
    range: &PaRange,
    memory: &[PaRange],
    reserved: &mut Reserved,
) -> Result<(), BoardError> {
    if reserved.iter().any(|known| known.contains(range)) {
        return Ok(());
    }
    let inside = |ram: &&PaRange| ram.overlaps(range) && !range.contains(ram);
    let mut pieces = memory.iter().filter(inside);
    pieces.try_for_each(|ram| match granules(range, ram) {
        Some(piece) => reserve(reserved, piece),
        None => Ok(()),
    })
}

/// Returns the granules of `ram` that `range` lies in.
fn granules(range: &PaRange, ram: &PaRange) -> Option<PaRange> {
    let start = (range.start.0 & !(GRANULE - 1)).max(ram.start.0);
    let end = range.end().0.checked_next_multiple_of(GRANULE);
    let end = end.unwrap_or(u64::MAX).min(ram.end().0);
    PaRange::new(Pa(start), end.checked_sub(start)?)
}

/// Adds a reservation, joined with those that it touches or overlaps: what counts is how many are apart.
pub(crate) fn reserve(reserved: &mut Reserved, range: PaRange) -> Result<(), BoardError> {
    let (mut start, mut end) = (range.start, range.end());
    reserved.retain(|known| {
        let apart = known.end() < start || end < known.start;
        if !apart {
            start = start.min(known.start);
            end = end.max(known.end());
        }
        apart
    });
    let joined = PaRange::new(start, end.0 - start.0).unwrap_or(range);
    fit(reserved, joined, "reservations")
}

fn is_memory(place: &NodeContext) -> bool {
    place.string("device_type") == Some("memory")
}

/// Returns /chosen's `linux,initrd-start` up to `linux,initrd-end`: none, if it has neither.
pub(crate) fn bundle(chosen: Option<&NodeContext>) -> Result<Option<PaRange>, BoardError> {
    let Some(chosen) = chosen else {
        return Ok(None);
    };
    let bound = |name| {
        chosen
            .property(name)
            .map(|_| chosen.number(name).ok_or(name))
            .transpose()
    };
    let malformed = |name| BoardError::property("chosen", name);
    let start = bound("linux,initrd-start").map_err(malformed)?;
    let end = bound("linux,initrd-end").map_err(malformed)?;
    let Some((start, end)) = start.zip(end) else {
        return Ok(None);
    };
    let range = end
        .checked_sub(start)
        .and_then(|size| PaRange::new(Pa(start), size));
    range.map(Some).ok_or(malformed("linux,initrd-end"))
}
