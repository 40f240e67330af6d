// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the hazard tests share.
#![allow(dead_code)]

use mediator::abi::{Function, Origin, ReturnCode, RpcCommand, TeeResult};
use mediator::{Config, Limits, Results};
use mediator_model::{Act, Client, Param, Rpc, Way, World, header};

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

/// What came of a call: w0, and the message's result and origin.
pub type Outcome = (ReturnCode, TeeResult, Origin);

/// A message's w0, TEE result and origin.
pub fn outcome((w0, words): (ReturnCode, Vec<u64>)) -> Outcome {
    let header = header(&words);
    (w0, header.result, header.origin)
}

/// Refused by the mediator.
pub const REFUSED: Outcome = (ReturnCode::OK, TeeResult::BAD_PARAMETERS, Origin::COMMS);

/// Done by OP-TEE.
pub const DONE: Outcome = (ReturnCode::OK, TeeResult::SUCCESS, Origin::TRUSTED_APP);

pub fn get_time() -> Act {
    Act::Rpc(Rpc {
        command: RpcCommand::GET_TIME,
        params: vec![Param::value(2, 0, 0, 0)],
    })
}

/// Registers of a resume of `answer`.
pub fn resume(answer: Results) -> mediator::Regs {
    [
        Function::CALL_RETURN_FROM_RPC.into(),
        answer[1],
        answer[2],
        answer[3],
        0,
        0,
        0,
        0,
    ]
}

pub fn code(w0: ReturnCode) -> Results {
    [w0.into(), 0, 0, 0]
}
