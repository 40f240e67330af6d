// SPDX-License-Identifier: MIT OR Apache-2.0

//! Ways in which a mediator can go wrong, h01 to h08: what is in a message, and who says so.
//!
//! The row of the hazard list is in the test's name; the test fails if the mistake is made.

mod common;

use common::{BOTH, DONE, REFUSED, code, get_time, outcome, start};
use mediator::Usage;
use mediator::abi::{Command, Function, ReturnCode, RpcCommand, TeeResult, attr};
use mediator_model::{
    Act, CLIENT, Client, Entered, Message, Param, RAM_PA, Rpc, Way, World, is_host,
};

#[test]
fn h01_what_was_read_once_is_never_read_again() {
    let (mut world, mut client) = start(Way::RpcArg);
    let cookie = client.register(&mut world, client.lists, 1);
    let params = [
        Param::value(1, 1, 2, 3),
        Param::shm(5, cookie, 0, 4096),
        Param::NONE,
    ];
    let message = Message::invoke(&params);
    let words = message.words();
    // Every word turns hostile as soon as it is read.
    for (n, word) in (0_u64..).zip([
        Command::LEND_PROTMEM.into(),
        9,
        0,
        127 << 32, // command, session, number of parameters
        3,
        0x66,
        0x66,
        0x66, // an input becomes an output
        0x20a,
        world.ram.page(90),
        1 << 40,
        0xbad, // registered memory becomes a list
        0xa,
        world.ram.page(91),
        4096,
        0, // nothing becomes an address
    ]) {
        world.ram.race(client.arg + n * 8, word);
    }
    world.ram.forget_reads();
    world.ram.put(client.arg, &words);
    let entered = world.enter(0, client.regs(client.arg));
    assert_eq!(entered, Entered::Secure);
    let seen = |world: &World| {
        (0..16)
            .map(|n| world.ram.get(client.arg + n * 8))
            .collect::<Vec<_>>()
    };
    let hostile = seen(&world);
    assert_eq!(world.back(0), Entered::Reply([0; 4]));
    let shadow = world.optee.seen.last().unwrap();
    assert_eq!(shadow[..2], words[..2]);
    assert_eq!((shadow[3] >> 32, &shadow[4..]), (3, &words[4..]));
    assert!((0..16).all(|n| world.ram.reads(client.arg + n * 8) == 1));
    // Only result and number of parameters were written: by the first reading, nothing is output.
    assert_eq!(seen(&world)[4..], hostile[4..]);
    assert_eq!(world.ram.get(client.arg + 24), 3 << 32 | 4);
}

#[test]
fn h01_the_page_that_optee_writes_is_not_believed_either() {
    let (mut world, client) = start(Way::RpcArg);
    Client::lay_list(&world, client.lists, 1);
    let param = Param::list(0xa, client.lists, 4096, 0x10);
    world.ram.put(
        client.arg,
        &Message::new(Command::REGISTER_SHM, &[param]).words(),
    );
    assert_eq!(world.enter(0, client.regs(client.arg)), Entered::Secure);
    world.smc(0);
    let shadow = mediator_model::POOL_PA;
    // Command, number of parameters, attributes and cookie change under us.
    let result = world.pool.peek(shadow + 24).unwrap() as u32;
    world.pool.poke(shadow, Command::INVOKE.into());
    world.pool.poke(shadow + 24, u64::from(result) | 100 << 32);
    world.pool.poke(shadow + 32, 0x3);
    world.pool.poke(shadow + 48, 0x5000);
    world.pool.poke(shadow + 56, 0x99);
    assert_eq!(world.back(0), Entered::Reply([0; 4]));
    assert_eq!(world.ram.get(client.arg + 24) >> 32, 1);
    assert_eq!(
        world.ram.get(client.arg + 40),
        client.lists,
        "an address was written back"
    );
    assert_eq!(
        world.ram.get(client.arg + 48),
        4096,
        "nothing is output here"
    );
    let mut client = client;
    assert_eq!(
        client.unregister(&mut world, 0x10),
        (ReturnCode::OK, TeeResult::SUCCESS),
        "registered by our record"
    );
}

