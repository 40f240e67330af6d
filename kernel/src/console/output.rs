// SPDX-License-Identifier: MIT OR Apache-2.0

//! From the rings to the UART.

use core::fmt;
use core::sync::atomic::{AtomicBool, Ordering};

use conmux::{Fed, Log, MAX_GUESTS, Mux, Ring, Sources};
use spin::Mutex;

use super::{CORE, INTERRUPTS, KICK, LOOK, NONE, UART};
use crate::arch::timer;

/// Steps of one visit, each a byte sent or some taken out of a ring: they bound how long the
/// core's interrupts wait.
const VISIT: usize = 30;
/// Most steps to write what waits before the board goes off or EL2 has failed.
const LAST: usize = 1 << 16;
/// Looks a second, if no interrupt tells that the UART has room or a byte: often enough for the smallest FIFOs, 16 bytes, at
/// 115,200 baud.
const RATE: u64 = 1000;
/// Looks a second while an interrupt should tell of room: if it is lost, or never comes, output goes on all the same.
const DOUBTS: u64 = 50;

pub static MUX: Mutex<Mux> = Mutex::new(Mux::new());
pub static LINES: Mutex<Log> = Mutex::new(Log::new());
pub static RINGS: [Mutex<Ring>; MAX_GUESTS] = [const { Mutex::new(Ring::new()) }; MAX_GUESTS];
pub const SOURCES: Sources<'static> = Sources {
    log: &LINES,
    rings: &RINGS,
};

/// Output waits, and the housekeeping core knows: it needs no kick more.
///
/// Protocol (litmus/console.litmus): who prints stores a byte under its ring's lock; unlocks; swaps this, and kicks if it
/// was clear. The housekeeping core clears this; locks each ring once more; loads. The lock orders the two. Forbidden:
/// this is found set, and the byte is not found.
static REQUESTED: AtomicBool = AtomicBool::new(false);

/// Tells whether output waits.
#[inline]
pub fn is_requested() -> bool {
    REQUESTED.load(Ordering::Relaxed)
}

/// Lets the housekeeping core write what waits. While EL2 boots, this core does. True if the core had to be kicked.
pub fn request() -> bool {
    match CORE.load(Ordering::Acquire) {
        NONE => write_all(usize::MAX),
        core if !REQUESTED.swap(true, Ordering::SeqCst) => {
            kick(core);
            return true;
        }
        _ => {}
    }
    false
}

fn kick(core: usize) {
    if let Some(kick) = KICK.get() {
        kick(core);
    }
}

/// Writes as much as the UART has room for and a visit allows. True if the UART's interrupt has
/// to tell when there is room again.
pub fn visit() -> bool {
    // Who else has it writes everything before the board goes off.
    let Some(mut mux) = MUX.try_lock() else {
        look_soon();
        return false;
    };
    let mut fed = feed(&mut mux);
    if fed == Fed::All {
        // In this order: what is printed from here on asks for a visit of its own.
        REQUESTED.store(false, Ordering::SeqCst);
        fed = feed(&mut mux);
        if fed != Fed::All {
            REQUESTED.store(true, Ordering::SeqCst);
        }
    }
    let interrupts = INTERRUPTS.load(Ordering::Relaxed);
    match fed {
        Fed::All => {}
        Fed::More => kick(CORE.load(Ordering::Relaxed)),
        Fed::Full if interrupts => look_within(DOUBTS),
        Fed::Full => look_soon(),
    }
    fed == Fed::Full && interrupts
}

/// Comes back by the timer.
pub fn look_soon() {
    look_within(RATE);
}

/// Comes back by the timer, in one `rate`th of a second at the latest.
fn look_within(rate: u64) {
    let at = timer::now() + timer::frequency() / rate;
    LOOK.fetch_min(at, Ordering::Relaxed);
}

fn feed(mux: &mut Mux) -> Fed {
    match UART.get() {
        Some(uart) => {
            // Before the look at its room: room that comes after it interrupts again.
            uart.driver().clear_transmit_interrupt();
            mux.feed(SOURCES, VISIT, |byte| uart.send(byte))
        }
        None => mux.feed(SOURCES, VISIT, |byte| {
            boot::early::put(byte);
            true
        }),
    }
}

/// Writes what waits, at most so many steps, and waits for the UART.
fn write_all(most: usize) {
    MUX.lock().feed(SOURCES, most, |byte| {
        send_now(byte);
        true
    });
}

fn send_now(byte: u8) {
    match UART.get() {
        Some(uart) => uart.send_now(byte),
        None => boot::early::put(byte),
    }
}

/// Writes what waits before the board goes off.
pub fn flush() {
    write_all(LAST);
}

/// Writes what waits and a last line, even if the core that held one of the console's locks is
/// the one that fails.
pub fn last_words(text: fmt::Arguments<'_>) {
    // The core that died inside the console keeps a lock for ever; every other holder is brief.
    free(&MUX);
    free(&LINES);
    RINGS.iter().for_each(free);
    if let Some(mut mux) = MUX.try_lock() {
        mux.feed(SOURCES, LAST, |byte| {
            send_now(byte);
            true
        });
        mux.write_now(text, send_now);
    }
}

fn free<T>(lock: &Mutex<T>) {
    for _ in 0..1_000_000 {
        if lock.try_lock().is_some() {
            return;
        }
        core::hint::spin_loop();
    }
    // SAFETY: the holder is stuck; two writers can only garble characters.
    unsafe { lock.force_unlock() };
}
