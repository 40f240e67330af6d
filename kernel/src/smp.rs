// SPDX-License-Identifier: MIT OR Apache-2.0

//! The cores: starting them, and what each does for ever.

use core::sync::atomic::{AtomicBool, Ordering};

use addr::{Pa, PaRange};
use arrayvec::ArrayVec;
use board::{Board, Cpu, EnableMethod};
use boot::{Layout, MAX_CORES, SecondaryStart};
use log::warn;

use crate::arch::{cache, cpu, firmware, guest, mmu, timer};
use crate::{interrupts, irq, memory, scheduler};

/// Set once the guests exist.
static READY: AtomicBool = AtomicBool::new(false);
/// Set by each core once its interrupts work.
static ONLINE: [AtomicBool; MAX_CORES] = [const { AtomicBool::new(false) }; MAX_CORES];

/// How long a core may take to come up, in seconds of the system counter.
const PATIENCE: u64 = 5;

/// Pages of the board's spin tables, mapped.
type SpinTables = ArrayVec<PaRange, { board::MAX_CPUS }>;

/// Starts all other cores of the board. For each position in /cpus, the core's number if it runs.
pub fn start_all(board: &Board, tables: &mut mmu::Tables) -> [Option<usize>; board::MAX_CPUS] {
    let spin_tables = map_spin_tables(board, tables);
    let mut numbers = [None; board::MAX_CPUS];
    let mut next = 1;
    for (position, core) in board.cpus.iter().enumerate() {
        if core.mpidr == cpu::mpidr() {
            numbers[position] = Some(0);
        } else if next < MAX_CORES {
            numbers[position] = start(core, next, &spin_tables, tables).then_some(next);
            // A core that comes too late must not find its number taken.
            next += 1;
        }
    }
    numbers
}

/// Maps the pages with the cores' release addresses. The board reserves them, so that no other
/// mapping has them unless the tree contradicts itself: such a page is left out.
fn map_spin_tables(board: &Board, tables: &mut mmu::Tables) -> SpinTables {
    let mut mapped = SpinTables::new();
    for page in board.cpus.iter().filter_map(Cpu::release_page) {
        if !mapped.contains(&page) && tables.map(page, mmu::Kind::Ram).is_ok() {
            mapped.push(page);
        }
    }
    mapped
}

/// Lets a core that spins on the word at `release` go on at `entry` (Linux,
/// Documentation/arch/arm64/booting.rst). The word is mapped.
fn release_core(release: Pa, entry: u64) {
    memory::write_physical(release.0, &[entry]);
    cache::clean_invalidate(release.0, 8);
    cpu::send_event();
}

fn start(core: &Cpu, index: usize, spin_tables: &SpinTables, tables: &mmu::Tables) -> bool {
    let registers = tables.registers();
    let start = SecondaryStart {
        stack_top: Layout::get().stack(index).1,
        ttbr0: registers.ttbr0,
        tcr: registers.tcr,
        mair: registers.mair,
        sctlr: registers.sctlr,
        context: index as u64,
        mpidr: core.mpidr,
    };
    // SAFETY: this is the primary core, and each number is given once.
    let (at, size) = unsafe { boot::set_start(index, start) };
    cache::clean_invalidate(at, size);
    let asked = match core.enable {
        EnableMethod::Psci => {
            firmware::cpu_on(core.mpidr, boot::secondary_entry_address(), at).is_ok()
        }
        EnableMethod::SpinTable(release) if is_mapped(core, spin_tables) => {
            release_core(release, boot::spin_table_entry_address());
            true
        }
        EnableMethod::SpinTable(_) | EnableMethod::Unknown => false,
    };
    let online = asked && wait_until(&ONLINE[index]);
    if !online {
        warn!("core {:#x} does not start: it stays unused", core.mpidr);
    }
    online
}

fn is_mapped(core: &Cpu, spin_tables: &SpinTables) -> bool {
    core.release_page()
        .is_some_and(|page| spin_tables.contains(&page))
}

fn wait_until(flag: &AtomicBool) -> bool {
    let deadline = timer::now() + PATIENCE * timer::frequency();
    while !flag.load(Ordering::Acquire) {
        if timer::now() > deadline {
            return false;
        }
        core::hint::spin_loop();
    }
    true
}

/// Prepares this core, number `index`, for guests. False if its interrupts can't be used.
pub fn init_core(index: usize) -> bool {
    guest::init_core();
    timer::stop_all();
    let usable = irq::init_core(index);
    ONLINE[index].store(usable, Ordering::Release);
    usable
}

/// Returns the life of a secondary core.
pub fn secondary(index: usize) -> ! {
    if !init_core(index) {
        cpu::park();
    }
    while !READY.load(Ordering::Acquire) {
        cpu::wait_for_interrupt();
        interrupts::serve(None);
    }
    scheduler::serve(index)
}

/// Lets the secondary cores look for their vCPUs.
pub fn release_all() {
    READY.store(true, Ordering::Release);
    (1..MAX_CORES)
        .filter(|&core| ONLINE[core].load(Ordering::Acquire))
        .for_each(irq::kick);
}
