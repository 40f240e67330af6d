// SPDX-License-Identifier: MIT OR Apache-2.0

//! EL2's heap: used while booting and when guests are created, never once all cores serve them.

use core::alloc::{GlobalAlloc, Layout};
use core::ptr::{NonNull, null_mut};
use core::sync::atomic::{AtomicUsize, Ordering};

use addr::PaRange;
use buddy_system_allocator::Heap;
use spin::Mutex;

/// Bytes of the heap inside the image, for the tables that boot needs before it has any of the board's
/// memory: a root, three for the image, and at most six for each of the device tree, the console, and the
/// first piece of memory, wherever those lie.
pub const BOOT_HEAP: usize = 128 * 1024;

#[repr(C, align(4096))]
struct BootHeap([u8; BOOT_HEAP]);

static mut BOOT_MEMORY: BootHeap = BootHeap([0; BOOT_HEAP]);

/// Cores that may still need some of it; while EL2 boots, more than there are.
///
/// Protocol: this and `LATE` are counts; no other memory is read by what they say.
static USERS: AtomicUsize = AtomicUsize::new(usize::MAX);
/// Allocations since there is none.
static LATE: AtomicUsize = AtomicUsize::new(0);

struct LockedHeap(Mutex<Heap<24>>);

#[global_allocator]
static HEAP: LockedHeap = LockedHeap(Mutex::new(Heap::new()));

// SAFETY: the buddy allocator hands out disjoint blocks of memory that only it owns.
unsafe impl GlobalAlloc for LockedHeap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if USERS.load(Ordering::Relaxed) == 0 {
            LATE.fetch_add(1, Ordering::Relaxed);
        }
        self.0
            .lock()
            .alloc(layout)
            .map_or(null_mut(), NonNull::as_ptr)
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if let Some(block) = NonNull::new(block) {
            // SAFETY: the caller's promise: `alloc` gave this block for this layout.
            unsafe { self.0.lock().dealloc(block, layout) }
        }
    }
}

/// Gives the heap its first memory, once, at boot.
pub fn init() {
    let start = &raw mut BOOT_MEMORY as usize;
    // SAFETY: called once; nothing else names this memory.
    unsafe { HEAP.0.lock().init(start, BOOT_HEAP) }
}

/// Gives the heap more memory.
///
/// # Safety
/// The range is mapped RAM that nobody else uses.
pub unsafe fn add(range: PaRange) {
    // SAFETY: the caller's promise.
    unsafe {
        HEAP.0
            .lock()
            .add_to_heap(range.start.0 as usize, range.end().0 as usize)
    }
}

/// Returns the bytes in use, and bytes in all.
pub fn usage() -> (usize, usize) {
    let heap = HEAP.0.lock();
    (heap.stats_alloc_actual(), heap.stats_total_bytes())
}

/// Notes that EL2 has booted: this many cores will each allocate what they serve guests with, and then [`leave`].
pub fn expect_users(cores: usize) {
    USERS.store(cores, Ordering::Relaxed);
}

/// Notes that this core needs no more of the heap. Once no core does, allocations are counted.
pub fn leave() {
    USERS.fetch_sub(1, Ordering::Relaxed);
}

/// Returns how often the heap was asked for more after that: a bug of ours.
pub fn late_allocations() -> usize {
    LATE.load(Ordering::Relaxed)
}
