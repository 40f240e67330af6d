// SPDX-License-Identifier: MIT OR Apache-2.0

//! OP-TEE as its normal world sees it: guests, threads, buffers, sessions, notifications.
//!
//! It does what the ABI says, unless a [`Act`] or a field says otherwise, and it panics when
//! something reaches it that must never reach OP-TEE.

mod judge;
mod params;
mod partition;
mod threads;

use std::collections::{BTreeMap, VecDeque};

use mediator::abi::{Function, ReturnCode, RpcCommand, TeeResult, cap};
use mediator::{Config, Regs, Results};

use crate::ram::Pool;
use crate::world::CLIENT;
use partition::Partition;
pub use partition::Shm;

/// A request that OP-TEE sends in the middle of a call.
#[derive(Clone, Debug)]
pub struct Rpc {
    /// Command of the RPC argument.
    pub command: RpcCommand,
    /// Its parameters as words.
    pub params: Vec<[u64; 4]>,
}

impl Rpc {
    /// Returns a request with one parameter.
    pub fn of(command: RpcCommand, param: [u64; 4]) -> Self {
        let params = vec![param];
        Self { command, params }
    }
}

/// What a call does before it ends.
#[derive(Clone, Debug)]
pub enum Act {
    /// A foreign interrupt.
    Interrupt,
    /// An RPC command.
    Rpc(Rpc),
    /// SHM_ALLOC of this many bytes and this type.
    Alloc(u64, u64),
    /// SHM_FREE of this cookie.
    Free(u64),
    /// These registers w0 and w1 to w3, with the thread's id in w3 unless that is set.
    Raw(ReturnCode, [u32; 3]),
    /// Writes a word of its message's page, then goes on.
    Scrawl(u64, u64),
    /// The call ends with this code in w0 and nothing done.
    Code(ReturnCode),
    /// The call ends with this TEE result and nothing done.
    Result(TeeResult),
}

/// The model.
pub struct FakeOptee {
    guests: BTreeMap<u32, Partition>,
    /// Guests that fit.
    pub max_guests: usize,
    /// Threads of each guest.
    pub threads: u32,
    /// What the next calls do, one entry a call.
    pub plans: VecDeque<Vec<Act>>,
    /// What calls with this function word do; before `plans`.
    pub plans_of: BTreeMap<u32, Vec<Act>>,
    /// Every message that arrived: all its words.
    pub seen: Vec<Vec<u64>>,
    /// What each RPC brought: its result, then the words of its parameters.
    pub served: Vec<Vec<u64>>,
    /// Physical calls so far, by function id.
    pub calls: Vec<Function>,
    /// Messages with a cookie or range that is not that of a registered buffer.
    pub bad_cookies: u32,
    /// Times that a call went on whose session was not open.
    pub bad_sessions: u32,
    /// Resumes of threads that do not exist.
    pub bad_resumes: u32,
    /// Capabilities it shows.
    pub capabilities: u32,
    /// Interrupts that each guest's first call meets while it sets the guest's partition up.
    pub slow_start: u32,
    /// What each guest may do: OP-TEE panics when it is asked for more.
    pub allowed: BTreeMap<u32, Config>,
}

impl Default for FakeOptee {
    fn default() -> Self {
        Self {
            guests: BTreeMap::new(),
            max_guests: 2,
            threads: 2,
            plans: VecDeque::new(),
            plans_of: BTreeMap::new(),
            seen: Vec::new(),
            served: Vec::new(),
            calls: Vec::new(),
            bad_cookies: 0,
            bad_sessions: 0,
            bad_resumes: 0,
            capabilities: 0xdd | cap::ASYNC_NOTIF,
            slow_start: 0,
            allowed: BTreeMap::new(),
        }
    }
}

fn results(w: [u32; 4]) -> Results {
    w.map(u64::from)
}

/// Returns the value that an INVOKE leaves in word `word` of parameter `n`.
pub fn output(n: usize, word: usize) -> u64 {
    0x0011_2200 + n as u64 * 0x10 + word as u64
}

impl FakeOptee {
    /// Returns one that is not built for virtualization: it knows no guests, only one normal world.
    pub fn exclusive() -> Self {
        let mut optee = Self::default();
        optee.capabilities &= !cap::VIRTUALIZATION;
        optee.guests.insert(CLIENT, Partition::new(0));
        optee
    }

    /// Tells whether it is built for virtualization.
    pub fn is_shared(&self) -> bool {
        self.capabilities & cap::VIRTUALIZATION != 0
    }

    /// Buffers of a guest by cookie.
    pub fn shm(&self, client: u32) -> BTreeMap<u64, Shm> {
        self.guests
            .get(&client)
            .map(|guest| guest.shm.clone())
            .unwrap_or_default()
    }

    /// Returns the buffer of a guest that has this cookie.
    pub fn buffer(&self, client: u32, cookie: u64) -> Option<&Shm> {
        self.guests.get(&client)?.shm.get(&cookie)
    }

    /// Tells whether a guest takes notifications.
    pub fn is_notified(&self, client: u32) -> bool {
        self.guests.get(&client).is_some_and(|guest| guest.notified)
    }

    /// Cookies of what a guest gave for SHM_ALLOC.
    pub fn payloads(&self, client: u32) -> Vec<u64> {
        let all = self.guests.get(&client).into_iter().flat_map(|g| &g.shm);
        all.filter(|(_, shm)| shm.payload)
            .map(|(&cookie, _)| cookie)
            .collect()
    }

