//! Memory: what the guest sees, and what it shares with OP-TEE unseen.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;

use addr::{Ipa, PAGE_SIZE, Pa};
use mediator::{Frames, Memory, NotRam};

use crate::{POOL_PA, RAM_IPA, RAM_PA, is_host};

/// Words in a page.
const WORDS: usize = 512;

/// RAM of one guest. Page n lies at page n of the host range with every two pages swapped, so
/// that neighbours for the guest are not neighbours for the host.
pub struct Ram {
    words: Vec<Cell<u64>>,
    /// Words that change as soon as the mediator has read them: the other vCPU's doing.
    races: RefCell<HashMap<u64, u64>>,
    /// Pages that are gone.
    gone: RefCell<Vec<u64>>,
    /// How often each word was read since [`Ram::forget_reads`].
    reads: Vec<Cell<u32>>,
    /// The mediator wrote a host address here.
    leak: Cell<Option<(u64, u64)>>,
}

impl Ram {
    /// `pages` pages of zeroes; an even number.
    pub fn new(pages: usize) -> Self {
        Self {
            words: vec![Cell::new(0); pages * WORDS],
            races: RefCell::default(),
            gone: RefCell::default(),
            reads: vec![Cell::new(0); pages * WORDS],
            leak: Cell::new(None),
        }
    }

    /// Number of pages.
    pub fn pages(&self) -> u64 {
        (self.words.len() / WORDS) as u64
    }

    /// Address of page `n` for the guest.
    pub fn page(&self, n: u64) -> u64 {
        RAM_IPA + n * PAGE_SIZE
    }

    fn cells(&self, from: u64, len: usize) -> Option<&[Cell<u64>]> {
        let start = from.checked_sub(RAM_IPA)? / 8;
        let start = usize::try_from(start).ok()?;
        self.words.get(start..start.checked_add(len)?)
    }

    /// What the guest reads at `at`.
    pub fn get(&self, at: u64) -> u64 {
        self.cells(at, 1).map_or(0, |cells| cells[0].get())
    }

    /// The guest writes words; those outside RAM are lost.
    pub fn put(&self, at: u64, words: &[u64]) {
        for (n, &word) in words.iter().enumerate() {
            if let Some(cells) = self.cells(at + n as u64 * 8, 1) {
                cells[0].set(word);
            }
        }
    }

    /// The word at `at` becomes `value` right after the mediator's next read of it.
    pub fn race(&self, at: u64, value: u64) {
        self.races.borrow_mut().insert(at, value);
    }

    /// The page that holds `at` is gone for the mediator.
    pub fn vanish(&self, at: u64) {
        self.gone.borrow_mut().push(at / PAGE_SIZE);
    }

    /// All pages are there again.
    pub fn restore(&self) {
        self.gone.borrow_mut().clear();
    }

    fn is_gone(&self, at: u64, len: usize) -> bool {
        let end = at + (len as u64 * 8).saturating_sub(1);
        let gone = self.gone.borrow();
        gone.iter()
            .any(|&page| (at / PAGE_SIZE..=end / PAGE_SIZE).contains(&page))
    }

    /// Counts reads from zero again.
    pub fn forget_reads(&self) {
        self.reads.iter().for_each(|count| count.set(0));
    }

    /// How often the mediator read the word at `at`.
    pub fn reads(&self, at: u64) -> u32 {
        self.reads[((at - RAM_IPA) / 8) as usize].get()
    }

    /// Words read since [`Ram::forget_reads`], with repetition.
    pub fn all_reads(&self) -> u32 {
        self.reads.iter().map(Cell::get).sum()
    }

    /// The mediator wrote this host address to this address of the guest.
    pub fn leak(&self) -> Option<(u64, u64)> {
        self.leak.get()
    }

    /// The guest's page that lies at `pa`.
    pub fn owner(&self, pa: u64) -> Option<u64> {
        let n = (pa.checked_sub(RAM_PA)? / PAGE_SIZE) ^ 1;
        (n < self.pages()).then(|| self.page(n))
    }
}

impl Memory for Ram {
    fn read(&self, from: Ipa, words: &mut [u64]) -> Result<(), NotRam> {
        assert_eq!(from.0 % 8, 0, "a read of {from}");
        let cells = self.cells(from.0, words.len()).ok_or(NotRam)?;
        if self.is_gone(from.0, words.len()) {
            return Err(NotRam);
        }
        for (n, (word, cell)) in words.iter_mut().zip(cells).enumerate() {
            let at = from.0 + n as u64 * 8;
            *word = cell.get();
            let count = &self.reads[((at - RAM_IPA) / 8) as usize];
            count.set(count.get() + 1);
            if let Some(value) = self.races.borrow_mut().remove(&at) {
                cell.set(value);
            }
        }
        Ok(())
    }

    fn write(&self, to: Ipa, words: &[u64]) -> Result<(), NotRam> {
        assert_eq!(to.0 % 8, 0, "a write to {to}");
        let cells = self.cells(to.0, words.len()).ok_or(NotRam)?;
        if self.is_gone(to.0, words.len()) {
            return Err(NotRam);
        }
        for (n, (&word, cell)) in words.iter().zip(cells).enumerate() {
            cell.set(word);
            if is_host(word) {
                self.leak.set(Some((to.0 + n as u64 * 8, word)));
            }
        }
        Ok(())
    }

    fn translate(&self, page: Ipa) -> Option<Pa> {
        let n = page.0.checked_sub(RAM_IPA)? / PAGE_SIZE;
        let here = n < self.pages() && !self.is_gone(page.0, 1);
        here.then(|| Pa(RAM_PA + (n ^ 1) * PAGE_SIZE))
    }
}

/// Shadow pages of one guest.
pub struct Pool(Vec<[u64; WORDS]>);

impl Pool {
    /// `frames` pages of a pattern that is neither zero nor an address.
    pub fn new(frames: usize) -> Self {
        Self(vec![[0x5757_5757_5757_5757; WORDS]; frames])
    }

    fn frame(&self, pa: u64) -> Option<usize> {
        let n = (pa.checked_sub(POOL_PA)? / PAGE_SIZE) as usize;
        (n < self.0.len()).then_some(n)
    }

    /// What OP-TEE reads at `pa`; `None` outside the shadow pages.
    pub fn peek(&self, pa: u64) -> Option<u64> {
        Some(self.0[self.frame(pa)?][(pa % PAGE_SIZE / 8) as usize])
    }

    /// OP-TEE writes at `pa`.
    pub fn poke(&mut self, pa: u64, word: u64) {
        if let Some(frame) = self.frame(pa) {
            self.0[frame][(pa % PAGE_SIZE / 8) as usize] = word;
        }
    }
}

impl Frames for Pool {
    fn pa(&self, frame: usize) -> Pa {
        assert!(frame < self.0.len(), "frame {frame} is not in the pool");
        Pa(POOL_PA + frame as u64 * PAGE_SIZE)
    }

    fn read(&self, frame: usize, word: usize, words: &mut [u64]) {
        words.copy_from_slice(&self.0[frame][word..word + words.len()]);
    }

    fn write(&mut self, frame: usize, word: usize, words: &[u64]) {
        self.0[frame][word..word + words.len()].copy_from_slice(words);
    }
}
