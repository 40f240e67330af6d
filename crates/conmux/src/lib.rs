//! One console line after another, whoever writes them: the hypervisor and several guests share a
//! UART, a byte at a time, and no line is torn apart.
//!
//! Who writes the current line goes on with it. Another guest's bytes wait until that line ends,
//! or until their own line is whole or long: then they take a line of their own. In [`View::All`]
//! each guest's lines start with its name and `| `, or `+ ` if they go on with one that another's
//! line has broken; and nothing is ever dropped: whoever calls waits for the wire. In
//! [`View::One`] one guest has the console for itself, as it is; what the others write is kept, the
//! newest [`KEPT`] bytes of each, until they are shown.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::collections::VecDeque;
use core::fmt::{self, Write};

use arrayvec::{ArrayString, ArrayVec};

/// Most guests.
pub const MAX_GUESTS: usize = 16;
/// Bytes that are kept of a guest that is not shown.
pub const KEPT: usize = 4096;
/// What the hypervisor's lines start with.
pub const PREFIX: &str = "teevisor: ";
/// Bytes of a guest's name that are shown.
const NAME: usize = 31;
/// Bytes of a shown guest's line that wait for another's line to end.
const LINE: usize = 160;
/// Erases to the end of the line (ECMA-48, EL).
const ERASE: &str = "\x1b[K";

/// Whose output is shown. The hypervisor's always is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum View {
    /// Every guest's, with its name before each line.
    All,
    /// This guest's alone, without its name.
    One(usize),
}

impl View {
    fn shows(self, guest: usize) -> bool {
        matches!(self, Self::All) || self == Self::One(guest)
    }
}

struct Guest {
    name: ArrayString<NAME>,
    waiting: VecDeque<u8>,
    /// Bytes dropped since it was last shown.
    lost: u64,
    /// It is shown again and still has output from the time when it was not.
    behind: bool,
    /// Its line was ended for another's: what comes next goes on with it.
    broken: bool,
}

/// Whose the current line is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Line {
    Empty,
    Guest(usize),
    Prompt,
}

/// The state of the console's lines. `send` below is what puts a byte on the wire.
pub struct Mux {
    guests: ArrayVec<Guest, MAX_GUESTS>,
    view: View,
    line: Line,
    /// Nothing stands left of the cursor but what a carriage return has given up.
    at_left: bool,
    /// The guest that was typed to: its next byte, the echo, may break another's line.
    attended: Option<usize>,
}

impl Default for Mux {
    fn default() -> Self {
        Self::new()
    }
}

/// Puts text on the wire, with a carriage return before each newline.
struct Wire<'a, S>(&'a mut S);

impl<S: FnMut(u8)> Write for Wire<'_, S> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            if byte == b'\n' {
                (self.0)(b'\r');
            }
            (self.0)(byte);
        }
        Ok(())
    }
}

impl Mux {
    /// A console without guests, at the start of a line, that shows all.
    pub const fn new() -> Self {
        Self {
            guests: ArrayVec::new_const(),
            view: View::All,
            line: Line::Empty,
            at_left: true,
            attended: None,
        }
    }

    /// Adds the next guest, and takes the memory that it will ever need. One too many is not shown.
    pub fn add_guest(&mut self, name: &str) {
        let mut shown = ArrayString::new();
        name.chars()
            .take_while(|&c| shown.try_push(c).is_ok())
            .for_each(drop);
        let _ = self.guests.try_push(Guest {
            name: shown,
            waiting: VecDeque::with_capacity(KEPT),
            lost: 0,
            behind: false,
            broken: false,
        });
    }

    /// A byte from guest number `guest`.
    pub fn guest(&mut self, guest: usize, byte: u8, send: &mut impl FnMut(u8)) {
        if guest >= self.guests.len() {
            return;
        }
        let goes_on = self.line == Line::Empty || self.line == Line::Guest(guest);
        if !self.view.shows(guest) {
            self.keep(guest, byte);
        } else if self.guests[guest].behind {
            self.follow(guest, byte, send);
        } else if goes_on {
            self.emit(guest, byte, send);
            self.drain(send);
        } else {
            self.wait(guest, byte, send);
        }
    }

    /// A byte of a guest that is not shown: the oldest makes room.
    fn keep(&mut self, guest: usize, byte: u8) {
        let guest = &mut self.guests[guest];
        if guest.waiting.len() >= KEPT {
            guest.waiting.pop_front();
            guest.lost = guest.lost.saturating_add(1);
        }
        guest.waiting.push_back(byte);
    }

    /// A byte behind older ones: if they fill the room, some are written now.
    fn follow(&mut self, guest: usize, byte: u8, send: &mut impl FnMut(u8)) {
        if self.guests[guest].waiting.len() >= KEPT {
            self.write_kept(guest, send);
        }
        self.guests[guest].waiting.push_back(byte);
    }

    /// A byte while the line is another's.
    fn wait(&mut self, guest: usize, byte: u8, send: &mut impl FnMut(u8)) {
        let waiting = &mut self.guests[guest].waiting;
        waiting.push_back(byte);
        let is_echo = self.attended.take_if(|attended| *attended == guest);
        if byte == b'\n' || waiting.len() >= LINE || is_echo.is_some() {
            self.end_line(send);
            self.flush(guest, send);
            self.drain(send);
        }
    }

