// SPDX-License-Identifier: MIT OR Apache-2.0

//! A tree that is written once, and the bytes in it that differ from start to start.

use alloc::boxed::Box;
use core::ops::Range;

/// FDT_NOP (Devicetree Specification 5.4.1) over and over: readers skip it wherever a token may stand.
const NOPS: [u8; 64] = nops();

const fn nops() -> [u8; 64] {
    let mut bytes = [0; 64];
    let mut last = 3;
    while last < bytes.len() {
        bytes[last] = 4;
        last += 4;
    }
    bytes
}

/// A guest's tree. Its seeds are zeros until a start's [`Self::patches`] are applied.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Template {
    blob: Box<[u8]>,
    rng_seed: usize,
    kaslr_seed: usize,
    tee: Range<usize>,
}

impl Template {
    /// Finds the places in a tree that this crate has written.
    pub(crate) fn new(blob: Box<[u8]>) -> Option<Self> {
        let value = |name| property(&blob, name).map(|value| value.start);
        let (rng_seed, kaslr_seed) = (value("rng-seed")?, value("kaslr-seed")?);
        let tee = node(&blob, "firmware").unwrap_or_default();
        Some(Self {
            blob,
            rng_seed,
            kaslr_seed,
            tee,
        })
    }

    /// Returns the tree.
    pub fn bytes(&self) -> &[u8] {
        &self.blob
    }

    /// Returns what a start writes over the tree, as (offset, bytes): 64 bytes of entropy for the guest's random
    /// numbers, the last eight of which place a Linux kernel in virtual memory, and no OP-TEE unless there is one
    /// this time.
    pub fn patches<'a>(
        &self,
        seed: &'a [u8; 64],
        has_tee: bool,
    ) -> impl Iterator<Item = (usize, &'a [u8])> + use<'a> {
        let hidden = match has_tee {
            true => Range::default(),
            false => self.tee.clone(),
        };
        let pieces = hidden.clone().step_by(NOPS.len());
        let nops = pieces.map(move |at| (at, &NOPS[..NOPS.len().min(hidden.end - at)]));
        let seeds: [(usize, &[u8]); 2] = [(self.rng_seed, seed), (self.kaslr_seed, &seed[56..])];
        seeds.into_iter().chain(nops)
    }
}

/// A token of the structure block (Devicetree Specification 5.4.1).
enum Token<'a> {
    Begin(&'a str),
    End,
    /// The name, and where the value is.
    Property(&'a str, Range<usize>),
}

/// Returns the tokens of a tree that is well-formed, each with its place; up to the first that is
/// not.
fn tokens(blob: &[u8]) -> impl Iterator<Item = (Range<usize>, Token<'_>)> {
    let word = |at: usize| {
        let bytes = blob.get(at..)?.first_chunk()?;
        Some(u32::from_be_bytes(*bytes) as usize)
    };
    let text = |at: usize| {
        let bytes = blob.get(at..)?.split(|byte| *byte == 0).next()?;
        core::str::from_utf8(bytes).ok()
    };
    let strings = word(12);
    let mut at = word(8).unwrap_or(usize::MAX);
    core::iter::from_fn(move || {
        let start = at;
        let (token, end) = match word(start)? {
            1 => {
                let name = text(start + 4)?;
                (Token::Begin(name), start + 4 + name.len() + 1)
            }
            2 => (Token::End, start + 4),
            3 => {
                let (value, name) = (start + 12, text(strings? + word(start + 8)?)?);
                let end = value + word(start + 4)?;
                (Token::Property(name, value..end), end)
            }
            _ => return None,
        };
        at = end.next_multiple_of(4);
        Some((start..at, token))
    })
}

/// Tells where the value of the first property of that name is.
fn property(blob: &[u8], wanted: &str) -> Option<Range<usize>> {
    tokens(blob).find_map(|(_, token)| match token {
        Token::Property(name, value) if name == wanted => Some(value),
        _ => None,
    })
}

/// Tells where the first node of that name is, from its first token to its last.
fn node(blob: &[u8], wanted: &str) -> Option<Range<usize>> {
    let mut tokens = tokens(blob);
    let start = tokens.find_map(|(place, token)| match token {
        Token::Begin(name) if name == wanted => Some(place.start),
        _ => None,
    })?;
    let mut depth = 1;
    let end = tokens.find_map(|(place, token)| {
        match token {
            Token::Begin(_) => depth += 1,
            Token::End => depth -= 1,
            Token::Property(..) => {}
        }
        (depth == 0).then_some(place.end)
    })?;
    Some(start..end)
}