#[test]
fn h01_a_request_is_what_it_was_when_we_read_it() {
    let (mut world, client) = start(Way::RpcArg);
    let request = Rpc {
        command: RpcCommand::FS,
        params: vec![Param::value(1, 1, 2, 3), Param::NONE],
    };
    world.optee.plans.push_back(vec![Act::Rpc(request)]);
    world.ram.put(client.arg, &Message::invoke(&[]).words());
    let answer = world.call(0, client.regs(client.arg));
    let home = client.arg + 32;
    // Guest and OP-TEE both claim now that it was SHM_ALLOC with outputs.
    let claim = [
        RpcCommand::SHM_ALLOC.into(),
        0,
        0,
        1 << 32,
        0x20a,
        client.lists,
        4096,
        0x77,
    ];
    world.ram.put(home, &claim);
    let shadow = mediator_model::POOL_PA + 32;
    for (n, word) in (0..).zip(claim) {
        world
            .pool
            .poke(shadow + n * 8, if n == 5 { 0 } else { word });
    }
    world.resume(0, answer);
    assert_eq!(world.usage().buffers, 0);
    assert_eq!(
        world.optee.served[0],
        [0, 0x20a, 0, 4096, 0x77],
        "nothing was copied"
    );
}

#[test]
fn h01_nothing_of_an_earlier_message_counts() {
    let (mut world, mut client) = start(Way::RpcArg);
    let outputs = [Param::value(2, 0, 0, 0); 4];
    assert_eq!(
        outcome(client.call(&mut world, &Message::open([1; 16], &outputs))),
        DONE
    );
    // The same slot, a shorter message: what lies behind it is not touched.
    let behind = client.arg + 64;
    world.ram.put(behind, &[0x77; 32]);
    let message = Message::invoke(&[Param::value(1, 1, 2, 3)]);
    assert_eq!(outcome(client.call(&mut world, &message)), DONE);
    assert!((0..32).all(|n| world.ram.get(behind + n * 8) == 0x77));
    // No parameters, but those of the message before would do.
    for count in [0, 1] {
        client.call(&mut world, &Message::open([1; 16], &[]));
        let mut message = Message::open([1; 16], &[]);
        message.params.truncate(count);
        assert_eq!(outcome(client.call(&mut world, &message)), REFUSED);
    }
}

#[test]
fn h02_no_host_address_reaches_the_guest() {
    // The model checks every word and register; here the paths where one could slip through.
    for way in BOTH {
        let (mut world, mut client) = start(way);
        let address = RAM_PA + 0x3000;
        let by_address = Rpc {
            command: RpcCommand::FS,
            params: vec![[0xa, address, 16, 0x10]],
        };
        let bench = Rpc {
            command: RpcCommand::BENCH_REG,
            params: vec![Param::value(3, address, 4096, 0)],
        };
        let output = Rpc {
            command: RpcCommand::FS,
            params: vec![Param::value(2, address, address, 0)],
        };
        let noise = Rpc {
            command: RpcCommand::FS,
            params: vec![[0, address, address, address]],
        };
        let (high, low) = ((address >> 32) as u32, address as u32);
        world.optee.plans.push_back(vec![
            get_time(),
            Act::Rpc(by_address),
            Act::Rpc(bench),
            Act::Rpc(output),
            Act::Rpc(noise),
            Act::Raw(ReturnCode::RPC_FOREIGN_INTR, [high, low, 0]),
            Act::Raw(ReturnCode::RPC_ALLOC, [high, low, 0]),
            Act::Raw(ReturnCode::RPC_FREE, [high, low, 0]),
            Act::Raw(ReturnCode::RPC_CMD, [high, low, 0]),
            Act::Alloc(8192, 0),
            Act::Raw(ReturnCode(0xFFFF_0042), [high, low, 0]),
            Act::Raw(ReturnCode::ENOMEM, [high, low, low]),
        ]);
        let list = Param::list(0xb, client.lists, 8192, 0x500);
        Client::lay_list(&world, client.lists, 2);
        let (w0, _) = client.call(&mut world, &Message::invoke(&[list]));
        assert_eq!(w0, ReturnCode::ENOMEM);
        let told: Vec<RpcCommand> = client.served.iter().map(|(command, _)| *command).collect();
        assert_eq!(
            told,
            [
                RpcCommand::GET_TIME,
                RpcCommand::FS,
                RpcCommand::FS,
                RpcCommand::SHM_ALLOC
            ]
        );
        let all = (0..128 * 512).map(|n| world.ram.get(world.ram.page(0) + n * 8));
        assert!(!all.into_iter().any(is_host));
    }
}

