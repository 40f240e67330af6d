// SPDX-License-Identifier: MIT OR Apache-2.0

//! Finding OP-TEE, and what is said when it cannot be shared.

use mediator::abi::{Command, Function, ReturnCode, RpcCommand, TeeResult, cap};
use mediator::{Config, Event, EventKind, ProbeError, Results, probe};
use mediator_model::{Act, Client, Message, Param, Rpc, Way, World};

const NEEDED: u32 = cap::DYNAMIC_SHM | cap::RPC_ARG;

/// An OP-TEE that answers well but for one function.
fn with(odd: Function, answer: Results) -> Result<mediator::Optee, ProbeError> {
    probe(|regs| {
        assert_eq!(regs[1..], [0; 7], "w7 = 0 is the hypervisor");
        match Function::of(regs[0]) {
            id if id == odd => answer,
            Function::CALLS_UID => [0x384f_b3e0, 0xe7f8_11e3, 0xaf63_0002, 0xa5d5_c51b],
            Function::CALLS_REVISION => [2, 0, 0, 0],
            Function::GET_OS_REVISION => [4, 10, 0x1234, 0],
            Function::EXCHANGE_CAPABILITIES => [0, 0xdd, 0, 4],
            Function::GET_THREAD_COUNT => [0, 2, 0, 0],
            Function::CALLS_COUNT | Function::GET_OS_UUID => [12, 0, 0, 0],
            Function::DISABLE_SHM_CACHE => [ReturnCode::ENOTAVAIL.into(), 0, 0, 0],
            id => panic!("{id} is not for the hypervisor itself"),
        }
    })
}

#[test]
fn an_optee_that_can_be_shared_is_found() {
    let optee = with(Function(0), [0; 4]).unwrap();
    assert_eq!(optee.os_revision(), [4, 10, 0x1234]);
    assert_eq!((optee.threads(), optee.capabilities()), (Some(2), 0xdd));
    // Upper halves of registers do not count.
    let upper = 0xFFFF_0000_0000_0000;
    assert!(with(Function::CALLS_REVISION, [upper | 2, upper, upper, upper]).is_ok());
}

#[test]
fn an_old_optee_without_thread_count_is_found_too() {
    let optee = with(
        Function::GET_THREAD_COUNT,
        [ReturnCode::UNKNOWN.into(), 0, 0, 0],
    )
    .unwrap();
    assert_eq!(optee.threads(), None);
}

#[test]
fn an_optee_for_one_normal_world_is_found_as_such() {
    let caps = |caps: u32| with(Function::EXCHANGE_CAPABILITIES, [0, caps.into(), 0, 4]).unwrap();
    assert!(!caps(NEEDED).is_shared());
    assert!(caps(NEEDED | cap::VIRTUALIZATION).is_shared());
}

/// What it keeps of an earlier normal world it would write to.
#[test]
fn h35_an_optee_for_one_normal_world_gives_up_what_it_keeps_of_the_last() {
    let found = |kept: usize, then: ReturnCode| {
        let mut given = 0;
        let found = probe(|regs| match Function::of(regs[0]) {
            Function::EXCHANGE_CAPABILITIES => [0, NEEDED.into(), 0, 4],
            Function::DISABLE_SHM_CACHE if given < kept => {
                given += 1;
                [0, 0, 0xffff, 0]
            }
            Function::DISABLE_SHM_CACHE => [then.into(), 0, 0, 0],
            Function::CALLS_UID => [0x384f_b3e0, 0xe7f8_11e3, 0xaf63_0002, 0xa5d5_c51b],
            Function::CALLS_REVISION => [2, 0, 0, 0],
            _ => [0; 4],
        });
        (found.map(|_| ()), given)
    };
    assert_eq!(found(3, ReturnCode::ENOTAVAIL), (Ok(()), 3));
    assert_eq!(found(0, ReturnCode::UNKNOWN), (Ok(()), 0));
    assert_eq!(found(1, ReturnCode::EBUSY).0, Err(ProbeError::Busy));
    assert_eq!(
        found(usize::MAX, ReturnCode::OK),
        (Err(ProbeError::Busy), 256)
    );
}

