// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a controller takes of the heap, while it is made, too, is at most what it is counted with.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use platform::GicVersion;
use vgic::Vgic;

std::thread_local! {
    /// Bytes that this thread has taken and not given back, each block a power of two.
    static LIVE: Cell<i64> = const { Cell::new(0) };
    /// The most there were.
    static PEAK: Cell<i64> = const { Cell::new(0) };
}

struct Counting;

fn block(layout: Layout) -> i64 {
    layout.size().max(layout.align()).max(8).next_power_of_two() as i64
}

fn count(bytes: i64) {
    let now = LIVE.try_with(|live| {
        live.set(live.get() + bytes);
        live.get()
    });
    let _ = now.map(|now| PEAK.try_with(|peak| peak.set(peak.get().max(now))));
}

// SAFETY: the system's allocator does it all.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(block(layout));
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        count(-block(layout));
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// The most that making a controller takes at a time.
fn peak(version: GicVersion, vcpus: usize, intids: usize) -> usize {
    PEAK.set(LIVE.get());
    let before = LIVE.get();
    drop(Vgic::new(version, vcpus, intids, 4));
    (PEAK.get() - before) as usize
}

#[test]
fn a_controller_takes_no_more_of_the_heap_than_it_is_counted_with() {
    for version in [GicVersion::V2, GicVersion::V3] {
        for vcpus in 1..=8 {
            for intids in [64, 65, 128, 256, 511, 512, 988, 1020] {
                let peak = peak(version, vcpus, intids);
                let counted = Vgic::heap_bytes(vcpus, intids);
                assert!(
                    peak <= counted,
                    "{vcpus} vCPUs, {intids} INTIDs: {peak} > {counted}"
                );
                // Counted with much more, guests would be refused that there is room for.
                assert!(
                    counted <= peak * 9 / 4,
                    "{vcpus} vCPUs, {intids} INTIDs: {counted} for {peak}"
                );
            }
        }
    }
}

/// Where one SPI more or less doesn't make the block of the interrupts double.
#[test]
fn each_block_is_counted() {
    for (vcpus, intids) in [(1, 96), (2, 96), (4, 96), (8, 512), (8, 1020)] {
        let counted = Vgic::heap_bytes(vcpus, intids);
        assert_eq!(
            counted,
            peak(GicVersion::V3, vcpus, intids),
            "{vcpus} {intids}"
        );
    }
}
