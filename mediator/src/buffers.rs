// SPDX-License-Identifier: MIT OR Apache-2.0

//! The shared buffers of a guest: one record for each live cookie, found by hash.
//!
//! All room is laid out when the guest is made: records, hash buckets, and blocks of page
//! numbers. Page numbers are kept for registered buffers alone, because CALL_WITH_REGD_ARG
//! must find a message inside one.

use alloc::boxed::Box;
use alloc::vec;

use crate::abi::{LIST_ENTRIES, TeeResult};
use crate::config::Limits;

/// Number of a record.
pub(crate) type BufferId = u16;

const NONE: u16 = u16::MAX;
const NO_BLOCK: u32 = u32::MAX;
/// Fibonacci hashing: 2^64 divided by the golden ratio.
const HASH: u64 = 0x9E37_79B9_7F4A_7C15;
/// Most records in a hash bucket: cookies that a guest chooses to share one are refused beyond it.
const MAX_CHAIN: usize = 16;
/// Records that one search looks at.
const SEARCHED: BufferId = 512;
/// Most blocks that a look-up of a page passes. A message beyond them, more than 30 MiB into its buffer, is not found.
const MAX_BLOCKS: usize = 16 * LIST_BLOCKS;
/// Pages in a block: 64 bytes, one cache line.
pub(crate) const BLOCK: usize = 16;
/// Blocks for a full page of a page list.
const LIST_BLOCKS: usize = LIST_ENTRIES.div_ceil(BLOCK);

/// Blocks that all buffers together can take: a list page for every 511 pages, and one block
/// more for the rest of each buffer.
fn blocks(limits: &Limits) -> usize {
    usize::from(limits.buffers) + limits.pages as usize / LIST_ENTRIES * LIST_BLOCKS + LIST_BLOCKS
}

/// What a live cookie stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// A REGISTER_SHM that OP-TEE has not answered yet.
    Registering,
    /// Registered: the only kind that messages may name.
    Registered,
    /// An UNREGISTER_SHM that OP-TEE has not answered yet.
    Unregistering,
    /// A page list in a message, for the length of its call.
    Temporary,
    /// What the guest gave for SHM_ALLOC.
    Payload,
    /// What a classic guest gave for its RPC argument.
    RpcPage,
}

/// A record.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Buffer {
    pub cookie: u64,
    /// Bytes.
    pub size: u64,
    /// Pages charged to the quota.
    pub pages: u32,
    /// Offset of the first byte in the first page.
    pub offset: u16,
    pub kind: Kind,
    /// How often admitted calls name it. OP-TEE's own count of references does not protect a buffer
    /// from an UNREGISTER_SHM that meets such a call, so it must wait.
    users: u16,
    /// The next record in the hash bucket, or in the free list.
    next: BufferId,
    bucket: u16,
    first_block: u32,
    last_block: u32,
}

impl Buffer {
    /// Returns a record that is not in use, before `next` in the free list.
    const fn free(next: BufferId) -> Self {
        Self {
            cookie: 0,
            size: 0,
            pages: 0,
            offset: 0,
            kind: Kind::Temporary,
            users: 0,
            next,
            bucket: 0,
            first_block: NO_BLOCK,
            last_block: NO_BLOCK,
        }
    }
}

pub(crate) struct Buffers {
    records: Box<[Buffer]>,
    /// Heads of the hash chains; a power of two of them.
    buckets: Box<[BufferId]>,
    free: BufferId,
    /// Records from here on were never in use.
    fresh: BufferId,
    live: u16,
    pages_left: u32,
    page_quota: u32,
    blocks: Blocks,
}

/// What a search for a buffer has found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Search {
    /// The cookie of record number …
    Found(u64, BufferId),
    /// Nothing before record number …, where it goes on.
    NotYet(BufferId),
    /// Nothing at all.
    Nothing,
}

impl Buffers {
    pub fn new(limits: &Limits) -> Self {
        let count = usize::from(limits.buffers);
        Self {
            records: vec![Buffer::free(NONE); count].into(),
            buckets: vec![NONE; count.next_power_of_two()].into(),
            free: NONE,
            fresh: 0,
            live: 0,
            pages_left: limits.pages,
            page_quota: limits.pages,
            blocks: Blocks::new(blocks(limits)),
        }
    }

