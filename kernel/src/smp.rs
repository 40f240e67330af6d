//! The cores: starting them, and what each does for ever.

use core::sync::atomic::{AtomicBool, Ordering};

use board::{Board, Cpu, Enable};
use boot::{Layout, MAX_CORES, SecondaryStart};
use log::warn;

use crate::arch::{cache, cpu, firmware, guest, mmu, timer};
use crate::{irq, vm};

/// Set once the guests exist.
static READY: AtomicBool = AtomicBool::new(false);
/// Set by each core once its interrupts work.
static ONLINE: [AtomicBool; MAX_CORES] = [const { AtomicBool::new(false) }; MAX_CORES];

/// How long a core may take to come up, in seconds of the system counter.
const PATIENCE: u64 = 5;

/// Starts all other cores of the board. For each position in /cpus, the core's number if it runs.
pub fn start_all(board: &Board, tables: &mmu::Tables) -> [Option<usize>; board::MAX_CPUS] {
    let mut numbers = [None; board::MAX_CPUS];
    let mut next = 1;
    for (position, core) in board.cpus.iter().enumerate() {
        numbers[position] = if core.mpidr == cpu::mpidr() {
            Some(0)
        } else if next < MAX_CORES && start(core, next, tables) {
            next += 1;
            Some(next - 1)
        } else {
            None
        };
    }
    numbers
}

fn start(core: &Cpu, index: usize, tables: &mmu::Tables) -> bool {
    let registers = tables.registers();
    let start = SecondaryStart {
        stack_top: Layout::get().stack(index).1,
        ttbr0: registers.ttbr0,
        tcr: registers.tcr,
        mair: registers.mair,
        sctlr: registers.sctlr,
        context: index as u64,
    };
    let at = &raw const start as u64;
    cache::clean_invalidate(at, size_of::<SecondaryStart>() as u64);
    let asked = match core.enable {
        Enable::Psci => firmware::cpu_on(core.mpidr, boot::secondary_entry_address(), at).is_ok(),
        Enable::SpinTable(_) | Enable::Unknown => false,
    };
    let online = asked && wait_until(&ONLINE[index]);
    if !online {
        warn!("core {:#x} does not start: it stays unused", core.mpidr);
    }
    online
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
    let usable = irq::init_core(index);
    ONLINE[index].store(usable, Ordering::Release);
    usable
}

/// The life of a secondary core.
pub fn secondary(index: usize) -> ! {
    if !init_core(index) {
        cpu::park();
    }
    while !READY.load(Ordering::Acquire) {
        cpu::wait_for_interrupt();
        irq::service(None);
    }
    serve_core(index)
}

/// Lets the secondary cores look for their vCPUs.
pub fn release_all() {
    READY.store(true, Ordering::Release);
    (1..MAX_CORES)
        .filter(|&core| ONLINE[core].load(Ordering::Acquire))
        .for_each(irq::kick);
}

/// Runs the vCPU of this core, or nothing.
pub fn serve_core(index: usize) -> ! {
    if let Some((vm, vcpu)) = vm::assigned_to(index) {
        vm::vcpu::serve(vm, vcpu)
    }
    loop {
        cpu::wait_for_interrupt();
        irq::service(None);
    }
}
