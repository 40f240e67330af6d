// SPDX-License-Identifier: MIT OR Apache-2.0

//! Samsung's UARTs, with FIFOs and without.

use crate::bench::{Bench, Line, Model, room, talks_by_interrupts, talks_by_polling};
use platform::{ConsoleKind, RegisterLayout};

const KIND: ConsoleKind = ConsoleKind::Samsung;
/// The modes of both directions, and the clock.
const CONTROL: u32 = 1 << 10 | 0b101;
const RECEIVE: u32 = 1;
const TRANSMIT: u32 = 1 << 2;

/// Exynos 4210 User's Manual, "UART": what is pending lasts until it is cleared, and comes again where its reason lasts.
struct Samsung {
    depth: usize,
    has_fifos: bool,
    control: u32,
    pending: u32,
    mask: u32,
}

impl Samsung {
    fn bench(has_fifos: bool) -> Bench<Self> {
        let model = Self {
            depth: if has_fifos { 16 } else { 1 },
            has_fifos,
            control: CONTROL,
            pending: 0b1111,
            mask: 0b1111,
        };
        Bench::new(model, RegisterLayout::WORDS)
    }

    fn update(&mut self, line: &Line) {
        let levels = self.control >> 8 & 0b11;
        // A direction without its mode, or with DMA's, does nothing.
        let modes = [self.control & 0b11, self.control >> 2 & 0b11];
        if modes != [1, 1] {
            return;
        }
        if levels & 1 != 0 && !line.receive.is_empty() {
            self.pending |= RECEIVE;
        }
        if levels & 2 != 0 && line.transmit.is_empty() {
            self.pending |= TRANSMIT;
        }
    }
}

impl Model for Samsung {
    fn read(&mut self, line: &mut Line, number: u64) -> u32 {
        match number {
            0x04 => self.control,
            0x08 => self.has_fifos.into(),
            0x10 if !self.has_fifos => {
                let empty = u32::from(line.transmit.is_empty()) << 1;
                empty | u32::from(!line.receive.is_empty())
            }
            0x18 if self.has_fifos => {
                let full = u32::from(line.transmit.len() == self.depth) << 24;
                let received = match line.receive.len() {
                    // The count of a full FIFO is zero.
                    256 => 1 << 8,
                    count => count as u32,
                };
                full | received
            }
            0x24 => line.receive.pop_front().unwrap().into(),
            _ => panic!("register {number:#x}"),
        }
    }

    fn write(&mut self, line: &mut Line, number: u64, value: u32) {
        match number {
            0x04 => self.control = value,
            0x20 => {
                assert_eq!(self.control >> 2 & 0b11, 1, "transmission is off");
                line.accept(value, self.depth);
            }
            0x30 => self.pending &= !value,
            0x38 => self.mask = value,
            _ => panic!("register {number:#x}"),
        }
        self.update(line);
    }

    fn interrupts(&mut self, line: &Line) -> bool {
        self.update(line);
        self.pending & !self.mask != 0
    }
}

#[test]
fn a_samsung_talks() {
    for has_fifos in [true, false] {
        let bench = Samsung::bench(has_fifos);
        talks_by_interrupts(&bench, KIND);
        let control = bench.model(|model| model.control);
        assert_eq!(control, CONTROL | 0b111 << 7);
        talks_by_polling(&Samsung::bench(has_fifos), KIND);
    }
}

#[test]
fn both_directions_are_on_whatever_the_firmware_left() {
    for modes in [0, 0b0100, 0b1111] {
        let bench = Samsung::bench(true);
        bench.model(|model| model.control = CONTROL & !0b1111 | modes);
        talks_by_interrupts(&bench, KIND);
        assert_eq!(bench.model(|model| model.control & 0x7f), 0b0101);
    }
}

#[test]
fn a_full_receive_fifo_is_not_an_empty_one() {
    let bench = Samsung::bench(true);
    bench.arrive(&[7; 256]);
    let uart = bench.uart(KIND);
    let received = core::iter::from_fn(|| uart.driver().receive());
    assert_eq!(received.count(), 256);
    assert_eq!(room(uart.driver()), 16);
}

#[test]
fn errors_of_the_line_stay_quiet() {
    let bench = Samsung::bench(true);
    let uart = bench.uart(KIND);
    assert_eq!(uart.driver().receive(), None);
    assert_eq!(bench.model(|model| model.pending & 0b11), 0);
    uart.driver().set_interrupts(true, true);
    assert_eq!(bench.model(|model| model.mask), 0b1010);
}
