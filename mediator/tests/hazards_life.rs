// SPDX-License-Identifier: MIT OR Apache-2.0

//! Ways in which a mediator can go wrong, h19 to h26: life and death of a guest, quotas, and everything around its calls.
//!
//! The row of the hazard list is in the test's name; the test fails if the mistake is made.

mod common;

use common::{BOTH, DONE, REFUSED, code, get_time, outcome, resume, small, start};
use mediator::abi::{Command, Function, Origin, ReturnCode, TeeResult, attr};
use mediator::{Config, CreateError, Dialect, Results, TaPolicy, Usage, Uuid};
use mediator_model::{Act, CLIENT, Client, Entered, FakeOptee, Message, Param, Way, World};

#[test]
fn h19_destroy_waits_for_all_vcpus_and_leaves_nothing() {
    let config = Config {
        notifications: true,
        ..small()
    };
    let mut world = World::new(config, 128);
    let mut client = Client::new(&world, 0, Way::RpcArg);
    let enable = [Function::ENABLE_ASYNC_NOTIF.into(), 0, 0, 0, 0, 0, 0, 0];
    assert_eq!(world.call(0, enable), [0; 4]);
    assert!(world.guest.wants_notifications());
    client.register(&mut world, client.lists, 5);
    // One call suspended in an RPC, one half-way through a list, one in the secure world.
    world
        .optee
        .plans
        .push_back(vec![Act::Alloc(8192, 0), get_time()]);
    world.ram.put(client.arg, &Message::invoke(&[]).words());
    let in_rpc = world.call(0, client.regs(client.arg));
    client.serve_command(&world, client.arg + 32);
    let in_rpc = world.resume(0, in_rpc);
    assert_eq!(in_rpc[0], ReturnCode::RPC_CMD.into());
    let other = Client::new(&world, 1, Way::RpcArg);
    Client::lay_list(&world, client.lists, 600);
    let list = Param::list(0xa, client.lists, 600 * 4096, 0x10);
    world.ram.put(
        other.arg,
        &Message::new(Command::REGISTER_SHM, &[list]).words(),
    );
    let half_way = world.call(1, other.regs(other.arg));
    assert_eq!(half_way[0], ReturnCode::RPC_FOREIGN_INTR.into());
    let third = Client::new(&world, 2, Way::RpcArg);
    world.ram.put(third.arg, &Message::invoke(&[]).words());
    assert_eq!(world.enter(2, third.regs(third.arg)), Entered::Secure);

    let before = world.usage();
    assert_eq!(
        (
            before.calls,
            before.inside,
            before.buffers,
            before.list_frames
        ),
        (3, 1, 3, 3)
    );
    assert!(world.destroy().is_err());
    assert_eq!(world.usage(), before, "nothing was done");
    assert!(world.optee.knows(CLIENT));
    assert_eq!(world.back(2), Entered::Reply([0; 4]));
    world.destroy().unwrap();
    assert_eq!(
        world.call(0, client.regs(client.arg)),
        code(ReturnCode::UNKNOWN)
    );
    // A new life: no old id, cookie or notification works.
    world.create().unwrap();
    for stale in [in_rpc, half_way] {
        assert_eq!(world.call(0, resume(stale)), code(ReturnCode::ERESUME));
    }
    let cookie = client.next_cookie;
    assert_eq!(
        client.unregister(&mut world, cookie).1,
        TeeResult::BAD_PARAMETERS
    );
    let full: Vec<u64> = (0..8)
        .map(|_| client.register(&mut world, client.lists, 1))
        .collect();
    assert_eq!(full.len() as u32, world.usage().buffers);
    assert!(!world.guest.wants_notifications());
}

#[test]
fn h20_nothing_is_released_before_vm_destroyed() {
    let (mut world, mut client) = start(Way::RpcArg);
    client.register(&mut world, client.lists, 5);
    world.ram.put(client.arg, &Message::invoke(&[]).words());
    assert_eq!(world.enter(0, client.regs(client.arg)), Entered::Secure);
    world.optee.calls.clear();
    assert!(world.destroy().is_err(), "the kernel may not scrub yet");
    assert!(world.optee.calls.is_empty());
    assert_eq!(world.optee.shm_count(CLIENT), world.usage().buffers);
    assert_eq!(world.back(0), Entered::Reply([0; 4]));
    world.destroy().expect("now it may");
    let last = *world.optee.calls.last().unwrap();
    assert_eq!(
        last,
        Function::VM_DESTROYED,
        "Ok only after OP-TEE was told"
    );
    assert_eq!(world.optee.shm_count(CLIENT), 0);
}

