//! RPC: what OP-TEE asks of the guest in the middle of a call.

use addr::{Ipa, PAGE_SIZE};

use crate::Step;
use crate::abi::{HEADER_WORDS, PARAM_WORDS, RPC_ARG_BYTES, RPC_PARAMS, attr, func, ret, rpc, tee};
use crate::buffers::Kind;
use crate::call::State;
use crate::guest::Turn;
use crate::host::{Frames, Memory, Trace, What};
use crate::message::{Shape, Window, high, low, pack, words};
use crate::walk::Then;

const RPC_WORDS: usize = words(RPC_PARAMS);

/// What OP-TEE asks for, as it was when we read it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Request {
    command: u32,
    count: usize,
    shapes: [Shape; RPC_PARAMS],
    /// SHM_ALLOC: type of the buffer.
    kind: u64,
    /// SHM_ALLOC: least size in bytes.
    size: u64,
}

impl<T: Trace, M: Memory, F: Frames> Turn<'_, T, M, F> {
    /// OP-TEE sent a command. A classic guest may have to give a page for it first.
    pub(crate) fn rpc_arrived(&mut self, cookie: u32) -> Step {
        if cookie != 0 {
            // The argument is in a buffer that we never gave.
            return self.answer_rpc(tee::BAD_PARAMETERS);
        }
        let call = self.call();
        if call.home().is_none() {
            self.note(What::RpcPage);
            return self.wait(State::AskedPage, ret::RPC_ALLOC, RPC_ARG_BYTES << 32);
        }
        self.rpc_command()
    }

    /// Reads OP-TEE's command and hands it to the guest, if it is one a guest may see.
    pub(crate) fn rpc_command(&mut self) -> Step {
        let mut message = [0; RPC_WORDS];
        let len = match self.take_request(&mut message) {
            Ok(len) => len,
            Err(result) => return self.answer_rpc(result),
        };
        self.deliver(&message[..len], State::Rpc, tee::OUT_OF_MEMORY)
    }

    /// Writes a command to the guest's RPC argument. If that cannot be, OP-TEE gets `failure`.
    fn deliver(&mut self, message: &[u64], state: State, failure: u32) -> Step {
        let call = &mut self.guest.calls[self.slot];
        let written = call
            .home()
            .is_some_and(|home| home.write(self.memory, 0, message).is_ok());
        if !written {
            return self.answer_rpc(failure);
        }
        let cookie = call
            .page
            .map_or(0, |(id, _)| self.guest.buffers.get(id).cookie);
        self.guest.counters.rpcs = self.guest.counters.rpcs.wrapping_add(1);
        self.note(What::Rpc(low(message[0])));
        self.wait(state, ret::RPC_CMD, cookie)
    }

    /// Reads OP-TEE's request once and makes the message for the guest of what is understood.
    fn take_request(&mut self, message: &mut [u64; RPC_WORDS]) -> Result<usize, u32> {
        let word = self.guest.calls[self.slot].rpc_word();
        self.frames
            .read(self.slot, word, &mut message[..HEADER_WORDS]);
        let command = low(message[0]);
        let count = high(message[3]) as usize;
        if count > RPC_PARAMS {
            return Err(tee::BAD_PARAMETERS);
        }
        let len = words(count);
        self.frames.read(
            self.slot,
            word + HEADER_WORDS,
            &mut message[HEADER_WORDS..len],
        );
        let mut request = Request {
            command,
            count,
            ..Request::default()
        };
        let params = message[HEADER_WORDS..len].as_chunks_mut::<PARAM_WORDS>().0;
        for (param, shape) in params.iter_mut().zip(&mut request.shapes) {
            *shape = self.check_request_param(param)?;
        }
        match command {
            rpc::SHM_ALLOC | rpc::SHM_FREE => {
                let &mut [[attr::VALUE_IN, kind, value, _]] = params else {
                    return Err(tee::BAD_PARAMETERS);
                };
                (request.kind, request.size) = (kind, value);
                if command == rpc::SHM_FREE {
                    self.forget_payload(value)?;
                }
            }
            rpc::LOAD_TA..=rpc::SUSPEND
            | rpc::GPROF..=rpc::PLUGIN
            | rpc::I2C..=rpc::RPMB_FRAMES => {}
            _ => return Err(tee::NOT_SUPPORTED),
        }
        self.guest.calls[self.slot].request = request;
        message[..HEADER_WORDS].copy_from_slice(&[
            u64::from(command),
            0,
            pack(0, tee::GENERIC),
            pack(0, count as u32),
        ]);
        Ok(len)
    }

    /// Checks a parameter of OP-TEE's and drops what the guest need not see.
    fn check_request_param(&self, param: &mut [u64; PARAM_WORDS]) -> Result<Shape, u32> {
        let [attributes, a, size, cookie] = *param;
        let shape = Shape::of(attributes).filter(|_| attributes <= attr::TYPE);
        let shape = shape.ok_or(tee::BAD_PARAMETERS)?;
        if shape.is_address() {
            // NULL; any other address is a physical one.
            if a != 0 {
                return Err(tee::BAD_PARAMETERS);
            }
            *param = [attributes, 0, size, 0];
        } else if shape.is_registered() {
            let id = self.guest.buffers.find(cookie).ok_or(tee::BAD_PARAMETERS)?;
            let buffer = self.guest.buffers.get(id);
            let known = matches!(buffer.kind, Kind::Payload | Kind::Registered);
            let inside = a.checked_add(size).is_some_and(|end| end <= buffer.size);
            if !known || !inside {
                return Err(tee::BAD_PARAMETERS);
            }
        } else if !shape.is_input() {
            *param = [attributes, 0, 0, 0];
        }
        Ok(shape)
    }

    /// OP-TEE gives an SHM_ALLOC buffer back. The guest may use its cookie again as soon as it
    /// is told, so the record goes first.
    fn forget_payload(&mut self, cookie: u64) -> Result<(), u32> {
        let id = self
            .guest
            .buffers
            .find_kind(cookie, Kind::Payload)
            .ok_or(tee::BAD_PARAMETERS)?;
        self.guest.buffers.remove(id);
        Ok(())
    }

    /// The guest has served the command. A classic one names its RPC argument by cookie.
    pub(crate) fn rpc_served(&mut self, cookie: u64) -> Step {
        let call = &self.guest.calls[self.slot];
        if call
            .page
            .is_some_and(|(id, _)| self.guest.buffers.get(id).cookie != cookie)
        {
            return self.answer_rpc(tee::BAD_PARAMETERS);
        }
        let mut answer = [0; RPC_WORDS];
        let answer = &mut answer[..words(call.request.count)];
        // The command and the session words are ours to know.
        let read = call
            .home()
            .is_some_and(|home| home.read(self.memory, 2, &mut answer[2..]).is_ok());
        if !read {
            return self.answer_rpc(tee::COMMUNICATION);
        }
        let result = high(answer[2]);
        if call.request.command == rpc::SHM_ALLOC && result == tee::SUCCESS {
            let param = answer[HEADER_WORDS..]
                .first_chunk()
                .copied()
                .unwrap_or_default();
            return self.payload_given(param);
        }
        for (n, shape) in call
            .request
            .shapes
            .iter()
            .take(call.request.count)
            .enumerate()
        {
            let outputs = shape.outputs();
            if !outputs.is_empty() {
                let at = words(n);
                let out = &answer[at + outputs.start..at + outputs.end];
                self.frames
                    .write(self.slot, call.rpc_word() + at + outputs.start, out);
            }
        }
        self.write_result(result);
        self.resume_secure()
    }

    /// The guest's answer to SHM_ALLOC: a page list, or one page by address.
    fn payload_given(&mut self, param: [u64; PARAM_WORDS]) -> Step {
        match self.take_payload(param) {
            Ok(()) => self.translate_reply(),
            Err(result) => self.discard(param[3], result),
        }
    }

    fn take_payload(&mut self, mut param: [u64; PARAM_WORDS]) -> Result<(), u32> {
        let call = &mut self.guest.calls[self.slot];
        let word = call.rpc_word();
        call.walk.clear();
        let [attributes, pointer, size, cookie] = param;
        if size < call.request.size {
            return Err(tee::BAD_PARAMETERS);
        }
        match attributes {
            attr::TMEM_OUT
                if pointer.is_multiple_of(PAGE_SIZE) && (1..=PAGE_SIZE).contains(&size) =>
            {
                let pa = self
                    .memory
                    .translate(Ipa(pointer))
                    .ok_or(tee::BAD_PARAMETERS)?;
                self.guest
                    .buffers
                    .insert(cookie, size, 0, 1, Kind::Payload)?;
                param[1] = pa.0;
            }
            LISTED => {
                let target = word + HEADER_WORDS + 1;
                let list = self.record_list(target, &param, Kind::Payload)?;
                let call = &mut self.guest.calls[self.slot];
                call.walk.add(list);
                // OP-TEE has read the list of the answer before, now that it asks again. Nothing
                // earlier says so: an interrupt or a sleep can come in the middle of a list.
                self.guest.lists.give_back(&mut call.reply_chain);
                let Some(chain) = self.guest.lists.take(call.walk.frames()) else {
                    self.guest.buffers.remove(list.buffer);
                    return Err(tee::OUT_OF_MEMORY);
                };
                call.walk.start(chain.head());
                call.reply_chain = chain;
                param[1] = 0;
            }
            _ => return Err(tee::BAD_PARAMETERS),
        }
        self.frames.write(self.slot, word + HEADER_WORDS, &param);
        Ok(())
    }

    /// Translates the next part of the list for SHM_ALLOC; at its end, resumes OP-TEE.
    pub(crate) fn translate_reply(&mut self) -> Step {
        match self.walk() {
            Ok(true) => {
                self.write_result(tee::SUCCESS);
                self.resume_secure()
            }
            Ok(false) => self.come_again(Then::Reply),
            Err(result) => {
                let id = self.call().walk.buffer();
                let cookie = self.guest.buffers.get(id).cookie;
                self.guest.buffers.remove(id);
                self.discard(cookie, result)
            }
        }
    }

    /// An SHM_ALLOC buffer was refused: the guest frees it, then OP-TEE gets `result`. A cookie
    /// that still stands for something else is not freed.
    fn discard(&mut self, cookie: u64, result: u32) -> Step {
        if cookie == 0 || self.guest.buffers.find(cookie).is_some() {
            return self.answer_rpc(result);
        }
        let kind = self.guest.calls[self.slot].request.kind;
        let message = [
            u64::from(rpc::SHM_FREE),
            0,
            pack(0, tee::GENERIC),
            pack(0, 1),
            attr::VALUE_IN,
            kind,
            cookie,
            0,
        ];
        self.deliver(&message, State::Discarding(result), result)
    }

    /// A classic guest's answer to ALLOC.
    pub(crate) fn rpc_page_given(&mut self, at: u64, cookie: u64) -> Step {
        if at == 0 || cookie == 0 || self.guest.buffers.find(cookie).is_some() {
            // Nothing given, or a cookie that stands for something else: neither ours to use
            // nor the guest's to free. Without a home the command fails.
            return self.rpc_command();
        }
        let home = Window::at(Ipa(at));
        let usable = at.is_multiple_of(8) && home.read(self.memory, 0, &mut [0; RPC_WORDS]).is_ok();
        let record = match usable {
            true => self
                .guest
                .buffers
                .insert(cookie, RPC_ARG_BYTES, 0, 1, Kind::RpcPage),
            false => Err(tee::BAD_PARAMETERS),
        };
        match record {
            Ok(id) => {
                let call = &mut self.guest.calls[self.slot];
                call.page = Some((id, home));
                self.rpc_command()
            }
            Err(_) => self.free_rpc_page(cookie, State::RefusedPage),
        }
    }

    /// Tells a classic guest to free a page that it gave for its RPC argument.
    pub(crate) fn free_rpc_page(&mut self, cookie: u64, state: State) -> Step {
        self.note(What::RpcPage);
        self.wait(state, ret::RPC_FREE, cookie)
    }

    /// Answers OP-TEE's command without the guest.
    pub(crate) fn answer_rpc(&mut self, result: u32) -> Step {
        self.guest.counters.rpcs_answered = self.guest.counters.rpcs_answered.wrapping_add(1);
        self.note(What::RpcAnswered(result));
        self.write_result(result);
        self.resume_secure()
    }

    fn write_result(&mut self, result: u32) {
        let word = self.guest.calls[self.slot].rpc_word() + 2;
        self.frames.write(self.slot, word, &[pack(0, result)]);
    }

    /// Lets OP-TEE's thread run on.
    pub(crate) fn resume_secure(&mut self) -> Step {
        let thread = self.guest.calls[self.slot].thread;
        self.send([func::CALL_RETURN_FROM_RPC, 0, 0, thread])
    }
}

/// Attributes of a page list in an answer to SHM_ALLOC.
const LISTED: u64 = attr::TMEM_OUT | attr::NONCONTIG;
