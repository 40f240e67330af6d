// SPDX-License-Identifier: MIT OR Apache-2.0

//! Memory: what the guest sees, and what it shares with OP-TEE unseen.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::ops::Range;

use addr::{Ipa, PAGE_SIZE, Pa};
use mediator::{Memory, NotRam, Run, ShadowPages};

use crate::{RAM_IPA, is_host, pool_pa, ram_pa};

/// Words in a page.
const WORDS: usize = 512;

/// RAM of one guest. Page n lies at page n of the host range with every two pages swapped, so
/// that neighbours for the guest are not neighbours for the host.
pub struct Ram {
    words: RefCell<Vec<u64>>,
    pages: u64,
    /// Words that change as soon as the mediator has read them: the other vCPU's doing.
    races: RefCell<BTreeMap<u64, u64>>,
    /// Pages that are gone.
    gone: RefCell<Vec<u64>>,
    /// What was read since [`Ram::forget_reads`]: address and bytes.
    reads: RefCell<Vec<(u64, u64)>>,
    /// The mediator wrote a host address here.
    leak: Cell<Option<(u64, u64)>>,
    /// Where page 0 lies in the host.
    base: u64,
    /// Words read and written and pages translated since [`Ram::begin_step`].
    work: Cell<u32>,
    /// What was written since then: address and bytes.
    writes: RefCell<Vec<(u64, u64)>>,
}

impl Ram {
    /// `pages` pages of zeroes, an even number, for this client of OP-TEE.
    pub fn new(pages: usize, client: u32) -> Self {
        Self {
            base: ram_pa(client),
            work: Cell::new(0),
            writes: RefCell::default(),
            words: RefCell::new(vec![0; pages * WORDS]),
            pages: pages as u64,
            races: RefCell::default(),
            gone: RefCell::default(),
            reads: RefCell::default(),
            leak: Cell::new(None),
        }
    }

    /// Returns the number of pages.
    pub fn pages(&self) -> u64 {
        self.pages
    }

    /// Address of page `n` for the guest.
    pub fn page(&self, n: u64) -> u64 {
        RAM_IPA + n * PAGE_SIZE
    }

    /// Returns the words from `from` on as indexes, if all of them are inside.
    fn place(&self, from: u64, len: usize) -> Option<Range<usize>> {
        let start = usize::try_from(from.checked_sub(RAM_IPA)? / 8).ok()?;
        let end = start.checked_add(len)?;
        (end <= self.pages as usize * WORDS).then_some(start..end)
    }

    /// Returns what the guest reads at `at`.
    pub fn get(&self, at: u64) -> u64 {
        let place = self.place(at, 1);
        place.map_or(0, |place| self.words.borrow()[place.start])
    }

    /// Writes the guest's words; those outside RAM are lost.
    pub fn put(&self, at: u64, words: &[u64]) {
        let room = (self.pages * PAGE_SIZE).saturating_sub(at.wrapping_sub(RAM_IPA)) / 8;
        let inside = &words[..words.len().min(room as usize)];
        if let Some(place) = self.place(at, inside.len()) {
            self.words.borrow_mut()[place].copy_from_slice(inside);
        }
    }

    /// The word at `at` becomes `value` right after the mediator's next read of it.
    pub fn race(&self, at: u64, value: u64) {
        self.races.borrow_mut().insert(at, value);
    }

    /// Takes the page that holds `at` away from the mediator.
    pub fn vanish(&self, at: u64) {
        self.gone.borrow_mut().push(at / PAGE_SIZE);
    }

    /// Brings all pages back.
    pub fn restore(&self) {
        self.gone.borrow_mut().clear();
    }

    /// The guest leaves its memory alone, and all of it is there.
    pub fn settle(&self) {
        self.races.borrow_mut().clear();
        self.restore();
    }

    fn is_gone(&self, at: u64, len: usize) -> bool {
        let end = at + (len as u64 * 8).saturating_sub(1);
        let gone = self.gone.borrow();
        gone.iter()
            .any(|&page| (at / PAGE_SIZE..=end / PAGE_SIZE).contains(&page))
    }

    /// Counts reads from zero again.
    pub fn forget_reads(&self) {
        self.reads.borrow_mut().clear();
    }

    /// Returns how often the mediator read the word at `at`.
    pub fn reads(&self, at: u64) -> usize {
        let reads = self.reads.borrow();
        let holds = |&&(from, len): &&(u64, u64)| (from..from + len).contains(&at);
        reads.iter().filter(holds).count()
    }

    /// Words read since [`Ram::forget_reads`], with repetition.
    pub fn all_reads(&self) -> u64 {
        self.reads.borrow().iter().map(|(_, len)| len / 8).sum()
    }

    /// Forgets what the steps before have read and written.
    pub fn begin_step(&self) {
        self.work.set(0);
        self.writes.borrow_mut().clear();
    }

    /// Words read and written and pages translated in this step.
    pub fn work(&self) -> u32 {
        self.work.get()
    }

