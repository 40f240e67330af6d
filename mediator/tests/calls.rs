// SPDX-License-Identifier: MIT OR Apache-2.0

//! Calls as a well-behaved client makes them, in both dialects.

use mediator::abi::{Command, Function, ReturnCode, RpcCommand, TeeResult};
use mediator::{Config, Dialect};
use mediator_model::{Act, CLIENT, Client, Message, Param, Rpc, Way, World, output};

const BOTH: [Way; 2] = [Way::RpcArg, Way::Classic];

fn world() -> World {
    World::new(Config::default(), 128)
}

#[test]
fn a_call_carries_values_and_buffers_both_ways() {
    for way in BOTH {
        let mut world = world();
        let mut client = Client::new(&world, 0, way);
        let cookie = client.register(&mut world, client.lists, 3);
        let params = [
            Param::value(3, 1, 2, 3),
            Param::shm(6, cookie, 4096, 8192),
            Param::NULL,
            Param::value(1, 7, 8, 9),
        ];
        let (w0, words) = client.call(&mut world, &Message::invoke(&params));
        assert_eq!((w0, words[2], words[3]), (ReturnCode::OK, 0, 4 << 32 | 4));
        assert_eq!(words[4..8], [3, output(0, 1), output(0, 2), output(0, 3)]);
        assert_eq!(words[8..12], [6, 4096, output(1, 2), cookie]);
        assert_eq!(words[12..20], [9, 0, 16, 0, 1, 7, 8, 9]);
        assert_eq!(world.optee.seen[1][4..8], [3, 1, 2, 3]);
        assert_eq!(world.optee.bad_cookies, 0);
        assert_eq!(
            client.unregister(&mut world, cookie),
            (ReturnCode::OK, TeeResult::SUCCESS)
        );
        world.destroy().unwrap();
    }
}

#[test]
fn rpcs_are_served_in_both_dialects() {
    for way in BOTH {
        let mut world = world();
        let mut client = Client::new(&world, 0, way);
        let time = Rpc {
            command: RpcCommand::GET_TIME,
            params: vec![Param::value(2, 0, 0, 0)],
        };
        world.optee.plans.push_back(vec![
            Act::Interrupt,
            Act::Rpc(time),
            Act::Alloc(5000, 0),
            Act::Interrupt,
            Act::Rpc(Rpc {
                command: RpcCommand::FS,
                params: vec![Param::value(1, 5, 6, 7), Param::NULL],
            }),
        ]);
        let (w0, words) = client.call(&mut world, &Message::invoke(&[]));
        assert_eq!((w0, words[2]), (ReturnCode::OK, 0));
        assert_eq!(client.interrupts, 2);
        assert_eq!(client.asked, u32::from(way == Way::Classic));
        assert_eq!(world.optee.served[0], [0, 2, 0x51, 0x52, 0x53]);
        assert_eq!(
            client.served[2],
            (RpcCommand::FS, vec![[1, 5, 6, 7], [9, 0, 16, 0]])
        );
        let shm = world.optee.shm(CLIENT);
        let (&cookie, payload) = shm.first_key_value().unwrap();
        assert_eq!(
            (payload.pages.len(), payload.size, payload.payload),
            (2, 5000, true)
        );
        assert_eq!(world.ram.owner(payload.pages[1]), Some(world.ram.page(17)));

        world.optee.plans.push_back(vec![Act::Free(cookie)]);
        client.call(&mut world, &Message::invoke(&[]));
        assert!(client.freed.contains(&cookie));
        assert_eq!(world.usage().buffers, 0);
    }
}

