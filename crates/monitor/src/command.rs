// SPDX-License-Identifier: MIT OR Apache-2.0

//! The monitor's commands.

use core::fmt;

/// What can be done with a guest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Act {
    /// Its vCPUs stand still.
    Pause,
    /// They go on.
    Resume,
    /// It starts again as at boot.
    Reset,
    /// It is off.
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

/// The commands, line by line.
pub const HELP: [&str; 13] = [
    "list           guests, their vCPUs, memory, and how often each was restarted",
    "memory         what EL2 keeps for itself",
    "tee [GUEST]    OP-TEE: what a guest holds, its quotas, what it has done",
    "trace GUEST    the newest steps of its calls to OP-TEE",
    "follow GUEST   show each step as it comes; again: no more",
    "focus GUEST    type to it",
    "pause GUEST    let its vCPUs stand still; its time goes on",
    "resume GUEST   let them go on",
    "reset GUEST    start it anew, as at boot",
    "stop GUEST     turn it off; the last guest off powers the board off",
    "start GUEST    turn it on again",
    "quit           close the monitor",
    "GUEST is a name or a number of `list`. Ctrl-] ? lists the keys",
];

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
    let one = || guest(operand.ok_or(Error::Which(verb))?);
    let act = |act| Ok(Command::Guest(act, one()?));
    let alone = |command| operand.map_or(Ok(command), |word| Err(Error::Extra(word)));
    match verb {
        "list" => alone(Command::List),
        "memory" => alone(Command::Memory),
        "help" | "?" => alone(Command::Help),
        "quit" | "exit" => alone(Command::Quit),
        "tee" => Ok(Command::Tee(operand.map(guest).transpose()?)),
        "trace" => Ok(Command::Trace(one()?)),
        "follow" => Ok(Command::Follow(one()?)),
        "focus" => act(Act::Focus),
        "pause" => act(Act::Pause),
        "resume" => act(Act::Resume),
        "reset" => act(Act::Reset),
        "stop" => act(Act::Stop),
        "start" => act(Act::Start),
        _ => Err(Error::Unknown(verb)),
    }
}
