//! One run of a machine, from power-on until it is off, its time is over or the user ends it.

use std::cell::RefCell;
use std::fs::{self, File};
use std::io::{IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::termios::{self, OptionalActions, OutputModes, Termios};

use crate::cache;
use crate::command::{self, Guard};
use crate::console::{Console, Key, Keys, Position};
use crate::qemu::{Files, Machine};
use crate::terminals::{Guests, Input, send};

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
    /// Its time was over.
    TimeLimit,
    /// The console said all that was waited for.
    Enough,
    /// The user ended it.
    Quit,
}

/// What a run left.
pub struct Outcome {
    /// The console, line by line.
    pub lines: Vec<String>,
    /// Exit statuses that guests reported, in their order.
    pub statuses: Vec<i32>,
    /// Why it ended.
    pub ended: Ended,
}

/// The folder of one run: device tree, console.log, tee.log, command.
pub struct RunDir {
    path: PathBuf,
    kept: bool,
}

impl RunDir {
    /// A folder of the user's choice, which stays; else one that goes with the value.
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

    /// A file in it.
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

/// Says of a console's whole lines whether they are all that was waited for.
pub type Enough<'a> = &'a dyn Fn(&[String]) -> bool;

/// What to type, in order.
pub type Script = &'static [Step];

/// Keys, and what the console must have said since the keys before.
#[derive(Clone, Copy)]
pub struct Step {
    /// Typed after this.
    pub said: &'static str,
    /// The keys.
    pub keys: &'static str,
    /// How often at least, each time after `said`.
    pub times: usize,
    /// And until the console has said this.
    pub until: &'static str,
    /// Most milliseconds from `said` to the keys; it is a random time up to this.
    pub delay: u64,
}

/// Once, and at once.
pub const fn once(said: &'static str, keys: &'static str) -> Step {
    Step {
        said,
        keys,
        times: 1,
        until: "",
        delay: 0,
    }
}

/// What to type, and when to end a machine that does not go off by itself.
#[derive(Default)]
pub struct Until<'a> {
    /// What is typed if no person does it.
    pub script: Script,
    /// Where each guest's output goes besides.
    pub guests: Option<&'a RefCell<Guests>>,
    /// Wall time.
    pub limit: Option<Duration>,
    /// What the console must say.
    pub enough: Option<Enough<'a>>,
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
    let mut qemu = machine.command(files, &dir.file("board.dtb"), &dir.file("tee.log"))?;
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
    let mut typist = Typist {
        script: until.script,
        input,
        since: (0, 0),
        typed: 0,
        due: None,
        random: 1,
    };
    let mut log = File::create(dir.file("console.log"))?;
    let is_over = |lines: &[String]| machine.is_over(lines);
    let (console, ended) = watch(&events, until, &is_over, &mut typist, |bytes| {
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
    })?;
    if ended == Ended::Off {
        let status = child.wait(|| ())?;
        if !status.success() {
            let text = fs::read_to_string(dir.file("qemu.log")).unwrap_or_default();
            bail!("QEMU ended with {status}: {}", text.trim());
        }
    }
    let statuses = console.statuses();
    Ok(Outcome {
        lines: console.finish(),
        statuses,
        ended,
    })
}

fn watch(
    events: &Receiver<Event>,
    until: &Until,
    is_over: Enough,
    typist: &mut Typist,
    mut show: impl FnMut(&[u8]) -> Result<()>,
) -> Result<(Console, Ended)> {
    let start = Instant::now();
    let mut console = Console::default();
    let ended = loop {
        match events.recv_timeout(Duration::from_millis(50)) {
            Ok(Event::Output(bytes)) => {
                show(&bytes)?;
                console.feed(&bytes);
            }
            Ok(Event::Quit) => break Ended::Quit,
            Ok(Event::Closed) | Err(RecvTimeoutError::Disconnected) => break Ended::Off,
            Err(RecvTimeoutError::Timeout) => {}
        }
        typist.look_at(&console)?;
        if command::stopped() {
            break Ended::Quit;
        }
        if until.enough.is_some_and(|enough| enough(console.lines())) {
            break Ended::Enough;
        }
        if is_over(console.lines()) {
            break Ended::Over;
        }
        if until.limit.is_some_and(|limit| start.elapsed() > limit) {
            break Ended::TimeLimit;
        }
    };
    Ok((console, ended))
}

/// Types a script.
struct Typist {
    script: Script,
    input: Option<Input>,
    /// Where the console was when the last text was typed.
    since: Position,
    /// How often the current step was typed.
    typed: usize,
    /// When to type, once the console has said what the step waits for.
    due: Option<Instant>,
    random: u32,
}

impl Typist {
    fn look_at(&mut self, console: &Console) -> Result<()> {
        let Some((step, rest)) = self.script.split_first() else {
            return Ok(());
        };
        if self.due.is_none() && console.says(self.since, step.said) {
            self.due = Some(Instant::now() + self.delay(step.delay));
        }
        if self.due.is_none_or(|due| due > Instant::now()) {
            return Ok(());
        }
        self.due = None;
        self.typed += 1;
        if self.typed >= step.times && console.says((0, 0), step.until) {
            self.script = rest;
            self.typed = 0;
        }
        self.since = console.position();
        let sent = self
            .input
            .as_ref()
            .map(|input| send(input, step.keys.as_bytes()));
        ensure!(sent == Some(true), "QEMU does not take {:?}", step.keys);
        Ok(())
    }

    /// A pseudo-random time of at most so many milliseconds (xorshift32).
    fn delay(&mut self, most: u64) -> Duration {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 17;
        self.random ^= self.random << 5;
        Duration::from_millis(u64::from(self.random) % (most + 1))
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
