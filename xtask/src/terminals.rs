// SPDX-License-Identifier: MIT OR Apache-2.0

//! A log file and a terminal for each guest, from one console and back to it.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::Path;
use std::process::ChildStdin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::pty::{self, OpenptFlags};
use rustix::termios::{self, OptionalActions, QueueSelector};

use crate::split::{Owner, Splitter};
use crate::ui;

/// What the machine's first UART receives.
pub type Input = Arc<Mutex<ChildStdin>>;

/// Sends keys to the machine, all or none between those of others. False if it is gone.
pub fn send(input: &Input, keys: &[u8]) -> bool {
    let mut input = input.lock().unwrap_or_else(PoisonError::into_inner);
    input.write_all(keys).is_ok()
}

/// Where the guests' output goes.
pub struct Guests {
    splitter: Splitter,
    logs: Vec<File>,
    terminals: Vec<Terminal>,
}

impl Guests {
    /// Makes a log for each guest in the folder `logs`, and a terminal if there shall be some.
    pub fn new(names: Vec<String>, logs: Option<&Path>, terminals: bool) -> Result<Self> {
        let files = match logs {
            Some(dir) => names.iter().map(|name| log(dir, name)).collect(),
            None => Ok(Vec::new()),
        };
        let mut opened = Vec::new();
        if terminals {
            for name in &names {
                opened.push(Terminal::open().with_context(|| format!("a terminal for {name}"))?);
                let device = &opened[opened.len() - 1].device;
                ui::note(&format!("guest {name}: screen {device}"));
            }
        }
        Ok(Self {
            splitter: Splitter::new(names),
            logs: files?,
            terminals: opened,
        })
    }

    /// Tells whether the machine gets keys from terminals.
    pub fn type_keys(&self) -> bool {
        !self.terminals.is_empty()
    }

    /// Sends what is typed at the terminals to the machine, for as long as it runs.
    pub fn forward_keys(&self, input: &Input) -> Result<()> {
        for (guest, terminal) in self.terminals.iter().enumerate() {
            terminal.forward_keys(guest, input.clone())?;
        }
        Ok(())
    }

    /// Takes the console's next bytes. Returns those for who looks at the console: all, or what no
    /// guest wrote if each has a terminal.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<Vec<u8>> {
        let Self {
            splitter,
            logs,
            terminals,
        } = self;
        let mut rest = Vec::new();
        let mut result = Ok(());
        splitter.feed(bytes, &mut |owner: Owner, bytes: &[u8]| {
            let Some(guest) = owner else {
                rest.extend(bytes);
                return;
            };
            if let Some(log) = logs.get_mut(guest)
                && let Err(error) = log.write_all(bytes)
            {
                result = Err(error);
            }
            if let Some(terminal) = terminals.get_mut(guest) {
                terminal.show(bytes);
            }
        });
        result.context("cannot write a guest's log")?;
        Ok(if self.terminals.is_empty() {
            bytes.to_vec()
        } else {
            rest
        })
    }
}

fn log(dir: &Path, name: &str) -> Result<File> {
    fs::create_dir_all(dir).with_context(|| format!("{}", dir.display()))?;
    let path = dir.join(format!("{name}.log"));
    File::create(&path).with_context(|| format!("{}", path.display()))
}

/// A pseudo-terminal: xtask has the one end, and somebody may open the other.
struct Terminal {
    ours: File,
    /// Keeps the terminal alive and its settings while nobody has it open.
    theirs: File,
    /// What to open.
    device: String,
}

impl Terminal {
    fn open() -> Result<Self> {
        let ours = pty::openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY)?;
        pty::grantpt(&ours)?;
        pty::unlockpt(&ours)?;
        let device = pty::ptsname(&ours, Vec::new())?.into_string()?;
        let theirs = File::options().read(true).write(true).open(&device)?;
        let mut raw = termios::tcgetattr(&theirs)?;
        raw.make_raw();
        termios::tcsetattr(&theirs, OptionalActions::Now, &raw)?;
        // Output for a terminal that nobody looks at must not hold up the machine.
        rustix::io::ioctl_fionbio(&ours, true)?;
        Ok(Self {
            ours: ours.into(),
            theirs,
            device,
        })
    }

    /// Shows bytes. If nobody reads, the newest output takes the place of the oldest.
    fn show(&mut self, bytes: &[u8]) {
        if self.ours.write_all(bytes).is_err() {
            let _ = termios::tcflush(&self.theirs, QueueSelector::IFlush);
            let _ = self.ours.write_all(bytes);
        }
    }

    fn forward_keys(&self, guest: usize, input: Input) -> Result<()> {
        let mut ours = self.ours.try_clone()?;
        std::thread::spawn(move || {
            let mut keys = [0; 64];
            loop {
                match ours.read(&mut keys) {
                    Ok(count) if !send(&input, &for_guest(guest, &keys[..count])) => return,
                    Ok(_) => {}
                    Err(_) => std::thread::sleep(Duration::from_millis(10)),
                }
            }
        });
        Ok(())
    }
}

/// Keys for a guest, whoever is typed to: Ctrl-], `=` and the guest's sign before each.
fn for_guest(guest: usize, keys: &[u8]) -> Vec<u8> {
    let sign = b"123456789abcdefg".get(guest).copied().unwrap_or(b'?');
    keys.iter()
        .flat_map(|key| [0x1d, b'=', sign, *key])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_says_whom_it_is_for() {
        assert_eq!(for_guest(1, b"ls\x1d"), b"\x1d=2l\x1d=2s\x1d=2\x1d");
        assert_eq!(for_guest(15, b"x"), b"\x1d=gx");
    }

    #[test]
    fn a_log_and_a_terminal_get_what_the_guest_wrote() {
        let dir = std::env::temp_dir().join(format!("xtask-guests-{}", std::process::id()));
        let names = vec!["a".to_owned(), "b".to_owned()];
        let mut guests = Guests::new(names, Some(&dir), true).unwrap();
        let rest = guests.feed(b"teevisor: x\r\na| one\r\nb| two\r\na| 3");
        assert_eq!(rest.unwrap(), b"teevisor: x\r\n");
        assert_eq!(fs::read(dir.join("a.log")).unwrap(), b"one\r\n3");
        assert_eq!(fs::read(dir.join("b.log")).unwrap(), b"two");
        fs::remove_dir_all(&dir).unwrap();
        let mut shown = [0; 6];
        guests.terminals[0].theirs.read_exact(&mut shown).unwrap();
        assert_eq!(&shown, b"one\r\n3");
        // Nobody reads the other one: it takes any amount.
        let long = vec![b'.'; 1 << 16];
        (0..4).for_each(|_| drop(guests.feed(&long).unwrap()));
    }
}
