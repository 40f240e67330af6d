// SPDX-License-Identifier: MIT OR Apache-2.0

//! Translation of page lists, a bounded part at a time.
//!
//! A list page holds 511 page addresses and the address of the next list page
//! (`OPTEE_MSG_ATTR_NONCONTIG` in `optee_msg.h`). One list page of the guest becomes one shadow
//! page, so the two chains run in step.

use addr::{Ipa, PAGE_SIZE, Pa};

use crate::abi::{LIST_ENTRIES, TeeResult};
use crate::buffers::{BLOCK, BufferId, Buffers, Kind};
use crate::host::{Memory, Run, ShadowPages};
use crate::list_pages::{Chain, ListPages};
use crate::message::{MAX_PARAMS, Scratch};

/// Entries that are translated at once: the guest's interrupts wait meanwhile. A step ends where a block of page numbers
/// does, and so that the last part of a list page has the link besides.
const CHUNK: usize = size_of::<Scratch>() / size_of::<u64>();
const _: () = assert!(CHUNK == 256 && CHUNK.is_multiple_of(BLOCK));
const _: () = assert!(!LIST_ENTRIES.is_multiple_of(CHUNK) && BLOCK.is_multiple_of(GROUP));
/// Entries that are checked together: a branch for each costs more.
const GROUP: usize = 4;

/// What to do when all lists are translated.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum AfterLists {
    /// Enter OP-TEE with the call's message.
    Call,
    /// Resume OP-TEE with the guest's answer to SHM_ALLOC.
    Reply,
}

/// One list.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct List {
    /// Word of the shadow message that gets the address of the first shadow list page.
    pub target: u16,
    /// Offset of the buffer in its first page, added to that address.
    pub offset: u16,
    /// Record of the buffer.
    pub buffer: BufferId,
    /// The guest's next list page.
    pub next: Ipa,
    /// Entries of that page that are done.
    pub done: u16,
    /// Pages to go, from the start of that page on.
    pub left: u32,
}

/// The lists of one message and how far their translation has come.
#[derive(Debug, Default)]
pub(crate) struct Walk {
    lists: [List; MAX_PARAMS],
    count: u8,
    now: u8,
    /// The current list has begun.
    begun: bool,
    /// The shadow frame that is filled, and the one behind it, if the list goes on there.
    frame: usize,
    next: usize,
}

impl Walk {
    pub fn clear(&mut self) {
        (self.count, self.now, self.begun) = (0, 0, false);
    }

    pub fn add(&mut self, list: List) {
        if let Some(place) = self.lists.get_mut(usize::from(self.count)) {
            *place = list;
            self.count += 1;
        }
    }

    /// Returns how many shadow frames all lists take.
    pub fn frames(&self) -> u32 {
        let lists = self.lists.iter().take(usize::from(self.count));
        lists
            .map(|list| list.left.div_ceil(LIST_ENTRIES as u32))
            .sum()
    }

    /// Returns the record of the current list.
    pub fn buffer(&self) -> BufferId {
        self.lists[usize::from(self.now)].buffer
    }

    /// Tells whether there are lists at all.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Translates some entries into frames of `chain`, which has enough of them reserved. Gives whether all lists
    /// are done.
    pub fn run<M: Memory, F: ShadowPages>(
        &mut self,
        message: usize,
        chain: &mut Chain,
        mut lent: WalkContext<'_, M, F>,
    ) -> Result<bool, TeeResult> {
        let mut budget = CHUNK;
        while self.now < self.count {
            if budget == 0 {
                return Ok(false);
            }
            let list = &mut self.lists[usize::from(self.now)];
            if !self.begun {
                self.frame = lent.frame(chain)?;
                let first = lent.frames.pa(self.frame).0 | u64::from(list.offset);
                lent.frames
                    .write(message, usize::from(list.target), &[first]);
                self.begun = true;
            }
            if list.done == 0 && list.left as usize > LIST_ENTRIES {
                self.next = lent.next_frame(chain)?;
            }
            let spent = list_page(list, self.frame, self.next, budget, &mut lent)?;
            if list.left == 0 {
                self.now += 1;
                self.begun = false;
            } else if list.done == 0 {
                self.frame = self.next;
            }
            if self.now == self.count {
                break;
            }
            budget -= spent.next_multiple_of(BLOCK);
        }
        Ok(true)
    }
}

/// What a walk works with.
pub(crate) struct WalkContext<'a, M, F> {
    pub buffers: &'a mut Buffers,
    pub lists: &'a mut ListPages,
    pub scratch: &'a mut Scratch,
    pub memory: &'a M,
    pub frames: &'a mut F,
}

impl<M, F> WalkContext<'_, M, F> {
    #[inline(always)]
    fn frame(&mut self, chain: &mut Chain) -> Result<usize, TeeResult> {
        self.lists.extend(chain).ok_or(TeeResult::OUT_OF_MEMORY)
    }

    /// Gives the frame for the rest of a long list. Few lists have one.
    #[cold]
    #[inline(never)]
    fn next_frame(&mut self, chain: &mut Chain) -> Result<usize, TeeResult> {
        self.frame(chain)
    }
}

