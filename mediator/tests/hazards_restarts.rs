// SPDX-License-Identifier: MIT OR Apache-2.0

//! Hazard h29: a guest's restarts use OP-TEE up. What a stopped guest has left is ended, and OP-TEE's VM
//! is kept for its next start; what can't be ended costs a new one, of which there are not many.

mod common;

use common::{BOTH, get_time, outcome, small, start};
use mediator::abi::{Command, Function, ReturnCode, TeeResult};
use mediator::{Config, CreateError, Usage};
use mediator_model::{Act, CLIENT, Client, Message, Param, Way, World};

/// Two calls suspended in RPC, one half-way through a list, buffers, sessions.
fn busy(world: &mut World, client: &mut Client) {
    let list = world.ram.page(20);
    let cookie = client.register(world, list, 3);
    client.register(world, list, 2);
    let opened = outcome(client.call(world, &Message::open([7; 16], &[])));
    assert_eq!((opened.0, opened.1), (ReturnCode::OK, TeeResult::SUCCESS));
    for vcpu in 1..3 {
        let client = Client::new(world, vcpu, Way::RpcArg);
        world.optee.plans.push_back(vec![get_time(), get_time()]);
        let open = Message::open([vcpu; 16], &[]);
        world.ram.put(client.arg, &open.words());
        let answer = world.call(vcpu, client.regs(client.arg));
        assert_eq!(answer[0], ReturnCode::RPC_CMD.into());
    }
    let lists = world.ram.page(40);
    Client::lay_list(world, lists, 512);
    let other = Client::new(world, 3, Way::RpcArg);
    let invoke = Message::invoke(&[
        Param::shm(5, cookie, 0, 16),
        Param::list(9, lists, 512 * 4096, 0x777),
    ]);
    world.ram.put(other.arg, &invoke.words());
    let parked = world.call(3, other.regs(other.arg));
    assert_eq!(parked[0], ReturnCode::RPC_FOREIGN_INTR.into());
}

/// How often OP-TEE was told of a VM.
fn vm_calls(world: &World) -> usize {
    let is = |id: &&Function| [Function::VM_CREATED, Function::VM_DESTROYED].contains(*id);
    world.optee.calls.iter().filter(is).count()
}

#[test]
fn h29_a_restart_keeps_the_vm_once_all_is_ended() {
    for way in BOTH {
        let (mut world, mut client) = start(way);
        for _ in 0..50 {
            busy(&mut world, &mut client);
            assert!(!world.guest.keep(), "there is something left");
            assert_eq!(world.wind_down(100), 0);
            assert!(world.guest.keep());
            assert_eq!(world.usage(), Usage::default());
            assert_eq!(world.optee.sessions(CLIENT), 0);
            assert_eq!(world.optee.busy_threads(CLIENT), 0);
            assert_eq!(world.optee.shm_count(CLIENT), 0);
            assert!(world.guest.has_tee());
        }
        assert_eq!(vm_calls(&world), 0);
        assert_eq!(world.guest.vms(), 1);
    }
}

#[test]
fn h29_the_search_for_buffers_begins_anew_in_each_life() {
    let mut world = World::new(Config::default(), 128);
    let mut client = Client::new(&world, 0, Way::RpcArg);
    let list = world.ram.page(20);
    let cookies: Vec<u64> = (0..600)
        .map(|_| client.register(&mut world, list, 1))
        .collect();
    // The one that comes first in the table is free last, and taken next.
    for cookie in cookies.into_iter().rev() {
        assert_eq!(
            client.unregister(&mut world, cookie),
            (ReturnCode::OK, TeeResult::SUCCESS)
        );
    }
    assert_eq!(world.wind_down(100), 0);
    assert!(world.guest.keep());
    client.register(&mut world, list, 1);
    assert_eq!(world.wind_down(100), 0);
    assert!(world.guest.keep());
}

/// The kernel asks no more once its patience is over, even if the last call ended the last thing.
#[test]
fn h29_an_end_that_stops_with_the_last_call_leaves_no_trace() {
    let mut world = World::new(Config::default(), 128);
    let mut client = Client::new(&world, 0, Way::RpcArg);
    let list = world.ram.page(20);
    for _ in 0..3 {
        client.register(&mut world, list, 1);
        client.register(&mut world, list, 1);
        let steps = world.guest.left() as usize;
        assert_eq!(world.wind_down(steps), 0);
        assert!(world.guest.keep());
    }
}

