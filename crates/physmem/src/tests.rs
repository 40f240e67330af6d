// SPDX-License-Identifier: MIT OR Apache-2.0

//! Properties are checked against a page-by-page model of the same memory.
use super::*;
extern crate std;
use aarch64_paging::Mapping;
use aarch64_paging::descriptor::{El23Attributes as Attr, PhysicalAddress};
use aarch64_paging::idmap::IdTranslation;
use aarch64_paging::paging::{Constraints, El2, MemoryRegion};
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::vec::Vec;

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

fn range(start: u64, size: u64) -> PaRange {
    PaRange::new(Pa(start), size).unwrap()
}

#[test]
fn overlapping_and_touching_memory_is_one_range() {
    let memory = [
        range(0x3000, 0x1000),
        range(0x1000, 0x2000),
        range(0x2800, 0x1000),
    ];
    let map = FreeMap::new(&memory, &[]).unwrap();
    assert_eq!(map.ranges(), [range(0x1000, 0x3000)]);
}

#[test]
fn ragged_ends_are_trimmed_and_reservations_widened() {
    let map = FreeMap::new(&[range(0x1800, 0x6900)], &[range(0x3fff, 2)]).unwrap();
    assert_eq!(map.ranges(), [range(0x2000, 0x1000), range(0x5000, 0x3000)]);
}

#[test]
fn page_zero_is_never_free() {
    let mut map = FreeMap::new(&[range(0, 0x3000)], &[]).unwrap();
    assert_eq!(map.ranges(), [range(0x1000, 0x2000)]);
    let page_zero = range(0, 0x1000);
    assert_eq!(map.release(page_zero), Err(Error::NotAllocated(page_zero)));
}

#[test]
fn smallest_range_with_room_is_used() {
    let mut map = FreeMap::new(
        &[range(0x10_0000, 0x10_0000), range(0x40_0000, 0x2000)],
        &[],
    )
    .unwrap();
    assert_eq!(map.allocate(0x1001, 1), Some(range(0x40_0000, 0x2000)));
    assert_eq!(map.allocate(0x1000, 0x4000), Some(range(0x10_0000, 0x1000)));
    assert_eq!(map.allocate(0x1000, 3), None);
    assert_eq!(map.allocate(0, 1), None);
    assert_eq!(map.allocate(u64::MAX, 1), None);
}

#[test]
fn a_guest_of_a_gibibyte_starts_on_one() {
    let memory = [range(GIB, 2 * GIB)];
    let mut map = FreeMap::new(&memory, &[range(0x6000_0000, 0x10_0000)]).unwrap();
    let large = map.allocate_guest(GIB, 4).unwrap();
    assert_eq!(large[..], [range(0x8000_0000, GIB)]);
    let small = map.allocate_guest(500 * MIB, 1).unwrap();
    assert_eq!(small[..], [range(0x6020_0000, 500 * MIB)]);
}

#[test]
fn a_large_guest_without_an_aligned_gibibyte_still_fits() {
    let mut map = FreeMap::new(&[range(GIB + 2 * MIB, GIB + 4 * MIB)], &[]).unwrap();
    assert_eq!(
        map.allocate_guest(GIB, 1).unwrap()[..],
        [range(GIB + 2 * MIB, GIB)]
    );
}

#[test]
fn a_guest_is_split_only_when_no_range_holds_it() {
    let memory = [
        range(16 * MIB, 10 * MIB),
        range(64 * MIB, 6 * MIB),
        range(128 * MIB, 5 * MIB),
    ];
    let mut map = FreeMap::new(&memory, &[]).unwrap();
    let before = map.clone();
    assert_eq!(map.allocate_guest(14 * MIB, 1), None);
    assert_eq!(
        map.allocate_guest(22 * MIB, 4),
        None,
        "20 MiB of whole granules exist"
    );
    assert_eq!(map, before, "a failed allocation takes nothing");
    let pieces = map.allocate_guest(14 * MIB, 4).unwrap();
    assert_eq!(
        pieces[..],
        [range(16 * MIB, 10 * MIB), range(128 * MIB, 4 * MIB)]
    );
    for piece in pieces {
        map.release(piece).unwrap();
    }
    assert_eq!(map, before);
}

#[test]
fn releasing_twice_or_off_a_page_is_refused() {
    let mut map = FreeMap::new(&[range(0x1000, 0x4000)], &[]).unwrap();
    let taken = map.allocate(0x1000, 1).unwrap();
    map.release(taken).unwrap();
    assert_eq!(map.release(taken), Err(Error::NotAllocated(taken)));
    let ragged = range(0x9001, 0x1000);
    assert_eq!(map.release(ragged), Err(Error::NotAllocated(ragged)));
}

#[test]
fn the_top_of_the_address_space_does_not_wrap() {
    let top = range(u64::MAX - 0x2fff, 0x2fff);
    let mut map = FreeMap::new(&[top], &[range(u64::MAX - 1, 1)]).unwrap();
    assert_eq!(map.ranges(), [range(u64::MAX - 0x2fff, 0x2000)]);
    assert_eq!(map.allocate(0x1000, 1 << 63), None);
    assert_eq!(map.allocate_guest(u64::MAX, 4), None);
}

