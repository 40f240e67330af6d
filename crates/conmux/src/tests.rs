// SPDX-License-Identifier: MIT OR Apache-2.0

extern crate std;

use super::*;
use proptest::prelude::*;
use std::string::String;
use std::vec::Vec;

/// A console whose wire is remembered.
struct Console {
    mux: Mux,
    log: Mutex<Log>,
    rings: [Mutex<Ring>; MAX_GUESTS],
    wire: Vec<u8>,
}

impl Console {
    fn new(guests: &[&str], view: View) -> Self {
        let mut console = Self {
            mux: Mux::new(),
            log: Mutex::new(Log::new()),
            rings: [const { Mutex::new(Ring::new()) }; MAX_GUESTS],
            wire: Vec::new(),
        };
        for (guest, name) in guests.iter().enumerate() {
            console.mux.add_guest(name);
            console.rings[guest].lock().reserve();
        }
        console.show(view);
        console
    }

    /// Prints without a visit of the console's core.
    fn print(&mut self, guest: usize, text: &str) {
        let mut ring = self.rings[guest].lock();
        text.bytes().for_each(|byte| ring.push(byte));
    }

    fn write(&mut self, guest: usize, text: &str) {
        for byte in text.bytes() {
            self.rings[guest].lock().push(byte);
            self.feed(usize::MAX);
        }
    }

    /// Writes at most so many bytes.
    fn feed(&mut self, room: usize) -> Fed {
        let sources = Sources {
            log: &self.log,
            rings: &self.rings,
        };
        let end = self.wire.len().saturating_add(room);
        let wire = &mut self.wire;
        self.mux.feed(sources, usize::MAX, |byte| {
            let room = wire.len() < end;
            if room {
                wire.push(byte);
            }
            room
        })
    }

    fn show(&mut self, view: View) {
        let sources = Sources {
            log: &self.log,
            rings: &self.rings,
        };
        self.mux.show(view, sources);
        self.feed(usize::MAX);
    }

    fn with(&mut self, act: impl FnOnce(&mut Mux)) {
        act(&mut self.mux);
        self.feed(usize::MAX);
    }

    fn end_prompt(&mut self) {
        self.mux.end_prompt(&self.log);
        self.feed(usize::MAX);
    }

    fn line(&mut self, text: &str) {
        self.log.lock().push(&[PREFIX, text]);
        self.feed(usize::MAX);
    }

    fn text(&self) -> String {
        String::from_utf8(self.wire.clone())
            .unwrap()
            .replace("\r\n", "\n")
    }
}

fn play(guests: &[&str], writes: &[(usize, &str)]) -> String {
    let mut console = Console::new(guests, View::All);
    writes.iter().for_each(|(g, text)| console.write(*g, text));
    console.text()
}

#[test]
fn one_guest_is_passed_through() {
    let mut console = Console::new(&["a"], View::One(0));
    console.write(0, "login: ");
    console.write(0, "x\r\n10%\r20%");
    assert_eq!(console.wire, b"login: x\r\n10%\r20%");
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
        "a| login: \nb| one\nb| two\na+ x\n"
    );
}

#[test]
fn the_hypervisor_takes_a_line_of_its_own() {
    let mut console = Console::new(&["a"], View::One(0));
    console.write(0, "x");
    console.line("off");
    console.write(0, "y");
    assert_eq!(console.wire, b"x\r\nteevisor: off\r\ny");
}

#[test]
fn an_endless_line_is_broken_not_lost() {
    let long = "z".repeat(LINE * 2);
    let shown = play(&["a", "b"], &[(0, "a"), (1, &long), (1, "\n")]);
    assert_eq!(shown.matches('z').count(), LINE * 2);
}

#[test]
fn a_carriage_return_does_not_reach_the_name() {
    let fake = "10%\r20%\r\rteevisor: fake\r\n\rteevisor: again\n";
    assert_eq!(
        play(&["a", "b"], &[(0, fake)]),
        "a| 10%\ra| 20%\r\ra| teevisor: fake\na| \ra| teevisor: again\n"
    );
}

#[test]
fn unknown_guests_and_long_names_do_no_harm() {
    assert_eq!(play(&["a"], &[(7, "x\n")]), "");
    let names = ["n"; 2 * MAX_GUESTS].map(|name| name.repeat(99));
    let mut mux = Mux::new();
    names.iter().for_each(|name| mux.add_guest(name));
    mux.attend(MAX_GUESTS);
    let mut console = Console::new(&["a"], View::One(MAX_GUESTS));
    console.write(0, "x\n");
    assert_eq!(console.text(), "");
}

#[test]
fn what_is_not_shown_is_kept_and_comes_later() {
    let mut console = Console::new(&["a", "b"], View::One(0));
    console.write(0, "here\n");
    console.write(1, "one\ntwo");
    assert_eq!(console.text(), "here\n");
    console.show(View::One(1));
    console.write(1, "\n");
    assert_eq!(console.text(), "here\none\ntwo\n");
}