    /// A line of the hypervisor's, without its prefix and the newline.
    pub fn line(&mut self, text: fmt::Arguments<'_>, send: &mut impl FnMut(u8)) {
        self.end_line(send);
        // The wire takes every byte.
        let _ = writeln!(Wire(send), "{PREFIX}{text}");
        self.drain(send);
    }

    /// The prompt and what was typed behind it, in place of an older one.
    pub fn prompt(&mut self, text: fmt::Arguments<'_>, send: &mut impl FnMut(u8)) {
        let again = self.line == Line::Prompt;
        if again {
            send(b'\r');
        } else {
            self.end_line(send);
        }
        let erase = if again { ERASE } else { "" };
        let _ = write!(Wire(send), "{text}{erase}");
        self.line = Line::Prompt;
        self.at_left = false;
    }

    /// A byte was typed behind the prompt: `text` is all of it, if it must be shown again.
    pub fn echo(&mut self, byte: u8, text: fmt::Arguments<'_>, send: &mut impl FnMut(u8)) {
        if self.line == Line::Prompt {
            send(byte);
        } else {
            self.prompt(text, send);
        }
    }

    /// The prompt's line has ended.
    pub fn end_prompt(&mut self, send: &mut impl FnMut(u8)) {
        if self.line == Line::Prompt {
            self.end_line(send);
            self.drain(send);
        }
    }

    /// A key goes to this guest: its prompt is shown and its echo will be, whoever's line it is.
    pub fn attend(&mut self, guest: usize, send: &mut impl FnMut(u8)) {
        let shown = self.view.shows(guest) && self.line != Line::Guest(guest);
        match self.guests.get(guest) {
            Some(state) if shown && !state.behind => {}
            _ => return,
        }
        self.attended = Some(guest);
        if !self.guests[guest].waiting.is_empty() {
            self.end_line(send);
            self.flush(guest, send);
            self.drain(send);
        }
    }

    /// Shows another selection from now on. What was kept of those in it comes by
    /// [`catch_up`](Self::catch_up).
    pub fn show(&mut self, view: View, send: &mut impl FnMut(u8)) {
        self.end_line(send);
        self.view = view;
        self.attended = None;
        for (index, guest) in self.guests.iter_mut().enumerate() {
            guest.behind = view.shows(index) && !guest.waiting.is_empty();
        }
    }

    /// Writes the next line of what was kept, or a part of it. False if there is none left.
    pub fn catch_up(&mut self, send: &mut impl FnMut(u8)) -> bool {
        let behind = self.guests.iter().position(|guest| guest.behind);
        if let Some(guest) = behind {
            self.write_kept(guest, send);
        }
        behind.is_some()
    }

    fn write_kept(&mut self, guest: usize, send: &mut impl FnMut(u8)) {
        let lost = core::mem::take(&mut self.guests[guest].lost);
        if lost > 0 {
            self.end_line(send);
            let name = &self.guests[guest].name;
            let _ = writeln!(
                Wire(send),
                "{PREFIX}{name}: {lost} bytes of its output were not kept"
            );
        }
        if self.line != Line::Guest(guest) {
            self.end_line(send);
        }
        for _ in 0..LINE {
            let Some(byte) = self.guests[guest].waiting.pop_front() else {
                break;
            };
            self.emit(guest, byte, send);
            if byte == b'\n' {
                break;
            }
        }
        self.guests[guest].behind = !self.guests[guest].waiting.is_empty();
        self.drain(send);
    }

    fn end_line(&mut self, send: &mut impl FnMut(u8)) {
        if self.line != Line::Empty {
            send(b'\r');
            send(b'\n');
        }
        if let Line::Guest(guest) = self.line {
            self.guests[guest].broken = true;
        }
        self.line = Line::Empty;
        self.at_left = true;
    }

    /// Sends a byte of the guest whose line it is, or who starts one.
    fn emit(&mut self, guest: usize, byte: u8, send: &mut impl FnMut(u8)) {
        let moves = byte == b'\n' || byte == b'\r';
        // A carriage return alone would let it write over its name, so the name is written again.
        if self.line == Line::Empty || self.at_left && !moves {
            self.start(guest, send);
        }
        send(byte);
        self.at_left = moves;
        self.line = match byte {
            b'\n' => Line::Empty,
            _ => Line::Guest(guest),
        };
    }

    fn start(&mut self, guest: usize, send: &mut impl FnMut(u8)) {
        let Guest { name, broken, .. } = &mut self.guests[guest];
        let sign = if core::mem::take(broken) { '+' } else { '|' };
        if self.view == View::All {
            let _ = write!(Wire(send), "{name}{sign} ");
        }
    }

    fn flush(&mut self, guest: usize, send: &mut impl FnMut(u8)) {
        while let Some(byte) = self.guests[guest].waiting.pop_front() {
            self.emit(guest, byte, send);
        }
    }

    /// Lets those who wait write, as long as nobody is in the middle of a line.
    fn drain(&mut self, send: &mut impl FnMut(u8)) {
        for guest in 0..self.guests.len() {
            if self.line != Line::Empty {
                return;
            }
            if self.view.shows(guest) && !self.guests[guest].behind {
                self.flush(guest, send);
            }
        }
    }
}

#[cfg(test)]
mod tests;
