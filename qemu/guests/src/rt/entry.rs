// SPDX-License-Identifier: MIT OR Apache-2.0

//! From entry.s into Rust, and panics.

use super::{call::psci, console, cpu, env, gic};

core::arch::global_asm!(include_str!("entry.s"));

/// What the loader left in the registers.
#[derive(Clone, Copy, Debug)]
pub struct Entered {
    /// x0–x3.
    pub x: [u64; 4],
    /// SCTLR_EL1.
    pub sctlr: u64,
    /// DAIF.
    pub daif: u64,
}

static ENTERED: spin::Once<Entered> = spin::Once::new();

/// Tells how the boot vCPU was entered.
pub fn entered() -> Entered {
    *ENTERED.get().expect("guest_main ran")
}

#[unsafe(no_mangle)]
extern "C" fn guest_main(x0: u64, x1: u64, x2: u64, x3: u64, sctlr: u64, daif: u64) -> ! {
    ENTERED.call_once(|| Entered {
        x: [x0, x1, x2, x3],
        sctlr,
        daif,
    });
    if env::init(x0).is_none() {
        console::print_last_words(format_args!("guest: FAILED: no usable tree at {x0:#x}\n"));
        // Without a tree there is no telling which conduit powers off.
        loop {
            cpu::wait_for_interrupt();
        }
    }
    gic::init_distributor();
    gic::init_cpu();
    cpu::unmask_irqs();
    crate::run()
}

#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    console::print_last_words(format_args!("\nguest: FAILED: {info}\n"));
    psci::system_off()
}
