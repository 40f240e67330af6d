// SPDX-License-Identifier: MIT OR Apache-2.0

//! The board's console: EL2's own lines and every guest's output, on one UART.
//!
//! EL2's lines start with `teevisor: `. With several guests, each guest's lines start with its
//! name. Nobody waits for the UART: what is printed is left in a ring, and one core, the
//! housekeeping core, writes it out as the UART has room ([`output`]). What is typed is handled by
//! `monitor` on that core. Output that cannot be sent because no console was found is dropped.

mod input;
mod output;
#[cfg(feature = "slow-uart")]
mod slow;
mod uart;

use core::fmt::{self, Write};
use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use arrayvec::ArrayString;
use conmux::PREFIX;
pub use conmux::View;
use log::{Level, LevelFilter, Log, Metadata, Record};
use spin::Once;

use crate::arch::cpu;
pub use input::Typist;
use output::{LINES, MUX, RINGS, SOURCES};
pub use output::{flush, last_words};
pub use uart::registers;
use uart::{Registers, Uart};

/// Bytes of heap for what a guest prints.
pub const HEAP_PER_GUEST: u64 = conmux::KEPT as u64;
/// Bytes of a line of EL2's that are shown.
const LINE: usize = 512;
/// No core, or no time.
const NONE: usize = usize::MAX;
const NEVER: u64 = u64::MAX;

static FRAME: Once<Registers> = Once::new();
static UART: Once<Uart<'static>> = Once::new();
/// The housekeeping core. While there is none, EL2 boots: who prints writes, too.
///
/// Protocol (litmus/publish.litmus): stored with Release after `KICK`, `TYPIST` and `INTERRUPTS`, loaded with Acquire before
/// they are used. Forbidden: there is a core to kick, and nothing to kick it with.
static CORE: AtomicUsize = AtomicUsize::new(NONE);
/// Who takes what is typed.
static TYPIST: Once<Typist> = Once::new();
/// Interrupts a core.
static KICK: Once<fn(usize)> = Once::new();
/// The UART interrupts that core; else it looks by its timer.
static INTERRUPTS: AtomicBool = AtomicBool::new(false);
/// Nothing tells of what is typed: that core looks by its timer.
///
/// Protocol: as for `INTERRUPTS`.
static POLLS: AtomicBool = AtomicBool::new(false);
/// When that core looks again without being asked to.
///
/// Protocol: that core's own.
static LOOK: AtomicU64 = AtomicU64::new(NEVER);
/// The UART's interrupt for what is typed is on.
///
/// Protocol: that core's own.
static READS: AtomicBool = AtomicBool::new(false);

/// Uses the board's console from now on.
///
/// # Safety
/// [`registers`] of it are mapped as a device and EL2 owns them.
pub unsafe fn set_uart(console: &board::Console) {
    // SAFETY: the caller's promise.
    let frame = FRAME.call_once(|| unsafe { Registers::new(console) });
    UART.call_once(|| Uart::new(console, frame));
}

/// Makes room for the next guest, called `name`, whose number is `vm`.
pub fn add_guest(vm: u16, name: &str) {
    if let Some(ring) = RINGS.get(usize::from(vm)) {
        ring.lock().reserve();
    }
    MUX.lock().add_guest(name);
}

/// Lets core number `core` alone write and read from now on; `interrupts` says whether the UART
/// interrupts it, `kick` interrupts a core, and `typist` takes what is typed.
pub fn start(core: usize, interrupts: bool, kick: fn(usize), typist: Typist) {
    KICK.call_once(|| kick);
    TYPIST.call_once(|| typist);
    if let Some(uart) = UART.get() {
        let interrupts = interrupts && uart.driver().prepare_interrupts();
        uart.driver().set_interrupts(interrupts, false);
        POLLS.store(!interrupts, Ordering::Relaxed);
        // No interrupt tells when a UART that only seems slow has room.
        let tells = interrupts && !cfg!(feature = "slow-uart");
        INTERRUPTS.store(tells, Ordering::Relaxed);
    }
    CORE.store(core, Ordering::Release);
    // A byte that came before the interrupt was enabled raises none, nor do those that come on top.
    output::request();
}

/// Takes a byte that guest number `vm` sent. True if that has interrupted the housekeeping core.
pub fn guest_output(vm: u16, byte: u8) -> bool {
    RINGS.get(usize::from(vm)).is_some_and(|ring| {
        ring.lock().push(byte);
        output::request()
    })
}

/// Returns how many bytes of guest number `vm` were dropped.
pub fn dropped(vm: usize) -> u64 {
    RINGS.get(vm).map_or(0, |ring| ring.lock().dropped())
}

