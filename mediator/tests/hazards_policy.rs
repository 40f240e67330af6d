// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a guest's policy keeps from it, and what is written down of that (h31, h34).
mod common;

use common::{DONE, outcome, small};
use mediator::abi::{Function, Origin, ReturnCode, RpcCommand, TeeResult, cap};
use mediator::{Asked, Config, Denial, Denials, TaPolicy, Uuid};
use mediator_model::{Act, Client, Message, Param, Rpc, Way, World};

/// A guest that has the RPMB, or not.
fn with_rpmb(rpmb: bool, way: Way) -> (World, Client) {
    let world = World::new(Config { rpmb, ..small() }, 128);
    let client = Client::new(&world, 0, way);
    (world, client)
}

#[test]
fn h34_rpmb_probing_is_offered_to_its_owner_alone() {
    for rpmb in [true, false] {
        let (mut world, _) = with_rpmb(rpmb, Way::RpcArg);
        let exchange = [
            u64::from(Function::EXCHANGE_CAPABILITIES),
            1,
            0,
            0,
            0,
            0,
            0,
            0,
        ];
        let offered = world.call(0, exchange)[1] as u32;
        assert_eq!(offered & cap::RPMB_PROBE != 0, rpmb);
    }
}

#[test]
fn h34_rpmb_commands_reach_their_owner_alone() {
    for way in common::BOTH {
        for command in [1, 22, 23, 24].map(RpcCommand) {
            for rpmb in [true, false] {
                let (mut world, mut client) = with_rpmb(rpmb, way);
                let params = vec![Param::value(2, 0, 0, 0)];
                let ask = Act::Rpc(Rpc { command, params });
                world.optee.plans.push_back(vec![ask]);
                assert_eq!(outcome(client.call(&mut world, &open(0x11))), DONE);
                let result = TeeResult::of(world.optee.served[0][0]);
                assert_eq!(
                    result == TeeResult::STORAGE_NOT_AVAILABLE,
                    !rpmb,
                    "{command}"
                );
                assert_eq!(
                    client.served.iter().any(|(served, _)| *served == command),
                    rpmb,
                    "{command}"
                );
            }
        }
    }
}

#[test]
fn h34_commands_beside_those_of_the_rpmb_are_served() {
    let (mut world, mut client) = with_rpmb(false, Way::RpcArg);
    for command in [RpcCommand::FS, RpcCommand::I2C] {
        let params = vec![Param::value(2, 0, 0, 0)];
        let plan = vec![Act::Rpc(Rpc { command, params })];
        world.optee.plans.push_back(plan);
        assert_eq!(outcome(client.call(&mut world, &open(0x11))), DONE);
        assert!(client.served.iter().any(|(served, _)| *served == command));
    }
}

fn open(byte: u8) -> Message {
    Message::open([byte; 16], &[])
}

/// A guest that may open 0x11… alone, after it has asked for these.
fn denials(asks: impl Iterator<Item = u8>) -> Denials {
    let policy = TaPolicy::Only([Uuid([0x11; 16])].into());
    let mut world = World::new(Config { policy, ..small() }, 128);
    let mut client = Client::new(&world, 0, Way::RpcArg);
    for byte in asks {
        let denied = (ReturnCode::OK, TeeResult::ACCESS_DENIED, Origin::COMMS);
        let expected = if byte == 0x11 { DONE } else { denied };
        assert_eq!(outcome(client.call(&mut world, &open(byte))), expected);
    }
    world.guest.denials()
}

#[test]
fn denials_are_counted_by_application() {
    let denials = denials([0x22, 0x11, 0x33, 0x22, 0x22].into_iter());
    let kept: Vec<_> = denials
        .iter()
        .map(|d| (d.uuid.0[0], d.asked, d.times))
        .collect();
    assert_eq!(kept, [(0x22, Asked::Open, 3), (0x33, Asked::Open, 1)]);
    assert_eq!(denials.others, 0);
}

#[test]
fn h22_a_guest_that_asks_for_everything_fills_a_small_table() {
    let denials = denials((0x20..=0xff).chain([0x20]));
    assert_eq!(denials.iter().count(), Denials::KEPT);
    assert_eq!(denials.iter().next().map(|denial| denial.times), Some(2));
    assert_eq!(denials.others, 0xe0 - Denials::KEPT as u64);
}

/// OP-TEE asks to load 0x11… or 0x22…, one after the other, in a call of a guest with this
/// policy: the results that it gets, how often the guest served it, and what was written down.
fn loads(policy: TaPolicy) -> (Vec<u64>, usize, Denials) {
    let mut world = World::new(Config { policy, ..small() }, 128);
    let mut client = Client::new(&world, 0, Way::RpcArg);
    let load = |byte: u8| {
        let half = u64::from_le_bytes([byte; 8]);
        let params = vec![Param::value(1, half, half, 0), [0xa, 0, 0, 0]];
        let command = RpcCommand::LOAD_TA;
        Act::Rpc(Rpc { command, params })
    };
    world.optee.plans.push_back(vec![load(0x11), load(0x22)]);
    assert_eq!(outcome(client.call(&mut world, &open(0x11))), DONE);
    let results = world.optee.served.iter().map(|served| served[0]).collect();
    (results, client.served.len(), world.guest.denials())
}

#[test]
fn h31_the_policy_holds_for_what_an_allowed_application_loads() {
    const DENIED: u64 = TeeResult::ACCESS_DENIED.0 as u64;
    let list = |byte| Box::new([Uuid([byte; 16])]);
    for policy in [TaPolicy::Only(list(0x11)), TaPolicy::Except(list(0x22))] {
        let (results, served, denials) = loads(policy);
        assert_eq!((results, served), (vec![0, DENIED], 1));
        let kept: Vec<_> = denials.iter().collect();
        let asked = Asked::Load;
        let uuid = Uuid([0x22; 16]);
        assert_eq!(
            kept,
            [Denial {
                uuid,
                asked,
                times: 1
            }]
        );
    }
    let (results, served, _) = loads(TaPolicy::Any);
    assert_eq!((results, served), (vec![0, 0], 2));
}
