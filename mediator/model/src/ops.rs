//! Random play: a hostile guest on three vCPUs and a hostile OP-TEE, one [`Op`] at a time.
//!
//! An operation is decoded from 16 bytes, so that a fuzzer's input or a shrunk property test is
//! a plain list of operations, and one that is left out does not change the others. Values come
//! from small sets: a random 64-bit number is refused by the first check and teaches nothing.

use mediator::abi::{func, ret};
use mediator::{Config, Counters, Dialect, Limits, Regs, Results, TaPolicy, Uuid};

use crate::linux::Client;
use crate::optee::{Act, Rpc};
use crate::world::{Entered, World};
use crate::{HOST, RAM_PA, is_host};

/// vCPUs of the guest.
const VCPUS: u8 = 3;
/// First of six chained list pages.
const LISTS: u64 = 40;

/// One operation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Op {
    /// The guest lays a message and calls with it.
    Call([u8; 16]),
    /// The guest makes a call of any function with any registers.
    Registers([u8; 16]),
    /// The guest resumes a call that waits, or one that does not.
    Resume([u8; 16]),
    /// The guest serves the RPC that waits, well or badly, and resumes.
    Serve([u8; 16]),
    /// OP-TEE runs on a vCPU.
    Smc(u8),
    /// EL2 handles what OP-TEE returned.
    Back(u8),
    /// What OP-TEE does in its next call.
    Plan([u8; 16]),
    /// The guest writes to its memory, now or right after the mediator has read it.
    Scribble([u8; 16]),
    /// A page goes, or all pages come back.
    Vanish(u8),
    /// The guest is destroyed and made again.
    Reset,
}

impl Op {
    /// Any 16 bytes are an operation.
    pub fn decode(bytes: [u8; 16]) -> Self {
        match bytes[0] % 24 {
            0..=6 => Self::Call(bytes),
            7 => Self::Registers(bytes),
            8..=9 => Self::Resume(bytes),
            10..=13 => Self::Serve(bytes),
            14..=15 => Self::Smc(bytes[1]),
            16..=18 => Self::Back(bytes[1]),
            19..=20 => Self::Plan(bytes),
            21 => Self::Scribble(bytes),
            22 => Self::Vanish(bytes[1]),
            _ => Self::Reset,
        }
    }
}

/// Sizes worth trying, in bytes.
fn size(pick: u8) -> u64 {
    const SIZES: [u64; 16] = [
        4096,
        8192,
        4096,
        8192,
        511 * 4096,
        512 * 4096,
        600 * 4096,
        1100 * 4096,
        100,
        4097,
        0,
        1,
        3000 * 4096,
        1 << 44 | 4096,
        u64::MAX,
        u64::MAX - 4095,
    ];
    SIZES[usize::from(pick % 16)]
}

/// Cookies: six, and none.
fn cookie(pick: u8) -> u64 {
    match pick % 7 {
        0 => 0,
        n => 0xffff_0000_1234_0000 + u64::from(n) * 0x100,
    }
}

/// Words worth trying, none of them a host address unless the guest guesses one.
fn word(world: &World, pick: u8) -> u64 {
    match pick % 12 {
        0 => 0,
        1 => 1,
        2 => u64::MAX,
        3 => 0x20a,
        4 => world.ram.page(LISTS),
        5 => world.ram.page(16),
        6 => world.ram.page(64),
        7 => 0x0900_0000,
        8 => cookie(pick / 12),
        9 => size(pick / 12),
        10 => world.ram.page(17) + 8,
        _ => u64::from(pick) << 32 & !(0xff << 56),
    }
}

/// Kinds of parameters for [`param`], good ones more often.
const KINDS: [u8; 32] = [
    0, 0, 1, 2, 2, 3, 3, 4, 4, 4, 5, 5, 5, 6, 6, 6, 7, 8, 8, 9, 9, 10, 10, 11, 12, 12, 12, 13, 14,
    15, 15, 2,
];