#[test]
fn too_many_pieces_are_an_error() {
    let memory: Vec<_> = (1..=MAX_RANGES as u64 + 1)
        .map(|n| range(n * 0x2000, 0x1000))
        .collect();
    assert_eq!(FreeMap::new(&memory, &[]), Err(Error::TooManyRanges));
    let holes: Vec<_> = (1..=MAX_RANGES as u64)
        .map(|n| range(n * 0x2000, 0x1000))
        .collect();
    assert_eq!(
        FreeMap::new(&[range(0x1000, GIB)], &holes),
        Err(Error::TooManyRanges)
    );
}

/// Returns the pages of a small memory, one number each.
fn pages(ranges: &[PaRange]) -> BTreeSet<u64> {
    ranges
        .iter()
        .flat_map(|r| r.start.0 / PAGE_SIZE..r.end().0 / PAGE_SIZE)
        .collect()
}

fn well_formed(map: &FreeMap) -> bool {
    let aligned = |r: &PaRange| r.start.is_aligned(PAGE_SIZE) && r.size.is_multiple_of(PAGE_SIZE);
    map.ranges().iter().all(|r| aligned(r) && r.start != Pa(0))
        && map.ranges().windows(2).all(|w| w[0].end() < w[1].start)
}

fn small_range() -> impl Strategy<Value = PaRange> {
    (0u64..0x20_0000, 1u64..0x10_0000).prop_map(|(start, size)| range(start, size))
}

fn ragged_pages(range: &PaRange) -> (BTreeSet<u64>, BTreeSet<u64>) {
    let inner = range.start.0.div_ceil(PAGE_SIZE)..range.end().0 / PAGE_SIZE;
    let outer = range.start.0 / PAGE_SIZE..range.end().0.div_ceil(PAGE_SIZE);
    (inner.collect(), outer.collect())
}

proptest! {
    #[test]
    fn a_map_is_memory_less_reservations(
        memory in prop::collection::vec(small_range(), 0..6),
        reserved in prop::collection::vec(small_range(), 0..6),
    ) {
        let map = FreeMap::new(&memory, &reserved).unwrap();
        let mut model: BTreeSet<u64> = BTreeSet::new();
        memory.iter().for_each(|r| model.extend(ragged_pages(r).0));
        model.remove(&0);
        for page in reserved.iter().flat_map(|r| ragged_pages(r).1) {
            model.remove(&page);
        }
        prop_assert_eq!(pages(map.ranges()), model);
        prop_assert!(well_formed(&map));
    }

    #[test]
    fn allocations_are_disjoint_aligned_and_come_back(
        memory in prop::collection::vec(small_range(), 1..6),
        wants in prop::collection::vec((1u64..0x10_0000, 0u32..22), 1..12),
    ) {
        let whole = FreeMap::new(&memory, &[]).unwrap();
        let mut map = whole.clone();
        let mut taken = Vec::new();
        for (size, shift) in wants {
            let before = map.clone();
            match map.allocate(size, 1 << shift) {
                Some(got) => {
                    prop_assert!(got.start.is_aligned(1 << shift) && got.size >= size);
                    prop_assert!(before.ranges().iter().any(|free| free.contains(&got)));
                    prop_assert!(!map.ranges().iter().any(|free| free.overlaps(&got)));
                    taken.push(got);
                }
                None => prop_assert_eq!(&map, &before),
            }
            prop_assert!(well_formed(&map));
        }
        for got in taken {
            map.release(got).unwrap();
        }
        prop_assert_eq!(map, whole);
    }

    #[test]
    fn guest_ram_has_the_size_asked_for(
        memory in prop::collection::vec((1u64..2000, 1u64..500), 1..8),
        granules in 1u64..1200,
        max in 0usize..6,
    ) {
        let memory: Vec<_> = memory.iter().map(|(at, n)| range(at * MIB, n * MIB)).collect();
        let whole = FreeMap::new(&memory, &[]).unwrap();
        let mut map = whole.clone();
        let size = granules * GUEST_GRANULE;
        match map.allocate_guest(size, max) {
            Some(ram) => {
                prop_assert!(ram.len() <= max.min(MAX_GUEST_RANGES));
                prop_assert_eq!(ram.iter().map(|r| r.size).sum::<u64>(), size);
                prop_assert!(ram.iter().all(|r| r.start.is_aligned(GUEST_GRANULE)));
                prop_assert!(ram.iter().all(|r| r.size.is_multiple_of(GUEST_GRANULE)));
                prop_assert_eq!(map.free_bytes(), whole.free_bytes() - size);
                ram.into_iter().for_each(|r| map.release(r).unwrap());
            }
            None => if max > 0 {
                let fits = |free: &PaRange| {
                    free.end().0.saturating_sub(free.start.0.next_multiple_of(GUEST_GRANULE)) >= size
                };
                prop_assert!(!whole.ranges().iter().any(fits));
            },
        }
        prop_assert_eq!(map, whole);
    }

    #[test]
    fn wild_ranges_never_panic(
        memory in prop::collection::vec((any::<u64>(), any::<u64>()), 0..8),
        reserved in prop::collection::vec((any::<u64>(), any::<u64>()), 0..8),
        size in any::<u64>(), align in any::<u64>(), max in any::<usize>(),
    ) {
        let real = |list: Vec<(u64, u64)>| -> Vec<_> {
            list.into_iter().filter_map(|(start, size)| PaRange::new(Pa(start), size)).collect()
        };
        if let Ok(mut map) = FreeMap::new(&real(memory), &real(reserved)) {
            map.allocate(size, align);
            map.allocate_guest(size, max);
            prop_assert!(well_formed(&map));
        }
    }
}

