// SPDX-License-Identifier: MIT OR Apache-2.0

//! One console line after another, whatever their sources: the hypervisor and several guests share a
//! UART, a byte at a time, and no line is torn apart.
//!
//! Guests write to a [`Ring`] each, the hypervisor to a [`Log`]; none waits for the wire, and
//! what has no room is dropped, counted and told. One core takes from them by [`Mux::feed`], as far
//! as the UART has room and never more than it says.
//!
//! The guest that writes the current line goes on with it. Another guest's bytes wait until that line ends,
//! or until their own line is whole or long: then they take a line of their own. In [`View::All`]
//! each guest's lines start with its name and `| `, or `+ ` if they go on with one that another's
//! line has broken, and only text passes: no control character that a terminal would answer or
//! that reaches another's line. In [`View::One`] one guest has the console for itself, as it is;
//! what the others write is kept, the newest [`KEPT`] bytes of each, until they are shown.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod filter;
mod log;
mod ring;
mod wire;

use core::fmt::{self, Write};

use arrayvec::{ArrayString, ArrayVec};
use spin::Mutex;

use filter::Filter;
pub use log::Log;
pub use ring::Ring;
use wire::{Direct, Wire};

/// Most guests.
pub const MAX_GUESTS: usize = 16;
/// Bytes that are kept of a guest until they are written.
pub const KEPT: usize = 16 << 10;
/// What the hypervisor's lines start with.
pub const PREFIX: &str = "teevisor: ";
/// Bytes of a guest's name that are shown.
const NAME: usize = 31;
/// Bytes of a guest's line after which another's may break it, and be broken for it.
const LINE: usize = 160;
/// Bytes that are taken from a guest or from the log in one step.
const PIECE: usize = 16;
/// Bytes of a prompt and of what is typed behind it.
const PROMPT: usize = 128;
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

/// Where the output comes from: the hypervisor's lines and each guest's.
#[derive(Clone, Copy)]
pub struct Sources<'a> {
    /// The hypervisor's.
    pub log: &'a Mutex<Log>,
    /// Those of the guests, by their numbers.
    pub rings: &'a [Mutex<Ring>; MAX_GUESTS],
}

/// How far [`Mux::feed`] came.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fed {
    /// All is written that may be for now.
    All,
    /// There may be more, but the visit was long enough.
    More,
    /// The UART takes no more for now.
    Full,
}

struct Guest {
    name: ArrayString<NAME>,
    filter: Filter,
    /// The guest's line was ended for another's: what comes next goes on with it.
    broken: bool,
}

/// Whose the current line is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Line {
    Empty,
    Hypervisor,
    Guest(usize),
    Prompt,
}

/// The state of the console's lines.
pub struct Mux {
    guests: ArrayVec<Guest, MAX_GUESTS>,
    wire: Wire,
    view: View,
    line: Line,
    /// Nothing stands left of the cursor but what a carriage return has given up.
    at_left: bool,
    /// The line is to be ended, whatever its source.
    ends: bool,
    prompt: ArrayString<PROMPT>,
    /// The prompt is to be written, anew if it is there.
    prompts: bool,
    /// The guest that was typed to: its next byte, the echo, may break another's line.
    attended: Option<usize>,
    /// The guest that wrote last, and how many bytes while others waited.
    last: usize,
    turn: usize,
}

impl Default for Mux {
    fn default() -> Self {
        Self::new()
    }
}

impl Mux {
    /// Makes a console without guests, at the start of a line, that shows all.
    pub const fn new() -> Self {
        Self {
            guests: ArrayVec::new_const(),
            wire: Wire::new(),
            view: View::All,
            line: Line::Empty,
            at_left: true,
            ends: false,
            prompt: ArrayString::new_const(),
            prompts: false,
            attended: None,
            last: 0,
            turn: 0,
        }
    }

    /// Adds the next guest. One too many is not shown.
    pub fn add_guest(&mut self, name: &str) {
        let mut shown = ArrayString::new();
        name.chars()
            .take_while(|&c| shown.try_push(c).is_ok())
            .for_each(drop);
        let _ = self.guests.try_push(Guest {
            name: shown,
            filter: Filter::default(),
            broken: false,
        });
    }