    /// Returns the sizes of what [`Buffers::new`] allocates, in bytes.
    pub fn heap_blocks(limits: &Limits) -> [usize; 4] {
        let count = usize::from(limits.buffers);
        let blocks = blocks(limits);
        [
            count * size_of::<Buffer>(),
            count.next_power_of_two() * size_of::<BufferId>(),
            blocks * size_of::<[u32; BLOCK]>(),
            blocks * size_of::<u32>(),
        ]
    }

    /// Forgets everything. The records stay as they are: none is looked at before it is in use again.
    pub fn clear(&mut self) {
        self.buckets.fill(NONE);
        self.free = NONE;
        self.fresh = 0;
        self.live = 0;
        self.pages_left = self.page_quota;
        self.blocks.clear();
    }

    /// Returns the number of live records.
    pub fn live(&self) -> u16 {
        self.live
    }

    /// Returns the pages charged.
    pub fn pages(&self) -> u32 {
        self.page_quota - self.pages_left
    }

    fn bucket(&self, cookie: u64) -> usize {
        let hash = cookie.wrapping_mul(HASH) >> 48;
        hash as usize & (self.buckets.len() - 1)
    }

    /// Returns the records in a bucket, at most [`MAX_CHAIN`] of them.
    fn chain(&self, bucket: usize) -> impl Iterator<Item = BufferId> {
        let record = |id: &BufferId| self.records.get(usize::from(*id));
        let first = self.buckets[bucket];
        core::iter::successors(Some(first), move |id| Some(record(id)?.next))
            .take_while(move |id| record(id).is_some())
    }

    /// Returns the live record of `cookie`.
    #[inline]
    pub fn find(&self, cookie: u64) -> Option<BufferId> {
        self.chain(self.bucket(cookie))
            .find(|&id| self.get(id).cookie == cookie)
    }

    /// Looks for a record of this kind among some, from number `from` on.
    pub fn search(&self, kind: Kind, from: BufferId) -> Search {
        let end = self.fresh.min(from.saturating_add(SEARCHED));
        let is = |id: &BufferId| self.get(*id).cookie != 0 && self.get(*id).kind == kind;
        match (from..end).find(is) {
            Some(id) => Search::Found(self.get(id).cookie, id),
            None if end < self.fresh => Search::NotYet(end),
            None => Search::Nothing,
        }
    }

    /// Returns the live record of `cookie` if it is of this kind.
    pub fn find_kind(&self, cookie: u64, kind: Kind) -> Option<BufferId> {
        self.find(cookie).filter(|&id| self.get(id).kind == kind)
    }

    pub fn get(&self, id: BufferId) -> &Buffer {
        &self.records[usize::from(id)]
    }

    /// Counts another parameter of an admitted call that names the buffer.
    pub fn use_by_call(&mut self, id: BufferId) {
        self.records[usize::from(id)].users += 1;
    }

    /// Counts one less: the call is over.
    pub fn leave_by_call(&mut self, id: BufferId) {
        self.records[usize::from(id)].users -= 1;
    }

    /// Tells whether an admitted call names the buffer.
    pub fn is_used(&self, id: BufferId) -> bool {
        self.get(id).users > 0
    }

    pub fn set_kind(&mut self, id: BufferId, kind: Kind) {
        self.records[usize::from(id)].kind = kind;
    }

    /// Returns a new record, charged to the quota; else the TEE result to refuse with.
    #[inline(always)]
    pub fn insert(
        &mut self,
        cookie: u64,
        size: u64,
        offset: u16,
        pages: u32,
        kind: Kind,
    ) -> Result<BufferId, TeeResult> {
        let bucket = self.bucket(cookie);
        let mut shared = 0;
        for id in self.chain(bucket) {
            if self.get(id).cookie == cookie {
                return Err(TeeResult::BAD_PARAMETERS);
            }
            shared += 1;
        }
        if cookie == 0 {
            return Err(TeeResult::BAD_PARAMETERS);
        }
        if shared >= MAX_CHAIN {
            return Err(TeeResult::OUT_OF_MEMORY);
        }
        let is_fresh = self.free == NONE;
        let id = if is_fresh { self.fresh } else { self.free };
        let left = self.pages_left.checked_sub(pages);
        let (Some(left), Some(record)) = (left, self.records.get_mut(usize::from(id))) else {
            return Err(TeeResult::OUT_OF_MEMORY);
        };
        match is_fresh {
            true => self.fresh += 1,
            false => self.free = record.next,
        }
        let head = &mut self.buckets[bucket];
        *record = Buffer {
            cookie,
            size,
            pages,
            offset,
            kind,
            bucket: bucket as u16,
            ..Buffer::free(*head)
        };
        *head = id;
        self.pages_left = left;
        self.live += 1;
        Ok(id)
    }

