// SPDX-License-Identifier: MIT OR Apache-2.0

//! Every order of the steps of two vCPUs that make two calls each, with RPCs in between.
//!
//! A step is what the kernel does under the VM's lock, or OP-TEE's run in between: a vCPU makes
//! or resumes a call, OP-TEE runs until it returns, EL2 handles what it returned. OP-TEE may
//! have ended a call before EL2 knows, and that is where the orders differ. The model checks
//! its invariants after every step of every order.

use std::cell::Cell;

use mediator::abi::{Command, Function, ReturnCode, RpcCommand, TeeResult};
use mediator::{Config, Limits, Results, Usage};
use mediator_model::{Act, CLIENT, Entered, Message, Param, Rpc, World};

/// Cookie that both vCPUs fight for.
const COOKIE: u64 = 0xffff_0000_1000_0100;

/// What a vCPU does, in this order.
#[derive(Clone)]
enum Deed {
    /// A call, and what OP-TEE does in it.
    Call(Message, Vec<Act>),
    /// A resume of whatever the other vCPU's call waits with.
    Steal,
}

struct Vcpu {
    number: u8,
    deeds: Vec<Deed>,
    next: usize,
    /// The answer to serve, while a call waits.
    waits: Option<Results>,
    /// OP-TEE has run, EL2 has not seen it.
    ran: bool,
    /// What came of each deed: w0 and the TEE result.
    outcomes: Vec<Ended>,
    arg: u64,
}

impl Vcpu {
    fn new(world: &World, number: u8, deeds: &[Deed]) -> Self {
        let arg = world.ram.page(number.into());
        let deeds = deeds.to_vec();
        Self {
            number,
            deeds,
            next: 0,
            waits: None,
            ran: false,
            outcomes: Vec::new(),
            arg,
        }
    }

    fn is_done(&self, world: &World) -> bool {
        self.next == self.deeds.len() && self.waits.is_none() && !world.is_inside(self.number)
    }

    fn step(&mut self, world: &mut World, last_seen: &mut Option<Results>) {
        if world.is_inside(self.number) {
            if !self.ran {
                world.smc(self.number);
                self.ran = true;
                return;
            }
            self.ran = false;
            let entered = world.back(self.number);
            return self.arrived(entered, world, last_seen);
        }
        let regs = match self.waits.take() {
            Some(answer) => self.serve(world, answer),
            None => self.begin(world, *last_seen),
        };
        let entered = world.enter(self.number, regs);
        self.arrived(entered, world, last_seen);
    }

    fn begin(&mut self, world: &mut World, last_seen: Option<Results>) -> mediator::Regs {
        let deed = self.deeds[self.next].clone();
        self.next += 1;
        match deed {
            Deed::Call(mut message, acts) => {
                message.func = u32::from(self.number) << 8 | self.next as u32;
                world.optee.plans_of.insert(message.func, acts);
                world.ram.put(self.arg, &message.words());
                [
                    Function::CALL_WITH_RPC_ARG.into(),
                    0,
                    self.arg,
                    1,
                    0,
                    0,
                    0,
                    0,
                ]
            }
            Deed::Steal => {
                let id = last_seen.map_or(0, |answer| answer[3]);
                [Function::CALL_RETURN_FROM_RPC.into(), 0, 0, id, 0, 0, 0, 0]
            }
        }
    }

    fn serve(&self, world: &World, answer: Results) -> mediator::Regs {
        if answer[0] == ReturnCode::RPC_CMD.into() {
            let at = self.arg + 32 + (world.ram.get(self.arg + 24) >> 32) * 32;
            // SHM_ALLOC gets the cookie that everybody wants.
            world.ram.put(at + 16, &[0]);
            if world.ram.get(at) == 6 {
                world
                    .ram
                    .put(at + 32, &Param::list(0xa, world.ram.page(8), 4096, COOKIE));
            }
        }
        [
            Function::CALL_RETURN_FROM_RPC.into(),
            answer[1],
            answer[2],
            answer[3],
            0,
            0,
            0,
            0,
        ]
    }

    fn arrived(&mut self, entered: Entered, world: &World, last_seen: &mut Option<Results>) {
        let Entered::Reply(answer) = entered else {
            return;
        };
        let w0 = ReturnCode::of(answer[0]);
        if w0 >= ReturnCode::RPC_ALLOC && w0 != ReturnCode::UNKNOWN {
            self.waits = Some(answer);
            *last_seen = Some(answer);
        } else {
            self.outcomes
                .push((w0, TeeResult((world.ram.get(self.arg + 16) >> 32) as u32)));
        }
    }
}

/// Runs all orders; `judge` sees the outcomes of both vCPUs at the end of each. Gives how many
/// orders there are.
fn explore(deeds: [&[Deed]; 2], threads: u32, judge: impl Fn(&World, [&[Ended]; 2])) -> usize {
    let mut path: Vec<(u8, u8)> = Vec::new();
    let mut orders = 0;
    loop {
        run(deeds, threads, &mut path, &judge);
        orders += 1;
        if orders < 4 {
            println!("{path:?}");
        }
        // The last choice that can still be another one.
        while path
            .last()
            .is_some_and(|&(taken, choices)| taken + 1 == choices)
        {
            path.pop();
        }
        match path.last_mut() {
            Some((taken, _)) => *taken += 1,
            None => return orders,
        }
    }
}

