// SPDX-License-Identifier: MIT OR Apache-2.0

//! How one step of a call to OP-TEE is shown.

use core::fmt;

/// A step of a guest's call.
#[derive(Clone, Copy, Debug)]
pub struct TraceLine<'a> {
    /// When, in microseconds of the system counter.
    pub time: u64,
    /// The guest.
    pub guest: &'a str,
    /// The vCPU that it happened on.
    pub vcpu: u8,
    /// The thread id under which the guest knows the call; 0 for a fast call.
    pub call: u32,
    /// What happened.
    pub what: &'a str,
    /// A number that belongs to it.
    pub detail: Option<Detail>,
}

/// A number, by what it stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Detail {
    /// A function id.
    Function(u32),
    /// A command of a message or of an RPC: its name, if it has one, and its number.
    Command(Option<&'static str>, u32),
    /// A result of GlobalPlatform's, or a return code.
    Result(u32),
}

impl fmt::Display for TraceLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, rest) = (self.time / 1_000_000, self.time % 1_000_000);
        write!(f, "{}: {seconds}.{rest:06} vCPU {}", self.guest, self.vcpu)?;
        if self.call != 0 {
            // The mediator's thread ids: slot and generation.
            let (slot, generation) = (self.call & 0xff, self.call >> 8 & 0xffff);
            write!(f, " call {slot}.{generation}")?;
        }
        write!(f, ": {}", self.what)?;
        self.detail.map_or(Ok(()), |detail| write!(f, " {detail}"))
    }
}

impl fmt::Display for Detail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Function(number) | Self::Result(number) => write!(f, "{number:#x}"),
            Self::Command(Some(name), _) => f.write_str(name),
            Self::Command(None, number) => write!(f, "command {number}"),
        }
    }
}
