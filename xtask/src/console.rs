//! What comes out of the first UART: lines, and the report of a guest's init; and what goes in:
//! the keys that end a session.

/// What a guest's init writes when its command has ended, before the status in decimal.
const REPORT: &str = "guest-exit-status: ";

/// A place in what a console printed: whole lines before it, and bytes of the next.
pub type Position = (usize, usize);

/// Everything a console printed, line by line.
#[derive(Default)]
pub struct Console {
    lines: Vec<String>,
    partial: Vec<u8>,
}

impl Console {
    /// Takes the next bytes.
    pub fn feed(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            match byte {
                b'\n' => self.end_line(),
                _ => self.partial.push(byte),
            }
        }
    }

    /// The lines, the last one possibly unfinished.
    pub fn finish(mut self) -> Vec<String> {
        if !self.partial.is_empty() {
            self.end_line();
        }
        self.lines
    }

    /// The whole lines so far.
    pub fn lines(&self) -> &[String] {
        &self.lines
    }

    /// Where the text ends now.
    pub fn position(&self) -> Position {
        (self.lines.len(), self.partial.len())
    }

    /// Whether a line contains `text` behind `since`, the unfinished line included.
    pub fn says(&self, since: Position, text: &str) -> bool {
        let (first, offset) = since;
        let last = String::from_utf8_lossy(&self.partial);
        let lines = self.lines.iter().map(String::as_str).chain([&*last]);
        let new = lines.skip(first).enumerate();
        new.into_iter().any(|(n, line)| {
            let line = if n == 0 {
                line.get(offset..)
            } else {
                Some(line)
            };
            line.is_some_and(|line| line.contains(text))
        })
    }

    /// The statuses that guests' inits have reported so far.
    pub fn statuses(&self) -> Vec<i32> {
        self.lines.iter().filter_map(|line| status(line)).collect()
    }

    fn end_line(&mut self) {
        let bytes = std::mem::take(&mut self.partial);
        let line = String::from_utf8_lossy(&bytes);
        self.lines.push(line.trim_matches(['\r', '\0']).to_owned());
    }
}

/// The exit status, if the line is an init's report; the hypervisor may tell in front of it
/// which guest wrote it, in brackets or before a colon or bar.
pub fn status(line: &str) -> Option<i32> {
    let (before, number) = line.split_once(REPORT)?;
    let before = before.trim_end();
    let tagged = before.is_empty() || before.ends_with([']', ':', '|', '+']);
    let number = number.trim_end();
    let decimal = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
    (tagged && decimal).then(|| number.parse().ok()).flatten()
}

/// What to do with a key typed in an interactive session.
#[derive(Debug, PartialEq, Eq)]
pub enum Key {
    /// Send it to the guest.
    Send(u8),
    /// It began an escape.
    Nothing,
    /// End the session.
    Quit,
}

const CTRL_A: u8 = 1;
const CTRL_C: u8 = 3;

/// Ctrl-C and Ctrl-A x end the session; Ctrl-A c sends Ctrl-C, Ctrl-A Ctrl-A sends Ctrl-A.
#[derive(Default)]
pub struct Keys {
    escaped: bool,
}

impl Keys {
    /// Takes the next key.
    pub fn feed(&mut self, byte: u8) -> Key {
        if std::mem::take(&mut self.escaped) {
            return match byte {
                b'x' | b'X' | CTRL_C => Key::Quit,
                b'c' => Key::Send(CTRL_C),
                CTRL_A => Key::Send(CTRL_A),
                _ => Key::Nothing,
            };
        }
        match byte {
            CTRL_C => Key::Quit,
            CTRL_A => {
                self.escaped = true;
                Key::Nothing
            }
            _ => Key::Send(byte),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_lines() {
        assert_eq!(status("guest-exit-status: 0"), Some(0));
        assert_eq!(status("guest-exit-status: 139\r"), Some(139));
        assert_eq!(status("[linux] guest-exit-status: 3"), Some(3));
        assert_eq!(status("linux| guest-exit-status: 3"), Some(3));
        assert_eq!(status("guest-exit-status: "), None);
        assert_eq!(status("guest-exit-status: 1x"), None);
        assert_eq!(status("guest-exit-status: -1"), None);
        assert_eq!(status("echo guest-exit-status: 0"), None);
        assert_eq!(status("Kernel command line: guest.cmd=\"xtest\""), None);
    }

    #[test]
    fn lines_arrive_in_any_pieces() {
        let mut console = Console::default();
        console.feed(b"one\r\ntw");
        console.feed(b"o\r\nguest-exit-stat");
        assert!(console.statuses().is_empty());
        console.feed(b"us: 7\r\nlast\xff");
        assert_eq!(console.statuses(), [7]);
        assert_eq!(
            console.finish(),
            ["one", "two", "guest-exit-status: 7", "last\u{fffd}"]
        );
    }

    #[test]
    fn what_was_said_before_does_not_count() {
        let mut console = Console::default();
        console.feed(b"one\r\n~ # ");
        assert!(console.says((0, 0), "one") && console.says((0, 0), "~ #"));
        let since = console.position();
        assert!(!console.says(since, "~ #"));
        console.feed(b"ls\r\ntwo\r\n~ # ");
        assert!(
            ["ls", "two", "~ #"]
                .iter()
                .all(|text| console.says(since, text))
        );
        assert!(!console.says(since, "one"));
    }

    #[test]
    fn keys_that_end_and_keys_that_pass() {
        let mut keys = Keys::default();
        let mut feed = |bytes: &[u8]| bytes.iter().map(|b| keys.feed(*b)).last().unwrap();
        assert_eq!(feed(b"a"), Key::Send(b'a'));
        assert_eq!(feed(b"\x03"), Key::Quit);
        assert_eq!(feed(b"\x01"), Key::Nothing);
        assert_eq!(feed(b"x"), Key::Quit);
        assert_eq!(feed(b"x"), Key::Send(b'x'));
        assert_eq!(feed(b"\x01c"), Key::Send(3));
        assert_eq!(feed(b"\x01\x01"), Key::Send(1));
        assert_eq!(feed(b"\x01q"), Key::Nothing);
        assert_eq!(feed(b"q"), Key::Send(b'q'));
    }
}
