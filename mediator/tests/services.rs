// SPDX-License-Identifier: MIT OR Apache-2.0

//! docs/smc-services.md says what the mediator does with every function, command, RPC and
//! capability; here its tables are held to what the mediator does.

use std::collections::BTreeMap;

use mediator::abi::{Command, Function, ReturnCode, RpcCommand, TeeResult, cap};
use mediator::{Config, Dialect};
use mediator_model::{Act, Client, Entered, FakeOptee, Message, Param, Rpc, Way, World};

const PAGE: &str = include_str!("../../docs/smc-services.md");

/// Rows of the table with a `handling` column under a heading: number to name and handling.
fn table(heading: &str, radix: u32) -> BTreeMap<u32, (String, String)> {
    let section = PAGE
        .split("\n## ")
        .find(|section| section.starts_with(heading));
    let rows = section.expect("the section").lines().filter_map(|line| {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let number = u32::from_str_radix(cells.get(1)?.trim_matches('`'), radix).ok()?;
        Some((
            number,
            (cells.get(2)?.to_string(), cells.get(3)?.to_string()),
        ))
    });
    rows.collect()
}

/// A guest that has the RPMB.
fn world(dialect: Dialect, notifications: bool) -> World {
    world_of(Config {
        dialect,
        notifications,
        rpmb: true,
        ..Config::default()
    })
}

fn world_of(config: Config) -> World {
    let mut optee = FakeOptee::default();
    optee.capabilities = 0x3ff;
    let mut world = World::unborn(config, optee, 128, 1);
    world.create().unwrap();
    world.open_session();
    world
}

/// Compares a table with what was found; where there is no row, `default` must be true.
fn compare(heading: &str, radix: u32, found: &BTreeMap<u32, String>, default: &str) {
    let rows = table(heading, radix);
    assert!(rows.len() > 5, "{heading}: {} rows", rows.len());
    for (number, handling) in found {
        let said = rows.get(number).map_or(default, |(_, handling)| handling);
        assert_eq!(handling, said, "{heading}: {number:#x}");
    }
    let untried: Vec<_> = rows
        .keys()
        .filter(|number| !found.contains_key(number))
        .collect();
    assert!(
        untried.is_empty(),
        "{heading}: no such thing as {untried:x?}"
    );
}

fn refusal(w0: ReturnCode) -> String {
    match w0 {
        ReturnCode::UNKNOWN => "refused 0xffffffff".into(),
        ReturnCode::ENOTAVAIL => "refused ENOTAVAIL".into(),
        ReturnCode::EBADCMD => "refused EBADCMD".into(),
        _ => "emulated".into(),
    }
}

#[test]
fn functions_are_handled_as_the_page_says() {
    // h26 goes through all other ids.
    let starts = [0x3200_0000, 0xB200_0000, 0xBF00_0000, 0xBF00_FF00];
    let ranges = starts.map(|start: u32| start..start + 0x40);
    let mut found = BTreeMap::new();
    for id in ranges.into_iter().flatten().map(Function) {
        let mut world = world(Dialect::Modern, true);
        let mut client = Client::new(&world, 0, Way::RpcArg);
        client.register(&mut world, client.lists, 1);
        let cookie = client.next_cookie;
        world.ram.put(client.arg, &Message::invoke(&[]).words());
        world
            .ram
            .put(world.ram.page(16), &Message::invoke(&[]).words());
        let mut regs = client.regs(client.arg);
        regs[0] = id.into();
        match id {
            Function::GET_ASYNC_NOTIF_VALUE => {
                world.call(
                    0,
                    [Function::ENABLE_ASYNC_NOTIF.into(), 0, 0, 0, 0, 0, 0, 0],
                );
            }
            Function::CALL_WITH_REGD_ARG => {
                regs[1..4].copy_from_slice(&[cookie >> 32, cookie & 0xFFFF_FFFF, 0])
            }
            Function::CALL_RETURN_FROM_RPC => {
                world.optee.plans.push_back(vec![Act::Interrupt]);
                let answer = world.call(0, client.regs(client.arg));
                regs[1..4].copy_from_slice(&answer[1..]);
            }
            Function::EXCHANGE_CAPABILITIES => regs[1] = 1,
            _ => {}
        }
        world.optee.calls.clear();
        let handling = match world.enter(0, regs) {
            Entered::Secure => {
                world.smc(0);
                let yielding = id.0 < 0x8000_0000;
                let sent = match yielding && id != Function::CALL_RETURN_FROM_RPC {
                    true => Function::CALL_WITH_RPC_ARG,
                    false => id,
                };
                assert_eq!(world.optee.calls, [sent]);
                let _ = world.back(0);
                if yielding {
                    "translated".into()
                } else {
                    "forwarded".into()
                }
            }
            Entered::Reply(answer) => refusal(ReturnCode::of(answer[0])),
        };
        found.insert(id.0, handling);
    }
    compare("Functions", 16, &found, "refused 0xffffffff");
}