#[test]
fn a_session_lives_from_open_to_close() {
    let mut world = world();
    let mut client = Client::new(&world, 0, Way::RpcArg);
    let open = Message {
        cancel: 0x77,
        ..Message::open([1; 16], &[Param::value(2, 0, 0, 0)])
    };
    let (w0, words) = client.call(&mut world, &open);
    assert_eq!(
        (w0, words[2], words[1]),
        (ReturnCode::OK, 0, 0x77 << 32 | 2)
    );
    assert_eq!(words[13], output(2, 1));
    assert_eq!(world.optee.sessions(CLIENT), 2);
    let close = Message {
        session: 2,
        ..Message::new(Command::CLOSE_SESSION, &[])
    };
    assert_eq!(client.call(&mut world, &close).1[2], 0);
    assert_eq!(world.optee.sessions(CLIENT), 1);
    assert_eq!(
        client.call(&mut world, &close).1[2] >> 32,
        u64::from(TeeResult::BAD_PARAMETERS)
    );
}

#[test]
fn a_message_may_lie_across_two_pages_of_a_registered_buffer() {
    let mut world = world();
    let mut client = Client::new(&world, 0, Way::RpcArg);
    // Pages 20 and 30 are the buffer: neighbours in it, not in RAM.
    let list = client.lists;
    world
        .ram
        .put(list, &[world.ram.page(20), world.ram.page(30)]);
    let param = Param::list(0xa, list | 0x100, 7000, 0x10);
    let register = Message::new(Command::REGISTER_SHM, &[param]);
    assert_eq!(client.call(&mut world, &register).1[2], 0);

    let words = Message::invoke(&[Param::value(3, 1, 2, 3), Param::value(2, 0, 0, 0)]).words();
    for first in (0..=words.len() as u64 + 20).rev() {
        // `first` words lie in the first page, the rest and the RPC argument in the second.
        let (before, behind) = (world.ram.page(21), world.ram.page(30));
        let place = |n: u64| match n < first {
            true => before - (first - n) * 8,
            false => behind + (n - first) * 8,
        };
        for (n, &word) in (0..).zip(&words) {
            world.ram.put(place(n), &[word]);
        }
        let time = Rpc {
            command: RpcCommand::GET_TIME,
            params: vec![Param::value(2, 0, 0, 0)],
        };
        world.optee.plans.push_back(vec![Act::Rpc(time)]);
        let offset = 4096 - first * 8 - 0x100;
        let regs = [
            Function::CALL_WITH_REGD_ARG.into(),
            0,
            0x10,
            offset,
            0,
            0,
            0,
            0,
        ];
        let answer = world.call(0, regs);
        let rpc_arg: Vec<u64> = (12..20).map(|n| world.ram.get(place(n))).collect();
        assert_eq!(
            answer[0],
            u64::from(ReturnCode::RPC_CMD),
            "{first} words in the first page"
        );
        assert_eq!(rpc_arg[0], u64::from(RpcCommand::GET_TIME));
        assert_eq!(rpc_arg[4], 2);
        for (n, word) in [(14, 0), (17, 0x61), (18, 0x62), (19, 0x63)] {
            world.ram.put(place(n), &[word]);
        }
        assert_eq!(world.resume(0, answer), [0; 4]);
        assert_eq!(
            world.optee.served.last().unwrap()[..],
            [0, 2, 0x61, 0x62, 0x63]
        );
        let after: Vec<u64> = (0..12).map(|n| world.ram.get(place(n))).collect();
        let outputs = [output(0, 1), output(0, 2), output(0, 3)];
        assert_eq!(after[..4], [words[0], words[1], 0, 2 << 32 | 4]);
        assert_eq!(after[5..8], outputs);
        assert_eq!(after[9..12], [output(1, 1), output(1, 2), output(1, 3)]);
    }
}

