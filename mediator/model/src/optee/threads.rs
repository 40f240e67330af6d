// SPDX-License-Identifier: MIT OR Apache-2.0

//! Calls under way: from the message to the answer, with what a plan lets happen in between.

use mediator::Results;
use mediator::abi::{Command, Header, ReturnCode, RpcCommand, TeeResult, attr};

use super::params::{listed, pages_of_lists, payload};
use super::partition::{Partition, Thread};
use super::{Act, FakeOptee, Rpc, output, results};
use crate::ram::Pool;

impl FakeOptee {
    pub(super) fn start(&mut self, client: u32, message: u64, pool: &mut Pool) -> Results {
        assert_eq!(message % 4096, 0, "message at {message:#x}");
        let word = |n: u64| {
            pool.peek(message + n * 8)
                .expect("a message outside the shadow pages")
        };
        let header: Header = Header::of(&[0, 1, 2, 3].map(word));
        let count = u64::from(header.params);
        assert!(32 + 32 * count + 160 <= 4096, "{count} parameters");
        let words: Vec<u64> = (0..4 + 4 * count).map(word).collect();
        self.seen.push(words.clone());
        assert_ne!(
            header.result,
            TeeResult::SUCCESS,
            "the result is preset to success"
        );
        let limit = self.threads;
        let Some(guest) = self.guests.get_mut(&client) else {
            return results([ReturnCode::ENOTAVAIL.0, 0, 0, 0]);
        };
        let Some(id) = (0..limit).find(|id| !guest.threads.contains_key(id)) else {
            return results([ReturnCode::ETHREAD_LIMIT.0, 0, 0, 0]);
        };
        let acts = match self.plans_of.remove(&header.function) {
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
            taken: false,
            holds: Vec::new(),
            lists: Vec::new(),
            answer: None,
        };
        self.judge_call(client, &thread);
        let lists = pages_of_lists(client, &thread, pool);
        let guest = self.guests.get_mut(&client).expect("known above");
        guest.threads.insert(id, Thread { lists, ..thread });
        self.run(client, id, pool)
    }

    pub(super) fn resume(&mut self, client: u32, id: u32, pool: &mut Pool) -> Results {
        let guest = self.guests.get_mut(&client);
        let Some(thread) = guest.and_then(|guest| guest.threads.get_mut(&id)) else {
            self.bad_resumes += 1;
            return results([ReturnCode::ERESUME.0, 0, 0, 0]);
        };
        if let Some(asked) = thread.asked.clone() {
            let served = thread.served(pool);
            let is_given = asked.command == RpcCommand::SHM_ALLOC && served[0] == 0;
            let given = is_given.then(|| {
                let param: [u64; 4] = served[1..5].try_into().expect("one parameter");
                let shm = payload(client, &param, asked.params[0][2], pool);
                let pages = thread.answer.get_or_insert_with(|| shm.pages.clone());
                assert_eq!(*pages, shm.pages, "a list that changed before it was read");
                (param[3], shm)
            });
            // An interrupt may come before OP-TEE has read the answer that it got.
            if matches!(thread.acts.front(), Some(Act::Interrupt)) {
                thread.acts.pop_front();
                return results([ReturnCode::RPC_FOREIGN_INTR.0, 0, 0, id]);
            }
            (thread.asked, thread.answer) = (None, None);
            let guest = self.guests.get_mut(&client).expect("known above");
            if let Some((cookie, shm)) = given {
                let old = guest.shm.insert(cookie, shm);
                assert!(old.is_none(), "cookie {cookie:#x} given twice");
            }
            if served[0] == 0 {
                self.judge_served(client, &asked);
            }
            self.served.push(served);
        }
        self.run(client, id, pool)
    }

    /// Runs a thread until it leaves the secure world.
    fn run(&mut self, client: u32, id: u32, pool: &mut Pool) -> Results {
        let guest = self.guests.get_mut(&client).expect("known");
        if let Some(w0) = guest.set_up(id) {
            let size = if w0 == ReturnCode::RPC_ALLOC { 4096 } else { 0 };
            return results([w0.0, 0, size, id]);
        }
        let thread = guest.threads.get_mut(&id).expect("known");
        let names =
            [Command::INVOKE, Command::CLOSE_SESSION, Command::CANCEL].contains(&thread.command());
        let is_open = guest.sessions.get(&thread.session) == Some(&true);
        self.bad_sessions += u32::from(names && !is_open);
        if !thread.taken {
            // An interrupt may come before it has looked at the message. One that comes amid
            // UNREGISTER_SHM finds the first reference gone and the buffer still on the list.
            let ends = thread.command() == Command::UNREGISTER_SHM;
            if !ends && matches!(thread.acts.front(), Some(Act::Interrupt)) {
                thread.acts.pop_front();
                return results([ReturnCode::RPC_FOREIGN_INTR.0, 0, 0, id]);
            }
            self.bad_cookies += u32::from(!guest.take(id));
        }
        let thread = guest.threads.get_mut(&id).expect("known");
        let act = thread.acts.pop_front();
        match act {
            Some(Act::Interrupt) => results([ReturnCode::RPC_FOREIGN_INTR.0, 0, 0, id]),
            Some(Act::Raw(w0, [w1, w2, w3])) if !is_done(thread.command(), w0) => {
                if !w0.is_rpc() {
                    guest.end(id);
                }
                results([w0.0, w1, w2, if w3 == 0 { id } else { w3 }])
            }
            Some(Act::Code(code)) if !is_done(thread.command(), code) => {
                guest.end(id);
                results([code.0, 0, 0, 0])
            }
            Some(Act::Result(result)) if !is_silent(thread.command()) => {
                let thread = guest.end(id);
                pool.poke(thread.message + 16, result.word());
                results([ReturnCode::OK.0, 0, 0, 0])
            }
            Some(Act::Scrawl(word, value)) => {
                pool.poke(thread.message + word % 512 * 8, value);
                self.run(client, id, pool)
            }
            Some(Act::Rpc(request)) => self.ask(client, id, request, pool),
            Some(Act::Alloc(size, kind)) => {
                let param = [attr::VALUE_IN, kind, size, 8];
                self.ask(client, id, Rpc::of(RpcCommand::SHM_ALLOC, param), pool)
            }
            Some(Act::Free(cookie)) => {
                let param = [attr::VALUE_IN, 0, cookie, 0];
                self.ask(client, id, Rpc::of(RpcCommand::SHM_FREE, param), pool)
            }
            Some(Act::Raw(..) | Act::Code(_) | Act::Result(_)) | None => {
                self.finish(client, id, pool)
            }
        }
    }