#[test]
fn a_line_tells_how_much_of_a_hidden_guest_was_dropped() {
    let mut console = Console::new(&["a", "b"], View::One(0));
    console.write(1, "lost.\n");
    console.write(1, &"kept\n".repeat(KEPT / 5));
    // The newest KEPT bytes: what is dropped is the rest.
    let dropped = 6 + KEPT / 5 * 5 - KEPT;
    console.show(View::All);
    let text = console.text();
    let mark = std::format!("teevisor: b: {dropped} bytes of output dropped\n");
    assert!(text.starts_with(&mark), "{}", &text[..200]);
    assert_eq!(text.matches("b| kept\n").count(), KEPT / 5);
    assert_eq!(console.rings[1].lock().dropped(), dropped as u64);
    console.show(View::All);
    assert_eq!(console.text(), text);
}

#[test]
fn a_stalled_wire_costs_bytes_that_are_counted_and_no_core() {
    let mut console = Console::new(&["a", "b"], View::All);
    let flood = "0123456789abcde\n".repeat(2 * KEPT / 16);
    console.print(0, &flood);
    console.print(1, "b waits\n");
    assert_eq!(console.feed(0), Fed::Full);
    console.print(0, "and more\n");
    console.feed(usize::MAX);
    let text = console.text();
    assert_eq!(text.matches("a| 0123456789abcde\n").count(), KEPT / 16);
    let mark = std::format!("teevisor: a: {} bytes of output dropped\n", KEPT + 9);
    assert_eq!(text.matches(&*mark).count(), 1);
    assert_eq!(console.rings[0].lock().dropped(), KEPT as u64 + 9);
    console.write(0, "back\n");
    assert!(console.text().ends_with("a| back\n"));
}

/// What a flooding guest prints does not hold up its neighbor's lines, nor the hypervisor's.
#[test]
fn a_flood_leaves_others_their_share_of_the_wire() {
    let mut console = Console::new(&["a", "b"], View::All);
    console.print(0, &"\rx".repeat(KEPT / 2));
    console.print(1, "victim\nvictim\nvictim\n");
    console.feed(900);
    assert_eq!(console.text().matches("b| victim\n").count(), 3);
    console.log.lock().push(&[PREFIX, "off"]);
    console.feed(600);
    assert!(console.text().contains("teevisor: off\n"));
}

