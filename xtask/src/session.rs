// SPDX-License-Identifier: MIT OR Apache-2.0

//! One run of a machine, from power-on until it is off, its time is over or the user ends it.

use std::cell::RefCell;
use std::fs::{self, File};
use std::io::{IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::termios::{self, OptionalActions, OutputModes, Termios};

use crate::boards;
use crate::cache;
use crate::command::{self, Guard};
use crate::console::{Key, Keys, status};
use crate::qemu::{Files, Machine};
use crate::script::{Script, Typist};
use crate::terminals::{Guests, Input, send};
use crate::transcript::Transcript;

/// Who reads the console.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// A person, who also types.
    Interactive,
    /// A person, or a program that takes standard output.
    Shown,
    /// Only xtask.
    Captured,
}

/// Why a run ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ended {
    /// The machine was powered off.
    Off,
    /// The hypervisor has done all but power the board off, which QEMU's board can't.
    Over,
    /// The session's time was over.
    TimeLimit,
    /// The console said all that was waited for.
    Enough,
    /// The console said what must not be said.
    Failed,
    /// The user ended it.
    Quit,
}

/// What a run left.
pub struct Outcome {
    /// The console, line by line; a guest's lines are whole, whatever came between.
    pub lines: Vec<String>,
    /// Exit statuses that guests reported, in their order.
    pub statuses: Vec<i32>,
    /// Why it ended.
    pub ended: Ended,
    /// What was still waited for when it ended, to type.
    pub waits_for: Option<String>,
    /// The last line of each speaker.
    pub last: Vec<(String, String)>,
}

/// The folder of one run: device tree, console.log, tee.log, command.
pub struct RunDir {
    path: PathBuf,
    kept: bool,
}

impl RunDir {
    /// Makes a folder of the user's choice, which stays; else one that goes with the value.
    pub fn new(name: &str, kept: Option<&Path>) -> Result<Self> {
        let own = || runs().join(format!("{name}-{}", std::process::id()));
        let path = kept.map_or_else(own, Path::to_owned);
        fs::create_dir_all(&path).with_context(|| format!("{}", path.display()))?;
        Ok(Self {
            path: path.canonicalize()?,
            kept: kept.is_some(),
        })
    }

    /// Leaves the folder where it is.
    pub fn keep(mut self) -> PathBuf {
        self.kept = true;
        self.path.clone()
    }

    /// Returns a file in the folder.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

fn runs() -> PathBuf {
    cache::workspace().join("target/run")
}

/// Removes the folders of runs whose xtask was killed before it could do so.
pub fn remove_stale_runs() -> Result<()> {
    for entry in fs::read_dir(runs()).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let process = name.rsplit('-').next().unwrap_or_default();
        if !Path::new("/proc").join(process).exists() {
            cache::remove(&entry.path())?;
        }
    }
    Ok(())
}

impl Drop for RunDir {
    fn drop(&mut self) {
        if !self.kept {
            // What cannot be removed is in the target folder, where cargo clean finds it.
            let _ = cache::remove(&self.path);
        }
    }
}

/// What a run has come to, as far as its console tells.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Progress {
    /// The run may go on.
    Open,
    /// The console said all that was waited for.
    Enough,
    /// The run can't succeed any more.
    Failed,
}

/// Says what a run has come to: from the lines, and the places of those that are new or have grown.
pub type Judge<'a> = &'a dyn Fn(&[String], &[usize]) -> Progress;

/// What to type, and when to end a machine that does not go off by itself.
#[derive(Default)]
pub struct Until<'a> {
    /// What is typed if no person does it.
    pub script: Script,
    /// Where each guest's output goes besides.
    pub guests: Option<&'a RefCell<Guests>>,
    /// Wall time.
    pub limit: Option<Duration>,
    /// Names of the guests, by which the console is split; without them all is one speaker's.
    pub names: Vec<String>,
    /// Whether the run is over, by what the console says.
    pub judge: Option<Judge<'a>>,
}

enum Event {
    Output(Vec<u8>),
    Closed,
    Quit,
}

/// Runs the machine.
pub fn run(
    machine: &Machine,
    files: &Files,
    dir: &RunDir,
    until: &Until,
    mode: Mode,
) -> Result<Outcome> {
    let mut qemu = boards::command(machine, files, &dir.file("board.dtb"), &dir.file("tee.log"))?;
    fs::write(dir.file("command"), command::display(&qemu) + "\n")?;
    let terminals = until.guests.filter(|guests| guests.borrow().type_keys());
    let typed = mode == Mode::Interactive || !until.script.is_empty() || terminals.is_some();
    let input = if typed { Stdio::piped() } else { Stdio::null() };
    let errors = File::create(dir.file("qemu.log"))?;
    qemu.stdin(input).stdout(Stdio::piped()).stderr(errors);
    let mut child = Guard(qemu.spawn().context("cannot start QEMU")?);

    let (sender, events) = mpsc::channel();
    let output = child.0.stdout.take().context("QEMU's output")?;
    spawn_reader(output, sender.clone());
    let input = child
        .0
        .stdin
        .take()
        .map(|input| Arc::new(Mutex::new(input)));
    if let (Some(guests), Some(input)) = (terminals, &input) {
        guests.borrow().forward_keys(input)?;
    }
    let _raw = match &input {
        Some(input) if mode == Mode::Interactive => Some(forward_keys(input.clone(), sender)?),
        _ => None,
    };
    let mut console = Transcript::new(&until.names);
    let mut typist = Typist::new(until.script, &console)?;
    let mut type_keys = |keys: &str| {
        let input = input.as_ref();
        input.is_some_and(|input| send(input, keys.as_bytes()))
    };
    let mut log = File::create(dir.file("console.log"))?;
    let mut show = |bytes: &[u8]| {
        log.write_all(bytes)?;
        let shown = match until.guests {
            Some(guests) => guests.borrow_mut().feed(bytes)?,
            None => bytes.to_vec(),
        };
        if mode != Mode::Captured {
            let mut out = std::io::stdout().lock();
            out.write_all(&shown)?;
            out.flush()?;
        }
        Ok(())
    };
    let mut watch = Watch {
        events: &events,
        machine,
        until,
        start: Instant::now(),
        failed: None,
        quit: false,
        off: false,
    };
    let ended = loop {
        watch.next(&mut console, &mut show)?;
        typist.look_at(&console, &mut type_keys)?;
        if let Some(ended) = watch.ended(&mut console) {
            break ended;
        }
    };
    if ended == Ended::Off {
        let status = child.wait(|| ())?;
        if !status.success() {
            let text = fs::read_to_string(dir.file("qemu.log")).unwrap_or_default();
            bail!("QEMU ended with {status}: {}", text.trim());
        }
    }
    let last = console.last_lines();
    let lines = console.finish();
    Ok(Outcome {
        statuses: lines.iter().filter_map(|line| status(line)).collect(),
        lines,
        ended,
        waits_for: typist.waits_for(),
        last,
    })
}

