// SPDX-License-Identifier: MIT OR Apache-2.0

//! Takes a guest's message over and enters OP-TEE with it.

use addr::{Ipa, PAGE_SIZE};
use platform::VcpuId;

use crate::abi::{
    Command, Function, HEADER_WORDS, Header, Origin, PARAM_WORDS, RESULT_WORD, RPC_ARG_BYTES,
    ReturnCode, TeeResult, attr, high, low, outcome,
};
use crate::buffers::{Buffers, Kind};
use crate::call::State;
use crate::guest::Guest;
use crate::host::{EventKind, Memory, ShadowPages, Trace};
use crate::message::{MAX_PARAMS, Param, ParamType, Scratch, Window, words};
use crate::transaction::{BAD_ADDRESS, BAD_PARAMETERS, Refusal, Transaction};
use crate::walk::{AfterLists, CHUNK};
use crate::{Step, code};

/// Where a guest's message is.
pub(crate) struct Message {
    window: Window,
    /// Bytes from there on that are the message's.
    room: u64,
    /// The RPC argument follows it.
    beside: bool,
}

impl Message {
    /// Returns a message in a page of its own.
    #[inline]
    pub fn at(at: u64, beside: bool) -> Option<Self> {
        Ipa(at).is_aligned(PAGE_SIZE).then_some(Self {
            window: Window::at(Ipa(at)),
            room: PAGE_SIZE,
            beside,
        })
    }

    /// Returns a message inside a registered buffer, `offset` bytes from its start.
    #[inline]
    pub fn in_buffer(buffers: &Buffers, cookie: u64, offset: u64) -> Option<Self> {
        let id = buffers.find_kind(cookie, Kind::Registered)?;
        let buffer = buffers.get(id);
        let room = buffer.size.checked_sub(offset)?;
        let at = offset + u64::from(buffer.offset);
        if !at.is_multiple_of(8) {
            return None;
        }
        let page = |n| Some(Ipa(u64::from(buffers.page(id, n)?) * PAGE_SIZE));
        let first = page(at / PAGE_SIZE)?;
        let second = page(at / PAGE_SIZE + 1).unwrap_or(Ipa(0));
        Some(Self {
            window: Window::split(first, at % PAGE_SIZE, second),
            room,
            beside: true,
        })
    }
}

impl<T: Trace> Guest<T> {
    /// Takes a message over and enters OP-TEE with it.
    #[inline]
    pub(crate) fn begin<M: Memory, F: ShadowPages>(
        &mut self,
        message: Message,
        vcpu: VcpuId,
        memory: &M,
        frames: &mut F,
    ) -> Step {
        let Self { calls, common } = self;
        let counters = &mut common.counters;
        let slot = (!common.busy).trailing_zeros() as usize;
        let Some((before, [call, behind @ ..])) = calls.split_at_mut_checked(slot) else {
            counters.turned_away = counters.turned_away.wrapping_add(1);
            return code(ReturnCode::ETHREAD_LIMIT);
        };
        counters.calls = counters.calls.wrapping_add(1);
        let is_alone = common.busy == 0;
        common.busy |= common.busy.wrapping_add(1);
        call.window = message.window;
        call.classic = !message.beside;
        let names = |session| {
            let mut others = before.iter().chain(&*behind);
            !is_alone && others.any(|call| call.state != State::Free && call.session() == session)
        };
        let mut turn = Transaction {
            guest: common,
            call,
            slot,
            is_back: false,
            vcpu,
            memory,
            frames,
        };
        match turn.take_over(message.room, names) {
            Ok(()) if turn.call.walk.is_empty() => turn.enter(),
            Ok(()) => turn.translate_call(),
            Err(refusal) => turn.refuse(refusal),
        }
    }
}