    /// Ends a record and gives its quota back.
    #[inline(always)]
    pub fn remove(&mut self, id: BufferId) {
        let record = &mut self.records[usize::from(id)];
        let next = core::mem::replace(&mut record.next, self.free);
        record.cookie = 0;
        self.free = id;
        self.live -= 1;
        self.pages_left += record.pages;
        self.blocks.give_back(record.first_block, record.last_block);
        let head = &mut self.buckets[usize::from(record.bucket)];
        match *head == id {
            true => *head = next,
            false => self.unlink(id, next),
        }
    }

    /// Takes a record out of its bucket, in which it is not the first.
    #[cold]
    fn unlink(&mut self, id: BufferId, next: BufferId) {
        let bucket = self.get(id).bucket;
        let before = self
            .chain(bucket.into())
            .find(|&other| self.get(other).next == id);
        if let Some(before) = before {
            self.records[usize::from(before)].next = next;
        }
    }

    /// Returns the room for the numbers of the next up to 16 pages of a registered buffer. Each page of a
    /// page list begins a block of its own.
    #[inline(always)]
    pub fn next_block(&mut self, id: BufferId) -> Option<&mut [u32; BLOCK]> {
        let record = &mut self.records[usize::from(id)];
        record.last_block = self.blocks.take(record.last_block);
        if record.first_block == NO_BLOCK {
            record.first_block = record.last_block;
        }
        self.blocks.pages.get_mut(record.last_block as usize)
    }

    /// Returns page number `n` of a registered buffer, if it is not too far in.
    #[inline]
    pub fn page(&self, id: BufferId, n: u64) -> Option<u32> {
        let record = self.get(id);
        if n >= u64::from(record.pages) {
            return None;
        }
        let n = n as usize;
        // Nearly all messages are in buffers of few pages.
        let (block, entry) = match n < BLOCK {
            true => (record.first_block, n),
            false => self.block_behind(record.first_block, n)?,
        };
        Some(self.blocks.pages.get(block as usize)?[entry % BLOCK])
    }

    /// Returns the block that page number `n` is in, and where in it.
    #[cold]
    #[inline(never)]
    fn block_behind(&self, first: u32, n: usize) -> Option<(u32, usize)> {
        let (list, entry) = (n / LIST_ENTRIES, n % LIST_ENTRIES);
        let passed = list * LIST_BLOCKS + entry / BLOCK;
        if passed > MAX_BLOCKS {
            return None;
        }
        let mut block = first;
        for _ in 0..passed {
            block = *self.blocks.next.get(block as usize)?;
        }
        Some((block, entry))
    }
}

/// Blocks of page numbers, chained per buffer. The quotas of buffers and pages bound them
/// together, so [`Blocks::take`] never runs dry.
struct Blocks {
    pages: Box<[[u32; BLOCK]]>,
    next: Box<[u32]>,
    free: u32,
    /// Blocks from here on were never used.
    fresh: u32,
}

impl Blocks {
    fn new(count: usize) -> Self {
        Self {
            pages: vec![[0; BLOCK]; count].into(),
            next: vec![NO_BLOCK; count].into(),
            free: NO_BLOCK,
            fresh: 0,
        }
    }

    fn clear(&mut self) {
        self.free = NO_BLOCK;
        self.fresh = 0;
    }

    /// Returns a block, linked behind `last`.
    fn take(&mut self, last: u32) -> u32 {
        let block = if let Some(next) = self.next.get(self.free as usize) {
            core::mem::replace(&mut self.free, *next)
        } else {
            self.fresh += 1;
            self.fresh - 1
        };
        // Nobody follows the link of a chain's last block.
        if let Some(next) = self.next.get_mut(last as usize) {
            *next = block;
        }
        block
    }

