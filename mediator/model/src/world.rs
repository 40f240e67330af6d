//! A guest, its mediator and OP-TEE, driven a step at a time.

use std::collections::BTreeMap;
use std::num::NonZeroU16;

use addr::VcpuId;
use mediator::abi::{func, ret};
use mediator::{
    Config, Counters, CreateError, Event, Guest, Optee, Regs, Results, Step, TaPolicy, Token,
    Trace, Usage, Uuid,
};

use crate::is_host;
use crate::linux::{Client, Message, Way};
use crate::optee::FakeOptee;
use crate::ram::{Pool, Ram};

/// Keeps the trace.
#[derive(Default)]
pub struct Recorder(pub Vec<Event>);

impl Trace for Recorder {
    fn event(&mut self, event: Event) {
        self.0.push(event);
    }
}

/// Where a vCPU is after a step.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Entered {
    /// Back in the guest with these registers.
    Reply(Results),
    /// On its way into the secure world: [`World::smc`] takes it there.
    Secure,
}

struct Visit {
    regs: Regs,
    token: Token,
    results: Option<Results>,
}

/// One guest of an OP-TEE.
pub struct World {
    /// The guest's id towards OP-TEE.
    pub client: u32,
    /// The mediator.
    pub guest: Guest<Recorder>,
    /// The guest's memory.
    pub ram: Ram,
    /// Its shadow pages.
    pub pool: Pool,
    /// The other side.
    pub optee: FakeOptee,
    config: Config,
    inside: BTreeMap<u8, Visit>,
    /// Trace events and OP-TEE's logs are kept. Off for long runs.
    pub keep_logs: bool,
}

/// The id of the first guest.
pub const CLIENT: u32 = 1;

impl World {
    /// A guest with this much RAM, known to OP-TEE, with session 1 open.
    pub fn new(config: Config, pages: usize) -> Self {
        let mut world = Self::unborn(config, FakeOptee::default(), pages, CLIENT);
        world.create().expect("OP-TEE has room");
        world.open_session();
        world
    }

    /// Opens a session with an application that the policy permits; leaves no mark in RAM or in
    /// OP-TEE's logs.
    pub fn open_session(&mut self) {
        let uuid = match &self.config.policy {
            TaPolicy::Only(list) => list[0],
            _ => Uuid([0x99; 16]),
        };
        let mut client = Client::new(self, 0, Way::Classic);
        client.arg = self.ram.page(1);
        let (w0, words) = client.call(self, &Message::open(uuid.0, &[]));
        assert_eq!((w0, words[2] >> 32), (ret::OK, 0), "OPEN_SESSION");
        self.ram.put(client.arg, &[0; 512]);
        self.optee.seen.clear();
        self.optee.served.clear();
        self.optee.calls.clear();
    }

    /// A guest that OP-TEE does not know yet.
    pub fn unborn(config: Config, mut optee: FakeOptee, pages: usize, client: u32) -> Self {
        let mut pool = Pool::new(config.limits.frames());
        let found: Optee = mediator::probe(|regs| optee.smc(regs, &mut pool)).expect("probe");
        let id = NonZeroU16::new(client as u16).expect("not 0");
        Self {
            client,
            guest: Guest::new(&found, id, config.clone(), Recorder::default()),
            ram: Ram::new(pages),
            pool,
            optee,
            config,
            inside: BTreeMap::new(),
            keep_logs: true,
        }
    }

    /// VM_CREATED.
    pub fn create(&mut self) -> Result<(), CreateError> {
        let Self {
            guest, optee, pool, ..
        } = self;
        guest.create(|regs| optee.smc(regs, pool))
    }

    /// VM_DESTROYED; afterwards nothing may be left.
    pub fn destroy(&mut self) -> Result<(), mediator::StillInside> {
        let Self {
            guest, optee, pool, ..
        } = self;
        let result = guest.destroy(|regs| optee.smc(regs, pool));
        assert_eq!(result.is_err(), !self.inside.is_empty());
        if result.is_ok() {
            assert_eq!(
                self.guest.usage(),
                Usage::default(),
                "left after VM_DESTROYED"
            );
            assert!(!self.optee.knows(self.client));
        }
        self.check();
        result
    }

    /// The guest's vCPU makes a call.
    pub fn enter(&mut self, vcpu: u8, regs: Regs) -> Entered {
        assert!(!self.is_inside(vcpu), "vCPU {vcpu} is in the secure world");
        let step = self
            .guest
            .on_guest(VcpuId(vcpu), &regs, &self.ram, &mut self.pool);
        self.take(vcpu, step)
    }

    /// The vCPU is in the secure world or on its way there or back.
    pub fn is_inside(&self, vcpu: u8) -> bool {
        self.inside.contains_key(&vcpu)
    }

