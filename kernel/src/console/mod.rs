//! The board's console: EL2's own lines and every guest's output, on one UART.
//!
//! EL2's lines start with `teevisor: `. With several guests, each guest's lines start with its
//! name. What is typed is handled by `monitor`. Output that cannot be sent because no console was
//! found is dropped.

mod cadence;
mod mini_uart;
mod pl011;
mod uart;

use core::fmt;
use core::sync::atomic::{AtomicBool, Ordering};

use conmux::Mux;
pub use conmux::View;
use log::{Level, LevelFilter, Log, Metadata, Record};
use spin::{Mutex, Once};

use uart::Uart;

/// Outside the lock, so that what is typed does not wait for what is written.
static UART: Once<Uart> = Once::new();
static LINES: Mutex<Mux> = Mutex::new(Mux::new());
/// There may be kept output to write. Changes under the lock of [`LINES`].
static BEHIND: AtomicBool = AtomicBool::new(false);

fn send(byte: u8) {
    if let Some(uart) = UART.get() {
        uart.send(byte);
    }
}

/// Uses the board's console from now on.
///
/// # Safety
/// Its registers are mapped as a device and EL2 owns them.
pub unsafe fn set_uart(console: &board::Console) {
    // SAFETY: the caller's promise.
    UART.call_once(|| unsafe { Uart::new(console) });
}

/// Makes room for the next guest, called `name`.
pub fn add_guest(name: &str) {
    LINES.lock().add_guest(name);
}

/// One byte that guest number `vm` sent.
pub fn guest_output(vm: u16, byte: u8) {
    LINES.lock().guest(vm.into(), byte, &mut send);
}

/// Shows other guests' output from now on; what was kept of it comes by [`catch_up`].
pub fn show(view: View) {
    let mut lines = LINES.lock();
    lines.show(view, &mut send);
    BEHIND.store(true, Ordering::Relaxed);
}

/// Writes a line of the output that was kept. True if there may be more: one at a time, since
/// the wire is slow and interrupts wait.
pub fn catch_up() -> bool {
    if !BEHIND.load(Ordering::Relaxed) {
        return false;
    }
    let mut lines = LINES.lock();
    let more = lines.catch_up(&mut send);
    BEHIND.store(more, Ordering::Relaxed);
    more
}

/// Guest number `vm` is typed to.
pub fn attend(vm: usize) {
    LINES.lock().attend(vm, &mut send);
}

/// Shows the monitor's prompt and what was typed behind it.
pub fn prompt(text: fmt::Arguments<'_>) {
    LINES.lock().prompt(text, &mut send);
}

/// Shows a byte typed behind the monitor's prompt; with it, that is `text`.
pub fn echo(byte: u8, text: fmt::Arguments<'_>) {
    LINES.lock().echo(byte, text, &mut send);
}

/// Ends the line with the monitor's prompt.
pub fn end_prompt() {
    LINES.lock().end_prompt(&mut send);
}

/// The next byte typed at the console. Only the core that takes the UART's interrupt asks.
pub fn receive() -> Option<u8> {
    UART.get().and_then(Uart::receive)
}

/// Interrupts EL2 when something is typed.
pub fn enable_receive_interrupt() {
    if let Some(uart) = UART.get() {
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
        LINES
            .lock()
            .line(format_args!("{label}{}", record.args()), &mut send);
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
        if let Some(mut lines) = LINES.try_lock() {
            return lines.line(text, &mut send);
        }
        core::hint::spin_loop();
    }
    // SAFETY: the holder is stuck; two writers can only garble characters.
    unsafe { LINES.force_unlock() };
    if let Some(mut lines) = LINES.try_lock() {
        lines.line(text, &mut send);
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
