// SPDX-License-Identifier: MIT OR Apache-2.0

//! The OP-TEE mediator: lets several guests share one OP-TEE that knows nothing of their
//! address spaces and trusts nobody to keep to his own.
//!
//! It is sans-I/O. The kernel hands it a guest's trapped SMC or OP-TEE's answer and does what
//! the returned [`Step`] says; the mediator never issues an SMC, and reaches guest RAM and
//! shadow pages only through [`Memory`] and [`ShadowPages`]. Every step is bounded. One [`Guest`] is
//! one client of OP-TEE; the kernel holds its VM's lock during a step and releases it across
//! the SMC, so several vCPUs are in flight at once.
//!
//! Towards OP-TEE there is one dialect: CALL_WITH_RPC_ARG on a private shadow page. Towards the
//! guest there are two, see [`Dialect`]. Three rules carry the safety of it all:
//!
//! - what a guest or OP-TEE wrote is read once, into words of our own, and only words that
//!   were understood are written to the other side;
//! - a call releases what its own records say that it took, never what a message says;
//! - the thread ids that a guest sees are ours: slot and generation, with bit 30 set, which
//!   no thread of OP-TEE has. So a stale or foreign id finds nothing, and a call can wait at
//!   the guest without a thread of OP-TEE's behind it.
//!
//! Numbers and structures are those of OP-TEE 4.5 to 4.10: see [`abi`].
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod admit;
mod buffers;
mod call;
mod config;
mod dispatch;
mod ending;
mod enter;
mod fast;
mod guest;
mod host;
mod leave;
mod list_pages;
mod message;
mod page_lists;
mod policy;
mod probe;
mod rpc;
mod transaction;
mod walk;

pub use optee_abi as abi;

use abi::{Function, ReturnCode};

pub use config::{Config, Dialect, Limits};
pub use ending::{Ending, Stopped};
pub use guest::{Counters, CreateError, Guest, Remains, StillInside, Usage};
pub use host::{Event, EventKind, Memory, NotRam, Run, ShadowPages, Trace};
pub use policy::{Asked, Denial, Denials, TaPolicy, Uuid};
pub use probe::{Optee, ProbeError, probe};

/// x0–x7 of a call; only the low 32 bits of each mean something (SMC32).
pub type Regs = [u64; 8];

/// x0–x3 of an answer, zero-extended from 32 bits.
pub type Results = [u64; 4];

/// w0–w7 of an SMC to OP-TEE (SMC32).
pub type SmcArguments = [u32; 8];

/// w0–w3 of an answer.
pub type SmcResults = [u32; 4];

/// What the kernel does next.
#[derive(Debug)]
#[must_use]
pub enum Step {
    /// Put these, zero-extended, into x0–x3 of the guest and let it run on; its other registers keep their values.
    Reply(SmcResults),
    /// Release the VM's lock, make this SMC, take the lock again, and give w0–w3 of its answer
    /// to [`Guest::on_secure`] together with the token.
    Secure(SmcArguments, Token),
}

/// Stands for one visit to the secure world. It can be used once.
#[derive(Debug)]
#[must_use]
pub struct Token {
    pub(crate) visit: Visit,
    pub(crate) vcpu: platform::VcpuId,
}

/// What was sent to the secure world.
#[derive(Debug)]
pub(crate) enum Visit {
    /// The call in this slot.
    Call(usize),
    /// A fast call.
    Fast(Function),
}

/// Returns an answer for the guest.
pub(crate) fn reply(w0: ReturnCode, w1: u32, w2: u32, w3: u32) -> Step {
    Step::Reply([w0.0, w1, w2, w3])
}

/// Returns an answer of a return code alone.
pub(crate) fn code(w0: ReturnCode) -> Step {
    reply(w0, 0, 0, 0)
}

/// Returns a 64-bit value that travels as two 32-bit registers, high half first.
pub(crate) fn pair(high: u64, low: u64) -> u64 {
    (high & 0xFFFF_FFFF) << 32 | low & 0xFFFF_FFFF
}
