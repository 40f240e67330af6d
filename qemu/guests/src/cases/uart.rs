// SPDX-License-Identifier: MIT OR Apache-2.0

//! The PL011 (DDI 0183G).

use super::Test;
use crate::outcome::Outcome;
use crate::rt::{console, cpu, gic, read32, time, write32};
use crate::{ensure, ensure_eq};
use platform::{UART_BASE, UART_INTID};

pub const TESTS: &[Test] = &[
    ("identification", identification),
    ("registers", registers),
    ("transmit_interrupt", transmit_interrupt),
    ("unknown_registers", unknown_registers),
];

const IBRD: u64 = 0x24;
const FBRD: u64 = 0x28;
const LCR_H: u64 = 0x2c;
const CR: u64 = 0x30;
const IMSC: u64 = 0x38;
const RIS: u64 = 0x3c;
const MIS: u64 = 0x40;
const ICR: u64 = 0x44;
const TX: u32 = 1 << 5;

fn read(register: u64) -> u32 {
    read32(UART_BASE.0 + register)
}

fn write(register: u64, value: u32) {
    write32(UART_BASE.0 + register, value);
}

/// Reads UARTPeriphID0–3 and UARTPCellID0–3: what Linux's AMBA bus looks for.
fn identification() -> Outcome {
    let part: [u32; 3] = core::array::from_fn(|n| read(0xfe0 + 4 * n as u64));
    ensure_eq!(part[0], 0x11, "UARTPeriphID0");
    ensure_eq!(part[1], 0x10, "UARTPeriphID1");
    ensure_eq!(part[2] & 0xf, 0x4, "designer in UARTPeriphID2");
    let cell: [u32; 4] = core::array::from_fn(|n| read(0xff0 + 4 * n as u64));
    ensure_eq!(cell, [0x0d, 0xf0, 0x05, 0xb1], "UARTPCellID");
    Ok(())
}

fn registers() -> Outcome {
    for (register, value) in [
        (IBRD, 0x1234),
        (FBRD, 0x2a),
        (LCR_H, 0x70),
        (CR, 0x301),
        (IMSC, 0),
    ] {
        let before = read(register);
        write(register, value);
        let found = read(register);
        write(register, before);
        ensure!(
            found == value,
            "{register:#x} holds {found:#x}, not {value:#x}"
        );
    }
    Ok(())
}

/// Checks that transmission raises the transmit interrupt, which the mask and the clear register
/// govern.
fn transmit_interrupt() -> Outcome {
    gic::enable(UART_INTID);
    let before = gic::taken(0, UART_INTID);
    let outcome = cpu::without_irqs(|| {
        write(IMSC, 0);
        write(ICR, 0x7ff);
        console::put(b'\r');
        ensure!(
            time::eventually(|| read(RIS) & TX != 0),
            "UARTRIS.TXRIS stays 0"
        );
        ensure_eq!(read(MIS), 0, "UARTMIS while masked");
        write(IMSC, TX);
        ensure_eq!(read(MIS), TX, "UARTMIS");
        Ok(())
    });
    // The handler masks the source.
    let taken = time::eventually(|| gic::taken(0, UART_INTID) > before);
    write(ICR, 0x7ff);
    gic::disable(UART_INTID);
    outcome?;
    ensure!(taken, "INTID {UART_INTID} was not taken");
    ensure_eq!(read(IMSC), 0, "UARTIMSC");
    ensure_eq!(read(RIS) & TX, 0, "UARTRIS.TXRIS after clearing");
    Ok(())
}

/// Registers that do not exist read and write without harm.
fn unknown_registers() -> Outcome {
    for register in [0x08, 0x0c, 0x4c, 0x80, 0x800] {
        write(register, 0xffff_ffff);
        let _ = read(register);
    }
    identification()
}