    /// Sends a request to the guest.
    fn ask(&mut self, client: u32, id: u32, mut request: Rpc, pool: &mut Pool) -> Results {
        let guest = self.guests.get_mut(&client).expect("known");
        let thread = guest.threads.get_mut(&id).expect("known");
        if let (RpcCommand::SHM_FREE, [[attr::VALUE_IN, _, cookie, _]]) =
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
        let header = Header {
            command: request.command,
            result: TeeResult::GENERIC,
            params: request.params.len() as u32,
            ..Header::default()
        }
        .words();
        let words = header.iter().chain(request.params.iter().flatten());
        (0..)
            .zip(words)
            .for_each(|(n, &word)| pool.poke(at + n * 8, word));
        thread.asked = Some(request);
        results([ReturnCode::RPC_CMD.0, 0, 0, id])
    }

    /// Does what the message says.
    fn finish(&mut self, client: u32, id: u32, pool: &mut Pool) -> Results {
        let guest = self.guests.get_mut(&client).expect("known");
        let thread = &guest.threads[&id];
        match thread.command() {
            Command::OPEN_SESSION => drop(guest.sessions.insert(thread.session, true)),
            Command::UNREGISTER_SHM if guest.is_held(thread.param(0)[3]) => {
                // It sleeps until the last of those calls wakes it.
                let sleep = Rpc::of(RpcCommand::NOTIFICATION, [attr::VALUE_IN, 0, id.into(), 0]);
                return self.ask(client, id, sleep, pool);
            }
            _ => {}
        }
        let thread = guest.end(id);
        let lists = pages_of_lists(client, &thread, pool);
        assert_eq!(lists, thread.lists, "lists that changed in their call");
        let result = conclude(client, guest, &thread, pool);
        if thread.command() <= Command::INVOKE && result == TeeResult::SUCCESS {
            write_outputs(&thread, pool);
        }
        if !is_silent(thread.command()) {
            pool.poke(thread.message + 16, result.word());
        }
        pool.poke(thread.message + 24, (thread.words[3] & !0xFFFF_FFFF) | 4);
        results([ReturnCode::OK.0, 0, 0, 0])
    }
}

/// Returns what a thread's message changes in the guest's share. Gives the TEE result.
fn conclude(client: u32, guest: &mut Partition, thread: &Thread, pool: &mut Pool) -> TeeResult {
    let is_done = match thread.command() {
        Command::OPEN_SESSION => {
            let cancel = pool.peek(thread.message + 8).unwrap_or_default() & !0xFFFF_FFFF;
            pool.poke(thread.message + 8, cancel | u64::from(thread.session));
            true
        }
        Command::CLOSE_SESSION => guest.sessions.remove(&thread.session).is_some(),
        Command::INVOKE | Command::CANCEL => guest.sessions.get(&thread.session) == Some(&true),
        Command::REGISTER_SHM => {
            let param = thread.param(0);
            let shm = listed(client, &param, false, pool);
            let old = guest.shm.insert(param[3], shm);
            assert!(old.is_none(), "cookie {:#x} registered twice", param[3]);
            true
        }
        Command::UNREGISTER_SHM => guest.shm.remove(&thread.param(0)[3]).is_some(),
        Command::STOP_ASYNC_NOTIF => {
            guest.notified = false;
            true
        }
        Command::DO_BOTTOM_HALF => true,
        other => panic!("command {other} reached OP-TEE"),
    };
    if is_done {
        TeeResult::SUCCESS
    } else {
        TeeResult::BAD_PARAMETERS
    }
}

/// An application's outputs.
fn write_outputs(thread: &Thread, pool: &mut Pool) {
    for n in 0..(thread.words.len() - 4) / 4 {
        let outputs = match thread.param(n)[0] & attr::TYPE {
            kind if kind & 2 == 0 => 0..0,
            0..4 => 1..4,
            _ => 2..3,
        };
        for at in outputs {
            let word = (4 + 4 * n + at) as u64;
            pool.poke(thread.message + word * 8, output(n, at));
        }
    }
}

/// `__tee_entry_std` leaves `ret` alone for these: what comes back in w0 is all.
fn is_silent(command: Command) -> bool {
    [Command::DO_BOTTOM_HALF, Command::STOP_ASYNC_NOTIF].contains(&command)
}

/// Tells whether an end with this code says by itself that the command is done.
fn is_done(command: Command, w0: ReturnCode) -> bool {
    is_silent(command) && w0 == ReturnCode::OK
}