/// A parameter: kind, cookie and size by three bytes.
fn param(world: &World, kind: u8, which: u8, much: u8) -> [u64; 4] {
    let offset = u64::from(which / 21 % 3) * 0x80;
    let list = world.ram.page(LISTS + u64::from(which / 7 % 3)) | offset;
    match kind % 16 {
        0 => [0; 4],
        1..=3 => [u64::from(kind % 16), 1, 2, 3],
        4..=6 => [
            u64::from(kind % 16) + 1,
            0,
            size(much).min(100),
            cookie(which),
        ],
        7 => [7, size(much), size(much / 16), cookie(which)],
        8..=10 => [
            0x209 + u64::from(kind % 16) - 8,
            list,
            size(much),
            cookie(which),
        ],
        11 => [0x20a, list, size(much), cookie(which)],
        12 => [9, 0, 16, 0],
        13 => [0xa, world.ram.page(16), size(much), cookie(which)],
        14 => [0x101, 0x1111_1111_1111_1111, 0x1111_1111_1111_1111, 0],
        _ => [
            word(world, much),
            word(world, which),
            size(much),
            cookie(which),
        ],
    }
}

/// What came of a play.
#[derive(Clone, Copy, Debug)]
pub struct Played {
    /// What the guest did.
    pub counters: Counters,
    /// Most buffers at once.
    pub most_buffers: u32,
}

/// State beside the world.
struct Player {
    most_buffers: u32,
    world: World,
    /// The last answers with which a call went to the guest.
    waiting: Vec<Results>,
}

