// SPDX-License-Identifier: MIT OR Apache-2.0

//! teevisor's EL2 binary: the composition root.
//!
//! `boot` enters [`primary_main`] on one core. It moves onto EL2's own tables, reads the board from
//! the device tree, starts the other cores, builds the guests of the bundle's manifest, and then
//! each core serves the vCPUs that are fixed to it.
#![no_std]
#![no_main]

extern crate alloc;

mod arch;
mod console;
mod hardening;
mod heap;
mod interrupts;
mod iommu;
mod irq;
mod memory;
mod monitor;
mod scheduler;
mod setup;
mod smp;
mod tee;
mod trace;
mod trap;
mod vcpu_loop;
mod vm;

use core::panic::PanicInfo;
use core::sync::atomic::{AtomicBool, Ordering};

use addr::Pa;
use arch::{cpu, firmware};

/// Entered by `boot` at EL2 with the MMU on; `tree` is x0 of the boot protocol.
#[unsafe(no_mangle)]
extern "C" fn primary_main(tree: u64, tree_size: usize, entry_ticks: u64) -> ! {
    cpu::set_current(0);
    boot::stage::reached(boot::stage::Stage::Mmu);
    heap::init();
    console::init_log();
    // SAFETY: boot has mapped what it has found to be a tree; nobody writes it.
    match unsafe { setup::run(Pa(tree), tree_size, entry_ticks) } {
        Ok(()) => scheduler::serve(0),
        Err(error) => {
            log::error!("{error}");
            stop_board()
        }
    }
}

/// Entered by `boot` on a secondary core, on the final tables; `index` is the core's number.
#[unsafe(no_mangle)]
extern "C" fn secondary_main(index: u64) -> ! {
    cpu::set_current(index as usize);
    smp::secondary(index as usize)
}

/// Entered by `boot` at another exception level than EL2, or as [`boot::HOST_EXTENSIONS`] and
/// [`boot::MISPLACED`] say, with the MMU off.
#[unsafe(no_mangle)]
extern "C" fn cannot_start(why: u64, tree: u64) -> ! {
    // SAFETY: with the MMU off all memory is reachable.
    let found = unsafe { setup::tree_at(Pa(tree)) }.and_then(board::console);
    // SAFETY: the tree says that this is a UART, and nobody else runs.
    unsafe { console::write_bare(found.as_ref(), why) };
    cpu::park()
}

/// Powers the board off, or stops this core if the firmware can't.
fn stop_board() -> ! {
    console::flush();
    firmware::system_off();
    cpu::park()
}

/// Set by the first panic: what the second one is about may be what the first did.
///
/// Protocol: one core finds it clear. Nothing else is ordered by it.
static PANICKED: AtomicBool = AtomicBool::new(false);

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    let is_first = !PANICKED.swap(true, Ordering::Relaxed);
    if is_first {
        irq::halt_others();
    }
    console::last_words(format_args!("panic on core {}: {info}", cpu::current()));
    if is_first {
        // Where nobody is at EL3, in spite of the tree, this is the second.
        firmware::system_off();
    }
    cpu::park()
}
