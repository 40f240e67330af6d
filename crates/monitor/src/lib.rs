// SPDX-License-Identifier: MIT OR Apache-2.0

//! What an operator types at the board's console: keys for a guest, keys behind the escape key,
//! commands of the monitor; and how the monitor shows what it is told.
//!
//! It sees only bytes that the physical UART received, one at a time, and says what each of them
//! means. The kernel has the data and does what is asked for. Nothing here allocates.
#![no_std]
#![forbid(unsafe_code)]

mod command;
mod keys;
mod lines;
mod trace;

pub use command::{Act, Command, Error, HELP, parse};
pub use keys::{Event, KEYS, Keyboard, LINE, PROMPT, Text};
pub use lines::{DeniedLine, GuestLine, TeeCounters, TeeUsage, VcpuLine};
pub use trace::{Detail, TraceLine};

#[cfg(test)]
mod tests;
