// SPDX-License-Identifier: MIT OR Apache-2.0

//! Random play: one hostile guest or two, on three vCPUs each, and a hostile OP-TEE.
//!
//! The model judges every step; at the end guests and OP-TEE work together, and all that was begun
//! must come to its end.

mod moves;

use mediator::abi::Function;
use mediator::{Config, Counters, Dialect, Limits, Regs, Results, TaPolicy, Usage, Uuid};

use crate::linux::Client;
use crate::ops::{LISTS, Op, act};
use crate::optee::Act;
use crate::vm::is_request;
use crate::world::{Entered, World};

/// vCPUs of a guest.
const VCPUS: u8 = 3;
/// Pages of a guest's RAM.
const PAGES: usize = 64;

/// What came of a play.
#[derive(Clone, Copy, Debug)]
pub struct Played {
    /// What the first guest did.
    pub counters: Counters,
    /// Most buffers at once.
    pub most_buffers: u32,
    /// Restarts that kept a guest's VM.
    pub kept: u64,
    /// Restarts that cost a guest's VM.
    pub lost: u64,
    /// Applications refused.
    pub denials: u64,
}

/// State beside the world.
struct Player {
    world: World,
    /// There are two guests.
    both: bool,
    /// At the end the guests stop amid their calls, which are ended without them.
    stops: bool,
    /// The second one is at hand.
    second: bool,
    /// The last answers with which a call went to each guest.
    waiting: [Vec<Results>; 2],
    most_buffers: u32,
    kept: u64,
    lost: u64,
    /// OP-TEE knows no VMs and has something of the guest, which is let in no more.
    spoilt: bool,
}

/// What one bit of a play's style says.
fn bit(style: u8, n: u8) -> bool {
    style >> n & 1 != 0
}

/// Returns the first guest of a play, or the second one, which differs.
fn config(style: u8, second: bool) -> Config {
    let policy = match (bit(style, 1), second) {
        (false, false) => TaPolicy::Any,
        (true, false) => TaPolicy::Only([Uuid([0x11; 16])].into()),
        (_, true) => TaPolicy::Except([Uuid([0x22; 16])].into()),
    };
    Config {
        dialect: match bit(style, 0) != (second && bit(style, 5)) {
            false => Dialect::Modern,
            true => Dialect::Classic,
        },
        policy,
        limits: Limits {
            calls: 4,
            buffers: 5,
            pages: 2500,
            list_frames: 7,
            sessions: if bit(style, 6) { 2 } else { 256 },
        },
        rpmb: !bit(style, 3) && !second,
        fresh: false,
        max_vms: None,
        notifications: !bit(style, 2),
    }
}

/// Plays a list of operations in a world that the bits of `style` choose: 0 classic dialect, 1 a
/// policy, 2 no notifications, 3 no RPMB, 4 a second guest, 5 which speaks the other dialect (or, without
/// a second guest, an OP-TEE that knows no VMs), 6 few sessions, 7 slow first calls, and guests that
/// stop amid calls at the end.
pub fn play(style: u8, ops: &[Op]) -> Played {
    let both = bit(style, 4);
    let mut world = match bit(style, 5) && !both {
        true => World::exclusive(config(style, false), PAGES),
        false => World::new(config(style, false), PAGES),
    };
    world.keep_logs = false;
    world.optee.slow_start = u32::from(bit(style, 7)) * 2;
    world.optee.threads = 3;
    Client::lay_list(&world, world.ram.page(LISTS), 511 * 6);
    if both {
        world.join(config(style, true), PAGES);
        Client::lay_list(&world, world.ram.page(LISTS), 511 * 6);
    }
    let mut player = Player {
        world,
        both,
        stops: bit(style, 7),
        second: both,
        waiting: Default::default(),
        most_buffers: 0,
        kept: 0,
        lost: 0,
        spoilt: false,
    };
    for &op in ops {
        player.turn_to(op.who() >= 0x80);
        player.step(op);
    }
    player.end()
}

/// Plays the operations in a fuzzer's input.
pub fn play_bytes(bytes: &[u8]) -> Played {
    let (&style, rest) = bytes.split_first().unwrap_or((&0, &[]));
    let ops: Vec<Op> = rest
        .as_chunks()
        .0
        .iter()
        .take(200)
        .map(|&op| Op::decode(op))
        .collect();
    play(style, &ops)
}

impl Player {
    /// Puts one of two guests at hand.
    fn turn_to(&mut self, second: bool) {
        if self.both && self.second != second {
            self.world.switch();
            self.second = second;
        }
    }

