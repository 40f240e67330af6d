// SPDX-License-Identifier: MIT OR Apache-2.0

//! One guest: what it has, and its life in OP-TEE.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use core::num::NonZeroU16;

use platform::VcpuId;

use crate::abi::{Function, ReturnCode, cap};
use crate::buffers::{BufferId, Buffers};
use crate::call::{Call, State};
use crate::config::{Config, Limits};
use crate::host::Trace;
use crate::list_pages::ListPages;
use crate::message::Scratch;
use crate::policy::{Asked, Denials, Uuid};
use crate::probe::Optee;
use crate::{Regs, Results, SmcArguments, Step, Token, Visit};

/// One client of OP-TEE. It is a value without any global state: the kernel keeps it under the
/// lock of its VM.
pub struct Guest<T> {
    pub(crate) calls: Box<[Call]>,
    pub(crate) common: Common<T>,
}

/// What the calls of a guest have in common. What each call uses comes first, where an instruction reaches two words.
#[repr(C)]
pub(crate) struct Common<T> {
    pub scratch: Scratch,
    /// One bit for each slot that has a call.
    pub busy: u64,
    pub counters: Counters,
    pub client: u32,
    /// Tokens that are out.
    pub inside: u32,
    /// OP-TEE knows the client.
    pub admitted: bool,
    pub notified: bool,
    pub buffers: Buffers,
    pub lists: ListPages,
    /// Sessions that the guest may name, in ascending order.
    pub sessions: Vec<u32>,
    pub config: Config,
    pub optee: Optee,
    /// How often OP-TEE has made a VM for the guest; on an OP-TEE that knows no VMs, lives of the guest.
    vms: u16,
    /// What an OP-TEE that knows no VMs still has of an earlier life.
    remains: Remains,
    /// While the stopped guest is ended: records before this one are not registered buffers.
    pub searched: BufferId,
    pub denials: Denials,
    pub trace: T,
}

/// What a guest holds now. All zero for one that has no call and no buffer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Usage {
    /// Calls under way, wherever they are.
    pub calls: u32,
    /// Visits to the secure world under way.
    pub inside: u32,
    /// Shared buffers.
    pub buffers: u32,
    /// Pages of 4 KiB in them.
    pub pages: u32,
    /// Shadow pages that hold page lists.
    pub list_frames: u32,
    /// Calls that wait for the guest's answer to an RPC.
    pub rpcs: u32,
    /// Calls half-way through their page lists, at the guest.
    pub half_way: u32,
}

/// What a guest has done since it was made. The counters wrap.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counters {
    /// Messages taken over.
    pub calls: u64,
    /// Fast calls that went to OP-TEE.
    pub fast: u64,
    /// RPC commands handed to the guest.
    pub rpcs: u64,
    /// RPC commands answered here, not by the guest.
    pub rpcs_answered: u64,
    /// Interrupts that suspended a call.
    pub interrupts: u64,
    /// Page lists interrupted half-way.
    pub chunks: u64,
    /// Messages refused here.
    pub refusals: u64,
    /// Calls turned away because a quota of calls or list frames was used up.
    pub turned_away: u64,
}

/// OP-TEE does not take the guest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CreateError {
    /// It exists already.
    Exists,
    /// OP-TEE has no room: its guest slots or its memory are used up.
    Full,
    /// The guest has cost OP-TEE this many VMs, which is all that it may.
    Spent(u16),
    /// It is to begin each life in a new VM, and OP-TEE knows no VMs.
    NotFresh,
    /// OP-TEE knows no VMs and still has this of an earlier life.
    Remains(Remains),
    /// Another code.
    Answer(ReturnCode),
}

impl fmt::Display for CreateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exists => f.write_str("OP-TEE knows this guest already"),
            Self::Full => f.write_str("OP-TEE has no room for another guest"),
            Self::Spent(vms) => write!(
                f,
                "it has cost OP-TEE {vms} VMs since the board started, and `max-vms` allows no more"
            ),
            Self::NotFresh => f.write_str(
                "OP-TEE is not built for virtualization and can't begin anew for it, as `fresh` asks: \
                 restart the board, or leave `fresh` out",
            ),
            Self::Remains(remains) => write!(
                f,
                "OP-TEE still has {remains} of its earlier life, until the board restarts"
            ),
            Self::Answer(code) => write!(f, "OP-TEE answers {code}"),
        }
    }
}

impl core::error::Error for CreateError {}

/// What OP-TEE has of a stopped guest.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Remains {
    /// Calls that are not over.
    pub calls: u32,
    /// Sessions that are open.
    pub sessions: u32,
    /// Buffers that are shared.
    pub buffers: u32,
    /// It is notified.
    pub notified: bool,
}

impl Remains {
    /// Returns how many things that is.
    pub fn count(&self) -> u32 {
        self.calls + self.sessions + self.buffers + u32::from(self.notified)
    }
}

