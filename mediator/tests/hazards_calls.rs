// SPDX-License-Identifier: MIT OR Apache-2.0

//! Ways in which a mediator can go wrong, h09 to h18: calls on their way through RPCs, failures and long lists.
//!
//! The row of the hazard list is in the test's name; the test fails if the mistake is made.

mod common;

use common::{BOTH, DONE, REFUSED, code, get_time, outcome, resume, small, start};
use mediator::abi::{Command, Function, ReturnCode, RpcCommand, TeeResult};
use mediator::{Config, Usage};
use mediator_model::{Act, CLIENT, Client, Entered, Message, Param, RAM_PA, Rpc, Way, World};

#[test]
fn h09_records_follow_the_answer_to_unregister() {
    let (mut world, mut client) = start(Way::RpcArg);
    let cookie = client.register(&mut world, client.lists, 1);
    for act in [
        Act::Result(TeeResult::GENERIC),
        Act::Code(ReturnCode::ETHREAD_LIMIT),
        Act::Raw(ReturnCode::OK, [0; 3]),
    ] {
        world.optee.plans.push_back(vec![act]);
        assert_ne!(
            client.unregister(&mut world, cookie),
            (ReturnCode::OK, TeeResult::SUCCESS)
        );
        assert_eq!(world.usage().buffers, 1);
        let named = Message::invoke(&[Param::shm(5, cookie, 0, 16)]);
        assert_eq!(outcome(client.call(&mut world, &named)), DONE);
    }
    assert_eq!(
        client.unregister(&mut world, cookie),
        (ReturnCode::OK, TeeResult::SUCCESS)
    );
    assert_eq!(world.usage(), Usage::default());
    assert_eq!(
        client.unregister(&mut world, cookie),
        (ReturnCode::OK, TeeResult::BAD_PARAMETERS)
    );
}

#[test]
fn h10_a_resume_finds_only_a_call_that_waits() {
    let (mut world, client) = start(Way::RpcArg);
    world
        .optee
        .plans
        .push_back(vec![Act::Interrupt, get_time(), Act::Interrupt]);
    world.ram.put(client.arg, &Message::invoke(&[]).words());
    let first = world.call(0, client.regs(client.arg));
    assert_eq!(first[0], ReturnCode::RPC_FOREIGN_INTR.into());
    // In flight on another CPU.
    assert_eq!(world.enter(1, resume(first)), Entered::Secure);
    assert_eq!(world.call(0, resume(first)), code(ReturnCode::ERESUME));
    let Entered::Reply(second) = world.back(1) else {
        panic!("an RPC")
    };
    assert_eq!(
        second[0],
        ReturnCode::RPC_CMD.into(),
        "the running call is untouched"
    );
    // Unknown and foreign: OP-TEE's own numbers, other slots, other generations, random bits.
    let id = second[3];
    for other in [
        0,
        1,
        2,
        id + 1,
        id + 0x100,
        id ^ 1 << 30,
        id | 1 << 31,
        0xFFFF_FFFF,
        id & 0xff,
    ] {
        let answer = world.call(0, resume([0, 0, 0, other]));
        assert_eq!(answer, code(ReturnCode::ERESUME), "{other:#x}");
    }
    let third = world.resume(0, second);
    assert_eq!(third[0], ReturnCode::RPC_FOREIGN_INTR.into());
    assert_eq!(world.resume(0, third), [0; 4]);
    // Used up, and then its slot reused.
    assert_eq!(world.call(0, resume(third)), code(ReturnCode::ERESUME));
    world.optee.plans.push_back(vec![Act::Interrupt]);
    let again = world.call(0, client.regs(client.arg));
    assert_ne!(again[3], third[3]);
    assert_eq!(world.call(1, resume(third)), code(ReturnCode::ERESUME));
    assert_eq!(world.resume(0, again), [0; 4]);
    assert_eq!(world.optee.bad_resumes, 0);
}

