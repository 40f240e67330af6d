// SPDX-License-Identifier: MIT OR Apache-2.0

//! Ways in which a mediator can go wrong, h27: a call reaches a session that OP-TEE is still opening, or
//! one whose number it has given to another.

mod common;

use common::{BOTH, DONE, REFUSED, get_time, outcome, resume, start};
use mediator::abi::{Command, Origin, ReturnCode, TeeResult};
use mediator_model::{Act, Client, Entered, Message, World};

/// Commands that name a session.
const NAMING: [Command; 3] = [Command::INVOKE, Command::CANCEL, Command::CLOSE_SESSION];

fn naming(command: Command, session: u32) -> Message {
    Message {
        session,
        ..Message::new(command, &[])
    }
}

fn open() -> Message {
    Message::open([9; 16], &[])
}

/// Ways in which OP-TEE does not do what it was asked.
fn failures() -> [Act; 3] {
    [
        Act::Result(TeeResult::GENERIC),
        Act::Code(ReturnCode::ETHREAD_LIMIT),
        Act::Raw(ReturnCode::OK, [0; 3]),
    ]
}

/// OPEN_SESSION on vCPU 1 up to its first RPC. Gives the answer that it waits with.
fn begin_to_open(world: &mut World) -> mediator::Results {
    let client = Client::new(world, 1, mediator_model::Way::RpcArg);
    world.optee.plans.push_back(vec![get_time()]);
    world.ram.put(client.arg, &open().words());
    let answer = world.call(1, client.regs(client.arg));
    assert_eq!(answer[0], ReturnCode::RPC_CMD.into());
    answer
}

#[test]
fn h27_the_session_that_ends_is_the_one_that_was_closed() {
    let (mut world, mut client) = start(mediator_model::Way::RpcArg);
    for _ in 0..2 {
        assert_eq!(outcome(client.call(&mut world, &open())), DONE);
    }
    let mut open = vec![1, 2, 3];
    for gone in [2, 1, 3] {
        let close = naming(Command::CLOSE_SESSION, gone);
        assert_eq!(outcome(client.call(&mut world, &close)), DONE);
        open.retain(|&session| session != gone);
        for session in 1..=3 {
            let expected = if open.contains(&session) {
                DONE
            } else {
                REFUSED
            };
            let message = naming(Command::INVOKE, session);
            assert_eq!(outcome(client.call(&mut world, &message)), expected);
        }
    }
}

#[test]
fn h27_a_session_is_named_only_while_it_is_open() {
    for way in BOTH {
        let (mut world, mut client) = start(way);
        let waits = begin_to_open(&mut world);
        let before = world.optee.seen.len();
        // 2 is the one that is being opened.
        for session in [0, 2, 3, u32::MAX] {
            for command in NAMING {
                let message = naming(command, session);
                assert_eq!(outcome(client.call(&mut world, &message)), REFUSED);
            }
        }
        assert_eq!(
            world.optee.seen.len(),
            before,
            "OP-TEE has seen none of them"
        );
        assert_eq!(world.resume(1, waits), [0; 4]);
        for command in NAMING {
            assert_eq!(outcome(client.call(&mut world, &naming(command, 2))), DONE);
        }
        for command in NAMING {
            assert_eq!(
                outcome(client.call(&mut world, &naming(command, 2))),
                REFUSED
            );
        }
        assert_eq!(world.optee.bad_sessions, 0);
    }
}

#[test]
fn h27_a_session_that_another_call_names_is_not_closed() {
    let (mut world, mut client) = start(common::BOTH[0]);
    for command in [Command::INVOKE, Command::CANCEL] {
        world.optee.plans.push_back(vec![Act::Interrupt]);
        let other = Client::new(&world, 1, client.way);
        world.ram.put(other.arg, &naming(command, 1).words());
        let waits = world.call(1, other.regs(other.arg));
        assert_eq!(waits[0], ReturnCode::RPC_FOREIGN_INTR.into());
        let close = naming(Command::CLOSE_SESSION, 1);
        assert_eq!(client.call(&mut world, &close).0, ReturnCode::ETHREAD_LIMIT);
        assert_eq!(world.call(1, resume(waits)), [0; 4]);
    }
    let invoke = naming(Command::INVOKE, 1);
    assert_eq!(outcome(client.call(&mut world, &invoke)), DONE);
    let close = naming(Command::CLOSE_SESSION, 1);
    assert_eq!(outcome(client.call(&mut world, &close)), DONE);
}

#[test]
fn h27_a_session_is_not_named_from_the_moment_it_is_being_closed() {
    let (mut world, mut client) = start(common::BOTH[0]);
    let other = Client::new(&world, 1, client.way);
    world
        .ram
        .put(other.arg, &naming(Command::CLOSE_SESSION, 1).words());
    assert_eq!(world.enter(1, other.regs(other.arg)), Entered::Secure);
    for command in NAMING {
        assert_eq!(
            outcome(client.call(&mut world, &naming(command, 1))),
            REFUSED
        );
    }
    assert_eq!(world.back(1), Entered::Reply([0; 4]));
}

#[test]
fn h27_a_session_stays_whose_closing_failed() {
    let (mut world, mut client) = start(common::BOTH[0]);
    for act in failures() {
        world.optee.plans.push_back(vec![act]);
        let close = naming(Command::CLOSE_SESSION, 1);
        assert_ne!(outcome(client.call(&mut world, &close)), DONE);
        let invoke = naming(Command::INVOKE, 1);
        assert_eq!(outcome(client.call(&mut world, &invoke)), DONE);
    }
}

#[test]
fn h27_a_session_whose_opening_failed_is_not_named() {
    let (mut world, mut client) = start(common::BOTH[0]);
    for act in failures() {
        world.optee.plans.push_back(vec![act]);
        assert_ne!(outcome(client.call(&mut world, &open())), DONE);
        for command in NAMING {
            assert_eq!(
                outcome(client.call(&mut world, &naming(command, 2))),
                REFUSED
            );
        }
    }
}

#[test]
fn h27_there_is_a_quota_of_sessions_and_a_new_life_begins_without() {
    let (mut world, mut client) = start(common::BOTH[0]);
    for _ in 1..common::small().limits.sessions {
        assert_eq!(outcome(client.call(&mut world, &open())), DONE);
    }
    let full = (ReturnCode::OK, TeeResult::OUT_OF_MEMORY, Origin::COMMS);
    assert_eq!(outcome(client.call(&mut world, &open())), full);
    let close = naming(Command::CLOSE_SESSION, 20);
    assert_eq!(outcome(client.call(&mut world, &close)), DONE);
    assert_eq!(outcome(client.call(&mut world, &open())), DONE);
    assert_eq!(outcome(client.call(&mut world, &open())), full);
    world.destroy().unwrap();
    world.create().unwrap();
    for command in NAMING {
        assert_eq!(
            outcome(client.call(&mut world, &naming(command, 1))),
            REFUSED
        );
    }
    assert_eq!(outcome(client.call(&mut world, &open())), DONE);
}