#[test]
fn h03_no_guest_address_reaches_optee_untranslated() {
    for way in BOTH {
        let (mut world, mut client) = start(way);
        let page = world.ram.page(20);
        Client::lay_list(&world, page, 1);
        for kind in [9, 0xa, 0xb] {
            let message = Message::invoke(&[[kind, page, 4096, 0x10]]);
            assert_eq!(outcome(client.call(&mut world, &message)), REFUSED);
        }
        for attributes in [
            1 | attr::NONCONTIG,
            5 | attr::NONCONTIG,
            1 << 10 | 9,
            1 << 40 | 9,
            1 << 10 | 1,
            1 << 40 | 1,
            4,
            8,
            0xc,
        ] {
            let message = Message::invoke(&[[attributes, page, 4096, 0x10]]);
            assert_eq!(
                outcome(client.call(&mut world, &message)),
                REFUSED,
                "{attributes:#x}"
            );
        }
        for attributes in [0xa, 0x209, 0x20b, 0x30a, 0x1020a, 0x20a | 1 << 32] {
            let message = Message::new(Command::REGISTER_SHM, &[[attributes, page, 4096, 0x10]]);
            assert_eq!(
                outcome(client.call(&mut world, &message)).1 == TeeResult::SUCCESS,
                attributes == 0x1020a
            );
        }
        assert_eq!(client.unregister(&mut world, 0x10).0, ReturnCode::OK);
        for command in (Command::LEND_PROTMEM.0..=20).map(Command) {
            let lend = [Param::value(1, 1, 0, 0), [9, page, 4096, 0x10]];
            let message = Message::new(command, &lend);
            assert_eq!(
                client.call(&mut world, &message).0,
                ReturnCode::EBADCMD,
                "command {command}"
            );
        }
        let messages = world
            .optee
            .seen
            .iter()
            .map(|words| words[0])
            .collect::<Vec<_>>();
        assert_eq!(
            messages,
            [Command::REGISTER_SHM.into(), Command::UNREGISTER_SHM.into()]
        );
    }
}

#[test]
fn h03_an_odd_answer_to_shm_alloc_is_refused() {
    let (mut world, client) = start(Way::RpcArg);
    let page = world.ram.page(20);
    Client::lay_list(&world, client.lists, 2);
    let odd = [
        [9, page, 4096, 0x50],
        [0xb, page, 4096, 0x50],
        [0xa, page + 8, 4096, 0x50],
        [0xa, page, 8192, 0x50],
        [0xa, page, 0, 0x50],
        [0xa, world.ram.page(128), 4096, 0x50],
        [0xa, RAM_PA, 4096, 0x50],
        [0x30a, client.lists, 4096, 0x50],
        [0x1020a, client.lists, 4096, 0x50],
        [0x209, client.lists, 4096, 0x50],
        [5, 0, 4096, 0x50],
        [3, page, 4096, 0x50],
        [0, page, 4096, 0x50],
        [0x20a, client.lists, 99, 0x50], // less than was asked for
    ];
    for param in odd {
        world.optee.plans.push_back(vec![Act::Alloc(100, 0)]);
        world.ram.put(client.arg, &Message::invoke(&[]).words());
        let answer = world.call(0, client.regs(client.arg));
        world.ram.put(client.arg + 48, &[0]);
        world.ram.put(client.arg + 64, &param);
        let answer = world.resume(0, answer);
        assert_eq!(
            answer[0],
            ReturnCode::RPC_CMD.into(),
            "{param:x?}: told to free it"
        );
        assert_eq!(world.resume(0, answer), [0; 4]);
        assert_ne!(world.optee.served.last().unwrap()[0], 0, "{param:x?}");
        assert_eq!(world.usage(), Usage::default());
    }
}

