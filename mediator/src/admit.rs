// SPDX-License-Identifier: MIT OR Apache-2.0

//! Whether a guest may give a command: what it needs, which sessions it may name, which applications it may open.

use crate::abi::{Command, ReturnCode, TeeResult, attr};
use crate::call::{Call, State};
use crate::host::{Memory, ShadowPages, Trace};
use crate::leave::{BAD_PARAMETERS, Refusal};
use crate::policy::{Asked, TaPolicy, Uuid};
use crate::transaction::Transaction;

impl<T: Trace, M: Memory, F: ShadowPages> Transaction<'_, T, M, F> {
    /// Checks that the guest may give this command with these parameters.
    pub(crate) fn admit(&mut self) -> Result<(), Refusal> {
        let Call { command, count, .. } = self.guest.calls[self.slot];
        let fits = match command {
            Command::OPEN_SESSION => return self.admit_open(count),
            Command::INVOKE => return self.admit_named(),
            Command::CLOSE_SESSION | Command::CANCEL if count == 0 => return self.admit_named(),
            Command::CLOSE_SESSION | Command::CANCEL => false,
            Command::REGISTER_SHM | Command::UNREGISTER_SHM => count == 1,
            Command::DO_BOTTOM_HALF | Command::STOP_ASYNC_NOTIF
                if self.guest.offers_notifications() =>
            {
                count == 0
            }
            _ => return Err(Refusal::Code(ReturnCode::EBADCMD)),
        };
        if fits { Ok(()) } else { Err(BAD_PARAMETERS) }
    }

    /// Checks what the message names. Only an open session may be named, and only one that no other call names may be closed:
    /// OP-TEE up to 4.10 lets calls into a session that it has not finished opening, and frees
    /// it under them when the opening fails.
    fn admit_named(&mut self) -> Result<(), Refusal> {
        let guest = &mut *self.guest;
        let session = guest.calls[self.slot].session();
        let found = guest.sessions.binary_search(&session);
        let at = found.map_err(|_| BAD_PARAMETERS)?;
        if guest.calls[self.slot].command == Command::CLOSE_SESSION {
            let names = |call: &Call| call.state != State::Free && call.session() == session;
            if guest.calls.iter().any(names) {
                return Err(Refusal::Code(ReturnCode::ETHREAD_LIMIT));
            }
            guest.sessions.remove(at);
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
