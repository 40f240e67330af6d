//! The board's console: EL2's own lines and every guest's output, on one UART.
//!
//! EL2's lines start with `teevisor: `. With several guests, each guest's lines start with its
//! name. Output that cannot be sent because no console was found is dropped.

mod cadence;
mod mini_uart;
mod pl011;
mod uart;

use core::fmt;

use conmux::Mux;
use log::{Level, LevelFilter, Log, Metadata, Record};
use spin::Mutex;

use uart::Uart;

struct Console {
    uart: Option<Uart>,
    lines: Mux,
}

static CONSOLE: Mutex<Console> = Mutex::new(Console {
    uart: None,
    lines: Mux::new(),
});

impl Console {
    fn line(&mut self, text: fmt::Arguments<'_>) {
        let uart = self.uart;
        self.lines.line(text, &mut |byte| send(uart, byte));
    }
}

fn send(uart: Option<Uart>, byte: u8) {
    if let Some(uart) = uart {
        uart.send(byte);
    }
}

/// Uses the board's console from now on.
///
/// # Safety
/// Its registers are mapped as a device and EL2 owns them.
pub unsafe fn set_uart(console: &board::Console) {
    // SAFETY: the caller's promise.
    CONSOLE.lock().uart = Some(unsafe { Uart::new(console) });
}

/// Makes room for the next guest, called `name`.
pub fn add_guest(name: &str) {
    CONSOLE.lock().lines.add_guest(name);
}

/// One byte that guest number `vm` sent.
pub fn guest_output(vm: u16, byte: u8) {
    let Console { uart, lines } = &mut *CONSOLE.lock();
    lines.guest(vm.into(), byte, &mut |byte| send(*uart, byte));
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
        let label = match record.level() {
            Level::Error => "error: ",
            Level::Warn => "warning: ",
            _ => "",
        };
        CONSOLE
            .lock()
            .line(format_args!("teevisor: {label}{}", record.args()));
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
            return console.line(format_args!("teevisor: {text}"));
        }
        core::hint::spin_loop();
    }
    // SAFETY: the holder is stuck; two writers can only garble characters.
    unsafe { CONSOLE.force_unlock() };
    if let Some(mut console) = CONSOLE.try_lock() {
        console.line(format_args!("teevisor: {text}"));
    }
}

/// Says, without locks and with the MMU off, that EL2 was not where we were entered.
///
/// # Safety
/// The console is a UART that nobody else uses.
pub unsafe fn write_bare(console: &board::Console, level: u64) {
    // SAFETY: the caller's promise.
    let uart = unsafe { Uart::new(console) };
    let send = |text: &str| text.bytes().for_each(|byte| uart.send(byte));
    send("\r\nteevisor: error: entered at EL");
    uart.send(b'0' + level as u8);
    send("; start it at EL2 (QEMU: -machine virt,virtualization=on)\r\n");
}
