//! What a guest's configuration keeps from OP-TEE must not come through.

use mediator::abi::{attr, cmd, rpc};
use mediator::{TaPolicy, Uuid};

use super::{FakeOptee, Rpc};

impl FakeOptee {
    /// A call has arrived: if it opens a session, with an application that the guest may open.
    pub(super) fn judge_open(&self, client: u32, id: u32) {
        let (Some(config), guest) = (self.allowed.get(&client), &self.guests[&client]) else {
            return;
        };
        let thread = &guest.threads[&id];
        if thread.command() == cmd::OPEN_SESSION {
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
            rpc::RPMB | rpc::RPMB_PROBE_RESET..=rpc::RPMB_FRAMES => {
                assert!(config.rpmb, "guest {client} answers for the RPMB");
            }
            rpc::LOAD_TA if config.policy != TaPolicy::Any => {
                let param = request.params.first();
                let param = param.filter(|param| param[0] == attr::VALUE_IN);
                let allowed = param.is_some_and(|param| config.policy.allows(uuid(param)));
                assert!(allowed, "guest {client} loads {param:x?}");
            }
            rpc::SHM_ALLOC | rpc::SHM_FREE => {}
            command => assert!(
                matches!(command, rpc::LOAD_TA..=rpc::SUSPEND | rpc::GPROF..=rpc::PLUGIN | rpc::I2C),
                "guest {client} answers request {command}"
            ),
        }
    }
}

/// The UUID in a value parameter.
fn uuid(&[_, a, b, _]: &[u64; 4]) -> Uuid {
    Uuid((u128::from(b) << 64 | u128::from(a)).to_le_bytes())
}
