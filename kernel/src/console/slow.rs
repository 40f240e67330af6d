// SPDX-License-Identifier: MIT OR Apache-2.0

//! A UART as slow as a real one, for tests on a machine whose UART takes no time.

use core::sync::atomic::{AtomicU64, Ordering};

use crate::arch::timer;

/// Bytes a second: ten bits each, at 115,200 baud.
const RATE: u64 = 11_520;
/// Bytes that the FIFO holds.
const FIFO: u64 = 16;

/// When the last byte will be out, in ticks of the system counter.
///
/// Protocol: under the console's lock.
static OUT_AT: AtomicU64 = AtomicU64::new(0);

/// Takes the room of a byte in the FIFO, if there is any.
pub fn take_room() -> bool {
    let (now, byte) = (timer::now(), timer::frequency() / RATE);
    let busy_until = OUT_AT.load(Ordering::Relaxed).max(now);
    let room = busy_until <= now + (FIFO - 1) * byte;
    if room {
        OUT_AT.store(busy_until + byte, Ordering::Relaxed);
    }
    room
}
