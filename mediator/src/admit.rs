// SPDX-License-Identifier: MIT OR Apache-2.0

//! Whether a guest may give a command: what it needs, which sessions it may name, which applications it may open.

use crate::abi::{Command, ReturnCode, TeeResult, attr};
use crate::host::{Memory, ShadowPages, Trace};
use crate::policy::{Asked, TaPolicy, Uuid};
use crate::transaction::{BAD_PARAMETERS, Refusal, Transaction};

impl<T: Trace, M: Memory, F: ShadowPages> Transaction<'_, T, M, F> {
    /// Checks that the guest may give this command with these parameters. `names` tells whether another call names a
    /// session.
    #[inline]
    pub(crate) fn admit(&mut self, names: impl Fn(u32) -> bool) -> Result<(), Refusal> {
        match self.call.command {
            Command::INVOKE => self.find_session().map(drop),
            Command::CLOSE_SESSION => self.admit_close(names(self.call.session())),
            _ => self.admit_other(),
        }
    }

    fn admit_other(&mut self) -> Result<(), Refusal> {
        let count = self.call.count;
        let fits = match self.call.command {
            Command::OPEN_SESSION => return self.admit_open(count),
            Command::CANCEL => count == 0 && self.find_session().is_ok(),
            Command::DO_BOTTOM_HALF | Command::STOP_ASYNC_NOTIF
                if self.guest.offers_notifications() =>
            {
                count == 0
            }
            _ => return Err(Refusal::Code(ReturnCode::EBADCMD)),
        };
        if fits { Ok(()) } else { Err(BAD_PARAMETERS) }
    }

    /// Returns the place of the session that the message names: only an open one may be named.
    #[inline]
    fn find_session(&self) -> Result<usize, Refusal> {
        let found = self.guest.sessions.binary_search(&self.call.session());
        found.map_err(|_| BAD_PARAMETERS)
    }

    /// Checks CLOSE_SESSION. Only a session that no other call names may be closed:
    /// OP-TEE up to 4.10 lets calls into a session that it has not finished opening, and frees
    /// it under them when the opening fails.
    fn admit_close(&mut self, is_named: bool) -> Result<(), Refusal> {
        if self.call.count > 0 {
            return Err(BAD_PARAMETERS);
        }
        let at = self.find_session()?;
        if is_named {
            return Err(Refusal::Code(ReturnCode::ETHREAD_LIMIT));
        }
        let sessions = &mut self.guest.sessions;
        if at + 1 == sessions.len() {
            // The newest one, as a rule: nothing is moved.
            sessions.pop();
        } else {
            sessions.remove(at);
        }
        Ok(())
    }

    /// Checks OPEN_SESSION, whose first two parameters name the application and the client.
    fn admit_open(&mut self, count: u32) -> Result<(), Refusal> {
        const META_VALUE: u64 = attr::VALUE_IN | attr::META;
        let [_, [META_VALUE, a, b, _], [META_VALUE, ..], ..] = self.guest.scratch else {
            return Err(BAD_PARAMETERS);
        };
        if count < 2 {
            return Err(BAD_PARAMETERS);
        }
        if self.guest.sessions.len() >= usize::from(self.guest.config.limits.fitted().sessions) {
            return Err(Refusal::Result(TeeResult::OUT_OF_MEMORY));
        }
        if self.guest.config.policy == TaPolicy::Any {
            return Ok(());
        }
        if self.guest.permits(Uuid::of(a, b), Asked::Open) {
            Ok(())
        } else {
            Err(Refusal::Result(TeeResult::ACCESS_DENIED))
        }
    }
}