#[test]
fn h03_what_a_parameter_does_not_mean_stays_here() {
    let (mut world, mut client) = start(Way::RpcArg);
    let page = world.ram.page(20);
    let noise = [0, page, page, page];
    let null = [9, 0, 16, page];
    assert_eq!(
        outcome(client.call(&mut world, &Message::invoke(&[noise, null]))),
        DONE
    );
    assert_eq!(world.optee.seen[0][4..], [0, 0, 0, 0, 9, 0, 16, 0]);
    // Commands about buffers take nothing else.
    for kind in [0, 1, 2, 3, 5, 9] {
        let message = Message::new(Command::REGISTER_SHM, &[[kind, page, 4096, 0x10]]);
        assert_eq!(
            outcome(client.call(&mut world, &message)),
            REFUSED,
            "{kind}"
        );
    }
    let cookie = client.register(&mut world, client.lists, 1);
    for kind in [0, 1, 2, 3, 9, 0x20a] {
        let message = Message::new(Command::UNREGISTER_SHM, &[[kind, 0, 0, cookie]]);
        assert_eq!(
            outcome(client.call(&mut world, &message)),
            REFUSED,
            "{kind}"
        );
    }
    assert_eq!(world.optee.seen.len(), 2);
}

#[test]
fn h04_only_the_guests_own_ram_is_shared() {
    let (mut world, mut client) = start(Way::RpcArg);
    let bad = [
        0,
        0x0900_0000,
        world.ram.page(0) - 4096,
        world.ram.page(128),
        world.ram.page(20) + 8,
        world.ram.page(20) | 1,
        RAM_PA,
        u64::MAX,
        !0xfff,
        1 << 52,
    ];
    for entry in bad {
        for at in [0, 63, 64, 510, 511, 599] {
            Client::lay_list(&world, client.lists, 600);
            let (page, word) = if at < 511 { (0, at) } else { (4096, at - 511) };
            world.ram.put(client.lists + page + word * 8, &[entry]);
            let list = Param::list(0xa, client.lists, 600 * 4096, 0x10);
            for message in [
                Message::new(Command::REGISTER_SHM, &[list]),
                Message::invoke(&[list]),
            ] {
                let (w0, words) = client.call(&mut world, &message);
                assert_eq!(outcome((w0, words)), REFUSED, "{entry:#x} at {at}");
            }
        }
    }
    assert!(world.optee.seen.is_empty());
    // A command buffer or an RPC page that is not RAM, or only begins in it.
    for at in bad.into_iter().filter(|&at| at % 4096 == 0) {
        let regs = [
            Function::CALL_WITH_ARG.into(),
            at >> 32,
            at & 0xFFFF_FFFF,
            1,
            0,
            0,
            0,
            0,
        ];
        assert_eq!(world.call(0, regs), code(ReturnCode::EBADADDR), "{at:#x}");
    }
    let aligned = world.ram.page(20) + 8;
    for at in bad
        .into_iter()
        .chain([world.ram.page(128) - 152])
        .filter(|&at| at != 0 && at != aligned)
    {
        let mut classic = Client::new(&world, 0, Way::Classic);
        classic.rpc_page = at;
        world.optee.plans.push_back(vec![get_time()]);
        assert_eq!(
            classic.call(&mut world, &Message::invoke(&[])).0,
            ReturnCode::OK
        );
        assert_eq!(
            (classic.asked, classic.freed.len()),
            (1, 1),
            "{at:#x} is freed"
        );
        assert_eq!(
            world.optee.served.last().unwrap()[0],
            TeeResult::OUT_OF_MEMORY.into()
        );
    }
    assert_eq!(world.usage(), Usage::default());
}

