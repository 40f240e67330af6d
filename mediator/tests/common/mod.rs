// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the hazard tests share.
#![allow(dead_code)]

use mediator::abi::{func, ret, rpc, tee};
use mediator::{Config, Limits, Results};
use mediator_model::{Act, Client, Param, Rpc, Way, World};

/// Both ways to call.
pub const BOTH: [Way; 2] = [Way::RpcArg, Way::Classic];

pub fn small() -> Config {
    let limits = Limits {
        calls: 4,
        buffers: 8,
        pages: 2048,
        list_frames: 4,
        sessions: 40,
    };
    Config {
        limits,
        rpmb: true,
        ..Config::default()
    }
}

pub fn start(way: Way) -> (World, Client) {
    let world = World::new(small(), 128);
    let client = Client::new(&world, 0, way);
    (world, client)
}

/// A message's w0, TEE result and origin.
pub fn outcome((w0, words): (u32, Vec<u64>)) -> (u32, u32, u32) {
    (w0, (words[2] >> 32) as u32, words[3] as u32)
}

/// Refused by the mediator.
pub const REFUSED: (u32, u32, u32) = (ret::OK, tee::BAD_PARAMETERS, tee::ORIGIN_COMMS);

/// Done by OP-TEE.
pub const DONE: (u32, u32, u32) = (ret::OK, tee::SUCCESS, 4);

pub fn get_time() -> Act {
    Act::Rpc(Rpc {
        command: rpc::GET_TIME,
        params: vec![Param::value(2, 0, 0, 0)],
    })
}

/// Registers of a resume of `answer`.
pub fn resume(answer: Results) -> mediator::Regs {
    [
        func::CALL_RETURN_FROM_RPC.into(),
        answer[1],
        answer[2],
        answer[3],
        0,
        0,
        0,
        0,
    ]
}

pub fn code(w0: u32) -> Results {
    [w0.into(), 0, 0, 0]
}
