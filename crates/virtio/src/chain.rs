// SPDX-License-Identifier: MIT OR Apache-2.0

//! Buffers: chains of descriptors (2.7.5), and the bytes in them.

use addr::Ipa;

use crate::memory::{Memory, NotRam};
use crate::queue::Fault;

/// Most pieces of a chain. Linux makes at most 19 for a frame (17 fragments, the head, the header), FreeBSD 32.
pub const MAX_SEGMENTS: usize = 32;

/// Flag of a descriptor: another one follows.
const NEXT: u16 = 1 << 0;
/// Flag of a descriptor: the device writes.
const WRITE: u16 = 1 << 1;
/// Flag of a descriptor: a table of descriptors, which we don't offer.
const INDIRECT: u16 = 1 << 2;

/// A piece of a buffer, all of it RAM.
#[derive(Clone, Copy, Debug)]
struct Segment {
    at: Ipa,
    len: u32,
}

/// A buffer, as its descriptors were when they were read. Kept between buffers, so that nobody need clear it.
#[derive(Clone, Debug)]
pub struct Chain {
    segments: [Segment; MAX_SEGMENTS],
    len: usize,
    /// How many of them are for reading; those for writing follow.
    readable: usize,
    read_bytes: u64,
    written_bytes: u64,
    head: u16,
    is_cut: bool,
}

impl Default for Chain {
    fn default() -> Self {
        Self::new()
    }
}

impl Chain {
    /// Makes an empty one.
    pub const fn new() -> Self {
        let none = Segment { at: Ipa(0), len: 0 };
        Self {
            segments: [none; MAX_SEGMENTS],
            len: 0,
            readable: 0,
            read_bytes: 0,
            written_bytes: 0,
            head: 0,
            is_cut: false,
        }
    }

    /// Returns the number by which the driver knows it.
    pub(crate) fn head(&self) -> u16 {
        self.head
    }

    /// Returns the bytes that the device may read.
    pub fn readable(&self) -> u64 {
        self.read_bytes
    }

    /// Returns the bytes that the device may write.
    pub fn writable(&self) -> u64 {
        self.written_bytes
    }

    /// Tells whether it has more than [`MAX_SEGMENTS`] descriptors: those behind are not here.
    pub fn is_cut(&self) -> bool {
        self.is_cut
    }

    /// Returns the bytes to read, from the first on.
    pub fn reader(&self) -> Cursor<'_> {
        Cursor::new(&self.segments[..self.readable])
    }

    /// Returns the bytes to write, from the first on.
    pub fn writer(&self) -> Cursor<'_> {
        Cursor::new(&self.segments[self.readable..self.len])
    }

    /// Reads the descriptors from `head` on in a table of `size`, each once, until they have `enough` bytes.
    pub(crate) fn walk<M: Memory>(
        &mut self,
        memory: &M,
        (table, size): (Ipa, u16),
        head: u16,
        enough: u64,
    ) -> Result<(), Fault> {
        self.clear(head);
        let mut index = head;
        for step in 1..=size {
            if index >= size {
                return Err(Fault::Index);
            }
            let [at, rest] = memory.read_words(Ipa(table.0.wrapping_add(u64::from(index) * 16)))?;
            let (len, flags) = (rest as u32, (rest >> 32) as u16);
            self.push(memory, Segment { at: Ipa(at), len }, flags)?;
            if flags & NEXT == 0 || self.read_bytes + self.written_bytes >= enough {
                return Ok(());
            }
            if usize::from(step) == MAX_SEGMENTS {
                self.is_cut = true;
                return Ok(());
            }
            index = (rest >> 48) as u16;
        }
        // As many as there are, and still one more.
        Err(Fault::Loop)
    }

    fn clear(&mut self, head: u16) {
        self.len = 0;
        self.readable = 0;
        self.read_bytes = 0;
        self.written_bytes = 0;
        self.head = head;
        self.is_cut = false;
    }

    fn push<M: Memory>(&mut self, memory: &M, segment: Segment, flags: u16) -> Result<(), Fault> {
        let bytes = u64::from(segment.len);
        let is_written = flags & WRITE != 0;
        if flags & INDIRECT != 0 {
            return Err(Fault::Indirect);
        }
        // What is to be read comes first (2.7.4.2).
        if !is_written && self.readable < self.len {
            return Err(Fault::Direction);
        }
        if segment.len == 0 {
            return Ok(());
        }
        if !memory.is_ram(segment.at, bytes) {
            return Err(Fault::NotRam);
        }
        self.segments[self.len] = segment;
        self.len += 1;
        match is_written {
            true => self.written_bytes += bytes,
            false => {
                self.readable += 1;
                self.read_bytes += bytes;
            }
        }
        Ok(())
    }
}

