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
    /// A command of a message.
    Message(u32),
    /// A command of an RPC.
    Rpc(u32),
    /// A result of GlobalPlatform's, or a return code.
    Result(u32),
}

/// Names of commands (OP-TEE `optee_msg.h`), by number.
const MESSAGES: [&str; 12] = [
    "OPEN_SESSION",
    "INVOKE",
    "CLOSE_SESSION",
    "CANCEL",
    "REGISTER_SHM",
    "UNREGISTER_SHM",
    "DO_BOTTOM_HALF",
    "STOP_ASYNC_NOTIF",
    "LEND_PROTMEM",
    "RECLAIM_PROTMEM",
    "GET_PROTMEM_CONFIG",
    "ASSIGN_PROTMEM",
];

/// Names of RPCs (OP-TEE `optee_rpc_cmd.h`).
const RPCS: [(u32, &str); 17] = [
    (0, "LOAD_TA"),
    (1, "RPMB"),
    (2, "FS"),
    (3, "GET_TIME"),
    (4, "NOTIFICATION"),
    (5, "SUSPEND"),
    (6, "SHM_ALLOC"),
    (7, "SHM_FREE"),
    (9, "GPROF"),
    (10, "SOCKET"),
    (11, "FTRACE"),
    (12, "PLUGIN"),
    (20, "BENCH_REG"),
    (21, "I2C"),
    (22, "RPMB_PROBE_RESET"),
    (23, "RPMB_PROBE_NEXT"),
    (24, "RPMB_FRAMES"),
];

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
        let (name, number) = match *self {
            Self::Function(id) | Self::Result(id) => return write!(f, "{id:#x}"),
            Self::Message(command) => (MESSAGES.get(command as usize).copied(), command),
            Self::Rpc(command) => {
                let known = RPCS.iter().find(|(number, _)| *number == command);
                (known.map(|(_, name)| *name), command)
            }
        };
        match name {
            Some(name) => f.write_str(name),
            None => write!(f, "command {number}"),
        }
    }
}