/// One order: the choices in `path`, then the first possible one each time.
fn run(
    deeds: [&[Deed]; 2],
    threads: u32,
    path: &mut Vec<(u8, u8)>,
    judge: &impl Fn(&World, [&[Ended]; 2]),
) {
    let limits = Limits {
        calls: 3,
        buffers: 4,
        pages: 1300,
        list_frames: 4,
        ..Limits::default()
    };
    let mut world = World::new(
        Config {
            limits,
            ..Config::default()
        },
        12,
    );
    world.optee.threads = threads;
    world.ram.put(world.ram.page(8), &[world.ram.page(9)]);
    let mut vcpus = [0, 1].map(|n| Vcpu::new(&world, n, deeds[usize::from(n)]));
    let mut seen = [None, None];
    for at in 0.. {
        let ready: Vec<usize> = (0..2).filter(|&n| !vcpus[n].is_done(&world)).collect();
        if ready.is_empty() {
            break;
        }
        if at == path.len() {
            path.push((0, ready.len() as u8));
        }
        let n = ready[usize::from(path[at].0)];
        // What a thief sees is what the other one got.
        let mut other = seen[1 - n];
        let mut mine = seen[n];
        let slot = match vcpus[n].deeds.get(vcpus[n].next) {
            Some(Deed::Steal) => &mut other,
            _ => &mut mine,
        };
        vcpus[n].step(&mut world, slot);
        seen[n] = vcpus[n].waits.or(seen[n]);
    }
    println!("{:?}", (&vcpus[0].outcomes, &vcpus[1].outcomes));
    judge(&world, [&vcpus[0].outcomes, &vcpus[1].outcomes]);
    assert_eq!(world.usage().calls + world.usage().list_frames, 0);
    world.destroy().expect("nobody is inside");
    assert_eq!(world.usage(), Usage::default());
}

/// w0 and the result of a call that has ended.
type Ended = (ReturnCode, TeeResult);

const DONE: Ended = (ReturnCode::OK, TeeResult::SUCCESS);
const REFUSED: Ended = (ReturnCode::OK, TeeResult::BAD_PARAMETERS);

fn register(world_page: u64, acts: &[Act]) -> Deed {
    let list = Param::list(0xa, world_page, 4096, COOKIE);
    Deed::Call(Message::new(Command::REGISTER_SHM, &[list]), acts.to_vec())
}

fn unregister(acts: &[Act]) -> Deed {
    let message = Message::new(Command::UNREGISTER_SHM, &[Param::shm(5, COOKIE, 0, 0)]);
    Deed::Call(message, acts.to_vec())
}

fn invoke(params: &[[u64; 4]], acts: &[Act]) -> Deed {
    Deed::Call(Message::invoke(params), acts.to_vec())
}

/// The page that holds the list, as [`World`] lays RAM out.
const LIST: u64 = mediator_model::RAM_IPA + 8 * 4096;

#[test]
fn one_cookie_is_registered_and_unregistered_on_both_sides() {
    let first = [register(LIST, &[Act::Interrupt]), unregister(&[])];
    let second = [register(LIST, &[]), unregister(&[Act::Interrupt])];
    let orders = explore([&first, &second], 2, |world, outcomes| {
        let all = outcomes.concat();
        assert!(
            all.iter().all(|outcome| [DONE, REFUSED].contains(outcome)),
            "{all:?}"
        );
        let made = [outcomes[0][0], outcomes[1][0]]
            .iter()
            .filter(|&&o| o == DONE)
            .count();
        let gone = [outcomes[0][1], outcomes[1][1]]
            .iter()
            .filter(|&&o| o == DONE)
            .count();
        assert!(made >= 1 && gone <= made, "{all:?}");
        assert_eq!(world.usage().buffers as usize, made - gone);
        assert_eq!(world.optee.shm_count(CLIENT) as usize, made - gone);
    });
    assert!(orders > 100, "{orders} orders");
}

#[test]
fn a_buffer_is_used_while_it_comes_and_goes() {
    let first = [
        register(LIST, &[Act::Interrupt]),
        unregister(&[Act::Interrupt]),
    ];
    let named = [Param::shm(5, COOKIE, 0, 16)];
    let second = [0, 1].map(|_| invoke(&named, &[Act::Interrupt, Act::Interrupt]));
    // Unregistering waits for a call that names the buffer: that is told, and the driver tries again.
    let seen = Cell::new([0, 0]);
    let orders = explore([&first, &second], 2, |world, outcomes| {
        let busy = outcomes[0][1].0 == ReturnCode::ETHREAD_LIMIT;
        assert_eq!(outcomes[0][0], DONE);
        assert!(busy || outcomes[0][1] == DONE, "{outcomes:?}");
        assert!(
            outcomes[1]
                .iter()
                .all(|outcome| [DONE, REFUSED].contains(outcome))
        );
        let left = u32::from(busy);
        assert_eq!(world.usage().buffers, left);
        assert_eq!(world.optee.shm_count(CLIENT), left);
        assert_eq!(world.optee.bad_cookies, 0);
        let mut both = seen.get();
        both[usize::from(busy)] += 1;
        seen.set(both);
    });
    assert!(seen.get().iter().all(|&orders| orders > 10), "{seen:?}");
    assert!(orders > 150, "{orders} orders");
}