#[test]
fn h29_notifications_are_stopped() {
    let config = Config {
        notifications: true,
        ..small()
    };
    let mut world = World::new(config, 128);
    world.call(
        0,
        [Function::ENABLE_ASYNC_NOTIF.into(), 0, 0, 0, 0, 0, 0, 0],
    );
    assert!(world.guest.wants_notifications() && !world.guest.keep());
    assert_eq!(world.wind_down(10), 0);
    assert!(!world.guest.wants_notifications() && world.guest.keep());
}

/// OP-TEE may stop and turn them on in one order while EL2 sees the answers in the other one.
#[test]
fn h29_notifications_turned_on_amid_their_end_are_known() {
    let enable = [Function::ENABLE_ASYNC_NOTIF.into(), 0, 0, 0, 0, 0, 0, 0];
    // Which of the two OP-TEE does first, and which answer EL2 sees first.
    for (first, back) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
        let config = Config {
            notifications: true,
            ..small()
        };
        let mut world = World::new(config, 128);
        world.call(0, enable);
        let client = Client::new(&world, 0, Way::RpcArg);
        let stop = Message::new(Command::STOP_ASYNC_NOTIF, &[]);
        world.ram.put(client.arg, &stop.words());
        world.enter(0, client.regs(client.arg));
        world.enter(1, enable);
        world.smc(first);
        world.smc(1 - first);
        world.back(back);
        world.back(1 - back);
        assert!(world.guest.wants_notifications() || !world.optee.is_notified(CLIENT));
        assert_eq!(world.wind_down(10), 0);
        assert!(!world.optee.is_notified(CLIENT) && world.guest.keep());
    }
}

#[test]
fn h29_a_vm_with_something_left_is_not_kept() {
    // OP-TEE refuses to unregister a buffer.
    let (mut world, mut client) = start(Way::RpcArg);
    let list = world.ram.page(20);
    client.register(&mut world, list, 1);
    let refuse = vec![Act::Result(TeeResult::BAD_PARAMETERS)];
    world.optee.plans.extend(vec![Vec::new(); 1]);
    world.optee.plans.extend(vec![refuse; 200]);
    assert_eq!(world.wind_down(100), 1);
    assert!(!world.guest.keep());
    world.destroy().unwrap();
    world.create().unwrap();
    assert_eq!(world.guest.vms(), 2);
}

#[test]
fn h29_a_call_that_never_ends_is_not_waited_for_for_ever() {
    let (mut world, client) = start(Way::RpcArg);
    world.optee.plans.push_back(vec![Act::Interrupt; 1000]);
    world.ram.put(client.arg, &Message::invoke(&[]).words());
    let answer = world.call(0, client.regs(client.arg));
    assert_eq!(answer[0], ReturnCode::RPC_FOREIGN_INTR.into());
    let left = world.guest.left();
    assert_eq!(world.wind_down(100), left);
    assert!(!world.guest.keep());
}

#[test]
fn h29_a_guest_costs_optee_no_more_vms_than_it_may() {
    let config = Config {
        max_vms: Some(3),
        ..small()
    };
    let mut world = World::new(config, 128);
    for vms in 1..=3 {
        assert_eq!(world.guest.vms(), vms);
        world.destroy().unwrap();
        let next = world.create();
        match vms {
            3 => assert_eq!(next, Err(CreateError::Spent(3))),
            _ => assert_eq!(next, Ok(())),
        }
    }
    let answer = world.call(0, [Function::CALLS_UID.into(), 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(answer[0], 0xffff_ffff, "the guest runs without a TEE");
}

#[test]
fn h29_a_refused_vm_costs_nothing() {
    let config = Config {
        max_vms: Some(1),
        ..small()
    };
    let mut optee = mediator_model::FakeOptee::default();
    optee.max_guests = 0;
    let mut world = World::unborn(config, optee, 128, CLIENT);
    assert_eq!(world.create(), Err(CreateError::Full));
    assert_eq!(world.guest.vms(), 0);
    world.optee.max_guests = 1;
    assert_eq!(world.create(), Ok(()));
}
