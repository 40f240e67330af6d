// SPDX-License-Identifier: MIT OR Apache-2.0

//! One guest with its mediator, its memory, and what must hold of them.

use std::collections::BTreeMap;
use std::num::NonZeroU16;

use mediator::abi::{Command, Function, ReturnCode};
use mediator::{
    Config, Counters, Event, Guest, Optee, Regs, Results, Step, TaPolicy, Token, Trace, Usage, Uuid,
};
use platform::VcpuId;

use crate::is_host;
use crate::optee::FakeOptee;
use crate::ram::{Pool, Ram};
use crate::windows::Windows;
use crate::world::Entered;

/// Most words that a step of the mediator reads and writes and pages that it translates: each of
/// 256 entries of lists three times, and messages.
const MOST_WORK: u32 = 3 * 256 + 150;

/// Keeps the trace.
#[derive(Default)]
pub struct Recorder(pub Vec<Event>);

impl Trace for Recorder {
    fn event(&mut self, event: Event) {
        self.0.push(event);
    }
}

/// A call on its way into the secure world, there, or on its way back.
pub(crate) struct Visit {
    pub regs: Regs,
    token: Token,
    pub results: Option<Results>,
    windows: Windows,
}

/// A call that waits at the guest.
#[derive(Clone, Copy)]
pub(crate) struct Wait {
    pub answer: Results,
    pub windows: Windows,
}

/// One guest of an OP-TEE.
pub struct Vm {
    /// The guest's id towards OP-TEE.
    pub client: u32,
    /// The mediator.
    pub guest: Guest<Recorder>,
    /// The guest's memory.
    pub ram: Ram,
    /// Its shadow pages.
    pub pool: Pool,
    pub(crate) config: Config,
    pub(crate) inside: BTreeMap<u8, Visit>,
    /// Calls that wait at the guest, by the thread id that it knows.
    pub(crate) waits: BTreeMap<u32, Wait>,
}

impl Vm {
    pub(crate) fn new(found: &Optee, config: Config, pages: usize, client: u32) -> Self {
        let id = NonZeroU16::new(client as u16).expect("not 0");
        Self {
            client,
            guest: Guest::new(found, id, config.clone(), Recorder::default()),
            ram: Ram::new(pages, client),
            pool: Pool::new(config.limits.frames(), client),
            config,
            inside: BTreeMap::new(),
            waits: BTreeMap::new(),
        }
    }

    /// The vCPU is in the secure world or on its way there or back.
    pub fn is_inside(&self, vcpu: u8) -> bool {
        self.inside.contains_key(&vcpu)
    }

    /// Returns what the guest holds.
    pub fn usage(&self) -> Usage {
        self.guest.usage()
    }

    /// Returns what the guest did.
    pub fn counters(&self) -> Counters {
        self.guest.counters()
    }

    /// Sessions that the mediator knows.
    pub fn sessions(&self) -> u32 {
        let Usage { calls, buffers, .. } = self.usage();
        let notified = u32::from(self.guest.wants_notifications());
        self.guest.left() - calls - buffers - notified
    }

    /// Returns an application that the guest may open.
    pub(crate) fn application(&self) -> Uuid {
        match &self.config.policy {
            TaPolicy::Only(list) => list[0],
            _ => Uuid([0x99; 16]),
        }
    }

    pub(crate) fn begin_step(&self) {
        self.ram.begin_step();
        self.pool.begin_step();
    }

    /// Makes a call of the guest's vCPU.
    pub(crate) fn enter(&mut self, vcpu: u8, regs: Regs, optee: &FakeOptee) -> Entered {
        assert!(!self.is_inside(vcpu), "vCPU {vcpu} is in the secure world");
        let resumed = match Function::of(regs[0]) {
            Function::CALL_RETURN_FROM_RPC => self.waits.remove(&(regs[3] as u32)),
            _ => None,
        };
        let mut windows = match resumed {
            Some(wait) => wait.windows,
            None => Windows::of(&regs, &self.ram, optee, self.client),
        };
        if let Some(wait) = resumed {
            windows.answer(&wait.answer, &regs);
        }
        let known = resumed.is_none().then(|| self.sessions());
        self.begin_step();
        let step = self
            .guest
            .on_guest(VcpuId(vcpu), &regs, &self.ram, &mut self.pool);
        if let Step::Secure(regs, _) = &step {
            self.check_entry(&regs.map(u64::from), known);
        }
        self.take(vcpu, step, windows)
    }