/// Counts the tables that EL2's own way of mapping makes of `ranges`.
fn tables_made(ranges: &[PaRange]) -> u64 {
    let mut mapping = Mapping::new(IdTranslation::new(), 0, El2);
    for range in ranges {
        let (start, end) = (range.start.0 as usize, range.end().0 as usize);
        mapping
            .map_range(
                &MemoryRegion::new(start, end),
                PhysicalAddress(range.start.page().0 as usize),
                Attr::VALID | Attr::ACCESSED | Attr::USER_RES1,
                Constraints::NO_CONTIGUOUS_HINT,
            )
            .unwrap();
    }
    // Each table has an entry that leads to no other.
    let mut tables = BTreeSet::new();
    let whole = MemoryRegion::new(0, 1 << 48);
    mapping
        .walk_range(&whole, &mut |entry, _, level| {
            if level > 0 {
                tables.insert((level, entry.start().0 >> [0, 39, 30, 21][level]));
            }
            Ok(())
        })
        .unwrap();
    tables.len() as u64
}

#[test]
fn each_unaligned_hole_takes_a_table() {
    let holes: Vec<_> = (0..40)
        .map(|n| range(0x7000_1000 + n * 4 * MIB, 0x1000))
        .collect();
    let map = FreeMap::new(&[range(GIB, 2 * GIB)], &holes).unwrap();
    let pages = table_pages(map.ranges().iter().copied());
    // One of level 1, one of level 2, and one of level 3 for each hole.
    assert_eq!(pages, 42);
    assert_eq!(pages, tables_made(map.ranges()));
}

#[test]
fn what_lies_beyond_48_bits_takes_no_table() {
    assert_eq!(table_pages([range(1 << 48, GIB)]), 0);
    assert_eq!(table_pages([range(u64::MAX - 1, 1)]), 0);
    assert_eq!(table_pages([range((1 << 48) - 4096, GIB)]), 3);
    assert_eq!(table_pages([range(0, u64::MAX)]), 512);
}

/// Ranges near the edges of blocks and tables.
fn ragged_ranges() -> impl Strategy<Value = Vec<PaRange>> {
    let edge = (0..4u64, 0..4u64, 0..3u64, 0..3u64)
        .prop_map(|(l1, l2, l3, page)| (l1 << 39) + (l2 << 30) + (l3 << 21) + page * 4096);
    proptest::collection::btree_set(edge, 2..12).prop_map(|edges| {
        let edges: Vec<u64> = edges.into_iter().collect();
        edges
            .chunks_exact(2)
            .filter(|pair| pair[1] - pair[0] < 3 << 39)
            .map(|pair| range(pair[0], pair[1] - pair[0]))
            .collect()
    })
}

proptest! {
    #[test]
    fn the_tables_for_memory_are_known_before_they_are_made(
        ranges in ragged_ranges(), seed in 0..1000usize,
    ) {
        let made = tables_made(&ranges);
        prop_assert_eq!(table_pages(ranges.iter().copied()), made);
        let mut mixed = ranges;
        let count = mixed.len().max(1);
        mixed.rotate_left(seed % count);
        prop_assert!(table_pages(mixed) >= made);
    }
}

/// RAM, a device's registers, and what may be wrong with them.
fn planned(memory: PaRange, device: PaRange) -> Result<Plan, PlanError> {
    plan(&Wanted {
        memory: &[memory],
        reserved: &[],
        devices: &[device],
        others: &[],
        end: 1 << 40,
    })
}

#[test]
fn plan_takes_the_tables_out_of_free_memory() {
    let plan = planned(range(1 << 30, 1 << 30), range(0x800_0000, 0x1_0000)).unwrap();
    assert_eq!(plan.tables.size % PAGE_SIZE, 0);
    assert!(
        plan.free
            .ranges()
            .iter()
            .all(|free| !free.overlaps(&plan.tables))
    );
    assert_eq!(plan.free.free_bytes() + plan.tables.size, 1 << 30);
}

#[test]
fn plan_refuses_registers_in_memory_and_what_is_beyond_reach() {
    let (ram, inside) = (range(1 << 30, 1 << 30), range(0x6000_0000, 0x1000));
    assert_eq!(planned(ram, inside), Err(PlanError::InMemory(inside)));
    let far = range(1 << 40, 0x1000);
    assert_eq!(planned(ram, far), Err(PlanError::Beyond(far)));
    let small = planned(range(1 << 30, 0x1000), range(0x800_0000, 0x1000));
    assert!(matches!(small, Err(PlanError::Tables(_))));
}
