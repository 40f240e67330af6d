// SPDX-License-Identifier: MIT OR Apache-2.0

//! What is typed at a console when no person types: each text after what it has to wait for.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::transcript::{Speaker, Transcript, VoiceId};

/// What to type, in order.
pub type Script = &'static [Step];

/// Something that somebody says.
#[derive(Clone, Copy, Debug)]
pub struct Saying {
    by: Speaker,
    text: &'static str,
}

/// Waits until the guest of this name says `text`.
pub const fn guest(name: &'static str, text: &'static str) -> Saying {
    Saying {
        by: Speaker::Guest(name),
        text,
    }
}

/// Waits until EL2 or the firmware says `text`.
pub const fn hypervisor(text: &'static str) -> Saying {
    Saying {
        by: Speaker::Hypervisor,
        text,
    }
}

/// Keys, and what they wait for.
#[derive(Clone, Copy)]
pub struct Step {
    /// Typed after this. What a step has found is said no more for those after it.
    pub after: Saying,
    /// The keys.
    pub keys: &'static str,
    /// Only what is said after the last keys counts: the same may have been said before.
    pub anew: bool,
    /// Typed again and again while nothing comes: a prompt can be hidden behind another guest's line
    /// until its guest is typed to.
    pub nudge: &'static str,
    /// How often at least, each time after `after`.
    pub times: usize,
    /// And until this was said.
    pub until: Option<Saying>,
    /// Most milliseconds from `after` to the keys; it is a random time up to this.
    pub delay: u64,
}

/// Makes a step that is done once, and at once.
pub const fn once(after: Saying, keys: &'static str) -> Step {
    Step {
        after,
        keys,
        anew: false,
        nudge: "",
        times: 1,
        until: None,
        delay: 0,
    }
}

impl Step {
    /// Waits for what is said after the last keys.
    pub const fn anew(self) -> Self {
        Self { anew: true, ..self }
    }

    /// Waits for a prompt of the guest that has the keys.
    pub const fn nudged(self) -> Self {
        Self {
            nudge: "\r",
            ..self
        }
    }
}

/// How long nothing must have come before a nudge.
const QUIET: Duration = Duration::from_secs(1);

/// Takes keys. False if nobody does.
pub type Keyboard<'a> = &'a mut dyn FnMut(&str) -> bool;

/// Types a script.
pub struct Typist {
    script: Script,
    /// How much of what each has said is done with.
    heard: Vec<usize>,
    /// How much each had said when the last keys were typed.
    before_keys: Vec<usize>,
    /// How much all had said at the last look, and when that was less.
    looked: (usize, Instant),
    /// How often the current step was typed.
    typed: usize,
    /// When to type, once what the step waits for was said.
    due: Option<Instant>,
    random: u32,
}

impl Typist {
    /// Makes a typist before the first step. Fails if the script waits for a guest that nobody
    /// knows.
    pub fn new(script: Script, console: &Transcript) -> Result<Self> {
        let voices = script
            .iter()
            .flat_map(|step| [Some(step.after), step.until]);
        for saying in voices.flatten() {
            voice(console, saying)?;
        }
        let nothing = console.lengths();
        Ok(Self {
            script,
            heard: nothing.clone(),
            before_keys: nothing,
            looked: (0, Instant::now()),
            typed: 0,
            due: None,
            random: 1,
        })
    }

    /// Types what may be typed now.
    pub fn look_at(&mut self, console: &Transcript, keyboard: Keyboard) -> Result<()> {
        let Some((step, rest)) = self.script.split_first() else {
            return Ok(());
        };
        if self.due.is_none() && self.hears(step, console)? {
            self.due = Some(Instant::now() + self.delay(step.delay));
        }
        match self.due {
            None => return self.nudge(step, console, keyboard),
            Some(due) if due > Instant::now() => return Ok(()),
            Some(_) => self.due = None,
        }
        self.typed += 1;
        let ends = match step.until {
            Some(saying) => console
                .find(voice(console, saying)?, 0, saying.text)
                .is_some(),
            None => true,
        };
        if self.typed >= step.times && ends {
            self.script = rest;
            self.typed = 0;
        }
        self.before_keys = console.lengths();
        type_keys(step.keys, keyboard)
    }

    /// Tells whether the step's text was said; it is done with, then.
    fn hears(&mut self, step: &Step, console: &Transcript) -> Result<bool> {
        let voice = voice(console, step.after)?;
        let mut since = self.heard[voice];
        if step.anew {
            since = since.max(self.before_keys[voice]);
        }
        let end = console.find(voice, since, step.after.text);
        if let Some(end) = end {
            self.heard[voice] = end;
        }
        Ok(end.is_some())
    }

    fn nudge(&mut self, step: &Step, console: &Transcript, keyboard: Keyboard) -> Result<()> {
        let said = console.lengths().iter().sum();
        if said != self.looked.0 {
            self.looked = (said, Instant::now());
        } else if !step.nudge.is_empty() && self.looked.1.elapsed() > QUIET {
            self.looked.1 = Instant::now();
            return type_keys(step.nudge, keyboard);
        }
        Ok(())
    }

    /// Returns what is waited for, if the script is not at its end.
    pub fn waits_for(&self) -> Option<String> {
        let step = self.script.first()?;
        let Saying { by, text } = step.after;
        let more = self.script.len() - 1;
        Some(format!(
            "{by} to say {text:?} before {:?} is typed, and {more} texts after it",
            step.keys
        ))
    }

