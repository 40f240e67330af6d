// SPDX-License-Identifier: MIT OR Apache-2.0

//! The Raspberry Pi's mini UART.

use crate::bench::{Bench, Line, Model, room, talks_by_interrupts, talks_by_polling};
use platform::{ConsoleKind, RegisterLayout};

const KIND: ConsoleKind = ConsoleKind::Bcm2835Aux;
const DEPTH: usize = 8;

/// BCM2711 ARM Peripherals, 2.2, with the errata of its predecessor.
#[derive(Default)]
struct MiniUart {
    control: u32,
    enabled: u32,
}

impl MiniUart {
    fn bench() -> Bench<Self> {
        Bench::new(Self::default(), RegisterLayout::WORDS)
    }
}

impl Model for MiniUart {
    fn read(&mut self, line: &mut Line, number: u64) -> u32 {
        match number {
            0x00 => line.receive.pop_front().unwrap().into(),
            0x14 => {
                let room = u32::from(line.transmit.len() < DEPTH) << 5;
                room | u32::from(!line.receive.is_empty())
            }
            _ => panic!("register {number:#x}"),
        }
    }

    fn write(&mut self, line: &mut Line, number: u64, value: u32) {
        match number {
            0x00 => line.accept(value, DEPTH),
            0x04 => self.enabled = value,
            0x20 => self.control = value,
            _ => panic!("register {number:#x}"),
        }
    }

    fn interrupts(&mut self, line: &Line) -> bool {
        let receives = self.enabled & 0b1101 == 0b1101 && !line.receive.is_empty();
        receives || self.enabled & 0b10 != 0 && line.transmit.is_empty()
    }
}

#[test]
fn a_mini_uart_talks() {
    let bench = MiniUart::bench();
    talks_by_interrupts(&bench, KIND);
    assert_eq!(bench.model(|model| model.control), 0b11);
    talks_by_polling(&MiniUart::bench(), KIND);
    assert_eq!(room(MiniUart::bench().uart(KIND).driver()), DEPTH);
}
