// SPDX-License-Identifier: MIT OR Apache-2.0

//! Which part of the mediator a trapped call, a resumed one, or OP-TEE's return is for.

use platform::VcpuId;

use crate::abi::{Function, ReturnCode};
use crate::call::State;
use crate::config::Dialect;
use crate::guest::Guest;
use crate::host::{Memory, ShadowPages, Trace};
use crate::transaction::Transaction;
use crate::walk::AfterLists;
use crate::{Regs, Results, Step, Token, Visit, code, pair};

impl<T: Trace> Guest<T> {
    /// Handles a trapped call of the guest whose function id is in OP-TEE's ranges.
    pub fn on_guest<M: Memory, F: ShadowPages>(
        &mut self,
        vcpu: VcpuId,
        regs: &Regs,
        memory: &M,
        frames: &mut F,
    ) -> Step {
        if !self.admitted {
            return code(ReturnCode::UNKNOWN);
        }
        let modern = self.config.dialect == Dialect::Modern;
        let at = pair(regs[1], regs[2]);
        let mut turn = Transaction {
            guest: self,
            slot: 0,
            is_back: false,
            vcpu,
            memory,
            frames,
        };
        match Function::of(regs[0]) {
            Function::CALL_WITH_ARG => turn.call_at(at, false),
            Function::CALL_WITH_RPC_ARG if modern => turn.call_at(at, true),
            Function::CALL_WITH_REGD_ARG if modern => {
                turn.call_in_buffer(at, regs[3] & 0xFFFF_FFFF)
            }
            Function::CALL_RETURN_FROM_RPC => turn.resume(regs),
            id @ (Function::ENABLE_ASYNC_NOTIF | Function::GET_ASYNC_NOTIF_VALUE) => {
                self.fast(id, vcpu)
            }
            id => self.emulate(id, regs[1] as u32),
        }
    }

    /// Handles the answer to a [`Step::Secure`].
    pub fn on_secure<M: Memory, F: ShadowPages>(
        &mut self,
        token: Token,
        results: Results,
        memory: &M,
        frames: &mut F,
    ) -> Step {
        self.inside = self.inside.saturating_sub(1);
        let results = results.map(|x| x as u32);
        match token.visit {
            Visit::Call(slot) => Transaction {
                guest: self,
                slot,
                is_back: true,
                vcpu: token.vcpu,
                memory,
                frames,
            }
            .call_returned(results),
            Visit::Fast(id) => self.fast_returned(id, results),
        }
    }
}

impl<T: Trace, M: Memory, F: ShadowPages> Transaction<'_, T, M, F> {
    /// Resumes a call that waits for the guest.
    fn resume(&mut self, regs: &Regs) -> Step {
        let id = regs[3] as u32;
        self.slot = (id & 0xff) as usize;
        let calls = &self.guest.calls;
        let Some(call) = calls.get(self.slot).filter(|call| call.id() == id) else {
            return code(ReturnCode::ERESUME);
        };
        let value = pair(regs[1], regs[2]);
        match call.state {
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
    fn call_returned(&mut self, [w0, w1, w2, w3]: [u32; 4]) -> Step {
        let (w0, call) = (ReturnCode(w0), self.call());
        if !w0.is_rpc() {
            return self.complete(w0);
        }
        call.thread = w3;
        match w0 {
            ReturnCode::RPC_CMD => self.rpc_arrived(w1 | w2),
            // RPC_FOREIGN_INTR. OP-TEE has its RPC argument from us, so there is nothing to
            // allocate: w1:w2 = 0 says so. Of any other request nothing is known but that it must be
            // resumed. A guest's first calls may bring some, as long as another vCPU's sets its
            // partition up.
            _ => self.interrupted(),
        }
    }
}
