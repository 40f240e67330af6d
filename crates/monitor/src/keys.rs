// SPDX-License-Identifier: MIT OR Apache-2.0

//! From bytes of the UART to what they ask for.

use arrayvec::ArrayString;

/// Ctrl-]: what telnet, `virsh console` and `xl console` use to get out of a console.
const ESCAPE: u8 = 0x1d;
const CTRL_C: u8 = 3;
const CTRL_D: u8 = 4;
const BACKSPACE: u8 = 8;
const CTRL_U: u8 = 0x15;
const DELETE: u8 = 0x7f;

/// Most bytes of a command.
pub const LINE: usize = 64;
/// What stands before a command.
pub const PROMPT: &str = "teevisor> ";
/// A command.
pub type Text = ArrayString<LINE>;

/// The keys behind the escape key, line by line.
pub const KEYS: [&str; 8] = [
    "Ctrl-] and then",
    "1 to 9    type to the guest of that number",
    "n         type to the next guest",
    "o         show the output of that guest only, or of all guests",
    "m         open or close the monitor",
    "?         this list",
    "Ctrl-]    send Ctrl-] to the guest",
    "=         and a guest's digit: send it the next key (for programs)",
];

/// What a byte asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    /// Nothing, or nothing yet.
    Nothing,
    /// To send this byte to the guest that is typed to.
    Send(u8),
    /// To send this byte to guest number …, counted from 0, whoever is typed to.
    SendTo(usize, u8),
    /// To type to guest number … from now on, counted from 0.
    Focus(usize),
    /// To type to the next guest.
    Next,
    /// To show the output of one guest, or of all again.
    ToggleView,
    /// To show [`KEYS`].
    Keys,
    /// The escape key with a key that means nothing.
    UnknownKey,
    /// To show the monitor's prompt.
    Opened,
    /// To end the prompt's line: the monitor is closed.
    Closed,
    /// To show this byte behind the prompt.
    Typed(u8),
    /// To show the prompt and [`Keyboard::line`] anew.
    Changed,
    /// To end the prompt's line and perform this.
    Run(Text),
}

/// What the next byte is.
#[derive(Clone, Copy, Default)]
enum Next {
    #[default]
    Text,
    /// The key behind the escape key.
    Key,
    /// The sign of a guest.
    Guest,
    /// A byte for this guest.
    For(usize),
}

/// What was typed so far.
#[derive(Default)]
pub struct Keyboard {
    next: Next,
    open: bool,
    line: Text,
}

impl Keyboard {
    /// Makes the state in which nothing is typed, the monitor closed.
    pub const fn new() -> Self {
        Self {
            next: Next::Text,
            open: false,
            line: Text::new_const(),
        }
    }

    /// Tells whether the monitor is open, so that keys go to it and not to a guest.
    pub fn is_open(&self) -> bool {
        self.open
    }

    /// Returns what was typed behind the prompt.
    pub fn line(&self) -> &str {
        &self.line
    }

    /// Closes the monitor.
    pub fn close(&mut self) {
        self.open = false;
        self.line.clear();
    }

    /// Takes the next byte.
    pub fn feed(&mut self, byte: u8) -> Event {
        match core::mem::take(&mut self.next) {
            Next::Key => self.key(byte),
            Next::Guest => self.guest(byte),
            Next::For(guest) => Event::SendTo(guest, byte),
            Next::Text if byte == ESCAPE => self.expect(Next::Key),
            Next::Text if self.open => self.edit(byte),
            Next::Text => Event::Send(byte),
        }
    }

    fn expect(&mut self, next: Next) -> Event {
        self.next = next;
        Event::Nothing
    }

    fn key(&mut self, byte: u8) -> Event {
        match byte {
            b'1'..=b'9' => Event::Focus(usize::from(byte - b'1')),
            b'n' => Event::Next,
            b'o' => Event::ToggleView,
            b'?' | b'h' => Event::Keys,
            b'm' => self.toggle(),
            b'=' => self.expect(Next::Guest),
            ESCAPE if !self.open => Event::Send(ESCAPE),
            _ => Event::UnknownKey,
        }
    }

    /// Reads which guest is meant: a digit for one of the first nine guests, a letter for the next.
    fn guest(&mut self, byte: u8) -> Event {
        match byte {
            b'1'..=b'9' => self.expect(Next::For(usize::from(byte - b'1'))),
            b'a'..=b'g' => self.expect(Next::For(usize::from(byte - b'a') + 9)),
            _ => Event::UnknownKey,
        }
    }

    fn toggle(&mut self) -> Event {
        if self.open {
            self.close();
            return Event::Closed;
        }
        self.open = true;
        Event::Opened
    }

    fn edit(&mut self, byte: u8) -> Event {
        match byte {
            b'\r' | b'\n' => Event::Run(core::mem::take(&mut self.line)),
            BACKSPACE | DELETE if self.line.pop().is_some() => Event::Changed,
            CTRL_U => {
                self.line.clear();
                Event::Changed
            }
            CTRL_C | CTRL_D => self.toggle(),
            b' '..=b'~' if self.line.try_push(byte.into()).is_ok() => Event::Typed(byte),
            _ => Event::Nothing,
        }
    }
}
