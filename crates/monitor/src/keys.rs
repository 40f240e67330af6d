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
pub const KEYS: [&str; 7] = [
    "Ctrl-] and then",
    "1 to 9    type to the guest of that number",
    "n         type to the next guest",
    "o         show the output of that guest only, or of all guests",
    "m         open or close the monitor",
    "?         this list",
    "Ctrl-]    send Ctrl-] to the guest",
];

/// What a byte asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    /// Nothing, or nothing yet.
    Nothing,
    /// To send this byte to the guest that is typed to.
    Send(u8),
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

/// What was typed so far.
#[derive(Default)]
pub struct Keyboard {
    escaped: bool,
    open: bool,
    line: Text,
}

impl Keyboard {
    /// Nothing typed, the monitor closed.
    pub const fn new() -> Self {
        Self {
            escaped: false,
            open: false,
            line: Text::new_const(),
        }
    }

    /// Whether the monitor is open, so that keys go to it and not to a guest.
    pub fn is_open(&self) -> bool {
        self.open
    }

    /// What was typed behind the prompt.
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
        if core::mem::take(&mut self.escaped) {
            self.escape(byte)
        } else if byte == ESCAPE {
            self.escaped = true;
            Event::Nothing
        } else if self.open {
            self.edit(byte)
        } else {
            Event::Send(byte)
        }
    }

    fn escape(&mut self, byte: u8) -> Event {
        match byte {
            b'1'..=b'9' => Event::Focus(usize::from(byte - b'1')),
            b'n' => Event::Next,
            b'o' => Event::ToggleView,
            b'?' | b'h' => Event::Keys,
            b'm' => self.toggle(),
            ESCAPE if !self.open => Event::Send(ESCAPE),
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
