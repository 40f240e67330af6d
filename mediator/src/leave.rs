// SPDX-License-Identifier: MIT OR Apache-2.0

//! Gives a call's result back to the guest, whether OP-TEE has seen the call or not, and ends it.

use crate::abi::{
    Command, HEADER_WORDS, Header, Origin, RESULT_WORD, ReturnCode, TeeResult, high, outcome, pack,
};
use crate::buffers::Kind;
use crate::call::{RpcPage, State};
use crate::host::{EventKind, Memory, ShadowPages, Trace};
use crate::message::words;
use crate::transaction::{Refusal, Transaction};
use crate::{Step, code};

impl<T: Trace, M: Memory, F: ShadowPages> Transaction<'_, T, M, F> {
    /// Turns a message away before OP-TEE has seen it.
    #[cold]
    #[inline(never)]
    pub(crate) fn refuse(&mut self, refusal: Refusal) -> Step {
        let call = &*self.call;
        let w0 = match refusal {
            Refusal::Code(w0) => w0,
            Refusal::Result(result) => {
                let tail = outcome(result, Origin::COMMS, call.count);
                let written = call.window.write(self.memory, RESULT_WORD, &tail);
                self.note(EventKind::Refused(result));
                written.map_or(ReturnCode::EBADADDR, |()| ReturnCode::OK)
            }
        };
        let counters = &mut self.guest.counters;
        let counter = match w0 {
            ReturnCode::ETHREAD_LIMIT => &mut counters.turned_away,
            _ => &mut counters.refusals,
        };
        *counter = counter.wrapping_add(1);
        self.settle(false);
        self.end(w0)
    }

    /// Ends the call as OP-TEE did: its records are settled whatever becomes of the message.
    #[inline]
    pub(crate) fn complete(&mut self, w0: ReturnCode) -> Step {
        let w0 = match w0 {
            ReturnCode::OK => self.copy_back(),
            _ => {
                self.settle(false);
                match w0 {
                    _ if w0 <= ReturnCode::ENOTAVAIL => w0,
                    _ => ReturnCode::EBADCMD,
                }
            }
        };
        match self.call.page.take() {
            None => self.end(w0),
            Some(page) => self.return_page(page, w0),
        }
    }

    /// Gives result and outputs back to the guest, by the attributes that it had at entry.
    #[inline]
    fn copy_back(&mut self) -> ReturnCode {
        let mut fields = [0; HEADER_WORDS - 1];
        self.frames.read(self.slot, 1, &mut fields);
        let [ids, result, end] = fields;
        let mut header = Header::<Command>::of(&[0, ids, result, end]);
        if self.call.command != Command::INVOKE {
            self.finish_command(&mut header);
        }
        self.settle(header.result == TeeResult::SUCCESS);
        let call = &*self.call;
        let [result, end] = outcome(header.result, header.origin, call.count);
        let mut written = call.window.write(self.memory, 1, &[call.ids, result, end]);
        let mut left = call.outputs;
        while left != 0 {
            let n = left.trailing_zeros() as usize;
            left &= left - 1;
            let words_out = call.shapes[n].outputs();
            let at = words(n) + words_out.start;
            let out = &mut self.guest.scratch[0][words_out];
            self.frames.read(self.slot, at, out);
            written = written.and(call.window.write(self.memory, at, out));
        }
        written.map_or(ReturnCode::EBADADDR, |()| ReturnCode::OK)
    }

    /// Completes the answer to a command other than INVOKE.
    fn finish_command(&mut self, header: &mut Header) {
        let call = &mut *self.call;
        if [Command::DO_BOTTOM_HALF, Command::STOP_ASYNC_NOTIF].contains(&call.command) {
            // OP-TEE writes no result for these: that it came back with OK is all.
            header.result = TeeResult::SUCCESS;
        }
        if call.command == Command::OPEN_SESSION {
            call.ids = pack(header.session, high(call.ids));
        }
    }

    /// Brings the records in line with what OP-TEE did.
    #[inline(always)]
    fn settle(&mut self, success: bool) {
        if self.call.command != Command::INVOKE || self.call.made_count > 0 {
            self.settle_records(success);
        }
    }

    #[inline(never)]
    fn settle_records(&mut self, success: bool) {
        let was_secure = self.call.state == State::Secure;
        match self.call.command {
            Command::REGISTER_SHM => return self.settle_buffers(success),
            Command::UNREGISTER_SHM => return self.settle_buffers(!success),
            Command::OPEN_SESSION if success => self.list_session(),
            // Refused here, it was not taken off the list.
            Command::CLOSE_SESSION if !success && was_secure => self.list_session(),
            Command::STOP_ASYNC_NOTIF if success => self.guest.notified = false,
            _ => {}
        }
        self.settle_buffers(false);
    }

    /// Ends the buffers that the call has made, or takes them for registered ones.
    #[inline(always)]
    fn settle_buffers(&mut self, keep: bool) {
        let buffers = &mut self.guest.buffers;
        for &id in self.call.made() {
            if keep {
                buffers.set_kind(id, Kind::Registered);
            } else {
                buffers.remove(id);
            }
        }
    }

    /// Lists the call's session, which is open.
    fn list_session(&mut self) {
        let session = self.call.session();
        if let Err(at) = self.guest.sessions.binary_search(&session) {
            self.guest.sessions.insert(at, session);
        }
    }

    /// Gives a classic guest the page of its RPC argument back, before the call ends.
    #[cold]
    fn return_page(&mut self, page: RpcPage, w0: ReturnCode) -> Step {
        self.guest.buffers.remove(page.buffer);
        self.free_rpc_page(page.cookie, State::Finishing(w0))
    }

    /// Frees the slot and answers.
    #[inline(always)]
    pub(crate) fn end(&mut self, w0: ReturnCode) -> Step {
        self.note(EventKind::Ended(w0));
        let call = &mut *self.call;
        for &id in call.named.iter().take(usize::from(call.named_count)) {
            self.guest.buffers.leave_by_call(id);
        }
        self.guest.lists.give_back(&mut call.chain);
        self.guest.lists.give_back(&mut call.reply_chain);
        call.retire();
        self.guest.busy ^= 1_u64.wrapping_shl(self.slot as u32);
        code(w0)
    }
}
