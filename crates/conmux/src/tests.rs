extern crate std;

use super::*;
use proptest::prelude::*;
use std::string::String;
use std::vec::Vec;

/// A console whose wire is remembered.
struct Console {
    mux: Mux,
    wire: Vec<u8>,
}

impl Console {
    fn new(guests: &[&str], view: View) -> Self {
        let mut mux = Mux::new();
        guests.iter().for_each(|name| mux.add_guest(name));
        mux.show(view, &mut |_| {});
        let wire = Vec::new();
        Self { mux, wire }
    }

    fn write(&mut self, guest: usize, text: &str) {
        for byte in text.bytes() {
            self.mux
                .guest(guest, byte, &mut |byte| self.wire.push(byte));
        }
    }

    fn show(&mut self, view: View) {
        let mut send = |byte| self.wire.push(byte);
        self.mux.show(view, &mut send);
        while self.mux.catch_up(&mut send) {}
    }

    fn with(&mut self, act: impl FnOnce(&mut Mux, &mut dyn FnMut(u8))) {
        act(&mut self.mux, &mut |byte| self.wire.push(byte));
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
    console.with(|mux, mut send| mux.line(format_args!("off"), &mut send));
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
    let mut mux = Mux::new();
    (0..2 * MAX_GUESTS).for_each(|_| mux.add_guest(&"n".repeat(99)));
    mux.guest(MAX_GUESTS - 1, b'x', &mut |_| {});
    mux.attend(MAX_GUESTS, &mut |_| {});
    mux.show(View::One(MAX_GUESTS), &mut |_| {});
    assert!(!mux.catch_up(&mut |_| {}));
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
fn a_mark_tells_how_much_was_dropped() {
    let mut console = Console::new(&["a", "b"], View::One(0));
    console.write(1, "lost.\n");
    console.write(1, &"kept\n".repeat(KEPT / 5));
    // The newest KEPT bytes: what is dropped is the rest.
    let dropped = 6 + KEPT / 5 * 5 - KEPT;
    console.show(View::All);
    let text = console.text();
    let mark = std::format!("teevisor: b: {dropped} bytes of its output were not kept\n");
    assert!(text.starts_with(&mark), "{text}");
    assert_eq!(text.matches("b| kept\n").count(), KEPT / 5);
    console.show(View::All);
    assert_eq!(console.text(), text);
}

#[test]
fn output_after_a_switch_stays_behind_what_was_kept() {
    let mut console = Console::new(&["a", "b"], View::One(0));
    let text: String = (0..2 * KEPT).map(|n| std::format!("{n}\n")).collect();
    let (old, new) = text.split_at(KEPT);
    console.write(1, old);
    console.with(|mux, mut send| mux.show(View::One(1), &mut send));
    console.write(1, new);
    console.show(View::One(1));
    assert_eq!(console.text(), text);
}

#[test]
fn what_is_typed_is_echoed_in_another_prompts_place() {
    let mut console = Console::new(&["a", "b"], View::All);
    console.write(0, "a# ");
    console.write(1, "b# ");
    console.with(|mux, mut send| mux.attend(1, &mut send));
    console.write(0, ".");
    console.write(1, "l");
    console.with(|mux, mut send| mux.attend(0, &mut send));
    console.write(0, "x");
    assert_eq!(console.text(), "a| a# \nb| b# l\na+ .x");
}

#[test]
fn an_echo_breaks_a_line_once_for_each_key() {
    let mut console = Console::new(&["a", "b"], View::All);
    console.write(0, "a# ");
    console.with(|mux, mut send| mux.attend(1, &mut send));
    console.write(1, "l");
    console.write(0, "ine\n");
    console.write(0, "a# ");
    console.write(1, "s");
    assert_eq!(console.text(), "a| a# \nb| l\na+ ine\na| a# ");
}

#[test]
fn the_prompt_is_shown_again_after_others_lines() {
    let mut console = Console::new(&["a"], View::One(0));
    console.with(|mux, mut send| mux.prompt(format_args!("> "), &mut send));
    console.with(|mux, mut send| mux.echo(b'l', format_args!("> l"), &mut send));
    console.write(0, "guest\n");
    console.with(|mux, mut send| mux.echo(b'i', format_args!("> li"), &mut send));
    console.with(|mux, mut send| mux.prompt(format_args!("> l"), &mut send));
    console.write(0, "waits");
    console.with(|mux, mut send| mux.end_prompt(&mut send));
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
            console.with(|mux, mut send| match act {
                0 => mux.show(View::One(*guest), &mut send),
                1 => mux.show(View::All, &mut send),
                2 => mux.attend(*guest, &mut send),
                3 => mux.prompt(format_args!("> "), &mut send),
                4 => mux.end_prompt(&mut send),
                _ => _ = mux.catch_up(&mut send),
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

/// Each guest has eight letters of its own; a newline is everybody's.
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

/// What a guest wrote, from lines that start with its name.
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
