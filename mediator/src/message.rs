// SPDX-License-Identifier: MIT OR Apache-2.0

//! Messages as words: `struct optee_msg_arg` and `struct optee_msg_param` of `optee_msg.h`.
//!
//! ```text
//! word 0  cmd        func         word 4n+4  attr
//! word 1  session    cancel_id    word 4n+5  a · buf_ptr · offs
//! word 2  pad        ret          word 4n+6  b · size
//! word 3  ret_origin num_params   word 4n+7  c · shm_ref
//! ```
//! Two fields share a 64-bit word, the first one in its low half.

use addr::{Ipa, PAGE_SIZE};

use crate::abi::{HEADER_WORDS, PARAM_WORDS, attr};
use crate::host::{Memory, NotRam};

/// Most parameters of a message: two META ones of OPEN_SESSION and the four of GlobalPlatform.
/// OP-TEE answers more with BAD_PARAMETERS whatever the command.
pub(crate) const MAX_PARAMS: usize = 6;
/// A message on its way from one side to the other, header and parameters. Each guest has one, kept between calls so that
/// nobody need clear it.
pub(crate) type Scratch = [[u64; PARAM_WORDS]; 1 + MAX_PARAMS];

/// A parameter (`struct optee_msg_param`), by the names that its words have when it is memory. A
/// value has three numbers of its own there.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Param {
    pub attributes: u64,
    /// The address, or the offset in a registered buffer.
    pub place: u64,
    pub size: u64,
    pub cookie: u64,
}

impl Param {
    #[inline]
    pub fn of(&[attributes, place, size, cookie]: &[u64; PARAM_WORDS]) -> Self {
        Self {
            attributes,
            place,
            size,
            cookie,
        }
    }

    #[inline]
    pub fn words(self) -> [u64; PARAM_WORDS] {
        [self.attributes, self.place, self.size, self.cookie]
    }
}

/// Words of a message with this many parameters.
pub(crate) const fn words(params: usize) -> usize {
    HEADER_WORDS + PARAM_WORDS * params
}

/// Type of a parameter, known to be one of OP-TEE's.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct ParamType(u8);

impl ParamType {
    /// Returns the type in an attribute word, if it is known.
    pub fn of(word: u64) -> Option<Self> {
        let kind = (word & attr::TYPE) as u8;
        matches!(kind, 0..=3 | 5..=7 | 9..=0xb).then_some(Self(kind))
    }

    /// Tells whether the receiver of the message writes to it.
    pub fn is_output(self) -> bool {
        self.0 & 2 != 0
    }

    /// Tells whether the receiver of the message reads it.
    pub fn is_input(self) -> bool {
        self.0 & 1 != 0
    }

    pub fn is_value(self) -> bool {
        self.0 != 0 && self.0 & 0xc == 0
    }

    /// Tells whether it is memory named by the cookie of a registered buffer.
    pub fn is_registered(self) -> bool {
        self.0 & 0xc == 4
    }

    /// Tells whether it is memory named by address.
    pub fn is_address(self) -> bool {
        self.0 & 0xc == 8
    }

    /// Returns the words of the parameter that its receiver may change, counted from its attribute.
    pub fn outputs(self) -> core::ops::Range<usize> {
        match self {
            _ if !self.is_output() => 0..0,
            _ if self.is_value() => 1..4,
            _ => 2..3,
        }
    }
}

/// Where a message lies in guest RAM: in one piece, or in two pages of a registered buffer.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Window {
    first: Ipa,
    /// Words in the first piece.
    split: usize,
    second: Ipa,
}

impl Window {
    /// Returns one piece from `at` on, which is a multiple of 8.
    pub fn at(at: Ipa) -> Self {
        Self {
            first: at,
            split: usize::MAX,
            second: Ipa(0),
        }
    }

    /// Returns the window from the byte at `offset` of one page to its end, and on from the start of another.
    pub fn split(first: Ipa, offset: u64, second: Ipa) -> Self {
        let split = ((PAGE_SIZE - offset) / 8) as usize;
        Self {
            first: Ipa(first.0.wrapping_add(offset)),
            split,
            second,
        }
    }

    /// Returns the same window without its first words.
    pub fn skip(self, words: usize) -> Self {
        match self.split.checked_sub(words) {
            Some(split) => Self {
                first: place(self.first, words),
                split,
                ..self
            },
            None => Self::at(place(self.second, words - self.split)),
        }
    }

    /// Returns where it begins.
    pub fn start(&self) -> Ipa {
        self.first
    }

    /// Tells whether these words are in its first piece.
    #[inline]
    pub fn is_whole(&self, word: usize, count: usize) -> bool {
        word + count <= self.split
    }

    /// Reads words from number `word` on.
    #[inline(always)]
    pub fn read<M: Memory>(
        &self,
        memory: &M,
        word: usize,
        words: &mut [u64],
    ) -> Result<(), NotRam> {
        match self.is_whole(word, words.len()) {
            true => memory.read(place(self.first, word), words),
            false => self.read_split(memory, word, words),
        }
    }

    /// Writes words from number `word` on.
    #[inline(always)]
    pub fn write<M: Memory>(&self, memory: &M, word: usize, words: &[u64]) -> Result<(), NotRam> {
        match self.is_whole(word, words.len()) {
            true => memory.write(place(self.first, word), words),
            false => self.write_split(memory, word, words),
        }
    }

    #[cold]
    #[inline(never)]
    fn read_split<M: Memory>(
        &self,
        memory: &M,
        word: usize,
        words: &mut [u64],
    ) -> Result<(), NotRam> {
        let here = self.split.saturating_sub(word).min(words.len());
        let (head, tail) = words.split_at_mut(here);
        if !head.is_empty() {
            memory.read(place(self.first, word), head)?;
        }
        memory.read(place(self.second, word + here - self.split), tail)
    }

    #[cold]
    #[inline(never)]
    fn write_split<M: Memory>(&self, memory: &M, word: usize, words: &[u64]) -> Result<(), NotRam> {
        let here = self.split.saturating_sub(word).min(words.len());
        let (head, tail) = words.split_at(here);
        if !head.is_empty() {
            memory.write(place(self.first, word), head)?;
        }
        memory.write(place(self.second, word + here - self.split), tail)
    }
}

/// Returns an address that wraps ends up where no RAM is.
fn place(base: Ipa, words: usize) -> Ipa {
    Ipa(base.0.wrapping_add(words as u64 * 8))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_are_those_of_optee() {
        let known: [u64; 10] = [0, 1, 2, 3, 5, 6, 7, 9, 0xa, 0xb];
        for kind in 0..=0xff {
            assert_eq!(
                ParamType::of(kind).is_some(),
                known.contains(&kind),
                "{kind:#x}"
            );
        }
        assert_eq!(ParamType(3).outputs(), 1..4);
        assert_eq!(ParamType(6).outputs(), 2..3);
        assert_eq!(ParamType(9).outputs(), 0..0);
        assert!(!ParamType(0).is_value() && !ParamType(0).is_output());
    }

    #[test]
    fn a_window_skips_across_its_split() {
        let window = Window::split(Ipa(0x1000), 4096 - 32, Ipa(0x9000));
        let beside = window.skip(4);
        assert_eq!(
            (beside.first, beside.split, beside.second),
            (Ipa(0x2000), 0, Ipa(0x9000))
        );
        let behind = window.skip(6);
        assert_eq!((behind.first, behind.split), (Ipa(0x9010), usize::MAX));
    }
}