#[test]
fn h21_disabling_the_cache_ends_at_once() {
    for dialect in [Dialect::Modern, Dialect::Classic] {
        let mut world = World::new(Config { dialect, ..small() }, 128);
        let client = Client::new(&world, 0, Way::Classic);
        let fast = |id: Function| [u64::from(id), 0, 0, 0, 0, 0, 0, 0];
        let disabled = code(ReturnCode::ENOTAVAIL);
        assert_eq!(world.call(1, fast(Function::DISABLE_SHM_CACHE)), disabled);
        assert_eq!(world.call(1, fast(Function::ENABLE_SHM_CACHE)), [0; 4]);
        // Not even a call that waits for the guest makes it wait.
        world.optee.plans.push_back(vec![get_time()]);
        world.ram.put(client.arg, &Message::invoke(&[]).words());
        let answer = world.call(0, client.regs(client.arg));
        assert_eq!(answer[0], ReturnCode::RPC_ALLOC.into());
        assert_eq!(world.call(1, fast(Function::DISABLE_SHM_CACHE)), disabled);
        assert_eq!(world.call(1, fast(Function::DISABLE_SHM_CACHE)), disabled);
    }
}

#[test]
fn h22_a_flood_meets_quotas_and_hurts_nobody_else() {
    let (mut world, mut client) = start(Way::RpcArg);
    world.join(small(), 128);
    world.switch();
    // Buffers and pages.
    let cookies: Vec<u64> = (0..8)
        .map(|_| client.register(&mut world, client.lists, 1))
        .collect();
    let list = |pages: u64, cookie| {
        Message::new(
            Command::REGISTER_SHM,
            &[Param::list(0xa, client.lists, pages * 4096, cookie)],
        )
    };
    let full = (ReturnCode::OK, TeeResult::OUT_OF_MEMORY, Origin::COMMS);
    let messages = [list(1, 0x10), list(2042, 0x10)];
    assert_eq!(outcome(client.call(&mut world, &messages[0])), full);
    client.unregister(&mut world, cookies[0]);
    assert_eq!(outcome(client.call(&mut world, &messages[1])), full);
    assert_eq!(outcome(client.call(&mut world, &messages[0])), DONE);
    // Calls.
    let waiting: Vec<Results> = (0..4)
        .map(|n| {
            let caller = Client::new(&world, n, Way::Classic);
            world.optee.threads = 4;
            world.optee.plans.push_back(vec![get_time()]);
            world.ram.put(caller.arg, &Message::invoke(&[]).words());
            world.call(n, caller.regs(caller.arg))
        })
        .collect();
    assert!(
        waiting
            .iter()
            .all(|answer| answer[0] == ReturnCode::RPC_ALLOC.into())
    );
    let arg = client.arg;
    assert_eq!(
        world.call(5, client.regs(arg)),
        code(ReturnCode::ETHREAD_LIMIT)
    );
    let calls = world.optee.calls.len();
    assert_eq!(
        world.call(5, client.regs(arg)),
        code(ReturnCode::ETHREAD_LIMIT)
    );
    assert_eq!(world.optee.calls.len(), calls, "OP-TEE is not bothered");
    assert_eq!(world.counters().turned_away, 2);
    // The other guest has all its quotas.
    world.switch();
    let mut neighbour = Client::new(&world, 0, Way::RpcArg);
    let mine: Vec<u64> = (0..8)
        .map(|_| neighbour.register(&mut world, neighbour.lists, 1))
        .collect();
    assert_eq!((mine.len(), world.usage().buffers), (8, 8));
    world.destroy().unwrap();
    let kept = world.optee.shm_count(CLIENT);
    assert_eq!(kept, 8, "the first guest's buffers are its own");
}

#[test]
fn h22_list_frames_run_out_for_a_while_or_for_ever() {
    let (mut world, mut client) = start(Way::RpcArg);
    let other = Client::new(&world, 1, Way::RpcArg);
    Client::lay_list(&world, client.lists, 2044);
    let invoke = |pages: u64, c| Message::invoke(&[Param::list(9, client.lists, pages * 4096, c)]);
    world.optee.plans.push_back(vec![Act::Interrupt]);
    world.ram.put(other.arg, &invoke(511, 0x10).words());
    let waits = world.call(1, other.regs(other.arg));
    // Four frames are needed, three are left: wait for the other call. Five never fit.
    let messages = [
        invoke(511 * 3, 0x20),
        invoke(511 * 3 + 1, 0x20),
        invoke(511 * 4 + 1, 0x20),
    ];
    assert_eq!(outcome(client.call(&mut world, &messages[0])), DONE);
    assert_eq!(
        client.call(&mut world, &messages[1]).0,
        ReturnCode::ETHREAD_LIMIT
    );
    let never = outcome(client.call(&mut world, &messages[2]));
    assert_eq!(
        never,
        (ReturnCode::OK, TeeResult::OUT_OF_MEMORY, Origin::COMMS)
    );
    assert_eq!(world.resume(1, waits), [0; 4]);
    // Pages of the quota are free again too.
    assert_eq!(world.usage(), Usage::default());
}

