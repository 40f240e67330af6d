// SPDX-License-Identifier: MIT OR Apache-2.0

//! NXP's LPUART, of Layerscape and of i.MX, with FIFOs and without.

use crate::bench::{Bench, Line, Model, room, talks_by_interrupts, talks_by_polling};
use platform::{ConsoleKind, RegisterLayout};

const KIND: ConsoleKind = ConsoleKind::Lpuart;
/// TE and RE.
const ENABLED: u32 = 0b11 << 18;
const RECEIVE_WATERMARK: usize = 1;
const IDLE: u32 = 1 << 20;
const OVERRUN: u32 = 1 << 19;
/// BRK13: a setting beside the flags.
const SETTING: u32 = 1 << 26;

/// IMX8ULPRM, "LPUART": STAT, CTRL, DATA, FIFO and WATER.
struct Lpuart {
    has_fifos: bool,
    control: u32,
    flags: u32,
    /// FIFO's interrupts: TXOFE and RXUFE.
    fifo: u32,
}

impl Lpuart {
    fn bench(has_fifos: bool, layout: RegisterLayout) -> Bench<Self> {
        let model = Self {
            has_fifos,
            // ORIE, TCIE, MA1IE and MA2IE, as if the firmware had used interrupts.
            control: 1 << 27 | 1 << 22 | 0b11 << 14,
            flags: SETTING,
            fifo: 0b11 << 8,
        };
        Bench::new(model, layout)
    }

    fn depth(&self) -> usize {
        if self.has_fifos { 16 } else { 1 }
    }

    fn status(&self, line: &Line) -> u32 {
        let watermark = if self.has_fifos { RECEIVE_WATERMARK } else { 0 };
        self.flags
            | u32::from(line.transmit.is_empty()) << 23
            | u32::from(line.receive.len() > watermark) << 21
    }
}

impl Model for Lpuart {
    fn read(&mut self, line: &mut Line, number: u64) -> u32 {
        let transmit = if self.has_fifos {
            line.transmit.len()
        } else {
            0
        };
        match number {
            0x04 => self.status(line),
            0x08 => self.control,
            0x0c => line.receive.pop_front().unwrap().into(),
            0x18 => {
                let enabled = if self.has_fifos { 1 << 7 | 1 << 3 } else { 0 };
                self.fifo | enabled | 3 << 4 | 3
            }
            0x1c => (line.receive.len() as u32) << 24 | (transmit as u32) << 8 | 1 << 16,
            _ => panic!("register {number:#x}"),
        }
    }

    fn write(&mut self, line: &mut Line, number: u64, value: u32) {
        const FLAGS: u32 = 0b11 << 30 | 0x1f_c000;
        match number {
            0x04 => self.flags = self.flags & !(value & FLAGS) & FLAGS | value & SETTING,
            0x08 => self.control = value,
            0x0c => {
                assert!(value < 0x100);
                line.accept(value, self.depth());
            }
            0x18 => self.fifo = value & 0b11 << 8,
            _ => panic!("register {number:#x}"),
        }
    }

    fn interrupts(&mut self, line: &Line) -> bool {
        // TIE, RIE, ILIE; the errors' are four bits above their flags' place, and one to the right.
        let errors = (self.control >> 24 & 0xf) & (self.flags >> 16 & 0xf);
        let others = self.control & self.status(line) & (1 << 23 | 1 << 21 | IDLE);
        errors | others != 0
    }

    fn byte_arrived(&mut self, _: &Line) {
        self.flags |= IDLE;
    }
}

fn layouts() -> [RegisterLayout; 3] {
    let words = RegisterLayout::WORDS;
    [words, words.big_endian(), words.from(0x10)]
}

#[test]
fn an_lpuart_talks_wherever_its_registers_are() {
    for layout in layouts() {
        for has_fifos in [false, true] {
            let bench = Lpuart::bench(has_fifos, layout);
            talks_by_interrupts(&bench, KIND);
            let left = bench.model(|model| (model.control, model.flags & SETTING, model.fifo));
            assert_eq!(left, (ENABLED, SETTING, 0));
            let bench = Lpuart::bench(has_fifos, layout);
            bench.model(|model| model.control = ENABLED);
            talks_by_polling(&bench, KIND);
        }
    }
}

#[test]
fn a_transmit_fifo_is_filled_as_far_as_it_is_deep() {
    for (has_fifos, depth) in [(true, 16), (false, 1)] {
        let bench = Lpuart::bench(has_fifos, RegisterLayout::WORDS);
        assert_eq!(room(bench.uart(KIND).driver()), depth);
    }
}

#[test]
fn an_overrun_that_would_stop_the_receiver_is_cleared() {
    let bench = Lpuart::bench(true, RegisterLayout::WORDS);
    // LBKDIF, RXEDGIF, MA1F and MA2F are nothing to the driver; NF, FE and PE come with a byte, as OR does.
    let others = 0b11 << 30 | 0b11 << 14;
    bench.model(|model| model.flags = others | OVERRUN | IDLE | 0b111 << 16);
    assert_eq!(bench.uart(KIND).driver().receive(), None);
    assert_eq!(bench.model(|model| model.flags), others);
}

#[test]
fn an_idle_line_tells_of_bytes_below_the_watermark() {
    let bench = Lpuart::bench(true, RegisterLayout::WORDS);
    let uart = bench.uart(KIND);
    uart.driver().prepare_interrupts();
    let enabled = |receive, transmit| {
        uart.driver().set_interrupts(receive, transmit);
        bench.model(|model| model.control & !ENABLED)
    };
    assert_eq!(enabled(true, false), IDLE | 1 << 21);
    assert_eq!(enabled(false, true), 1 << 23);
    assert_eq!(enabled(false, false), 0);
}