    /// Frees a whole chain at once.
    fn give_back(&mut self, first: u32, last: u32) {
        if let Some(next) = self.next.get_mut(last as usize) {
            *next = self.free;
            self.free = first;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn small() -> Buffers {
        Buffers::new(&Limits {
            calls: 1,
            buffers: 4,
            pages: 64,
            list_frames: 1,
            sessions: 1,
        })
    }

    #[test]
    fn records_are_found_until_removed() {
        let mut buffers = small();
        let ids: Vec<_> = [0x10, 0x20, 0x30, 0x40]
            .iter()
            .map(|&c| buffers.insert(c, 4096, 0, 1, Kind::Registered).unwrap())
            .collect();
        assert_eq!(
            buffers.insert(0x50, 1, 0, 1, Kind::Registered),
            Err(TeeResult::OUT_OF_MEMORY)
        );
        assert_eq!(
            buffers.insert(0x20, 1, 0, 1, Kind::Payload),
            Err(TeeResult::BAD_PARAMETERS)
        );
        for (n, &id) in ids.iter().enumerate() {
            assert_eq!(buffers.find(0x10 * (n as u64 + 1)), Some(id));
        }
        buffers.remove(ids[2]);
        assert_eq!(buffers.find(0x30), None);
        assert_eq!(buffers.find(0x40), Some(ids[3]));
        assert_eq!((buffers.live(), buffers.pages()), (3, 3));
    }

    /// Notes `pages` page numbers from `from` on, as a list is walked.
    fn fill(buffers: &mut Buffers, id: BufferId, from: u32, pages: u32) {
        let all: Vec<u32> = (from..from + pages).collect();
        for block in all.chunks(LIST_ENTRIES).flat_map(|list| list.chunks(BLOCK)) {
            let room = buffers.next_block(id).expect("a block");
            room[..block.len()].copy_from_slice(block);
        }
    }

    #[test]
    fn h32_a_look_up_of_a_page_takes_a_bounded_number_of_steps() {
        let limits = Limits {
            buffers: 1,
            pages: 20_000,
            ..Limits::default()
        };
        let mut buffers = Buffers::new(&limits);
        let id = buffers.insert(1, 0, 0, 20_000, Kind::Registered).unwrap();
        fill(&mut buffers, id, 7, 20_000);
        let last = (MAX_BLOCKS / LIST_BLOCKS * LIST_ENTRIES + BLOCK - 1) as u32;
        assert_eq!(buffers.page(id, last.into()), Some(7 + last));
        assert_eq!(buffers.page(id, u64::from(last) + 1), None);
    }

    #[test]
    fn each_block_is_used() {
        let mut blocks = Blocks::new(2);
        let first = blocks.take(NO_BLOCK);
        let second = blocks.take(first);
        assert_eq!((first, second), (0, 1));
        assert_eq!(*blocks.next, [second, NO_BLOCK]);
        // A guest's next start has all of them again.
        blocks.clear();
        assert_eq!(blocks.take(NO_BLOCK), 0);
    }

    #[test]
    fn what_is_allocated_is_counted() {
        for (buffers, pages) in [(1, 1), (3, 511), (1_100, 32_768), (32_768, 2 << 20)] {
            let limits = Limits {
                buffers,
                pages,
                ..Limits::default()
            };
            let made = Buffers::new(&limits);
            let sizes = [
                size_of_val(&*made.records),
                size_of_val(&*made.buckets),
                size_of_val(&*made.blocks.pages),
                size_of_val(&*made.blocks.next),
            ];
            assert_eq!(Buffers::heap_blocks(&limits), sizes);
        }
    }

    /// No more, or guests would be refused that there is room for.
    #[test]
    fn blocks_are_for_full_list_pages_and_the_rest_of_each_buffer() {
        for (buffers, pages, expected) in [(1, 510, 33), (4, 511, 68), (8, 1022, 104)] {
            let limits = Limits {
                buffers,
                pages,
                ..Limits::default()
            };
            assert_eq!(
                blocks(&limits),
                expected,
                "{buffers} buffers, {pages} pages"
            );
        }
    }

    #[test]
    fn a_search_looks_at_some_records_at_a_time() {
        let limits = Limits {
            buffers: 1_100,
            pages: 1_100,
            ..Limits::default()
        };
        let mut buffers = Buffers::new(&limits);
        let search = |buffers: &Buffers, from| buffers.search(Kind::Registered, from);
        assert_eq!(search(&buffers, 0), Search::Nothing);
        let ids: Vec<_> = (1..=1_100)
            .map(|cookie| buffers.insert(cookie, 1, 0, 1, Kind::Payload).unwrap())
            .collect();
        buffers.set_kind(ids[600], Kind::Registered);
        assert_eq!(search(&buffers, 0), Search::NotYet(SEARCHED));
        assert_eq!(search(&buffers, SEARCHED), Search::Found(601, ids[600]));
        buffers.remove(ids[600]);
        assert_eq!(search(&buffers, ids[600]), Search::Nothing);
        buffers.clear();
        assert_eq!(search(&buffers, 0), Search::Nothing);
        let again = (1..=1_100).map(|cookie| buffers.insert(cookie, 1, 0, 1, Kind::Payload));
        assert!(again.into_iter().all(|made| made.is_ok()));
    }

    /// Returns the inverse of an odd number modulo 2^64, by Newton's iteration.
    fn inverse(number: u64) -> u64 {
        (0..6).fold(number, |x: u64, _| {
            x.wrapping_mul(2_u64.wrapping_sub(number.wrapping_mul(x)))
        })
    }

    #[test]
    fn h32_a_look_up_takes_a_bounded_number_of_steps() {
        let limits = Limits {
            buffers: 1_100,
            pages: 2_000,
            ..Limits::default()
        };
        let mut buffers = Buffers::new(&limits);
        // The hash of these is their low bits times 2^48: all share a bucket.
        let cookies: Vec<u64> = (1..=1_100)
            .map(|n| inverse(HASH).wrapping_mul(n << 32))
            .collect();
        let taken = cookies
            .iter()
            .filter(|&&cookie| buffers.insert(cookie, 1, 0, 1, Kind::Registered).is_ok());
        assert_eq!(taken.count(), MAX_CHAIN);
        let longest = cookies
            .iter()
            .map(|&cookie| buffers.chain(buffers.bucket(cookie)).count());
        assert_eq!(longest.max(), Some(MAX_CHAIN));
        // One that goes makes room for another.
        let id = buffers.find(cookies[3]).unwrap();
        buffers.remove(id);
        assert!(
            buffers
                .insert(cookies[20], 1, 0, 1, Kind::Registered)
                .is_ok()
        );
        assert!(
            buffers
                .insert(cookies[21], 1, 0, 1, Kind::Registered)
                .is_err()
        );
    }

    #[test]
    fn cookies_of_an_honest_kernel_fill_the_quota() {
        let limits = Limits {
            buffers: 32_768,
            pages: 32_768,
            ..Limits::default()
        };
        for stride in [8, 64, 96, 128, 192, 256, 1024, 4096, 65_536, 1 << 20] {
            let mut buffers = Buffers::new(&limits);
            for n in 0..32_768 {
                let cookie = 0xffff_0000_1234_5680 + n * stride;
                let made = buffers.insert(cookie, 1, 0, 1, Kind::Registered);
                assert!(made.is_ok(), "buffer {n} at stride {stride}");
            }
        }
    }

    #[test]
    fn blocks_are_used_again_and_never_run_dry() {
        let limits = Limits {
            calls: 1,
            buffers: 4,
            pages: 4000,
            list_frames: 1,
            sessions: 1,
        };
        let mut buffers = Buffers::new(&limits);
        for sizes in [
            [1000; 4],
            [1, 1, 1, 3997],
            [511, 512, 513, 2464],
            [1022, 17, 2944, 17],
        ] {
            for round in 0..3 {
                let made: Vec<_> = (1..)
                    .zip(sizes)
                    .map(|(cookie, pages)| {
                        let id = buffers
                            .insert(cookie, 0, 0, pages, Kind::Registered)
                            .unwrap();
                        fill(&mut buffers, id, round * 10_000, pages);
                        (id, pages)
                    })
                    .collect();
                for (id, pages) in made {
                    let page = |n: u32| buffers.page(id, n.into());
                    assert!((0..pages).all(|n| page(n) == Some(round * 10_000 + n)));
                    assert_eq!(page(pages), None);
                    buffers.remove(id);
                }
            }
        }
        assert!(buffers.blocks.fresh as usize <= blocks(&limits));
    }

    use std::vec::Vec;
    extern crate std;
}
