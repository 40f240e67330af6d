// SPDX-License-Identifier: MIT OR Apache-2.0

//! Guests, their mediators and one OP-TEE, driven a step at a time.

use std::ops::{Deref, DerefMut};

use mediator::abi::{Function, ReturnCode, RpcCommand, TeeResult};
use mediator::{Config, CreateError, Ending, Optee, Regs, Results, Step, Usage};
use platform::VcpuId;

use crate::linux::{Client, Message, Way, result};
use crate::optee::FakeOptee;
use crate::vm::{Vm, Wait};

/// Most answers that a call needs of its guest: to chunks of lists, interrupts while OP-TEE sets a
/// partition up, requests, and the page of an RPC argument. A test may plan more.
const MOST_ANSWERS: usize = 60;

/// Where a vCPU is after a step.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Entered {
    /// Back in the guest with these registers.
    Reply(Results),
    /// On its way into the secure world: [`World::smc`] takes it there.
    Secure,
}

/// The guests of an OP-TEE. One of them is at hand: what is done, it does, and what is looked at
/// is its own.
pub struct World {
    vm: Box<Vm>,
    /// The other one.
    beside: Option<Box<Vm>>,
    /// The other side.
    pub optee: FakeOptee,
    /// Trace events and OP-TEE's logs are kept. Off for long runs.
    pub keep_logs: bool,
}

/// The id of the first guest.
pub const CLIENT: u32 = 1;

impl Deref for World {
    type Target = Vm;

    fn deref(&self) -> &Vm {
        &self.vm
    }
}

impl DerefMut for World {
    fn deref_mut(&mut self) -> &mut Vm {
        &mut self.vm
    }
}

impl World {
    /// Returns a guest with this much RAM, known to OP-TEE, with session 1 open.
    pub fn new(config: Config, pages: usize) -> Self {
        Self::born(config, FakeOptee::default(), pages)
    }

    /// Returns the same with an OP-TEE that is not built for virtualization.
    pub fn exclusive(config: Config, pages: usize) -> Self {
        Self::born(config, FakeOptee::exclusive(), pages)
    }

    fn born(config: Config, optee: FakeOptee, pages: usize) -> Self {
        let mut world = Self::unborn(config, optee, pages, CLIENT);
        world.create().expect("OP-TEE has room");
        world.open_session();
        world
    }

    /// Opens a session with an application that the policy permits; leaves no mark in RAM or in
    /// OP-TEE's logs.
    pub fn open_session(&mut self) {
        let mut client = Client::new(self, 0, Way::Classic);
        client.arg = self.ram.page(1);
        let open = Message::open(self.vm.application().0, &[]);
        let (w0, words) = client.call(self, &open);
        let done = (ReturnCode::OK, TeeResult::SUCCESS);
        assert_eq!((w0, result(&words)), done, "OPEN_SESSION");
        self.ram.put(client.arg, &[0; 512]);
        self.forget();
    }

    fn forget(&mut self) {
        self.optee.seen.clear();
        self.optee.served.clear();
        self.optee.calls.clear();
    }

    /// Returns a guest that OP-TEE does not know yet.
    pub fn unborn(config: Config, mut optee: FakeOptee, pages: usize, client: u32) -> Self {
        let vm = Self::make(config, &mut optee, pages, client);
        Self {
            vm,
            beside: None,
            optee,
            keep_logs: true,
        }
    }

    fn make(config: Config, optee: &mut FakeOptee, pages: usize, client: u32) -> Box<Vm> {
        let mut pool = crate::Pool::new(0, client);
        let found: Optee = mediator::probe(|regs| optee.smc(regs, &mut pool)).expect("probe");
        optee.allowed.insert(client, config.clone());
        Box::new(Vm::new(&found, config, pages, client))
    }

    /// Adds a second guest, with a session open, and leaves it at hand.
    pub fn join(&mut self, config: Config, pages: usize) {
        let second = Self::make(config, &mut self.optee, pages, CLIENT + 1);
        assert!(self.beside.replace(second).is_none(), "a third guest");
        self.switch();
        self.create().expect("OP-TEE has room");
        self.open_session();
    }

    /// Puts the other guest at hand, if there is one.
    pub fn switch(&mut self) {
        if let Some(other) = &mut self.beside {
            std::mem::swap(&mut self.vm, other);
        }
    }

    /// Makes the guest known to OP-TEE.
    pub fn create(&mut self) -> Result<(), CreateError> {
        let Self { vm, optee, .. } = self;
        let Vm { guest, pool, .. } = &mut **vm;
        guest.create(|regs| optee.smc(regs, pool))
    }

    /// Takes the guest out of OP-TEE; afterwards nothing may be left, unless OP-TEE knows no VMs.
    pub fn destroy(&mut self) -> Result<(), mediator::StillInside> {
        let Self { vm, optee, .. } = self;
        let Vm { guest, pool, .. } = &mut **vm;
        let result = guest.destroy(|regs| optee.smc(regs, pool));
        assert_eq!(result.is_err(), !vm.inside.is_empty());
        if result.is_ok() {
            assert_eq!(vm.usage(), Usage::default(), "left after its end");
            assert!(!optee.knows(vm.client) || !optee.is_shared());
            vm.waits.clear();
        }
        self.check();
        result
    }

    /// Makes a call of the guest's vCPU.
    pub fn enter(&mut self, vcpu: u8, regs: Regs) -> Entered {
        let entered = self.vm.enter(vcpu, regs, &self.optee);
        self.stepped(entered)
    }