/// Plays a list of operations in a world that the first byte chooses. Gives what came of it:
/// the guest's counters, and how many calls ended well with records or RPCs of their own.
pub fn play(style: u8, ops: &[Op]) -> Played {
    let dialect = if style & 1 == 0 {
        Dialect::Modern
    } else {
        Dialect::Classic
    };
    let policy = match style & 2 {
        0 => TaPolicy::Any,
        _ => TaPolicy::Only([Uuid([0x11; 16])].into()),
    };
    let limits = Limits {
        calls: 4,
        buffers: 5,
        pages: 2500,
        list_frames: 7,
        ..Limits::default()
    };
    let config = Config {
        dialect,
        policy,
        limits,
        rpmb: style & 8 == 0,
        max_vms: None,
        notifications: style & 4 == 0,
    };
    let mut world = World::new(config, 64);
    world.keep_logs = false;
    Client::lay_list(&world, world.ram.page(LISTS), 511 * 6);
    let mut player = Player {
        world,
        waiting: Vec::new(),
        most_buffers: 0,
    };
    for &op in ops {
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
    fn step(&mut self, op: Op) {
        match op {
            Op::Call(b) => self.call(b),
            Op::Registers(b) => {
                let ids = [
                    func::CALLS_UID,
                    func::EXCHANGE_CAPABILITIES,
                    func::ENABLE_ASYNC_NOTIF,
                    func::GET_ASYNC_NOTIF_VALUE,
                    func::CALL_WITH_ARG,
                    func::CALL_WITH_REGD_ARG,
                    func::CALL_RETURN_FROM_RPC,
                    func::DISABLE_SHM_CACHE,
                    func::VM_DESTROYED,
                    func::VM_CREATED,
                ];
                let id = ids
                    .get(usize::from(b[2] % 12))
                    .copied()
                    .unwrap_or(0xB200_0000);
                let pick = |n: usize| word(&self.world, b[n]);
                let regs = [
                    id.into(),
                    pick(3),
                    pick(4),
                    pick(5),
                    pick(6),
                    pick(7),
                    0,
                    pick(8),
                ];
                self.enter(b[1], regs);
            }
            Op::Resume(b) => {
                let answer = self.answer(b[2]);
                let w3 = answer[3]
                    ^ if b[3].is_multiple_of(8) {
                        u64::from(b[4]) << (b[5] % 24)
                    } else {
                        0
                    };
                let id = func::CALL_RETURN_FROM_RPC.into();
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
                let acts = acts.map(|b| self.act(b[0], b[1], b[2])).collect();
                self.world.optee.plans.push_back(acts);
            }
            Op::Scribble(b) => {
                let page = if b[1].is_multiple_of(2) {
                    b[2] % 16
                } else {
                    LISTS as u8 + b[2] % 6
                };
                let at = self.world.ram.page(page.into()) + u64::from(b[3]) * 8 % 4096;
                let value = word(&self.world, b[4]);
                match b[5] % 2 {
                    0 => self.world.ram.put(at, &[value]),
                    _ => self.world.ram.race(at, value),
                }
            }
            Op::Vanish(page) => match page % 4 {
                0 => self
                    .world
                    .ram
                    .vanish(self.world.ram.page(u64::from(page / 4))),
                _ => self.world.ram.restore(),
            },
            Op::Reset => {
                if self.world.destroy().is_ok() {
                    self.waiting.clear();
                    self.world.create().expect("OP-TEE has room");
                }
            }
        }
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
        if let Entered::Reply(answer) = entered
            && answer[0] >= ret::RPC_ALLOC.into()
            && answer[0] != ret::UNKNOWN.into()
        {
            self.waiting.push(answer);
            if self.waiting.len() > 6 {
                self.waiting.remove(0);
            }
        }
    }

    fn answer(&self, pick: u8) -> Results {
        let count = self.waiting.len().max(1);
        self.waiting
            .get(usize::from(pick) % count)
            .copied()
            .unwrap_or([0; 4])
    }

    fn call(&mut self, b: [u8; 16]) {
        let at = self.world.ram.page(u64::from(b[4] % 12));
        let offset = u64::from(b[3] % 4) * 1024;
        let (id, w1_3, at) = match b[2] % 4 {
            0 => (func::CALL_WITH_ARG, [at >> 32, at, 1], at),
            1 | 2 => (func::CALL_WITH_RPC_ARG, [at >> 32, at, 1], at),
            _ => {
                let cookie = cookie(b[4]);
                let regs = [cookie >> 32, cookie & 0xFFFF_FFFF, offset];
                (
                    func::CALL_WITH_REGD_ARG,
                    regs,
                    self.world.ram.page(16) + offset,
                )
            }
        };
        const COMMANDS: [u64; 16] = [0, 1, 1, 1, 1, 2, 3, 4, 4, 4, 4, 4, 5, 5, 6, 8];
        let command = COMMANDS[usize::from(b[5] % 16)];
        let count = match (command, b[6] % 16) {
            (_, 0) => b[7].into(),
            (0, more) => 2 + u64::from(more % 3),
            (1, more) => u64::from(more % 3),
            (4 | 5, _) => 1,
            _ => 0,
        };
        let mut words = vec![command, 1, 0, count << 32];
        for n in 0..count.min(8) as u8 {
            let pick = usize::from(8 + n % 3 * 2);
            let kind = match (command, n) {
                (0, 0 | 1) if !b[7].is_multiple_of(8) => 14,
                (4, 0) if !b[7].is_multiple_of(8) => 11,
                (5, 0) if !b[7].is_multiple_of(8) => 4,
                _ => KINDS[usize::from(b[14].wrapping_add(n.wrapping_mul(b[15])) % 32)],
            };
            words.extend(param(&self.world, kind, b[pick], b[pick + 1]));
        }
        self.world.ram.put(at, &words);
        let [w1, w2, w3] = w1_3;
        self.enter(b[1], [id.into(), w1, w2, w3, 0, 0, 0, 1]);
    }

    /// Serves an RPC where the guest of this play knows that it lies: behind each message page's
    /// message, or in the page that it gives to ALLOC.
    fn serve(&mut self, b: [u8; 16]) {
        let answer = self.answer(b[2]);
        let home = self.world.ram.page(12 + u64::from(b[3] % 3));
        let mut regs = [
            func::CALL_RETURN_FROM_RPC.into(),
            answer[1],
            answer[2],
            answer[3],
            0,
            0,
            0,
            0,
        ];
        match answer[0] as u32 {
            ret::RPC_ALLOC => {
                let cookie = cookie(b[4]);
                regs[1] = home >> 32;
                regs[2] = if b[5].is_multiple_of(8) {
                    word(&self.world, b[6])
                } else {
                    home
                };
                (regs[4], regs[5]) = (cookie >> 32, cookie & 0xFFFF_FFFF);
            }
            ret::RPC_CMD => {
                let result = if b[4].is_multiple_of(8) {
                    0xFFFF_0000_u64 << 32
                } else {
                    0
                };
                let kind = if b[6].is_multiple_of(8) { b[6] / 8 } else { 11 };
                let param = param(&self.world, kind, b[7], b[8]);
                let pages = (0..12).map(|n| self.world.ram.page(n));
                let beside =
                    pages.map(|page| page + 32 + (self.world.ram.get(page + 24) >> 32) % 7 * 32);
                let homes: Vec<u64> = beside.chain([home]).collect();
                for at in homes {
                    self.world.ram.put(at + 16, &[result]);
                    self.world.ram.put(at + 32, &param);
                }
            }
            _ => {}
        }
        self.enter(b[1], regs);
    }

    fn act(&self, kind: u8, which: u8, much: u8) -> Act {
        let noise = |pick: u8| {
            Some(word(&self.world, pick))
                .filter(|&w| !is_host(w))
                .unwrap_or(0)
        };
        match kind % 16 {
            0 | 1 => Act::Interrupt,
            2 | 3 => Act::Alloc(size(much).min(1 << 40), u64::from(which % 3)),
            4 | 5 => Act::Free(cookie(which)),
            // A success that is none would be a lie about OP-TEE's own buffers.
            6 => Act::Result((noise(much) as u32).max(1)),
            7 => Act::Code(u32::from(which % 9)),
            8 => Act::Raw([
                [0, 6, ret::UNKNOWN, 0x8000_0000][usize::from(which % 4)],
                1,
                2,
                3,
            ]),
            9 => {
                let rpc = [ret::RPC_ALLOC, ret::RPC_FREE, ret::RPC_CMD, 0xFFFF_1234];
                let [high, low] = [RAM_PA >> 32, RAM_PA].map(|half| half as u32);
                Act::Raw([rpc[usize::from(which % 4)], high, low, 0])
            }
            10 => Act::Scrawl(u64::from(which).max(3), noise(much)),
            11 => {
                // A host address where none may be.
                let address = HOST << 24 | u64::from(much) << 12;
                Act::Rpc(Rpc {
                    command: 2,
                    params: vec![[9 + u64::from(which % 3), address, 16, 1]],
                })
            }
            _ => {
                let commands = [0, 2, 3, 4, 5, 6, 7, 8, 9, 12, 13, 20, 21, 24, 25, 99];
                let command = commands[usize::from(which % 16)];
                let params = (0..which / 16 % 6).map(|n| {
                    let kind = much.wrapping_add(n.wrapping_mul(which)) % 13;
                    param(&self.world, kind, n.wrapping_add(much / 8), much % 16)
                });
                Act::Rpc(Rpc {
                    command,
                    params: params.collect(),
                })
            }
        }
    }

    /// All vCPUs come out, and the guest goes: nothing may be left.
    fn end(mut self) -> Played {
        self.world.optee.plans.clear();
        for vcpu in 0..VCPUS {
            for _ in 0..100 {
                if !self.world.is_inside(vcpu) {
                    break;
                }
                let _ = self.world.back(vcpu);
            }
        }
        self.world.destroy().expect("no vCPU is inside");
        Played {
            counters: self.world.counters(),
            most_buffers: self.most_buffers,
        }
    }
}