/// Shows other guests' output from now on.
pub fn show(view: View) {
    MUX.lock().show(view, SOURCES);
    output::request();
}

/// Lets guest number `vm` be typed to.
pub fn attend(vm: usize) {
    MUX.lock().attend(vm);
    output::request();
}

/// Shows the monitor's prompt and what was typed behind it.
pub fn prompt(text: fmt::Arguments<'_>) {
    MUX.lock().prompt(text);
    output::request();
}

/// Shows a byte typed behind the monitor's prompt; with it, that is `text`.
pub fn echo(byte: u8, text: fmt::Arguments<'_>) {
    MUX.lock().echo(byte, text);
    output::request();
}

/// Ends the line with the monitor's prompt.
pub fn end_prompt() {
    MUX.lock().end_prompt(&LINES);
    output::request();
}

/// Tells whether this core has to look at the console.
#[inline]
pub fn wants_visit() -> bool {
    (output::is_requested() || LOOK.load(Ordering::Relaxed) != NEVER) && is_housekeeping()
}

/// Tells whether this core is the housekeeping core.
pub fn is_housekeeping() -> bool {
    CORE.load(Ordering::Relaxed) == cpu::current()
}

/// Tells whether EL2's lines have room for another one.
pub fn has_room() -> bool {
    LINES.lock().has_room(PREFIX.len() + LINE)
}

/// Reads what is typed, tells the operator a line and writes what waits, a bounded number of bytes. Only the housekeeping
/// core, at each of its interrupts that [`wants_visit`]. True if [`look_at`] has changed.
#[cold]
pub fn visit() -> bool {
    LOOK.store(NEVER, Ordering::Relaxed);
    let typist = TYPIST.get();
    let reads = typist.is_some_and(input::visit);
    let tells = typist.is_some_and(|typist| (typist.tell)());
    let writes = output::visit();
    if tells {
        output::request();
    }
    if let Some(uart) = UART.get() {
        let reads = reads && !POLLS.load(Ordering::Relaxed);
        uart.driver().set_interrupts(reads, writes);
        if !READS.swap(reads, Ordering::Relaxed) && reads {
            // Where the interrupt is an edge, a byte that came while it was off raises none.
            output::look_soon();
        }
    }
    LOOK.load(Ordering::Relaxed) != NEVER
}

/// Returns when the housekeeping core has to look again by itself.
pub fn look_at() -> Option<u64> {
    let at = LOOK.load(Ordering::Relaxed);
    (at != NEVER && is_housekeeping()).then_some(at)
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
            Level::Info => "",
            Level::Debug => "debug: ",
            Level::Trace => "trace: ",
        };
        // Outside the lock; what is longer is cut off.
        let mut text = ArrayString::<LINE>::new();
        let _ = text.write_fmt(*record.args());
        LINES.lock().push(&[PREFIX, label, &text]);
        output::request();
    }

    fn flush(&self) {}
}

/// Sends the `log` macros to the console.
pub fn init_log() {
    // The only error is a second call, which changes nothing.
    let _ = log::set_logger(&Logger);
    // As far as it is compiled in.
    log::set_max_level(LevelFilter::Trace);
}

/// Says, without locks and with the MMU off, why EL2 does not start: see [`boot::MISPLACED`] and its like.
///
/// # Safety
/// The console, if there is one, is a UART that nobody else uses.
pub unsafe fn write_bare(console: Option<&board::Console>, why: u64) {
    // SAFETY: the caller's promise; with the MMU off all registers are within reach.
    let frame = console.map(|console| unsafe { Registers::new(console) });
    let uart = console.zip(frame.as_ref());
    let uart = uart.map(|(console, frame)| Uart::new(console, frame));
    let digit = [b'0' + why as u8];
    let text: [&[u8]; 3] = match why {
        boot::HOST_EXTENSIONS => [
            b"entered at EL",
            b"2 with HCR_EL2.E2H = 1, which this core can't clear",
            b"; it needs one with FEAT_E2H0\r\n",
        ],
        boot::MISPLACED => [
            b"loaded at an address that is no multiple of 2 MiB",
            b"; change it where the loader has it",
            b" (Raspberry Pi: kernel_address=0x200000 in config.txt)\r\n",
        ],
        _ => [
            b"entered at EL",
            &digit,
            b"; start it at EL2 (QEMU: -machine virt,virtualization=on)\r\n",
        ],
    };
    let bytes = [b"\r\nteevisor: error: ".as_slice()]
        .into_iter()
        .chain(text);
    for &byte in bytes.flatten() {
        match &uart {
            Some(uart) => uart.send_now(byte),
            None => boot::early::put(byte),
        }
    }
}
