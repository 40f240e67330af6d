// SPDX-License-Identifier: MIT OR Apache-2.0

//! ST's STM32.

use crate::bench::{Bench, Line, Model, room, talks_by_interrupts, talks_by_polling};
use platform::{ConsoleKind, RegisterLayout};

const KIND: ConsoleKind = ConsoleKind::Stm32;
const DEPTH: usize = 16;
/// UE, RE, TE and FIFOEN.
const ENABLED: u32 = 1 << 29 | 0b1101;
const OVERRUN: u32 = 1 << 3;

/// RM0457, "USART": CR1, CR3, ISR and ICR.
struct Stm32 {
    control: [u32; 2],
    errors: u32,
}

impl Stm32 {
    fn bench() -> Bench<Self> {
        let model = Self {
            // All interrupts, as if the firmware had used them.
            control: [
                0b111 << 29 | 1 | 0b11 << 26 | 1 << 14 | 0x1f0,
                1 << 28 | 1 << 23 | 1,
            ],
            errors: 0,
        };
        Bench::new(model, RegisterLayout::WORDS)
    }

    fn status(&self, line: &Line) -> u32 {
        self.errors
            | u32::from(line.transmit.len() < DEPTH) << 7
            | u32::from(!line.receive.is_empty()) << 5
    }
}

impl Model for Stm32 {
    fn read(&mut self, line: &mut Line, number: u64) -> u32 {
        match number {
            0x00 => self.control[0],
            0x08 => self.control[1],
            0x1c => self.status(line),
            0x24 => line.receive.pop_front().unwrap().into(),
            _ => panic!("register {number:#x}"),
        }
    }

    fn write(&mut self, line: &mut Line, number: u64, value: u32) {
        match number {
            0x00 => self.control[0] = value,
            0x08 => self.control[1] = value,
            0x20 => self.errors &= !value,
            0x28 => line.accept(value, DEPTH),
            _ => panic!("register {number:#x}"),
        }
    }

    fn interrupts(&mut self, line: &Line) -> bool {
        let status = self.status(line);
        let others = self.control[0] & (1 << 30 | 1 << 26) != 0 || self.control[1] != 0;
        let overrun = self.control[0] & 1 << 5 != 0 && status & OVERRUN != 0;
        self.control[0] & status & 0b1010_0000 != 0 || overrun || others
    }
}

#[test]
fn an_stm32_talks() {
    let bench = Stm32::bench();
    talks_by_interrupts(&bench, KIND);
    assert_eq!(bench.model(|model| model.control), [ENABLED, 0]);
    talks_by_polling(&bench_without_interrupts(), KIND);
    assert_eq!(room(Stm32::bench().uart(KIND).driver()), DEPTH);
}

fn bench_without_interrupts() -> Bench<Stm32> {
    let bench = Stm32::bench();
    bench.model(|model| model.control = [ENABLED, 0]);
    bench
}

#[test]
fn an_overruns_interrupt_ends() {
    let bench = bench_without_interrupts();
    let uart = bench.uart(KIND);
    uart.driver().set_interrupts(true, false);
    bench.model(|model| model.errors = OVERRUN | 0b111);
    assert!(bench.interrupts());
    assert_eq!(uart.driver().receive(), None);
    assert!(!bench.interrupts());
    assert_eq!(bench.model(|model| model.errors), 0);
}
