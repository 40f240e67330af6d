// SPDX-License-Identifier: MIT OR Apache-2.0

//! The end of what a stopped guest has begun in OP-TEE: its calls, sessions, buffers and notifications.
//!
//! OP-TEE is told by calls of the guest's own, which the kernel makes in the guest's place. When
//! nothing is left, OP-TEE may keep the guest's VM for the guest's next start: VM_DESTROYED gives
//! back neither the ASIDs of applications nor, in 4.10, translation tables.

use addr::{Ipa, Pa};

use crate::abi::{HEADER_WORDS, PARAM_WORDS, attr, cmd, func};
use crate::buffers::{Kind, Search};
use crate::call::State;
use crate::guest::Guest;
use crate::host::{Memory, NotRam, Trace};
use crate::message::pack;
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
    fn translate(&self, _: Ipa) -> Option<Pa> {
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
    /// Returns how many things of the stopped guest are left in OP-TEE: calls, sessions, buffers, and
    /// whether it is notified. None of its vCPUs is in the secure world.
    pub fn left(&self) -> u32 {
        let Usage { calls, buffers, .. } = self.usage();
        calls + self.sessions.len() as u32 + buffers + u32::from(self.notified)
    }

    /// Returns what ends one of those things. `turn` counts up: calls that wait for each other come in turn.
    pub fn next_ending(&mut self, turn: usize) -> Ending {
        if self.left() == 0 {
            self.searched = 0;
            return Ending::Nothing;
        }
        if let Some(thread) = self.waiting(turn) {
            let regs = [func::CALL_RETURN_FROM_RPC, 0, 0, thread].map(u64::from);
            return Ending::Call(with(regs), Stopped(None));
        }
        if let Some(message) = self.closing() {
            return message_call(message);
        }
        match self.buffers.search(Kind::Registered, self.searched) {
            Search::Found(cookie, at) => {
                self.searched = at;
                message_call(unregister(cookie))
            }
            Search::NotYet(at) => {
                self.searched = at;
                Ending::Search
            }
            Search::Nothing => {
                self.searched = 0;
                Ending::Nothing
            }
        }
    }

    /// The thread id of a call that waits for the guest, each in its turn.
    fn waiting(&self, turn: usize) -> Option<u32> {
        let (before, from) = self.calls.split_at(turn % self.calls.len());
        let waits = |call: &&crate::call::Call| !matches!(call.state, State::Free | State::Secure);
        from.iter()
            .chain(before)
            .find(waits)
            .map(crate::call::Call::id)
    }

    /// CLOSE_SESSION of an open session, else STOP_ASYNC_NOTIF if the guest is notified.
    fn closing(&self) -> Option<[u64; WORDS]> {
        let mut message = [0; WORDS];
        match self.sessions.last() {
            Some(&session) => {
                (message[0], message[1]) = (cmd::CLOSE_SESSION.into(), session.into())
            }
            None if self.notified => message[0] = cmd::STOP_ASYNC_NOTIF.into(),
            None => return None,
        }
        Some(message)
    }
}

fn message_call(message: [u64; WORDS]) -> Ending {
    let regs = [func::CALL_WITH_ARG, 0, 0, 0].map(u64::from);
    Ending::Call(with(regs), Stopped(Some(message)))
}

/// UNREGISTER_SHM of the buffer.
fn unregister(cookie: u64) -> [u64; WORDS] {
    let header = [cmd::UNREGISTER_SHM.into(), 0, 0, pack(0, 1)];
    let mut message = [0; WORDS];
    message[..HEADER_WORDS].copy_from_slice(&header);
    message[HEADER_WORDS..].copy_from_slice(&[attr::RMEM_IN, 0, 0, cookie]);
    message
}

fn with([w0, w1, w2, w3]: [u64; 4]) -> Regs {
    [w0, w1, w2, w3, 0, 0, 0, 0]
}