#[test]
fn the_hypervisor_answers_what_the_probe_learnt() {
    for dialect in [Dialect::Modern, Dialect::Classic] {
        let mut world = World::new(
            Config {
                dialect,
                rpmb: true,
                ..Config::default()
            },
            64,
        );
        world.optee.calls.clear();
        let modern = dialect == Dialect::Modern;
        let mut ask = |id: Function, w1: u64| world.call(0, [u64::from(id), w1, 0, 0, 0, 0, 0, 9]);
        let uid = [0x384f_b3e0, 0xe7f8_11e3, 0xaf63_0002, 0xa5d5_c51b];
        assert_eq!(ask(Function::CALLS_UID, 0), uid);
        assert_eq!(ask(Function::CALLS_REVISION, 0), [2, 0, 0, 0]);
        assert_eq!(ask(Function::CALLS_COUNT, 0), [12, 0, 0, 0]);
        assert_eq!(ask(Function::GET_OS_UUID, 0)[0], 0x4861_78e0);
        assert_eq!(ask(Function::GET_OS_REVISION, 0), [4, 5, 0x1234_5678, 0]);
        assert_eq!(ask(Function::GET_THREAD_COUNT, 0), [0, 2, 0, 0]);
        // Dynamic, NULL, RPMB probing, and the RPC argument for the modern dialect.
        let (caps, params) = if modern { (0xd4, 4) } else { (0x94, 0) };
        assert_eq!(
            ask(Function::EXCHANGE_CAPABILITIES, 1),
            [0, caps, 0, params]
        );
        assert_eq!(
            ask(Function::EXCHANGE_CAPABILITIES, 2)[0],
            u64::from(ReturnCode::ENOTAVAIL)
        );
        assert_eq!(ask(Function::ENABLE_SHM_CACHE, 0), [0; 4]);
        assert_eq!(
            ask(Function::GET_SHM_CONFIG, 0)[0],
            u64::from(ReturnCode::ENOTAVAIL)
        );
        assert_eq!(
            ask(Function::ENABLE_ASYNC_NOTIF, 0)[0],
            u64::from(ReturnCode::ENOTAVAIL)
        );
        assert!(world.optee.calls.is_empty(), "OP-TEE was asked");
    }
}

#[test]
fn notifications_go_to_the_guest_that_enabled_them() {
    let config = Config {
        notifications: true,
        rpmb: true,
        ..Config::default()
    };
    let mut world = World::new(config, 64);
    let mut client = Client::new(&world, 0, Way::RpcArg);
    let fast = |id: Function| [u64::from(id), 0, 0, 0, 0, 0, 0, 2];
    assert_eq!(
        world.call(0, fast(Function::EXCHANGE_CAPABILITIES)),
        [0, 0xf4, 63, 4]
    );
    assert_eq!(
        world.call(0, fast(Function::GET_ASYNC_NOTIF_VALUE))[0],
        u64::from(ReturnCode::ENOTAVAIL)
    );
    assert!(!world.guest.wants_notifications());
    assert_eq!(world.call(0, fast(Function::ENABLE_ASYNC_NOTIF)), [0; 4]);
    assert!(world.guest.wants_notifications());
    world.optee.notify(CLIENT, 5);
    world.optee.notify(CLIENT, 0);
    assert_eq!(
        world.call(0, fast(Function::GET_ASYNC_NOTIF_VALUE)),
        [0, 5, 3, 0]
    );
    assert_eq!(
        world.call(0, fast(Function::GET_ASYNC_NOTIF_VALUE)),
        [0, 0, 1, 0]
    );
    assert_eq!(world.call(0, fast(Function::GET_ASYNC_NOTIF_VALUE)), [0; 4]);
    assert_eq!(
        client
            .call(&mut world, &Message::new(Command::DO_BOTTOM_HALF, &[]))
            .1[2],
        0
    );
    assert_eq!(
        client
            .call(&mut world, &Message::new(Command::STOP_ASYNC_NOTIF, &[]))
            .1[2],
        0
    );
    assert!(!world.guest.wants_notifications());
}

#[test]
fn a_classic_guest_is_not_offered_the_modern_calls() {
    let config = Config {
        dialect: Dialect::Classic,
        ..Config::default()
    };
    let mut world = World::new(config, 128);
    let mut client = Client::new(&world, 0, Way::RpcArg);
    assert_eq!(
        client.call(&mut world, &Message::invoke(&[])).0,
        ReturnCode::UNKNOWN
    );
    client.way = Way::Classic;
    let cookie = client.register(&mut world, client.lists, 1);
    let in_buffer = [
        Function::CALL_WITH_REGD_ARG.into(),
        cookie >> 32,
        cookie,
        0,
        0,
        0,
        0,
        0,
    ];
    assert_eq!(world.call(0, in_buffer)[0], ReturnCode::UNKNOWN.into());
    assert_eq!(
        client.call(&mut world, &Message::invoke(&[])).0,
        ReturnCode::OK
    );
}

