// SPDX-License-Identifier: MIT OR Apache-2.0

//! NXP's LINFlexD, in buffer mode and in FIFO mode.

use crate::bench::{Bench, Line, Model, room, talks_by_interrupts, talks_by_polling};
use platform::{AccessWidth, ConsoleKind, RegisterLayout};

const KIND: ConsoleKind = ConsoleKind::Linflex;
const SENT: u32 = 1 << 1;
const RECEIVED: u32 = 1 << 2;
const RELEASE: u32 = 1 << 9;

/// S32G2RM, "LINFlexD": UARTCR's modes, UARTSR, LINIER, BDRL and BDRM.
struct Linflex {
    has_fifos: bool,
    enabled: u32,
    flags: u32,
    control: u32,
}

impl Linflex {
    fn bench(has_fifos: bool) -> Bench<Self> {
        let model = Self {
            has_fifos,
            enabled: 0,
            flags: 0,
            control: if has_fifos { 0b11 << 8 | 3 } else { 3 },
        };
        Bench::new(model, RegisterLayout::WORDS)
    }

    fn depth(&self) -> usize {
        if self.has_fifos { 4 } else { 1 }
    }

    /// In buffer mode the next byte that has arrived is in the buffer once the last one was released.
    fn update(&mut self, line: &Line) {
        if !self.has_fifos && !line.receive.is_empty() {
            self.flags |= RECEIVED | RELEASE;
        }
    }
}

impl Model for Linflex {
    fn read(&mut self, line: &mut Line, number: u64) -> u32 {
        self.update(line);
        match number {
            0x10 => self.control,
            0x14 if self.has_fifos => {
                let full = if line.transmit.len() == 4 { SENT } else { 0 };
                full | if line.receive.is_empty() { RECEIVED } else { 0 }
            }
            0x14 => self.flags,
            0x3c => line.receive.pop_front().unwrap().into(),
            _ => panic!("register {number:#x}"),
        }
    }

    fn write(&mut self, line: &mut Line, number: u64, value: u32) {
        match number {
            0x04 => self.enabled = value,
            0x10 => self.control = value,
            0x14 => self.flags &= !value,
            0x38 => {
                assert_eq!(self.flags & SENT, 0, "the last byte's flag is still set");
                line.accept(value, self.depth());
            }
            _ => panic!("register {number:#x}"),
        }
    }

    fn width(&self, number: u64) -> Option<AccessWidth> {
        matches!(number, 0x38 | 0x3c).then_some(AccessWidth::Byte)
    }

    fn interrupts(&mut self, line: &Line) -> bool {
        self.update(line);
        self.enabled & self.flags & (SENT | RECEIVED) != 0
    }

    fn byte_left(&mut self, _: &Line) {
        if !self.has_fifos {
            self.flags |= SENT;
        }
    }
}

#[test]
fn a_linflex_talks_in_both_modes() {
    talks_by_interrupts(&Linflex::bench(false), KIND);
    for has_fifos in [false, true] {
        talks_by_polling(&Linflex::bench(has_fifos), KIND);
        let bench = Linflex::bench(has_fifos);
        let depth = bench.model(|model| model.depth());
        assert_eq!(room(bench.uart(KIND).driver()), depth);
        let control = bench.model(|model| model.control);
        assert_eq!(control & 0xff, 0x33);
    }
}

#[test]
fn the_end_of_the_firmwares_last_byte_is_not_that_of_our_first() {
    let bench = Linflex::bench(false);
    bench.model(|model| model.flags = SENT);
    let uart = bench.uart(KIND);
    assert_eq!(room(uart.driver()), 1);
    bench.leave(1);
    assert_eq!(room(uart.driver()), 1);
}

#[test]
fn fifo_mode_has_no_interrupts() {
    for control in [1 << 8, 1 << 9] {
        let bench = Linflex::bench(true);
        bench.model(|model| model.control = control);
        assert!(!bench.uart(KIND).driver().prepare_interrupts());
    }
}

#[test]
fn a_byte_is_released_with_its_errors() {
    let bench = Linflex::bench(false);
    bench.model(|model| model.flags = 0b11 << 7);
    bench.arrive(b"k");
    assert_eq!(bench.uart(KIND).driver().receive(), Some(b'k'));
    assert_eq!(bench.model(|model| model.flags), 0);
}
