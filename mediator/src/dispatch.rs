// SPDX-License-Identifier: MIT OR Apache-2.0

//! Which part of the mediator a trapped call, a resumed one, or OP-TEE's return is for.

use platform::VcpuId;

use crate::abi::{Function, ReturnCode};
use crate::call::State;
use crate::config::Dialect;
use crate::enter::Message;
use crate::guest::Guest;
use crate::host::{Memory, ShadowPages, Trace};
use crate::transaction::Transaction;
use crate::walk::AfterLists;
use crate::{Regs, SmcResults, Step, Token, Visit, code, pair};

impl<T: Trace> Guest<T> {
    /// Handles a trapped call of the guest whose function id is in OP-TEE's ranges.
    #[inline]
    pub fn on_guest<M: Memory, F: ShadowPages>(
        &mut self,
        vcpu: VcpuId,
        regs: &Regs,
        memory: &M,
        frames: &mut F,
    ) -> Step {
        let common = &mut self.common;
        if !common.admitted {
            return code(ReturnCode::UNKNOWN);
        }
        let is_modern = common.config.dialect == Dialect::Modern;
        let at = pair(regs[1], regs[2]);
        let message = match Function::of(regs[0]) {
            Function::CALL_WITH_REGD_ARG if is_modern => {
                Message::in_buffer(&common.buffers, at, regs[3] & 0xFFFF_FFFF)
            }
            Function::CALL_WITH_RPC_ARG if is_modern => Message::at(at, true),
            Function::CALL_WITH_ARG => Message::at(at, false),
            Function::CALL_RETURN_FROM_RPC => return self.resume(vcpu, regs, memory, frames),
            id => return common.fast(id, regs[1] as u32, vcpu),
        };
        match message {
            Some(message) => self.begin(message, vcpu, memory, frames),
            None => code(ReturnCode::EBADADDR),
        }
    }

    /// Handles the answer to a [`Step::Secure`].
    #[inline]
    pub fn on_secure<M: Memory, F: ShadowPages>(
        &mut self,
        token: Token,
        results: SmcResults,
        memory: &M,
        frames: &mut F,
    ) -> Step {
        let common = &mut self.common;
        common.inside = common.inside.wrapping_sub(1);
        let slot = match token.visit {
            Visit::Call(slot) => slot,
            Visit::Fast(id) => return self.fast_returned(id, results),
        };
        let call = &mut self.calls[slot];
        let mut turn = Transaction {
            guest: common,
            call,
            slot,
            is_back: true,
            vcpu: token.vcpu,
            memory,
            frames,
        };
        turn.call_returned(results)
    }

    /// Resumes a call that waits for the guest.
    #[inline(never)]
    fn resume<M: Memory, F: ShadowPages>(
        &mut self,
        vcpu: VcpuId,
        regs: &Regs,
        memory: &M,
        frames: &mut F,
    ) -> Step {
        let id = regs[3] as u32;
        let slot = (id & 0xff) as usize;
        let Some(call) = self.calls.get_mut(slot).filter(|call| call.id == id) else {
            return code(ReturnCode::ERESUME);
        };
        let mut turn = Transaction {
            guest: &mut self.common,
            call,
            slot,
            is_back: false,
            vcpu,
            memory,
            frames,
        };
        turn.resumed(regs)
    }
}

impl<T: Trace, M: Memory, F: ShadowPages> Transaction<'_, T, M, F> {
    fn resumed(&mut self, regs: &Regs) -> Step {
        let value = pair(regs[1], regs[2]);
        match self.call.state {
            State::Free | State::Secure => code(ReturnCode::ERESUME),
            State::Lists(AfterLists::Call) => self.translate_call(),
            State::Lists(AfterLists::Reply) => self.translate_reply(),
            State::Interrupted => self.resume_secure(),
            State::Rpc => self.rpc_served(value),
            State::AskedPage => self.rpc_page_given(value, pair(regs[4], regs[5])),
            State::RefusedPage => self.rpc_command(),
            State::Discarding(result) => self.answer_rpc(result),
            State::Finishing(w0) => self.end(w0),
        }
    }

    /// Handles that OP-TEE came back from the call.
    #[inline]
    fn call_returned(&mut self, [w0, w1, w2, w3]: SmcResults) -> Step {
        match ReturnCode(w0) {
            w0 if w0.is_rpc() => self.rpc_returned(w0, w1 | w2, w3),
            w0 => self.complete(w0),
        }
    }

    /// Handles that OP-TEE has suspended the call.
    #[inline(never)]
    fn rpc_returned(&mut self, w0: ReturnCode, cookie: u32, thread: u32) -> Step {
        self.call.thread = thread;
        match w0 {
            ReturnCode::RPC_CMD => self.rpc_arrived(cookie),
            // RPC_FOREIGN_INTR. OP-TEE has its RPC argument from us, so there is nothing to
            // allocate: w1:w2 = 0 says so. Of any other request nothing is known but that it must be
            // resumed. A guest's first calls may bring some, as long as another vCPU's sets its
            // partition up.
            _ => self.interrupted(),
        }
    }
}
