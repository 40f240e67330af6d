// SPDX-License-Identifier: MIT OR Apache-2.0

//! What each guest wrote, from the console that all share: the way back from `crates/conmux`.

/// Whose a piece of output is: a guest's, by its place in the manifest, or EL2's or the firmware's.
pub type Owner = Option<usize>;

/// Receives each piece of output, without names, and whose it is.
pub trait Sink {
    /// Takes the next bytes of this owner.
    fn give(&mut self, owner: Owner, bytes: &[u8]);
}

impl<F: FnMut(Owner, &[u8])> Sink for F {
    fn give(&mut self, owner: Owner, bytes: &[u8]) {
        self(owner, bytes);
    }
}

/// How EL2's lines and its monitor's prompt start.
const EL2: [&str; 2] = ["teevisor: ", "teevisor> "];

/// The guests' names, and what has been read of the current line.
pub struct Splitter {
    names: Vec<String>,
    /// The guest whose output comes without its name, because no other's is shown.
    alone: Owner,
    owner: Owner,
    /// Whether the line starts with its owner's name.
    named: bool,
    /// Bytes at the left end of a line that may become a name.
    start: Option<Vec<u8>>,
    /// Of each guest, the line end that is only true if its next line does not go on with it.
    held: Vec<Vec<u8>>,
    /// EL2's line so far: it says whose output is shown.
    said: Vec<u8>,
}

enum Found {
    /// Nothing yet.
    Nothing,
    /// A guest's name; whether the line goes on with its last one.
    Guest(usize, bool),
    /// A line of EL2's.
    Hypervisor,
    /// No name.
    Plain,
}

impl Splitter {
    /// Makes a console before its first byte.
    pub fn new(names: Vec<String>) -> Self {
        Self {
            held: vec![Vec::new(); names.len()],
            names,
            alone: None,
            owner: None,
            named: false,
            start: Some(Vec::new()),
            said: Vec::new(),
        }
    }

    /// Takes the next bytes.
    pub fn feed(&mut self, bytes: &[u8], sink: &mut impl Sink) {
        for &byte in bytes {
            match (byte, self.start.take()) {
                (b'\r' | b'\n', start) => self.end(byte, &start.unwrap_or_default(), sink),
                (_, Some(mut start)) => {
                    start.push(byte);
                    self.decide(start, sink);
                }
                (_, None) => self.give(&[byte], sink),
            }
        }
    }

    /// Ends a line, or follows its cursor to the left, where a name may follow.
    fn end(&mut self, byte: u8, start: &[u8], sink: &mut impl Sink) {
        if !start.is_empty() {
            self.give(start, sink);
        }
        match self.owner {
            Some(guest) if self.named => self.held[guest].push(byte),
            _ => self.give(&[byte], sink),
        }
        if byte == b'\n' {
            self.note();
            self.owner = self.alone;
            self.named = false;
        }
        self.start = Some(Vec::new());
    }

    /// Gives what may yet have become a name: nothing follows.
    pub fn finish(&mut self, sink: &mut impl Sink) {
        let start = self.start.take().unwrap_or_default();
        if !start.is_empty() {
            self.give(&start, sink);
        }
    }

    /// Tells whether the line so far started with its owner's name.
    pub fn is_named(&self) -> bool {
        self.named
    }

    /// Tells whether the last line of this guest has ended, unless its next one goes on with it.
    pub fn holds_line_end(&self, guest: usize) -> bool {
        self.held[guest].ends_with(b"\n")
    }

    fn decide(&mut self, start: Vec<u8>, sink: &mut impl Sink) {
        match self.find(&start) {
            Found::Nothing => self.start = Some(start),
            Found::Guest(guest, goes_on) => {
                self.owner = Some(guest);
                self.named = true;
                let held = &mut self.held[guest];
                if goes_on && held.ends_with(b"\r\n") {
                    held.truncate(held.len() - 2);
                }
                self.give(&[], sink);
            }
            Found::Hypervisor => {
                self.owner = None;
                self.give(&start, sink);
            }
            Found::Plain => self.give(&start, sink),
        }
    }

    fn find(&self, start: &[u8]) -> Found {
        let mut found = Found::Plain;
        let mut look = |prefix: &str, meaning: Found| {
            if prefix.as_bytes() == start {
                found = meaning;
            } else if prefix.as_bytes().starts_with(start) && matches!(found, Found::Plain) {
                found = Found::Nothing;
            }
        };
        for (guest, name) in self.names.iter().enumerate() {
            look(&format!("{name}| "), Found::Guest(guest, false));
            look(&format!("{name}+ "), Found::Guest(guest, true));
        }
        EL2.iter()
            .for_each(|prefix| look(prefix, Found::Hypervisor));
        found
    }

    fn give(&mut self, bytes: &[u8], sink: &mut impl Sink) {
        match self.owner {
            Some(guest) => {
                let held = std::mem::take(&mut self.held[guest]);
                sink.give(self.owner, &[&held, bytes].concat());
            }
            None => {
                self.said.extend(bytes);
                sink.give(None, bytes);
            }
        }
    }

