//! A call: taking the guest's message over, entering OP-TEE, and giving the result back.

use addr::{Ipa, PAGE_SIZE};

use crate::abi::{HEADER_WORDS, PARAM_WORDS, RPC_ARG_BYTES, attr, cmd, func, ret, tee};
use crate::buffers::{BufferId, Kind};
use crate::guest::{Guest, Turn};
use crate::host::{Frames, Memory, Trace, What};
use crate::message::{MAX_PARAMS, Shape, Window, high, low, pack, words};
use crate::policy::{Asked, TaPolicy, Uuid};
use crate::rpc::Request;
use crate::shadow::Chain;
use crate::walk::{Lent, List, Then, Walk};
use crate::{Step, code, reply};

/// Set in every thread id that a guest sees.
const ID_TAG: u32 = 1 << 30;

/// Where a call is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum State {
    /// Nowhere: the slot is free.
    #[default]
    Free,
    /// In the secure world, on some CPU.
    Secure,
    /// At the guest, half-way through its page lists.
    Lists(Then),
    /// At the guest, because of an interrupt.
    Interrupted,
    /// At the guest, serving an RPC command.
    Rpc,
    /// At the guest, which was asked for the page of its RPC argument.
    AskedPage,
    /// At the guest, which was told to free the page that it gave and we refused.
    RefusedPage,
    /// At the guest, which was told to free the buffer that it gave for SHM_ALLOC and we
    /// refused; OP-TEE then gets this result.
    Discarding(u32),
    /// Over; the guest frees the page of its RPC argument and then gets this code.
    Finishing(u32),
}

/// The page that a classic guest gave for its RPC argument.
#[derive(Clone, Copy)]
pub(crate) struct RpcPage {
    pub buffer: BufferId,
    pub cookie: u64,
    pub window: Window,
}

/// A slot for a call. Its number is that of its shadow page.
#[derive(Default)]
pub(crate) struct Call {
    slot: u8,
    generation: u16,
    pub state: State,
    /// OP-TEE's id of the thread, from its last return.
    pub thread: u32,
    pub command: u32,
    /// Number of parameters.
    count: u32,
    shapes: [Shape; MAX_PARAMS],
    /// One bit for each parameter that OP-TEE gives back to the guest.
    outputs: u8,
    /// The second word of the message: session and cancel id.
    session: u64,
    /// The guest's message.
    window: Window,
    /// The RPC argument is asked for by ALLOC, not behind the message.
    pub classic: bool,
    /// What ALLOC gave.
    pub page: Option<RpcPage>,
    /// OP-TEE's current request.
    pub request: Request,
    /// Buffers that this call registers, unregisters, or brought along.
    made: [BufferId; MAX_PARAMS],
    made_count: u8,
    /// Registered buffers that the message names, once for each parameter.
    named: [BufferId; MAX_PARAMS],
    named_count: u8,
    /// Lists of the message.
    chain: Chain,
    /// The list of the last SHM_ALLOC answer.
    ///
    /// An interrupt, or a wait for a mutex (NOTIFICATION), may come before OP-TEE has read it.
    /// So only the next SHM_ALLOC, which shows that it was read, and the call's end free it.
    pub reply_chain: Chain,
    pub walk: Walk,
}

impl Call {
    pub fn new(slot: usize) -> Self {
        Self {
            slot: slot as u8,
            ..Self::default()
        }
    }

    /// The thread id that the guest knows.
    pub fn id(&self) -> u32 {
        ID_TAG | u32::from(self.generation) << 8 | u32::from(self.slot)
    }

    /// The guest's RPC argument, if it has one.
    pub fn home(&self) -> Option<Window> {
        match self.classic {
            true => self.page.map(|page| page.window),
            false => Some(self.window.skip(self.rpc_word())),
        }
    }

    /// First word of the RPC argument in the shadow page.
    pub fn rpc_word(&self) -> usize {
        words(self.count as usize)
    }

    /// Frees the slot. The id that the guest knew is never valid again until the generations
    /// have gone round. What the call held must be released before.
    pub fn retire(&mut self) {
        self.state = State::Free;
        self.generation = self.generation.wrapping_add(1);
        self.page = None;
        self.made_count = 0;
        self.named_count = 0;
        self.chain = Chain::default();
        self.reply_chain = Chain::default();
    }

    fn made(&self) -> ([BufferId; MAX_PARAMS], usize) {
        (self.made, usize::from(self.made_count))
    }

    fn name(&mut self, id: BufferId) {
        if let Some(place) = self.named.get_mut(usize::from(self.named_count)) {
            *place = id;
            self.named_count += 1;
        }
    }

