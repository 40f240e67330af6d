//! Translation of page lists, a bounded part at a time.
//!
//! A list page holds 511 page addresses and the address of the next list page
//! (`OPTEE_MSG_ATTR_NONCONTIG` in `optee_msg.h`). One list page of the guest becomes one shadow
//! page, so the two chains run in step.

use addr::{Ipa, PAGE_SIZE};

use crate::abi::{LIST_ENTRIES, tee};
use crate::buffers::{BufferId, Buffers, Kind};
use crate::host::{Frames, Memory};
use crate::message::MAX_PARAMS;
use crate::shadow::ListFrames;

/// Entries copied at once: a small array on the stack.
const STRIDE: usize = 64;

/// What to do when all lists are translated.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Then {
    /// Enter OP-TEE with the call's message.
    Call,
    /// Resume OP-TEE with the guest's answer to SHM_ALLOC.
    Reply,
}

/// One list.
#[derive(Clone, Copy, Debug)]
pub(crate) struct List {
    /// Word of the shadow message that gets the address of the first shadow list page.
    pub target: u16,
    /// Offset of the buffer in its first page, added to that address.
    pub offset: u16,
    /// Record of the buffer.
    pub buffer: BufferId,
    /// The guest's next list page.
    pub next: Ipa,
    /// Pages to go.
    pub left: u32,
}

const NO_LIST: List = List {
    target: 0,
    offset: 0,
    buffer: 0,
    next: Ipa(0),
    left: 0,
};

/// The lists of one message and how far their translation has come.
#[derive(Debug)]
pub(crate) struct Walk {
    lists: [List; MAX_PARAMS],
    count: u8,
    now: u8,
    /// The current list has begun.
    begun: bool,
    /// The shadow frame that is filled next.
    frame: usize,
}

impl Walk {
    pub const EMPTY: Self = Self {
        lists: [NO_LIST; MAX_PARAMS],
        count: 0,
        now: 0,
        begun: false,
        frame: 0,
    };

    pub fn clear(&mut self) {
        (self.count, self.now, self.begun) = (0, 0, false);
    }

    pub fn add(&mut self, list: List) {
        if let Some(place) = self.lists.get_mut(usize::from(self.count)) {
            *place = list;
            self.count += 1;
        }
    }

    /// Shadow frames for all lists.
    pub fn frames(&self) -> u32 {
        let lists = self.lists.iter().take(usize::from(self.count));
        lists
            .map(|list| list.left.div_ceil(LIST_ENTRIES as u32))
            .sum()
    }

    /// Record of the current list.
    pub fn buffer(&self) -> BufferId {
        self.lists[usize::from(self.now)].buffer
    }

    /// The frames are given: the first of their chain.
    pub fn start(&mut self, frame: usize) {
        self.frame = frame;
    }

    /// Translates until a page list's worth of entries is done or nothing is left. Gives
    /// whether all lists are done.
    pub fn run<M: Memory, F: Frames>(
        &mut self,
        message: usize,
        buffers: &mut Buffers,
        chain: &ListFrames,
        memory: &M,
        frames: &mut F,
    ) -> Result<bool, u32> {
        let mut done = 0;
        while self.now < self.count {
            if done >= LIST_ENTRIES {
                return Ok(false);
            }
            let list = &mut self.lists[usize::from(self.now)];
            if !self.begun {
                let first = frames.pa(self.frame).0 | u64::from(list.offset);
                frames.write(message, usize::from(list.target), &[first]);
                self.begun = true;
            }
            let next = chain.next(self.frame);
            done += list_page(list, self.frame, next, buffers, memory, frames)?;
            self.frame = next;
            if list.left == 0 {
                self.now += 1;
                self.begun = false;
            }
        }
        Ok(true)
    }
}

/// Translates one page of a list into `frame`, linked to `next` if more follow. Gives the
/// number of entries.
fn list_page<M: Memory, F: Frames>(
    list: &mut List,
    frame: usize,
    next: usize,
    buffers: &mut Buffers,
    memory: &M,
    frames: &mut F,
) -> Result<usize, u32> {
    if !list.next.is_aligned(PAGE_SIZE) {
        return Err(tee::BAD_PARAMETERS);
    }
    let keep = buffers.get(list.buffer).kind == Kind::Registering;
    let count = (list.left as usize).min(LIST_ENTRIES);
    let more = list.left as usize > count;
    let at = list.next;
    let mut words = [0; STRIDE];
    let mut done = 0;
    while done < count {
        let entries = (count - done).min(STRIDE);
        let linked = more && done + entries == LIST_ENTRIES;
        let part = &mut words[..entries + usize::from(linked)];
        let from = Ipa(at.0 + done as u64 * 8);
        memory.read(from, part).map_err(|_| tee::BAD_PARAMETERS)?;
        let (pages, link) = part.split_at_mut(entries);
        for page in pages {
            *page = translate(*page, keep.then_some(list.buffer), buffers, memory)?;
        }
        if let [link] = link {
            list.next = Ipa(*link);
            *link = frames.pa(next).0;
        }
        frames.write(frame, done, part);
        done += entries;
    }
    list.left -= count as u32;
    Ok(count)
}

/// Translates one entry, and notes it if it belongs to a registered buffer.
#[inline(always)]
fn translate<M: Memory>(
    entry: u64,
    keep: Option<BufferId>,
    buffers: &mut Buffers,
    memory: &M,
) -> Result<u64, u32> {
    let page = Ipa(entry);
    if !page.is_aligned(PAGE_SIZE) {
        return Err(tee::BAD_PARAMETERS);
    }
    let pa = memory.translate(page).ok_or(tee::BAD_PARAMETERS)?;
    if let Some(id) = keep {
        let number = u32::try_from(page.0 / PAGE_SIZE).map_err(|_| tee::BAD_PARAMETERS)?;
        buffers.push_page(id, number);
    }
    Ok(pa.0)
}