#[test]
fn h05_a_live_cookie_is_not_used_twice() {
    let (mut world, mut client) = start(Way::RpcArg);
    let cookie = client.register(&mut world, client.lists, 3);
    let before = world.optee.shm(CLIENT);
    let list = Param::list(0xa, client.lists, 4096, cookie);
    let fresh = Param::list(0xa, client.lists, 4096, 0x99);
    for message in [
        Message::new(Command::REGISTER_SHM, &[list]),
        Message::invoke(&[list]),
        Message::invoke(&[fresh, fresh]),
        Message::new(
            Command::REGISTER_SHM,
            &[Param::list(0xa, client.lists, 4096, 0)],
        ),
    ] {
        assert_eq!(outcome(client.call(&mut world, &message)), REFUSED);
    }
    // A payload with the cookie of a registered buffer: refused, and not told to free it.
    world.optee.plans.push_back(vec![Act::Alloc(100, 0)]);
    client.next_cookie = cookie - 0x100;
    assert_eq!(
        client.call(&mut world, &Message::invoke(&[])).0,
        ReturnCode::OK
    );
    assert_eq!(world.optee.served[0][0], TeeResult::BAD_PARAMETERS.into());
    assert!(client.freed.is_empty());
    // The page of a classic RPC argument with it.
    let mut classic = Client::new(&world, 1, Way::Classic);
    classic.next_cookie = cookie - 0x100;
    world.optee.plans.push_back(vec![get_time()]);
    assert_eq!(
        classic.call(&mut world, &Message::invoke(&[])).0,
        ReturnCode::OK
    );
    assert_eq!(
        (classic.asked, classic.freed.len(), classic.served.len()),
        (1, 0, 0)
    );
    assert_eq!(world.optee.shm(CLIENT), before);
    assert_eq!(
        client.unregister(&mut world, cookie),
        (ReturnCode::OK, TeeResult::SUCCESS)
    );
    assert_eq!(world.usage(), Usage::default());
}

#[test]
fn h05_a_buffer_that_comes_or_goes_is_not_touched() {
    let (mut world, mut client) = start(Way::RpcArg);
    let other = Client::new(&world, 1, Way::RpcArg);
    let mut third = Client::new(&world, 2, Way::RpcArg);
    Client::lay_list(&world, client.lists, 1);
    let register = Message::new(
        Command::REGISTER_SHM,
        &[Param::list(0xa, client.lists, 4096, 0x10)],
    );
    let unregister = Message::new(Command::UNREGISTER_SHM, &[Param::shm(5, 0x10, 0, 0)]);
    let named = Message::invoke(&[Param::shm(5, 0x10, 0, 16)]);
    for (first, is_registered) in [(&register, true), (&unregister, false)] {
        world.ram.put(other.arg, &first.words());
        assert_eq!(world.enter(1, other.regs(other.arg)), Entered::Secure);
        for message in [&register, &unregister, &named] {
            assert_eq!(outcome(third.call(&mut world, message)), REFUSED);
        }
        assert_eq!(world.back(1), Entered::Reply([0; 4]));
        assert_eq!(world.usage().buffers, u32::from(is_registered));
        assert_eq!(
            outcome(client.call(&mut world, &named)) == DONE,
            is_registered
        );
    }
}

