// SPDX-License-Identifier: MIT OR Apache-2.0

//! The cores: starting them, and what each does for ever.

use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use addr::{Pa, PaRange};
use arrayvec::ArrayVec;
use board::{Board, Cpu, EnableMethod};
use boot::{Layout, MAX_CORES, SecondaryStart};
use log::warn;

use crate::arch::{
    cache, cpu, firmware,
    guest::{self, serror},
    mmu, timer,
};
use crate::{hardening, interrupts, irq, memory, scheduler};

/// Set once the guests exist.
///
/// Protocol (litmus/ready.litmus): the first core makes the guests; stores READY with Release; kicks (DSB, SGI). The
/// others take the kick (IAR, DSB); load READY with Acquire; look at the guests. Forbidden: the kick is taken and READY
/// not seen, after which the core would sleep for ever; READY is seen, and the guests are not. A core that comes up
/// too late to be kicked serves no vCPU.
static READY: AtomicBool = AtomicBool::new(false);
/// Set by each core once its interrupts work.
///
/// Protocol (litmus/publish.litmus): a core stores its place in the interrupt controller, then this with Release. The
/// first core loads this with Acquire, then routes and kicks. Forbidden: the core counts as up, and its place is not
/// seen.
///
/// Before that (litmus/start.litmus) the first core stores the other's `SecondaryStart` but for the MPIDR; cleans it; DSB;
/// stores the MPIDR; cleans it; DSB; stores the release word, cleans it, DSB, SEV; or asks the firmware. The other one,
/// its MMU off, loads the word, then the MPIDR and the rest: Device memory, which is not read ahead of the branch.
/// Forbidden: the core is released, and where it starts is not seen. The SEV is a kick: what it wakes the core for was
/// stored before the DSB. Where several cores wait for one word, the first SEV releases them all: each looks for its
/// MPIDR with every SEV, and once it is there, DSB, for the rest (litmus/turn.litmus).
static ONLINE: [AtomicBool; MAX_CORES] = [const { AtomicBool::new(false) }; MAX_CORES];

/// What a core says of itself before that.
///
/// Protocol: stored before `ONLINE`, or before `refuses`, which is a flag like it.
struct Said {
    pa_range: AtomicU64,
    frequency: AtomicU32,
    /// It can't run with what is on this board.
    refuses: AtomicBool,
}

static SAID: [Said; MAX_CORES] = [const {
    Said {
        pa_range: AtomicU64::new(0),
        frequency: AtomicU32::new(0),
        refuses: AtomicBool::new(false),
    }
}; MAX_CORES];

/// How long a core may take to come up, in seconds of the system counter.
const PATIENCE: u64 = 5;

/// Pages of the board's spin tables, mapped.
type SpinTables = ArrayVec<PaRange, { board::MAX_CPUS }>;

/// Starts all other cores of the board. For each position in /cpus, the core's number if it runs.
pub fn start_all(board: &Board, tables: &mut mmu::Tables) -> [Option<usize>; board::MAX_CPUS] {
    let spin_tables = map_spin_tables(board, tables);
    mmu::limit(mmu::own_pa_range());
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
    if timer::guests_frequency().is_none() {
        compare_frequencies(board, &numbers);
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
    let mut start = SecondaryStart {
        stack_top: Layout::get().stack(index).1,
        ttbr0: registers.ttbr0,
        tcr: registers.tcr,
        mair: registers.mair,
        sctlr: registers.sctlr,
        context: index as u64,
        mpidr: boot::NO_CORE,
    };
    publish(index, start);
    start.mpidr = core.mpidr;
    let at = publish(index, start);
    let asked = match core.enable {
        EnableMethod::Psci => firmware::cpu_on(core.mpidr, boot::secondary_entry_address(), at),
        EnableMethod::SpinTable(release) if is_mapped(core, spin_tables) => {
            release_core(release, boot::spin_table_entry_address());
            true
        }
        EnableMethod::SpinTable(_) | EnableMethod::Unknown => false,
    };
    if asked && wait_until(|| has_answered(index)) {
        return admit(core.mpidr, index);
    }
    warn!("core {:#x} does not start: it stays unused", core.mpidr);
    false
}

/// Lets core number `index` see where it starts. Where its affinity is among it, that may be all it waits for.
fn publish(index: usize, start: SecondaryStart) -> u64 {
    // SAFETY: this is the primary core, each number is given once, and the affinity comes last.
    let (at, size) = unsafe { boot::set_start(index, start) };
    cache::clean_invalidate(at, size);
    at
}

fn has_answered(index: usize) -> bool {
    ONLINE[index].load(Ordering::Acquire) || SAID[index].refuses.load(Ordering::Acquire)
}

/// Compares a core that has started with the first. False if it can't be used.
fn admit(mpidr: u64, index: usize) -> bool {
    let pa_range = SAID[index].pa_range.load(Ordering::Relaxed);
    if SAID[index].refuses.load(Ordering::Relaxed) {
        let bits = addr::pa_bits(pa_range);
        warn!(
            "core {mpidr:#x} addresses {bits} bits of memory, and the board has more: it stays unused"
        );
        return false;
    }
    mmu::limit(pa_range);
    true
}

/// Compares CNTFRQ_EL0 of the cores with the first's. Guests go by their trees where it differs.
fn compare_frequencies(board: &Board, numbers: &[Option<usize>]) {
    let first = timer::frequency();
    let others = board.cpus.iter().zip(numbers);
    for (mpidr, index) in others.filter_map(|(core, &index)| Some((core.mpidr, index?))) {
        let found = SAID[index].frequency.load(Ordering::Relaxed);
        if index > 0 && u64::from(found) != first {
            timer::tell_guests();
            warn!(
                "core {mpidr:#x}: CNTFRQ_EL0 is {found}, the first core's {first}, which guests' device trees now \
                 say: the firmware must set it on each core, or the tree's timer node have its clock-frequency"
            );
        }
    }
}

fn is_mapped(core: &Cpu, spin_tables: &SpinTables) -> bool {
    core.release_page()
        .is_some_and(|page| spin_tables.contains(&page))
}

fn wait_until(is_over: impl Fn() -> bool) -> bool {
    let deadline = timer::now() + PATIENCE * timer::frequency();
    while !is_over() {
        if timer::now() > deadline {
            return false;
        }
        cpu::relax();
    }
    true
}

/// Prepares this core, number `index`, for guests. False if its interrupts can't be used.
pub fn init_core(index: usize) -> bool {
    guest::init_core();
    if let Some(error) = serror::drain() {
        warn!(
            "core {:#x}: the firmware left an SError pending, ESR {:#x}: ignored",
            cpu::mpidr(),
            error.syndrome
        );
    }
    hardening::init_core();
    timer::stop_all();
    let usable = irq::init_core(index);
    ONLINE[index].store(usable, Ordering::Release);
    usable
}

/// Returns the life of a secondary core.
pub fn secondary(index: usize) -> ! {
    let said = &SAID[index];
    said.pa_range.store(mmu::own_pa_range(), Ordering::Relaxed);
    said.frequency
        .store(timer::own_frequency(), Ordering::Relaxed);
    if !mmu::reaches_all() {
        said.refuses.store(true, Ordering::Release);
        cpu::park();
    }
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
