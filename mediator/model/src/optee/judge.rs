// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a guest's configuration keeps from OP-TEE must not come through.

use mediator::abi::{Command, RpcCommand, attr};
use mediator::{TaPolicy, Uuid};

use super::partition::Thread;
use super::{FakeOptee, Rpc};

impl FakeOptee {
    /// A call has arrived. It has the parameters of its command, and if it opens a session, then
    /// with an application that the guest may open.
    pub(super) fn judge_call(&self, client: u32, thread: &Thread) {
        let count = (thread.words.len() - 4) / 4;
        let fits = match thread.command() {
            Command::OPEN_SESSION => (2..=6).contains(&count),
            Command::INVOKE => count <= 6,
            Command::REGISTER_SHM => count == 1,
            // Its offset and size say nothing.
            Command::UNREGISTER_SHM => count == 1 && thread.param(0)[1..3] == [0, 0],
            _ => count == 0,
        };
        assert!(fits, "{count} parameters in {:x?}", thread.words);
        if let (Command::OPEN_SESSION, Some(config)) = (thread.command(), self.allowed.get(&client))
        {
            let uuid = uuid(&thread.param(0));
            let allowed = config.policy.allows(uuid);
            assert!(allowed, "guest {client} opens {uuid:x?}");
        }
    }

    /// The guest has served a request: it may have been told of it.
    pub(super) fn judge_served(&self, client: u32, request: &Rpc) {
        let Some(config) = self.allowed.get(&client) else {
            return;
        };
        match request.command {
            RpcCommand::RPMB
            | RpcCommand::RPMB_PROBE_RESET
            | RpcCommand::RPMB_PROBE_NEXT
            | RpcCommand::RPMB_FRAMES => {
                assert!(config.rpmb, "guest {client} answers for the RPMB");
            }
            RpcCommand::LOAD_TA if config.policy != TaPolicy::Any => {
                let param = request.params.first();
                let param = param.filter(|param| param[0] == attr::VALUE_IN);
                let allowed = param.is_some_and(|param| config.policy.allows(uuid(param)));
                assert!(allowed, "guest {client} loads {param:x?}");
            }
            RpcCommand::SHM_ALLOC
            | RpcCommand::SHM_FREE
            | RpcCommand::LOAD_TA
            | RpcCommand::FS
            | RpcCommand::GET_TIME
            | RpcCommand::NOTIFICATION
            | RpcCommand::SUSPEND
            | RpcCommand::GPROF
            | RpcCommand::SOCKET
            | RpcCommand::FTRACE
            | RpcCommand::PLUGIN
            | RpcCommand::I2C => {}
            command => panic!("guest {client} answers request {command}"),
        }
    }
}

/// Returns the UUID in a value parameter.
fn uuid(&[_, a, b, _]: &[u64; 4]) -> Uuid {
    Uuid((u128::from(b) << 64 | u128::from(a)).to_le_bytes())
}