#[test]
fn h10_optee_may_reuse_a_thread_before_we_know_that_it_is_free() {
    let (mut world, client) = start(Way::RpcArg);
    world.optee.threads = 1;
    let other = Client::new(&world, 1, Way::RpcArg);
    world.ram.put(client.arg, &Message::invoke(&[]).words());
    world.ram.put(
        other.arg,
        &Message::invoke(&[Param::value(2, 0, 0, 0)]).words(),
    );
    assert_eq!(world.enter(0, client.regs(client.arg)), Entered::Secure);
    world.smc(0);
    // The thread is free in OP-TEE, but vCPU 0 is not back yet.
    world.optee.plans.push_back(vec![Act::Interrupt]);
    assert_eq!(world.enter(1, other.regs(other.arg)), Entered::Secure);
    let Entered::Reply(waits) = world.back(1) else {
        panic!("an interrupt")
    };
    assert_eq!(waits[0], ReturnCode::RPC_FOREIGN_INTR.into());
    assert_eq!(world.back(0), Entered::Reply([0; 4]));
    assert_eq!(world.resume(1, waits), [0; 4]);
    assert_eq!(world.ram.get(other.arg + 40), mediator_model::output(0, 1));
    assert_eq!(world.usage(), Usage::default());
}

#[test]
fn h11_a_wrong_rpc_cookie_fails_the_rpc_and_loses_no_thread() {
    let (mut world, client) = start(Way::Classic);
    for wrong in [0, 0x999] {
        world.optee.plans.push_back(vec![get_time()]);
        world.ram.put(client.arg, &Message::invoke(&[]).words());
        let asked = world.call(0, client.regs(client.arg));
        assert_eq!(asked, [ReturnCode::RPC_ALLOC.into(), 160, 0, asked[3]]);
        let given = [asked[0], 0, client.rpc_page, asked[3], 0, 0x100, 0, 0];
        let regs = [
            Function::CALL_RETURN_FROM_RPC.into(),
            given[1],
            given[2],
            given[3],
            0,
            0x100,
            0,
            0,
        ];
        let request = world.call(0, regs);
        assert_eq!(request, [ReturnCode::RPC_CMD.into(), 0, 0x100, asked[3]]);
        let freed = world.call(0, resume([0, 0, wrong, asked[3]]));
        assert_eq!(
            world.optee.served.last().unwrap()[0],
            TeeResult::BAD_PARAMETERS.into()
        );
        assert_eq!(freed, [ReturnCode::RPC_FREE.into(), 0, 0x100, asked[3]]);
        assert_eq!(world.resume(0, freed), [0; 4], "the call ended");
        assert_eq!(world.optee.busy_threads(CLIENT), 0);
        assert_eq!(world.usage(), Usage::default());
    }
}

/// Every way in which a call can fail, once.
fn all_failures(world: &mut World, way: Way) {
    let mut client = Client::new(world, 0, way);
    let page = client.lists;
    Client::lay_list(world, page, 600);
    world.ram.put(page + 4096 + 89 * 8, &[0]);
    let list = |size, cookie| Param::list(0xa, page, size, cookie);
    let good = list(600 * 4096, 0x10);
    for params in [
        vec![good, Param::shm(5, 0x99, 0, 1)],
        vec![good, good],
        vec![good, list(0, 0x11)],
        vec![good, list(u64::MAX, 0x11)],
        vec![good, list(1 << 50, 0x11)],
        vec![good, list(4096 * 2000, 0x11)],
        vec![good, list(601 * 4096, 0x11)],
        vec![good, [9, page, 1, 0]],
        vec![good; 7],
    ] {
        assert_ne!(outcome(client.call(world, &Message::invoke(&params))), DONE);
    }
    let register = Message::new(Command::REGISTER_SHM, &[good]);
    for act in [
        Act::Code(ReturnCode::ETHREAD_LIMIT),
        Act::Result(TeeResult::GENERIC),
        Act::Raw(ReturnCode::OK, [0; 3]),
    ] {
        for message in [&register, &Message::invoke(&[good])] {
            world
                .optee
                .plans
                .push_back(vec![Act::Interrupt, act.clone()]);
            client.call(world, message);
        }
    }
    // An answer to SHM_ALLOC that fails in its second list page, is too large, or is not there.
    let size = 600 * 4096;
    for (size, break_it) in [(size, true), (4096 * 3000, false), (4096 * 2048, false)] {
        world.optee.plans.push_back(vec![
            Act::Alloc(size, 0),
            get_time(),
            Act::Code(ReturnCode::ENOMEM),
        ]);
        let words = Message::invoke(&[good]).words();
        world.ram.put(client.arg, &words);
        let mut answer = world.call(0, client.regs(client.arg));
        while answer[0] >= ReturnCode::RPC_ALLOC.into() {
            let mut regs = resume(answer);
            let at = match way {
                Way::RpcArg => client.arg + words.len() as u64 * 8,
                Way::Classic => client.rpc_page,
            };
            match ReturnCode::of(answer[0]) {
                ReturnCode::RPC_CMD => {
                    client.serve_command(world, at);
                    if break_it {
                        world.ram.put(client.lists + 4096, &[0x0900_0000]);
                    }
                }
                ReturnCode::RPC_ALLOC => (regs[2], regs[5]) = (client.rpc_page, 0x777),
                _ => {}
            }
            answer = world.call(0, regs);
        }
        assert_eq!(answer, code(ReturnCode::ENOMEM));
        Client::lay_list(world, page, 600);
    }
    // Pages that vanish.
    world.ram.vanish(page + 4096);
    assert_ne!(outcome(client.call(world, &register)), DONE);
    world.ram.restore();
    world.ram.vanish(client.arg);
    assert_eq!(client.call(world, &register).0, ReturnCode::EBADADDR);
    world.ram.restore();
}