    /// Returns a pseudo-random time of at most so many milliseconds (xorshift32).
    fn delay(&mut self, most: u64) -> Duration {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 17;
        self.random ^= self.random << 5;
        Duration::from_millis(u64::from(self.random) % (most + 1))
    }
}

fn voice(console: &Transcript, saying: Saying) -> Result<VoiceId> {
    let known = console.voice(saying.by);
    known.with_context(|| format!("the script waits for {}, which is no guest here", saying.by))
}

fn type_keys(keys: &str, keyboard: Keyboard) -> Result<()> {
    ensure!(
        keys.is_empty() || keyboard(keys),
        "QEMU does not take {keys:?}"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 2] = ["one", "two"];

    fn console() -> Transcript {
        Transcript::new(&NAMES.map(str::to_owned))
    }

    /// Returns what is typed when these pieces come, one after another.
    fn typed(script: Script, pieces: &[&str]) -> Vec<String> {
        let mut console = console();
        let mut typist = Typist::new(script, &console).unwrap();
        let mut typed = Vec::new();
        for piece in pieces {
            console.feed(piece.as_bytes());
            for _ in 0..=script.len() {
                let mut keyboard = |keys: &str| {
                    typed.push(keys.to_owned());
                    true
                };
                typist.look_at(&console, &mut keyboard).unwrap();
            }
        }
        typed
    }

    /// Returns all orders of these pieces in which each speaker's own keep theirs.
    fn orders<'a>(speakers: &[&[&'a str]]) -> Vec<Vec<&'a str>> {
        if speakers.iter().all(|pieces| pieces.is_empty()) {
            return vec![Vec::new()];
        }
        let mut all = Vec::new();
        for (n, pieces) in speakers.iter().enumerate() {
            let Some((first, rest)) = pieces.split_first() else {
                continue;
            };
            let mut others = speakers.to_vec();
            others[n] = rest;
            for mut order in orders(&others) {
                order.insert(0, first);
                all.push(order);
            }
        }
        all
    }

    const PROMPTS: Script = &[
        once(guest("one", "~ # "), "first\r"),
        once(guest("one", "first-42"), "\x1d2"),
        once(guest("two", "~ # "), "second\r"),
        once(guest("two", "second-42"), "\x1dm"),
        once(hypervisor("teevisor> "), "quit\r"),
    ];

    #[test]
    fn a_script_is_typed_in_whatever_order_the_speakers_come() {
        let mut count = 0;
        for order in orders(&[
            &[
                "one| boot\r\n",
                "one| ~ # \r\n",
                "one+ \x1b[6n",
                "\r\none| first-42\r\n",
            ],
            &["two| ~ # \r\n", "two+ \x1b[6n\r\n", "two| second-42\r\n"],
            &["teevisor: x\r\n", "teevisor> "],
        ]) {
            // What is said at the left end only is told from what goes on with a line.
            let pieces: Vec<String> = order.iter().map(|piece| format!("\r\n{piece}")).collect();
            let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
            let keys = ["first\r", "\x1d2", "second\r", "\x1dm", "quit\r"];
            assert_eq!(typed(PROMPTS, &pieces), keys, "{order:?}");
            count += 1;
        }
        assert_eq!(count, 1260);
    }

    #[test]
    fn a_prompt_of_another_guest_is_not_taken_for_one() {
        assert_eq!(typed(PROMPTS, &["two| ~ # ", "\r\none| boot\r\n"]), [""; 0]);
    }

    #[test]
    fn what_was_found_is_not_found_again() {
        const TWICE: Script = &[
            once(guest("one", "tick"), "1"),
            once(guest("one", "tick"), "2"),
        ];
        assert_eq!(typed(TWICE, &["one| tick"]), ["1"]);
        assert_eq!(typed(TWICE, &["one| tick tick"]), ["1", "2"]);
    }

    #[test]
    fn anew_means_after_the_last_keys() {
        const ANEW: Script = &[
            once(guest("one", "tick"), "1"),
            once(guest("one", "tick"), "2").anew(),
        ];
        assert_eq!(typed(ANEW, &["one| tick tick"]), ["1"]);
        assert_eq!(typed(ANEW, &["one| tick tick", " tick"]), ["1", "2"]);
    }

    #[test]
    fn a_step_is_repeated_until_something_was_said() {
        const REPEAT: Script = &[Step {
            times: 2,
            until: Some(guest("two", "done")),
            ..once(hypervisor("restarted"), "r")
        }];
        let again = "\r\nteevisor: restarted\r\n";
        assert_eq!(typed(REPEAT, &[again, again, again]).len(), 3);
        let done = "\r\ntwo| done\r\n";
        assert_eq!(typed(REPEAT, &[done, again, again, again]).len(), 2);
    }

    #[test]
    fn what_is_waited_for_is_told() {
        let console = console();
        let typist = Typist::new(PROMPTS, &console).unwrap();
        let told = typist.waits_for().unwrap();
        assert!(
            told.starts_with("one to say \"~ # \" before \"first\\r\""),
            "{told}"
        );
        const STRANGER: Script = &[once(guest("three", "x"), "y")];
        assert!(Typist::new(STRANGER, &console).is_err());
    }
}
