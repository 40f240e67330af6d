// SPDX-License-Identifier: MIT OR Apache-2.0

//! A bench for a model of a UART: what is on its line, and the console's part at the other end.

use std::collections::VecDeque;
use std::sync::Mutex;

use platform::{AccessWidth, ConsoleKind, RegisterLayout};
use uart::{Driver, Frame, Uart};

/// What a model's FIFOs hold, and what has left it.
#[derive(Default)]
pub struct Line {
    pub transmit: VecDeque<u8>,
    pub receive: VecDeque<u8>,
    pub sent: Vec<u8>,
}

impl Line {
    /// Takes a byte into a FIFO for so many, or a register.
    pub fn accept(&mut self, value: u32, depth: usize) {
        assert!(self.transmit.len() < depth, "overrun");
        self.transmit.push_back(value as u8);
    }
}

/// A UART's registers, by number, written from its manual.
pub trait Model: Send {
    fn read(&mut self, line: &mut Line, number: u64) -> u32;
    fn write(&mut self, line: &mut Line, number: u64, value: u32);
    /// Whether it interrupts. One that does so by edges forgets it when asked.
    fn interrupts(&mut self, line: &Line) -> bool;
    /// The width of a register, if it has one of its own.
    fn width(&self, _number: u64) -> Option<AccessWidth> {
        None
    }
    /// A byte has left the transmit FIFO.
    fn byte_left(&mut self, _line: &Line) {}
    /// A byte has arrived in the receive FIFO.
    fn byte_arrived(&mut self, _line: &Line) {}
}

pub struct Bench<M> {
    pub layout: RegisterLayout,
    pub inner: Mutex<(M, Line)>,
}

impl<M: Model> Bench<M> {
    pub fn new(model: M, layout: RegisterLayout) -> Self {
        let inner = Mutex::new((model, Line::default()));
        Self { layout, inner }
    }

    pub fn uart(&self, kind: ConsoleKind) -> Uart<'_> {
        Uart::new(kind, self.layout, self)
    }

    /// Lets bytes arrive.
    pub fn arrive(&self, bytes: &[u8]) {
        let (model, line) = &mut *self.inner.lock().unwrap();
        for &byte in bytes {
            line.receive.push_back(byte);
            model.byte_arrived(line);
        }
    }

    /// Lets as many bytes leave.
    pub fn leave(&self, count: usize) {
        let (model, line) = &mut *self.inner.lock().unwrap();
        for _ in 0..count {
            if let Some(byte) = line.transmit.pop_front() {
                line.sent.push(byte);
                model.byte_left(line);
            }
        }
    }

    pub fn interrupts(&self) -> bool {
        let (model, line) = &mut *self.inner.lock().unwrap();
        model.interrupts(line)
    }

    pub fn sent(&self) -> Vec<u8> {
        self.inner.lock().unwrap().1.sent.clone()
    }

    /// Changes the model, or looks at it.
    pub fn model<T>(&self, with: impl FnOnce(&mut M) -> T) -> T {
        with(&mut self.inner.lock().unwrap().0)
    }

    fn number(&self, model: &M, offset: u64, width: AccessWidth) -> u64 {
        let inside = offset - u64::from(self.layout.offset);
        let number = inside >> self.layout.shift;
        assert_eq!(number << self.layout.shift, inside, "between two registers");
        let expected = model.width(number).unwrap_or(self.layout.width);
        assert_eq!(width, expected, "register {number:#x}");
        number
    }

    fn in_order(&self, value: u32, width: AccessWidth) -> u32 {
        let shift = 32 - 8 * width.bytes() as u32;
        match self.layout.is_big_endian {
            true => (value << shift).swap_bytes(),
            false => value,
        }
    }
}

impl<M: Model> Frame for Bench<M> {
    fn read(&self, offset: u64, width: AccessWidth) -> u32 {
        let (model, line) = &mut *self.inner.lock().unwrap();
        let number = self.number(model, offset, width);
        self.in_order(model.read(line, number), width)
    }