/// One newline of a guest once sent what fifteen others had waiting, thousands of bytes.
#[test]
fn a_visit_is_bounded_whatever_waits() {
    let names: Vec<String> = (0..MAX_GUESTS).map(|n| std::format!("{n:031}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut console = Console::new(&names, View::All);
    console.write(0, "v");
    for guest in 1..MAX_GUESTS {
        console.print(guest, &"\rx".repeat(LINE / 2 - 1));
    }
    console.print(0, "\n");
    let before = console.wire.len();
    let sources = Sources {
        log: &console.log,
        rings: &console.rings,
    };
    let fed = console.mux.feed(sources, 32, |byte| {
        console.wire.push(byte);
        true
    });
    assert_eq!(fed, Fed::More);
    assert!(console.wire.len() - before <= 32);
}

#[test]
fn a_full_log_drops_lines_and_counts_them() {
    let mut console = Console::new(&["a"], View::All);
    let line = "l".repeat(1000);
    for _ in 0..20 {
        console.log.lock().push(&[PREFIX, &line]);
    }
    console.feed(usize::MAX);
    let text = console.text();
    assert_eq!(text.matches(&*line).count(), 16);
    assert!(text.ends_with("teevisor: 4 lines dropped\n"));
    console.line("again");
    assert!(console.text().ends_with("teevisor: again\n"));
}

#[test]
fn a_command_typed_at_once_is_shown_before_its_answer() {
    let mut console = Console::new(&["a"], View::All);
    console.mux.prompt(format_args!("> "));
    console.mux.echo(b'l', format_args!("> l"));
    console.mux.echo(b's', format_args!("> ls"));
    console.mux.end_prompt(&console.log);
    console.log.lock().push(&[PREFIX, "answer"]);
    console.mux.prompt(format_args!("> "));
    console.feed(usize::MAX);
    assert_eq!(console.text(), "> ls\nteevisor: answer\n> ");
}

#[test]
fn the_last_line_comes_behind_what_was_on_its_way() {
    let mut console = Console::new(&["a"], View::All);
    console.print(0, "half");
    console.feed(4);
    let wire = &mut console.wire;
    console
        .mux
        .write_now(format_args!("panic"), |byte| wire.push(byte));
    assert_eq!(console.text(), "a| half\nteevisor: panic\n");
}

#[test]
fn no_guest_makes_a_shared_terminal_answer() {
    let mut console = Console::new(&["a", "b"], View::All);
    console.write(0, "~ # \x1b[6n\x05\n");
    console.show(View::One(0));
    console.write(0, "\x1b[6n\n");
    assert_eq!(console.text(), "a| ~ # \n\x1b[6n\n");
}

#[test]
fn output_after_a_switch_stays_behind_what_was_kept() {
    let mut console = Console::new(&["a", "b"], View::One(0));
    let text: String = (0..KEPT / 8).map(|n| std::format!("{n}\n")).collect();
    let (old, new) = text.split_at(text.len() / 2);
    console.write(1, old);
    let sources = Sources {
        log: &console.log,
        rings: &console.rings,
    };
    console.mux.show(View::One(1), sources);
    console.write(1, new);
    assert_eq!(console.text(), text);
}

#[test]
fn what_is_typed_is_echoed_in_another_prompts_place() {
    let mut console = Console::new(&["a", "b"], View::All);
    console.write(0, "a# ");
    console.write(1, "b# ");
    console.with(|mux| mux.attend(1));
    console.write(0, ".");
    console.write(1, "l");
    console.with(|mux| mux.attend(0));
    console.write(0, "x");
    assert_eq!(console.text(), "a| a# \nb| b# l\na+ .x");
}

#[test]
fn an_echo_breaks_a_line_once_for_each_key() {
    let mut console = Console::new(&["a", "b"], View::All);
    console.write(0, "a# ");
    console.with(|mux| mux.attend(1));
    console.write(1, "l");
    console.write(0, "ine\n");
    console.write(0, "a# ");
    console.write(1, "s");
    assert_eq!(console.text(), "a| a# \nb| l\na+ ine\na| a# ");
}

#[test]
fn the_prompt_is_shown_again_after_others_lines() {
    let mut console = Console::new(&["a"], View::One(0));
    console.with(|mux| mux.prompt(format_args!("> ")));
    console.with(|mux| mux.echo(b'l', format_args!("> l")));
    console.write(0, "guest\n");
    console.with(|mux| mux.echo(b'i', format_args!("> li")));
    console.with(|mux| mux.prompt(format_args!("> l")));
    console.write(0, "waits");
    console.end_prompt();
    assert_eq!(console.text(), "> l\nguest\n> li\r> l\x1b[K\nwaits");
}

proptest! {
    #[test]
    fn every_line_can_be_put_together_again(
        writes in prop::collection::vec((0_usize..3, "[a-z]{0,9}\n?"), 0..60),
    ) {
        let writes: Vec<(usize, &str)> = writes.iter().map(|(g, t)| (*g, t.as_str())).collect();
        let ended: Vec<(usize, &str)> =
            writes.iter().copied().chain((0..3).map(|guest| (guest, "\n"))).collect();
        let shown = play(&["0", "1", "2"], &ended);
        for guest in 0..3 {
            prop_assert_eq!(of_guest(guest, &shown), sent_by(guest, &ended));
        }
    }

    /// However views, keys and prompts change, all output comes out, in order.
    #[test]
    fn nothing_is_lost_or_moved_by_the_operator(
        steps in prop::collection::vec((0_usize..3, "[a-h]{0,9}\n?", 0_u8..6), 0..60),
    ) {
        let mut console = Console::new(&["0", "1", "2"], View::All);
        let mut sent = [const { String::new() }; 3];
        for (guest, text, act) in &steps {
            match act {
                0 => console.show(View::One(*guest)),
                1 => console.show(View::All),
                4 => console.end_prompt(),
                _ => {}
            }
            console.with(|mux| match act {
                2 => mux.attend(*guest),
                3 => mux.prompt(format_args!("> ")),
                _ => {}
            });
            let text: String = text.chars().map(|c| letter(*guest, c)).collect();
            console.write(*guest, &text);
            sent[*guest] += &text.replace('\n', "");
        }
        console.show(View::All);
        (0..3).for_each(|guest| console.write(guest, "\n"));
        for (guest, sent) in sent.iter().enumerate() {
            let own = |c: &char| ('a'..='h').any(|l| letter(guest, l) == *c);
            let shown: String = console.text().chars().filter(own).collect();
            prop_assert_eq!(&shown, sent);
        }
    }
}

/// Returns a letter: each guest has eight letters of its own; they share a newline.
fn letter(guest: usize, c: char) -> char {
    if c == '\n' {
        c
    } else {
        (c as u8 + 8 * guest as u8).into()
    }
}

fn sent_by(guest: usize, writes: &[(usize, &str)]) -> String {
    let own = writes.iter().filter(|(g, _)| *g == guest);
    own.map(|(_, text)| *text).collect()
}

/// Returns what a guest wrote, from lines that start with its name.
fn of_guest(guest: usize, shown: &str) -> String {
    let (new, on) = (std::format!("{guest}| "), std::format!("{guest}+ "));
    let mut text = String::new();
    for line in shown.lines() {
        if let Some(line) = line.strip_prefix(&new) {
            text += line;
            text += "\n";
        } else if let Some(line) = line.strip_prefix(&on) {
            text.truncate(text.len() - 1);
            text += line;
            text += "\n";
        }
    }
    text
}
