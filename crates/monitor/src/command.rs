// SPDX-License-Identifier: MIT OR Apache-2.0

//! The monitor's commands.

use core::fmt;

/// What can be done with a guest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Act {
    /// Lets the guest's vCPUs stand still.
    Pause,
    /// They go on.
    Resume,
    /// Starts the guest again as at boot.
    Reset,
    /// Turns the guest off.
    Stop,
    /// One that is off starts.
    Start,
    /// What is typed goes to it.
    Focus,
}

/// A command. Guests are counted from 0.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Command {
    /// An empty line.
    Nothing,
    /// The guests and their vCPUs.
    List,
    /// EL2's own memory.
    Memory,
    /// OP-TEE as this guest, or each guest, uses it.
    Tee(Option<usize>),
    /// The newest steps of this guest's calls to OP-TEE.
    Trace(usize),
    /// Whether each step of them is shown as it comes: the other way round than before.
    Follow(usize),
    /// Something with a guest.
    Guest(Act, usize),
    /// The commands.
    Help,
    /// No more commands.
    Quit,
}

/// Why a line is no command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Error<'a> {
    /// There is no command of this name.
    Unknown(&'a str),
    /// The command needs a guest.
    Which(&'a str),
    /// There is no guest of this name or number.
    NoGuest(&'a str),
    /// A word too many.
    Extra(&'a str),
}

impl fmt::Display for Error<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(word) => write!(f, "there is no command `{word}`: `help` lists them"),
            Self::Which(verb) => write!(f, "{verb} which guest? Give its name or number"),
            Self::NoGuest(word) => write!(f, "there is no guest `{word}`: `list` shows them"),
            Self::Extra(word) => write!(f, "`{word}` is too much"),
        }
    }
}

/// What a command is given, and what it becomes.
enum Operand {
    /// Nothing.
    None(Command),
    /// A guest.
    Guest(fn(usize) -> Command),
    /// A guest, or none for all of them.
    Any(fn(Option<usize>) -> Command),
}

/// A command: its words, its line in the help, and what it is given.
struct Row {
    words: &'static [&'static str],
    help: &'static str,
    operand: Operand,
}

const fn row(words: &'static [&'static str], help: &'static str, operand: Operand) -> Row {
    Row {
        words,
        help,
        operand,
    }
}

/// All commands, in the order of the help.
#[rustfmt::skip]
const TABLE: [Row; 12] = [
    row(&["list"], "list           guests, their vCPUs, memory, and how often each was restarted", Operand::None(Command::List)),
    row(&["memory"], "memory         what EL2 keeps for itself", Operand::None(Command::Memory)),
    row(&["tee"], "tee [GUEST]    OP-TEE: what a guest holds, its quotas, what it has done", Operand::Any(Command::Tee)),
    row(&["trace"], "trace GUEST    the newest steps of its calls to OP-TEE", Operand::Guest(Command::Trace)),
    row(&["follow"], "follow GUEST   show each step as it comes; again: no more", Operand::Guest(Command::Follow)),
    row(&["focus"], "focus GUEST    type to it", Operand::Guest(|guest| Command::Guest(Act::Focus, guest))),
    row(&["pause"], "pause GUEST    let its vCPUs stand still; its time goes on", Operand::Guest(|guest| Command::Guest(Act::Pause, guest))),
    row(&["resume"], "resume GUEST   let them go on", Operand::Guest(|guest| Command::Guest(Act::Resume, guest))),
    row(&["reset"], "reset GUEST    start it anew, as at boot", Operand::Guest(|guest| Command::Guest(Act::Reset, guest))),
    row(&["stop"], "stop GUEST     turn it off; the last guest off powers the board off", Operand::Guest(|guest| Command::Guest(Act::Stop, guest))),
    row(&["start"], "start GUEST    turn it on again", Operand::Guest(|guest| Command::Guest(Act::Start, guest))),
    row(&["quit", "exit"], "quit           close the monitor", Operand::None(Command::Quit)),
];

/// The help, line by line.
pub const HELP: [&str; TABLE.len() + 1] = {
    let mut lines =
        ["GUEST is a name or a number of `list`. Ctrl-] ? lists the keys"; TABLE.len() + 1];
    let mut at = 0;
    while at < TABLE.len() {
        lines[at] = TABLE[at].help;
        at += 1;
    }
    lines
};

/// The commands that ask for the help.
const HELP_WORDS: [&str; 2] = ["help", "?"];

/// Reads a command; `find` gives the number of the guest of a name.
pub fn parse<'a>(
    line: &'a str,
    guests: usize,
    find: impl Fn(&str) -> Option<usize>,
) -> Result<Command, Error<'a>> {
    let mut words = line.split_ascii_whitespace();
    let Some(verb) = words.next() else {
        return Ok(Command::Nothing);
    };
    let operand = words.next();
    if let Some(extra) = words.next() {
        return Err(Error::Extra(extra));
    }
    let number = |word: &str| {
        let number = word.parse::<usize>().ok()?.checked_sub(1)?;
        (number < guests).then_some(number)
    };
    let guest = |word| {
        find(word)
            .or_else(|| number(word))
            .ok_or(Error::NoGuest(word))
    };
    let alone = |command| operand.map_or(Ok(command), |word| Err(Error::Extra(word)));
    if HELP_WORDS.contains(&verb) {
        return alone(Command::Help);
    }
    let row = TABLE.iter().find(|row| row.words.contains(&verb));
    match &row.ok_or(Error::Unknown(verb))?.operand {
        Operand::None(command) => alone(*command),
        Operand::Guest(make) => Ok(make(guest(operand.ok_or(Error::Which(verb))?)?)),
        Operand::Any(make) => Ok(make(operand.map(guest).transpose()?)),
    }
}