#[test]
fn sixty_four_mebibytes_in_one_buffer_and_a_thousand_buffers() {
    let mut world = World::new(Config::default(), 128);
    let mut client = Client::new(&world, 0, Way::RpcArg);
    let large = client.register(&mut world, client.lists, 16_384);
    assert_eq!(client.interrupts, 64, "half a list page in each step");
    let shm = &world.optee.shm(CLIENT)[&large];
    assert_eq!(shm.pages.len(), 16_384);
    let expected = |n: u64| Some(world.ram.page(16 + n % 16));
    assert!(
        (0..)
            .zip(&shm.pages)
            .all(|(n, &page)| world.ram.owner(page) == expected(n))
    );
    let small: Vec<u64> = (0..1000)
        .map(|_| client.register(&mut world, client.lists, 1))
        .collect();
    assert_eq!((world.usage().buffers, world.usage().pages), (1001, 17_384));
    for cookie in small.into_iter().chain([large]) {
        assert_eq!(
            client.unregister(&mut world, cookie),
            (ReturnCode::OK, TeeResult::SUCCESS)
        );
    }
    assert_eq!(world.usage(), mediator::Usage::default());
}

#[test]
fn a_payload_of_many_pages_is_translated_in_parts_too() {
    for way in BOTH {
        let mut world = world();
        let mut client = Client::new(&world, 0, way);
        world
            .optee
            .plans
            .push_back(vec![Act::Alloc(4096 * 1200, 0), Act::Interrupt]);
        assert_eq!(
            client.call(&mut world, &Message::invoke(&[])).0,
            ReturnCode::OK
        );
        assert_eq!(client.interrupts, 4 + 1);
        assert_eq!(
            world.optee.shm(CLIENT).values().next().unwrap().pages.len(),
            1200
        );
        assert_eq!(world.usage().list_frames, 0);
    }
}

#[test]
fn a_kernel_payload_is_one_page_by_address() {
    let mut world = world();
    let client = Client::new(&world, 0, Way::RpcArg);
    world.optee.plans.push_back(vec![Act::Alloc(100, 1)]);
    world.ram.put(client.arg, &Message::invoke(&[]).words());
    let answer = world.call(0, client.regs(client.arg));
    world.ram.put(client.arg + 32 + 16, &[0]);
    world.ram.put(
        client.arg + 32 + 32,
        &[0xa, world.ram.page(20), 4096, 0x1234],
    );
    assert_eq!(world.resume(0, answer), [0; 4]);
    let shm = world.optee.shm(CLIENT);
    assert_eq!(
        world.ram.owner(shm[&0x1234].pages[0]),
        Some(world.ram.page(20))
    );
}

#[test]
fn lists_of_a_message_live_as_long_as_its_call() {
    let mut world = world();
    let mut client = Client::new(&world, 0, Way::RpcArg);
    let second = Client::lay_list(&world, client.lists, 600);
    Client::lay_list(&world, second, 3);
    let params = [
        Param::list(9, client.lists, 600 * 4096, 0x100),
        Param::value(3, 1, 2, 3),
        Param::list(0xb, second | 0x80, 2 * 4096, 0x200),
    ];
    world.optee.plans.push_back(vec![Act::Interrupt]);
    let (w0, words) = client.call(&mut world, &Message::invoke(&params));
    assert_eq!(
        (w0, words[2], client.interrupts),
        (ReturnCode::OK, 0, 2 + 1)
    );
    let seen = &world.optee.seen[0];
    assert_eq!((seen[5] % 4096, seen[13] % 4096), (0, 0x80));
    assert_eq!(words[4..8], params[0]);
    assert_eq!(
        words[12..16],
        [params[2][0], params[2][1], output(2, 2), 0x200]
    );
    assert_eq!(world.usage(), mediator::Usage::default());
}