    fn write(&self, offset: u64, width: AccessWidth, value: u32) {
        let (model, line) = &mut *self.inner.lock().unwrap();
        let number = self.number(model, offset, width);
        model.write(line, number, self.in_order(value, width));
    }
}

/// What waits to be sent, and what was received.
#[derive(Default)]
struct Console {
    waiting: VecDeque<u8>,
    received: Vec<u8>,
}

impl Console {
    /// What the hypervisor does at each interrupt of the UART. True if there was no room.
    fn visit(&mut self, uart: &dyn Driver) -> bool {
        self.received.extend(core::iter::from_fn(|| uart.receive()));
        uart.clear_transmit_interrupt();
        while let Some(&byte) = self.waiting.front() {
            if !uart.send(byte) {
                return true;
            }
            self.waiting.pop_front();
        }
        false
    }
}

/// Steps of a dialogue. Each types some bytes, prints some, and lets some leave.
const STEPS: usize = 200;
/// The last one, when all has been sent.
const LAST: usize = STEPS + 2000;

fn step(number: usize) -> (Vec<u8>, Vec<u8>, usize) {
    let bytes = |count: usize| (0..count).map(|i| (number * 7 + i) as u8).collect();
    let prints = if number % 50 < 25 { number % 23 } else { 0 };
    (bytes(number % 4), bytes(prints), number % 11)
}

/// Talks for a while, both directions at once, and looks only when the UART interrupts or when there is something new to
/// print. All must arrive, and once nothing is left to do there must be quiet.
pub fn talks_by_interrupts<M: Model>(bench: &Bench<M>, kind: ConsoleKind) {
    let uart = bench.uart(kind);
    let driver = uart.driver();
    assert!(driver.prepare_interrupts());
    driver.set_interrupts(true, false);
    let mut console = Console::default();
    let (mut typed, mut printed) = (Vec::new(), Vec::new());
    for number in 0..=LAST {
        let (types, prints, leaves) = match number {
            0..STEPS => step(number),
            // When all has been sent for long, only what is typed can interrupt.
            LAST => (b"end".to_vec(), vec![], 1),
            _ => (vec![], vec![], 1),
        };
        bench.arrive(&types);
        let kick = !prints.is_empty() && console.waiting.is_empty();
        console.waiting.extend(&prints);
        typed.extend(types);
        printed.extend(prints);
        bench.leave(leaves);
        let mut looks = 0;
        while bench.interrupts() || kick && looks == 0 {
            let is_full = console.visit(driver);
            driver.set_interrupts(true, is_full);
            looks += 1;
            assert!(looks < 5, "interrupts without end at step {number}");
        }
    }
    assert!(console.received == typed, "{:?}", console.received);
    assert!(bench.sent() == printed, "{:?}", bench.sent());
    driver.set_interrupts(false, false);
    bench.arrive(b"unheard");
    assert!(!bench.interrupts());
}

/// Talks for a while without any interrupt.
pub fn talks_by_polling<M: Model>(bench: &Bench<M>, kind: ConsoleKind) {
    let uart = bench.uart(kind);
    let driver = uart.driver();
    driver.set_interrupts(false, false);
    let mut console = Console::default();
    let (mut typed, mut printed) = (Vec::new(), Vec::new());
    for number in 0..=LAST {
        let (types, prints, leaves) = match number {
            0..STEPS => step(number),
            _ => (vec![], vec![], 8),
        };
        bench.arrive(&types);
        console.waiting.extend(&prints);
        typed.extend(types);
        printed.extend(prints);
        bench.leave(leaves);
        console.visit(driver);
        assert!(!bench.interrupts());
    }
    assert!(console.received == typed, "{:?}", console.received);
    assert!(bench.sent() == printed, "{:?}", bench.sent());
}

/// Returns how many bytes a driver sends before it finds no room, at most 1,000.
pub fn room(driver: &dyn Driver) -> usize {
    (0..1000).take_while(|i| driver.send(*i as u8)).count()
}
