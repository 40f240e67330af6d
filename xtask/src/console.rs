// SPDX-License-Identifier: MIT OR Apache-2.0

//! The report of a guest's init on the console, and the keys that end a session.

/// What a guest's init writes when its command has ended, before the status in decimal.
const REPORT: &str = "guest-exit-status: ";

/// Returns the exit status, if the line is an init's report; the hypervisor may tell in front of it
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
    /// The key began an escape.
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
