// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the first core does once: from the device tree in x0 to guests that are ready to run.

mod error;

use addr::{PAGE_SIZE, Pa, PaRange};
use alloc::boxed::Box;
use arrayvec::ArrayVec;
use board::{Board, Cpu};
use boot::{
    Layout, early,
    stage::{POST_CODE, Stage, reached},
};
use log::info;
use manifest::{Guest, MEMBER, Manifest, archive::Archive};
use physmem::{FreeMap, Wanted};
use platform::{Conduit, flattened};

use crate::arch::{
    firmware, guest,
    mmu::{Kind, Tables},
    timer,
};
use crate::vm::{
    self,
    create::{self, Resources},
    devices::Source,
    lifecycle,
};
use crate::{console, heap, iommu, irq, monitor, scheduler, smp, tee};

pub use error::SetupError;

/// Heap for tables and devices of the guests; what OP-TEE's mediator needs comes on top.
const HEAP: u64 = 256 << 10;

/// Returns the device tree at `at`, if its header says that it is one.
///
/// # Safety
/// If `at` is not 0, memory from there on is mapped as far as the header says, and stays as it is.
pub unsafe fn tree_at(at: Pa) -> Option<&'static [u8]> {
    if at.0 == 0 || !at.is_aligned(8) {
        return None;
    }
    // SAFETY: the caller's promise for the first bytes, then for what they say.
    unsafe {
        let size = flattened::total_size(core::slice::from_raw_parts(at.0 as *const u8, 8))?;
        Some(core::slice::from_raw_parts(at.0 as *const u8, size))
    }
}

/// Makes the guests ready; their first vCPUs wait for their cores.
///
/// Functions that this calls are not inlined: what they take of the stack is free again when guests are made, which takes
/// most of it.
///
/// # Safety
/// A device tree of `tree_size` bytes is mapped at `tree` and stays as it is, if that is not 0.
pub unsafe fn run(tree: Pa, tree_size: usize, entry_ticks: u64) -> Result<(), SetupError> {
    if tree_size == 0 {
        return Err(SetupError::NoTree(tree));
    }
    // SAFETY: the caller's promise.
    let blob = unsafe { core::slice::from_raw_parts(tree.0 as *const u8, tree_size) };
    let tables = own_tables(tree, blob)?;
    info!("version {}", env!("CARGO_PKG_VERSION"));
    let mut board = Board::from_tree(blob, tree)?;
    use_firmware(&board)?;
    reached(Stage::Board);
    let mut memory = map_board(&board, tables)?;
    let smmus = iommu::close(&board, tables)?;
    let free_at_first = memory.free_bytes();
    add_heap(&mut memory, HEAP)?;
    reached(Stage::Memory);
    // SAFETY: `map_board` has just mapped the GIC.
    unsafe { irq::init(&mut board) };
    if !smp::init_core(0) {
        return Err(SetupError::Redistributor);
    }
    reached(Stage::Interrupts);
    let bundle = bundle(&board, tables)?;
    let manifest = manifest(&bundle)?;
    add_guests_heap(&mut memory, manifest, !board.smmus.is_empty())?;
    reached(Stage::Manifest);
    let cores = smp::start_all(&board, tables);
    reached(Stage::Cores);
    info!(
        "{}: {} MiB of RAM, {} cores, GICv{}",
        board.model,
        board.memory.iter().map(|range| range.size).sum::<u64>() >> 20,
        cores.iter().flatten().count(),
        if matches!(board.gic, board::Gic::V2(_)) {
            2
        } else {
            3
        }
    );
    let streams = stream_bits(&board, blob, manifest);
    iommu::init(&board, &smmus, &streams, &mut memory);
    let optee = tee::probe(&board);
    reached(Stage::Tee);
    let resources = Resources {
        board: &board,
        memory: &mut memory,
        bundle: &bundle,
        cores: &cores,
        optee,
        devices: Source {
            board: &board,
            tree: blob,
            given: board::AssignedDevices::default(),
            tables,
        },
        entered: entry_ticks,
    };
    let housekeeping =
        create::all(manifest, resources).map_err(|(name, error)| SetupError::Guest(name, error))?;
    report_guests();
    reached(Stage::Guests);
    let guests = vm::all().iter().map(|vm| vm.ram.size()).sum::<u64>();
    let layout = Layout::get();
    let own = layout.end - layout.start + PAGE_SIZE + free_at_first - memory.free_bytes() - guests;
    start_guests(entry_ticks, own);
    let interrupts = board
        .console
        .is_some_and(|console| console.interrupt.is_some());
    irq::enable_shared(housekeeping, &board);
    console::start(housekeeping, interrupts, irq::kick, monitor::TYPIST);
    heap::expect_users(cores.iter().flatten().count());
    smp::release_all();
    reached(Stage::Running);
    Ok(())
}