    /// Writes what waits by `send`, which says whether the UART took the byte, but takes no more
    /// than `most` steps of a byte written or a few bytes looked at.
    pub fn feed(
        &mut self,
        sources: Sources<'_>,
        most: usize,
        mut send: impl FnMut(u8) -> bool,
    ) -> Fed {
        for _ in 0..most {
            match self.wire.front() {
                Some(byte) if send(byte) => self.wire.pop(),
                Some(_) => return Fed::Full,
                None if self.step(sources) => {}
                None => return Fed::All,
            }
        }
        Fed::More
    }

    /// Writes a line at once, behind what is on its way already.
    pub fn write_now(&mut self, text: fmt::Arguments<'_>, send: impl FnMut(u8)) {
        let mut direct = Direct(send);
        self.drain(&mut direct);
        self.end_line();
        self.drain(&mut direct);
        // It takes every byte.
        let _ = writeln!(direct, "{PREFIX}{text}");
    }

    fn drain(&mut self, direct: &mut Direct<impl FnMut(u8)>) {
        while let Some(byte) = self.wire.front() {
            (direct.0)(byte);
            self.wire.pop();
        }
    }

    /// Shows the prompt and what was typed behind it, in place of an older one.
    pub fn prompt(&mut self, text: fmt::Arguments<'_>) {
        self.prompt.clear();
        // What is longer than a line is not shown.
        let _ = self.prompt.write_fmt(text);
        self.prompts = true;
    }

    /// Shows a byte that was typed behind the prompt: `text` is all of it, if it must be shown
    /// again.
    pub fn echo(&mut self, byte: u8, text: fmt::Arguments<'_>) {
        let there = self.line == Line::Prompt && !self.prompts && !self.ends;
        if there && self.wire.has_room() {
            self.wire.push(byte);
        } else {
            self.prompt(text);
        }
    }

    /// Ends the prompt's line. What of it is not shown yet comes before the lines that follow.
    pub fn end_prompt(&mut self, log: &Mutex<Log>) {
        if core::mem::take(&mut self.prompts) {
            log.lock().push(&[&self.prompt]);
        } else {
            self.ends |= self.line == Line::Prompt;
        }
    }

    /// Shows the prompt of this guest, to which a key goes, and soon the echo, whoever's line it
    /// is.
    pub fn attend(&mut self, guest: usize) {
        self.attended = Some(guest).filter(|&guest| self.shows(guest));
    }

    /// Shows another selection from now on.
    pub fn show(&mut self, view: View, sources: Sources<'_>) {
        self.view = view;
        self.attended = None;
        self.ends |= self.line != Line::Empty;
        for (index, guest) in self.guests.iter_mut().enumerate() {
            guest.filter = Filter::default();
            sources.rings[index].lock().set_hidden(!view.shows(index));
        }
    }

    fn shows(&self, guest: usize) -> bool {
        guest < self.guests.len() && self.view.shows(guest)
    }

    /// Puts the next piece of output on the wire, which is empty. False if there is none.
    fn step(&mut self, sources: Sources<'_>) -> bool {
        if core::mem::take(&mut self.ends) {
            self.end_line();
            return true;
        }
        if self.write_log(sources.log) {
            return true;
        }
        if core::mem::take(&mut self.prompts) {
            self.write_prompt();
            return true;
        }
        match self.choose(sources.rings) {
            Some(guest) => {
                self.write_guest(guest, &sources.rings[guest]);
                true
            }
            None => false,
        }
    }

    fn write_log(&mut self, log: &Mutex<Log>) -> bool {
        let mut log = log.lock();
        if log.is_empty() {
            return false;
        }
        if self.line != Line::Hypervisor {
            self.end_line();
        }
        self.line = Line::Hypervisor;
        let dropped = log.take_dropped();
        if dropped > 0 {
            self.wire
                .write(format_args!("{PREFIX}{dropped} lines dropped\n"));
            self.line = Line::Empty;
        }
        for _ in 0..PIECE {
            let Some(byte) = log.pop() else { break };
            if byte == b'\n' {
                self.wire.push(b'\r');
                self.line = Line::Empty;
            }
            self.wire.push(byte);
            if byte == b'\n' {
                break;
            }
        }
        true
    }