#[test]
fn h12_every_counter_returns_whatever_goes_wrong() {
    for way in BOTH {
        let mut world = World::new(small(), 128);
        for _ in 0..20 {
            all_failures(&mut world, way);
            assert_eq!(world.usage(), Usage::default());
        }
        let mut client = Client::new(&world, 0, way);
        let cookies: Vec<u64> = (0..8)
            .map(|_| client.register(&mut world, client.lists, 1))
            .collect();
        for cookie in cookies {
            assert_eq!(
                client.unregister(&mut world, cookie),
                (ReturnCode::OK, TeeResult::SUCCESS)
            );
        }
        assert_eq!(world.usage(), Usage::default());
        world.destroy().unwrap();
    }
}

#[test]
fn h12_allocations_of_one_call_take_turns_with_the_list_frames() {
    let (mut world, mut client) = start(Way::RpcArg);
    // Four frames, two for each list: the third allocation needs those of the first.
    let acts = (0..3).flat_map(|_| [Act::Alloc(600 * 4096, 0), Act::Interrupt]);
    world.optee.plans.push_back(acts.collect());
    assert_eq!(
        outcome(client.call(&mut world, &Message::invoke(&[]))),
        DONE
    );
    assert!(world.optee.served.iter().all(|served| served[0] == 0));
    assert_eq!((world.usage().buffers, world.usage().list_frames), (3, 0));
}

#[test]
fn h13_sizes_and_lists_are_bounded() {
    let (mut world, mut client) = start(Way::RpcArg);
    Client::lay_list(&world, client.lists, 700);
    let list = client.lists;
    let mut register = |pointer: u64, size: u64| {
        let message = Message::new(Command::REGISTER_SHM, &[[0x20a, pointer, size, 0x10]]);
        let (w0, result, _) = outcome(client.call(&mut world, &message));
        assert_eq!(w0, ReturnCode::OK);
        let reads = world.ram.all_reads();
        world.ram.forget_reads();
        if result == TeeResult::SUCCESS {
            client.unregister(&mut world, 0x10);
        }
        (result, reads)
    };
    let bad = TeeResult::BAD_PARAMETERS;
    assert_eq!(register(list, 0).0, bad);
    assert_eq!(register(list | 0xfff, u64::MAX).0, bad);
    assert_eq!(register(list | 0xfff, u64::MAX - 0xffe).0, bad);
    assert_eq!(register(list, u64::MAX).0, TeeResult::OUT_OF_MEMORY);
    assert_eq!(
        register(list, 1 << 44 | 4096).0,
        TeeResult::OUT_OF_MEMORY,
        "2^32 + 1 pages"
    );
    assert_eq!(
        register(list, 2049 * 4096).0,
        TeeResult::OUT_OF_MEMORY,
        "beyond the quota"
    );
    assert_eq!(
        register(list, 2048 * 4096).0,
        TeeResult::OUT_OF_MEMORY,
        "more frames than there are"
    );
    assert!(
        register(list, 2049 * 4096).1 < 64,
        "refused before the list is read"
    );
    assert_eq!(register(list | 0xfff, 1).0, TeeResult::SUCCESS);
    assert_eq!(register(list | 0xfff, 2).0, TeeResult::SUCCESS);
    assert_eq!(register(0, 4096).0, bad, "a list at 0");
    assert_eq!(register(0x0900_0000, 4096).0, bad, "a list in a device");
    assert_eq!(register(RAM_PA, 4096).0, bad);
    // The second list page: not RAM, not aligned, or the first one again.
    for link in [0, 0x0900_0000, list + 4096 + 8, list + 1, u64::MAX, RAM_PA] {
        world.ram.put(list + 511 * 8, &[link]);
        let message = Message::new(Command::REGISTER_SHM, &[[0x20a, list, 600 * 4096, 0x10]]);
        assert_eq!(
            outcome(client.call(&mut world, &message)),
            REFUSED,
            "{link:#x}"
        );
    }
    world.ram.put(list + 511 * 8, &[list]);
    let message = Message::new(Command::REGISTER_SHM, &[[0x20a, list, 2000 * 4096, 0x10]]);
    client.interrupts = 0;
    assert_eq!(
        outcome(client.call(&mut world, &message)),
        DONE,
        "a cycle is walked n times"
    );
    assert_eq!(client.interrupts, 7);
}