impl<T: Trace, M: Memory, F: ShadowPages> Transaction<'_, T, M, F> {
    /// Reads the message, checks it, and writes what OP-TEE may see of it to the shadow page. `names` tells whether
    /// another call names a session.
    #[inline]
    fn take_over(&mut self, room: u64, names: impl Fn(u32) -> bool) -> Result<(), Refusal> {
        let (call, scratch) = (&mut *self.call, &mut self.guest.scratch);
        call.walk.clear();
        let had = read_ahead(&call.window, room, self.memory, scratch);
        let had = had.ok_or(BAD_ADDRESS)?;
        let [header, params @ ..] = scratch;
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
        if count > had {
            let rest = params[had..count].as_flattened_mut();
            let read = call.window.read(self.memory, words(had), rest);
            read.map_err(|_| BAD_ADDRESS)?;
        }
        // A result that OP-TEE never wrote must not look like success.
        let unanswered = outcome(TeeResult::COMMUNICATION, Origin::default(), asked.params);
        header[RESULT_WORD..].copy_from_slice(&unanswered);
        self.note(EventKind::Taken(asked.command));
        self.call.outputs = 0;
        match asked.command {
            Command::REGISTER_SHM => self.take_register(count)?,
            Command::UNREGISTER_SHM => self.take_unregister(count)?,
            _ => {
                self.admit(names)?;
                self.take_params(count)?;
            }
        }
        let message = &self.guest.scratch[..count + 1];
        self.frames.write(self.slot, 0, message.as_flattened());
        Ok(())
    }

    /// Checks the parameters and turns them into what OP-TEE may see. Most are none.
    #[inline(always)]
    fn take_params(&mut self, count: usize) -> Result<(), Refusal> {
        let [_, params @ ..] = &mut self.guest.scratch;
        let (mut others, mut bit) = (0_u8, 1_u8);
        for words in &mut params[..count] {
            let [attributes, ..] = *words;
            if attributes == 0 {
                *words = [0; PARAM_WORDS];
            } else {
                others |= bit;
            }
            bit <<= 1;
        }
        while others != 0 {
            self.take_param(others.trailing_zeros() as usize)?;
            others &= others - 1;
        }
        Ok(())
    }

    /// Checks one parameter and turns it into what OP-TEE may see.
    fn take_param(&mut self, n: usize) -> Result<(), Refusal> {
        let (call, words) = (&mut *self.call, &mut self.guest.scratch[n + 1]);
        let [attributes, ..] = *words;
        let shape = ParamType::of(attributes).ok_or(BAD_PARAMETERS)?;
        call.shapes[n] = shape;
        call.outputs |= u8::from(shape.is_output()) << n;
        if attributes <= attr::VALUE_INOUT {
            return Ok(());
        }
        let known = attr::TYPE | attr::META | attr::NONCONTIG | attr::CACHE;
        let listed = attributes & attr::NONCONTIG != 0;
        if attributes & !known != 0 || listed && !shape.is_address() {
            return Err(BAD_PARAMETERS);
        }
        let mut param = Param::of(words);
        param.attributes &= !attr::CACHE;
        if listed {
            self.take_list(&mut param)?;
        } else if shape.is_registered() {
            self.take_registered(&param)?;
        } else if shape.is_address() {
            take_null(&mut param)?;
        }
        self.guest.scratch[n + 1] = param.words();
        Ok(())
    }

    /// Makes a page list a record that waits for its translation.
    fn take_list(&mut self, param: &mut Param) -> Result<(), Refusal> {
        let list = self.record_list(param, Kind::Temporary, AfterLists::Call)?;
        self.call.make(list.buffer);
        self.call.walk.add(list);
        Ok(())
    }

    /// Takes REGISTER_SHM over, whose parameter is a page list. A short list is translated at once, the common case.
    #[inline(never)]
    fn take_register(&mut self, count: usize) -> Result<(), Refusal> {
        let mut param = Param::of(&self.guest.scratch[1]);
        param.attributes &= !attr::CACHE;
        if count != 1 || param.attributes != attr::TMEM_OUT | attr::NONCONTIG {
            return Err(BAD_PARAMETERS);
        }
        let mut list = self.record_list(&mut param, Kind::Registering, AfterLists::Call)?;
        self.call.make(list.buffer);
        match list.left as usize <= CHUNK {
            true => self.translate(&mut list)?,
            false => self.call.walk.add(list),
        }
        self.guest.scratch[1] = param.words();
        Ok(())
    }

    /// Takes UNREGISTER_SHM over, whose parameter names a registered buffer.
    #[inline(never)]
    fn take_unregister(&mut self, count: usize) -> Result<(), Refusal> {
        let Param {
            attributes, cookie, ..
        } = Param::of(&self.guest.scratch[1]);
        let shape = ParamType::of(attributes).filter(|shape| shape.is_registered());
        let known = attr::TYPE | attr::META | attr::CACHE;
        if count != 1 || shape.is_none() || attributes & !known != 0 {
            return Err(BAD_PARAMETERS);
        }
        let buffers = &mut self.guest.buffers;
        let found = buffers.find_kind(cookie, Kind::Registered);
        let id = found.ok_or(BAD_PARAMETERS)?;
        if buffers.is_used(id) {
            // The guest's driver waits for a call to end, as for a free thread.
            return Err(Refusal::Code(ReturnCode::ETHREAD_LIMIT));
        }
        buffers.set_kind(id, Kind::Unregistering);
        self.call.make(id);
        self.guest.scratch[1] = [attributes & !attr::CACHE, 0, 0, cookie];
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
        self.call.name(id);
        Ok(())
    }

    /// Translates the next part of the message's lists; at their end, enters OP-TEE.
    pub(crate) fn translate_call(&mut self) -> Step {
        match self.walk(AfterLists::Call) {
            Ok(true) => {
                if self.call.state != State::Free {
                    self.note(EventKind::Secure);
                }
                self.enter()
            }
            Ok(false) => self.come_again(AfterLists::Call),
            Err(result) => self.refuse(result.into()),
        }
    }

    #[inline]
    fn enter(&mut self) -> Step {
        let message = self.frames.pa(self.slot).0;
        // w3 = 1: cached memory.
        let at_cached = [high(message), low(message), 1];
        self.send(Function::CALL_WITH_RPC_ARG, at_cached)
    }
}

/// Parameters that are read together with the header: what libteec sends always. Nothing looks at what is read of
/// them beyond the message's end.
const AHEAD: usize = 4;

/// Reads a message's header, and the parameters behind it if they are there. Gives the number of these.
#[inline]
fn read_ahead<M: Memory>(
    window: &Window,
    room: u64,
    memory: &M,
    scratch: &mut Scratch,
) -> Option<usize> {
    let (ahead, _) = scratch.split_first_chunk_mut::<{ 1 + AHEAD }>()?;
    let is_there = room >= 8 * words(AHEAD) as u64 && window.is_whole(0, words(AHEAD));
    let words = ahead.as_flattened_mut();
    if is_there && memory.read(window.start(), words).is_ok() {
        return Some(AHEAD);
    }
    read_header(window, room, memory, scratch)
}

#[cold]
#[inline(never)]
fn read_header<M: Memory>(
    window: &Window,
    room: u64,
    memory: &M,
    scratch: &mut Scratch,
) -> Option<usize> {
    let [header, ..] = scratch;
    let is_there = room >= 8 * HEADER_WORDS as u64 && window.read(memory, 0, header).is_ok();
    is_there.then_some(0)
}

/// Checks memory by address: it must be NULL: contiguous buffers are not offered to guests.
fn take_null(param: &mut Param) -> Result<(), Refusal> {
    if param.place != 0 {
        return Err(BAD_PARAMETERS);
    }
    param.cookie = 0;
    Ok(())
}
