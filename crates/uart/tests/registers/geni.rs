// SPDX-License-Identifier: MIT OR Apache-2.0

//! Qualcomm's GENI, with each number of bytes in a word of its FIFO.

use crate::bench::{Bench, Line, Model, room, talks_by_interrupts, talks_by_polling};
use platform::{ConsoleKind, RegisterLayout};

const KIND: ConsoleKind = ConsoleKind::Geni;
const START: u32 = 1 << 27;
const DONE: u32 = 1;
const RECEIVED: u32 = 1 << 26 | 1 << 27;

/// Linux: include/linux/soc/qcom/geni-se.h. Words of what has arrived are closed when it is looked at, as after the stale
/// time.
#[derive(Default)]
struct Geni {
    bytes_per_word: usize,
    is_receiving: bool,
    is_sending: bool,
    length: u32,
    enabled: [u32; 2],
    pending: [u32; 2],
    /// SE_GENI_DMA_MODE_EN, SE_GSI_EVENT_EN and SE_IRQ_EN.
    dma: u32,
    events: u32,
    gate: u32,
}

impl Geni {
    fn bench(bytes_per_word: usize) -> Bench<Self> {
        let model = Self {
            bytes_per_word,
            pending: [u32::MAX; 2],
            // As firmware that uses the GSI would leave them.
            events: 0b1111,
            ..Self::default()
        };
        Bench::new(model, RegisterLayout::WORDS)
    }

    /// geni_se_config_packing() in words: the last byte of a word has the stop bit.
    fn packing(&self, first: usize) -> u32 {
        let place = |byte: usize| {
            let stops = u32::from(byte + 1 == self.bytes_per_word);
            (byte as u32) << 8 | 7 << 1 | stops
        };
        place(first) | place(first + 1) << 10
    }

    fn update(&mut self, line: &Line) {
        if self.is_receiving && !line.receive.is_empty() {
            self.pending.iter_mut().for_each(|word| *word |= RECEIVED);
        }
    }
}

impl Model for Geni {
    fn read(&mut self, line: &mut Line, number: u64) -> u32 {
        match number {
            0x040 => u32::from(self.is_receiving) << 12 | u32::from(self.is_sending),
            0x258 => self.dma,
            0x284 => self.packing(0),
            0x288 => self.packing(2),
            0x780 => {
                let count = line.receive.len().min(self.bytes_per_word);
                let mut word = [0xee; 4];
                word.iter_mut()
                    .zip(line.receive.drain(..count))
                    .for_each(|(to, byte)| *to = byte);
                u32::from_le_bytes(word)
            }
            0x804 => {
                let words = line.receive.len().div_ceil(self.bytes_per_word) as u32;
                match line.receive.len() % self.bytes_per_word {
                    0 => words,
                    bytes => words | 1 << 31 | (bytes as u32) << 28,
                }
            }
            _ => panic!("register {number:#x}"),
        }
    }

    fn write(&mut self, line: &mut Line, number: u64, value: u32) {
        match number {
            0x258 => self.dma = value,
            0x270 => self.length = value,
            0x600 => {
                assert_eq!((value, self.is_sending), (START, false));
                self.is_sending = true;
            }
            0x630 => {
                assert_eq!((value, self.is_receiving), (START, false));
                self.is_receiving = true;
            }
            0x700 => {
                assert!(self.is_sending && self.length == 1 && line.transmit.is_empty());
                line.transmit.push_back(value as u8);
            }
            0x614 => self.enabled[0] = value,
            0x644 => self.enabled[1] = value,
            0x618 => self.pending[0] &= !value,
            0x648 => self.pending[1] &= !value,
            0xe18 => self.events = value,
            0xe1c => self.gate = value,
            _ => panic!("register {number:#x}"),
        }
        self.update(line);
    }

    fn interrupts(&mut self, line: &Line) -> bool {
        self.update(line);
        let open = self.gate & !self.events;
        (0..2).any(|i| open & 4 << i != 0 && self.enabled[i] & self.pending[i] != 0)
    }

    fn byte_left(&mut self, _: &Line) {
        self.is_sending = false;
        self.pending[0] |= DONE;
    }
}

#[test]
fn a_geni_talks_however_bytes_are_packed() {
    for bytes_per_word in 1..=4 {
        talks_by_interrupts(&Geni::bench(bytes_per_word), KIND);
        talks_by_polling(&Geni::bench(bytes_per_word), KIND);
    }
}

#[test]
fn the_engine_lets_interrupts_out() {
    let bench = Geni::bench(1);
    bench.model(|model| (model.dma, model.gate) = (0b11, 0b11));
    let uart = bench.uart(KIND);
    assert!(uart.driver().prepare_interrupts());
    let left = bench.model(|model| (model.dma, model.events, model.gate));
    assert_eq!(left, (0b10, 0, 0b1100));
}

#[test]
fn a_byte_is_a_command() {
    let bench = Geni::bench(4);
    let uart = bench.uart(KIND);
    assert_eq!(room(uart.driver()), 1);
    bench.leave(1);
    assert_eq!(room(uart.driver()), 1);
}

#[test]
fn a_command_of_the_firmwares_goes_on() {
    let bench = Geni::bench(1);
    bench.model(|model| model.is_receiving = true);
    bench.arrive(b"k");
    assert_eq!(bench.uart(KIND).driver().receive(), Some(b'k'));
}

#[test]
fn both_sequencers_tell_of_bytes() {
    let bench = Geni::bench(4);
    let uart = bench.uart(KIND);
    uart.driver().prepare_interrupts();
    assert_eq!(bench.model(|model| model.pending), [0, 0]);
    uart.driver().set_interrupts(true, true);
    let both = bench.model(|model| model.enabled);
    assert_eq!(both, [RECEIVED | DONE, RECEIVED]);
    uart.driver().set_interrupts(false, false);
    assert_eq!(bench.model(|model| model.enabled), [0, 0]);
}
