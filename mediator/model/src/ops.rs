// SPDX-License-Identifier: MIT OR Apache-2.0

//! The operations of random play.
//!
//! An operation is decoded from 16 bytes, so that a fuzzer's input or a shrunk property test is
//! a plain list of operations, and one that is left out does not change the others. Values come
//! from small sets: a random 64-bit number is refused by the first check and teaches nothing.

use mediator::abi::{ReturnCode, RpcCommand, TeeResult, attr};

use crate::optee::{Act, Rpc};
use crate::world::World;
use crate::{HOST, RAM_PA, is_host};

/// First of six chained list pages.
pub(crate) const LISTS: u64 = 40;

/// One operation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Op {
    /// The guest lays a message and calls with it.
    Call([u8; 16]),
    /// The guest makes a call of any function with any registers.
    Registers([u8; 16]),
    /// The guest resumes a call that waits, or one that does not.
    Resume([u8; 16]),
    /// The guest serves the RPC that waits, well or badly, and resumes.
    Serve([u8; 16]),
    /// OP-TEE runs on a vCPU.
    Smc(u8),
    /// EL2 handles what OP-TEE returned.
    Back(u8),
    /// What OP-TEE does in its next call.
    Plan([u8; 16]),
    /// The guest writes to its memory, now or right after the mediator has read it.
    Scribble([u8; 16]),
    /// A page goes, or all pages come back.
    Vanish(u8),
    /// The guest stops and starts: what it has left is ended and its VM kept, or it is destroyed
    /// and made again.
    Restart([u8; 16]),
}

impl Op {
    /// Any 16 bytes are an operation.
    pub fn decode(bytes: [u8; 16]) -> Self {
        match bytes[0] % 24 {
            0..=6 => Self::Call(bytes),
            7 => Self::Registers(bytes),
            8..=9 => Self::Resume(bytes),
            10..=13 => Self::Serve(bytes),
            14..=15 => Self::Smc(bytes[1]),
            16..=18 => Self::Back(bytes[1]),
            19..=20 => Self::Plan(bytes),
            21 => Self::Scribble(bytes),
            22 => Self::Vanish(bytes[1]),
            _ => Self::Restart(bytes),
        }
    }

    /// Returns the byte that says whose operation it is: its low bits the vCPU, its highest one the guest
    /// if there are two.
    pub(crate) fn who(&self) -> u8 {
        match self {
            Self::Call(b)
            | Self::Registers(b)
            | Self::Resume(b)
            | Self::Serve(b)
            | Self::Plan(b)
            | Self::Scribble(b)
            | Self::Restart(b) => b[1],
            Self::Smc(b) | Self::Back(b) | Self::Vanish(b) => *b,
        }
    }
}

/// Sizes worth trying, in bytes.
fn size(pick: u8) -> u64 {
    const SIZES: [u64; 16] = [
        4096,
        8192,
        4096,
        8192,
        511 * 4096,
        512 * 4096,
        600 * 4096,
        1100 * 4096,
        100,
        4097,
        0,
        1,
        3000 * 4096,
        1 << 44 | 4096,
        u64::MAX,
        u64::MAX - 4095,
    ];
    SIZES[usize::from(pick % 16)]
}

/// Cookies: six, and none.
pub(crate) fn cookie(pick: u8) -> u64 {
    match pick % 7 {
        0 => 0,
        n => 0xffff_0000_1234_0000 + u64::from(n) * 0x100,
    }
}

/// Returns the cookie of a buffer: most of the time one that OP-TEE knows, so that calls meet.
fn known(world: &World, pick: u8) -> u64 {
    let known = world.optee.nth_buffer(world.client, pick / 8);
    let known = known.filter(|_| !pick.is_multiple_of(8));
    known.unwrap_or(cookie(pick))
}

/// Words worth trying, none of them a host address unless the guest guesses one.
pub(crate) fn word(world: &World, pick: u8) -> u64 {
    match pick % 12 {
        0 => 0,
        1 => 1,
        2 => u64::MAX,
        3 => 0x20a,
        4 => world.ram.page(LISTS),
        5 => world.ram.page(16),
        6 => world.ram.page(64),
        7 => 0x0900_0000,
        8 => cookie(pick / 12),
        9 => size(pick / 12),
        10 => world.ram.page(17) + 8,
        _ => u64::from(pick) << 32 & !(0xff << 56),
    }
}