/// A place among the bytes of a buffer. What is asked for behind its end is [`NotRam`].
#[derive(Clone, Debug)]
pub struct Cursor<'a> {
    segments: &'a [Segment],
    /// Bytes of the first of them that are behind us.
    done: u32,
}

impl<'a> Cursor<'a> {
    fn new(segments: &'a [Segment]) -> Self {
        Self { segments, done: 0 }
    }

    /// Returns the piece at hand, `most` bytes of it at most, and goes on behind it.
    fn piece(&mut self, most: u32) -> Result<Segment, NotRam> {
        let (first, rest) = self.segments.split_first().ok_or(NotRam)?;
        let left = first.len - self.done;
        let at = Ipa(first.at.0.wrapping_add(u64::from(self.done)));
        let len = left.min(most);
        if len == left {
            self.segments = rest;
            self.done = 0;
        } else {
            self.done += len;
        }
        Ok(Segment { at, len })
    }

    /// Returns how many bytes there are at hand in one piece.
    fn at_hand(&self) -> u32 {
        self.segments
            .first()
            .map_or(0, |first| first.len - self.done)
    }

    /// Goes on behind so many bytes.
    ///
    /// # Errors
    /// [`NotRam`] if there are fewer.
    #[inline]
    pub fn skip(&mut self, bytes: u32) -> Result<(), NotRam> {
        // As it is nearly always.
        if bytes < self.at_hand() {
            self.done += bytes;
            return Ok(());
        }
        self.skip_pieces(bytes)
    }

    fn skip_pieces(&mut self, bytes: u32) -> Result<(), NotRam> {
        let mut left = bytes;
        while left > 0 {
            left -= self.piece(left)?.len;
        }
        Ok(())
    }

    /// Reads bytes, each once, and goes on behind them.
    ///
    /// # Errors
    /// [`NotRam`] if there are fewer.
    pub fn read<M: Memory>(&mut self, memory: &M, mut bytes: &mut [u8]) -> Result<(), NotRam> {
        while !bytes.is_empty() {
            let piece = self.piece(u32::try_from(bytes.len()).unwrap_or(u32::MAX))?;
            let (here, rest) = bytes.split_at_mut(piece.len as usize);
            memory.read(piece.at, here)?;
            bytes = rest;
        }
        Ok(())
    }

    /// Writes bytes and goes on behind them.
    ///
    /// # Errors
    /// [`NotRam`] if there is less room.
    pub fn write<M: Memory>(&mut self, memory: &M, mut bytes: &[u8]) -> Result<(), NotRam> {
        while !bytes.is_empty() {
            let piece = self.piece(u32::try_from(bytes.len()).unwrap_or(u32::MAX))?;
            let (here, rest) = bytes.split_at(piece.len as usize);
            memory.write(piece.at, here)?;
            bytes = rest;
        }
        Ok(())
    }

    /// Copies so many bytes to another guest's buffer, and goes on behind them in both.
    ///
    /// # Errors
    /// [`NotRam`] if either has fewer.
    pub fn copy<M: Memory>(
        &mut self,
        memory: &M,
        (to, to_memory): (&mut Cursor<'_>, &M),
        bytes: u32,
    ) -> Result<(), NotRam> {
        let mut left = bytes;
        while left > 0 {
            let from = self.piece(left.min(to.at_hand()))?;
            // Nothing at hand on the other side.
            let into = to.piece(from.len)?;
            memory.copy(from.at, to_memory, into.at, from.len)?;
            left -= from.len;
        }
        Ok(())
    }
}
