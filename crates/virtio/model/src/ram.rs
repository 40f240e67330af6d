// SPDX-License-Identifier: MIT OR Apache-2.0

//! RAM of a guest.

use std::cell::{Cell, RefCell};
use std::ops::Range;

use addr::Ipa;
use virtio::{Memory, NotRam};

/// Where the guest thinks its RAM starts.
pub const BASE: u64 = 0x4000_0000;

/// What becomes of RAM right after the device has read it: the other vCPU's doing.
struct Race {
    at: u64,
    bytes: Vec<u8>,
}

/// A range that the device may read, and whether it may write it.
type Grant = (Range<u64>, bool);

/// RAM of one guest.
pub struct Ram {
    bytes: RefCell<Vec<u8>>,
    races: RefCell<Vec<Race>>,
    /// What the device may touch, if the guest minds.
    grants: RefCell<Option<Vec<Grant>>>,
    /// What the device has read, by first byte and length, since [`Ram::forget`].
    reads: RefCell<Vec<(u64, u64)>>,
    /// Accesses since [`Ram::begin`], and bytes that were copied.
    accesses: Cell<u64>,
    copied: Cell<u64>,
}

impl Ram {
    /// Makes so many bytes of zeros.
    pub fn new(size: usize) -> Self {
        Self {
            bytes: RefCell::new(vec![0; size]),
            races: RefCell::default(),
            grants: RefCell::default(),
            reads: RefCell::default(),
            accesses: Cell::new(0),
            copied: Cell::new(0),
        }
    }

    /// Returns how many bytes it has.
    pub fn size(&self) -> u64 {
        self.bytes.borrow().len() as u64
    }

    fn place(&self, at: u64, len: u64) -> Option<Range<usize>> {
        let start = at.checked_sub(BASE)?;
        let end = start.checked_add(len)?;
        (end <= self.size()).then_some(start as usize..end as usize)
    }

    /// Returns what the guest reads.
    pub fn get<const N: usize>(&self, at: u64) -> [u8; N] {
        self.bytes_at(at, N).try_into().expect("as many")
    }

    /// Returns so many bytes that the guest reads, which are there.
    pub fn bytes_at(&self, at: u64, len: usize) -> Vec<u8> {
        let place = self.place(at, len as u64).expect("the guest's RAM");
        self.bytes.borrow()[place].to_vec()
    }

    /// Writes as the guest. What is outside is lost.
    pub fn put(&self, at: u64, bytes: &[u8]) {
        if let Some(place) = self.place(at, bytes.len() as u64) {
            self.bytes.borrow_mut()[place].copy_from_slice(bytes);
        }
    }

    /// Writes `bytes` as the guest right after the device has next read something there.
    pub fn race(&self, at: u64, bytes: &[u8]) {
        let bytes = bytes.to_vec();
        self.races.borrow_mut().push(Race { at, bytes });
    }

    /// Lets the guest leave its RAM alone.
    pub fn settle(&self) {
        self.races.borrow_mut().clear();
    }

    /// Minds from now on what the device touches: nothing yet.
    pub fn guard(&self) {
        *self.grants.borrow_mut() = Some(Vec::new());
    }

    /// Lets the device read a range, and write it if `write`.
    pub fn grant(&self, at: u64, len: u64, write: bool) {
        if let Some(grants) = &mut *self.grants.borrow_mut() {
            grants.push((at..at + len, write));
        }
    }

    /// Takes what was granted from `at` on back.
    pub fn revoke(&self, at: u64) {
        if let Some(grants) = &mut *self.grants.borrow_mut() {
            grants.retain(|(range, _)| range.start != at);
        }
    }

    /// Forgets what was read.
    pub fn forget(&self) {
        self.reads.borrow_mut().clear();
    }

    /// Returns how often the device has read the byte at `at`.
    pub fn reads(&self, at: u64) -> usize {
        let reads = self.reads.borrow();
        reads
            .iter()
            .filter(|&&(from, len)| (from..from + len).contains(&at))
            .count()
    }