#[test]
fn h14_too_many_parameters_are_refused_in_the_guests_buffer() {
    for way in BOTH {
        let (mut world, mut client) = start(way);
        for count in [7, 122, 127, 128, 0x1000, 0x8000_0000, 0xFFFF_FFFF_u64] {
            for command in [
                Command::INVOKE,
                Command::OPEN_SESSION,
                Command::REGISTER_SHM,
            ] {
                world
                    .ram
                    .put(client.arg, &[command.into(), 5, 0, count << 32]);
                let answer = world.call(0, client.regs(client.arg));
                assert_eq!(answer, [0; 4]);
                assert_eq!(
                    world.ram.get(client.arg + 16) >> 32,
                    TeeResult::BAD_PARAMETERS.into()
                );
                assert_eq!(
                    world.ram.get(client.arg + 24),
                    count << 32 | 2,
                    "count untouched"
                );
            }
        }
        assert!(world.optee.seen.is_empty());
        for (command, count) in [
            (Command::OPEN_SESSION, 0),
            (Command::OPEN_SESSION, 1),
            (Command::CLOSE_SESSION, 1),
            (Command::CANCEL, 1),
            (Command::REGISTER_SHM, 0),
            (Command::REGISTER_SHM, 2),
            (Command::UNREGISTER_SHM, 0),
            (Command::UNREGISTER_SHM, 2),
        ] {
            let message = Message::new(command, &vec![Param::NONE; count]);
            assert_eq!(
                outcome(client.call(&mut world, &message)),
                REFUSED,
                "{command} {count}"
            );
        }
    }
}

#[test]
fn h15_a_long_list_is_done_in_bounded_steps() {
    let mut world = World::new(Config::default(), 128);
    let client = Client::new(&world, 0, Way::RpcArg);
    let mut other = Client::new(&world, 1, Way::RpcArg);
    Client::lay_list(&world, client.lists, 16_384);
    let param = Param::list(0xa, client.lists, 16_384 * 4096, 0x10);
    world.ram.put(
        client.arg,
        &Message::new(Command::REGISTER_SHM, &[param]).words(),
    );
    world.ram.forget_reads();
    let mut entered = world.enter(0, client.regs(client.arg));
    let mut steps = 1;
    while let Entered::Reply(answer) = entered {
        assert_eq!(answer[..3], [ReturnCode::RPC_FOREIGN_INTR.into(), 0, 0]);
        assert!(answer[3] >= 1 << 30, "a thread id that OP-TEE can have");
        assert!(
            world.ram.all_reads() <= 300,
            "{} words in a step",
            world.ram.all_reads()
        );
        assert_eq!(
            other.call(&mut world, &Message::invoke(&[])).0,
            ReturnCode::OK,
            "others go on"
        );
        world.ram.forget_reads();
        entered = world.enter(0, resume(answer));
        steps += 1;
    }
    // Two for each full list page of 511 entries, and one for the 32 behind them.
    assert_eq!(steps, 16_384 / 511 * 2 + 1);
    assert_eq!(world.back(0), Entered::Reply([0; 4]));
    // Many short lists in one message are bounded as well.
    let params = [0x20, 0x21, 0x22, 0x23].map(|c| Param::list(9, client.lists, 511 * 4096, c));
    world.ram.put(client.arg, &Message::invoke(&params).words());
    world.ram.forget_reads();
    let mut entered = world.enter(0, client.regs(client.arg));
    while let Entered::Reply(answer) = entered {
        assert!(world.ram.all_reads() <= 300);
        world.ram.forget_reads();
        entered = world.enter(0, resume(answer));
    }
    assert_eq!(world.back(0), Entered::Reply([0; 4]));
}

