// SPDX-License-Identifier: MIT OR Apache-2.0

//! Ways in which a mediator can go wrong, h35: an OP-TEE that is built for one normal world does not notice that its guest dies.

mod common;

use common::{BOTH, code, get_time, small};
use mediator::abi::{Command, Function, ReturnCode, TeeResult};
use mediator::{Config, CreateError, Remains};
use mediator_model::{Act, CLIENT, Client, Message, Param, Way, World};

const ENABLE: [u64; 8] = [Function::ENABLE_ASYNC_NOTIF.0 as u64, 0, 0, 0, 0, 0, 0, 0];

/// A guest that shares buffers, is notified, and has a call that waits in an RPC after OP-TEE was given a buffer, one that an
/// interrupt stopped, and one that is half-way through a list.
fn busy(way: Way, config: Config) -> World {
    let config = Config {
        notifications: true,
        ..config
    };
    let mut world = World::exclusive(config, 128);
    let mut client = Client::new(&world, 0, way);
    world.call(0, ENABLE);
    client.register(&mut world, client.lists, 3);
    let plans = [vec![Act::Alloc(4096, 0), get_time()], vec![Act::Interrupt]];
    world.optee.plans.extend(plans);
    world.ram.put(client.arg, &Message::invoke(&[]).words());
    let answer = world.call(0, client.regs(client.arg));
    assert!(ReturnCode::of(answer[0]).is_rpc());
    let other = Client::new(&world, 1, Way::RpcArg);
    world.ram.put(other.arg, &Message::invoke(&[]).words());
    world.call(1, other.regs(other.arg));
    let third = Client::new(&world, 2, Way::RpcArg);
    Client::lay_list(&world, third.lists, 600);
    let list = Param::list(0xa, third.lists, 600 * 4096, 0x10);
    let register = Message::new(Command::REGISTER_SHM, &[list]);
    world.ram.put(third.arg, &register.words());
    world.call(2, third.regs(third.arg));
    assert_eq!(world.usage().calls, 3);
    world
}

#[test]
fn h35_no_vm_call_is_made_and_nothing_of_a_dead_guest_is_left() {
    for way in BOTH {
        let mut world = busy(way, small());
        assert_eq!(world.wind_down(100), 0);
        assert!(world.guest.keep());
        let optee = &world.optee;
        let left = [
            optee.busy_threads(CLIENT),
            optee.shm_count(CLIENT) as usize,
            optee.sessions(CLIENT),
            optee.is_notified(CLIENT).into(),
        ];
        assert_eq!(left, [0; 4]);
        // Off, and started again: the model would stop at VM_DESTROYED or VM_CREATED.
        world.destroy().unwrap();
        assert!(!world.guest.has_tee());
        world.create().unwrap();
        world.open_session();
    }
}

#[test]
fn h35_a_guest_that_cannot_be_ended_gets_no_tee_any_more() {
    // OP-TEE refuses all, or only to unregister: before that, the session and notifications end.
    for ends in [0, 2] {
        let mut world = busy(Way::RpcArg, small());
        world.finish_calls();
        let refuse = vec![Act::Result(TeeResult::BAD_PARAMETERS)];
        world.optee.plans.extend(vec![Vec::new(); ends]);
        world.optee.plans.extend(vec![refuse; 200]);
        let left = world.wind_down(100);
        assert!(left > 0);
        assert!(!world.guest.keep());
        let remains = world.guest.remains();
        assert_eq!(remains.count(), left);
        world.destroy().unwrap();
        world.optee.calls.clear();
        for _ in 0..2 {
            assert_eq!(world.create(), Err(CreateError::Remains(remains)));
            world.destroy().unwrap();
        }
        for id in [
            ENABLE[0],
            Function::CALLS_UID.into(),
            Function::CALL_WITH_ARG.into(),
        ] {
            let answer = world.call(0, [id, 0, 0x4000_0000, 0, 0, 0, 0, 0]);
            assert_eq!(answer, code(ReturnCode::UNKNOWN));
        }
        assert!(world.optee.calls.is_empty(), "OP-TEE was asked once more");
    }
}

#[test]
fn h35_what_is_left_is_told() {
    let remains = Remains {
        calls: 1,
        sessions: 2,
        buffers: 3,
        notified: true,
    };
    assert_eq!(remains.count(), 7);
    let text = "OP-TEE still has 1 calls, 2 sessions and 3 buffers, and notifies it, of its earlier life, until the board restarts";
    assert_eq!(CreateError::Remains(remains).to_string(), text);
}

/// Applications that live on without a session would be met again.
#[test]
fn h35_a_guest_that_is_to_begin_anew_does_so_once() {
    let config = Config {
        fresh: true,
        ..small()
    };
    let mut world = busy(Way::RpcArg, config);
    assert_eq!(world.wind_down(100), 0);
    assert!(!world.guest.keep());
    world.destroy().unwrap();
    assert_eq!(world.create(), Err(CreateError::NotFresh));
}
