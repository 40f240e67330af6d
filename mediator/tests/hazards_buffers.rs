// SPDX-License-Identifier: MIT OR Apache-2.0

//! Hazard h28: a buffer that an admitted call names is neither unregistered nor another kind's.

mod common;

use common::{BOTH, REFUSED, outcome, start};
use mediator::abi::{Command, ReturnCode, TeeResult};
use mediator::{Results, Usage};
use mediator_model::{Client, Message, Param, Way, World};

/// A call of vCPU 1 that names `cookie` and waits at the guest, half-way through a list.
fn park(world: &mut World, cookie: u64) -> Results {
    let lists = world.ram.page(40);
    Client::lay_list(world, lists, 512);
    let other = Client::new(world, 1, Way::RpcArg);
    let invoke = Message::invoke(&[
        Param::shm(5, cookie, 0, 16),
        Param::list(9, lists, 512 * 4096, 0x777),
        Param::shm(6, cookie, 16, 16),
    ]);
    world.ram.put(other.arg, &invoke.words());
    let parked = world.call(1, other.regs(other.arg));
    assert_eq!(parked[0], ReturnCode::RPC_FOREIGN_INTR.into());
    parked
}

fn unregister(cookie: u64) -> Message {
    Message::new(Command::UNREGISTER_SHM, &[Param::shm(5, cookie, 0, 0)])
}

#[test]
fn h28_a_buffer_that_a_parked_call_names_is_not_unregistered() {
    for way in BOTH {
        let (mut world, mut client) = start(way);
        let list = world.ram.page(20);
        let cookie = client.register(&mut world, list, 1);
        let parked = park(&mut world, cookie);
        let before = world.optee.seen.len();
        let counted = world.counters();
        let (w0, _) = client.call(&mut world, &unregister(cookie));
        assert_eq!(w0, ReturnCode::ETHREAD_LIMIT);
        // It may come again: it was turned away and not refused.
        let counters = world.counters();
        assert_eq!(counters.turned_away, counted.turned_away + 1);
        assert_eq!(counters.refusals, counted.refusals);
        assert_eq!(
            world.optee.seen.len(),
            before,
            "OP-TEE saw an UNREGISTER_SHM"
        );
        // The call goes on, and names what is still registered.
        let mut answer = world.resume(1, parked);
        while answer[0] == ReturnCode::RPC_FOREIGN_INTR.into() {
            answer = world.resume(1, answer);
        }
        assert_eq!(answer[0], ReturnCode::OK.into());
        assert_eq!(world.optee.bad_cookies, 0);
        // Once it is over, the buffer may go.
        let gone = outcome(client.call(&mut world, &unregister(cookie)));
        assert_eq!((gone.0, gone.1), (ReturnCode::OK, TeeResult::SUCCESS));
        assert_eq!(world.guest.usage(), Usage::default());
    }
}

#[test]
fn h28_a_call_that_is_refused_holds_no_buffer() {
    let (mut world, mut client) = start(Way::RpcArg);
    let list = world.ram.page(20);
    let cookie = client.register(&mut world, list, 1);
    // The first parameter is good, the second lies outside.
    let invoke = Message::invoke(&[Param::shm(5, cookie, 0, 16), Param::shm(5, cookie, 4096, 1)]);
    assert_eq!(outcome(client.call(&mut world, &invoke)), REFUSED);
    let gone = outcome(client.call(&mut world, &unregister(cookie)));
    assert_eq!((gone.0, gone.1), (ReturnCode::OK, TeeResult::SUCCESS));
    assert_eq!(world.guest.usage(), Usage::default());
}

#[test]
fn h28_a_call_cannot_name_a_buffer_amid_its_unregistering() {
    let (mut world, mut client) = start(Way::RpcArg);
    let list = world.ram.page(20);
    let cookie = client.register(&mut world, list, 1);
    world
        .optee
        .plans
        .push_back(vec![mediator_model::Act::Interrupt]);
    world.ram.put(client.arg, &unregister(cookie).words());
    let amid = world.call(0, client.regs(client.arg));
    assert_eq!(amid[0], ReturnCode::RPC_FOREIGN_INTR.into());
    let mut other = Client::new(&world, 1, Way::RpcArg);
    let invoke = Message::invoke(&[Param::shm(5, cookie, 0, 16)]);
    assert_eq!(outcome(other.call(&mut world, &invoke)), REFUSED);
    assert_eq!(world.resume(0, amid)[0], ReturnCode::OK.into());
    assert_eq!(world.guest.usage(), Usage::default());
}

#[test]
fn h28_a_stopped_guest_leaves_no_count_behind() {
    let (mut world, mut client) = start(Way::RpcArg);
    let list = world.ram.page(20);
    let cookie = client.register(&mut world, list, 1);
    park(&mut world, cookie);
    world.destroy().unwrap();
    world.create().unwrap();
    world.open_session();
    let cookie = client.register(&mut world, list, 1);
    let gone = outcome(client.call(&mut world, &unregister(cookie)));
    assert_eq!((gone.0, gone.1), (ReturnCode::OK, TeeResult::SUCCESS));
}
