// SPDX-License-Identifier: MIT OR Apache-2.0

//! Attacks on what EL2 emulates: the UART, the interrupt controller, the watchdog.

use super::{cpu_time, now, repeat};
use crate::rt::{console, cpu, gic, read32, write32, write64};
use platform::{
    GICD_BASE, INTIDS, UART_BASE, WATCHDOG_CONTROL_BASE, WATCHDOG_INTID, WATCHDOG_REFRESH_BASE,
};

/// The UART's interrupt, and UARTIMSC.
const UART_INTID: u32 = 33;
const UARTIMSC: u64 = 0x38;
const SPIS: core::ops::Range<u32> = 32..INTIDS as u32;
const SGI: u32 = 3;

pub fn uart_text(until: u64) {
    repeat(until, || console::put(b'x'));
}

pub fn uart_lines(until: u64) {
    repeat(until, || {
        [b'\r', b'\n', b'\r'].into_iter().for_each(console::put)
    });
}

/// Takes the interrupt of a FIFO that always has room.
pub fn uart_interrupts(until: u64) {
    gic::enable(UART_INTID);
    repeat(until, || {
        write32(UART_BASE.0 + UARTIMSC, 1 << 5);
        console::put(b'x');
    });
    write32(UART_BASE.0 + UARTIMSC, 0);
}

/// Reads ISPENDR and ISACTIVER.
pub fn gic_reads(until: u64) {
    repeat(until, || {
        for register in [0x200, 0x204, 0x208, 0x300, 0x304, 0x308] {
            read32(GICD_BASE.0 + register);
        }
    });
}

pub fn gic_priorities(until: u64) {
    repeat(until, || {
        for spi in SPIS {
            gic::set_priority(spi, (now() as u8) & 0xf0);
            gic::route(spi, (now() & 1) as usize);
        }
    });
}

pub fn gic_enables(until: u64) {
    repeat(until, || write_all(&[0x100, 0x180]));
}

pub fn gic_pending(until: u64) {
    write_all(&[0x100]);
    cpu::without_irqs(|| repeat(until, || write_all(&[0x200, 0x300, 0x280, 0x380])));
}

/// Takes all SPIs, which are pending at once.
pub fn gic_spis(until: u64) {
    repeat(until, || write_all(&[0x100, 0x200]));
}

/// Writes ones to these registers for all SPIs. They are of a bit for each INTID.
fn write_all(registers: &[u64]) {
    for register in registers {
        for word in 1..INTIDS as u64 / 32 {
            write32(GICD_BASE.0 + register + 4 * word, u32::MAX);
        }
    }
}

pub fn sgis_to_itself(until: u64) {
    repeat(until, || gic::send_sgi(SGI, 1));
}

pub fn sgis_to_nobody(until: u64) {
    repeat(until, || gic::send_sgi(SGI, 1 << 1));
}

pub fn sgis_to_another(until: u64) {
    cpu_time::on_two(until, |until| {
        repeat(until, || gic::send_sgi(SGI, 0b11));
        0
    });
}

/// Sets the watchdog, lets it warn, and refreshes it before it expires.
pub fn watchdog(until: u64) {
    const LONG: u64 = 1 << 40;
    gic::enable(WATCHDOG_INTID);
    repeat(until, || {
        set_watchdog(LONG);
        write32(WATCHDOG_REFRESH_BASE.0, 0);
        // W_WCV: the first of its two times is over.
        write64(WATCHDOG_CONTROL_BASE.0 + 0x10, 0);
        gic::enable(WATCHDOG_INTID);
    });
    write32(WATCHDOG_CONTROL_BASE.0, 0);
}

/// Turns it on, with so many ticks.
pub fn set_watchdog(ticks: u64) {
    write64(WATCHDOG_CONTROL_BASE.0 + 0x8, ticks);
    write32(WATCHDOG_CONTROL_BASE.0, 1);
}
