//! The board's console: EL2's own lines and every guest's output, on one UART.
//!
//! EL2's lines start with `teevisor: `. With several guests, each guest's lines start with its
//! name. Output that cannot be sent because no console was found is dropped.

mod pl011;

use core::fmt::{self, Write};

use log::{Level, LevelFilter, Log, Metadata, Record};
use spin::Mutex;

use crate::arch::mmio::Mmio;
use pl011::Pl011;

/// Who wrote last, to keep the lines of several writers apart.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Writer {
    El2,
    Guest(u16),
}

struct Console {
    uart: Option<Pl011>,
    writer: Writer,
    at_line_start: bool,
    prefix_guests: bool,
}

static CONSOLE: Mutex<Console> = Mutex::new(Console {
    uart: None,
    writer: Writer::El2,
    at_line_start: true,
    prefix_guests: false,
});

impl Console {
    fn raw(&mut self, byte: u8) {
        if let Some(uart) = self.uart {
            uart.send(byte);
        }
        self.at_line_start = byte == b'\n';
    }

    /// Makes `writer` the one who writes, on a line of its own.
    fn switch_to(&mut self, writer: Writer) {
        if self.writer != writer && !self.at_line_start {
            self.raw(b'\r');
            self.raw(b'\n');
        }
        self.writer = writer;
    }
}

impl Write for Console {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            if byte == b'\n' {
                self.raw(b'\r');
            }
            self.raw(byte);
        }
        Ok(())
    }
}

/// Uses the PL011 at `frame` from now on.
pub fn set_uart(frame: Mmio) {
    CONSOLE.lock().uart = Some(Pl011::new(frame));
}

/// Marks every guest's lines with its name.
pub fn prefix_guests() {
    CONSOLE.lock().prefix_guests = true;
}

/// One byte that guest number `vm`, called `name`, sent.
pub fn guest_output(vm: u16, name: &str, byte: u8) {
    let mut console = CONSOLE.lock();
    console.switch_to(Writer::Guest(vm));
    if console.at_line_start && console.prefix_guests && byte != b'\r' {
        let _ = write!(console, "{name}| ");
    }
    console.raw(byte);
}

/// The next byte typed at the console.
pub fn receive() -> Option<u8> {
    let uart = CONSOLE.lock().uart;
    uart.and_then(|uart| uart.receive())
}

/// Interrupts EL2 when something is typed.
pub fn enable_receive_interrupt() {
    if let Some(uart) = CONSOLE.lock().uart {
        uart.enable_receive_interrupt();
    }
}

struct Logger;

impl Log for Logger {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let mut console = CONSOLE.lock();
        console.switch_to(Writer::El2);
        let label = match record.level() {
            Level::Error => "error: ",
            Level::Warn => "warning: ",
            _ => "",
        };
        let _ = writeln!(console, "teevisor: {label}{}", record.args());
    }

    fn flush(&self) {}
}

/// Sends the `log` macros to the console.
pub fn init_log() {
    // The only error is a second call, which changes nothing.
    let _ = log::set_logger(&Logger);
    log::set_max_level(LevelFilter::Info);
}

/// Writes a last line even if the core that held the console's lock is the one that fails.
pub fn last_words(text: fmt::Arguments<'_>) {
    // A core that died inside the console keeps the lock for ever; every other holder is brief.
    for _ in 0..1_000_000 {
        if let Some(mut console) = CONSOLE.try_lock() {
            console.switch_to(Writer::El2);
            let _ = writeln!(console, "teevisor: {text}");
            return;
        }
        core::hint::spin_loop();
    }
    // SAFETY: the holder is stuck; two writers can only garble characters.
    unsafe { CONSOLE.force_unlock() };
    if let Some(mut console) = CONSOLE.try_lock() {
        let _ = writeln!(console, "\nteevisor: {text}");
    }
}

/// Says, without locks and with the MMU off, that EL2 was not where we were entered.
pub fn write_bare(frame: Mmio, level: u64) {
    let uart = Pl011::new(frame);
    let send = |text: &str| text.bytes().for_each(|byte| uart.send(byte));
    send("\r\nteevisor: error: entered at EL");
    uart.send(b'0' + level as u8);
    send("; start it at EL2 (QEMU: -machine virt,virtualization=on)\r\n");
}
