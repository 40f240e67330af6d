// SPDX-License-Identifier: MIT OR Apache-2.0

//! From the UART to who takes what is typed.
//!
//! Protocol: `POLLS` has its own in `super`.

use core::sync::atomic::Ordering;

use super::{POLLS, UART, output};

/// Bytes that are read in a visit.
const VISIT: usize = 16;

/// Who takes what is typed.
#[derive(Clone, Copy)]
pub struct Typist {
    /// Whether there is room for a byte.
    pub has_room: fn() -> bool,
    /// Takes a byte.
    pub typed: fn(u8),
    /// Tells a line of what was asked for, if there is [`super::has_room`]. True if there may be more.
    pub tell: fn() -> bool,
}

/// Reads some of what was typed. True if the UART's interrupt has to tell of more.
pub fn visit(typist: &Typist) -> bool {
    let Some(uart) = UART.get() else { return false };
    for _ in 0..VISIT {
        if !(typist.has_room)() {
            // Meanwhile the UART's FIFO holds what is typed, and its flow control the sender.
            output::look_soon();
            return false;
        }
        let Some(byte) = uart.driver().receive() else {
            if POLLS.load(Ordering::Relaxed) {
                output::look_soon();
            }
            return true;
        };
        (typist.typed)(byte);
    }
    output::look_soon();
    true
}
