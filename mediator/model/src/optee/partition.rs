// SPDX-License-Identifier: MIT OR Apache-2.0

//! One guest's share of OP-TEE: its threads, buffers and sessions.

use std::collections::{BTreeMap, VecDeque};

use mediator::abi::{Command, Header, ReturnCode, attr};

use super::{Act, Rpc};
use crate::linux::header;
use crate::ram::Pool;

/// A buffer OP-TEE knows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Shm {
    /// Bytes.
    pub size: u64,
    /// Offset of the first byte in the first page.
    pub offset: u64,
    /// Host pages.
    pub pages: Vec<u64>,
    /// It came by SHM_ALLOC.
    pub payload: bool,
    /// References: one since it was registered, and one for each parameter of a call under way.
    pub refs: u32,
    /// UNREGISTER_SHM has given the first reference back.
    pub releasing: bool,
}

/// A call under way.
pub(super) struct Thread {
    pub message: u64,
    pub words: Vec<u64>,
    pub acts: VecDeque<Act>,
    /// The request the guest is serving.
    pub asked: Option<Rpc>,
    /// The session that it opens or that its message names; else 0.
    pub session: u32,
    /// OP-TEE has looked at the message: the buffers that it names are held.
    pub taken: bool,
    /// Cookies of the buffers that it holds.
    pub holds: Vec<u64>,
    /// Pages in the lists of its message.
    pub lists: Vec<Vec<u64>>,
    /// Pages in the list of an answer that it has got and not read.
    pub answer: Option<Vec<u64>>,
}

impl Thread {
    pub fn command(&self) -> Command {
        header(&self.words).command
    }

    /// Parameter `n` of its message.
    pub fn param(&self, n: usize) -> [u64; 4] {
        self.words[4 + 4 * n..][..4].try_into().expect("4")
    }

    /// Returns what the guest has answered: its result, then the words of its parameters.
    pub fn served(&self, pool: &Pool) -> Vec<u64> {
        let at = self.message + self.words.len() as u64 * 8;
        let word = |n: u64| pool.peek(at + n * 8).unwrap_or_default();
        let params = (word(3) >> 32).min(4) * 4;
        let mut served = vec![word(2) >> 32];
        served.extend((4..4 + params).map(word));
        served
    }

    /// Returns the memory by cookie that its message names: offset, size, cookie.
    fn named(&self) -> impl Iterator<Item = [u64; 3]> + use<> {
        let params = self.words[4..].as_chunks().0.to_vec();
        let is_registered = |&[kind, ..]: &[u64; 4]| matches!(kind & attr::TYPE, 5..=7);
        let params = params.into_iter().filter(is_registered);
        params.map(|[_, offset, size, cookie]| [offset, size, cookie])
    }

    /// Tells whether its plan lets it end without having done anything.
    fn gives_up(&self) -> bool {
        self.acts.iter().any(|act| match act {
            Act::Code(_) | Act::Result(_) => true,
            Act::Raw(w0, _) => !w0.is_rpc(),
            _ => false,
        })
    }
}

/// How far a partition is: its first call sets it up.
enum Setup {
    /// Set up by this thread, after so many more interrupts.
    Under(Option<u32>, u32),
    Done,
}

/// One guest's share of OP-TEE.
pub(super) struct Partition {
    setup: Setup,
    pub threads: BTreeMap<u32, Thread>,
    pub shm: BTreeMap<u64, Shm>,
    /// Whether they are open; they are listed as soon as their opening begins.
    pub sessions: BTreeMap<u32, bool>,
    pub notified: bool,
    pub pending: VecDeque<u32>,
}

impl Partition {
    /// Returns one whose first call meets this many interrupts before it has set the partition up.
    pub fn new(slow_start: u32) -> Self {
        Self {
            setup: Setup::Under(None, slow_start),
            threads: BTreeMap::new(),
            shm: BTreeMap::new(),
            sessions: BTreeMap::new(),
            notified: false,
            pending: VecDeque::new(),
        }
    }

    /// Returns what a thread comes back with before the partition is set up. One that comes while another
    /// sets it up asks for the page of an RPC argument, again and again.
    pub fn set_up(&mut self, id: u32) -> Option<ReturnCode> {
        let Setup::Under(by, left) = &mut self.setup else {
            return None;
        };
        if *by.get_or_insert(id) != id {
            return Some(ReturnCode::RPC_ALLOC);
        }
        let Some(fewer) = left.checked_sub(1) else {
            self.setup = Setup::Done;
            return None;
        };
        *left = fewer;
        Some(ReturnCode::RPC_FOREIGN_INTR)
    }

    /// Returns the session of a new thread. They count up from the last one.
    pub fn session(&mut self, words: &[u64]) -> u32 {
        let Header {
            command, session, ..
        } = header(words);
        match command {
            Command::OPEN_SESSION => {
                let last = self.sessions.last_key_value();
                let next = last.map_or(1, |(last, _)| last + 1);
                self.sessions.insert(next, false);
                next
            }
            Command::INVOKE | Command::CLOSE_SESSION | Command::CANCEL => session,
            _ => 0,
        }
    }

    /// OP-TEE looks at a thread's message, as far as buffers go: `mobj_get` for each that it
    /// names, or for UNREGISTER_SHM the end of the first reference, long before the buffer is off
    /// the list. Gives whether each buffer is one that a message may name, with the range inside.
    pub fn take(&mut self, id: u32) -> bool {
        let Self { threads, shm, .. } = self;
        let thread = threads.get_mut(&id).expect("known");
        thread.taken = true;
        let ends = thread.command() == Command::UNREGISTER_SHM;
        if ends && thread.gives_up() {
            return true;
        }
        let mut good = true;
        for [offset, size, cookie] in thread.named() {
            let Some(buffer) = shm.get_mut(&cookie) else {
                good = false;
                continue;
            };
            assert!(buffer.refs > 0, "`mobj_get` of the dead buffer {cookie:#x}");
            if ends {
                good &= !buffer.releasing && !buffer.payload;
                buffer.refs -= u32::from(!buffer.releasing);
                buffer.releasing = true;
            } else {
                let end = offset.checked_add(size).expect("range wraps");
                good &= !buffer.payload && end <= buffer.size;
                buffer.refs += 1;
                thread.holds.push(cookie);
            }
        }
        good
    }

    /// Tells whether UNREGISTER_SHM has to wait for a call that holds the buffer.
    pub fn is_held(&self, cookie: u64) -> bool {
        self.shm.get(&cookie).is_some_and(|buffer| buffer.refs > 0)
    }

    /// Ends a thread. What it was opening is gone, unless it is open now; what it held is given
    /// back.
    pub fn end(&mut self, id: u32) -> Thread {
        let thread = self.threads.remove(&id).expect("known");
        if thread.command() == Command::OPEN_SESSION && !self.sessions[&thread.session] {
            self.sessions.remove(&thread.session);
        }
        for cookie in &thread.holds {
            if let Some(buffer) = self.shm.get_mut(cookie) {
                buffer.refs -= 1;
            }
        }
        thread
    }
}
