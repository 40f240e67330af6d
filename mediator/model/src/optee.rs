//! OP-TEE as its normal world sees it: guests, threads, buffers, sessions, notifications.
//!
//! It does what the ABI says, unless a [`Act`] or a field says otherwise, and it panics when
//! something reaches it that must never reach OP-TEE.

use std::collections::{BTreeMap, VecDeque};

use mediator::abi::{attr, cap, cmd, func, ret, rpc, tee};
use mediator::{Regs, Results};

use crate::ram::Pool;
use crate::{HOST, POOL_PA, is_host};

/// A request that OP-TEE sends in the middle of a call.
#[derive(Clone, Debug)]
pub struct Rpc {
    /// Command of the RPC argument.
    pub command: u32,
    /// Its parameters as words.
    pub params: Vec<[u64; 4]>,
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
    /// These registers, with the thread's id in w3 unless that is set.
    Raw([u32; 4]),
    /// Writes a word of its message's page, then goes on.
    Scrawl(u64, u64),
    /// The call ends with this code in w0 and nothing done.
    Code(u32),
    /// The call ends with this TEE result and nothing done.
    Result(u32),
}

/// A buffer OP-TEE knows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Shm {
    /// Bytes.
    pub size: u64,
    /// Host pages.
    pub pages: Vec<u64>,
    /// It came by SHM_ALLOC.
    pub payload: bool,
}

struct Thread {
    message: u64,
    words: Vec<u64>,
    acts: VecDeque<Act>,
    /// The request the guest is serving.
    asked: Option<Rpc>,
    /// The session that it opens or that its message names; else 0.
    session: u32,
}

impl Thread {
    fn command(&self) -> u32 {
        self.words[0] as u32
    }
}

/// One guest's share of OP-TEE.
#[derive(Default)]
struct Partition {
    threads: BTreeMap<u32, Thread>,
    shm: BTreeMap<u64, Shm>,
    /// Whether they are open; they are listed as soon as their opening begins.
    sessions: BTreeMap<u32, bool>,
    notified: bool,
    pending: VecDeque<u32>,
}

impl Partition {
    /// The session of a new thread. They count up from the last one.
    fn session(&mut self, words: &[u64]) -> u32 {
        match words[0] as u32 {
            cmd::OPEN_SESSION => {
                let next = self
                    .sessions
                    .last_key_value()
                    .map_or(1, |(last, _)| last + 1);
                self.sessions.insert(next, false);
                next
            }
            cmd::INVOKE | cmd::CLOSE_SESSION | cmd::CANCEL => words[1] as u32,
            _ => 0,
        }
    }

    /// A thread is over. What it was opening is gone, unless it is open now.
    fn end(&mut self, id: u32) -> Thread {
        let thread = self.threads.remove(&id).expect("known");
        if thread.command() == cmd::OPEN_SESSION && !self.sessions[&thread.session] {
            self.sessions.remove(&thread.session);
        }
        thread
    }
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
    pub calls: Vec<u32>,
    /// Messages with a cookie or range that is not that of a registered buffer.
    pub bad_cookies: u32,
    /// Times that a call went on whose session another call was still opening.
    pub bad_sessions: u32,
    /// Resumes of threads that do not exist.
    pub bad_resumes: u32,
    /// Capabilities it shows.
    pub capabilities: u32,
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
        }
    }
}

fn hi(word: u64) -> u32 {
    (word >> 32) as u32
}

fn results(w: [u32; 4]) -> Results {
    w.map(u64::from)
}

/// The value that an INVOKE leaves in word `word` of parameter `n`.
pub fn output(n: usize, word: usize) -> u64 {
    0x0011_2200 + n as u64 * 0x10 + word as u64
}

impl FakeOptee {
    /// Buffers of a guest by cookie.
    pub fn shm(&self, client: u32) -> BTreeMap<u64, Shm> {
        self.guests
            .get(&client)
            .map(|guest| guest.shm.clone())
            .unwrap_or_default()
    }

    /// Number of buffers of a guest.
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

    /// Whether OP-TEE knows the guest.
    pub fn knows(&self, client: u32) -> bool {
        self.guests.contains_key(&client)
    }

    /// Posts an asynchronous notification.
    pub fn notify(&mut self, client: u32, value: u32) {
        if let Some(guest) = self.guests.get_mut(&client) {
            guest.pending.push_back(value);
        }
    }

