// SPDX-License-Identifier: MIT OR Apache-2.0

//! What each speaker on the console that all share has said, whatever came in between.
//!
//! The console is split by [`Splitter`]: each guest, and EL2 with the firmware, has a text and lines
//! of its own. So what is waited for depends neither on who speaks first nor on whose line breaks
//! another's.

use std::fmt;

use crate::split::{Owner, Splitter};

/// Who says something on the console.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Speaker {
    /// EL2, or the firmware before it.
    Hypervisor,
    /// The guest of this name.
    Guest(&'static str),
}

impl fmt::Display for Speaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hypervisor => f.write_str("the hypervisor"),
            Self::Guest(name) => f.write_str(name),
        }
    }
}

/// The number of a speaker: 0 is the hypervisor, the guests follow in the manifest's order.
pub type VoiceId = usize;

/// Everything a console printed, by speaker.
pub struct Transcript {
    names: Vec<String>,
    splitter: Splitter,
    voices: Vec<Voice>,
    lines: Vec<String>,
    touched: Vec<usize>,
}

/// What one speaker has said.
#[derive(Default)]
struct Voice {
    text: Vec<u8>,
    /// The current line, and what stands before it among the lines.
    line: Vec<u8>,
    prefix: String,
    /// Place of the line among the lines, if it has one already: another's line broke it, and it
    /// may go on.
    place: Option<usize>,
}

impl Transcript {
    /// Makes the transcript of a console before its first byte. Without `names`, all is the
    /// hypervisor's.
    pub fn new(names: &[String]) -> Self {
        Self {
            names: names.to_vec(),
            splitter: Splitter::new(names.to_vec()),
            voices: (0..=names.len()).map(|_| Voice::default()).collect(),
            lines: Vec::new(),
            touched: Vec::new(),
        }
    }

    /// Takes the next bytes.
    pub fn feed(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            let mut pieces = Vec::new();
            let mut note = |owner: Owner, bytes: &[u8]| pieces.push((owner, bytes.to_vec()));
            self.splitter.feed(&[byte], &mut note);
            self.take(pieces);
            if byte == b'\n' {
                self.show_broken();
            }
        }
    }

    /// Returns the lines, the last one of each speaker possibly unfinished.
    pub fn finish(mut self) -> Vec<String> {
        let mut pieces = Vec::new();
        self.splitter
            .finish(&mut |owner: Owner, bytes: &[u8]| pieces.push((owner, bytes.to_vec())));
        self.take(pieces);
        for voice in &mut self.voices {
            if !voice.line.is_empty() {
                voice.show(&mut self.lines, &mut self.touched);
            }
        }
        self.lines
    }

    fn take(&mut self, pieces: Vec<(Owner, Vec<u8>)>) {
        for (owner, bytes) in pieces {
            let prefix = match owner {
                Some(guest) if self.splitter.is_named() => format!("{}| ", self.names[guest]),
                _ => String::new(),
            };
            let voice = &mut self.voices[owner.map_or(0, |guest| guest + 1)];
            voice.take(&bytes, &prefix, &mut self.lines, &mut self.touched);
        }
    }

    /// Shows what has ended on the wire: a guest's line that was broken there counts as it is, for
    /// now.
    fn show_broken(&mut self) {
        for (guest, voice) in self.voices[1..].iter_mut().enumerate() {
            if self.splitter.holds_line_end(guest) {
                voice.place = Some(voice.show(&mut self.lines, &mut self.touched));
            }
        }
    }

    /// Returns the lines that have ended, in the order of their starts; each of a guest that shares
    /// the console starts with its name and `| `. A line that another's broke is put together.
    pub fn lines(&self) -> &[String] {
        &self.lines
    }

    /// Returns the places of the lines that are new or have grown since the last time.
    pub fn touched(&mut self) -> Vec<usize> {
        std::mem::take(&mut self.touched)
    }

    /// Returns the number of a speaker, if there is such a one.
    pub fn voice(&self, speaker: Speaker) -> Option<VoiceId> {
        match speaker {
            Speaker::Hypervisor => Some(0),
            Speaker::Guest(name) => Some(1 + self.names.iter().position(|known| known == name)?),
        }
    }

    /// Returns the lengths of all that each speaker has said, in bytes.
    pub fn lengths(&self) -> Vec<usize> {
        self.voices.iter().map(|voice| voice.text.len()).collect()
    }

    /// Returns the end of the first `text` that a speaker has said from byte `since` on.
    pub fn find(&self, voice: VoiceId, since: usize, text: &str) -> Option<usize> {
        let said = self.voices[voice].text.get(since..)?;
        let mut places = said.windows(text.len().max(1));
        match text {
            "" => Some(since),
            _ => Some(since + places.position(|part| part == text.as_bytes())? + text.len()),
        }
    }

    /// Returns the last line of each speaker that has said anything, possibly unfinished.
    pub fn last_lines(&self) -> Vec<(String, String)> {
        let names = ["the hypervisor"].into_iter();
        let names = names.chain(self.names.iter().map(String::as_str));
        let last = |(name, voice): (&str, &Voice)| {
            let text = String::from_utf8_lossy(&voice.text);
            let line = text.lines().rev().find(|line| !line.trim().is_empty())?;
            Some((name.to_owned(), line.to_owned()))
        };
        names.zip(&self.voices).filter_map(last).collect()
    }
}