#[test]
fn what_cannot_be_used_is_said() {
    let lacks = |caps: u32| with(Function::EXCHANGE_CAPABILITIES, [0, caps.into(), 0, 4]);
    let unknown = [ReturnCode::UNKNOWN.into(), 0, 0, 0];
    for (found, error, text) in [
        (
            with(Function::CALLS_UID, unknown),
            ProbeError::NotOptee,
            "the firmware does not answer as OP-TEE",
        ),
        (
            with(Function::CALLS_REVISION, [3, 0, 0, 0]),
            ProbeError::Revision(3),
            "OP-TEE's API has revision 3, not 2",
        ),
        (
            with(Function::EXCHANGE_CAPABILITIES, [7, 0, 0, 0]),
            ProbeError::Exchange(ReturnCode::ENOTAVAIL),
            "OP-TEE answers ENOTAVAIL (0x7) about its capabilities",
        ),
        (
            lacks(cap::DYNAMIC_SHM),
            ProbeError::Lacks(cap::RPC_ARG),
            "OP-TEE is built without RPC arguments from the caller",
        ),
        (
            lacks(0),
            ProbeError::Lacks(NEEDED),
            "OP-TEE is built without dynamic shared memory, RPC arguments from the caller",
        ),
        (
            with(Function::EXCHANGE_CAPABILITIES, [0, NEEDED.into(), 0, 5]),
            ProbeError::RpcParams(5),
            "OP-TEE's RPC argument has 5 parameters",
        ),
        (
            with(Function::EXCHANGE_CAPABILITIES, [0, NEEDED.into(), 0, 0]),
            ProbeError::RpcParams(0),
            "OP-TEE's RPC argument has 0 parameters",
        ),
    ] {
        assert_eq!(found, Err(error));
        assert_eq!(error.to_string(), text);
    }
}

#[test]
fn every_transition_is_traced() {
    let mut world = World::new(
        Config {
            notifications: true,
            ..Config::default()
        },
        128,
    );
    let mut client = Client::new(&world, 3, Way::Classic);
    let opened = world.guest.trace().0.len();
    world.call(
        3,
        [Function::ENABLE_ASYNC_NOTIF.into(), 0, 0, 0, 0, 0, 0, 0],
    );
    let bench = Rpc {
        command: RpcCommand::BENCH_REG,
        params: vec![],
    };
    let time = Rpc {
        command: RpcCommand::GET_TIME,
        params: vec![Param::value(2, 0, 0, 0)],
    };
    world
        .optee
        .plans
        .push_back(vec![Act::Interrupt, Act::Rpc(time), Act::Rpc(bench)]);
    Client::lay_list(&world, client.lists, 512);
    let list = Param::list(9, client.lists, 512 * 4096, 0x10);
    client.call(&mut world, &Message::invoke(&[list]));
    client.call(&mut world, &Message::invoke(&[Param::shm(5, 1, 0, 1)]));
    let events = &world.guest.trace().0[opened..];
    assert!(events.iter().all(|event| event.vcpu.0 == 3));
    let what: Vec<EventKind> = events.iter().map(|event| event.what).collect();
    let expected = [
        EventKind::Fast(Function::ENABLE_ASYNC_NOTIF),
        EventKind::Taken(Command::INVOKE),
        EventKind::Chunk,
        EventKind::Chunk,
        EventKind::Secure,
        EventKind::Interrupted,
        EventKind::Secure,
        EventKind::RpcPage,
        EventKind::Rpc(RpcCommand::GET_TIME),
        EventKind::Secure,
        EventKind::RpcAnswered(TeeResult::NOT_SUPPORTED),
        EventKind::Interrupted,
        EventKind::Secure,
        EventKind::RpcPage,
        EventKind::Ended(ReturnCode::OK),
        EventKind::Taken(Command::INVOKE),
        EventKind::Refused(TeeResult::BAD_PARAMETERS),
        EventKind::Ended(ReturnCode::OK),
    ];
    assert_eq!(what, expected);
    let calls: Vec<u32> = events.iter().map(|Event { call, .. }| *call).collect();
    assert_eq!(calls[0], 0);
    assert!(calls[1..15].iter().all(|&call| call == calls[1]));
    assert_ne!(calls[15], calls[1]);
    let counters = world.counters();
    // The first one opened the session.
    assert_eq!((counters.calls, counters.fast, counters.chunks), (3, 1, 2));
    assert_eq!(
        (counters.interrupts, counters.rpcs, counters.rpcs_answered),
        (2, 1, 1)
    );
    assert_eq!((counters.refusals, counters.turned_away), (1, 0));
}
