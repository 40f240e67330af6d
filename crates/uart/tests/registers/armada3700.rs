// SPDX-License-Identifier: MIT OR Apache-2.0

//! Marvell's Armada 3700.

use crate::bench::{Bench, Line, Model, room, talks_by_interrupts, talks_by_polling};
use platform::{ConsoleKind, RegisterLayout};

const KIND: ConsoleKind = ConsoleKind::Armada3700;
const DEPTH: usize = 32;

/// Functional Specifications, "UART": UART1_CTRL and UART1_STATUS.
struct Armada3700 {
    control: u32,
}

impl Armada3700 {
    fn bench() -> Bench<Self> {
        // The interrupts of errors, as if the firmware had used them.
        Bench::new(Self { control: 0xf }, RegisterLayout::WORDS)
    }

    fn status(&self, line: &Line) -> u32 {
        let full = line.transmit.len() == DEPTH;
        u32::from(full) << 11
            | u32::from(!full) << 5
            | u32::from(!line.receive.is_empty()) << 4
            // An overrun that nobody clears.
            | 1
    }
}

impl Model for Armada3700 {
    fn read(&mut self, line: &mut Line, number: u64) -> u32 {
        match number {
            0x00 => line.receive.pop_front().unwrap().into(),
            0x08 => self.control,
            0x0c => self.status(line),
            _ => panic!("register {number:#x}"),
        }
    }

    fn write(&mut self, line: &mut Line, number: u64, value: u32) {
        match number {
            0x04 => line.accept(value, DEPTH),
            0x08 => self.control = value,
            _ => panic!("register {number:#x}"),
        }
    }

    fn interrupts(&mut self, line: &Line) -> bool {
        self.control & self.status(line) & 0x3f != 0
    }
}

#[test]
fn an_armada_3700_talks() {
    talks_by_interrupts(&Armada3700::bench(), KIND);
    let bench = Armada3700::bench();
    bench.model(|model| model.control = 0);
    talks_by_polling(&bench, KIND);
    assert_eq!(room(bench.uart(KIND).driver()), DEPTH);
}