#[test]
fn h06_registered_memory_must_be_registered_and_inside() {
    for way in BOTH {
        let (mut world, mut client) = start(way);
        let cookie = client.register(&mut world, client.lists, 2);
        world.optee.plans.push_back(vec![Act::Alloc(8192, 0)]);
        client.call(&mut world, &Message::invoke(&[]));
        let shm = world.optee.shm(CLIENT);
        let payload = *shm.iter().find(|(_, shm)| shm.payload).unwrap().0;
        world.optee.seen.clear();
        let mut send = |cookie, offset, size| {
            let message = Message::invoke(&[Param::shm(7, cookie, offset, size)]);
            outcome(client.call(&mut world, &message))
        };
        for (cookie, offset, size) in [
            (0, 0, 0),
            (0x123, 0, 1),
            (payload, 0, 1),
            (cookie, 0, 8193),
            (cookie, 8192, 1),
            (cookie, 8193, 0),
            (cookie, 1, 8192),
            (cookie, u64::MAX, 2),
            (cookie, 2, u64::MAX),
            (cookie, 1 << 32, 0),
        ] {
            assert_eq!(
                send(cookie, offset, size),
                REFUSED,
                "{cookie:#x} {offset:#x} {size:#x}"
            );
        }
        for (offset, size) in [(0, 8192), (8192, 0), (8191, 1)] {
            assert_eq!(send(cookie, offset, size), DONE);
        }
        assert_eq!(world.optee.seen.len(), 3);
        assert_eq!(world.optee.bad_cookies, 0);
        // UNREGISTER of what is not registered; a message inside a payload.
        for cookie in [0, 0x123, payload] {
            assert_eq!(
                client.unregister(&mut world, cookie),
                (ReturnCode::OK, TeeResult::BAD_PARAMETERS)
            );
            let regs = [
                Function::CALL_WITH_REGD_ARG.into(),
                cookie >> 32,
                cookie & 0xFFFF_FFFF,
            ];
            let regs = [regs[0], regs[1], regs[2], 0, 0, 0, 0, 0];
            assert_eq!(world.call(0, regs), code(ReturnCode::EBADADDR));
        }
    }
}

#[test]
fn h06_a_message_in_a_buffer_stays_inside_it() {
    let (mut world, mut client) = start(Way::RpcArg);
    Client::lay_list(&world, client.lists, 2);
    let param = Param::list(0xa, client.lists | 0x40, 4096, 0x10);
    assert_eq!(
        outcome(client.call(&mut world, &Message::new(Command::REGISTER_SHM, &[param]))),
        DONE
    );
    // The buffer ends at offset 4096, 64 bytes into its second page.
    let words = Message::invoke(&[Param::NONE; 4]).words();
    let mut send = |offset: u64| {
        let at = offset + 0x40;
        let place = |n: u64| world.ram.page(16 + (at + n * 8) / 4096) + (at + n * 8) % 4096;
        (0..)
            .zip(&words)
            .for_each(|(n, &word)| world.ram.put(place(n), &[word]));
        world.call(
            0,
            [
                Function::CALL_WITH_REGD_ARG.into(),
                0,
                0x10,
                offset,
                0,
                0,
                0,
                0,
            ],
        )
    };
    assert_eq!(
        send(4096 - 320),
        [0; 4],
        "message and RPC argument just fit"
    );
    for offset in [
        4096 - 312,
        4096 - 160,
        4096 - 32,
        4096 - 8,
        4096,
        4104,
        0xFFFF_FFF8,
        4,
    ] {
        assert_eq!(send(offset), code(ReturnCode::EBADADDR), "{offset:#x}");
    }
}

