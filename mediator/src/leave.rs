// SPDX-License-Identifier: MIT OR Apache-2.0

//! Gives a call's result back to the guest, whether OP-TEE has seen the call or not, and ends it.

use crate::abi::{cmd, ret, tee};
use crate::buffers::Kind;
use crate::call::State;
use crate::host::{EventKind, Memory, ShadowPages, Trace};
use crate::message::{high, low, pack, words};
use crate::transaction::Transaction;
use crate::{Step, code};

/// Why a message is not taken over: a code for w0, or a TEE result for the message.
pub(crate) enum Refusal {
    Code(u32),
    Result(u32),
}

impl From<u32> for Refusal {
    fn from(result: u32) -> Self {
        Self::Result(result)
    }
}

pub(crate) const BAD_ADDRESS: Refusal = Refusal::Code(ret::EBADADDR);
pub(crate) const BAD_PARAMETERS: Refusal = Refusal::Result(tee::BAD_PARAMETERS);

impl<T: Trace, M: Memory, F: ShadowPages> Transaction<'_, T, M, F> {
    /// Turns a message away before OP-TEE has seen it.
    pub(crate) fn refuse(&mut self, refusal: Refusal) -> Step {
        let call = &self.guest.calls[self.slot];
        let w0 = match refusal {
            Refusal::Code(w0) => w0,
            Refusal::Result(result) => {
                let tail = [pack(0, result), pack(tee::ORIGIN_COMMS, call.count)];
                let written = call.window.write(self.memory, 2, &tail);
                self.note(EventKind::Refused(result));
                written.map_or(ret::EBADADDR, |()| ret::OK)
            }
        };
        let counters = &mut self.guest.counters;
        let counter = match w0 {
            ret::ETHREAD_LIMIT => &mut counters.turned_away,
            _ => &mut counters.refusals,
        };
        *counter = counter.wrapping_add(1);
        self.settle(false);
        self.end(w0)
    }

    /// OP-TEE ended the call: its records are settled whatever becomes of the message.
    pub(crate) fn complete(&mut self, w0: u32) -> Step {
        let w0 = match w0 {
            ret::OK => self.copy_back(),
            _ => {
                self.settle(false);
                match w0 {
                    ..=ret::ENOTAVAIL => w0,
                    _ => ret::EBADCMD,
                }
            }
        };
        self.finish(w0)
    }

    /// Gives result and outputs back to the guest, by the attributes that it had at entry.
    fn copy_back(&mut self) -> u32 {
        let mut header = [0; 3];
        self.frames.read(self.slot, 1, &mut header);
        let [session, mut result, origin] = [low(header[0]), high(header[1]), low(header[2])];
        let call = self.call();
        if matches!(call.command, cmd::DO_BOTTOM_HALF | cmd::STOP_ASYNC_NOTIF) {
            // OP-TEE writes no result for these: that it came back with OK is all.
            result = tee::SUCCESS;
        }
        if call.command == cmd::OPEN_SESSION {
            call.session = pack(session, high(call.session));
        }
        self.settle(result == tee::SUCCESS);
        let call = &self.guest.calls[self.slot];
        let header = [call.session, pack(0, result), pack(origin, call.count)];
        let mut written = call.window.write(self.memory, 1, &header);
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
        written.map_or(ret::EBADADDR, |()| ret::OK)
    }

    /// Brings the records in line with what OP-TEE did.
    fn settle(&mut self, success: bool) {
        let call = &mut self.guest.calls[self.slot];
        let (made, count) = call.made();
        if call.command == cmd::STOP_ASYNC_NOTIF && success {
            self.guest.notified = false;
        }
        let session = low(call.session);
        let open = match call.command {
            cmd::OPEN_SESSION => success,
            // Refused here, it was not taken off the list.
            cmd::CLOSE_SESSION => !success && call.state == State::Secure,
            _ => false,
        };
        if let (true, Err(at)) = (open, self.guest.sessions.binary_search(&session)) {
            self.guest.sessions.insert(at, session);
        }
        let keep = match call.command {
            cmd::REGISTER_SHM => success,
            cmd::UNREGISTER_SHM => !success,
            _ => false,
        };
        for &id in made.iter().take(count) {
            if keep {
                self.guest.buffers.set_kind(id, Kind::Registered);
            } else {
                self.guest.buffers.remove(id);
            }
        }
    }

    /// Ends the call; a classic guest first gets the page of its RPC argument back.
    fn finish(&mut self, w0: u32) -> Step {
        let Some(page) = self.call().page.take() else {
            return self.end(w0);
        };
        self.guest.buffers.remove(page.buffer);
        self.free_rpc_page(page.cookie, State::Finishing(w0))
    }

    /// Frees the slot and answers.
    pub(crate) fn end(&mut self, w0: u32) -> Step {
        self.note(EventKind::Ended(w0));
        let call = &mut self.guest.calls[self.slot];
        for &id in call.named.iter().take(usize::from(call.named_count)) {
            self.guest.buffers.leave_by_call(id);
        }
        self.guest.lists.give_back(&mut call.chain);
        self.guest.lists.give_back(&mut call.reply_chain);
        call.retire();
        self.guest.free |= 1 << self.slot;
        code(w0)
    }
}