    /// Runs OP-TEE on the vCPU until it returns to EL2.
    pub fn smc(&mut self, vcpu: u8) {
        let Self { vm, optee, .. } = self;
        let visit = vm.inside.get_mut(&vcpu).expect("inside");
        if visit.results.is_none() {
            visit.results = Some(optee.smc(visit.regs, &mut vm.pool));
        }
    }

    /// Lets EL2 handle what OP-TEE returned on the vCPU.
    pub fn back(&mut self, vcpu: u8) -> Entered {
        self.smc(vcpu);
        let entered = self.vm.back(vcpu);
        self.stepped(entered)
    }

    fn stepped(&mut self, entered: Entered) -> Entered {
        self.check();
        if !self.keep_logs {
            self.forget();
            self.vm.guest.trace_mut().0.clear();
            self.vm.ram.forget_reads();
        }
        entered
    }

    /// Plays a call to its next answer for the guest.
    pub fn call(&mut self, vcpu: u8, regs: Regs) -> Results {
        match self.enter(vcpu, regs) {
            Entered::Reply(results) => results,
            Entered::Secure => self.leave(vcpu).expect("it is inside"),
        }
    }

    /// Takes the vCPU out of the secure world, if it is there.
    pub fn leave(&mut self, vcpu: u8) -> Option<Results> {
        if !self.is_inside(vcpu) {
            return None;
        }
        match self.back(vcpu) {
            Entered::Reply(results) => Some(results),
            Entered::Secure => unreachable!("checked by the step"),
        }
    }

    /// Resumes a call of the guest.
    pub fn resume(&mut self, vcpu: u8, answer: Results) -> Results {
        self.call(vcpu, resuming(answer))
    }

    /// All vCPUs come out and the guest serves all calls until they have ended: each must, after a
    /// bounded number of answers.
    pub fn finish_calls(&mut self) {
        let inside: Vec<u8> = self.inside.keys().copied().collect();
        for vcpu in inside {
            self.leave(vcpu);
        }
        for _ in 0..MOST_ANSWERS {
            let waits: Vec<Wait> = self.waits.values().copied().collect();
            for wait in &waits {
                self.answer(wait);
            }
        }
        let left = self.waits.len();
        assert_eq!(left, 0, "calls that do not end, however they are served");
        assert_eq!(
            self.usage().calls,
            0,
            "calls that the guest knows nothing of"
        );
    }

    /// The guest answers as a driver without much to give would.
    fn answer(&mut self, wait: &Wait) {
        let mut regs = resuming(wait.answer);
        match ReturnCode::of(wait.answer[0]) {
            ReturnCode::RPC_ALLOC => {
                // A cookie of no buffer: there is one such page for each call.
                let (page, cookie) = (self.ram.page(1), regs[3] | 1 << 40);
                (regs[1], regs[2]) = (page >> 32, page & 0xFFFF_FFFF);
                (regs[4], regs[5]) = (cookie >> 32, cookie & 0xFFFF_FFFF);
            }
            ReturnCode::RPC_CMD => {
                let at = wait.windows.rpc_arg();
                let command = RpcCommand::of(self.ram.get(at[0]));
                let result = match command {
                    RpcCommand::SHM_ALLOC => TeeResult::OUT_OF_MEMORY,
                    _ => TeeResult::SUCCESS,
                };
                self.ram.put(at[2], &[result.word()]);
            }
            _ => {}
        }
        self.call(0, regs);
    }

    /// Ends what the stopped guest has left in OP-TEE as the kernel does, in at most `steps` calls.
    /// Returns how much is left.
    pub fn wind_down(&mut self, steps: usize) -> u32 {
        self.vm.waits.clear();
        for turn in 0..steps {
            let left = self.guest.left();
            let (regs, stopped) = match self.guest.next_ending(turn) {
                Ending::Call(regs, stopped) => (regs, stopped),
                Ending::Search if left > 0 => continue,
                Ending::Search => break,
                Ending::Nothing => break,
            };
            let Self { vm, optee, .. } = self;
            vm.begin_step();
            let mut step = vm.guest.on_guest(VcpuId(0), &regs, &stopped, &mut vm.pool);
            while let Step::Secure(regs, token) = step {
                let results = optee
                    .smc(regs.map(u64::from), &mut vm.pool)
                    .map(|x| x as u32);
                step = vm.guest.on_secure(token, results, &stopped, &mut vm.pool);
            }
            self.check();
        }
        self.guest.left()
    }

    /// Checks what holds after every step.
    pub fn check(&self) {
        self.vm.check(&self.optee);
        if let Some(other) = &self.beside {
            other.check(&self.optee);
        }
        let FakeOptee {
            bad_resumes,
            bad_cookies,
            bad_sessions,
            ..
        } = self.optee;
        assert_eq!(bad_resumes, 0, "resumes of threads that do not wait");
        assert_eq!(bad_cookies, 0, "buffers that may not be named");
        assert_eq!(bad_sessions, 0, "sessions that are not open");
    }
}

/// Returns the registers of a resume.
fn resuming(answer: Results) -> Regs {
    let [_, w1, w2, w3] = answer;
    [
        Function::CALL_RETURN_FROM_RPC.into(),
        w1,
        w2,
        w3,
        0,
        0,
        0,
        0,
    ]
}
