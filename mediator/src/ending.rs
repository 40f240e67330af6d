// SPDX-License-Identifier: MIT OR Apache-2.0

//! The end of what a stopped guest has begun in OP-TEE: its calls, sessions, buffers and notifications.
//!
//! OP-TEE is told by calls of the guest's own, which the kernel makes in the guest's place. When
//! nothing is left, OP-TEE may keep the guest's VM for the guest's next start: VM_DESTROYED gives
//! back neither the ASIDs of applications nor, in 4.10, translation tables.

use addr::Ipa;

use crate::abi::{Command, Function, HEADER_WORDS, Header, PARAM_WORDS, attr};
use crate::buffers::{Kind, Search};
use crate::call::State;
use crate::guest::{Guest, Remains};
use crate::host::{Memory, NotRam, Run, Trace};
use crate::{Regs, Usage};

/// A header and one parameter.
const WORDS: usize = HEADER_WORDS + PARAM_WORDS;

/// Stands for the RAM of a guest that has stopped, of which nothing counts any more: it answers
/// nothing, no page of it can be shared, and all that can be read is the message of one call.
#[derive(Debug)]
pub struct Stopped(Option<[u64; WORDS]>);

// Cold, so that none of it is inlined into the way of a guest's calls.
impl Memory for Stopped {
    #[cold]
    fn read(&self, from: Ipa, words: &mut [u64]) -> Result<(), NotRam> {
        let message = self.0.as_ref().ok_or(NotRam)?;
        let part = message.get(from.0 as usize / 8..).ok_or(NotRam)?;
        words.copy_from_slice(part.get(..words.len()).ok_or(NotRam)?);
        Ok(())
    }

    #[cold]
    fn write(&self, _: Ipa, _: &[u64]) -> Result<(), NotRam> {
        Ok(())
    }

    #[cold]
    fn run(&self, _: Ipa) -> Option<Run> {
        None
    }
}

/// What comes next in the end of a stopped guest.
#[derive(Debug)]
pub enum Ending {
    /// The call that ends one of the things that are left, or brings its end nearer, and what stands for the guest's RAM
    /// until the call is answered.
    Call(Regs, Stopped),
    /// To ask again: the next call is still looked for.
    Search,
    /// Nothing: no call can end what is left.
    Nothing,
}

impl<T: Trace> Guest<T> {
    /// Returns what of the stopped guest is left in OP-TEE. None of its vCPUs is in the secure world.
    pub fn remains(&self) -> Remains {
        let Usage { calls, buffers, .. } = self.usage();
        Remains {
            calls,
            sessions: self.common.sessions.len() as u32,
            buffers,
            notified: self.common.notified,
        }
    }

    /// Returns how many things of the stopped guest are left in OP-TEE.
    pub fn left(&self) -> u32 {
        self.remains().count()
    }

    /// Returns what ends one of those things. `turn` counts up: calls that wait for each other come in turn.
    pub fn next_ending(&mut self, turn: usize) -> Ending {
        if self.left() == 0 {
            return Ending::Nothing;
        }
        if let Some(thread) = self.waiting(turn) {
            let regs = with(Function::CALL_RETURN_FROM_RPC, thread);
            return Ending::Call(regs, Stopped(None));
        }
        if let Some(message) = self.closing() {
            return message_call(message);
        }
        match self
            .common
            .buffers
            .search(Kind::Registered, self.common.searched)
        {
            Search::Found(cookie, at) => {
                self.common.searched = at;
                message_call(unregister(cookie))
            }
            Search::NotYet(at) => {
                self.common.searched = at;
                Ending::Search
            }
            Search::Nothing => {
                self.common.searched = 0;
                Ending::Nothing
            }
        }
    }

    /// Returns the thread id of a call that waits for the guest, each in its turn.
    fn waiting(&self, turn: usize) -> Option<u32> {
        let (before, from) = self.calls.split_at(turn % self.calls.len());
        let waits = |call: &&crate::call::Call| !matches!(call.state, State::Free | State::Secure);
        from.iter().chain(before).find(waits).map(|call| call.id)
    }

    /// Returns CLOSE_SESSION of an open session, else STOP_ASYNC_NOTIF if the guest is notified.
    fn closing(&self) -> Option<[u64; WORDS]> {
        let (command, session) = match self.common.sessions.last() {
            Some(&session) => (Command::CLOSE_SESSION, session),
            None if self.common.notified => (Command::STOP_ASYNC_NOTIF, 0),
            None => return None,
        };
        let header = Header {
            command,
            session,
            ..Header::default()
        };
        Some(message(header, [0; PARAM_WORDS]))
    }
}

fn message_call(message: [u64; WORDS]) -> Ending {
    Ending::Call(with(Function::CALL_WITH_ARG, 0), Stopped(Some(message)))
}

/// Returns UNREGISTER_SHM of the buffer.
fn unregister(cookie: u64) -> [u64; WORDS] {
    let header = Header {
        command: Command::UNREGISTER_SHM,
        params: 1,
        ..Header::default()
    };
    message(header, [attr::RMEM_IN, 0, 0, cookie])
}

fn message(header: Header, param: [u64; PARAM_WORDS]) -> [u64; WORDS] {
    let mut message = [0; WORDS];
    message[..HEADER_WORDS].copy_from_slice(&header.words());
    message[HEADER_WORDS..].copy_from_slice(&param);
    message
}

/// Returns a call with only this in w3.
fn with(id: Function, w3: u32) -> Regs {
    [id.into(), 0, 0, w3.into(), 0, 0, 0, 0]
}
