// SPDX-License-Identifier: MIT OR Apache-2.0

//! Spreadtrum's UART.

use crate::bench::{Bench, Line, Model, room, talks_by_interrupts, talks_by_polling};
use platform::{ConsoleKind, RegisterLayout};

const KIND: ConsoleKind = ConsoleKind::Sprd;
const DEPTH: usize = 128;
const TIMEOUT: u32 = 1 << 13;

/// Linux's drivers/tty/serial/sprd_serial.c: STS1, IEN, ICLR and CTL2.
#[derive(Default)]
struct Sprd {
    enabled: u32,
    pending: u32,
    thresholds: u32,
}

impl Sprd {
    fn bench() -> Bench<Self> {
        let model = Self {
            thresholds: 0x4040,
            ..Self::default()
        };
        Bench::new(model, RegisterLayout::WORDS)
    }

    fn status(&self, line: &Line) -> u32 {
        let (transmit, receive) = (self.thresholds >> 8 & 0x7f, self.thresholds & 0x7f);
        self.pending
            | u32::from(line.transmit.len() < transmit as usize) << 1
            | u32::from(line.receive.len() >= receive as usize)
    }
}

impl Model for Sprd {
    fn read(&mut self, line: &mut Line, number: u64) -> u32 {
        match number {
            0x04 => line.receive.pop_front().unwrap().into(),
            0x0c => (line.transmit.len() as u32) << 8 | line.receive.len() as u32,
            0x20 => self.thresholds,
            _ => panic!("register {number:#x}"),
        }
    }

    fn write(&mut self, line: &mut Line, number: u64, value: u32) {
        match number {
            0x00 => line.accept(value, DEPTH),
            0x10 => self.enabled = value,
            0x14 => self.pending &= !value,
            0x20 => self.thresholds = value,
            _ => panic!("register {number:#x}"),
        }
    }

    fn interrupts(&mut self, line: &Line) -> bool {
        self.enabled & self.status(line) != 0
    }

    fn byte_arrived(&mut self, _: &Line) {
        self.pending |= TIMEOUT;
    }
}

#[test]
fn a_spreadtrum_talks() {
    talks_by_interrupts(&Sprd::bench(), KIND);
    talks_by_polling(&Sprd::bench(), KIND);
    assert_eq!(room(Sprd::bench().uart(KIND).driver()), DEPTH);
}

#[test]
fn each_byte_interrupts() {
    let bench = Sprd::bench();
    let uart = bench.uart(KIND);
    bench.model(|model| model.pending = TIMEOUT | 1 << 7);
    assert_eq!(uart.driver().receive(), None);
    assert_eq!(bench.model(|model| model.pending), 1 << 7);
    uart.driver().prepare_interrupts();
    let left = bench.model(|model| (model.pending, model.thresholds));
    assert_eq!(left, (0, 64 << 8 | 1));
    let enabled = |receive, transmit| {
        uart.driver().set_interrupts(receive, transmit);
        bench.model(|model| model.enabled)
    };
    assert_eq!(enabled(true, false), TIMEOUT | 1);
    assert_eq!(enabled(false, true), 1 << 1);
}
