// SPDX-License-Identifier: MIT OR Apache-2.0

//! Two guests of one OP-TEE, each with its own mediator: what one has and does is nothing to the
//! other.

mod common;

use common::{DONE, REFUSED, get_time, outcome, small};
use mediator::abi::{Command, Function, ReturnCode, RpcCommand, TeeResult};
use mediator::{Config, TaPolicy, Usage, Uuid};
use mediator_model::{Act, CLIENT, Client, FakeOptee, Message, Param, Rpc, Way, World};

/// Two guests, the second one at hand.
fn pair(first: Config, second: Config) -> World {
    let mut world = World::new(first, 128);
    world.join(second, 128);
    world
}

/// The same buffer for each guest: its cookie.
const COOKIE: u64 = 0xffff_0000_1234_0000;

/// Registers the buffer for the guest at hand.
fn register(world: &mut World) -> Client {
    let mut client = Client::new(world, 0, Way::RpcArg);
    client.next_cookie = COOKIE - 0x100;
    let list = world.ram.page(20);
    assert_eq!(client.register(world, list, 2), COOKIE);
    client
}

#[test]
fn the_same_cookies_and_sessions_are_each_guests_own() {
    let mut world = pair(small(), small());
    let mut second = register(&mut world);
    world.switch();
    let mut first = register(&mut world);
    let pages = |world: &World, client| world.optee.shm(client)[&COOKIE].pages.clone();
    assert_ne!(pages(&world, CLIENT), pages(&world, CLIENT + 1));
    // A call of the first one holds its buffer; the second one's goes.
    world.optee.plans.push_back(vec![get_time()]);
    let invoke = Message::invoke(&[Param::shm(7, COOKIE, 0, 16)]);
    world.ram.put(first.arg, &invoke.words());
    let waits = world.call(0, first.regs(first.arg));
    assert_eq!(waits[0], ReturnCode::RPC_CMD.into());
    world.switch();
    // Thread ids are the same, too: this one has nothing to resume by it.
    assert_eq!(world.resume(0, waits)[0], ReturnCode::ERESUME.into());
    assert_eq!(
        second.unregister(&mut world, COOKIE),
        (ReturnCode::OK, TeeResult::SUCCESS)
    );
    let gone = outcome(second.call(&mut world, &invoke));
    assert_eq!(gone, REFUSED);
    let close = Message {
        session: 1,
        ..Message::new(Command::CLOSE_SESSION, &[])
    };
    assert_eq!(outcome(second.call(&mut world, &close)), DONE);
    assert_eq!(world.optee.sessions(CLIENT + 1), 0);
    // And with the second guest itself goes nothing of the first.
    world.destroy().unwrap();
    world.switch();
    world.finish_calls();
    assert_eq!(outcome(first.call(&mut world, &invoke)), DONE);
    assert_eq!(
        first.unregister(&mut world, COOKIE),
        (ReturnCode::OK, TeeResult::SUCCESS)
    );
    assert_eq!(world.optee.sessions(CLIENT), 1);
}

#[test]
fn notifications_are_each_guests_own() {
    let config = || Config {
        notifications: true,
        ..small()
    };
    let mut world = pair(config(), config());
    let fast = |id: Function| [u64::from(id), 0, 0, 0, 0, 0, 0, 0];
    for _ in 0..2 {
        assert_eq!(world.call(0, fast(Function::ENABLE_ASYNC_NOTIF))[0], 0);
        world.switch();
    }
    world.optee.notify(CLIENT, 5);
    let value = world.call(0, fast(Function::GET_ASYNC_NOTIF_VALUE));
    assert_eq!(value, [0; 4], "the second guest has none");
    let mut client = Client::new(&world, 0, Way::RpcArg);
    let stop = Message::new(Command::STOP_ASYNC_NOTIF, &[]);
    assert_eq!(client.call(&mut world, &stop).0, ReturnCode::OK);
    world.switch();
    assert!(world.guest.wants_notifications());
    let value = world.call(0, fast(Function::GET_ASYNC_NOTIF_VALUE));
    assert_eq!(value, [0, 5, 1, 0]);
}

#[test]
fn h31_each_guest_has_its_own_policy_and_quota() {
    let only = |byte| TaPolicy::Only([Uuid([byte; 16])].into());
    let config = |byte| {
        let mut config = small();
        config.policy = only(byte);
        config.rpmb = byte == 0x11;
        config.limits.sessions = 2;
        config
    };
    let mut world = pair(config(0x11), config(0x22));
    for (own, other) in [(0x22, 0x11), (0x11, 0x22)] {
        let mut client = Client::new(&world, 0, Way::RpcArg);
        let mut open = |world: &mut World, byte| {
            let open = Message::open([byte; 16], &[]);
            let (w0, result, _) = outcome(client.call(world, &open));
            assert_eq!(w0, ReturnCode::OK);
            result
        };
        assert_eq!(open(&mut world, other), TeeResult::ACCESS_DENIED);
        // OP-TEE asks for an application and for the RPMB, on behalf of what is opened.
        let half = u64::from_le_bytes([other; 8]);
        let load = Act::Rpc(Rpc::of(RpcCommand::LOAD_TA, Param::value(1, half, half, 0)));
        let frames = Act::Rpc(Rpc::of(RpcCommand::RPMB, Param::value(1, 0, 0, 0)));
        world.optee.plans.push_back(vec![load, frames]);
        assert_eq!(open(&mut world, own), TeeResult::SUCCESS);
        assert_eq!(open(&mut world, own), TeeResult::OUT_OF_MEMORY);
        let results = [world.optee.served[0][0], world.optee.served[1][0]];
        let rpmb = if own == 0x11 {
            TeeResult::SUCCESS
        } else {
            TeeResult::STORAGE_NOT_AVAILABLE
        };
        assert_eq!(results, [TeeResult::ACCESS_DENIED.into(), rpmb.into()]);
        world.optee.served.clear();
        world.switch();
    }
}

/// A guest's first calls on two vCPUs: one sets the partition up, and what the other one gets is
/// an interrupt to serve, as long as that takes.
#[test]
fn h30_first_calls_on_two_vcpus_both_come_to_their_end() {
    for way in common::BOTH {
        let mut optee = FakeOptee::default();
        optee.slow_start = 5;
        let mut world = World::unborn(small(), optee, 128, CLIENT);
        world.create().unwrap();
        let clients = [0, 1].map(|vcpu| Client::new(&world, vcpu, way));
        let mut waits = clients.map(|client| {
            let open = Message::open([client.vcpu; 16], &[]);
            world.ram.put(client.arg, &open.words());
            world.call(client.vcpu, client.regs(client.arg))
        });
        for _ in 0..5 {
            for vcpu in [1, 0] {
                let answer = &mut waits[usize::from(vcpu)];
                assert_eq!(answer[0], ReturnCode::RPC_FOREIGN_INTR.into());
                *answer = world.resume(vcpu, *answer);
            }
        }
        assert_eq!(waits[0][0], ReturnCode::OK.into());
        assert_eq!(world.resume(1, waits[1])[0], ReturnCode::OK.into());
        assert_eq!(world.optee.sessions(CLIENT), 2);
        assert_eq!(world.usage(), Usage::default());
    }
}