    /// Returns the first write of this step that is not `allowed`: its address and its bytes.
    pub fn stray_write(&self, allowed: impl Fn(u64, u64) -> bool) -> Option<(u64, u64)> {
        let writes = self.writes.borrow();
        writes.iter().copied().find(|&(at, len)| !allowed(at, len))
    }

    /// Returns the mediator wrote this host address to this address of the guest.
    pub fn leak(&self) -> Option<(u64, u64)> {
        self.leak.get()
    }

    /// Returns the guest's page that lies at `pa`.
    pub fn owner(&self, pa: u64) -> Option<u64> {
        let n = (pa.checked_sub(self.base)? / PAGE_SIZE) ^ 1;
        (n < self.pages()).then(|| self.page(n))
    }
}

impl Memory for Ram {
    fn read(&self, from: Ipa, words: &mut [u64]) -> Result<(), NotRam> {
        assert_eq!(from.0 % 8, 0, "a read of {from}");
        add(&self.work, words.len());
        let place = self.place(from.0, words.len()).ok_or(NotRam)?;
        if self.is_gone(from.0, words.len()) {
            return Err(NotRam);
        }
        words.copy_from_slice(&self.words.borrow()[place]);
        let len = words.len() as u64 * 8;
        self.reads.borrow_mut().push((from.0, len));
        self.races.borrow_mut().retain(|&at, &mut value| {
            let here = (from.0..from.0 + len).contains(&at);
            if here {
                self.put(at, &[value]);
            }
            !here
        });
        Ok(())
    }

    fn write(&self, to: Ipa, words: &[u64]) -> Result<(), NotRam> {
        assert_eq!(to.0 % 8, 0, "a write to {to}");
        add(&self.work, words.len());
        let written = (to.0, words.len() as u64 * 8);
        self.writes.borrow_mut().push(written);
        let place = self.place(to.0, words.len()).ok_or(NotRam)?;
        if self.is_gone(to.0, words.len()) {
            return Err(NotRam);
        }
        self.words.borrow_mut()[place].copy_from_slice(words);
        if let Some(n) = words.iter().position(|&word| is_host(word)) {
            self.leak.set(Some((to.0 + n as u64 * 8, words[n])));
        }
        Ok(())
    }

    fn run(&self, at: Ipa) -> Option<Run> {
        add(&self.work, 1);
        let n = at.0.checked_sub(RAM_IPA)? / PAGE_SIZE;
        let here = n < self.pages() && !self.is_gone(at.0, 1);
        here.then(|| Run {
            start: at.page(),
            pa: Pa(self.base + (n ^ 1) * PAGE_SIZE),
            size: PAGE_SIZE,
        })
    }
}

fn add(work: &Cell<u32>, words: usize) {
    work.set(work.get() + words as u32);
}

/// Shadow pages of one guest.
pub struct Pool {
    frames: Vec<[u64; WORDS]>,
    /// Where frame 0 lies in the host.
    base: u64,
    /// Words that the mediator has read and written since [`Pool::begin_step`].
    work: Cell<u32>,
}

impl Pool {
    /// `frames` pages of a pattern that is neither zero nor an address, for this client of OP-TEE.
    pub fn new(frames: usize, client: u32) -> Self {
        Self {
            frames: vec![[0x5757_5757_5757_5757; WORDS]; frames],
            base: pool_pa(client),
            work: Cell::new(0),
        }
    }

    fn frame(&self, pa: u64) -> Option<usize> {
        let n = (pa.checked_sub(self.base)? / PAGE_SIZE) as usize;
        (n < self.frames.len()).then_some(n)
    }

    /// Returns what OP-TEE reads at `pa`; `None` outside the shadow pages.
    pub fn peek(&self, pa: u64) -> Option<u64> {
        Some(self.frames[self.frame(pa)?][(pa % PAGE_SIZE / 8) as usize])
    }

    /// Writes at `pa` as OP-TEE.
    pub fn poke(&mut self, pa: u64, word: u64) {
        if let Some(frame) = self.frame(pa) {
            self.frames[frame][(pa % PAGE_SIZE / 8) as usize] = word;
        }
    }

    /// Forgets what the steps before have read and written.
    pub fn begin_step(&self) {
        self.work.set(0);
    }

    /// Words that the mediator has read and written in this step.
    pub fn work(&self) -> u32 {
        self.work.get()
    }
}

impl ShadowPages for Pool {
    fn pa(&self, frame: usize) -> Pa {
        assert!(frame < self.frames.len(), "no frame {frame} in the pool");
        Pa(self.base + frame as u64 * PAGE_SIZE)
    }

    fn read(&self, frame: usize, word: usize, words: &mut [u64]) {
        add(&self.work, words.len());
        words.copy_from_slice(&self.frames[frame][word..word + words.len()]);
    }

    fn write(&mut self, frame: usize, word: usize, words: &[u64]) {
        add(&self.work, words.len());
        self.frames[frame][word..word + words.len()].copy_from_slice(words);
    }
}