impl Voice {
    fn take(
        &mut self,
        bytes: &[u8],
        prefix: &str,
        lines: &mut Vec<String>,
        touched: &mut Vec<usize>,
    ) {
        self.text.extend(bytes);
        for &byte in bytes {
            if byte == b'\n' {
                self.show(lines, touched);
                self.place = None;
                self.line.clear();
                self.prefix.clear();
            } else {
                if self.line.is_empty() {
                    prefix.clone_into(&mut self.prefix);
                }
                self.line.push(byte);
            }
        }
    }

    /// Puts the current line among the lines, or in its place there.
    fn show(&self, lines: &mut Vec<String>, touched: &mut Vec<usize>) -> usize {
        let line = String::from_utf8_lossy(&self.line);
        let line = format!("{}{}", self.prefix, line.trim_matches(['\r', '\0']));
        match self.place {
            Some(place) if lines[place] == line => place,
            Some(place) => {
                lines[place] = line;
                touched.push(place);
                place
            }
            None => {
                touched.push(lines.len());
                lines.push(line);
                lines.len() - 1
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transcript(names: &[&str], console: &str) -> Transcript {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut transcript = Transcript::new(&names);
        transcript.feed(console.as_bytes());
        transcript
    }

    #[test]
    fn lines_arrive_in_any_pieces() {
        let mut console = transcript(&[], "one\r\ntw");
        assert_eq!(console.lines(), ["one"]);
        console.feed(b"o\r\n\0three\r\nlast\xff");
        assert_eq!(console.touched(), [0, 1, 2]);
        assert_eq!(console.finish(), ["one", "two", "three", "last\u{fffd}"]);
    }

    #[test]
    fn a_line_that_another_broke_is_one_line() {
        let mut console = transcript(&["a", "b"], "a| 100\r\nb| x\r\n");
        assert_eq!(console.lines(), ["a| 100", "b| x"]);
        console.touched();
        console.feed(b"a+ 4 OK\r\nteevisor: y\r\n");
        assert_eq!(console.lines(), ["a| 1004 OK", "b| x", "teevisor: y"]);
        assert_eq!(console.touched(), [0, 2]);
    }

    #[test]
    fn lines_without_a_name_are_told_from_those_with_one() {
        let console = "teevisor: only b's output is shown\r\n1\r\n\
                       teevisor: all guests' output is shown\r\nb| 2\r\n";
        let console = transcript(&["a", "b"], console);
        assert!(console.lines().contains(&"1".to_owned()));
        assert!(console.lines().contains(&"b| 2".to_owned()));
        let b = console.voice(Speaker::Guest("b")).unwrap();
        assert_eq!(console.find(b, 0, "1\r\n2"), Some(4));
    }

    #[test]
    fn what_was_said_before_does_not_count() {
        let console = transcript(&["a", "b"], "a| one\r\nb| ~ # \r\na| one ~ # ");
        let a = console.voice(Speaker::Guest("a")).unwrap();
        let first = console.find(a, 0, "one").unwrap();
        let second = console.find(a, first, "one").unwrap();
        assert_eq!(console.find(a, second, "one"), None);
        assert!(console.find(a, second, "~ # ").is_some());
        assert_eq!(console.voice(Speaker::Guest("c")), None);
    }

    #[test]
    fn the_last_line_of_each_is_told() {
        let console = transcript(&["a", "b"], "a| one\r\nteevisor: x\r\na| two");
        let last = console.last_lines();
        let last: Vec<_> = last.iter().map(|(n, l)| (&**n, &**l)).collect();
        assert_eq!(last, [("the hypervisor", "teevisor: x"), ("a", "two")]);
    }
}
