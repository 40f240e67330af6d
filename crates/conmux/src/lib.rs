//! One console line after another, whoever writes them: the hypervisor and several guests share a
//! UART, a byte at a time, and no line is torn apart.
//!
//! Who writes the current line goes on with it. Another guest's bytes wait until that line ends,
//! or until their own line is whole or their buffer full: then they take a line of their own.
//! With more than one guest, each guest's lines start with its name.
#![no_std]
#![forbid(unsafe_code)]

use core::fmt::{self, Write};

use arrayvec::{ArrayString, ArrayVec};

/// Most guests.
pub const MAX_GUESTS: usize = 16;
/// Bytes of a guest's name that are shown.
const NAME: usize = 31;
/// Bytes of a guest's line that can wait.
const LINE: usize = 160;

struct Guest {
    name: ArrayString<NAME>,
    waiting: ArrayVec<u8, LINE>,
}

/// The state of the console's lines. `send` below is what puts a byte on the wire.
#[derive(Default)]
pub struct Mux {
    guests: ArrayVec<Guest, MAX_GUESTS>,
    /// The guest that the current line belongs to, if there is one.
    owner: Option<usize>,
    in_line: bool,
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
    /// A console without guests, at the start of a line.
    pub const fn new() -> Self {
        Self {
            guests: ArrayVec::new_const(),
            owner: None,
            in_line: false,
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
            waiting: ArrayVec::new(),
        });
    }

    /// A byte from guest number `guest`.
    pub fn guest(&mut self, guest: usize, byte: u8, send: &mut impl FnMut(u8)) {
        if guest >= self.guests.len() {
            return;
        }
        if !self.in_line || self.owner == Some(guest) {
            self.emit(guest, byte, send);
            self.drain(send);
            return;
        }
        let waiting = &mut self.guests[guest].waiting;
        waiting.push(byte);
        if byte == b'\n' || waiting.is_full() {
            self.end_line(send);
            self.flush(guest, send);
            self.drain(send);
        }
    }

    /// A line of the hypervisor's, without the newline.
    pub fn line(&mut self, text: fmt::Arguments<'_>, send: &mut impl FnMut(u8)) {
        self.end_line(send);
        // The wire takes every byte.
        let _ = writeln!(Wire(send), "{text}");
        self.drain(send);
    }

    fn end_line(&mut self, send: &mut impl FnMut(u8)) {
        if self.in_line {
            send(b'\r');
            send(b'\n');
        }
        self.in_line = false;
        self.owner = None;
    }

    /// Sends a byte of the guest whose line it is, or who starts one.
    fn emit(&mut self, guest: usize, byte: u8, send: &mut impl FnMut(u8)) {
        let starts = !self.in_line && byte != b'\r';
        if starts && self.guests.len() > 1 {
            let _ = write!(Wire(send), "{}| ", self.guests[guest].name);
        }
        send(byte);
        self.in_line = byte != b'\n' && (self.in_line || starts);
        self.owner = self.in_line.then_some(guest);
    }

    fn flush(&mut self, guest: usize, send: &mut impl FnMut(u8)) {
        for byte in core::mem::take(&mut self.guests[guest].waiting) {
            self.emit(guest, byte, send);
        }
    }

    /// Lets those who wait write, as long as nobody is in the middle of a line.
    fn drain(&mut self, send: &mut impl FnMut(u8)) {
        for guest in 0..self.guests.len() {
            if self.in_line {
                return;
            }
            self.flush(guest, send);
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use proptest::prelude::*;
    use std::string::{String, ToString};
    use std::vec::Vec;

    fn play(guests: &[&str], writes: &[(usize, &str)]) -> String {
        let mut mux = Mux::new();
        guests.iter().for_each(|name| mux.add_guest(name));
        let mut out = Vec::new();
        for (guest, text) in writes {
            for byte in text.bytes() {
                mux.guest(*guest, byte, &mut |byte| out.push(byte));
            }
        }
        String::from_utf8(out).unwrap().replace('\r', "")
    }

    #[test]
    fn one_guest_is_passed_through() {
        assert_eq!(
            play(&["a"], &[(0, "login: "), (0, "x\nok")]),
            "login: x\nok"
        );
    }

    #[test]
    fn lines_of_two_guests_stay_whole() {
        let writes = [(0, "hel"), (1, "wo"), (0, "lo\n"), (1, "rld\n")];
        assert_eq!(play(&["a", "b"], &writes), "a| hello\nb| world\n");
    }

    #[test]
    fn a_prompt_does_not_hold_the_others_up() {
        let writes = [(0, "login: "), (1, "one\n"), (1, "two\n"), (0, "x\n")];
        assert_eq!(
            play(&["a", "b"], &writes),
            "a| login: \nb| one\nb| two\na| x\n"
        );
    }

    #[test]
    fn the_hypervisor_takes_a_line_of_its_own() {
        let mut mux = Mux::new();
        mux.add_guest("a");
        let mut out = Vec::new();
        let mut send = |byte| out.push(byte);
        mux.guest(0, b'x', &mut send);
        mux.line(format_args!("off"), &mut send);
        mux.guest(0, b'y', &mut send);
        assert_eq!(out, b"x\r\noff\r\ny");
    }

    #[test]
    fn an_endless_line_is_broken_not_lost() {
        let long = "z".repeat(LINE * 2);
        let shown = play(&["a", "b"], &[(0, "a"), (1, &long), (1, "\n")]);
        assert_eq!(shown.matches('z').count(), LINE * 2);
    }

    #[test]
    fn unknown_guests_and_long_names_do_no_harm() {
        assert_eq!(play(&["a"], &[(7, "x\n")]), "");
        let mut mux = Mux::new();
        (0..2 * MAX_GUESTS).for_each(|_| mux.add_guest(&"n".repeat(99)));
        mux.guest(MAX_GUESTS - 1, b'x', &mut |_| {});
    }

    proptest! {
        #[test]
        fn every_whole_line_comes_out_once_and_in_order(
            writes in prop::collection::vec((0_usize..3, "[a-z]{0,9}\n?"), 0..60),
        ) {
            let writes: Vec<(usize, &str)> = writes.iter().map(|(g, t)| (*g, t.as_str())).collect();
            let ended: Vec<(usize, &str)> =
                writes.iter().copied().chain((0..3).map(|guest| (guest, "\n"))).collect();
            let shown = play(&["0", "1", "2"], &ended);
            for guest in 0..3 {
                let wanted: String =
                    ended.iter().filter(|(g, _)| *g == guest).map(|(_, text)| *text).collect();
                let prefix = guest.to_string() + "| ";
                let got: String = shown.lines().filter_map(|line| line.strip_prefix(&prefix)).collect();
                prop_assert_eq!(got, wanted.replace('\n', ""));
            }
        }
    }
}