#[test]
fn h15_parts_of_lists_end_wherever_the_lists_do() {
    let (mut world, mut client) = start(Way::RpcArg);
    for (first, second) in [
        (1, 511),
        (63, 512),
        (100, 1022),
        (255, 257),
        (447, 1200),
        (65, 575),
    ] {
        let second_list = Client::lay_list(&world, client.lists, first);
        Client::lay_list(&world, second_list, second);
        let params = [
            Param::list(9, client.lists, first * 4096, 0x100),
            Param::list(9, second_list, second * 4096, 0x200),
        ];
        let done = outcome(client.call(&mut world, &Message::invoke(&params)));
        assert_eq!(done, DONE, "{first} and {second} pages");
        assert_eq!(world.guest.usage(), Usage::default());
    }
}

#[test]
fn h16_a_freed_cookie_is_free_before_the_guest_is_told() {
    for way in BOTH {
        let (mut world, mut client) = start(way);
        world
            .optee
            .plans
            .push_back(vec![Act::Alloc(100, 0), get_time()]);
        client.call(&mut world, &Message::invoke(&[]));
        let cookie = *world.optee.shm(CLIENT).first_key_value().unwrap().0;
        // The guest is told; at once another vCPU uses the cookie.
        world
            .optee
            .plans
            .push_back(vec![get_time(), Act::Free(cookie)]);
        world.ram.put(client.arg, &Message::invoke(&[]).words());
        let mut answer = world.call(0, client.regs(client.arg));
        let home = if way == Way::Classic {
            client.rpc_page
        } else {
            client.arg + 32
        };
        if way == Way::Classic {
            let regs = [
                Function::CALL_RETURN_FROM_RPC.into(),
                0,
                home,
                answer[3],
                0,
                0x100,
                0,
                0,
            ];
            answer = world.call(0, regs);
        }
        answer = world.resume(0, answer);
        assert_eq!(world.ram.get(home), RpcCommand::SHM_FREE.into());
        assert_eq!(world.ram.get(home + 48), cookie);
        let mut other = Client::new(&world, 1, Way::RpcArg);
        other.next_cookie = cookie - 0x100;
        assert_eq!(other.register(&mut world, client.lists, 1), cookie);
        let mut last = world.resume(0, answer);
        if way == Way::Classic {
            last = world.resume(0, last);
        }
        assert_eq!(last, [0; 4]);
        assert_eq!(
            other.unregister(&mut world, cookie),
            (ReturnCode::OK, TeeResult::SUCCESS)
        );
        assert_eq!(world.usage(), Usage::default());
    }
}