#[test]
fn h06_optee_names_only_buffers_that_it_has() {
    let (mut world, mut client) = start(Way::RpcArg);
    let cookie = client.register(&mut world, client.lists, 2);
    world.optee.plans.push_back(vec![Act::Alloc(8192, 0)]);
    client.call(&mut world, &Message::invoke(&[]));
    let payload = client.next_cookie;
    let list = Param::list(9, client.lists, 8192, 0x30);
    for (name, offset, size, good) in [
        (payload, 0, 8192, true),
        (payload, 8192, 0, true),
        (cookie, 4096, 4096, true),
        (payload, 1, 8192, false),
        (payload, u64::MAX, 2, false),
        (cookie, 0, 8193, false),
        (0, 0, 0, false),
        (0x123, 0, 16, false),
        (0x30, 0, 16, false), // a list of the message itself
    ] {
        client.served.clear();
        world.optee.served.clear();
        let params = vec![Param::shm(7, name, offset, size)];
        world.optee.plans.push_back(vec![Act::Rpc(Rpc {
            command: RpcCommand::FS,
            params,
        })]);
        assert_eq!(
            outcome(client.call(&mut world, &Message::invoke(&[list]))),
            DONE
        );
        assert_eq!(
            client.served.len(),
            usize::from(good),
            "{name:#x} {offset:#x} {size:#x}"
        );
        let result = if good {
            TeeResult::SUCCESS
        } else {
            TeeResult::BAD_PARAMETERS
        };
        assert_eq!(world.optee.served[0][0], result.into());
    }
}

#[test]
fn h07_completion_releases_what_the_call_created() {
    let (mut world, mut client) = start(Way::RpcArg);
    let kept = client.register(&mut world, client.lists, 1);
    let gone = client.register(&mut world, client.lists, 1);
    let unregister = |cookie| Message::new(Command::UNREGISTER_SHM, &[Param::shm(5, cookie, 0, 0)]);
    let register = Message::new(
        Command::REGISTER_SHM,
        &[Param::list(0xa, client.lists, 4096, 0x10)],
    );
    // After entry, message and shadow page both name the other buffer.
    for (message, plan) in [
        (unregister(gone), vec![]),
        (register, vec![Act::Result(TeeResult::GENERIC)]),
        (
            Message::invoke(&[Param::list(9, client.lists, 4096, 0x10)]),
            vec![],
        ),
    ] {
        world.optee.plans.push_back(plan);
        world.ram.put(client.arg, &message.words());
        assert_eq!(world.enter(0, client.regs(client.arg)), Entered::Secure);
        world.smc(0);
        world.ram.put(client.arg, &unregister(kept).words());
        for (n, &word) in (0..).zip(&unregister(kept).words()) {
            if n != 2 {
                world.pool.poke(mediator_model::POOL_PA + n * 8, word);
            }
        }
        assert_eq!(world.back(0), Entered::Reply([0; 4]));
        assert_eq!(world.usage().buffers, 1);
        let named = Message::invoke(&[Param::shm(5, kept, 0, 16)]);
        assert_eq!(
            outcome(client.call(&mut world, &named)),
            DONE,
            "the other buffer lives"
        );
    }
}

#[test]
fn h08_a_result_counts_only_when_w0_is_ok() {
    for way in BOTH {
        let (mut world, mut client) = start(way);
        Client::lay_list(&world, client.lists, 1);
        let list = Param::list(0xa, client.lists, 4096, 0x10);
        let register = Message::new(Command::REGISTER_SHM, &[list]);
        // The guest's ret is 0 all the time.
        for w0 in [1, 2, 3, 4, 5, 6, 7, 8, 0x1000, u32::MAX].map(ReturnCode) {
            world.optee.plans.push_back(vec![Act::Code(w0)]);
            let (seen, _) = client.call(&mut world, &register);
            let known = w0 <= ReturnCode::ENOTAVAIL;
            assert_eq!(seen, if known { w0 } else { ReturnCode::EBADCMD });
            assert_eq!(world.usage(), Usage::default(), "w0 = {w0}");
        }
        // w0 is OK, but OP-TEE wrote no result.
        world
            .optee
            .plans
            .push_back(vec![Act::Raw(ReturnCode::OK, [0; 3])]);
        let (w0, result, _) = outcome(client.call(&mut world, &register));
        assert_eq!((w0, result), (ReturnCode::OK, TeeResult::COMMUNICATION));
        assert_eq!(world.usage(), Usage::default());
    }
}
