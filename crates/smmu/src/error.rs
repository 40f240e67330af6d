// SPDX-License-Identifier: MIT OR Apache-2.0

//! What can go wrong.

use core::fmt;

use addr::Pa;

use crate::{Lack, Streams};

/// Why an SMMU didn't do what it was asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Error {
    /// It lacks something that is needed.
    Lacks(Lack),
    /// It can't walk tables as this VTCR_EL2 has them.
    Geometry(u64),
    /// It didn't answer within the polls that it was given; this register shows it.
    Timeout(&'static str),
    /// It refused a command.
    Command {
        /// The command's opcode.
        opcode: u8,
        /// What it said of it.
        error: CommandError,
    },
    /// The table has no such streams.
    Beyond(Streams),
    /// The stream has tables already.
    Taken(u32),
    /// It has no such VMID.
    Vmid(u16),
    /// Guests' tables, or a table or a queue of the SMMU's own, can't be there.
    Address(Pa),
}

impl From<Lack> for Error {
    fn from(lack: Lack) -> Self {
        Self::Lacks(lack)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lacks(lack) => lack.fmt(f),
            Self::Geometry(vtcr) => write!(f, "can't walk tables of VTCR_EL2 {vtcr:#x}"),
            Self::Timeout(register) => write!(f, "doesn't answer: see SMMU_{register}"),
            Self::Command { opcode, error } => write!(f, "refused command {opcode:#x}: {error}"),
            Self::Beyond(streams) => write!(f, "has no {streams}"),
            Self::Taken(stream) => write!(f, "stream {stream:#x} is somebody's already"),
            Self::Vmid(vmid) => write!(f, "has no VMID {vmid:#x}"),
            Self::Address(at) => write!(f, "can't have tables at {at}"),
        }
    }
}

/// Why a command was refused: CMDQ_CONS.ERR (7.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CommandError {
    /// It isn't a command.
    Illegal,
    /// It couldn't be read.
    Abort,
    /// A device didn't answer in time.
    Device,
    /// Another reason.
    Other(u8),
}

impl From<u8> for CommandError {
    fn from(code: u8) -> Self {
        match code {
            1 => Self::Illegal,
            2 => Self::Abort,
            3 => Self::Device,
            other => Self::Other(other),
        }
    }
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Illegal => f.write_str("CERROR_ILL"),
            Self::Abort => f.write_str("CERROR_ABT"),
            Self::Device => f.write_str("CERROR_ATC_INV_SYNC"),
            Self::Other(code) => write!(f, "CERROR {code:#x}"),
        }
    }
}

/// Errors that concern the whole SMMU: the bits of GERROR that were active (6.3.17).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct GlobalErrors(pub u32);

/// Names of GERROR's bits.
const NAMES: [(u32, &str); 8] = [
    (0, "CMDQ_ERR"),
    (2, "EVENTQ_ABT_ERR"),
    (3, "PRIQ_ABT_ERR"),
    (4, "MSI_CMDQ_ABT_ERR"),
    (5, "MSI_EVENTQ_ABT_ERR"),
    (6, "MSI_PRIQ_ABT_ERR"),
    (7, "MSI_GERROR_ABT_ERR"),
    (8, "SFM_ERR"),
];

impl fmt::Display for GlobalErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SMMU_GERROR {:#x}", self.0)?;
        let active = NAMES.iter().filter(|(bit, _)| self.0 >> bit & 1 == 1);
        active
            .into_iter()
            .try_for_each(|(_, name)| write!(f, " {name}"))
    }
}