#[test]
fn h17_a_refused_payload_is_given_back_to_the_guest() {
    for (kind, pages, broken) in [
        (0, 3, true),
        (1, 2049, false),
        (0, 1200, true),
        (2, 2045, false),
    ] {
        let (mut world, client) = start(Way::RpcArg);
        world
            .optee
            .plans
            .push_back(vec![Act::Alloc(pages * 4096, kind)]);
        world.ram.put(client.arg, &Message::invoke(&[]).words());
        let mut answer = world.call(0, client.regs(client.arg));
        Client::lay_list(&world, client.lists, pages);
        if broken {
            let last = client.lists + (pages - 1) / 511 * 4096 + (pages - 1) % 511 * 8;
            world.ram.put(last, &[0x0900_0000]);
        }
        world.ram.put(client.arg + 48, &[0]);
        world.ram.put(
            client.arg + 64,
            &Param::list(0xa, client.lists, pages * 4096, 0x50),
        );
        answer = world.resume(0, answer);
        while answer[0] == ReturnCode::RPC_FOREIGN_INTR.into() {
            answer = world.resume(0, answer);
        }
        assert_eq!(answer[0], ReturnCode::RPC_CMD.into());
        let home: Vec<u64> = (4..12).map(|n| world.ram.get(client.arg + n * 8)).collect();
        let free = [
            RpcCommand::SHM_FREE.into(),
            0,
            0xFFFF_0000 << 32,
            1 << 32,
            1,
            kind,
            0x50,
            0,
        ];
        assert_eq!(home, free);
        assert!(
            world.optee.served.is_empty(),
            "OP-TEE is told after the guest"
        );
        assert_eq!(world.usage().buffers, 0);
        assert_eq!(world.resume(0, answer), [0; 4]);
        let expected = if broken {
            TeeResult::BAD_PARAMETERS
        } else {
            TeeResult::OUT_OF_MEMORY
        };
        assert_eq!(world.optee.served[0][0], expected.into());
        assert_eq!(world.usage(), Usage::default());
    }
}

#[test]
fn h18_results_survive_rpcs_that_are_answered_here() {
    for way in BOTH {
        let (mut world, mut client) = start(way);
        let bench = || {
            Act::Rpc(Rpc {
                command: RpcCommand::BENCH_REG,
                params: vec![],
            })
        };
        let long = Act::Rpc(Rpc {
            command: RpcCommand::GET_TIME,
            params: vec![Param::NONE; 5],
        });
        let unknown = Act::Rpc(Rpc {
            command: RpcCommand(99),
            params: vec![Param::NONE; 4],
        });
        world.optee.plans.push_back(vec![
            get_time(),
            bench(),
            Act::Interrupt,
            unknown,
            long,
            Act::Raw(ReturnCode::RPC_ALLOC, [4096, 0, 0]),
            Act::Free(0x123),
            bench(),
        ]);
        let message = Message::invoke(&[Param::value(2, 0, 0, 0)]);
        let (w0, words) = client.call(&mut world, &message);
        assert_eq!(
            (w0, words[5]),
            (ReturnCode::OK, mediator_model::output(0, 1))
        );
        let commands: Vec<RpcCommand> = client.served.iter().map(|(command, _)| *command).collect();
        // Each answer that the guest has no part in lets it take its interrupts.
        assert_eq!(
            (commands, client.interrupts),
            (vec![RpcCommand::GET_TIME], 1 + 6)
        );
        let results: Vec<u64> = world.optee.served.iter().map(|served| served[0]).collect();
        let no = u64::from(TeeResult::NOT_SUPPORTED);
        let bad = u64::from(TeeResult::BAD_PARAMETERS);
        assert_eq!(results, [0, no, no, bad, bad, no]);
    }
}

/// Found by xtest 2002 with two vCPUs: the list was freed as soon as OP-TEE came back.
#[test]
fn h16_a_page_list_stays_until_optee_has_read_it() {
    let (mut world, client) = start(Way::RpcArg);
    let mut other = Client::new(&world, 1, Way::RpcArg);
    world
        .optee
        .plans
        .push_back(vec![Act::Alloc(2 * 4096, 0), Act::Interrupt]);
    world.ram.put(client.arg, &Message::invoke(&[]).words());
    let answer = world.call(0, client.regs(client.arg));
    Client::lay_list(&world, client.lists, 2);
    world.ram.put(client.arg + 48, &[0]);
    let list = Param::list(0xa, client.lists, 2 * 4096, 0x50);
    world.ram.put(client.arg + 64, &list);
    let interrupted = world.resume(0, answer);
    assert_eq!(interrupted[0], ReturnCode::RPC_FOREIGN_INTR.into());
    other.register(&mut world, other.lists, 3);
    assert_eq!(world.resume(0, interrupted), [0; 4]);
    let given: Vec<u64> = (0..2)
        .map(|n| world.ram.get(client.lists + 8 * n))
        .collect();
    let shm = world.optee.shm(CLIENT);
    let known: Vec<u64> = shm[&0x50]
        .pages
        .iter()
        .filter_map(|&pa| world.ram.owner(pa))
        .collect();
    assert_eq!(known, given);
}
