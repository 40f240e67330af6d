// SPDX-License-Identifier: MIT OR Apache-2.0

//! Where the mediator may write in a guest's RAM: in the message of a call, while it lasts, and
//! in what belongs to it.

use mediator::abi::{Function, RPC_ARG_BYTES, ReturnCode};
use mediator::{Regs, Results};

use crate::optee::FakeOptee;
use crate::ram::Ram;

/// Most parameters that a message may have.
const MAX_PARAMS: u64 = 6;

/// A range of addresses: the first one, and bytes.
#[derive(Clone, Copy, Default)]
struct Range {
    at: u64,
    len: u64,
}

impl Range {
    fn holds(self, at: u64, len: u64) -> bool {
        at >= self.at && at - self.at + len <= self.len
    }
}

/// The windows of one call.
#[derive(Clone, Copy, Default)]
pub struct Windows {
    /// The message with the RPC argument behind it, in one piece or two.
    message: [Range; 2],
    /// The page that a classic guest gave for its RPC argument.
    page: Range,
}

impl Windows {
    /// Those of the call that the guest makes with these registers.
    pub fn of(regs: &Regs, ram: &Ram, optee: &FakeOptee, client: u32) -> Self {
        let at = pair(regs[1], regs[2]);
        let message = match Function::of(regs[0]) {
            Function::CALL_WITH_ARG => page(at, ram, 0),
            Function::CALL_WITH_RPC_ARG => page(at, ram, RPC_ARG_BYTES),
            Function::CALL_WITH_REGD_ARG => {
                let offset = regs[3] & 0xFFFF_FFFF;
                in_buffer(at, offset, ram, optee, client).unwrap_or_default()
            }
            _ => Default::default(),
        };
        Self {
            message,
            page: Range::default(),
        }
    }

    /// The guest answers `asked` with these registers.
    pub fn answer(&mut self, asked: &Results, regs: &Regs) {
        if ReturnCode::of(asked[0]) == ReturnCode::RPC_ALLOC {
            self.page = Range {
                at: pair(regs[1], regs[2]),
                len: RPC_ARG_BYTES,
            };
        }
    }

    /// The guest is told to free the page of its RPC argument.
    pub fn free_page(&mut self) {
        self.page = Range::default();
    }

    /// Tells whether a write belongs to the call.
    pub fn hold(&self, at: u64, len: u64) -> bool {
        let [first, second] = self.message;
        [first, second, self.page]
            .iter()
            .any(|range| range.holds(at, len))
    }

    /// Returns where a guest finds the RPC argument of its call.
    pub fn rpc_arg(&self) -> Vec<u64> {
        let words = |range: &Range| (0..range.len / 8).map(|n| range.at + n * 8).collect();
        let all: Vec<u64> = match self.page.len {
            0 => self
                .message
                .iter()
                .flat_map(words as fn(&Range) -> Vec<u64>)
                .collect(),
            _ => words(&self.page),
        };
        all[all.len().saturating_sub(RPC_ARG_BYTES as usize / 8)..].to_vec()
    }
}

/// Returns the bytes of a message that says `count` parameters. Beyond the most that there may be, the result
/// alone is written.
fn bytes(count: u64, beside: u64) -> u64 {
    match count {
        0..=MAX_PARAMS => 32 + 32 * count + beside,
        _ => 32,
    }
}

/// Returns a message at the start of a page.
fn page(at: u64, ram: &Ram, beside: u64) -> [Range; 2] {
    let len = bytes(ram.get(at.wrapping_add(24)) >> 32, beside);
    [Range { at, len }, Range::default()]
}

/// Returns a message inside a registered buffer.
fn in_buffer(
    cookie: u64,
    offset: u64,
    ram: &Ram,
    optee: &FakeOptee,
    client: u32,
) -> Option<[Range; 2]> {
    let shm = optee.buffer(client, cookie)?;
    let room = shm.size.checked_sub(offset)?;
    let place = |at: u64| {
        let at = at + shm.offset;
        let page = ram.owner(*shm.pages.get((at / 4096) as usize)?)?;
        Some(page + at % 4096)
    };
    let first = place(offset)?;
    let count = ram.get(place(offset + 24)?) >> 32;
    let len = bytes(count, RPC_ARG_BYTES).min(room);
    let split = len.min(4096 - first % 4096);
    let message = Range {
        at: first,
        len: split,
    };
    let rest = Range {
        at: place(offset + split).unwrap_or_default(),
        len: len - split,
    };
    Some([message, rest])
}

fn pair(high: u64, low: u64) -> u64 {
    (high & 0xFFFF_FFFF) << 32 | low & 0xFFFF_FFFF
}
