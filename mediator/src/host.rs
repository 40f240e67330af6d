// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the kernel lends to the mediator: guest RAM, shadow pages, a trace.

use addr::{Ipa, Pa};
use platform::VcpuId;

use crate::abi::{Command, Function, ReturnCode, RpcCommand, TeeResult};

/// The range is not wholly inside the guest's own normal RAM.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NotRam;

/// Pages of a guest's RAM that follow each other both for the guest and where they are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Run {
    /// The first page, for the guest.
    pub start: Ipa,
    /// Where it is.
    pub pa: Pa,
    /// Bytes, whole pages.
    pub size: u64,
}

/// RAM of one guest. Nothing else is reachable through it: no device, no other guest's page,
/// no secure memory. The guest may write to it at any moment, on every vCPU.
pub trait Memory {
    /// Copies little-endian words from an address that is a multiple of 8. Each word is read
    /// from memory exactly once.
    fn read(&self, from: Ipa, words: &mut [u64]) -> Result<(), NotRam>;

    /// Returns a few words, as [`read`](Self::read) copies them.
    #[inline(always)]
    fn take<const N: usize>(&self, from: Ipa) -> Result<[u64; N], NotRam> {
        let mut words = [0; N];
        self.read(from, &mut words)?;
        Ok(words)
    }

    /// Copies little-endian words to an address that is a multiple of 8.
    fn write(&self, to: Ipa, words: &[u64]) -> Result<(), NotRam>;

    /// Returns the run of RAM that `at` lies in. The answer holds until the guest is destroyed.
    fn run(&self, at: Ipa) -> Option<Run>;
}

/// The shadow pages of one guest: [`crate::Limits::frames`] pages of 4 KiB in ordinary DRAM,
/// mapped Normal write-back inner-shareable. OP-TEE reads and writes them, so they are reached
/// by copy alone.
pub trait ShadowPages {
    /// Returns where frame `frame` lies.
    fn pa(&self, frame: usize) -> Pa;

    /// Copies words out of `frame`, from its word number `word` on.
    fn read(&self, frame: usize, word: usize, words: &mut [u64]);

    /// Copies words into `frame`, from its word number `word` on.
    fn write(&mut self, frame: usize, word: usize, words: &[u64]);
}

/// One transition of the mediator.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Event {
    /// The vCPU that trapped.
    pub vcpu: VcpuId,
    /// The thread id under which the guest knows the call; 0 for a fast call.
    pub call: u32,
    /// What happened.
    pub what: EventKind,
}

/// What happened in an [`Event`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EventKind {
    /// A fast call went to OP-TEE.
    Fast(Function),
    /// A message with this command was taken over from the guest. With it the call has entered the secure
    /// world, unless its next event says otherwise.
    Taken(Command),
    /// The call went back to the secure world, or entered it after a [chunk](Self::Chunk).
    Secure,
    /// OP-TEE suspended the call for an interrupt.
    Interrupted,
    /// A part of a page list was translated; the guest was asked to come again.
    Chunk,
    /// OP-TEE's RPC command went to the guest.
    Rpc(RpcCommand),
    /// OP-TEE's RPC was answered here with this result.
    RpcAnswered(TeeResult),
    /// The guest was asked for the page of an RPC argument, or to free it.
    RpcPage,
    /// The guest's request was refused with this TEE result.
    Refused(TeeResult),
    /// The call ended with this value of w0.
    Ended(ReturnCode),
}

/// Receives every transition.
pub trait Trace {
    /// Takes an event. Called under the VM's lock: store, do not print.
    fn event(&mut self, event: Event);
}