#[test]
fn capabilities_are_offered_as_the_page_says() {
    let offered = |mut world: World| {
        world.call(
            0,
            [Function::EXCHANGE_CAPABILITIES.into(), 1, 0, 0, 0, 0, 0, 0],
        )[1] as u32
    };
    let all = offered(world(Dialect::Modern, true));
    let classic = offered(world(Dialect::Classic, true));
    let quiet = offered(world(Dialect::Modern, false));
    let poor = offered(world_of(Config {
        notifications: true,
        ..Config::default()
    }));
    let mut found = BTreeMap::new();
    for bit in 0..32 {
        let has = |caps: u32| caps & 1 << bit != 0;
        let handling = match (has(all), has(classic), has(quiet), has(poor)) {
            (true, true, true, true) => "offered",
            (true, true, false, true) => "if wired",
            (true, false, true, true) => "if modern",
            (true, true, true, false) => "if its own",
            (false, false, false, false) => "hidden",
            other => panic!("bit {bit}: {other:?}"),
        };
        found.insert(bit, handling.to_string());
    }
    compare("Capabilities", 10, &found, "hidden");
    // What OP-TEE lacks is never offered.
    let mut optee = FakeOptee::default();
    optee.capabilities = cap::DYNAMIC_SHM | cap::RPC_ARG | cap::VIRTUALIZATION;
    let config = Config {
        notifications: true,
        ..Config::default()
    };
    let mut world = World::unborn(config, optee, 64, 1);
    world.create().unwrap();
    let answer = world.call(
        0,
        [Function::EXCHANGE_CAPABILITIES.into(), 0, 0, 0, 0, 0, 0, 0],
    );
    assert_eq!(answer, [0, (cap::DYNAMIC_SHM | cap::RPC_ARG).into(), 0, 4]);
}

#[test]
fn commands_are_handled_as_the_page_says() {
    let mut found = BTreeMap::new();
    for command in (0..64).chain([0x100, 0x8000_0000, u32::MAX]).map(Command) {
        let handling = [true, false].map(|wired| {
            let mut world = world(Dialect::Modern, wired);
            let mut client = Client::new(&world, 0, Way::RpcArg);
            let cookie = client.register(&mut world, client.lists, 1);
            let message = match command {
                Command::OPEN_SESSION => Message::open([1; 16], &[]),
                Command::REGISTER_SHM => {
                    Message::new(command, &[Param::list(0xa, client.lists, 4096, 9)])
                }
                Command::UNREGISTER_SHM => Message::new(command, &[Param::shm(5, cookie, 0, 0)]),
                _ => Message {
                    session: 1,
                    ..Message::new(command, &[])
                },
            };
            let before = world.optee.seen.len();
            let (w0, _) = client.call(&mut world, &message);
            match world.optee.seen.len() - before {
                1 => "translated".to_string(),
                _ => refusal(w0),
            }
        });
        let handling = match handling {
            [wired, quiet] if wired == quiet => wired,
            [wired, quiet] => {
                assert_eq!([&wired[..], &quiet[..]], ["translated", "refused EBADCMD"]);
                "if wired".into()
            }
        };
        found.insert(command.0, handling);
    }
    compare("Messages", 10, &found, "refused EBADCMD");
}

#[test]
fn rpcs_are_handled_as_the_page_says() {
    let mut found = BTreeMap::new();
    for command in (0..64).chain([0x100, u32::MAX]).map(RpcCommand) {
        let own = rpc_handling(world(Dialect::Modern, false), command);
        let poor = rpc_handling(world_of(Config::default()), command);
        let handling = match (own, poor) {
            (own, poor) if own == poor => own,
            ("passed", "refused STORAGE_NOT_AVAILABLE") => "if its own",
            other => panic!("RPC {command}: {other:?}"),
        };
        found.insert(command.0, handling.to_string());
    }
    compare("RPC", 10, &found, "refused NOT_SUPPORTED");
}

fn rpc_handling(mut world: World, command: RpcCommand) -> &'static str {
    let mut client = Client::new(&world, 0, Way::RpcArg);
    world.optee.plans.push_back(vec![Act::Alloc(64, 0)]);
    client.call(&mut world, &Message::invoke(&[]));
    let cookie = client.next_cookie;
    client.served.clear();
    world.optee.served.clear();
    let params = match command {
        RpcCommand::SHM_ALLOC => vec![Param::value(1, 0, 64, 8)],
        RpcCommand::SHM_FREE => vec![Param::value(1, 0, cookie, 0)],
        _ => vec![Param::value(2, 0, 0, 0)],
    };
    let ask = Act::Rpc(Rpc { command, params });
    world.optee.plans.push_back(vec![ask]);
    client.call(&mut world, &Message::invoke(&[]));
    match (client.served.len(), TeeResult::of(world.optee.served[0][0])) {
        (0, TeeResult::NOT_SUPPORTED) => "refused NOT_SUPPORTED",
        (0, TeeResult::STORAGE_NOT_AVAILABLE) => "refused STORAGE_NOT_AVAILABLE",
        (1, TeeResult::SUCCESS) if world.usage().buffers == 1 => "passed",
        (1, TeeResult::SUCCESS) => "translated",
        other => panic!("RPC {command}: {other:?}"),
    }
}