/// Takes from the tree what the firmware does for us, and what it left undone.
#[inline(never)]
fn use_firmware(board: &Board) -> Result<(), SetupError> {
    if let Some(psci) = board.psci.filter(|psci| psci.conduit == Conduit::Smc) {
        firmware::set_present(&psci);
    }
    if board.keeps_mpam {
        guest::skip_mpam();
    }
    let said = board.timer.frequency.filter(|&hz| hz != 0);
    if said.is_some() {
        timer::tell_guests();
    }
    timer::set_frequency(said.unwrap_or_else(timer::own_frequency));
    if timer::frequency() == 0 {
        return Err(SetupError::Frequency);
    }
    Ok(())
}

/// Returns the bytes of heap for what grows with what a guest may use.
fn heap_needed(guest: &Guest<'_>, has_smmus: bool) -> u64 {
    tee::heap_needed(guest)
        + create::heap_needed(guest, has_smmus)
        + scheduler::heap_needed(guest.vcpus as usize)
        + console::HEAP_PER_GUEST
}

/// Moves onto EL2's own tables, which map the image, the tree and the console.
#[inline(never)]
fn own_tables(tree: Pa, blob: &[u8]) -> Result<&'static mut Tables, SetupError> {
    let tables = Box::leak(Box::new(Tables::of_image(&Layout::get())));
    if let Some(range) = PaRange::new(tree, blob.len() as u64) {
        tables.map(range, Kind::Constant)?;
    }
    if let Some(registers) = early::registers() {
        tables.map(registers, Kind::Device)?;
    }
    let found = board::console(blob);
    if let Some(console) = found {
        tables.map(console::registers(&console), Kind::Device)?;
    }
    tables.set_live();
    // SAFETY: all that runs now lies in the image, and the tables live for ever.
    unsafe { tables.registers().switch() };
    reached(Stage::OwnTables);
    if let Some(console) = found {
        reached(Stage::Console);
        // SAFETY: the tree says that it is a UART; it is mapped as a device above.
        unsafe { console::set_uart(&console) };
    }
    b"\r\n".iter().for_each(|&byte| early::put(byte));
    Ok(tables)
}

/// Maps all free memory and the GIC, and gives the heap what the tables for it take: how much that is depends on the
/// tree, and the image's own heap does not.
#[inline(never)]
fn map_board(board: &Board, tables: &mut Tables) -> Result<FreeMap, SetupError> {
    let layout = Layout::get();
    let mut reserved: ArrayVec<PaRange, { board::MAX_RESERVED + 2 }> =
        board.reserved.iter().copied().collect();
    reserved.extend(PaRange::new(Pa(layout.start), layout.end - layout.start));
    reserved.extend(PaRange::new(Pa(layout.start + POST_CODE), PAGE_SIZE));
    // GICV, too, which guests map: it must not be memory.
    let devices: ArrayVec<_, { board::MAX_GIC_FRAMES + board::MAX_SMMUS }> =
        board.frames().collect();
    let pages = board.cpus.iter().filter_map(Cpu::release_page);
    let others: ArrayVec<_, { board::MAX_CPUS + 1 }> =
        board.bundle.into_iter().chain(pages).collect();
    let plan = physmem::plan(&Wanted {
        memory: &board.memory,
        reserved: &reserved,
        devices: &devices,
        others: &others,
        end: Tables::end(),
    })?;
    tables.map(plan.tables, Kind::Ram)?;
    // SAFETY: free RAM, mapped, and taken out of the free map.
    unsafe { heap::add(plan.tables) };
    for &range in plan.free.ranges() {
        tables.map(range, Kind::Ram)?;
    }
    for frame in board.gic.mapped_frames() {
        tables.map(frame, Kind::Device)?;
    }
    Ok(plan.free)
}