    fn step(&mut self, op: Op) {
        match op {
            Op::Call(b) => self.call(b),
            Op::Registers(b) => self.registers(b),
            Op::Resume(b) => {
                let answer = self.answer(b[2]);
                let stray = u64::from(b[4]) << (b[5] % 24);
                let w3 = answer[3] ^ if b[3].is_multiple_of(8) { stray } else { 0 };
                let id = Function::CALL_RETURN_FROM_RPC.into();
                self.enter(b[1], [id, answer[1], answer[2], w3, 0, 0, 0, 0]);
            }
            Op::Serve(b) => self.serve(b),
            Op::Smc(vcpu) if self.world.is_inside(vcpu % VCPUS) => self.world.smc(vcpu % VCPUS),
            Op::Back(vcpu) if self.world.is_inside(vcpu % VCPUS) => {
                let entered = self.world.back(vcpu % VCPUS);
                self.note(entered);
            }
            Op::Smc(_) | Op::Back(_) => {}
            Op::Plan(b) => {
                let acts = b[2..].chunks_exact(3).take(usize::from(b[1] % 5));
                let acts = acts.map(|b| act(&self.world, b[0], b[1], b[2])).collect();
                self.world.optee.plans.push_back(acts);
            }
            Op::Scribble(b) => self.scribble(b),
            Op::Vanish(page) => match page % 4 {
                0 => {
                    let page = self.world.ram.page(u64::from(page / 4));
                    self.world.ram.vanish(page);
                }
                _ => self.world.ram.restore(),
            },
            Op::Restart(b) => match b[2] % 2 {
                0 => self.replace(),
                _ => self.restart(),
            },
        }
    }

    /// Destroys the guest and makes it again. What an OP-TEE that knows no VMs has of it then keeps it
    /// out for good.
    fn replace(&mut self) {
        let left = self.world.guest.left();
        if self.world.destroy().is_ok() {
            self.waiting[usize::from(self.second)].clear();
            let made = self.world.create();
            let spoilt = !self.world.optee.is_shared() && (left > 0 || self.spoilt);
            assert_eq!(made.is_err(), spoilt, "{made:?} after {left}");
            self.spoilt = spoilt;
            self.lost += 1;
        }
    }

    /// Stops the guest, takes its vCPUs out and ends what it has left. OP-TEE is as
    /// hostile as ever. What is kept has nothing left in it.
    fn restart(&mut self) {
        self.leave_all();
        self.world.wind_down(40);
        if !self.world.guest.keep() {
            return self.replace();
        }
        self.waiting[usize::from(self.second)].clear();
        self.kept += 1;
        self.check_clean();
    }

    fn leave_all(&mut self) {
        for vcpu in 0..VCPUS {
            self.world.leave(vcpu);
        }
    }

    /// Ends all that the guest at hand has left. What it gave for SHM_ALLOC, OP-TEE gives back in
    /// some call.
    fn wind_down(&mut self) {
        let client = self.world.client;
        let left = self.world.wind_down(600);
        let payloads = self.world.optee.payloads(client);
        assert_eq!(left as usize, payloads.len(), "left but for {payloads:x?}");
        if left > 0 {
            self.world.open_session();
            let frees = payloads.into_iter().map(Act::Free).collect();
            self.world.optee.plans.push_front(frees);
            assert_eq!(self.world.wind_down(600), 0, "left of a guest at its end");
        }
    }

    /// Checks that nothing of the guest at hand is left.
    fn check_clean(&self) {
        let World { optee, .. } = &self.world;
        let client = self.world.client;
        assert_eq!(
            self.world.usage(),
            Usage::default(),
            "left when it was kept"
        );
        let left = [
            optee.busy_threads(client),
            optee.shm_count(client) as usize,
            optee.sessions(client),
            optee.is_notified(client).into(),
        ];
        assert_eq!(left, [0; 4], "threads, buffers, sessions, notifications");
    }

    fn enter(&mut self, vcpu: u8, regs: Regs) {
        let vcpu = vcpu % VCPUS;
        let entered = match self.world.is_inside(vcpu) {
            true => self.world.back(vcpu),
            false => self.world.enter(vcpu, regs),
        };
        self.note(entered);
    }

    fn note(&mut self, entered: Entered) {
        self.most_buffers = self.most_buffers.max(self.world.usage().buffers);
        let Entered::Reply(answer) = entered else {
            return;
        };
        let waiting = &mut self.waiting[usize::from(self.second)];
        if is_request(answer) {
            waiting.push(answer);
        }
        if waiting.len() > 6 {
            waiting.remove(0);
        }
    }

    fn answer(&self, pick: u8) -> Results {
        let waiting = &self.waiting[usize::from(self.second)];
        let count = waiting.len().max(1);
        let answer = waiting.get(usize::from(pick) % count);
        answer.copied().unwrap_or_default()
    }

    /// Guests and OP-TEE work together, and all that was begun comes to its end: every call, then
    /// what the guests have left, or all at once. After that, OP-TEE serves them as on the first day.
    fn end(mut self) -> Played {
        self.world.optee.plans.clear();
        let mut denials = 0;
        // One that was turned away for good is played with nothing to end.
        let guests = 1 + u8::from(self.both) - u8::from(self.spoilt);
        for _ in 0..guests {
            self.world.ram.settle();
            match self.stops {
                true => self.leave_all(),
                false => self.world.finish_calls(),
            }
            self.wind_down();
            assert!(self.world.guest.keep());
            self.check_clean();
            self.world.open_session();
            let all = self.world.guest.denials();
            denials += all.others + all.iter().map(|denial| denial.times).sum::<u64>();
            self.turn_to(!self.second);
        }
        self.turn_to(false);
        self.world.destroy().expect("no vCPU is inside");
        Played {
            counters: self.world.counters(),
            most_buffers: self.most_buffers,
            kept: self.kept,
            lost: self.lost,
            denials,
        }
    }
}
