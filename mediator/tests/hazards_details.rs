// SPDX-License-Identifier: MIT OR Apache-2.0

//! Faults that the other hazard tests did not notice: each of these fails with the one fault that its
//! comment names.

mod common;

use common::{REFUSED, code, get_time, outcome, resume, start};
use mediator::abi::{Command, Function, ReturnCode, RpcCommand, TeeResult, attr};
use mediator::{Limits, Usage};
use mediator_model::{Act, Client, Entered, Message, Param, Rpc, Way, World};

/// Registers `size` bytes under `cookie`.
fn register(world: &mut World, client: &mut Client, size: u64, cookie: u64) {
    Client::lay_list(world, client.lists, size.div_ceil(4096));
    let list = Param::list(0xa, client.lists, size, cookie);
    let done = outcome(client.call(world, &Message::new(Command::REGISTER_SHM, &[list])));
    assert_eq!((done.0, done.1), (ReturnCode::OK, TeeResult::SUCCESS));
}

/// Not if the bound is rounded up to a page.
#[test]
fn h06_memory_ends_with_the_buffer_and_not_with_its_page() {
    let (mut world, mut client) = start(Way::RpcArg);
    register(&mut world, &mut client, 100, 0x40);
    for (offset, size, allowed) in [
        (0, 100, true),
        (0, 101, false),
        (99, 2, false),
        (100, 0, true),
    ] {
        let invoke = Message::invoke(&[Param::shm(5, 0x40, offset, size)]);
        let got = outcome(client.call(&mut world, &invoke));
        assert_eq!(got != REFUSED, allowed, "{size} bytes from {offset}");
    }
}

/// Not if CLOSE_SESSION and CANCEL may have parameters.
#[test]
fn h27_closing_and_cancelling_have_no_parameters() {
    let (mut world, mut client) = start(Way::RpcArg);
    for command in [Command::CLOSE_SESSION, Command::CANCEL] {
        let message = Message {
            session: 1,
            ..Message::new(command, &[Param::value(1, 0, 0, 0)])
        };
        let before = world.optee.seen.len();
        assert_eq!(outcome(client.call(&mut world, &message)), REFUSED);
        assert_eq!(
            world.optee.seen.len(),
            before,
            "OP-TEE saw command {command}"
        );
        assert_eq!(world.optee.sessions(mediator_model::CLIENT), 1);
    }
}

/// Not if only the header's write counts.
#[test]
fn h24_an_output_that_cannot_be_written_fails_the_call() {
    let (mut world, mut client) = start(Way::RpcArg);
    let cookie = client.register(&mut world, client.lists, 2);
    // The header ends the first page; the parameter begins the second one.
    let words = Message::invoke(&[Param::value(2, 0, 0, 0)]).words();
    let (first, second) = (world.ram.page(16), world.ram.page(17));
    world.ram.put(first + 4096 - 32, &words[..4]);
    world.ram.put(second, &words[4..]);
    let regs = [
        Function::CALL_WITH_REGD_ARG.into(),
        cookie >> 32,
        cookie & 0xFFFF_FFFF,
        4096 - 32,
        0,
        0,
        0,
        0,
    ];
    assert_eq!(world.enter(0, regs), Entered::Secure);
    world.ram.vanish(second);
    assert_eq!(world.back(0), Entered::Reply(code(ReturnCode::EBADADDR)));
    world.ram.restore();
    assert_eq!(world.usage().calls, 0);
}

/// Not if the bits of OP-TEE's attributes beside the type go unchecked.
#[test]
fn h03_attributes_that_optee_never_sends_are_refused() {
    for bits in [attr::META, attr::NONCONTIG, 1 << 16, 1 << 40] {
        let (mut world, mut client) = start(Way::RpcArg);
        let odd = Rpc {
            command: RpcCommand::GET_TIME,
            params: vec![[2 | bits, 0, 0, 0]],
        };
        world.optee.plans.push_back(vec![Act::Rpc(odd)]);
        client.call(&mut world, &Message::invoke(&[]));
        assert!(client.served.is_empty(), "attribute bits {bits:#x}");
        assert_eq!(world.optee.served[0][0], TeeResult::BAD_PARAMETERS.into());
    }
}

