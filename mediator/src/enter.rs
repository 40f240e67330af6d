// SPDX-License-Identifier: MIT OR Apache-2.0

//! Takes a guest's message over and enters OP-TEE with it.

use addr::{Ipa, PAGE_SIZE};

use crate::abi::{
    Command, Function, HEADER_WORDS, Header, Origin, PARAM_WORDS, RESULT_WORD, RPC_ARG_BYTES,
    ReturnCode, TeeResult, attr, high, low, outcome,
};
use crate::buffers::Kind;
use crate::guest::Guest;
use crate::host::{EventKind, Memory, ShadowPages, Trace};
use crate::leave::{BAD_ADDRESS, BAD_PARAMETERS, Refusal};
use crate::message::{MAX_PARAMS, PLACE_WORD, Param, ParamType, Window, words};
use crate::transaction::Transaction;
use crate::walk::AfterLists;
use crate::{Step, code};

impl<T: Trace, M: Memory, F: ShadowPages> Transaction<'_, T, M, F> {
    /// Begins a call whose message is in a page of its own.
    pub(crate) fn call_at(&mut self, at: u64, beside: bool) -> Step {
        if !Ipa(at).is_aligned(PAGE_SIZE) {
            return code(ReturnCode::EBADADDR);
        }
        self.begin(Window::at(Ipa(at)), PAGE_SIZE, beside)
    }

    /// Begins a call whose message is inside a registered buffer, `offset` bytes from its start.
    pub(crate) fn call_in_buffer(&mut self, cookie: u64, offset: u64) -> Step {
        match self.window_in(cookie, offset) {
            Some((window, room)) => self.begin(window, room, true),
            None => code(ReturnCode::EBADADDR),
        }
    }

    /// Returns where byte `offset` of a registered buffer lies, and how many bytes follow in it.
    fn window_in(&self, cookie: u64, offset: u64) -> Option<(Window, u64)> {
        let id = self.guest.buffers.find_kind(cookie, Kind::Registered)?;
        let buffer = self.guest.buffers.get(id);
        let room = buffer.size.checked_sub(offset)?;
        let at = offset + u64::from(buffer.offset);
        if !at.is_multiple_of(8) {
            return None;
        }
        let page = |n| Some(Ipa(u64::from(self.guest.buffers.page(id, n)?) * PAGE_SIZE));
        let first = page(at / PAGE_SIZE)?;
        let second = page(at / PAGE_SIZE + 1).unwrap_or(Ipa(0));
        Some((Window::split(first, at % PAGE_SIZE, second), room))
    }

    /// Takes a message over and enters OP-TEE with it. `room` bytes are the message's;
    /// `beside` says that the RPC argument follows it.
    pub(crate) fn begin(&mut self, window: Window, room: u64, beside: bool) -> Step {
        self.slot = self.guest.free.trailing_zeros() as usize;
        if self.slot >= self.guest.calls.len() {
            self.guest.counters.turned_away = self.guest.counters.turned_away.wrapping_add(1);
            return code(ReturnCode::ETHREAD_LIMIT);
        }
        self.guest.free &= !(1 << self.slot);
        self.guest.counters.calls = self.guest.counters.calls.wrapping_add(1);
        let call = &mut self.guest.calls[self.slot];
        call.window = window;
        call.classic = !beside;
        call.outputs = 0;
        call.walk.clear();
        match self.take_over(room) {
            Ok(()) => self.translate_call(),
            Err(refusal) => self.refuse(refusal),
        }
    }

    /// Reads the message, checks it, and writes what OP-TEE may see of it to the shadow page.
    fn take_over(&mut self, room: u64) -> Result<(), Refusal> {
        let Guest { calls, scratch, .. } = &mut *self.guest;
        let call = &mut calls[self.slot];
        if room < 8 * HEADER_WORDS as u64 {
            return Err(BAD_ADDRESS);
        }
        let [header, params @ ..] = scratch;
        let read = call.window.read(self.memory, 0, header);
        read.map_err(|_| BAD_ADDRESS)?;
        let asked = Header::of(header);
        call.command = asked.command;
        [_, call.ids, ..] = *header;
        call.count = asked.params;
        let count = call.count as usize;
        if count > MAX_PARAMS {
            return Err(BAD_PARAMETERS);
        }
        let rpc_bytes = if call.classic { 0 } else { RPC_ARG_BYTES };
        if room < 8 * words(count) as u64 + rpc_bytes {
            return Err(BAD_ADDRESS);
        }
        let params = params[..count].as_flattened_mut();
        let read = call.window.read(self.memory, HEADER_WORDS, params);
        read.map_err(|_| BAD_ADDRESS)?;
        // A result that OP-TEE never wrote must not look like success.
        let unanswered = outcome(TeeResult::COMMUNICATION, Origin::default(), asked.params);
        header[RESULT_WORD..].copy_from_slice(&unanswered);
        self.note(EventKind::Taken(asked.command));
        self.admit()?;
        for n in 0..count {
            self.take_param(n)?;
        }
        let message = &self.guest.scratch[..count + 1];
        self.frames.write(self.slot, 0, message.as_flattened());
        self.take_frames()
    }

    /// Checks one parameter and turns it into what OP-TEE may see.
    fn take_param(&mut self, n: usize) -> Result<(), Refusal> {
        let Guest { calls, scratch, .. } = &mut *self.guest;
        let (call, words) = (&mut calls[self.slot], &mut scratch[n + 1]);
        let [attributes, ..] = *words;
        let known = attr::TYPE | attr::META | attr::NONCONTIG | attr::CACHE;
        let plain =
            call.command != Command::REGISTER_SHM && call.command != Command::UNREGISTER_SHM;
        if attributes == 0 && plain {
            call.shapes[n] = ParamType::NONE;
            *words = [0; PARAM_WORDS];
            return Ok(());
        }
        let shape = ParamType::of(attributes).ok_or(BAD_PARAMETERS)?;
        call.shapes[n] = shape;
        call.outputs |= u8::from(plain && shape.is_output()) << n;
        if attributes <= attr::VALUE_INOUT && plain {
            return Ok(());
        }
        let listed = attributes & attr::NONCONTIG != 0;
        if attributes & !known != 0 || listed && !shape.is_address() {
            return Err(BAD_PARAMETERS);
        }
        let mut param = Param::of(words);
        param.attributes &= attr::TYPE | attr::META | attr::NONCONTIG;
        match call.command {
            Command::REGISTER_SHM if param.attributes == attr::TMEM_OUT | attr::NONCONTIG => {
                self.take_list(n, &mut param, Kind::Registering)
            }
            Command::UNREGISTER_SHM if shape.is_registered() => self.take_unregister(&mut param),
            Command::REGISTER_SHM | Command::UNREGISTER_SHM => Err(BAD_PARAMETERS),
            _ if listed => self.take_list(n, &mut param, Kind::Temporary),
            _ if shape.is_registered() => self.take_registered(&param),
            _ if shape.is_address() => take_null(&mut param),
            _ => Ok(()),
        }?;
        self.guest.scratch[n + 1] = param.words();
        Ok(())
    }

    /// Makes a page list a record that waits for its translation.
    fn take_list(&mut self, n: usize, param: &mut Param, kind: Kind) -> Result<(), Refusal> {
        let list = self.record_list(words(n) + PLACE_WORD, param, kind)?;
        let call = &mut self.guest.calls[self.slot];
        call.make(list.buffer);
        call.walk.add(list);
        param.place = 0;
        Ok(())
    }

    fn take_unregister(&mut self, param: &mut Param) -> Result<(), Refusal> {
        let buffers = &mut self.guest.buffers;
        let found = buffers.find_kind(param.cookie, Kind::Registered);
        let id = found.ok_or(BAD_PARAMETERS)?;
        if buffers.is_used(id) {
            // The guest's driver waits for a call to end, as for a free thread.
            return Err(Refusal::Code(ReturnCode::ETHREAD_LIMIT));
        }
        buffers.set_kind(id, Kind::Unregistering);
        self.guest.calls[self.slot].make(id);
        (param.place, param.size) = (0, 0);
        Ok(())
    }

    /// Checks memory by cookie: it must lie inside a registered buffer, which stays one until the call ends.
    fn take_registered(&mut self, param: &Param) -> Result<(), Refusal> {
        let buffers = &mut self.guest.buffers;
        let found = buffers.find_kind(param.cookie, Kind::Registered);
        let id = found.ok_or(BAD_PARAMETERS)?;
        let end = param.place.checked_add(param.size).ok_or(BAD_PARAMETERS)?;
        if end > buffers.get(id).size {
            return Err(BAD_PARAMETERS);
        }
        buffers.use_by_call(id);
        self.guest.calls[self.slot].name(id);
        Ok(())
    }

    /// Gives the lists their shadow frames. Too few for ever is out of memory; too few now
    /// means that another call has them, and its end wakes who waits for a thread.
    fn take_frames(&mut self) -> Result<(), Refusal> {
        let call = &mut self.guest.calls[self.slot];
        if call.walk.is_empty() {
            return Ok(());
        }
        let need = call.walk.frames();
        if need > self.guest.lists.total() {
            return Err(Refusal::Result(TeeResult::OUT_OF_MEMORY));
        }
        let chain = self.guest.lists.reserve(need);
        call.chain = chain.ok_or(Refusal::Code(ReturnCode::ETHREAD_LIMIT))?;
        Ok(())
    }

    /// Translates the next part of the message's lists; at their end, enters OP-TEE.
    pub(crate) fn translate_call(&mut self) -> Step {
        if self.call().walk.is_empty() {
            return self.enter();
        }
        match self.walk(AfterLists::Call) {
            Ok(true) => self.enter(),
            Ok(false) => self.come_again(AfterLists::Call),
            Err(result) => self.refuse(result.into()),
        }
    }

    fn enter(&mut self) -> Step {
        let message = self.frames.pa(self.slot).0;
        // w3 = 1: cached memory.
        let at_cached = [high(message), low(message), 1];
        self.send(Function::CALL_WITH_RPC_ARG, at_cached)
    }
}

/// Checks memory by address: it must be NULL: contiguous buffers are not offered to guests.
fn take_null(param: &mut Param) -> Result<(), Refusal> {
    if param.place != 0 {
        return Err(BAD_PARAMETERS);
    }
    param.cookie = 0;
    Ok(())
}
