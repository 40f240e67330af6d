// SPDX-License-Identifier: MIT OR Apache-2.0

//! Calls without a message: what is answered from what the probe has learnt, and notifications.

use platform::VcpuId;

use crate::abi::{Command, Function, ReturnCode, cap};
use crate::config::Dialect;
use crate::guest::{Common, Guest};
use crate::host::{Event, EventKind, Trace};
use crate::probe::UID;
use crate::{Step, Visit, code, reply};

impl<T: Trace> Common<T> {
    /// Handles a call without a message.
    #[inline(never)]
    pub(crate) fn fast(&mut self, id: Function, w1: u32, vcpu: VcpuId) -> Step {
        match id {
            Function::ENABLE_ASYNC_NOTIF | Function::GET_ASYNC_NOTIF_VALUE => {
                self.notification(id, vcpu)
            }
            _ => self.emulate(id, w1),
        }
    }

    /// Answers what the probe learnt, without OP-TEE.
    fn emulate(&mut self, id: Function, w1: u32) -> Step {
        match id {
            Function::CALLS_COUNT => code(ReturnCode(self.optee.calls_count)),
            Function::CALLS_UID => Step::Reply(UID),
            Function::CALLS_REVISION => Step::Reply(self.optee.calls_revision),
            Function::GET_OS_UUID => Step::Reply(self.optee.os_uuid),
            Function::GET_OS_REVISION => Step::Reply(self.optee.os_revision),
            Function::GET_THREAD_COUNT => match self.optee.threads {
                Some(threads) => reply(
                    ReturnCode::OK,
                    threads.min(self.config.limits.fitted().calls.into()),
                    0,
                    0,
                ),
                None => code(ReturnCode::UNKNOWN),
            },
            Function::EXCHANGE_CAPABILITIES => self.capabilities(w1),
            // OP-TEE caches nothing of the guest's: it never holds an RPC argument of his.
            Function::ENABLE_SHM_CACHE => code(ReturnCode::OK),
            Function::DISABLE_SHM_CACHE | Function::GET_SHM_CONFIG => code(ReturnCode::ENOTAVAIL),
            _ => code(ReturnCode::UNKNOWN),
        }
    }

    /// Answers EXCHANGE_CAPABILITIES. The only capability of a normal world is UNIPROCESSOR; OP-TEE refuses any other.
    fn capabilities(&self, normal: u32) -> Step {
        let modern = self.config.dialect == Dialect::Modern;
        let mut offered = cap::DYNAMIC_SHM | cap::MEMREF_NULL;
        if self.config.rpmb {
            offered |= cap::RPMB_PROBE;
        }
        let (mut max, mut params) = (0, 0);
        if modern {
            offered |= cap::RPC_ARG;
            params = self.optee.rpc_params;
        }
        if self.offers_notifications() {
            offered |= cap::ASYNC_NOTIF;
            max = self.optee.max_notification;
        }
        offered &= self.optee.capabilities;
        match normal {
            0 | 1 => reply(ReturnCode::OK, offered, max, params),
            _ => reply(ReturnCode::ENOTAVAIL, offered, 0, 0),
        }
    }

    fn notification(&mut self, id: Function, vcpu: VcpuId) -> Step {
        let allowed = match id {
            Function::ENABLE_ASYNC_NOTIF => self.offers_notifications(),
            _ => self.notified,
        };
        if !allowed {
            return code(ReturnCode::ENOTAVAIL);
        }
        self.counters.fast = self.counters.fast.wrapping_add(1);
        self.trace.event(Event {
            vcpu,
            call: 0,
            what: EventKind::Fast(id),
        });
        let regs = [id.0, 0, 0, 0, 0, 0, 0, self.client];
        self.send(regs, Visit::Fast(id), vcpu)
    }
}

impl<T: Trace> Guest<T> {
    #[inline(never)]
    pub(crate) fn fast_returned(&mut self, id: Function, [w0, value, flags, _]: [u32; 4]) -> Step {
        if ReturnCode(w0) != ReturnCode::OK {
            return code(ReturnCode::ENOTAVAIL);
        }
        if id == Function::ENABLE_ASYNC_NOTIF {
            self.now_notified();
            return code(ReturnCode::OK);
        }
        reply(ReturnCode::OK, value, flags & 3, 0)
    }

    /// Notes that OP-TEE notifies the guest. It may have done so after a STOP_ASYNC_NOTIF that is still under
    /// way here, whose end must not hide that: to stop what is stopped already does no harm.
    #[cold]
    fn now_notified(&mut self) {
        let calls = self.calls.iter_mut();
        let stops = calls.filter(|call| call.command == Command::STOP_ASYNC_NOTIF);
        stops.for_each(|call| call.command = Command::DO_BOTTOM_HALF);
        self.common.notified = true;
    }
}