    /// Lets EL2 handle what OP-TEE returned on the vCPU. The guest has the core then, so that
    /// interrupts are served.
    pub(crate) fn back(&mut self, vcpu: u8) -> Entered {
        let visit = self.inside.remove(&vcpu).expect("inside");
        let results = visit.results.expect("OP-TEE has run");
        self.begin_step();
        let step = self.guest.on_secure(
            visit.token,
            results.map(|x| x as u32),
            &self.ram,
            &mut self.pool,
        );
        let entered = self.take(vcpu, step, visit.windows);
        assert_ne!(entered, Entered::Secure, "interrupts are not served");
        entered
    }

    fn take(&mut self, vcpu: u8, step: Step, mut windows: Windows) -> Entered {
        let stray = self.ram.stray_write(|at, len| windows.hold(at, len));
        if let Some((at, len)) = stray {
            panic!("{len} bytes at {at:#x} were written, which belong to no call");
        }
        let work = self.ram.work() + self.pool.work();
        assert!(work <= MOST_WORK, "a step of {work} accesses");
        match step {
            Step::Reply(answer) => {
                let answer = answer.map(u64::from);
                check_reply(answer);
                if answer[0] == ReturnCode::RPC_FREE.into() {
                    windows.free_page();
                }
                if answer[0] == ReturnCode::RPC_CMD.into() {
                    self.check_request(&windows);
                }
                if is_request(answer) {
                    let wait = Wait { answer, windows };
                    self.waits.insert(answer[3] as u32, wait);
                }
                Entered::Reply(answer)
            }
            Step::Secure(regs, token) => {
                let visit = Visit {
                    regs: regs.map(u64::from),
                    token,
                    results: None,
                    windows,
                };
                self.inside.insert(vcpu, visit);
                Entered::Secure
            }
        }
    }

    /// A call on its way to OP-TEE is in the guest's name, and if it is a new one, opens no session
    /// beyond the quota: so many were `known` before.
    fn check_entry(&self, regs: &Regs, known: Option<u32>) {
        assert_eq!(regs[7], self.client.into(), "another guest's call");
        if let (Some(known), Function::CALL_WITH_RPC_ARG) = (known, Function::of(regs[0])) {
            let message = regs[1] << 32 | regs[2];
            let word = self.pool.peek(message).expect("a message of its own");
            let fits = known < self.config.limits.sessions.into();
            assert!(
                fits || Command::of(word) != Command::OPEN_SESSION,
                "beyond {known} sessions"
            );
        }
    }

    /// What the guest is told of OP-TEE's request: parameters of known types without any more
    /// attributes, and no addresses.
    fn check_request(&self, windows: &Windows) {
        let words: Vec<u64> = windows
            .rpc_arg()
            .iter()
            .map(|&at| self.ram.get(at))
            .collect();
        let count = (words[3] >> 32) as usize;
        for param in words[4..].as_chunks::<4>().0[..count].iter() {
            let [kind, address, ..] = *param;
            let known = matches!(kind, 0..=3 | 5..=7) || matches!(kind, 9..=0xb) && address == 0;
            assert!(known, "{param:x?} for the guest");
        }
    }

    /// Checks what holds after every step.
    pub(crate) fn check(&self, optee: &FakeOptee) {
        if let Some((at, word)) = self.ram.leak() {
            panic!("the host address {word:#x} was written to the guest's {at:#x}");
        }
        let usage = self.usage();
        if !self.guest.has_tee() && !optee.is_shared() {
            // What is left of it stays with OP-TEE.
            assert_eq!(usage, Usage::default(), "records of a guest that is out");
            return;
        }
        let limits = self.config.limits;
        assert_eq!(usage.inside as usize, self.inside.len(), "visits");
        assert!(usage.calls <= limits.calls.into() && usage.buffers <= limits.buffers.into());
        assert!(usage.pages <= limits.pages && usage.list_frames <= limits.list_frames.into());
        let known = optee.shm_count(self.client);
        if usage.calls == 0 {
            assert_eq!(usage.buffers, known, "records and OP-TEE's buffers");
            assert_eq!(usage.list_frames, 0, "list frames of no call");
            let sessions = optee.sessions(self.client);
            assert_eq!(self.sessions() as usize, sessions, "sessions");
        }
        if usage.inside == 0 && optee.is_notified(self.client) {
            let wanted = self.guest.wants_notifications();
            assert!(wanted, "notifications that nobody knows of");
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
    }
}

/// Tells whether an answer asks the guest for something and wants to be resumed.
pub(crate) fn is_request(answer: Results) -> bool {
    ReturnCode::of(answer[0]).is_rpc()
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
    let requests = [
        ReturnCode::RPC_ALLOC,
        ReturnCode::RPC_FREE,
        ReturnCode::RPC_FOREIGN_INTR,
        ReturnCode::RPC_CMD,
    ];
    let w0 = ReturnCode::of(results[0]);
    assert!(
        !is_request(results) || requests.contains(&w0),
        "{w0} for the guest"
    );
}