#[test]
fn h23_an_output_size_is_a_number_and_no_length() {
    let (mut world, mut client) = start(Way::RpcArg);
    let cookie = client.register(&mut world, client.lists, 1);
    for size in [0, 4097, 1 << 33, u64::MAX >> 1] {
        let message = Message::invoke(&[Param::shm(6, cookie, 0, 16), Param::value(1, 9, 9, 9)]);
        world
            .optee
            .plans
            .push_back(vec![Act::Raw(ReturnCode::OK, [0; 3])]);
        world.ram.put(client.arg, &message.words());
        assert_eq!(world.enter(0, client.regs(client.arg)), Entered::Secure);
        world.smc(0);
        world.pool.poke(mediator_model::POOL_PA + 48, size);
        world
            .pool
            .poke(mediator_model::POOL_PA + 16, 0xFFFF_0010 << 32);
        assert_eq!(world.back(0), Entered::Reply([0; 4]));
        assert_eq!(world.ram.get(client.arg + 48), size);
        assert_eq!(
            world.ram.get(client.arg + 16) >> 32,
            0xFFFF_0010,
            "SHORT_BUFFER"
        );
        assert_eq!(
            world.ram.get(client.arg + 64),
            1,
            "the next parameter is untouched"
        );
    }
}

#[test]
fn h24_a_message_that_vanished_releases_all_the_same() {
    for way in BOTH {
        let (mut world, mut client) = start(way);
        let cookie = client.register(&mut world, client.lists, 1);
        let unregister = Message::new(Command::UNREGISTER_SHM, &[Param::shm(5, cookie, 0, 0)]);
        let list = Param::list(0xb, client.lists, 4096, 0x10);
        for message in [
            Message::invoke(&[list]),
            Message::new(Command::REGISTER_SHM, &[[0x20a, list[1], 4096, 0x20]]),
            unregister,
        ] {
            world.ram.put(client.arg, &message.words());
            assert_eq!(world.enter(0, client.regs(client.arg)), Entered::Secure);
            world.ram.vanish(client.arg);
            assert_eq!(world.back(0), Entered::Reply(code(ReturnCode::EBADADDR)));
            world.ram.restore();
            assert_eq!(world.usage().calls + world.usage().list_frames, 0);
            assert_eq!(world.usage().buffers, world.optee.shm_count(CLIENT));
        }
        assert_eq!(
            client.unregister(&mut world, 0x20),
            (ReturnCode::OK, TeeResult::SUCCESS),
            "OP-TEE had registered it"
        );
        assert_eq!(world.usage(), Usage::default());
        // The RPC argument vanishes: before the command is written, and before the answer is read.
        for late in [false, true] {
            world
                .optee
                .plans
                .push_back(vec![Act::Interrupt, get_time()]);
            world.ram.put(client.arg, &Message::invoke(&[]).words());
            let mut answer = world.call(0, client.regs(client.arg));
            if way == Way::RpcArg {
                if late {
                    answer = world.resume(0, answer);
                }
                world.ram.vanish(client.arg);
                answer = world.resume(0, answer);
                if !late {
                    // The request was refused without the guest, which takes its interrupts first.
                    assert_eq!(answer[0], ReturnCode::RPC_FOREIGN_INTR.into());
                    answer = world.resume(0, answer);
                }
                assert_eq!(answer, code(ReturnCode::EBADADDR));
                assert_ne!(world.optee.served.last().unwrap()[0], 0);
                world.ram.restore();
            } else {
                assert_eq!(client.serve(&mut world, answer, 0), ReturnCode::OK);
            }
            assert_eq!(world.usage(), Usage::default());
            assert_eq!(world.optee.busy_threads(CLIENT), 0);
        }
    }
}

#[test]
fn h24_a_message_in_a_buffer_that_is_unregistered_meanwhile() {
    let (mut world, mut client) = start(Way::RpcArg);
    let cookie = client.register(&mut world, client.lists, 1);
    let words = Message::invoke(&[Param::value(2, 0, 0, 0)]).words();
    world.ram.put(world.ram.page(16), &words);
    let regs = [
        Function::CALL_WITH_REGD_ARG.into(),
        cookie >> 32,
        cookie & 0xFFFF_FFFF,
        0,
        0,
        0,
        0,
        0,
    ];
    assert_eq!(world.enter(1, regs), Entered::Secure);
    assert_eq!(
        client.unregister(&mut world, cookie),
        (ReturnCode::OK, TeeResult::SUCCESS)
    );
    assert_eq!(world.back(1), Entered::Reply([0; 4]));
    assert_eq!(
        world.ram.get(world.ram.page(16) + 40),
        mediator_model::output(0, 1)
    );
    assert_eq!(world.call(1, regs), code(ReturnCode::EBADADDR));
    assert_eq!(world.usage(), Usage::default());
}

