// SPDX-License-Identifier: MIT OR Apache-2.0

//! Translation of page lists, a bounded part at a time.
//!
//! A list page holds 511 page addresses and the address of the next list page
//! (`OPTEE_MSG_ATTR_NONCONTIG` in `optee_msg.h`). One list page of the guest becomes one shadow
//! page, so the two chains run in step.

use core::array;

use addr::{Ipa, PAGE_SIZE, Pa};

use crate::abi::LIST_ENTRIES;
use crate::buffers::{BLOCK, BufferId, Buffers};
use crate::host::{Memory, Run, ShadowPages};
use crate::list_pages::{Chain, ListPages};
use crate::message::MAX_PARAMS;

/// Entries that are translated at once: the guest's interrupts wait meanwhile. A step ends where a block of page numbers
/// does.
pub(crate) const CHUNK: usize = 256;
const _: () = assert!(CHUNK.is_multiple_of(BLOCK) && BLOCK.is_multiple_of(GROUP));
/// Entries that are translated together: as many as registers hold.
const GROUP: usize = 8;

/// What to do when all lists are translated.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum AfterLists {
    /// Enter OP-TEE with the call's message.
    Call,
    /// Resume OP-TEE with the guest's answer to SHM_ALLOC.
    Reply,
}

/// One list, and how far its translation has come.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct List {
    /// The guest's next list page.
    pub next: Ipa,
    /// Pages to go, from the start of that page on.
    pub left: u32,
    /// Entries of that page that are done.
    pub done: u16,
    /// The shadow frame that they go to.
    pub frame: u16,
    /// Record of the buffer.
    pub buffer: BufferId,
    /// The record keeps the numbers of the pages.
    pub is_kept: bool,
}

/// The lists of one message.
#[derive(Debug, Default)]
pub(crate) struct Walk {
    lists: [List; MAX_PARAMS],
    count: u8,
    now: u8,
}

impl Walk {
    pub fn clear(&mut self) {
        (self.count, self.now) = (0, 0);
    }

    pub fn add(&mut self, list: List) {
        if let Some(place) = self.lists.get_mut(usize::from(self.count)) {
            *place = list;
            self.count += 1;
        }
    }

    /// Returns the record of the current list.
    pub fn buffer(&self) -> BufferId {
        self.lists[usize::from(self.now)].buffer
    }

    /// Tells whether there are lists at all.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Translates some entries into frames of the chain, which has enough of them reserved. Gives whether all lists
    /// are done; `None` if one is none.
    #[cold]
    #[inline(never)]
    pub fn run<M: Memory, F: ShadowPages>(
        &mut self,
        lent: &mut WalkContext<'_, M, F>,
    ) -> Option<bool> {
        let mut budget = CHUNK;
        while self.now < self.count {
            if budget == 0 {
                return Some(false);
            }
            let list = &mut self.lists[usize::from(self.now)];
            budget -= list.translate(budget, lent)?.next_multiple_of(BLOCK);
            self.now += u8::from(list.left == 0);
        }
        Some(true)
    }
}

/// What a walk works with.
pub(crate) struct WalkContext<'a, M, F> {
    pub buffers: &'a mut Buffers,
    pub lists: &'a mut ListPages,
    pub chain: &'a mut Chain,
    pub memory: &'a M,
    pub frames: &'a mut F,
}