    /// Returns the number of buffers of a guest.
    pub fn shm_count(&self, client: u32) -> u32 {
        self.guests
            .get(&client)
            .map_or(0, |guest| guest.shm.len() as u32)
    }

    /// Threads of a guest that are not free.
    pub fn busy_threads(&self, client: u32) -> usize {
        self.guests
            .get(&client)
            .map_or(0, |guest| guest.threads.len())
    }

    /// Sessions of a guest.
    pub fn sessions(&self, client: u32) -> usize {
        self.guests.get(&client).map_or(0, |guest| {
            guest.sessions.values().filter(|&&open| open).count()
        })
    }

    /// Returns the cookie of one of a guest's buffers, if it has any.
    pub fn nth_buffer(&self, client: u32, pick: u8) -> Option<u64> {
        let guest = self.guests.get(&client)?;
        let count = guest.shm.len().max(1);
        guest.shm.keys().nth(usize::from(pick) % count).copied()
    }

    /// Returns one of a guest's sessions; 1 if it has none.
    pub fn open_session(&self, client: u32, pick: u8) -> u32 {
        let sessions = self.guests.get(&client).map(|guest| &guest.sessions);
        let all = sessions.into_iter().flatten();
        let mut open = all.filter(|&(_, &open)| open).map(|(&id, _)| id).cycle();
        open.nth(usize::from(pick) % 8).unwrap_or(1)
    }

    /// Tells whether OP-TEE knows the guest.
    pub fn knows(&self, client: u32) -> bool {
        self.guests.contains_key(&client)
    }

    /// Posts an asynchronous notification.
    pub fn notify(&mut self, client: u32, value: u32) {
        if let Some(guest) = self.guests.get_mut(&client) {
            guest.pending.push_back(value);
        }
    }

    /// Serves one SMC.
    pub fn smc(&mut self, regs: Regs, pool: &mut Pool) -> Results {
        assert!(
            regs.iter().all(|&x| x >> 32 == 0),
            "SMC32 with upper bits: {regs:x?}"
        );
        let w = regs.map(|x| x as u32);
        let id = Function(w[0]);
        self.calls.push(id);
        if w[7] != 0 && !self.guests.contains_key(&w[7]) {
            return results([ReturnCode::ENOTAVAIL.0, 0, 0, 0]);
        }
        match id {
            Function::CALL_WITH_RPC_ARG => {
                assert_ne!(w[7], 0, "a yielding call of the hypervisor's");
                self.start(w[7], u64::from(w[1]) << 32 | u64::from(w[2]), pool)
            }
            Function::CALL_RETURN_FROM_RPC => {
                assert_eq!(
                    [w[1], w[2], w[4], w[5], w[6]],
                    [0; 5],
                    "a resume with values"
                );
                self.resume(w[7], w[3], pool)
            }
            _ => results(self.fast(w)),
        }
    }

    fn fast(&mut self, w: [u32; 8]) -> [u32; 4] {
        match (Function(w[0]), w[7]) {
            (Function::CALLS_COUNT, _) => [12, 0, 0, 0],
            (Function::CALLS_UID, _) => [0x384f_b3e0, 0xe7f8_11e3, 0xaf63_0002, 0xa5d5_c51b],
            (Function::CALLS_REVISION, _) => [2, 0, 0, 0],
            (Function::GET_OS_UUID, _) => [0x4861_78e0, 0xe7f8_11e3, 0xbc5e_0002, 0xa5d5_c51b],
            (Function::GET_OS_REVISION, _) => [4, 5, 0x1234_5678, 0],
            (Function::GET_THREAD_COUNT, _) => [ReturnCode::OK.0, self.threads, 0, 0],
            (Function::EXCHANGE_CAPABILITIES, _) if w[1] & !1 != 0 => {
                [ReturnCode::ENOTAVAIL.0, 0, 0, 0]
            }
            (Function::EXCHANGE_CAPABILITIES, _) => [ReturnCode::OK.0, self.capabilities, 63, 4],
            (Function::DISABLE_SHM_CACHE, 0) if !self.is_shared() => {
                [ReturnCode::ENOTAVAIL.0, 0, 0, 0]
            }
            (Function::VM_CREATED, 0) if self.is_shared() => {
                assert!(
                    !self.guests.contains_key(&w[1]),
                    "VM_CREATED twice for {}",
                    w[1]
                );
                if self.guests.len() >= self.max_guests {
                    return [ReturnCode::ENOTAVAIL.0, 0, 0, 0];
                }
                self.guests.insert(w[1], Partition::new(self.slow_start));
                [ReturnCode::OK.0, 0, 0, 0]
            }
            (Function::VM_DESTROYED, 0) if self.is_shared() => {
                self.guests.remove(&w[1]);
                [ReturnCode::OK.0, 0, 0, 0]
            }
            (Function::ENABLE_ASYNC_NOTIF, client) => {
                let guest = self
                    .guests
                    .get_mut(&client)
                    .expect("notifications with w7 = 0");
                guest.notified = true;
                [ReturnCode::OK.0, 0, 0, 0]
            }
            (Function::GET_ASYNC_NOTIF_VALUE, client) => {
                let guest = self
                    .guests
                    .get_mut(&client)
                    .expect("notifications with w7 = 0");
                match guest.pending.pop_front() {
                    Some(value) => [
                        ReturnCode::OK.0,
                        value,
                        0x8000_0001 | u32::from(!guest.pending.is_empty()) << 1,
                        0,
                    ],
                    None => [ReturnCode::OK.0, 0, 0, 0],
                }
            }
            other => panic!("function {} of client {} reached OP-TEE", other.0, other.1),
        }
    }
}