impl fmt::Display for Remains {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            calls,
            sessions,
            buffers,
            notified,
        } = self;
        write!(
            f,
            "{calls} calls, {sessions} sessions and {buffers} buffers"
        )?;
        f.write_str(if *notified { ", and notifies it," } else { "" })
    }
}

/// A vCPU of the guest is in the secure world.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StillInside;

/// Returns the sizes of what [`Guest::new`] allocates, in bytes.
pub(crate) fn heap_blocks(limits: &Limits) -> [usize; 7] {
    let [records, buckets, pages, links] = Buffers::heap_blocks(limits);
    let lists = usize::from(limits.list_frames) * size_of::<u16>();
    let calls = usize::from(limits.calls) * size_of::<Call>();
    let sessions = session_room(limits) * size_of::<u32>();
    [records, buckets, pages, links, lists, calls, sessions]
}

impl Limits {
    /// Returns the bytes of heap that [`Guest::new`] takes at most, if the heap rounds each block up
    /// to a power of two.
    pub fn heap_bytes(&self) -> usize {
        heap_blocks(&self.fitted())
            .into_iter()
            .map(usize::next_power_of_two)
            .sum()
    }
}

/// Returns the room for sessions: each call under way may end with one more than the quota.
fn session_room(limits: &Limits) -> usize {
    usize::from(limits.sessions) + usize::from(limits.calls)
}

impl<T: Trace> Guest<T> {
    /// Lays out a guest whose id towards OP-TEE is `client`. No two guests may share one.
    pub fn new(optee: &Optee, client: NonZeroU16, config: Config, trace: T) -> Self {
        let limits = config.limits.fitted();
        let common = Common {
            optee: *optee,
            client: client.get().into(),
            config,
            admitted: false,
            vms: 0,
            remains: Remains::default(),
            busy: 0,
            inside: 0,
            buffers: Buffers::new(&limits),
            lists: ListPages::new(&limits),
            sessions: Vec::with_capacity(session_room(&limits)),
            searched: 0,
            notified: false,
            counters: Counters::default(),
            denials: Denials::default(),
            scratch: Scratch::default(),
            trace,
        };
        Self {
            calls: (0..usize::from(limits.calls)).map(Call::new).collect(),
            common,
        }
    }

    /// Announces the guest to OP-TEE, once before it runs: by VM_CREATED if OP-TEE knows VMs. After an
    /// error it must boot without a TEE; all it asks for is then an unknown function.
    pub fn create(&mut self, smc: impl FnOnce(Regs) -> Results) -> Result<(), CreateError> {
        if self.common.admitted {
            return Err(CreateError::Exists);
        }
        match self.common.optee.is_shared() {
            true => self.make_vm(smc)?,
            false if self.common.remains.count() > 0 => {
                return Err(CreateError::Remains(self.common.remains));
            }
            false if self.common.config.fresh && self.common.vms > 0 => {
                return Err(CreateError::NotFresh);
            }
            false => {}
        }
        self.common.admitted = true;
        self.common.vms = self.common.vms.saturating_add(1);
        Ok(())
    }

    fn make_vm(&self, smc: impl FnOnce(Regs) -> Results) -> Result<(), CreateError> {
        if self
            .common
            .config
            .max_vms
            .is_some_and(|most| self.common.vms >= most)
        {
            return Err(CreateError::Spent(self.common.vms));
        }
        match ReturnCode::of(smc(self.life_call(Function::VM_CREATED))[0]) {
            ReturnCode::OK => Ok(()),
            ReturnCode::ENOTAVAIL => Err(CreateError::Full),
            other => Err(CreateError::Answer(other)),
        }
    }

    /// Takes the guest out of OP-TEE and forgets all that it held. Guest RAM may be scrubbed or given
    /// away only after this returned `Ok`. While a vCPU is in the secure world nothing is done.
    ///
    /// By VM_DESTROYED, calls that wait at the guest vanish with their threads. An OP-TEE that knows no
    /// VMs keeps what is [left](Self::remains), though it touches none of it while nobody calls: so the guest
    /// is not let in again.
    pub fn destroy(&mut self, smc: impl FnOnce(Regs) -> Results) -> Result<(), StillInside> {
        if self.common.inside > 0 {
            return Err(StillInside);
        }
        if self.common.admitted {
            match self.common.optee.is_shared() {
                true => drop(smc(self.life_call(Function::VM_DESTROYED))),
                false => self.common.remains = self.remains(),
            }
        }
        self.common.admitted = false;
        self.common.notified = false;
        self.common.searched = 0;
        self.common.buffers.clear();
        self.common.lists.clear();
        self.common.sessions.clear();
        self.calls.iter_mut().for_each(Call::retire);
        self.common.busy = 0;
        Ok(())
    }

    /// Keeps the VM that OP-TEE has for the stopped guest, for its next start: nothing of the guest is
    /// left in it, so that its RAM may be scrubbed. False if something is left or a fresh VM is asked
    /// for; then only [`destroy`](Self::destroy) helps.
    pub fn keep(&mut self) -> bool {
        self.common.searched = 0;
        !self.common.config.fresh
            && self.common.admitted
            && self.left() == 0
            && self.usage() == Usage::default()
    }

