// SPDX-License-Identifier: MIT OR Apache-2.0

//! RPC: what OP-TEE asks of the guest in the middle of a call.

use addr::{Ipa, PAGE_SIZE};

use crate::Step;
use crate::abi::{
    Function, HEADER_WORDS, Header, PARAM_WORDS, RESULT_WORD, RPC_ARG_BYTES, RPC_PARAMS,
    ReturnCode, RpcCommand, TeeResult, attr,
};
use crate::buffers::Kind;
use crate::call::{Request, RpcPage, State};
use crate::host::{EventKind, Memory, Run, ShadowPages, Trace};
use crate::message::{Param, ParamType, Window, words};
use crate::policy::{Asked, TaPolicy, Uuid};
use crate::transaction::{Refusal, Transaction};
use crate::walk::AfterLists;

/// An RPC argument: its header, then its parameters.
type RpcArg = [[u64; PARAM_WORDS]; 1 + RPC_PARAMS];

impl<T: Trace, M: Memory, F: ShadowPages> Transaction<'_, T, M, F> {
    /// Handles a command that OP-TEE sent. A classic guest may have to give a page for it first.
    pub(crate) fn rpc_arrived(&mut self, cookie: u32) -> Step {
        if cookie != 0 {
            // The argument is in a buffer that we never gave.
            return self.answer_rpc(TeeResult::BAD_PARAMETERS);
        }
        if self.call.home().is_none() {
            self.note(EventKind::RpcPage);
            return self.wait(State::AskedPage, ReturnCode::RPC_ALLOC, RPC_ARG_BYTES << 32);
        }
        self.rpc_command()
    }

    /// Reads OP-TEE's command and hands it to the guest, if it is one a guest may see.
    pub(crate) fn rpc_command(&mut self) -> Step {
        let mut message = RpcArg::default();
        match self.take_request(&mut message) {
            Ok(count) => self.deliver(&message[..count + 1], State::Rpc, TeeResult::OUT_OF_MEMORY),
            Err(result) => self.answer_rpc(result),
        }
    }

    /// Writes a command to the guest's RPC argument. If that cannot be, OP-TEE gets `failure`.
    fn deliver(
        &mut self,
        message: &[[u64; PARAM_WORDS]],
        state: State,
        failure: TeeResult,
    ) -> Step {
        let call = &*self.call;
        let words = message.as_flattened();
        let write = |home: Window| home.write(self.memory, 0, words).is_ok();
        if !call.home().is_some_and(write) {
            return self.answer_rpc(failure);
        }
        let cookie = call.page.map_or(0, |page| page.cookie);
        self.guest.counters.rpcs = self.guest.counters.rpcs.wrapping_add(1);
        self.note(EventKind::Rpc(Header::of(&message[0]).command));
        self.wait(state, ReturnCode::RPC_CMD, cookie)
    }

    /// Reads OP-TEE's request once and makes the message for the guest of what is understood.
    /// Gives the number of parameters.
    fn take_request(&mut self, message: &mut RpcArg) -> Result<usize, TeeResult> {
        let word = self.call.rpc_word();
        let [header, params @ ..] = message;
        self.frames.read(self.slot, word, header);
        let asked: Header<RpcCommand> = Header::of(header);
        let (command, count) = (asked.command, asked.params as usize);
        if command.is_for_rpmb() && !self.guest.config.rpmb {
            // After this answer OP-TEE gives up without harm: NOT_SUPPORTED makes it try the older
            // command, and ITEM_NOT_FOUND reads as a device without a key, or a file yet to be made.
            return Err(TeeResult::STORAGE_NOT_AVAILABLE);
        }
        let params = params.get_mut(..count).ok_or(TeeResult::BAD_PARAMETERS)?;
        let word = word + HEADER_WORDS;
        self.frames.read(self.slot, word, params.as_flattened_mut());
        let mut request = Request {
            command,
            count,
            ..Request::default()
        };
        for (param, shape) in params.iter_mut().zip(&mut request.shapes) {
            *shape = self.check_request_param(param)?;
        }
        match command {
            RpcCommand::SHM_ALLOC | RpcCommand::SHM_FREE => {
                let &mut [[attr::VALUE_IN, kind, value, _]] = params else {
                    return Err(TeeResult::BAD_PARAMETERS);
                };
                (request.kind, request.size) = (kind, value);
                if command == RpcCommand::SHM_FREE {
                    self.forget_payload(value)?;
                }
            }
            RpcCommand::LOAD_TA => self.permit_load(params)?,
            _ if command.is_for_guests() => {}
            _ => return Err(TeeResult::NOT_SUPPORTED),
        }
        self.call.request = request;
        *header = request_header(command, asked.params);
        Ok(count)
    }

    /// Checks that the policy lets OP-TEE load this application or library from the guest: an allowed
    /// application may have asked for it.
    fn permit_load(&mut self, params: &[[u64; PARAM_WORDS]]) -> Result<(), TeeResult> {
        if self.guest.config.policy == TaPolicy::Any {
            return Ok(());
        }
        match params {
            [[attr::VALUE_IN, a, b, _], ..]
                if self.guest.permits(Uuid::of(*a, *b), Asked::Load) =>
            {
                Ok(())
            }
            [[attr::VALUE_IN, ..], ..] => Err(TeeResult::ACCESS_DENIED),
            _ => Err(TeeResult::BAD_PARAMETERS),
        }
    }

    /// Checks a parameter of OP-TEE's and drops what the guest need not see.
    fn check_request_param(&self, param: &mut [u64; PARAM_WORDS]) -> Result<ParamType, TeeResult> {
        let [attributes, a, size, cookie] = *param;
        let shape = ParamType::of(attributes).filter(|_| attributes <= attr::TYPE);
        let shape = shape.ok_or(TeeResult::BAD_PARAMETERS)?;
        if shape.is_address() {
            // NULL; any other address is a physical one.
            if a != 0 {
                return Err(TeeResult::BAD_PARAMETERS);
            }
            *param = [attributes, 0, size, 0];
        } else if shape.is_registered() {
            let buffers = &self.guest.buffers;
            let id = buffers.find(cookie).ok_or(TeeResult::BAD_PARAMETERS)?;
            let buffer = buffers.get(id);
            let known = matches!(buffer.kind, Kind::Payload | Kind::Registered);
            let inside = a.checked_add(size).is_some_and(|end| end <= buffer.size);
            if !known || !inside {
                return Err(TeeResult::BAD_PARAMETERS);
            }
        } else if !shape.is_input() {
            *param = [attributes, 0, 0, 0];
        }
        Ok(shape)
    }

    /// Forgets an SHM_ALLOC buffer that OP-TEE gives back. The guest may use its cookie again as soon as it
    /// is told, so the record goes first.
    fn forget_payload(&mut self, cookie: u64) -> Result<(), TeeResult> {
        let buffers = &mut self.guest.buffers;
        let found = buffers.find_kind(cookie, Kind::Payload);
        let id = found.ok_or(TeeResult::BAD_PARAMETERS)?;
        buffers.remove(id);
        Ok(())
    }

    /// Handles that the guest has served the command. A classic one names its RPC argument by cookie.
    pub(crate) fn rpc_served(&mut self, cookie: u64) -> Step {
        let call = &*self.call;
        if call.page.is_some_and(|page| page.cookie != cookie) {
            return self.answer_rpc(TeeResult::BAD_PARAMETERS);
        }
        let (request, word) = (call.request, call.rpc_word());
        let mut answer = RpcArg::default();
        let answer = &mut answer[..request.count + 1];
        let read = |home: Window| home.read(self.memory, 0, answer.as_flattened_mut()).is_ok();
        if !call.home().is_some_and(read) {
            return self.answer_rpc(TeeResult::COMMUNICATION);
        }
        let (header, params) = (Header::<RpcCommand>::of(&answer[0]), &answer[1..]);
        let result = header.result;
        if request.command == RpcCommand::SHM_ALLOC && result == TeeResult::SUCCESS {
            let given = params.first().map(Param::of).unwrap_or_default();
            return self.payload_given(given);
        }
        for (n, (shape, param)) in request.shapes.iter().zip(params).enumerate() {
            let outputs = shape.outputs();
            if !outputs.is_empty() {
                let at = word + words(n) + outputs.start;
                self.frames.write(self.slot, at, &param[outputs]);
            }
        }
        self.write_result(result);
        self.resume_secure()
    }

    /// Handles the guest's answer to SHM_ALLOC: a page list, or one page by address.
    fn payload_given(&mut self, param: Param) -> Step {
        match self.take_payload(param) {
            Ok(()) => self.translate_reply(),
            Err(result) => self.discard(param.cookie, result),
        }
    }

    fn take_payload(&mut self, mut param: Param) -> Result<(), TeeResult> {
        let call = &mut *self.call;
        let word = call.rpc_word();
        call.walk.clear();
        let Param { place, size, .. } = param;
        if size < call.request.size {
            return Err(TeeResult::BAD_PARAMETERS);
        }
        match param.attributes {
            attr::TMEM_OUT => {
                let fits = place.is_multiple_of(PAGE_SIZE) && (1..=PAGE_SIZE).contains(&size);
                let run = self.memory.run(Ipa(place)).filter(|_| fits);
                let Run { start, pa, .. } = run.ok_or(TeeResult::BAD_PARAMETERS)?;
                param.place = pa.0 + (place - start.0);
                let buffers = &mut self.guest.buffers;
                buffers.insert(param.cookie, size, 0, 1, Kind::Payload)?;
            }
            LISTED => {
                // OP-TEE has read the list of the answer before, now that it asks again. Nothing
                // earlier says so: an interrupt or a sleep can come in the middle of a list.
                self.guest.lists.give_back(&mut call.reply_chain);
                let list = self.record_list(&mut param, Kind::Payload, AfterLists::Reply);
                let list = list.map_err(|refusal| match refusal {
                    Refusal::Code(_) => TeeResult::OUT_OF_MEMORY,
                    Refusal::Result(result) => result,
                })?;
                self.call.walk.add(list);
            }
            _ => return Err(TeeResult::BAD_PARAMETERS),
        }
        self.frames
            .write(self.slot, word + HEADER_WORDS, &param.words());
        Ok(())
    }

    /// Translates the next part of the list for SHM_ALLOC; at its end, resumes OP-TEE.
    pub(crate) fn translate_reply(&mut self) -> Step {
        match self.walk(AfterLists::Reply) {
            Ok(true) => {
                self.write_result(TeeResult::SUCCESS);
                self.resume_secure()
            }
            Ok(false) => self.come_again(AfterLists::Reply),
            Err(result) => {
                let id = self.call.walk.buffer();
                let cookie = self.guest.buffers.get(id).cookie;
                self.guest.buffers.remove(id);
                self.discard(cookie, result)
            }
        }
    }

    /// Refuses an SHM_ALLOC buffer: the guest frees it, then OP-TEE gets `result`. A cookie
    /// that still stands for something else is not freed.
    fn discard(&mut self, cookie: u64, result: TeeResult) -> Step {
        if cookie == 0 || self.guest.buffers.find(cookie).is_some() {
            return self.answer_rpc(result);
        }
        let kind = self.call.request.kind;
        let message = [
            request_header(RpcCommand::SHM_FREE, 1),
            [attr::VALUE_IN, kind, cookie, 0],
        ];
        self.deliver(&message, State::Discarding(result), result)
    }

    /// Handles a classic guest's answer to ALLOC.
    pub(crate) fn rpc_page_given(&mut self, at: u64, cookie: u64) -> Step {
        if at == 0 || cookie == 0 || self.guest.buffers.find(cookie).is_some() {
            // Nothing given, or a cookie that stands for something else: neither ours to use
            // nor the guest's to free. Without a home the command fails.
            return self.rpc_command();
        }
        let window = Window::at(Ipa(at));
        let mut probe = RpcArg::default();
        let probe = probe.as_flattened_mut();
        let usable = at.is_multiple_of(8) && window.read(self.memory, 0, probe).is_ok();
        let buffers = &mut self.guest.buffers;
        let insert = || buffers.insert(cookie, RPC_ARG_BYTES, 0, 1, Kind::RpcPage);
        match usable.then(insert) {
            Some(Ok(buffer)) => {
                self.call.page = Some(RpcPage {
                    buffer,
                    cookie,
                    window,
                });
                self.rpc_command()
            }
            _ => self.free_rpc_page(cookie, State::RefusedPage),
        }
    }

    /// Answers OP-TEE's command without the guest.
    pub(crate) fn answer_rpc(&mut self, result: TeeResult) -> Step {
        self.guest.counters.rpcs_answered = self.guest.counters.rpcs_answered.wrapping_add(1);
        self.note(EventKind::RpcAnswered(result));
        self.write_result(result);
        match self.is_back {
            true => self.interrupted(),
            false => self.resume_secure(),
        }
    }

    fn write_result(&mut self, result: TeeResult) {
        let word = self.call.rpc_word() + RESULT_WORD;
        self.frames.write(self.slot, word, &[result.word()]);
    }

    /// Lets OP-TEE's thread run on.
    pub(crate) fn resume_secure(&mut self) -> Step {
        self.note(EventKind::Secure);
        let thread = self.call.thread;
        self.send(Function::CALL_RETURN_FROM_RPC, [0, 0, thread])
    }
}

/// Returns the header of a request that the guest has yet to serve.
fn request_header(command: RpcCommand, params: u32) -> [u64; HEADER_WORDS] {
    let header = Header {
        command,
        params,
        result: TeeResult::GENERIC,
        ..Header::default()
    };
    header.words()
}

/// Attributes of a page list in an answer to SHM_ALLOC.
const LISTED: u64 = attr::TMEM_OUT | attr::NONCONTIG;