/// Translates up to `most` entries of one page of a list into `frame`, linked to `next` if more pages follow.
/// Gives the number of entries.
fn list_page<M: Memory, F: ShadowPages>(
    list: &mut List,
    frame: usize,
    next: usize,
    most: usize,
    lent: &mut WalkContext<'_, M, F>,
) -> Result<usize, TeeResult> {
    let at = list.next;
    if !at.is_aligned(PAGE_SIZE) {
        return Err(TeeResult::BAD_PARAMETERS);
    }
    let keep = lent.buffers.get(list.buffer).kind == Kind::Registering;
    let count = (list.left as usize).min(LIST_ENTRIES);
    let first = usize::from(list.done);
    let end = count.min(first + most);
    let linked = end == LIST_ENTRIES && list.left as usize > count;
    let entries = end - first;
    let words = lent.scratch.as_flattened_mut();
    let part = words.get_mut(..entries + usize::from(linked));
    let part = part.ok_or(TeeResult::OUT_OF_MEMORY)?;
    let from = Ipa(at.0 + first as u64 * 8);
    let read = lent.memory.read(from, part);
    read.map_err(|_| TeeResult::BAD_PARAMETERS)?;
    let (pages, link) = part.split_at_mut(entries);
    let (mut run, mut unkept) = (NOTHING, [0; BLOCK]);
    for pages in pages.chunks_mut(BLOCK) {
        let room = match keep {
            true => lent.buffers.next_block(list.buffer),
            false => None,
        };
        run = translate(pages, room.unwrap_or(&mut unkept), run, lent.memory)
            .ok_or(TeeResult::BAD_PARAMETERS)?;
    }
    if let [link] = link {
        list.next = Ipa(*link);
        *link = lent.frames.pa(next).0;
    }
    lent.frames.write(frame, first, part);
    list.done = end as u16;
    if end == count {
        list.left -= count as u32;
        list.done = 0;
    }
    Ok(entries)
}

/// No RAM.
const NOTHING: Run = Run {
    start: Ipa(0),
    pa: Pa(0),
    size: 0,
};

/// Translates entries in place and notes their page numbers in `numbers`. `run` is the run of RAM that the entries before
/// them were in; gives that of the last one.
#[inline(always)]
fn translate<M: Memory>(
    pages: &mut [u64],
    numbers: &mut [u32; BLOCK],
    mut run: Run,
    memory: &M,
) -> Option<Run> {
    let (groups, rest) = pages.as_chunks_mut::<GROUP>();
    let (kept, rest_kept) = numbers.split_at_mut_checked(groups.len() * GROUP)?;
    let (kept, _) = kept.as_chunks_mut::<GROUP>();
    for (group, numbers) in groups.iter_mut().zip(kept) {
        if !translate_group(group, numbers, &run) {
            run = translate_each(group, numbers, run, memory)?;
        }
    }
    match rest.is_empty() {
        true => Some(run),
        false => translate_each(rest, rest_kept, run, memory),
    }
}

/// Translates entries that lie in this run. False, and nothing is done, if they don't, or are close to its end.
#[inline(always)]
fn translate_group(pages: &mut [u64; GROUP], numbers: &mut [u32; GROUP], run: &Run) -> bool {
    let [a, b, c, d] = *pages;
    let offset = |page: u64| page.wrapping_sub(run.start.0);
    let all = offset(a) | offset(b) | offset(c) | offset(d);
    let inside = all < run.size && all.is_multiple_of(PAGE_SIZE);
    if inside {
        *numbers = [a, b, c, d].map(|page| (page / PAGE_SIZE) as u32);
        *pages = [a, b, c, d].map(|page| run.pa.0.wrapping_add(offset(page)));
    }
    inside
}

/// Translates entries one by one, wherever they are.
#[inline(never)]
fn translate_each<M: Memory>(
    pages: &mut [u64],
    numbers: &mut [u32],
    mut run: Run,
    memory: &M,
) -> Option<Run> {
    for (page, number) in pages.iter_mut().zip(numbers) {
        if page.wrapping_sub(run.start.0) >= run.size {
            run = memory.run(Ipa(*page)).filter(is_numbered)?;
        }
        if !page.is_multiple_of(PAGE_SIZE) {
            return None;
        }
        *number = (*page / PAGE_SIZE) as u32;
        *page = run.pa.0.wrapping_add(page.wrapping_sub(run.start.0));
    }
    Some(run)
}

/// Tells whether the numbers of all pages of a run fit in 32 bits.
fn is_numbered(run: &Run) -> bool {
    let end = run.start.checked_add(run.size);
    end.is_some_and(|end| end.0 <= PAGE_SIZE << 32)
}
