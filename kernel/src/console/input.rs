//! From the UART to the operator's keyboard.

use super::{UART, output};
use crate::monitor;

/// Bytes that are read in a visit.
const VISIT: usize = 16;

/// Reads some of what was typed. True if the UART's interrupt has to tell of more.
pub fn visit() -> bool {
    let Some(uart) = UART.get() else { return false };
    for _ in 0..VISIT {
        if !monitor::has_room() {
            // Meanwhile the UART's FIFO holds what is typed, and its flow control the sender.
            output::look_soon();
            return false;
        }
        let Some(byte) = uart.receive() else {
            return true;
        };
        monitor::typed(byte);
    }
    output::look_soon();
    true
}
