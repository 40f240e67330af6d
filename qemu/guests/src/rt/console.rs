// SPDX-License-Identifier: MIT OR Apache-2.0

//! The PL011 as a console, one line of output at a time from any vCPU.

use super::{read32, write32};
use core::fmt::{self, Write};
use platform::UART_BASE;

/// UARTDR.
pub const DR: u64 = 0x00;
/// UARTFR.
pub const FR: u64 = 0x18;
const FR_RXFE: u32 = 1 << 4;
const FR_TXFF: u32 = 1 << 5;

static LOCK: spin::Mutex<()> = spin::Mutex::new(());

struct Uart;

/// Takes a byte that was typed at the console, if there is one.
pub fn typed() -> Option<u8> {
    let is_there = read32(UART_BASE.0 + FR) & FR_RXFE == 0;
    is_there.then(|| read32(UART_BASE.0 + DR) as u8)
}

/// Sends one byte as soon as the transmit FIFO has room.
pub fn put(byte: u8) {
    while read32(UART_BASE.0 + FR) & FR_TXFF != 0 {
        core::hint::spin_loop();
    }
    write32(UART_BASE.0 + DR, u32::from(byte));
}

impl Write for Uart {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            if byte == b'\n' {
                put(b'\r');
            }
            put(byte);
        }
        Ok(())
    }
}

/// Prints a piece of a line.
pub fn print(args: fmt::Arguments<'_>) {
    let _line = LOCK.lock();
    // Writing to the UART cannot fail.
    let _ = Uart.write_fmt(args);
}

/// Prints from a place that may have interrupted another print.
pub fn print_last_words(args: fmt::Arguments<'_>) {
    let _ = Uart.write_fmt(args);
}

/// Prints a line.
#[macro_export]
macro_rules! println {
    ($($arg:tt)*) => {
        $crate::rt::console::print(format_args!("{}\n", format_args!($($arg)*)))
    };
}