#[test]
fn both_sides_give_the_same_cookie_for_an_allocation() {
    let alloc = || Act::Alloc(4096, 0);
    let first = [invoke(&[], &[alloc()]), invoke(&[], &[Act::Free(COOKIE)])];
    let second = [invoke(&[], &[alloc()])];
    let kept = Cell::new([0, 0]);
    let orders = explore([&first, &second], 2, |world, outcomes| {
        assert!(outcomes.concat().iter().all(|&outcome| outcome == DONE));
        let left = world.usage().buffers;
        assert_eq!(left, world.optee.shm_count(CLIENT));
        let mut counts = kept.get();
        counts[left as usize] += 1;
        kept.set(counts);
    });
    assert!(kept.get().iter().all(|&count| count > 100), "{kept:?}");
    assert!(orders > 4_000, "{orders} orders");
}

/// The number of a session that is closed goes to the next one, which may fail to open.
#[test]
fn a_session_is_named_while_it_is_closed_and_its_number_given_away() {
    let close = Message {
        session: 1,
        ..Message::new(Command::CLOSE_SESSION, &[])
    };
    let open = Message::open([9; 16], &[]);
    let failing = vec![Act::Interrupt, Act::Result(TeeResult::GENERIC)];
    let first = [Deed::Call(close, vec![]), Deed::Call(open, failing)];
    let second = [invoke(&[], &[Act::Interrupt]), invoke(&[], &[])];
    let orders = explore([&first, &second], 2, |world, outcomes| {
        let closed = outcomes[0][0];
        assert!(
            closed == DONE || closed.0 == ReturnCode::ETHREAD_LIMIT,
            "{closed:?}"
        );
        let invoked = outcomes[1].iter();
        assert!(
            invoked
                .clone()
                .all(|outcome| [DONE, REFUSED].contains(outcome))
        );
        assert_eq!(world.optee.bad_sessions, 0);
        assert_eq!(world.optee.sessions(CLIENT), usize::from(closed != DONE));
    });
    assert!(orders > 500, "{orders} orders");
}

#[test]
fn two_calls_each_with_lists_and_rpcs_do_not_meet() {
    let deeds = |cookie| {
        let list = Param::list(0xb, LIST, 4096, cookie);
        let time = Rpc {
            command: RpcCommand::GET_TIME,
            params: vec![Param::value(2, 0, 0, 0)],
        };
        let register = Message::new(
            Command::REGISTER_SHM,
            &[Param::list(0xa, LIST, 4096, cookie)],
        );
        [
            invoke(&[list], &[Act::Rpc(time)]),
            Deed::Call(register, vec![]),
        ]
    };
    let orders = explore([&deeds(0x100), &deeds(0x200)], 2, |world, outcomes| {
        assert_eq!(outcomes.concat(), [DONE; 4]);
        assert_eq!(world.usage().buffers, 2);
        assert_eq!(world.optee.served, [[0, 2, 0, 0, 0], [0, 2, 0, 0, 0]]);
    });
    assert_eq!(orders, 48_620, "9 steps each: 18 over 9");
}

#[test]
fn one_thread_serves_two_vcpus() {
    let deeds = [
        invoke(&[], &[Act::Interrupt]),
        invoke(&[Param::value(2, 0, 0, 0)], &[]),
    ];
    let orders = explore([&deeds, &deeds], 1, |world, outcomes| {
        let limit = |outcome: &Ended| outcome.0 == ReturnCode::ETHREAD_LIMIT;
        assert!(
            outcomes
                .concat()
                .iter()
                .all(|outcome| *outcome == DONE || limit(outcome))
        );
        assert_eq!(world.optee.busy_threads(CLIENT), 0);
    });
    assert!(orders > 1_000, "{orders} orders");
}

#[test]
fn a_call_is_resumed_by_the_wrong_vcpu_at_any_moment() {
    let first = [invoke(
        &[Param::value(2, 0, 0, 0)],
        &[Act::Interrupt, Act::Interrupt],
    )];
    let second = [Deed::Steal, Deed::Steal, Deed::Steal];
    let orders = explore([&first, &second], 2, |world, outcomes| {
        // Whoever brings the call to its end gets OK, everybody else ERESUME: no order loses
        // the call or ends it twice.
        let all = outcomes.concat();
        assert_eq!(
            all.iter()
                .filter(|outcome| outcome.0 == ReturnCode::OK)
                .count(),
            1,
            "{all:?}"
        );
        assert!(
            all.iter()
                .all(|outcome| [ReturnCode::OK, ReturnCode::ERESUME].contains(&outcome.0))
        );
        assert_eq!(world.optee.seen.len(), 1);
    });
    assert!(orders > 200, "{orders} orders");
}