#[test]
fn h25_a_guest_that_optee_refuses_has_no_tee() {
    let mut optee = FakeOptee::default();
    optee.max_guests = 0;
    let mut world = World::unborn(small(), optee, 128, CLIENT);
    let error = world.create().unwrap_err();
    assert_eq!(error, CreateError::Full);
    assert_eq!(error.to_string(), "OP-TEE has no room for another guest");
    assert!(!world.guest.has_tee());
    let client = Client::new(&world, 0, Way::RpcArg);
    world.optee.calls.clear();
    for id in [
        Function::CALLS_UID,
        Function::EXCHANGE_CAPABILITIES,
        Function::CALL_WITH_ARG,
    ] {
        let regs = [id.into(), 0, client.arg, 0, 0, 0, 0, 0];
        assert_eq!(world.call(0, regs), code(ReturnCode::UNKNOWN));
    }
    world.destroy().unwrap();
    assert!(
        world.optee.calls.is_empty(),
        "VM_DESTROYED for a guest that OP-TEE does not know"
    );
    // With room, it is taken; twice it never is.
    world.optee.max_guests = 1;
    world.create().unwrap();
    assert_eq!(world.create(), Err(CreateError::Exists));
}

#[test]
fn h26_undefined_functions_are_unknown_and_upper_bits_do_not_count() {
    let (mut world, client) = start(Way::RpcArg);
    world.ram.put(client.arg, &Message::invoke(&[]).words());
    let known = [
        Function::CALLS_COUNT,
        Function::CALLS_UID,
        Function::CALLS_REVISION,
        Function::GET_OS_UUID,
        Function::GET_OS_REVISION,
        Function::CALL_RETURN_FROM_RPC,
        Function::CALL_WITH_ARG,
        Function::GET_SHM_CONFIG,
        Function::EXCHANGE_CAPABILITIES,
        Function::DISABLE_SHM_CACHE,
        Function::ENABLE_SHM_CACHE,
        Function::GET_THREAD_COUNT,
        Function::ENABLE_ASYNC_NOTIF,
        Function::GET_ASYNC_NOTIF_VALUE,
        Function::CALL_WITH_RPC_ARG,
        Function::CALL_WITH_REGD_ARG,
    ];
    world.optee.calls.clear();
    for base in [
        0x3200_0000,
        0xB200_0000,
        0xBF00_0000,
        0x3F00_0000,
        0x7200_0000,
        0xF200_0000_u32,
    ] {
        for id in (base..=base + 0xFFFF).map(Function) {
            if !known.contains(&id) {
                let regs = [id.into(), 0, client.arg, 1, 0, 0, 0, 0];
                assert_eq!(world.call(0, regs), code(ReturnCode::UNKNOWN), "{id}");
            }
        }
    }
    assert!(world.optee.calls.is_empty());
    let upper = 0xDEAD_BEEF_u64 << 32;
    let regs = client.regs(client.arg).map(|x| x | upper);
    assert_eq!(
        world.call(0, regs),
        [0; 4],
        "SMC32: w0 to w3 count, x0 to x3 do not"
    );
    let uid = world.call(
        0,
        [upper | u64::from(Function::CALLS_UID), 0, 0, 0, 0, 0, 0, 0],
    );
    assert_eq!(uid[0], 0x384f_b3e0);
}

#[test]
fn a_policy_decides_at_open_session() {
    let (mine, other) = ([0x11; 16], [0x22; 16]);
    let list: Box<[Uuid]> = Box::new([Uuid(mine)]);
    for (policy, allowed) in [
        (TaPolicy::Any, [true, true]),
        (TaPolicy::Only(list.clone()), [true, false]),
        (TaPolicy::Except(list), [false, true]),
    ] {
        let mut world = World::new(Config { policy, ..small() }, 128);
        let mut client = Client::new(&world, 0, Way::RpcArg);
        for (uuid, allowed) in [mine, other].into_iter().zip(allowed) {
            let denied = (ReturnCode::OK, TeeResult::ACCESS_DENIED, Origin::COMMS);
            let got = outcome(client.call(&mut world, &Message::open(uuid, &[])));
            assert_eq!(got, if allowed { DONE } else { denied });
        }
        // The identity must be where the policy looks for it.
        let mut message = Message::open(mine, &[]);
        message.params[0][0] = attr::VALUE_IN;
        assert_eq!(outcome(client.call(&mut world, &message)), REFUSED);
    }
}
