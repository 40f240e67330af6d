// SPDX-License-Identifier: MIT OR Apache-2.0

//! The 16550 and its relatives, against models of their registers.

use crate::bench::{Bench, Line, Model, room, talks_by_interrupts, talks_by_polling};
use platform::{AccessWidth, ConsoleKind, RegisterLayout};

const DEPTH: usize = 16;
const SPREAD: RegisterLayout = RegisterLayout::packed(AccessWidth::Word, 2);

/// PC16550D, 8.0: registers by their numbers, with DesignWare's and Tegra's additions.
struct Ns16550 {
    has_fifos: bool,
    is_tegra: bool,
    enabled: u32,
    /// The transmitter has become empty, and nobody has looked yet.
    is_empty_new: bool,
    is_busy_detected: bool,
    is_timed_out: bool,
}

const PC16550D: Ns16550 = Ns16550 {
    has_fifos: true,
    is_tegra: false,
    // What firmware might leave: all sources, and DesignWare's PTIME.
    enabled: 0x8f,
    is_empty_new: false,
    is_busy_detected: false,
    is_timed_out: false,
};

impl Ns16550 {
    /// IIR's source of the highest priority.
    fn source(&self, line: &Line) -> u32 {
        let receives = match self.is_tegra {
            // Below the trigger level only the timeout's own interrupt tells.
            true => self.enabled & 1 << 4,
            false => self.enabled & 1,
        };
        match () {
            () if receives != 0 && !line.receive.is_empty() => 0x4,
            () if self.is_timed_out && self.enabled & 1 != 0 => 0xc,
            () if self.is_empty_new && self.enabled & 2 != 0 => 0x2,
            () if self.is_busy_detected => 0x7,
            () => 0x1,
        }
    }
}

impl Model for Ns16550 {
    fn read(&mut self, line: &mut Line, number: u64) -> u32 {
        match number {
            0 => {
                self.is_timed_out = false;
                line.receive.pop_front().unwrap_or_default().into()
            }
            2 => {
                let source = self.source(line);
                self.is_empty_new &= source != 0x2;
                source | if self.has_fifos { 0xc0 } else { 0 }
            }
            5 => {
                let empty = u32::from(line.transmit.is_empty()) << 5;
                empty | u32::from(!line.receive.is_empty())
            }
            0x1f => {
                self.is_busy_detected = false;
                0
            }
            _ => panic!("register {number}"),
        }
    }

    fn write(&mut self, line: &mut Line, number: u64, value: u32) {
        match number {
            0 => {
                let depth = if self.has_fifos { DEPTH } else { 1 };
                line.accept(value, depth);
                self.is_empty_new = false;
            }
            1 => {
                self.is_empty_new |= !self.enabled & value & 2 != 0 && line.transmit.is_empty();
                self.enabled = value;
            }
            _ => panic!("register {number}"),
        }
    }

    fn interrupts(&mut self, line: &Line) -> bool {
        self.source(line) != 0x1
    }

    fn byte_left(&mut self, line: &Line) {
        self.is_empty_new |= line.transmit.is_empty();
    }
}

fn layouts() -> [RegisterLayout; 5] {
    [
        RegisterLayout::BYTES,
        RegisterLayout::packed(AccessWidth::Byte, 2),
        RegisterLayout::packed(AccessWidth::Half, 1),
        SPREAD,
        RegisterLayout {
            offset: 0x200,
            is_big_endian: true,
            ..SPREAD
        },
    ]
}

#[test]
fn a_16550_talks_wherever_its_registers_are() {
    for layout in layouts() {
        for kind in [ConsoleKind::Ns16550, ConsoleKind::DwApb] {
            talks_by_interrupts(&Bench::new(PC16550D, layout), kind);
            talks_by_polling(&Bench::new(PC16550D, layout), kind);
        }
    }
}

#[test]
fn a_tegras_timeout_tells_of_what_is_typed() {
    let tegra = Ns16550 {
        is_tegra: true,
        ..PC16550D
    };
    talks_by_interrupts(&Bench::new(tegra, SPREAD), ConsoleKind::Tegra);
}

#[test]
fn an_empty_transmitter_takes_as_much_as_its_fifo() {
    let bench = Bench::new(PC16550D, SPREAD);
    let uart = bench.uart(ConsoleKind::DwApb);
    assert_eq!(room(uart.driver()), DEPTH);
    bench.leave(DEPTH - 1);
    assert_eq!(room(uart.driver()), 0, "one byte is still in it");
    bench.leave(1);
    assert_eq!(room(uart.driver()), DEPTH);
}

#[test]
fn without_fifos_a_byte_goes_at_a_time() {
    let plain = Ns16550 {
        has_fifos: false,
        ..PC16550D
    };
    let bench = Bench::new(plain, RegisterLayout::BYTES);
    talks_by_interrupts(&bench, ConsoleKind::Ns16550);
    assert_eq!(room(bench.uart(ConsoleKind::Ns16550).driver()), 1);
}

#[test]
fn a_busy_detect_of_the_firmwares_ends() {
    let bench = Bench::new(PC16550D, SPREAD);
    bench.model(|model| model.is_busy_detected = true);
    let uart = bench.uart(ConsoleKind::DwApb);
    assert!(bench.interrupts());
    assert_eq!(uart.driver().receive(), None);
    assert!(!bench.interrupts());
}

#[test]
fn a_timeout_without_a_byte_ends() {
    for kind in [ConsoleKind::DwApb, ConsoleKind::Ns16550] {
        let bench = Bench::new(PC16550D, SPREAD);
        let uart = bench.uart(kind);
        uart.driver().set_interrupts(true, false);
        bench.model(|model| model.is_timed_out = true);
        assert!(bench.interrupts());
        assert_eq!(uart.driver().receive(), None);
        assert!(!bench.interrupts());
    }
}
