// SPDX-License-Identifier: MIT OR Apache-2.0

//! Page lists of a message or of an answer: their records, and their translation in parts.

use addr::{Ipa, PAGE_SIZE};

use crate::Step;
use crate::abi::{LIST_ENTRIES, ReturnCode, TeeResult};
use crate::buffers::Kind;
use crate::call::State;
use crate::guest::Common;
use crate::host::{EventKind, Memory, ShadowPages, Trace};
use crate::message::Param;
use crate::transaction::{BAD_PARAMETERS, Refusal, Transaction};
use crate::walk::{AfterLists, CHUNK, List, Walk, WalkContext};

impl<T: Trace, M: Memory, F: ShadowPages> Transaction<'_, T, M, F> {
    /// Makes the record of a page list and reserves the frames for its translation, of which the first takes the list's
    /// place in the parameter. Too few for ever is out of memory; too few now means that another call has them, and its
    /// end wakes who waits for a thread.
    #[inline(always)]
    pub(crate) fn record_list(
        &mut self,
        param: &mut Param,
        kind: Kind,
        of: AfterLists,
    ) -> Result<List, Refusal> {
        let offset = param.place % PAGE_SIZE;
        let end = param.size.checked_add(offset).filter(|_| param.size > 0);
        let pages = end.ok_or(BAD_PARAMETERS)?.div_ceil(PAGE_SIZE);
        let left = u32::try_from(pages).map_err(|_| TeeResult::OUT_OF_MEMORY)?;
        let Common { buffers, lists, .. } = &mut *self.guest;
        let (chain, _) = self.call.lists(of);
        let few = LIST_ENTRIES as u32;
        let need = if left <= few { 1 } else { left.div_ceil(few) };
        if !lists.reserve(chain, need) {
            return Err(match lists.fits(chain, need) {
                true => Refusal::Code(ReturnCode::ETHREAD_LIMIT),
                false => Refusal::Result(TeeResult::OUT_OF_MEMORY),
            });
        }
        let frame = lists.extend(chain).ok_or(TeeResult::OUT_OF_MEMORY)?;
        let buffer = buffers.insert(param.cookie, param.size, offset as u16, left, kind)?;
        let next = Ipa(param.place).page();
        param.place = self.frames.pa(frame.into()).0 | offset;
        Ok(List {
            next,
            left,
            done: 0,
            frame,
            buffer,
            is_kept: kind == Kind::Registering,
        })
    }

    /// Translates a list at once.
    #[inline(always)]
    pub(crate) fn translate(&mut self, list: &mut List) -> Result<(), TeeResult> {
        let (_, mut lent) = self.walk_context(AfterLists::Call);
        let done = list.translate(CHUNK, &mut lent);
        done.map(drop).ok_or(TeeResult::BAD_PARAMETERS)
    }

    /// Translates some entries of the lists of the message, or of the reply. Gives whether all are done.
    pub(crate) fn walk(&mut self, of: AfterLists) -> Result<bool, TeeResult> {
        let (walk, mut lent) = self.walk_context(of);
        walk.run(&mut lent).ok_or(TeeResult::BAD_PARAMETERS)
    }

    #[inline(always)]
    fn walk_context(&mut self, of: AfterLists) -> (&mut Walk, WalkContext<'_, M, F>) {
        let Common { buffers, lists, .. } = &mut *self.guest;
        let (chain, walk) = self.call.lists(of);
        let lent = WalkContext {
            buffers,
            lists,
            chain,
            memory: self.memory,
            frames: self.frames,
        };
        (walk, lent)
    }

    /// Lets the guest take its interrupts in the middle of a long list.
    pub(crate) fn come_again(&mut self, then: AfterLists) -> Step {
        self.guest.counters.chunks = self.guest.counters.chunks.wrapping_add(1);
        self.note(EventKind::Chunk);
        self.wait(State::Lists(then), ReturnCode::RPC_FOREIGN_INTR, 0)
    }
}
