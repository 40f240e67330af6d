// SPDX-License-Identifier: MIT OR Apache-2.0

//! One step of one call: what every part of its way has in common.

use platform::VcpuId;

use crate::abi::{Function, ReturnCode, TeeResult, high, low};
use crate::call::{Call, State};
use crate::guest::Common;
use crate::host::{Event, EventKind, Memory, ShadowPages, Trace};
use crate::{Step, Visit, reply};

/// Why a message is not taken over: a code for w0, or a TEE result for the message.
pub(crate) enum Refusal {
    Code(ReturnCode),
    Result(TeeResult),
}

impl From<TeeResult> for Refusal {
    fn from(result: TeeResult) -> Self {
        Self::Result(result)
    }
}

pub(crate) const BAD_ADDRESS: Refusal = Refusal::Code(ReturnCode::EBADADDR);
pub(crate) const BAD_PARAMETERS: Refusal = Refusal::Result(TeeResult::BAD_PARAMETERS);

/// One step of one call.
pub(crate) struct Transaction<'a, T, M, F> {
    pub guest: &'a mut Common<T>,
    pub call: &'a mut Call,
    /// The call's slot.
    pub slot: usize,
    /// OP-TEE has just come back, and the core's interrupts were not served since.
    pub is_back: bool,
    pub vcpu: VcpuId,
    pub memory: &'a M,
    pub frames: &'a mut F,
}

impl<T: Trace, M: Memory, F: ShadowPages> Transaction<'_, T, M, F> {
    /// Sends the call to OP-TEE with these registers and the guest's client id.
    #[inline]
    pub fn send(&mut self, id: Function, w1_3: [u32; 3]) -> Step {
        self.call.state = State::Secure;
        let [w1, w2, w3] = w1_3;
        let regs = [id.0, w1, w2, w3, 0, 0, 0, self.guest.client];
        self.guest.send(regs, Visit::Call(self.slot), self.vcpu)
    }

    /// Traces what happened to the call.
    #[inline]
    pub fn note(&mut self, what: EventKind) {
        self.guest.trace.event(Event {
            vcpu: self.vcpu,
            call: self.call.id,
            what,
        });
    }

    /// Leaves the call with the guest until it resumes it.
    pub(crate) fn wait(&mut self, state: State, w0: ReturnCode, value: u64) -> Step {
        self.call.state = state;
        reply(w0, high(value), low(value), self.call.id)
    }

    /// Lets the core serve its interrupts before OP-TEE's thread runs on, however often OP-TEE comes
    /// back: the guest resumes it.
    pub(crate) fn interrupted(&mut self) -> Step {
        self.guest.counters.interrupts = self.guest.counters.interrupts.wrapping_add(1);
        self.note(EventKind::Interrupted);
        self.wait(State::Interrupted, ReturnCode::RPC_FOREIGN_INTR, 0)
    }

    /// Tells a classic guest to free a page that it gave for its RPC argument.
    pub(crate) fn free_rpc_page(&mut self, cookie: u64, state: State) -> Step {
        self.note(EventKind::RpcPage);
        self.wait(state, ReturnCode::RPC_FREE, cookie)
    }
}