impl List {
    /// Translates up to `most` entries of the current page of the list, whole blocks of them, and goes on to the next page
    /// at its end. Gives the number of entries; `None` if the list is none.
    #[inline(always)]
    pub fn translate<M: Memory, F: ShadowPages>(
        &mut self,
        most: usize,
        lent: &mut WalkContext<'_, M, F>,
    ) -> Option<usize> {
        if !self.next.is_aligned(PAGE_SIZE) {
            return None;
        }
        let count = (self.left as usize).min(LIST_ENTRIES);
        let first = usize::from(self.done);
        let end = count.min(first + most);
        let (mut at, mut run, mut unkept) = (first, NOTHING, [0; BLOCK]);
        while at < end {
            let numbers = match self.is_kept {
                true => lent.buffers.next_block(self.buffer)?,
                false => &mut unkept,
            };
            let (memory, frames) = (lent.memory, &mut *lent.frames);
            let here = (end - at).min(BLOCK);
            let (groups, rest) = numbers[..here].as_chunks_mut::<GROUP>();
            for numbers in groups {
                run = self.group(at, numbers, run, memory, frames)?;
                at += GROUP;
            }
            for number in rest {
                run = self.group(at, array::from_mut(number), run, memory, frames)?;
                at += 1;
            }
        }
        self.done = end as u16;
        if end == count {
            self.done = 0;
            self.left -= count as u32;
            if self.left > 0 {
                self.turn_page(lent)?;
            }
        }
        Some(end - first)
    }

    /// Translates the entries from number `at` on and notes their page numbers. `run` is the run of RAM that the entries
    /// before them were in; gives that of the last one.
    #[inline(always)]
    fn group<const N: usize, M: Memory, F: ShadowPages>(
        &self,
        at: usize,
        numbers: &mut [u32; N],
        run: Run,
        memory: &M,
        frames: &mut F,
    ) -> Option<Run> {
        let mut pages = memory.take::<N>(self.entry(at)).ok()?;
        let mut run = follow(run, *pages.first()?, memory)?;
        let offset = |page: &u64| page.wrapping_sub(run.start.0);
        let all = pages.iter().map(offset).fold(0, core::ops::BitOr::bitor);
        if !all.is_multiple_of(PAGE_SIZE) {
            return None;
        }
        *numbers = pages.map(|page| (page / PAGE_SIZE) as u32);
        if all < run.size {
            pages = pages.map(|page| place(&run, page));
        } else {
            (pages, run) = translate_each(pages, run, memory)?;
        }
        frames.write(self.frame.into(), at, &pages);
        Some(run)
    }

    /// Returns where entry number `at` is.
    fn entry(&self, at: usize) -> Ipa {
        Ipa(self.next.0.wrapping_add((at as u64) << 3))
    }

    /// Goes on to the next list page, the guest's and ours.
    #[cold]
    #[inline(never)]
    fn turn_page<M: Memory, F: ShadowPages>(
        &mut self,
        lent: &mut WalkContext<'_, M, F>,
    ) -> Option<()> {
        let mut link = [0];
        lent.memory.read(self.entry(LIST_ENTRIES), &mut link).ok()?;
        let frame = lent.lists.extend(lent.chain)?;
        let pa = lent.frames.pa(frame.into()).0;
        lent.frames.write(self.frame.into(), LIST_ENTRIES, &[pa]);
        (self.next, self.frame) = (Ipa(link[0]), frame);
        Some(())
    }
}

/// No RAM.
const NOTHING: Run = Run {
    start: Ipa(0),
    pa: Pa(0),
    size: 0,
};

/// Translates entries one by one, wherever they are.
#[cold]
#[inline(never)]
fn translate_each<const N: usize, M: Memory>(
    mut pages: [u64; N],
    mut run: Run,
    memory: &M,
) -> Option<([u64; N], Run)> {
    for page in &mut pages {
        run = follow(run, *page, memory)?;
        *page = place(&run, *page);
    }
    Some((pages, run))
}

/// Returns the run of RAM that a page is in: this one, as a rule.
#[inline(always)]
fn follow<M: Memory>(run: Run, page: u64, memory: &M) -> Option<Run> {
    match page.wrapping_sub(run.start.0) < run.size {
        true => Some(run),
        false => memory.run(Ipa(page)).filter(is_numbered),
    }
}

/// Returns where a page of the run is.
fn place(run: &Run, page: u64) -> u64 {
    run.pa.0.wrapping_add(page.wrapping_sub(run.start.0))
}

/// Tells whether the numbers of all pages of a run fit in 32 bits.
fn is_numbered(run: &Run) -> bool {
    (run.start.0 | run.size) < PAGE_SIZE << 31
}
