// SPDX-License-Identifier: MIT OR Apache-2.0

//! What OP-TEE's returns mean: hazards h30 and h33.

mod common;

use common::{BOTH, get_time, small, start};
use mediator::Config;
use mediator::abi::{Command, Function, ReturnCode, RpcCommand};
use mediator_model::{Act, Client, Entered, Message, Rpc, Way, World};

/// Whatever OP-TEE comes back with, at most one more visit follows before the guest has the core.
#[test]
fn h30_every_return_of_optee_lets_interrupts_be_served() {
    for way in BOTH {
        let (mut world, client) = start(way);
        let refused = Act::Rpc(Rpc {
            command: RpcCommand::BENCH_REG,
            params: vec![],
        });
        let alloc = Act::Raw(ReturnCode::RPC_ALLOC, [4096, 0, 0]);
        let free = Act::Raw(ReturnCode::RPC_FREE, [0, 0x1000, 0]);
        let odd = Act::Raw(ReturnCode(0xffff_0077), [1, 2, 0]);
        let plan = [alloc, refused, free, odd];
        let plan: Vec<Act> = (0..40).flat_map(|_| plan.clone()).collect();
        let visits = plan.len();
        world.optee.plans.push_back(plan);
        world.ram.put(client.arg, &Message::invoke(&[]).words());
        let mut entered = world.enter(0, client.regs(client.arg));
        let mut waits = 0;
        loop {
            // A classic guest gives a page for the requests that are refused: it is asked for none
            // here, as the request is refused before.
            match entered {
                Entered::Secure => {
                    world.smc(0);
                    entered = world.back(0);
                    assert!(
                        matches!(entered, Entered::Reply(_)),
                        "OP-TEE is called again, interrupts unserved"
                    );
                }
                Entered::Reply(answer) if answer[0] == ReturnCode::RPC_FOREIGN_INTR.into() => {
                    waits += 1;
                    entered = world.enter(0, common::resume(answer));
                }
                Entered::Reply(answer) if answer[0] == ReturnCode::RPC_ALLOC.into() => {
                    // No page: the request fails.
                    let mut regs = common::resume(answer);
                    (regs[1], regs[2]) = (0, 0);
                    entered = world.enter(0, regs);
                }
                Entered::Reply(answer) => {
                    assert_eq!(answer[0], ReturnCode::OK.into());
                    break;
                }
            }
        }
        assert!(waits * 4 >= visits * 3, "{waits} of {visits}");
        world.check();
    }
}

#[test]
fn h33_stop_async_notif_is_done_when_optee_says_so_by_w0() {
    let config = Config {
        notifications: true,
        ..small()
    };
    let mut world = World::new(config, 128);
    let mut client = Client::new(&world, 0, Way::RpcArg);
    let on = world.call(
        0,
        [Function::ENABLE_ASYNC_NOTIF.into(), 0, 0, 0, 0, 0, 0, 0],
    );
    assert_eq!(on[0], ReturnCode::OK.into());
    assert!(world.guest.wants_notifications());
    for (command, wanted) in [
        (Command::DO_BOTTOM_HALF, true),
        (Command::STOP_ASYNC_NOTIF, false),
    ] {
        let (w0, words) = client.call(&mut world, &Message::new(command, &[]));
        assert_eq!(
            (w0, words[2] >> 32),
            (ReturnCode::OK, 0),
            "command {command}"
        );
        assert_eq!(world.guest.wants_notifications(), wanted);
    }
}

#[test]
fn h33_stop_async_notif_that_optee_refuses_changes_nothing() {
    let config = Config {
        notifications: true,
        ..small()
    };
    let mut world = World::new(config, 128);
    let mut client = Client::new(&world, 0, Way::RpcArg);
    world.call(
        0,
        [Function::ENABLE_ASYNC_NOTIF.into(), 0, 0, 0, 0, 0, 0, 0],
    );
    world
        .optee
        .plans
        .push_back(vec![Act::Code(ReturnCode::ENOTAVAIL)]);
    let (w0, _) = client.call(&mut world, &Message::new(Command::STOP_ASYNC_NOTIF, &[]));
    assert_eq!(w0, ReturnCode::ENOTAVAIL);
    assert!(world.guest.wants_notifications());
}

/// A result that OP-TEE writes counts, and one that it never wrote is a failure.
#[test]
fn h33_other_commands_succeed_by_their_result() {
    let (mut world, mut client) = start(Way::RpcArg);
    world
        .optee
        .plans
        .push_back(vec![get_time(), Act::Raw(ReturnCode::OK, [0, 0, 0])]);
    let (w0, words) = client.call(&mut world, &Message::invoke(&[]));
    assert_eq!(w0, ReturnCode::OK);
    assert_ne!(
        words[2] >> 32,
        0,
        "a result that was never written is a success"
    );
}

#[test]
fn no_more_threads_are_promised_than_calls_are_taken() {
    for (calls, threads) in [(1, 1), (4, 2)] {
        let mut config = small();
        config.limits.calls = calls;
        let mut world = World::new(config, 128);
        let count = world.call(0, [Function::GET_THREAD_COUNT.into(), 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(count, [0, threads, 0, 0]);
    }
}
