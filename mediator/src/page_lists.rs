// SPDX-License-Identifier: MIT OR Apache-2.0

//! Page lists of a message or of an answer: their records, and their translation in parts.

use addr::{Ipa, PAGE_SIZE};

use crate::Step;
use crate::abi::{ReturnCode, TeeResult};
use crate::buffers::Kind;
use crate::call::State;
use crate::guest::Common;
use crate::host::{EventKind, Memory, ShadowPages, Trace};
use crate::message::Param;
use crate::transaction::Transaction;
use crate::walk::{AfterLists, List, WalkContext};

impl<T: Trace, M: Memory, F: ShadowPages> Transaction<'_, T, M, F> {
    /// Makes the record of a page list whose shadow address goes to word `target`.
    pub(crate) fn record_list(
        &mut self,
        target: usize,
        param: &Param,
        kind: Kind,
    ) -> Result<List, TeeResult> {
        let offset = (param.place % PAGE_SIZE) as u16;
        let end = param
            .size
            .checked_add(offset.into())
            .filter(|_| param.size > 0);
        let pages = end.ok_or(TeeResult::BAD_PARAMETERS)?.div_ceil(PAGE_SIZE);
        let left = u32::try_from(pages).map_err(|_| TeeResult::OUT_OF_MEMORY)?;
        let buffers = &mut self.guest.buffers;
        let buffer = buffers.insert(param.cookie, param.size, offset, left, kind)?;
        Ok(List {
            target: target as u16,
            offset,
            buffer,
            next: Ipa(param.place).page(),
            done: 0,
            left,
        })
    }

    /// Translates some entries of the lists of the message, or of the reply. Gives whether all are done.
    pub(crate) fn walk(&mut self, of: AfterLists) -> Result<bool, TeeResult> {
        let Common {
            buffers,
            lists,
            scratch,
            ..
        } = &mut *self.guest;
        let (memory, frames) = (self.memory, &mut *self.frames);
        let lent = WalkContext {
            buffers,
            lists,
            scratch,
            memory,
            frames,
        };
        let call = &mut *self.call;
        let chain = match of {
            AfterLists::Call => &mut call.chain,
            AfterLists::Reply => &mut call.reply_chain,
        };
        call.walk.run(self.slot, chain, lent)
    }

    /// Lets the guest take its interrupts in the middle of a long list.
    pub(crate) fn come_again(&mut self, then: AfterLists) -> Step {
        self.guest.counters.chunks = self.guest.counters.chunks.wrapping_add(1);
        self.note(EventKind::Chunk);
        self.wait(State::Lists(then), ReturnCode::RPC_FOREIGN_INTR, 0)
    }
}