/// Gives the heap what the guests take, all of it: nothing is left to fail later.
#[inline(never)]
fn add_guests_heap(
    memory: &mut FreeMap,
    manifest: &Manifest<'static>,
    has_smmus: bool,
) -> Result<(), SetupError> {
    let free = memory.free_bytes();
    let each = || {
        manifest
            .guests()
            .iter()
            .map(|guest| (heap_needed(guest, has_smmus), guest.name))
    };
    let (takes, name) = each().max().unwrap_or_default();
    add_heap(memory, each().map(|(needed, _)| needed).sum()).map_err(|error| match error {
        SetupError::Heap(needed) => SetupError::GuestsHeap {
            needed,
            free,
            name,
            takes,
        },
        other => other,
    })
}

/// Gives the heap `size` bytes of free memory, which is mapped.
///
/// One block of a power of two in size and alignment: from it a buddy allocator can serve any
/// sequence of requests that fits, whatever their order.
#[inline(never)]
fn add_heap(memory: &mut FreeMap, size: u64) -> Result<(), SetupError> {
    if size > 0 {
        let size = size.next_power_of_two();
        let heap = memory.allocate(size, size).ok_or(SetupError::Heap(size))?;
        // SAFETY: free RAM, mapped, and taken out of the free map.
        unsafe { heap::add(heap) };
    }
    Ok(())
}

#[inline(never)]
fn bundle(board: &Board, tables: &mut Tables) -> Result<Archive<'static>, SetupError> {
    let range = board.bundle.ok_or(SetupError::NoBundle)?;
    tables.map(range, Kind::Constant)?;
    // SAFETY: mapped read-only above, and reserved: nothing writes it any more.
    let bytes =
        unsafe { core::slice::from_raw_parts(range.start.0 as *const u8, range.size as usize) };
    Ok(Archive::new(bytes)?)
}

#[inline(never)]
fn manifest(bundle: &Archive<'static>) -> Result<&'static Manifest<'static>, SetupError> {
    let manifest = bundle.find(MEMBER).ok_or(SetupError::NoManifest)?;
    Ok(Box::leak(Box::new(Manifest::parse(manifest)?)))
}

/// Returns for each SMMU the bits of the largest stream id of a device that some guest is to have, if there is one.
#[inline(never)]
fn stream_bits(
    board: &Board,
    blob: &[u8],
    manifest: &Manifest<'_>,
) -> [Option<u32>; board::MAX_SMMUS] {
    let mut most = [None; board::MAX_SMMUS];
    if board.smmus.is_empty() {
        return most;
    }
    let names = manifest
        .guests()
        .iter()
        .flat_map(|guest| guest.devices.iter());
    // What is wrong with a device is told when a guest gets it.
    for device in names.filter_map(|name| board.device(blob, name).ok()) {
        for streams in &device.streams {
            let bits = streams.end().next_power_of_two().ilog2();
            let most = &mut most[streams.smmu];
            *most = (*most).max(Some(bits));
        }
    }
    most
}

#[inline(never)]
fn report_guests() {
    for vm in vm::all() {
        console::add_guest(vm.id.0, &vm.name);
        info!(
            "guest {}: {} vCPUs, {} MiB of RAM at {}, {}",
            vm.name,
            vm.vcpus.len(),
            vm.ram.size() >> 20,
            vm.ram.regions()[0].pa,
            if vm.has_tee() { "OP-TEE" } else { "no OP-TEE" }
        );
    }
}

/// Lets the guests go, each as soon as its first vCPU's core has prepared it; `own` is the bytes of RAM that EL2 keeps
/// for itself.
#[inline(never)]
fn start_guests(entry_ticks: u64, own: u64) {
    vm::all().iter().for_each(lifecycle::start_first);
    let (used, total) = heap::usage();
    info!(
        "EL2 keeps {} KiB of RAM ({} of {} KiB of heap in use); {} ticks from entry",
        own >> 10,
        used >> 10,
        total >> 10,
        timer::now() - entry_ticks,
    );
    monitor::start();
}