    /// Returns how often OP-TEE has made a VM for the guest; lives of it, if OP-TEE knows no VMs.
    pub fn vms(&self) -> u16 {
        self.common.vms
    }

    /// Returns a call of VM_CREATED or VM_DESTROYED, which are the hypervisor's: w7 is 0.
    fn life_call(&self, id: Function) -> Regs {
        [id.into(), self.common.client.into(), 0, 0, 0, 0, 0, 0]
    }

    /// Tells whether OP-TEE knows the guest, so that its device tree may name it.
    pub fn has_tee(&self) -> bool {
        self.common.admitted
    }

    /// Tells whether to inject the notification interrupt when the physical one comes.
    pub fn wants_notifications(&self) -> bool {
        self.common.notified
    }

    /// Returns what the guest holds now.
    pub fn usage(&self) -> Usage {
        let count = |is: fn(&Call) -> bool| self.calls.iter().filter(|c| is(c)).count() as u32;
        Usage {
            calls: self.common.busy.count_ones(),
            inside: self.common.inside,
            buffers: self.common.buffers.live().into(),
            pages: self.common.buffers.pages(),
            list_frames: self.common.lists.used().into(),
            rpcs: count(|call| matches!(call.state, State::Rpc | State::AskedPage)),
            half_way: count(|call| matches!(call.state, State::Lists(_))),
        }
    }

    /// Returns what the guest has done.
    pub fn counters(&self) -> Counters {
        self.common.counters
    }

    /// Returns what the policy has refused the guest since it was made.
    pub fn denials(&self) -> Denials {
        self.common.denials
    }

    /// Tells whether both sides can do asynchronous notifications.
    pub fn offers_notifications(&self) -> bool {
        self.common.offers_notifications()
    }

    /// Returns the receiver of trace events.
    pub fn trace(&self) -> &T {
        &self.common.trace
    }

    /// Returns the receiver of trace events, to be changed.
    pub fn trace_mut(&mut self) -> &mut T {
        &mut self.common.trace
    }
}

impl<T: Trace> Common<T> {
    /// Tells whether the guest may use this application. If not, it is written down.
    pub fn permits(&mut self, uuid: Uuid, asked: Asked) -> bool {
        let allowed = self.config.policy.allows(uuid);
        if !allowed {
            self.denials.record(uuid, asked);
        }
        allowed
    }

    pub fn offers_notifications(&self) -> bool {
        self.config.notifications && self.optee.capabilities & cap::ASYNC_NOTIF != 0
    }

    /// Begins a visit to the secure world.
    pub fn send(&mut self, regs: SmcArguments, visit: Visit, vcpu: VcpuId) -> Step {
        self.inside = self.inside.wrapping_add(1);
        Step::Secure(regs, Token { visit, vcpu })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::Event;
    use crate::probe::{UID, probe};

    struct Nobody;

    impl Trace for Nobody {
        fn event(&mut self, _: Event) {}
    }

    /// Returns an OP-TEE that has all capabilities.
    fn optee() -> Optee {
        let answer = |regs: Regs| match Function::of(regs[0]) {
            Function::CALLS_UID => UID.map(u64::from),
            Function::CALLS_REVISION => [2, 0, 0, 0],
            Function::EXCHANGE_CAPABILITIES => [0, u64::from(u32::MAX), 63, 4],
            _ => [0; 4],
        };
        probe(answer).expect("all is there")
    }

    /// Nothing is allocated on a guest's way: not when a session is noted, either.
    #[test]
    fn h22_the_room_for_sessions_is_there_from_the_start() {
        let config = Config::default();
        let limits = config.limits;
        let guest = Guest::new(&optee(), NonZeroU16::MIN, config, Nobody);
        assert!(guest.common.sessions.capacity() >= usize::from(limits.sessions + limits.calls));
    }

    #[test]
    fn what_is_allocated_is_counted() {
        let limits = Limits {
            calls: 3,
            sessions: 100,
            list_frames: 37,
            ..Limits::default()
        };
        let config = Config {
            limits,
            ..Config::default()
        };
        let guest = Guest::new(&optee(), NonZeroU16::MIN, config, Nobody);
        let [.., lists, calls, sessions] = heap_blocks(&limits);
        assert_eq!(
            lists,
            usize::from(guest.common.lists.total()) * size_of::<u16>()
        );
        assert_eq!(calls, size_of_val(&*guest.calls));
        assert_eq!(
            sessions,
            guest.common.sessions.capacity() * size_of::<u32>()
        );
        // A session more than the quota for each call, and not for each session.
        assert_eq!(sessions, 103 * size_of::<u32>());
        let blocks = heap_blocks(&limits);
        assert!(blocks.iter().all(|&bytes| bytes > 1));
        let all: usize = blocks.into_iter().map(usize::next_power_of_two).sum();
        assert_eq!(limits.heap_bytes(), all);
    }
}