    /// Begins to count accesses.
    pub fn begin(&self) {
        self.accesses.set(0);
        self.copied.set(0);
    }

    /// Returns how many accesses there were, and how many bytes were copied from here.
    pub fn work(&self) -> (u64, u64) {
        (self.accesses.get(), self.copied.get())
    }

    /// Panics if the device may not touch this.
    fn check(&self, at: u64, len: u64, write: bool) {
        self.accesses.set(self.accesses.get() + 1);
        let grants = self.grants.borrow();
        let Some(grants) = &*grants else { return };
        let held = grants.iter().any(|(range, may_write)| {
            range.start <= at && at + len <= range.end && (*may_write || !write)
        });
        assert!(
            held || len == 0,
            "the device touches {at:#x}+{len:#x}, which it was not given (write: {write})"
        );
    }

    fn fetch(&self, at: Ipa, bytes: &mut [u8]) -> Result<(), NotRam> {
        let len = bytes.len() as u64;
        let place = self.place(at.0, len).ok_or(NotRam)?;
        self.check(at.0, len, false);
        self.reads.borrow_mut().push((at.0, len));
        bytes.copy_from_slice(&self.bytes.borrow()[place]);
        self.run_races(at.0, len);
        Ok(())
    }

    fn run_races(&self, at: u64, len: u64) {
        let hit = |race: &Race| race.at < at + len && at < race.at + race.bytes.len() as u64;
        let (due, later) = self.races.take().into_iter().partition(hit);
        *self.races.borrow_mut() = later;
        for Race { at, bytes } in due {
            self.put(at, &bytes);
        }
    }

    fn set(&self, at: Ipa, bytes: &[u8]) -> Result<(), NotRam> {
        let place = self.place(at.0, bytes.len() as u64).ok_or(NotRam)?;
        self.check(at.0, bytes.len() as u64, true);
        self.bytes.borrow_mut()[place].copy_from_slice(bytes);
        Ok(())
    }
}

impl Memory for Ram {
    fn is_ram(&self, at: Ipa, len: u64) -> bool {
        self.place(at.0, len).is_some()
    }

    fn load(&self, at: Ipa) -> Result<u16, NotRam> {
        assert!(at.is_aligned(2), "{at} is odd");
        let mut bytes = [0; 2];
        self.fetch(at, &mut bytes)?;
        Ok(u16::from_le_bytes(bytes))
    }

    fn store(&self, at: Ipa, value: u16) -> Result<(), NotRam> {
        assert!(at.is_aligned(2), "{at} is odd");
        self.set(at, &value.to_le_bytes())
    }

    fn fence(&self) {}

    fn read_words(&self, from: Ipa) -> Result<[u64; 2], NotRam> {
        assert!(from.is_aligned(16), "{from} is not a descriptor's");
        let mut bytes = [0; 16];
        self.fetch(from, &mut bytes)?;
        let (words, _) = bytes.as_chunks::<8>();
        Ok([u64::from_le_bytes(words[0]), u64::from_le_bytes(words[1])])
    }

    fn write_halves(&self, to: Ipa, [first, second]: [u32; 2]) -> Result<(), NotRam> {
        assert!(to.is_aligned(4), "{to} is not an entry's");
        let word = u64::from(first) | u64::from(second) << 32;
        self.set(to, &word.to_le_bytes())
    }

    fn read(&self, from: Ipa, bytes: &mut [u8]) -> Result<(), NotRam> {
        self.fetch(from, bytes)
    }

    fn write(&self, to: Ipa, bytes: &[u8]) -> Result<(), NotRam> {
        self.set(to, bytes)
    }

    fn copy(&self, from: Ipa, to: &Self, at: Ipa, len: u32) -> Result<(), NotRam> {
        let mut bytes = vec![0; len as usize];
        self.fetch(from, &mut bytes)?;
        self.copied.set(self.copied.get() + u64::from(len));
        to.set(at, &bytes)
    }
}