    fn make(&mut self, id: BufferId) {
        if let Some(place) = self.made.get_mut(usize::from(self.made_count)) {
            *place = id;
            self.made_count += 1;
        }
    }
}

/// Why a message is not taken over: a code for w0, or a TEE result for the message.
enum Refusal {
    Code(u32),
    Result(u32),
}

impl From<u32> for Refusal {
    fn from(result: u32) -> Self {
        Self::Result(result)
    }
}

const BAD_ADDRESS: Refusal = Refusal::Code(ret::EBADADDR);
const BAD_PARAMETERS: Refusal = Refusal::Result(tee::BAD_PARAMETERS);

impl<T: Trace, M: Memory, F: Frames> Turn<'_, T, M, F> {
    /// A message in a page of its own.
    pub(crate) fn call_at(&mut self, at: u64, beside: bool) -> Step {
        if !Ipa(at).is_aligned(PAGE_SIZE) {
            return code(ret::EBADADDR);
        }
        self.begin(Window::at(Ipa(at)), PAGE_SIZE, beside)
    }

    /// A message inside a registered buffer, `offset` bytes from its start.
    pub(crate) fn call_in_buffer(&mut self, cookie: u64, offset: u64) -> Step {
        match self.window_in(cookie, offset) {
            Some((window, room)) => self.begin(window, room, true),
            None => code(ret::EBADADDR),
        }
    }

    /// Where byte `offset` of a registered buffer lies, and how many bytes follow in it.
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
            return code(ret::ETHREAD_LIMIT);
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
        let command = low(header[0]);
        call.command = command;
        call.session = header[1];
        call.count = high(header[3]);
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
        header[2] = pack(0, tee::COMMUNICATION);
        header[3] = pack(0, count as u32);
        self.note(What::Taken(command));
        self.admit()?;
        for n in 0..count {
            self.take_param(n)?;
        }
        let message = &self.guest.scratch[..count + 1];
        self.frames.write(self.slot, 0, message.as_flattened());
        self.take_frames()
    }

    /// Whether the guest may give this command with these parameters.
    fn admit(&mut self) -> Result<(), Refusal> {
        let Call { command, count, .. } = self.guest.calls[self.slot];
        let fits = match command {
            cmd::OPEN_SESSION => return self.admit_open(count),
            cmd::INVOKE => return self.admit_named(),
            cmd::CLOSE_SESSION | cmd::CANCEL if count == 0 => return self.admit_named(),
            cmd::CLOSE_SESSION | cmd::CANCEL => false,
            cmd::REGISTER_SHM | cmd::UNREGISTER_SHM => count == 1,
            cmd::DO_BOTTOM_HALF | cmd::STOP_ASYNC_NOTIF if self.guest.offers_notifications() => {
                count == 0
            }
            _ => return Err(Refusal::Code(ret::EBADCMD)),
        };
        if fits { Ok(()) } else { Err(BAD_PARAMETERS) }
    }

    /// Only an open session may be named, and only one that no other call names may be closed:
    /// OP-TEE up to 4.10 lets calls into a session that it has not finished opening, and frees
    /// it under them when the opening fails.
    fn admit_named(&mut self) -> Result<(), Refusal> {
        let guest = &mut *self.guest;
        let session = low(guest.calls[self.slot].session);
        let found = guest.sessions.binary_search(&session);
        let at = found.map_err(|_| BAD_PARAMETERS)?;
        if guest.calls[self.slot].command == cmd::CLOSE_SESSION {
            let names = |call: &Call| call.state != State::Free && low(call.session) == session;
            if guest.calls.iter().any(names) {
                return Err(Refusal::Code(ret::ETHREAD_LIMIT));
            }
            guest.sessions.remove(at);
        }
        Ok(())
    }

    /// The first two parameters of OPEN_SESSION name the application and the client.
    fn admit_open(&mut self, count: u32) -> Result<(), Refusal> {
        const META_VALUE: u64 = attr::VALUE_IN | attr::META;
        let [_, [META_VALUE, a, b, _], [META_VALUE, ..], ..] = self.guest.scratch else {
            return Err(BAD_PARAMETERS);
        };
        if count < 2 {
            return Err(BAD_PARAMETERS);
        }
        if self.guest.sessions.len() >= usize::from(self.guest.config.limits.fitted().sessions) {
            return Err(Refusal::Result(tee::OUT_OF_MEMORY));
        }
        if self.guest.config.policy == TaPolicy::Any {
            return Ok(());
        }
        if self.guest.permits(Uuid::of(a, b), Asked::Open) {
            Ok(())
        } else {
            Err(Refusal::Result(tee::ACCESS_DENIED))
        }
    }

    /// Checks one parameter and turns it into what OP-TEE may see.
    fn take_param(&mut self, n: usize) -> Result<(), Refusal> {
        let Guest { calls, scratch, .. } = &mut *self.guest;
        let (call, param) = (&mut calls[self.slot], &mut scratch[n + 1]);
        let attributes = param[0];
        let known = attr::TYPE | attr::META | attr::NONCONTIG | attr::CACHE;
        let plain = call.command != cmd::REGISTER_SHM && call.command != cmd::UNREGISTER_SHM;
        if attributes == 0 && plain {
            call.shapes[n] = Shape::NONE;
            *param = [0; PARAM_WORDS];
            return Ok(());
        }
        let shape = Shape::of(attributes).ok_or(BAD_PARAMETERS)?;
        call.shapes[n] = shape;
        call.outputs |= u8::from(plain && shape.is_output()) << n;
        if attributes <= attr::VALUE_INOUT && plain {
            return Ok(());
        }
        let listed = attributes & attr::NONCONTIG != 0;
        if attributes & !known != 0 || listed && !shape.is_address() {
            return Err(BAD_PARAMETERS);
        }
        param[0] = attributes & (attr::TYPE | attr::META | attr::NONCONTIG);
        let mut copy = *param;
        match call.command {
            cmd::REGISTER_SHM if param[0] == attr::TMEM_OUT | attr::NONCONTIG => {
                self.take_list(n, &mut copy, Kind::Registering)
            }
            cmd::UNREGISTER_SHM if shape.is_registered() => self.take_unregister(&mut copy),
            cmd::REGISTER_SHM | cmd::UNREGISTER_SHM => Err(BAD_PARAMETERS),
            _ if listed => self.take_list(n, &mut copy, Kind::Temporary),
            _ if shape.is_registered() => self.take_registered(&copy),
            _ if shape.is_address() => take_null(&mut copy),
            _ => Ok(()),
        }?;
        self.guest.scratch[n + 1] = copy;
        Ok(())
    }

    /// A page list becomes a record and waits for its translation.
    fn take_list(
        &mut self,
        n: usize,
        param: &mut [u64; PARAM_WORDS],
        kind: Kind,
    ) -> Result<(), Refusal> {
        let target = words(n) + 1;
        let list = self.record_list(target, param, kind)?;
        let call = &mut self.guest.calls[self.slot];
        call.make(list.buffer);
        call.walk.add(list);
        param[1] = 0;
        Ok(())
    }

    /// Makes the record of a page list whose shadow address goes to word `target`.
    pub(crate) fn record_list(
        &mut self,
        target: usize,
        &[_, pointer, size, cookie]: &[u64; PARAM_WORDS],
        kind: Kind,
    ) -> Result<List, u32> {
        let offset = (pointer % PAGE_SIZE) as u16;
        let end = size.checked_add(offset.into()).filter(|_| size > 0);
        let pages = end.ok_or(tee::BAD_PARAMETERS)?.div_ceil(PAGE_SIZE);
        let left = u32::try_from(pages).map_err(|_| tee::OUT_OF_MEMORY)?;
        let buffers = &mut self.guest.buffers;
        let buffer = buffers.insert(cookie, size, offset, left, kind)?;
        Ok(List {
            target: target as u16,
            offset,
            buffer,
            next: Ipa(pointer).page(),
            done: 0,
            left,
        })
    }

    fn take_unregister(&mut self, param: &mut [u64; PARAM_WORDS]) -> Result<(), Refusal> {
        let buffers = &mut self.guest.buffers;
        let id = buffers
            .find_kind(param[3], Kind::Registered)
            .ok_or(BAD_PARAMETERS)?;
        if buffers.is_used(id) {
            // The guest's driver waits for a call to end, as for a free thread.
            return Err(Refusal::Code(ret::ETHREAD_LIMIT));
        }
        buffers.set_kind(id, Kind::Unregistering);
        self.guest.calls[self.slot].make(id);
        (param[1], param[2]) = (0, 0);
        Ok(())
    }

    /// Memory by cookie must lie inside a registered buffer, which stays one until the call ends.
    fn take_registered(&mut self, param: &[u64; PARAM_WORDS]) -> Result<(), Refusal> {
        let [_, offset, size, cookie] = *param;
        let buffers = &mut self.guest.buffers;
        let id = buffers
            .find_kind(cookie, Kind::Registered)
            .ok_or(BAD_PARAMETERS)?;
        let end = offset.checked_add(size).ok_or(BAD_PARAMETERS)?;
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
        let need = call.walk.frames();
        if need == 0 {
            return Ok(());
        }
        if need > self.guest.lists.total() {
            return Err(Refusal::Result(tee::OUT_OF_MEMORY));
        }
        let chain = self.guest.lists.reserve(need);
        call.chain = chain.ok_or(Refusal::Code(ret::ETHREAD_LIMIT))?;
        Ok(())
    }

    /// Translates the next part of the message's lists; at their end, enters OP-TEE.
    pub(crate) fn translate_call(&mut self) -> Step {
        if self.call().walk.is_empty() {
            return self.enter();
        }
        match self.walk(Then::Call) {
            Ok(true) => self.enter(),
            Ok(false) => self.come_again(Then::Call),
            Err(result) => self.refuse(result.into()),
        }
    }

    /// Translates some entries of the lists of the message, or of the reply. Gives whether all are done.
    pub(crate) fn walk(&mut self, of: Then) -> Result<bool, u32> {
        let Guest {
            calls,
            buffers,
            lists,
            scratch,
            ..
        } = &mut *self.guest;
        let (memory, frames) = (self.memory, &mut *self.frames);
        let lent = Lent {
            buffers,
            lists,
            scratch,
            memory,
            frames,
        };
        let call = &mut calls[self.slot];
        let chain = match of {
            Then::Call => &mut call.chain,
            Then::Reply => &mut call.reply_chain,
        };
        call.walk.run(self.slot, chain, lent)
    }

    fn enter(&mut self) -> Step {
        let message = self.frames.pa(self.slot).0;
        // w3 = 1: cached memory.
        let regs = [func::CALL_WITH_RPC_ARG, high(message), low(message), 1];
        self.send(regs)
    }

    /// Lets the guest take its interrupts in the middle of a long list.
    pub(crate) fn come_again(&mut self, then: Then) -> Step {
        self.guest.counters.chunks = self.guest.counters.chunks.wrapping_add(1);
        self.note(What::Chunk);
        self.wait(State::Lists(then), ret::RPC_FOREIGN_INTR, 0)
    }

    /// Leaves the call with the guest until it resumes it.
    pub(crate) fn wait(&mut self, state: State, w0: u32, value: u64) -> Step {
        let call = self.call();
        call.state = state;
        reply(w0, high(value), low(value), call.id())
    }

    /// Turns a message away before OP-TEE has seen it.
    fn refuse(&mut self, refusal: Refusal) -> Step {
        let call = &self.guest.calls[self.slot];
        let w0 = match refusal {
            Refusal::Code(w0) => w0,
            Refusal::Result(result) => {
                let tail = [pack(0, result), pack(tee::ORIGIN_COMMS, call.count)];
                let written = call.window.write(self.memory, 2, &tail);
                self.note(What::Refused(result));
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

    /// OP-TEE came back from the call.
    pub(crate) fn call_returned(&mut self, [w0, w1, w2, w3]: [u32; 4]) -> Step {
        let call = &mut self.guest.calls[self.slot];
        if w0 < ret::RPC_ALLOC || w0 == ret::UNKNOWN {
            return self.complete(w0);
        }
        call.thread = w3;
        match w0 {
            ret::RPC_FOREIGN_INTR => self.interrupted(),
            ret::RPC_CMD => self.rpc_arrived(w1 | w2),
            // OP-TEE has its RPC argument from us, so there is nothing to allocate: w1:w2 = 0
            // says so. Of any other request nothing is known but that it must be resumed. A guest's
            // first calls may bring some, as long as another vCPU's sets its partition up.
            _ => self.interrupted(),
        }
    }

    /// Lets the core serve its interrupts before OP-TEE's thread runs on, however often OP-TEE comes
    /// back: the guest resumes it.
    pub(crate) fn interrupted(&mut self) -> Step {
        self.guest.counters.interrupts = self.guest.counters.interrupts.wrapping_add(1);
        self.note(What::Interrupted);
        self.wait(State::Interrupted, ret::RPC_FOREIGN_INTR, 0)
    }

    /// OP-TEE ended the call: its records are settled whatever becomes of the message.
    fn complete(&mut self, w0: u32) -> Step {
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
        self.note(What::Ended(w0));
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

/// Memory by address must be NULL: contiguous buffers are not offered to guests.
fn take_null(param: &mut [u64; PARAM_WORDS]) -> Result<(), Refusal> {
    if param[1] != 0 {
        return Err(BAD_PARAMETERS);
    }
    param[3] = 0;
    Ok(())
}