    /// One SMC.
    pub fn smc(&mut self, regs: Regs, pool: &mut Pool) -> Results {
        assert!(
            regs.iter().all(|&x| x >> 32 == 0),
            "SMC32 with upper bits: {regs:x?}"
        );
        let w = regs.map(|x| x as u32);
        self.calls.push(w[0]);
        if w[7] != 0 && !self.guests.contains_key(&w[7]) {
            return results([ret::ENOTAVAIL, 0, 0, 0]);
        }
        match w[0] {
            func::CALL_WITH_RPC_ARG => {
                assert_ne!(w[7], 0, "a yielding call of the hypervisor's");
                self.start(w[7], u64::from(w[1]) << 32 | u64::from(w[2]), pool)
            }
            func::CALL_RETURN_FROM_RPC => {
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
        match (w[0], w[7]) {
            (func::CALLS_COUNT, _) => [12, 0, 0, 0],
            (func::CALLS_UID, _) => [0x384f_b3e0, 0xe7f8_11e3, 0xaf63_0002, 0xa5d5_c51b],
            (func::CALLS_REVISION, _) => [2, 0, 0, 0],
            (func::GET_OS_UUID, _) => [0x4861_78e0, 0xe7f8_11e3, 0xbc5e_0002, 0xa5d5_c51b],
            (func::GET_OS_REVISION, _) => [4, 5, 0x1234_5678, 0],
            (func::GET_THREAD_COUNT, _) => [ret::OK, self.threads, 0, 0],
            (func::EXCHANGE_CAPABILITIES, _) if w[1] & !1 != 0 => [ret::ENOTAVAIL, 0, 0, 0],
            (func::EXCHANGE_CAPABILITIES, _) => [ret::OK, self.capabilities, 63, 4],
            (func::VM_CREATED, 0) => {
                assert!(
                    !self.guests.contains_key(&w[1]),
                    "VM_CREATED twice for {}",
                    w[1]
                );
                if self.guests.len() >= self.max_guests {
                    return [ret::ENOTAVAIL, 0, 0, 0];
                }
                self.guests.insert(w[1], Partition::default());
                [ret::OK, 0, 0, 0]
            }
            (func::VM_DESTROYED, 0) => {
                self.guests.remove(&w[1]);
                [ret::OK, 0, 0, 0]
            }
            (func::ENABLE_ASYNC_NOTIF, client) => {
                let guest = self
                    .guests
                    .get_mut(&client)
                    .expect("notifications with w7 = 0");
                guest.notified = true;
                [ret::OK, 0, 0, 0]
            }
            (func::GET_ASYNC_NOTIF_VALUE, client) => {
                let guest = self
                    .guests
                    .get_mut(&client)
                    .expect("notifications with w7 = 0");
                match guest.pending.pop_front() {
                    Some(value) => [
                        ret::OK,
                        value,
                        0x8000_0001 | u32::from(!guest.pending.is_empty()) << 1,
                        0,
                    ],
                    None => [ret::OK, 0, 0, 0],
                }
            }
            other => panic!(
                "function {:#x} of client {} reached OP-TEE",
                other.0, other.1
            ),
        }
    }

    fn start(&mut self, client: u32, message: u64, pool: &mut Pool) -> Results {
        assert_eq!(message % 4096, 0, "message at {message:#x}");
        let word = |n: u64| {
            pool.peek(message + n * 8)
                .expect("a message outside the shadow pages")
        };
        let count = u64::from(hi(word(3)));
        assert!(32 + 32 * count + 160 <= 4096, "{count} parameters");
        let words: Vec<u64> = (0..4 + 4 * count).map(word).collect();
        self.seen.push(words.clone());
        assert_ne!(
            hi(words[2]),
            tee::SUCCESS,
            "the result is preset to success"
        );
        let limit = self.threads;
        let Some(guest) = self.guests.get_mut(&client) else {
            return results([ret::ENOTAVAIL, 0, 0, 0]);
        };
        let Some(id) = (0..limit).find(|id| !guest.threads.contains_key(id)) else {
            return results([ret::ETHREAD_LIMIT, 0, 0, 0]);
        };
        let acts = match self.plans_of.remove(&hi(words[0])) {
            Some(acts) => acts,
            None => self.plans.pop_front().unwrap_or_default(),
        }
        .into();
        let session = guest.session(&words);
        let thread = Thread {
            message,
            words,
            acts,
            asked: None,
            session,
        };
        self.bad_cookies += u32::from(!check_params(&thread, &guest.shm, pool));
        guest.threads.insert(id, thread);
        self.run(client, id, pool)
    }

    fn resume(&mut self, client: u32, id: u32, pool: &mut Pool) -> Results {
        let guest = self.guests.get_mut(&client);
        let Some(thread) = guest.and_then(|guest| guest.threads.get_mut(&id)) else {
            self.bad_resumes += 1;
            return results([ret::ERESUME, 0, 0, 0]);
        };
        let at = thread.message + thread.words.len() as u64 * 8;
        // An interrupt may come before OP-TEE has read the answer that it got.
        if thread.asked.is_some() && matches!(thread.acts.front(), Some(Act::Interrupt)) {
            thread.acts.pop_front();
            return results([ret::RPC_FOREIGN_INTR, 0, 0, id]);
        }
        if let Some(asked) = thread.asked.take() {
            let word = |n: u64| pool.peek(at + n * 8).unwrap_or_default();
            let params = u64::from(hi(word(3))).min(4) * 4;
            let mut served = vec![u64::from(hi(word(2)))];
            served.extend((4..4 + params).map(word));
            self.served.push(served.clone());
            if asked.command == rpc::SHM_ALLOC && served[0] == 0 {
                let param: [u64; 4] = served[1..5].try_into().expect("one parameter");
                let shm = payload(&param, asked.params[0][2], pool);
                let guest = self.guests.get_mut(&client).expect("known above");
                let old = guest.shm.insert(param[3], shm);
                assert!(old.is_none(), "cookie {:#x} given twice", param[3]);
            }
        }
        self.run(client, id, pool)
    }

    /// Runs a thread until it leaves the secure world.
    fn run(&mut self, client: u32, id: u32, pool: &mut Pool) -> Results {
        let guest = self.guests.get_mut(&client).expect("known");
        let thread = guest.threads.get_mut(&id).expect("known");
        let is_opening = guest.sessions.get(&thread.session) == Some(&false);
        self.bad_sessions += u32::from(is_opening && thread.command() != cmd::OPEN_SESSION);
        let act = thread.acts.pop_front();
        match act {
            Some(Act::Interrupt) => results([ret::RPC_FOREIGN_INTR, 0, 0, id]),
            Some(Act::Raw([w0, w1, w2, w3])) => {
                if w0 < ret::RPC_ALLOC || w0 == ret::UNKNOWN {
                    guest.end(id);
                }
                results([w0, w1, w2, if w3 == 0 { id } else { w3 }])
            }
            Some(Act::Code(code)) => {
                guest.end(id);
                results([code, 0, 0, 0])
            }
            Some(Act::Result(result)) => {
                let thread = guest.end(id);
                pool.poke(thread.message + 16, u64::from(result) << 32);
                results([ret::OK, 0, 0, 0])
            }
            Some(Act::Scrawl(word, value)) => {
                pool.poke(thread.message + word % 512 * 8, value);
                self.run(client, id, pool)
            }
            Some(Act::Rpc(request)) => self.ask(client, id, request, pool),
            Some(Act::Alloc(size, kind)) => {
                let params = vec![[attr::VALUE_IN, kind, size, 8]];
                self.ask(
                    client,
                    id,
                    Rpc {
                        command: rpc::SHM_ALLOC,
                        params,
                    },
                    pool,
                )
            }
            Some(Act::Free(cookie)) => {
                let params = vec![[attr::VALUE_IN, 0, cookie, 0]];
                self.ask(
                    client,
                    id,
                    Rpc {
                        command: rpc::SHM_FREE,
                        params,
                    },
                    pool,
                )
            }
            None => self.finish(client, id, pool),
        }
    }

    /// Sends a request to the guest.
    fn ask(&mut self, client: u32, id: u32, mut request: Rpc, pool: &mut Pool) -> Results {
        let guest = self.guests.get_mut(&client).expect("known");
        let thread = guest.threads.get_mut(&id).expect("known");
        if let (rpc::SHM_FREE, [[attr::VALUE_IN, _, cookie, _]]) =
            (request.command, &mut request.params[..])
        {
            match guest.shm.get(cookie).map(|shm| shm.payload) {
                Some(true) => drop(guest.shm.remove(cookie)),
                Some(false) => {}
                // Not even a hostile OP-TEE names a cookie that is just on its way to it.
                None => *cookie |= 1,
            }
        }
        let at = thread.message + thread.words.len() as u64 * 8;
        let header = [
            u64::from(request.command),
            0,
            u64::from(tee::GENERIC) << 32,
            (request.params.len() as u64) << 32,
        ];
        let words = header.iter().chain(request.params.iter().flatten());
        (0..)
            .zip(words)
            .for_each(|(n, &word)| pool.poke(at + n * 8, word));
        thread.asked = Some(request);
        results([ret::RPC_CMD, 0, 0, id])
    }

    /// Does what the message says.
    fn finish(&mut self, client: u32, id: u32, pool: &mut Pool) -> Results {
        let guest = self.guests.get_mut(&client).expect("known");
        let thread = &guest.threads[&id];
        if thread.command() == cmd::OPEN_SESSION {
            guest.sessions.insert(thread.session, true);
        }
        let thread = guest.end(id);
        let words = &thread.words;
        let param = |n: usize| -> [u64; 4] { words[4 + 4 * n..8 + 4 * n].try_into().expect("4") };
        let mut result = tee::SUCCESS;
        match words[0] as u32 {
            cmd::OPEN_SESSION => {
                let cancel = pool.peek(thread.message + 8).unwrap_or_default() & !0xFFFF_FFFF;
                pool.poke(thread.message + 8, cancel | u64::from(thread.session));
            }
            cmd::CLOSE_SESSION => {
                if guest.sessions.remove(&thread.session).is_none() {
                    result = tee::BAD_PARAMETERS;
                }
            }
            cmd::REGISTER_SHM => {
                let shm = listed(&param(0), false, pool);
                let old = guest.shm.insert(param(0)[3], shm);
                assert!(old.is_none(), "cookie {:#x} registered twice", param(0)[3]);
            }
            cmd::UNREGISTER_SHM => {
                if guest.shm.remove(&param(0)[3]).is_none() {
                    result = tee::BAD_PARAMETERS;
                }
            }
            cmd::STOP_ASYNC_NOTIF => guest.notified = false,
            cmd::INVOKE | cmd::CANCEL | cmd::DO_BOTTOM_HALF => {}
            other => panic!("command {other} reached OP-TEE"),
        }
        if words[0] as u32 <= cmd::INVOKE {
            for n in 0..(words.len() - 4) / 4 {
                let kind = param(n)[0] & attr::TYPE;
                let outputs = if kind & 2 == 0 {
                    0..0
                } else if kind < 4 {
                    1..4
                } else {
                    2..3
                };
                for at in outputs {
                    pool.poke(thread.message + (4 + 4 * n + at) as u64 * 8, output(n, at));
                }
            }
        }
        // `__tee_entry_std` leaves `ret` alone for these: what comes back in w0 is all.
        let silent = [cmd::DO_BOTTOM_HALF, cmd::STOP_ASYNC_NOTIF];
        if !silent.contains(&(words[0] as u32)) {
            pool.poke(thread.message + 16, u64::from(result) << 32);
        }
        pool.poke(thread.message + 24, (words[3] & !0xFFFF_FFFF) | 4);
        results([ret::OK, 0, 0, 0])
    }
}

/// Every address in a message must be translated. Gives whether every cookie is that of a
/// registered buffer, with the range inside: another vCPU may have unregistered it since the
/// mediator looked, so it is for the test to say whether this must be so.
fn check_params(thread: &Thread, shm: &BTreeMap<u64, Shm>, pool: &Pool) -> bool {
    let mut good = true;
    let command = thread.words[0] as u32;
    for param in thread.words[4..].chunks_exact(4) {
        let param: [u64; 4] = param.try_into().expect("4");
        match param[0] & attr::TYPE {
            9..=0xb if param[0] & attr::NONCONTIG != 0 => drop(listed(&param, false, pool)),
            9..=0xb => assert_eq!(param[1], 0, "a contiguous address reached OP-TEE"),
            5..=7 if command == cmd::UNREGISTER_SHM => {
                assert!(shm.contains_key(&param[3]), "unregisters {:#x}", param[3]);
            }
            5..=7 => {
                let end = param[1].checked_add(param[2]).expect("range wraps");
                let fits = |buffer: &Shm| !buffer.payload && end <= buffer.size;
                good &= shm.get(&param[3]).is_some_and(fits);
            }
            _ => {}
        }
    }
    good
}

fn is_ram(pa: u64) -> bool {
    pa >> 24 == HOST && pa < POOL_PA && pa.is_multiple_of(4096)
}

/// Follows a page list as OP-TEE does.
fn listed(param: &[u64; 4], payload: bool, pool: &Pool) -> Shm {
    let [_, pointer, size, _] = *param;
    let mut list = pointer & !0xfff;
    let count = (size + (pointer & 0xfff)).div_ceil(4096);
    let mut pages = Vec::new();
    for n in 0..count {
        if n > 0 && n % 511 == 0 {
            list = pool.peek(list + 511 * 8).expect("a link in a shadow page");
            assert_eq!(list % 4096, 0);
        }
        let page = pool.peek(list + n % 511 * 8);
        let page = page.unwrap_or_else(|| panic!("list page {list:#x} is no shadow page"));
        assert!(is_ram(page), "{page:#x} of a list is not the guest's RAM");
        pages.push(page);
    }
    assert!(!pages.is_empty(), "an empty list");
    Shm {
        size,
        pages,
        payload,
    }
}

/// The answer to SHM_ALLOC as OP-TEE reads it.
fn payload(param: &[u64; 4], size: u64, pool: &Pool) -> Shm {
    assert!(param[2] >= size, "less than was asked for");
    if param[0] == attr::TMEM_OUT | attr::NONCONTIG {
        return listed(param, true, pool);
    }
    assert_eq!(param[0], attr::TMEM_OUT, "an answer of another kind");
    assert!(
        is_ram(param[1]) && param[2] <= 4096,
        "{:#x} is not one page of RAM",
        param[1]
    );
    assert!(is_host(param[1]));
    Shm {
        size: param[2],
        pages: vec![param[1]],
        payload: true,
    }
}