    fn write_prompt(&mut self) {
        let again = self.line == Line::Prompt;
        if again {
            self.wire.push(b'\r');
        } else {
            self.end_line();
        }
        let erase = if again { ERASE } else { "" };
        self.wire.write(format_args!("{}{erase}", self.prompt));
        self.line = Line::Prompt;
        self.at_left = false;
    }

    /// Chooses the next guest: the one typed to, then the one that writes the line, then in turn one that has
    /// enough to break it.
    fn choose(&mut self, rings: &[Mutex<Ring>]) -> Option<usize> {
        let current = match self.line {
            Line::Guest(guest) if self.shows(guest) => Some(guest),
            _ => None,
        };
        let has_output = |&guest: &usize| rings[guest].lock().has_output();
        if let Some(guest) = self.attended.filter(has_output) {
            self.attended = None;
            return Some(guest);
        }
        let current = current.filter(has_output);
        if current.is_some() && self.turn < LINE {
            return current;
        }
        self.next(rings).or(current)
    }

    /// Returns the next guest after the last that may begin a line now.
    fn next(&self, rings: &[Mutex<Ring>]) -> Option<usize> {
        let count = self.guests.len();
        let free = self.line == Line::Empty;
        (1..=count)
            .map(|distance| (self.last + distance) % count)
            .filter(|&guest| self.shows(guest) && self.line != Line::Guest(guest))
            .find(|&guest| {
                let ring = rings[guest].lock();
                ring.is_pressing() || free && ring.has_output()
            })
    }

    /// Writes some bytes of a guest, or how many were dropped.
    fn write_guest(&mut self, guest: usize, ring: &Mutex<Ring>) {
        if self.line != Line::Guest(guest) {
            self.end_line();
            self.turn = 0;
        }
        self.last = guest;
        let mut ring = ring.lock();
        let gap = ring.take_gap();
        if gap > 0 {
            drop(ring);
            return self.write_gap(guest, gap);
        }
        let mut piece = ArrayVec::<u8, PIECE>::new();
        while !piece.is_full() && piece.last() != Some(&b'\n') {
            let Some(byte) = ring.pop() else { break };
            piece.push(byte);
        }
        drop(ring);
        for byte in piece {
            self.filter(guest, byte);
        }
        self.turn += self.wire.len();
    }

    fn write_gap(&mut self, guest: usize, gap: u64) {
        self.end_line();
        let name = &self.guests[guest].name;
        self.wire.write(format_args!(
            "{PREFIX}{name}: {gap} bytes of output dropped\n"
        ));
    }

    /// Sends what may be sent of a guest's byte.
    fn filter(&mut self, guest: usize, byte: u8) {
        if self.view != View::All {
            return self.emit(guest, byte);
        }
        let mut filter = self.guests[guest].filter;
        filter.feed(byte, |byte| self.emit(guest, byte));
        self.guests[guest].filter = filter;
    }

    fn end_line(&mut self) {
        if self.line != Line::Empty {
            self.wire.push(b'\r');
            self.wire.push(b'\n');
        }
        if let Line::Guest(guest) = self.line {
            self.guests[guest].broken = true;
        }
        self.line = Line::Empty;
        self.at_left = true;
    }

    /// Sends a byte of the guest whose line it is, or that starts one.
    fn emit(&mut self, guest: usize, byte: u8) {
        let moves = byte == b'\n' || byte == b'\r';
        // A carriage return alone would let it write over its name, so the name is written again.
        if self.line == Line::Empty || self.at_left && !moves {
            self.start(guest);
        }
        self.wire.push(byte);
        self.at_left = moves;
        self.line = match byte {
            b'\n' => Line::Empty,
            _ => Line::Guest(guest),
        };
    }

    fn start(&mut self, guest: usize) {
        let Guest { name, broken, .. } = &mut self.guests[guest];
        let sign = if core::mem::take(broken) { '+' } else { '|' };
        if self.view == View::All {
            self.wire.write(format_args!("{name}{sign} "));
        }
    }
}

#[cfg(test)]
mod tests;