/// How long to listen to a run that has failed: a panic's reason comes behind its first line.
const LAST_WORDS: Duration = Duration::from_secs(3);

/// Watches a machine.
struct Watch<'a> {
    events: &'a Receiver<Event>,
    machine: &'a Machine,
    until: &'a Until<'a>,
    start: Instant,
    /// When it was known to have failed.
    failed: Option<Instant>,
    quit: bool,
    off: bool,
}

impl Watch<'_> {
    /// Waits a moment for the machine's next output.
    fn next(
        &mut self,
        console: &mut Transcript,
        show: &mut impl FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        match self.events.recv_timeout(Duration::from_millis(50)) {
            Ok(Event::Output(bytes)) => {
                show(&bytes)?;
                console.feed(&bytes);
            }
            Ok(Event::Quit) => self.quit = true,
            Ok(Event::Closed) | Err(RecvTimeoutError::Disconnected) => self.off = true,
            Err(RecvTimeoutError::Timeout) => {}
        }
        Ok(())
    }

    /// Tells why the run is over, if it is.
    fn ended(&mut self, console: &mut Transcript) -> Option<Ended> {
        let touched = console.touched();
        let progress = match self.until.judge {
            Some(judge) if !touched.is_empty() => judge(console.lines(), &touched),
            _ => Progress::Open,
        };
        if progress == Progress::Failed {
            self.failed.get_or_insert_with(Instant::now);
        }
        let over = |limit: Duration, since: Instant| since.elapsed() > limit;
        if self.quit || command::stopped() {
            Some(Ended::Quit)
        } else if self.off {
            Some(Ended::Off)
        } else if self.failed.is_some_and(|since| over(LAST_WORDS, since)) {
            Some(Ended::Failed)
        } else if progress == Progress::Enough && self.failed.is_none() {
            Some(Ended::Enough)
        } else if boards::is_over(self.machine, console.lines()) {
            Some(Ended::Over)
        } else if self
            .until
            .limit
            .is_some_and(|limit| over(limit, self.start))
        {
            Some(Ended::TimeLimit)
        } else {
            None
        }
    }
}

fn spawn_reader(mut output: impl Read + Send + 'static, events: Sender<Event>) {
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = output.read(&mut buffer) {
            // The receiver is gone when the run has ended: so may this thread be.
            if events
                .send(Event::Output(buffer[..count].to_vec()))
                .is_err()
            {
                return;
            }
        }
        let _ = events.send(Event::Closed);
    });
}

/// Sends what is typed to the machine. The terminal is raw until the returned value is dropped.
fn forward_keys(input: Input, events: Sender<Event>) -> Result<RawTerminal> {
    let raw = RawTerminal::new()?;
    std::thread::spawn(move || {
        let mut keys = Keys::default();
        let mut byte = [0];
        while let Ok(1) = std::io::stdin().read(&mut byte) {
            let done = match keys.feed(byte[0]) {
                Key::Send(key) => !send(&input, &[key]),
                Key::Nothing => false,
                Key::Quit => events.send(Event::Quit).is_ok(),
            };
            if done {
                return;
            }
        }
        // Standard input has ended; the machine goes on until it powers off.
        std::mem::forget(input);
    });
    Ok(raw)
}

/// A terminal that passes every key on, and is as it was before afterwards.
struct RawTerminal(Option<Termios>);

impl RawTerminal {
    fn new() -> Result<Self> {
        let stdin = std::io::stdin();
        if !stdin.is_terminal() {
            return Ok(Self(None));
        }
        let before = termios::tcgetattr(&stdin)?;
        let mut raw = before.clone();
        raw.make_raw();
        // A line feed alone still starts a line at its left end.
        raw.output_modes |= OutputModes::OPOST | OutputModes::ONLCR;
        termios::tcsetattr(&stdin, OptionalActions::Now, &raw)?;
        Ok(Self(Some(before)))
    }
}

impl Drop for RawTerminal {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            // Nothing better can be done for a terminal that is gone.
            let _ = termios::tcsetattr(std::io::stdin(), OptionalActions::Flush, before);
        }
    }
}