/// Not if the guest is told to free cookie 0.
#[test]
fn h17_a_refused_payload_without_a_cookie_is_not_freed() {
    let (mut world, client) = start(Way::RpcArg);
    world
        .optee
        .plans
        .push_back(vec![Act::Alloc(4096, 0), get_time()]);
    world.ram.put(client.arg, &Message::invoke(&[]).words());
    let answer = world.call(0, client.regs(client.arg));
    assert_eq!(answer[0], ReturnCode::RPC_CMD.into());
    Client::lay_list(&world, client.lists, 1);
    world.ram.put(client.arg + 48, &[0]);
    let given = Param::list(0xa, client.lists, 4096, 0);
    world.ram.put(client.arg + 64, &given);
    let next = world.resume(0, answer);
    assert_eq!(next[0], ReturnCode::RPC_CMD.into());
    let command = RpcCommand::of(world.ram.get(client.arg + 32));
    assert_eq!(
        command,
        RpcCommand::GET_TIME,
        "OP-TEE goes on, and nothing is freed"
    );
}

/// Not if more than one parameter is admitted.
#[test]
fn h05_a_buffer_is_registered_and_unregistered_alone() {
    let (mut world, mut client) = start(Way::RpcArg);
    register(&mut world, &mut client, 4096, 0x40);
    let before = world.optee.seen.len();
    let list = |cookie| Param::list(0xa, client.lists, 4096, cookie);
    let two = Message::new(Command::REGISTER_SHM, &[list(0x50), list(0x60)]);
    let shm = Param::shm(5, 0x40, 0, 0);
    let with_none = Message::new(Command::UNREGISTER_SHM, &[shm, Param::NONE]);
    let twice = Message::new(Command::UNREGISTER_SHM, &[shm, shm]);
    for message in [two, with_none, twice] {
        assert_eq!(outcome(client.call(&mut world, &message)), REFUSED);
    }
    assert_eq!(world.optee.seen.len(), before, "OP-TEE saw one of them");
    assert_eq!(world.usage().buffers, 1);
}

/// Not if UNREGISTER_SHM's offset and size are passed on.
#[test]
fn h02_of_an_unregistering_optee_sees_the_cookie_alone() {
    let (mut world, mut client) = start(Way::RpcArg);
    register(&mut world, &mut client, 4096, 0x40);
    let message = Message::new(
        Command::UNREGISTER_SHM,
        &[Param::shm(5, 0x40, 0x1234, 0x5678)],
    );
    let done = outcome(client.call(&mut world, &message));
    assert_eq!((done.0, done.1), (ReturnCode::OK, TeeResult::SUCCESS));
    assert_eq!(world.optee.seen.last().unwrap()[4..8], [5, 0, 0, 0x40]);
    assert_eq!(world.usage(), Usage::default());
}

/// Not if a quota beyond what the index types hold is taken as it is.
#[test]
fn h12_quotas_are_fitted_to_what_can_be_counted() {
    let limits = Limits {
        calls: u16::MAX,
        list_frames: u16::MAX,
        ..Limits::default()
    };
    let most = Limits::MAX_CALLS + Limits::MAX_LIST_FRAMES;
    assert_eq!(limits.frames(), usize::from(most));
}

/// Not if a list that fills its page is taken to go on in another.
#[test]
fn h03_nothing_behind_a_list_that_fills_its_page_is_read() {
    let (mut world, mut client) = start(Way::RpcArg);
    world.ram.forget_reads();
    client.register(&mut world, client.lists, 511);
    let reads = [510, 511].map(|n| world.ram.reads(client.lists + n * 8));
    assert_eq!(reads, [1, 0]);
}

/// Not if what a classic guest did not give is given back to it.
#[test]
fn h17_a_page_that_was_not_given_is_not_freed() {
    let (mut world, client) = start(Way::Classic);
    for (page, cookie) in [(0, 0x100), (client.rpc_page, 0), (0, 0)] {
        world.optee.plans.push_back(vec![get_time()]);
        world.ram.put(client.arg, &Message::invoke(&[]).words());
        let asked = world.call(0, client.regs(client.arg));
        assert_eq!(asked[0], ReturnCode::RPC_ALLOC.into());
        let mut given = resume(asked);
        (given[1], given[2], given[5]) = (0, page, cookie);
        assert_eq!(world.call(0, given), [0; 4], "OP-TEE goes on at once");
        assert_ne!(
            world.optee.served.last().unwrap()[0],
            0,
            "without an answer"
        );
        assert_eq!(world.usage(), Usage::default());
    }
}
