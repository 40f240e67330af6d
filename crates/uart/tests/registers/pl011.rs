// SPDX-License-Identifier: MIT OR Apache-2.0

//! Arm's PL011, and its subset in the SBSA.

use crate::bench::{Bench, Line, Model, room, talks_by_interrupts, talks_by_polling};
use platform::{ConsoleKind, RegisterLayout};

const DEPTH: usize = 32;
const RECEIVED: u32 = 1 << 4;
const SENT: u32 = 1 << 5;
/// RTS, and both directions of an enabled UART.
const ENABLED: u32 = 1 << 11 | 0b11 << 8 | 1;

/// DDI 0183G, chapter 3: the interrupt of the transmit FIFO comes as it falls below its trigger level.
struct Pl011 {
    control: Option<u32>,
    mask: u32,
    pending: u32,
}

impl Pl011 {
    fn bench(control: Option<u32>) -> Bench<Self> {
        let model = Self {
            control,
            mask: 0,
            pending: 0x7ff,
        };
        Bench::new(model, RegisterLayout::WORDS)
    }
}

impl Model for Pl011 {
    fn read(&mut self, line: &mut Line, number: u64) -> u32 {
        match number {
            0x00 => line.receive.pop_front().unwrap().into(),
            0x18 => {
                let full = u32::from(line.transmit.len() == DEPTH) << 5;
                full | u32::from(line.receive.is_empty()) << 4
            }
            0x30 => self.control.unwrap(),
            _ => panic!("register {number:#x}"),
        }
    }

    fn write(&mut self, line: &mut Line, number: u64, value: u32) {
        match number {
            0x00 => line.accept(value, DEPTH),
            0x30 => *self.control.as_mut().unwrap() = value,
            0x38 => self.mask = value,
            0x44 => self.pending &= !value,
            _ => panic!("register {number:#x}"),
        }
    }

    fn interrupts(&mut self, line: &Line) -> bool {
        let receives = match line.receive.len() {
            0 => 0,
            // Below the trigger level the timeout's.
            1..4 => 1 << 6,
            _ => RECEIVED,
        };
        self.mask & (self.pending | receives) != 0
    }

    fn byte_left(&mut self, line: &Line) {
        if line.transmit.len() == 4 {
            self.pending |= SENT;
        }
    }
}

#[test]
fn a_pl011_talks() {
    let bench = Pl011::bench(Some(1 << 11));
    talks_by_interrupts(&bench, ConsoleKind::Pl011);
    assert_eq!(bench.model(|model| model.control), Some(ENABLED));
    talks_by_polling(&Pl011::bench(Some(0)), ConsoleKind::Pl011);
}

#[test]
fn an_sbsa_uart_talks_without_control_registers() {
    talks_by_interrupts(&Pl011::bench(None), ConsoleKind::Sbsa);
    let bench = Pl011::bench(None);
    talks_by_polling(&bench, ConsoleKind::Sbsa);
    assert_eq!(room(bench.uart(ConsoleKind::Sbsa).driver()), DEPTH);
}

#[test]
fn interrupts_from_before_are_forgotten() {
    let bench = Pl011::bench(None);
    let uart = bench.uart(ConsoleKind::Sbsa);
    uart.driver().prepare_interrupts();
    assert_eq!(bench.model(|model| model.pending), 0);
    uart.driver().set_interrupts(true, false);
    assert_eq!(bench.model(|model| model.mask), RECEIVED | 1 << 6);
}