/// Kinds of parameters for [`param`], good ones more often.
pub(crate) const KINDS: [u8; 32] = [
    0, 0, 1, 2, 2, 3, 3, 4, 4, 4, 5, 5, 5, 6, 6, 6, 7, 8, 8, 9, 9, 10, 10, 11, 12, 12, 12, 13, 14,
    15, 15, 2,
];

/// The same for INVOKE: all are good, and most of them name a buffer.
pub(crate) const GOOD: [u8; 16] = [4, 5, 6, 4, 5, 6, 4, 5, 4, 1, 2, 3, 8, 9, 10, 12];

/// Returns half of the UUID of one of two applications, of which policies forbid one.
fn application(pick: u8) -> u64 {
    let byte = if pick % 4 == 3 { 0x22 } else { 0x11 };
    u64::from_le_bytes([byte; 8])
}

/// Returns a parameter: kind, cookie and size by three bytes.
pub(crate) fn param(world: &World, kind: u8, which: u8, much: u8) -> [u64; 4] {
    let offset = u64::from(which / 21 % 3) * 0x80;
    let list = world.ram.page(LISTS + u64::from(which / 7 % 3)) | offset;
    match kind % 16 {
        0 => [0; 4],
        1..=3 => [u64::from(kind % 16), 1, 2, 3],
        4..=6 => [
            u64::from(kind % 16) + 1,
            0,
            size(much).min(100),
            known(world, which),
        ],
        7 => [7, size(much), size(much / 16), cookie(which)],
        8..=10 => [
            0x209 + u64::from(kind % 16) - 8,
            list,
            size(much),
            cookie(which),
        ],
        11 => [0x20a, list, size(much), cookie(which)],
        12 => [9, 0, 16, 0],
        13 => [0xa, world.ram.page(16), size(much), cookie(which)],
        14 => [0x101, application(much), application(much), 0],
        _ => [
            word(world, much),
            word(world, which),
            size(much),
            cookie(which),
        ],
    }
}

/// Returns what OP-TEE does next, by three bytes.
pub(crate) fn act(world: &World, kind: u8, which: u8, much: u8) -> Act {
    let noise = |pick: u8| {
        Some(word(world, pick))
            .filter(|&w| !is_host(w))
            .unwrap_or(0)
    };
    match kind % 16 {
        0 | 1 => Act::Interrupt,
        2 | 3 => Act::Alloc(size(much).min(1 << 40), u64::from(which % 3)),
        4 | 5 => Act::Free(cookie(which)),
        // A success that is none would be a lie about OP-TEE's own buffers.
        6 => Act::Result(TeeResult((noise(much) as u32).max(1))),
        7 => Act::Code(ReturnCode(u32::from(which % 9))),
        8 => {
            let w0 = [0, 6, ReturnCode::UNKNOWN.0, 0x8000_0000][usize::from(which % 4)];
            Act::Raw(ReturnCode(w0), [1, 2, 3])
        }
        9 => {
            let rpc = [
                ReturnCode::RPC_ALLOC,
                ReturnCode::RPC_FREE,
                ReturnCode::RPC_CMD,
                ReturnCode(0xFFFF_1234),
            ];
            let [high, low] = [RAM_PA >> 32, RAM_PA].map(|half| half as u32);
            Act::Raw(rpc[usize::from(which % 4)], [high, low, 0])
        }
        10 => Act::Scrawl(u64::from(which).max(3), noise(much)),
        11 => {
            // A host address where none may be.
            let address = HOST << 24 | u64::from(much) << 12;
            Act::Rpc(Rpc {
                command: RpcCommand::FS,
                params: vec![[9 + u64::from(which % 3), address, 16, 1]],
            })
        }
        _ => {
            let commands = [0, 2, 3, 4, 5, 6, 7, 8, 9, 12, 13, 20, 21, 24, 1, 99];
            let command = RpcCommand(commands[usize::from(which % 16)]);
            let params = (0..which / 16 % 6).map(|n| match (command, n) {
                (RpcCommand::LOAD_TA, 0) if much >= 128 => {
                    let half = application(much);
                    [attr::VALUE_IN, half, half, 0]
                }
                _ => {
                    let kind = much.wrapping_add(n.wrapping_mul(which)) % 13;
                    let mut param = param(world, kind, n.wrapping_add(much / 8), much % 16);
                    // Attributes that a request has no use for.
                    param[0] |= u64::from(much >= 224) << (8 + which % 16);
                    param
                }
            });
            let params = params.collect();
            Act::Rpc(Rpc { command, params })
        }
    }
}