    /// OP-TEE runs on the vCPU until it returns to EL2.
    pub fn smc(&mut self, vcpu: u8) {
        let visit = self.inside.get_mut(&vcpu).expect("inside");
        if visit.results.is_none() {
            visit.results = Some(self.optee.smc(visit.regs, &mut self.pool));
        }
    }

    /// EL2 handles what OP-TEE returned on the vCPU.
    pub fn back(&mut self, vcpu: u8) -> Entered {
        self.smc(vcpu);
        let visit = self.inside.remove(&vcpu).expect("inside");
        let results = visit.results.expect("smc was called");
        let step = self
            .guest
            .on_secure(visit.token, results, &self.ram, &mut self.pool);
        self.take(vcpu, step)
    }

    /// A call to its next answer for the guest.
    pub fn call(&mut self, vcpu: u8, regs: Regs) -> Results {
        let mut entered = self.enter(vcpu, regs);
        for _ in 0..10_000 {
            match entered {
                Entered::Reply(results) => return results,
                Entered::Secure => entered = self.back(vcpu),
            }
        }
        panic!("the call never comes back");
    }

    /// The guest resumes a call.
    pub fn resume(&mut self, vcpu: u8, answer: Results) -> Results {
        let [_, w1, w2, w3] = answer;
        self.call(
            vcpu,
            [func::CALL_RETURN_FROM_RPC.into(), w1, w2, w3, 0, 0, 0, 0],
        )
    }

    /// Ends what the stopped guest has left in OP-TEE as the kernel does, in at most `steps` calls.
    /// Returns how much is left.
    pub fn wind_down(&mut self, steps: usize) -> u32 {
        for turn in 0..steps {
            let Some((regs, stopped)) = self.guest.next_ending(turn) else {
                break;
            };
            let (vcpu, pool) = (VcpuId(0), &mut self.pool);
            let mut step = self.guest.on_guest(vcpu, &regs, &stopped, pool);
            while let Step::Secure(regs, token) = step {
                let results = self.optee.smc(regs, &mut self.pool);
                step = self
                    .guest
                    .on_secure(token, results, &stopped, &mut self.pool);
            }
            self.check();
        }
        self.guest.left()
    }

    /// What the guest holds.
    pub fn usage(&self) -> Usage {
        self.guest.usage()
    }

    /// What the guest did.
    pub fn counters(&self) -> Counters {
        self.guest.counters()
    }

    fn take(&mut self, vcpu: u8, step: Step) -> Entered {
        let entered = match step {
            Step::Reply(results) => {
                check_reply(results);
                Entered::Reply(results)
            }
            Step::Secure(regs, token) => {
                let visit = Visit {
                    regs,
                    token,
                    results: None,
                };
                self.inside.insert(vcpu, visit);
                Entered::Secure
            }
        };
        self.check();
        if !self.keep_logs {
            self.optee.seen.clear();
            self.optee.served.clear();
            self.optee.calls.clear();
        }
        entered
    }

    /// What holds after every step.
    pub fn check(&self) {
        if let Some((at, word)) = self.ram.leak() {
            panic!("the host address {word:#x} was written to the guest's {at:#x}");
        }
        let usage = self.usage();
        let limits = self.config.limits;
        assert_eq!(usage.inside as usize, self.inside.len(), "visits");
        assert!(usage.calls <= limits.calls.into() && usage.buffers <= limits.buffers.into());
        assert!(usage.pages <= limits.pages && usage.list_frames <= limits.list_frames.into());
        let known = self.optee.shm_count(self.client);
        if usage.calls == 0 {
            assert_eq!(usage.buffers, known, "records and OP-TEE's buffers");
            assert_eq!(usage.list_frames, 0, "list frames of no call");
        }
        // A call has at most six lists, an RPC page and an SHM_ALLOC answer of its own.
        assert!(
            usage.buffers <= known + usage.calls * 8,
            "records without an object"
        );
        assert!(
            known <= usage.buffers + usage.inside,
            "objects without a record"
        );
        assert_eq!(
            self.optee.bad_resumes, 0,
            "a thread was resumed that does not wait"
        );
    }
}

/// Registers for the guest: 32 bits each, known codes, no host address.
fn check_reply(results: Results) {
    assert!(
        results.iter().all(|&x| x >> 32 == 0),
        "not zero-extended: {results:x?}"
    );
    // The UIDs of the API and of the OS share this half; it is no address.
    let uid = results[3] == 0xa5d5_c51b;
    assert!(
        uid || !results[1..].iter().any(|&x| is_host(x)),
        "a leak in {results:x?}"
    );
    let w0 = results[0] as u32;
    let rpc = [
        ret::RPC_ALLOC,
        ret::RPC_FREE,
        ret::RPC_FOREIGN_INTR,
        ret::RPC_CMD,
    ];
    if w0 >= ret::RPC_ALLOC && w0 != ret::UNKNOWN {
        assert!(rpc.contains(&w0), "{w0:#x} for the guest");
    }
}
