// SPDX-License-Identifier: MIT OR Apache-2.0

//! Amlogic's Meson.

use crate::bench::{Bench, Line, Model, room, talks_by_interrupts, talks_by_polling};
use platform::{ConsoleKind, RegisterLayout};

const DEPTH: usize = 64;
/// TX_EN, RX_EN and the two-wire mode: only the last of them as the firmware leaves it.
const ENABLED: u32 = 0b1011 << 12;

/// S905X data sheet, "UART": interrupts are pulses, for a byte that arrives or leaves.
struct Meson {
    control: u32,
    misc: u32,
    pulse: bool,
}

impl Meson {
    fn bench() -> Bench<Self> {
        let model = Self {
            control: 1 << 15,
            misc: 0x7800_0000,
            pulse: false,
        };
        Bench::new(model, RegisterLayout::WORDS)
    }
}

impl Model for Meson {
    fn read(&mut self, line: &mut Line, number: u64) -> u32 {
        match number {
            0x04 => line.receive.pop_front().unwrap().into(),
            0x08 => self.control,
            0x0c => {
                let full = u32::from(line.transmit.len() == DEPTH) << 21;
                full | u32::from(line.receive.is_empty()) << 20
            }
            0x10 => self.misc,
            _ => panic!("register {number:#x}"),
        }
    }

    fn write(&mut self, line: &mut Line, number: u64, value: u32) {
        match number {
            0x00 => line.accept(value, DEPTH),
            0x08 => self.control = value,
            0x10 => self.misc = value,
            _ => panic!("register {number:#x}"),
        }
    }

    fn interrupts(&mut self, _: &Line) -> bool {
        core::mem::take(&mut self.pulse)
    }

    fn byte_left(&mut self, line: &Line) {
        let level = (self.misc >> 8 & 0xff) as usize;
        self.pulse |= self.control & 1 << 28 != 0 && line.transmit.len() < level;
    }

    fn byte_arrived(&mut self, line: &Line) {
        let level = (self.misc & 0xff) as usize;
        self.pulse |= self.control & 1 << 27 != 0 && line.receive.len() >= level;
    }
}

#[test]
fn a_meson_talks() {
    let bench = Meson::bench();
    talks_by_interrupts(&bench, ConsoleKind::Meson);
    let left = bench.model(|model| (model.control, model.misc));
    assert_eq!(left, (ENABLED, 0x7800_0000 | 32 << 8 | 1));
    let bench = Meson::bench();
    talks_by_polling(&bench, ConsoleKind::Meson);
    assert_eq!(room(bench.uart(ConsoleKind::Meson).driver()), DEPTH);
}
