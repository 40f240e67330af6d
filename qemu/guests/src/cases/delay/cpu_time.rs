// SPDX-License-Identifier: MIT OR Apache-2.0

//! Attacks with instructions of the core: that compute, wait, fault or trap.

use super::repeat;
use crate::rt::call::psci::{CPU_SUSPEND, psci};
use crate::rt::time::{self, Timer};
use crate::rt::{cpu, gic, read32, trap, write32};
use crate::{mrs, msr};
use core::arch::asm;
use platform::{GICD_BASE, PHYSICAL_TIMER_INTID, UART_BASE, VIRTUAL_TIMER_INTID};

/// Nothing is here.
const HOLE: u64 = 128 << 30;

pub fn compute(until: u64) {
    cpu::without_irqs(|| repeat(until, || {}));
}

pub fn compute_twice(until: u64) {
    on_two(until, |until| {
        compute(until);
        0
    });
}

/// Does `work` on both vCPUs.
pub fn on_two(until: u64, work: fn(u64) -> u64) {
    if cpu::start_all() {
        cpu::begin(1, work, until);
    }
    work(until);
    cpu::finish(1);
    cpu::stop(1);
}

/// Sets CPACR_EL1.FPEN. The program itself is built without.
pub fn enable_fp() {
    msr!("cpacr_el1", 3 << 20);
}

pub fn use_fp() {
    // SAFETY: the program does not use these registers.
    unsafe { asm!(".arch_extension fp", "fmov d0, xzr") };
}

pub fn fp_registers(until: u64) {
    enable_fp();
    repeat(until, use_fp);
}

pub fn yields(until: u64) {
    // SAFETY: hints.
    repeat(until, || unsafe { asm!("yield", "wfe") });
}

/// Waits, but a timer's interrupt is pending, which it does not take.
pub fn waits(until: u64) {
    with_pending_interrupt(|| repeat(until, cpu::wait_for_interrupt));
}

pub fn suspends(until: u64) {
    with_pending_interrupt(|| {
        repeat(until, || {
            psci([CPU_SUSPEND, 0, 0, 0]);
        });
    });
}

fn with_pending_interrupt(attack: impl FnOnce()) {
    gic::enable(VIRTUAL_TIMER_INTID);
    cpu::without_irqs(|| {
        Timer::Virtual.start(time::now());
        attack();
        Timer::Virtual.stop();
    });
}

/// Takes the interrupts of timers that are due when they are set.
pub fn timers(until: u64) {
    gic::enable(VIRTUAL_TIMER_INTID);
    gic::enable(PHYSICAL_TIMER_INTID);
    repeat(until, || {
        Timer::Virtual.start(time::now());
        Timer::Physical.start(time::now());
    });
}

pub fn set_way(until: u64) {
    let mut n = 0_u64;
    repeat(until, || {
        // Sets of 64 bytes, and both levels.
        let line = ((n >> 1) % 1024) << 6 | (n & 1) << 1;
        // SAFETY: what it says to invalidate EL2 has it clean, too.
        unsafe { asm!("dc isw, {0}", "dc csw, {0}", "dc cisw, {0}", in(reg) line) };
        n += 1;
    });
}

pub fn broadcasts(until: u64) {
    repeat(until, || {
        // SAFETY: no mapping has changed.
        unsafe { asm!("tlbi vmalle1is", "ic ialluis", "dsb ish", "isb") };
    });
}

pub fn faults(until: u64) {
    repeat(until, || {
        trap::catch(|| {
            read32(HOLE);
            write32(HOLE, 0);
        });
    });
}

pub fn jumps(until: u64) {
    // SAFETY: it cannot be fetched; the vector returns from the call.
    let function = unsafe { core::mem::transmute::<u64, extern "C" fn()>(HOLE) };
    repeat(until, || {
        trap::catch(|| function());
    });
}

/// Accesses that the core does not describe: those that EL2 does, and those that it refuses.
pub fn decoded(until: u64) {
    let devices = [GICD_BASE.0 + 0x400, UART_BASE.0 + 0x18, GICD_BASE.0 + 0x401];
    repeat(until, || {
        for device in devices {
            // SAFETY: device registers, without effect; a fault is skipped.
            trap::catch(|| unsafe {
                asm!("ldp w10, w11, [x9]", "ldr w10, [x9], #0", "ldxr w10, [x9]",
                    inout("x9") device => _, out("x10") _, out("x11") _);
            });
        }
    });
}

pub fn debug_registers(until: u64) {
    repeat(until, || {
        msr!("mdscr_el1", mrs!("mdscr_el1"));
        msr!("dbgbvr0_el1", mrs!("dbgbvr0_el1"));
        msr!("dbgwvr0_el1", mrs!("dbgwvr0_el1"));
        msr!("oslar_el1", 1);
        msr!("oslar_el1", 0);
    });
}

pub fn id_registers(until: u64) {
    repeat(until, || {
        mrs!("id_aa64pfr0_el1");
        mrs!("id_aa64mmfr0_el1");
        trap::catch(|| {
            mrs!("pmcr_el0");
        });
    });
}
