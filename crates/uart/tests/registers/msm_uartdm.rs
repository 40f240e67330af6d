// SPDX-License-Identifier: MIT OR Apache-2.0

//! Qualcomm's UARTDM.

use crate::bench::{Bench, Line, Model, room, talks_by_interrupts, talks_by_polling};
use platform::{ConsoleKind, RegisterLayout};

const KIND: ConsoleKind = ConsoleKind::MsmUartdm;
const SENT: u32 = 1 << 7;
const STALE: u32 = 1 << 3;

/// APQ8016E Technical Reference Manual, "UART": IMR and ISR, SR, CR's commands, the counts of bytes.
#[derive(Default)]
struct MsmUartdm {
    modes: u32,
    mask: u32,
    pending: u32,
    transmit_count: u32,
    receive_count: u32,
    watermark: usize,
}

impl MsmUartdm {
    fn bench() -> Bench<Self> {
        let model = Self {
            watermark: 16,
            ..Self::default()
        };
        Bench::new(model, RegisterLayout::WORDS)
    }

    fn status(&self, line: &Line) -> u32 {
        self.pending | u32::from(line.receive.len() > self.watermark) << 4
    }
}

impl Model for MsmUartdm {
    fn read(&mut self, line: &mut Line, number: u64) -> u32 {
        match number {
            0x08 => {
                let empty = u32::from(line.transmit.is_empty()) << 3;
                empty | u32::from(!line.receive.is_empty())
            }
            0x14 => self.status(line),
            0x3c => self.modes,
            0x40 => self.transmit_count,
            0x70 => {
                assert_ne!(self.modes & 1 << 5, 0, "four bytes a word");
                line.receive.pop_front().unwrap().into()
            }
            _ => panic!("register {number:#x}"),
        }
    }

    fn write(&mut self, line: &mut Line, number: u64, value: u32) {
        match (number, value >> 4) {
            (0x10, 0) => assert_eq!(value, 0b101),
            (0x10, 0x03 | 0x50) => {}
            (0x10, 0x08) => self.pending &= !STALE,
            (0x10, 0x30) => self.pending &= !SENT,
            (0x14, _) => self.mask = value,
            (0x20, _) => self.watermark = value as usize,
            (0x34, _) => self.receive_count = value,
            (0x3c, _) => self.modes = value,
            (0x40, _) => self.transmit_count = value,
            (0x70, _) => {
                assert_eq!(self.transmit_count, 1);
                assert!(line.transmit.is_empty(), "overrun");
                self.transmit_count = 0;
                line.transmit.push_back(value as u8);
            }
            _ => panic!("{value:#x} to register {number:#x}"),
        }
    }

    fn interrupts(&mut self, line: &Line) -> bool {
        self.mask & self.status(line) != 0
    }

    fn byte_left(&mut self, _: &Line) {
        self.pending |= SENT;
    }

    fn byte_arrived(&mut self, _: &Line) {
        assert_eq!(self.receive_count, 0xff_ffff);
        self.pending |= STALE;
    }
}

#[test]
fn a_uartdm_talks() {
    talks_by_interrupts(&MsmUartdm::bench(), KIND);
    talks_by_polling(&MsmUartdm::bench(), KIND);
    assert_eq!(room(MsmUartdm::bench().uart(KIND).driver()), 1);
}

#[test]
fn what_tells_of_bytes_that_were_read_ends() {
    let bench = MsmUartdm::bench();
    let uart = bench.uart(KIND);
    uart.driver().set_interrupts(true, false);
    assert_eq!(bench.model(|model| model.mask), STALE | 1 << 4);
    bench.model(|model| model.pending = STALE);
    assert!(bench.interrupts());
    assert_eq!(uart.driver().receive(), None);
    assert!(!bench.interrupts());
}
