// SPDX-License-Identifier: MIT OR Apache-2.0

//! A slot for a call, and where the call is.

use crate::abi::{Command, RPC_PARAMS, ReturnCode, RpcCommand, TeeResult, low};
use crate::buffers::BufferId;
use crate::list_pages::Chain;
use crate::message::{MAX_PARAMS, ParamType, Window, words};
use crate::walk::{AfterLists, Walk};

/// Set in every thread id that a guest sees; the generation and the slot's number are the low bits.
const ID_TAG: u32 = 1 << 30;
/// The generation in a thread id, and its lowest bit.
const GENERATION: u32 = 0xffff << 8;
const NEXT: u32 = 1 << 8;

/// Where a call is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum State {
    /// Nowhere: the slot is free.
    #[default]
    Free,
    /// In the secure world, on some CPU.
    Secure,
    /// At the guest, half-way through its page lists.
    Lists(AfterLists),
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
    Discarding(TeeResult),
    /// Over; the guest frees the page of its RPC argument and then gets this code.
    Finishing(ReturnCode),
}

/// The page that a classic guest gave for its RPC argument.
#[derive(Clone, Copy)]
pub(crate) struct RpcPage {
    pub buffer: BufferId,
    pub cookie: u64,
    pub window: Window,
}

/// A slot for a call. Its number is that of its shadow page.
///
/// Aligned so that its place among the others is found by a shift: a multiplication after a load costs more.
#[derive(Default)]
#[repr(align(512))]
pub(crate) struct Call {
    /// The thread id that the guest knows.
    pub id: u32,
    pub state: State,
    /// OP-TEE's id of the thread, from its last return.
    pub thread: u32,
    pub command: Command,
    /// Number of parameters.
    pub count: u32,
    pub shapes: [ParamType; MAX_PARAMS],
    /// One bit for each parameter that OP-TEE gives back to the guest.
    pub outputs: u8,
    /// The session that it names or has opened, and the cancel id, in one word as in the message.
    pub ids: u64,
    /// The guest's message.
    pub window: Window,
    /// The RPC argument is asked for by ALLOC, not behind the message.
    pub classic: bool,
    /// What ALLOC gave.
    pub page: Option<RpcPage>,
    /// OP-TEE's current request.
    pub request: Request,
    /// Buffers that this call registers, unregisters, or brought along.
    pub made: [BufferId; MAX_PARAMS],
    pub made_count: u8,
    /// Registered buffers that the message names, once for each parameter.
    pub named: [BufferId; MAX_PARAMS],
    pub named_count: u8,
    /// Lists of the message.
    pub chain: Chain,
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
            id: ID_TAG | slot as u32,
            ..Self::default()
        }
    }

    /// Returns the frames of the message's lists, or of the reply's, and how far their translation has come.
    #[inline(always)]
    pub fn lists(&mut self, of: AfterLists) -> (&mut Chain, &mut Walk) {
        let chain = match of {
            AfterLists::Call => &mut self.chain,
            AfterLists::Reply => &mut self.reply_chain,
        };
        (chain, &mut self.walk)
    }

    /// Returns the session that it names, or has opened.
    pub fn session(&self) -> u32 {
        low(self.ids)
    }

    /// Returns the guest's RPC argument, if it has one.
    pub fn home(&self) -> Option<Window> {
        match self.classic {
            true => self.page.map(|page| page.window),
            false => Some(self.window.skip(self.rpc_word())),
        }
    }

    /// Returns the first word of the RPC argument in the shadow page.
    pub fn rpc_word(&self) -> usize {
        words(self.count as usize)
    }

    /// Frees the slot. The id that the guest knew is never valid again until the generations
    /// have gone round. What the call held must be released before.
    pub fn retire(&mut self) {
        self.state = State::Free;
        self.id = self.id & !GENERATION | self.id.wrapping_add(NEXT) & GENERATION;
        self.page = None;
        self.made_count = 0;
        self.named_count = 0;
        self.chain = Chain::default();
        self.reply_chain = Chain::default();
    }

    pub fn made(&self) -> &[BufferId] {
        self.made.get(..self.made_count.into()).unwrap_or_default()
    }

    pub fn name(&mut self, id: BufferId) {
        if let Some(place) = self.named.get_mut(usize::from(self.named_count)) {
            *place = id;
            self.named_count = self.named_count.wrapping_add(1);
        }
    }

    pub fn make(&mut self, id: BufferId) {
        if let Some(place) = self.made.get_mut(usize::from(self.made_count)) {
            *place = id;
            self.made_count = self.made_count.wrapping_add(1);
        }
    }
}

/// What OP-TEE asks for, as it was when we read it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Request {
    pub command: RpcCommand,
    pub count: usize,
    pub shapes: [ParamType; RPC_PARAMS],
    /// SHM_ALLOC: type of the buffer.
    pub kind: u64,
    /// SHM_ALLOC: least size in bytes.
    pub size: u64,
}
