// SPDX-License-Identifier: MIT OR Apache-2.0

//! Cadence's UART.

use crate::bench::{Bench, Line, Model, room, talks_by_interrupts, talks_by_polling};
use platform::{ConsoleKind, RegisterLayout};

const KIND: ConsoleKind = ConsoleKind::Cadence;
const DEPTH: usize = 64;
const RECEIVED: u32 = 1;
const EMPTY: u32 = 1 << 3;
/// The receive FIFO has become empty.
const ALL_READ: u32 = 1 << 1;

/// UG1087, module "UART": what is pending lasts until it is cleared.
struct Cadence {
    control: u32,
    enabled: u32,
    pending: u32,
    timeout: u32,
    trigger: usize,
}

impl Cadence {
    fn bench() -> Bench<Self> {
        let model = Self {
            // Both directions off, and a setting beside.
            control: 1 << 8 | 1 << 5 | 1 << 3,
            enabled: 0,
            pending: 0x1fff,
            timeout: 10,
            trigger: 32,
        };
        Bench::new(model, RegisterLayout::WORDS)
    }
}

impl Model for Cadence {
    fn read(&mut self, line: &mut Line, number: u64) -> u32 {
        match number {
            0x00 => self.control,
            0x2c => {
                let full = u32::from(line.transmit.len() == DEPTH) << 4;
                full | u32::from(line.receive.is_empty()) << 1
            }
            0x30 => {
                let byte = line.receive.pop_front().unwrap().into();
                if line.receive.is_empty() {
                    self.pending |= ALL_READ;
                }
                byte
            }
            _ => panic!("register {number:#x}"),
        }
    }

    fn write(&mut self, line: &mut Line, number: u64, value: u32) {
        match number {
            0x00 => self.control = value,
            0x08 => self.enabled |= value,
            0x0c => self.enabled &= !value,
            0x14 => self.pending &= !value,
            0x1c => self.timeout = value,
            0x20 => self.trigger = value as usize,
            0x30 => line.accept(value, DEPTH),
            _ => panic!("register {number:#x}"),
        }
    }

    fn interrupts(&mut self, _: &Line) -> bool {
        self.enabled & self.pending != 0
    }

    fn byte_left(&mut self, line: &Line) {
        if line.transmit.is_empty() {
            self.pending |= EMPTY;
        }
    }

    fn byte_arrived(&mut self, line: &Line) {
        if line.receive.len() >= self.trigger {
            self.pending |= RECEIVED;
        }
    }
}

#[test]
fn a_cadence_talks() {
    let bench = Cadence::bench();
    // As if the firmware had used them all.
    bench.model(|model| model.enabled = 0x1fff);
    talks_by_interrupts(&bench, KIND);
    let left = bench.model(|model| (model.control, model.timeout));
    assert_eq!(left, (1 << 8 | 1 << 4 | 1 << 2, 0));
    talks_by_polling(&Cadence::bench(), KIND);
    assert_eq!(room(Cadence::bench().uart(KIND).driver()), DEPTH);
}