    /// Learns from a line of EL2's whose output comes without a name from now on.
    fn note(&mut self) {
        let said = String::from_utf8_lossy(&std::mem::take(&mut self.said)).into_owned();
        let Some(said) = said.trim_end().strip_prefix(EL2[0]) else {
            return;
        };
        let of = |rest: &str| {
            self.names.iter().position(|name| {
                let end = rest.strip_prefix(name.as_str());
                end.is_some_and(|end| !end.starts_with(|c: char| c.is_alphanumeric() || c == '-'))
            })
        };
        if said == "all guests' output is shown" {
            self.alone = None;
        } else if let Some(rest) = said.strip_prefix("only ") {
            self.alone = of(rest);
        } else if let Some(rest) = said.strip_prefix("keys go to ")
            && (self.alone.is_some() || self.names.len() == 1)
        {
            self.alone = of(rest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Splits what everybody wrote: EL2 and firmware first.
    fn split(names: &[&str], console: &str) -> Vec<String> {
        let names = names
            .iter()
            .map(|name| (*name).to_owned())
            .collect::<Vec<_>>();
        let mut texts = vec![Vec::new(); names.len() + 1];
        let mut splitter = Splitter::new(names);
        for byte in console.bytes() {
            splitter.feed(&[byte], &mut |owner: Owner, bytes: &[u8]| {
                texts[owner.map_or(0, |guest| guest + 1)].extend(bytes);
            });
        }
        let text = |bytes| String::from_utf8(bytes).unwrap();
        texts.into_iter().map(text).collect()
    }

    #[test]
    fn lines_go_to_whom_they_name() {
        let console =
            "NOTICE:  BL31\r\nteevisor: version\r\none| a\r\ntwo| b\r\none| c\r\nteevisor> ";
        assert_eq!(
            split(&["one", "two"], console),
            [
                "NOTICE:  BL31\r\nteevisor: version\r\nteevisor> ",
                "a\r\nc",
                "b"
            ]
        );
    }

    #[test]
    fn a_broken_line_is_put_together() {
        let console = "a| hel\r\nb| x\r\na+ lo\r\na| ~ # \r\nb| y\r\na+ ls\r\na| z";
        assert_eq!(
            split(&["a", "b"], console),
            ["", "hello\r\n~ # ls\r\nz", "x\r\ny"]
        );
    }

    #[test]
    fn a_name_after_a_carriage_return_is_taken_out() {
        let console = "a| \r\na| 10%\ra| 20%\r\r\na| \ra| end";
        assert_eq!(split(&["a", "b"], console)[1], "\r\n10%\r20%\r\r\n\rend");
    }

    #[test]
    fn names_may_start_alike() {
        let console = "ab| 1\r\na| 2\r\nabc| no name\r\nab";
        assert_eq!(split(&["a", "ab"], console), ["abc| no name\r\n", "2", "1"]);
    }

    #[test]
    fn the_only_guest_has_what_is_not_of_others() {
        let console = "NOTICE\r\nteevisor: keys go to a; Ctrl-] ? for help\r\nboot\r\n~ # \r\n\
                       teevisor: a: off\r\n";
        assert_eq!(split(&["a"], console)[1], "boot\r\n~ # \r\n");
    }

    #[test]
    fn output_without_a_name_is_of_the_guest_that_is_shown() {
        let console = "x\r\nteevisor: only a's output is shown\r\n1\r\n\
                       teevisor: keys go to ab; Ctrl-] ? for help\r\n2\r\n\
                       teevisor: all guests' output is shown\r\n3\r\na| 4";
        let texts = split(&["a", "ab"], console);
        assert_eq!(&texts[1..], ["1\r\n4", "2\r\n"]);
        assert!(texts[0].ends_with("shown\r\n3\r\n"));
    }

    proptest! {
        /// Whatever guests and EL2 write, each guest's output comes out as it went in; a line's
        /// end at the very end may still wait for what follows.
        #[test]
        fn the_way_back_from_the_mux(
            steps in prop::collection::vec((0_usize..2, "[xyz\r\n]{0,9}", 0_u8..4), 0..80),
        ) {
            let mut mux = conmux::Mux::new();
            let log = spin::Mutex::new(conmux::Log::new());
            let rings = [const { spin::Mutex::new(conmux::Ring::new()) }; conmux::MAX_GUESTS];
            let sources = conmux::Sources { log: &log, rings: &rings };
            let names = ["a", "ab"];
            for (guest, name) in names.iter().enumerate() {
                mux.add_guest(name);
                rings[guest].lock().reserve();
            }
            let (mut wire, mut sent) = (Vec::new(), [const { String::new() }; 2]);
            for (guest, text, act) in &steps {
                match act {
                    0 => log.lock().push(&[conmux::PREFIX, "a: off"]),
                    1 => mux.attend(*guest),
                    2 => mux.prompt(format_args!("teevisor> ")),
                    _ => mux.end_prompt(&log),
                }
                text.bytes().for_each(|byte| rings[*guest].lock().push(byte));
                // Visits of any length, as the UART has room.
                mux.feed(sources, text.len() * 40, |byte| {
                    wire.push(byte);
                    true
                });
                sent[*guest] += text;
            }
            rings.iter().take(2).for_each(|ring| ring.lock().push(b'\n'));
            mux.feed(sources, usize::MAX, |byte| {
                wire.push(byte);
                true
            });
            let shown = split(&names, str::from_utf8(&wire).unwrap());
            for (sent, shown) in sent.iter().zip(&shown[1..]) {
                let rest = sent.strip_prefix(shown.as_str());
                let ends = |rest: &str| rest.bytes().all(|byte| b"\r\n".contains(&byte));
                prop_assert!(rest.is_some_and(ends), "{:?}: {:?}", sent, shown);
            }
        }
    }
}
