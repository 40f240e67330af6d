// SPDX-License-Identifier: MIT OR Apache-2.0

//! Finding OP-TEE at boot, once, with client id 0.

use core::fmt;

use crate::abi::{Function, RPC_PARAMS, ReturnCode, cap};
use crate::{Regs, Results};

/// The UID of OP-TEE's API: 384fb3e0-e7f8-11e3-af63-0002a5d5c51b.
pub(crate) const UID: [u32; 4] = [0x384f_b3e0, 0xe7f8_11e3, 0xaf63_0002, 0xa5d5_c51b];

/// More RPC arguments than an OP-TEE keeps: one for each of its threads.
const MOST_KEPT: u32 = 256;

/// The OP-TEE that was found: what guests are told about it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Optee {
    pub(crate) calls_count: u32,
    pub(crate) calls_revision: [u32; 4],
    pub(crate) os_uuid: [u32; 4],
    pub(crate) os_revision: [u32; 4],
    pub(crate) threads: Option<u32>,
    pub(crate) capabilities: u32,
    pub(crate) max_notification: u32,
    pub(crate) rpc_params: u32,
}

impl Optee {
    /// Returns the major and minor version and the first digits of the commit.
    pub fn os_revision(&self) -> [u32; 3] {
        let [major, minor, commit, _] = self.os_revision;
        [major, minor, commit]
    }

    /// Threads of each guest, if OP-TEE says.
    pub fn threads(&self) -> Option<u32> {
        self.threads
    }

    /// Tells whether several guests can have it at once: it is built for virtualization. One that is not
    /// knows no guests at all: VM_CREATED and VM_DESTROYED are unknown functions.
    pub fn is_shared(&self) -> bool {
        self.capabilities & cap::VIRTUALIZATION != 0
    }

    /// Returns the capability bits of [`cap`], unfiltered.
    pub fn capabilities(&self) -> u32 {
        self.capabilities
    }
}

/// Why the guests get no TEE.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ProbeError {
    /// Nobody answered, or not with OP-TEE's UID.
    NotOptee,
    /// The API has another major revision than 2.
    Revision(u32),
    /// OP-TEE refused the exchange of capabilities with this code.
    Exchange(ReturnCode),
    /// OP-TEE lacks these capabilities, bits of [`cap`].
    Lacks(u32),
    /// An earlier normal world has a call under way in an OP-TEE that knows no VMs, or its cache does not get empty.
    Busy,
    /// OP-TEE's RPC argument has another number of parameters than the mediator lays out.
    RpcParams(u32),
}

impl fmt::Display for ProbeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::NotOptee => f.write_str("the firmware does not answer as OP-TEE"),
            Self::Revision(major) => write!(f, "OP-TEE's API has revision {major}, not 2"),
            Self::Exchange(code) => write!(f, "OP-TEE answers {code} about its capabilities"),
            Self::Lacks(bits) => {
                f.write_str("OP-TEE is built without")?;
                let names = [
                    (cap::DYNAMIC_SHM, " dynamic shared memory"),
                    (cap::RPC_ARG, " RPC arguments from the caller"),
                ];
                let lacking = names.iter().filter(|(bit, _)| bits & bit != 0);
                lacking.enumerate().try_for_each(|(n, (_, name))| {
                    f.write_str(if n > 0 { "," } else { "" })?;
                    f.write_str(name)
                })
            }
            Self::Busy => f.write_str(
                "OP-TEE is not done with what ran before: let the boot loader end its calls and \
                 disable its cache of shared memory",
            ),
            Self::RpcParams(n) => write!(f, "OP-TEE's RPC argument has {n} parameters"),
        }
    }
}

impl core::error::Error for ProbeError {}

/// Asks OP-TEE who it is; `smc` makes one call with x0–x7 and gives back x0–x3.
///
/// All calls are fast ones that OP-TEE allows the hypervisor itself (client id 0, which is
/// what w7 = 0 says).
pub fn probe(mut smc: impl FnMut(Regs) -> Results) -> Result<Optee, ProbeError> {
    let mut ask = |id: Function| smc([u64::from(id), 0, 0, 0, 0, 0, 0, 0]).map(|x| x as u32);
    if ask(Function::CALLS_UID) != UID {
        return Err(ProbeError::NotOptee);
    }
    let [major, minor, ..] = ask(Function::CALLS_REVISION);
    if major != 2 {
        return Err(ProbeError::Revision(major));
    }
    let [status, capabilities, max_notification, params] = ask(Function::EXCHANGE_CAPABILITIES);
    if ReturnCode(status) != ReturnCode::OK {
        return Err(ProbeError::Exchange(ReturnCode(status)));
    }
    let lacks = (cap::DYNAMIC_SHM | cap::RPC_ARG) & !capabilities;
    if lacks != 0 {
        return Err(ProbeError::Lacks(lacks));
    }
    let rpc_params = params & 0xff;
    if rpc_params == 0 || rpc_params as usize > RPC_PARAMS {
        return Err(ProbeError::RpcParams(rpc_params));
    }
    // There OP-TEE would go on writing RPC arguments to pages of who ran before.
    if capabilities & cap::VIRTUALIZATION == 0 {
        let mut kept = (0..MOST_KEPT).map(|_| ReturnCode(ask(Function::DISABLE_SHM_CACHE)[0]));
        match kept.find(|&status| status != ReturnCode::OK) {
            Some(ReturnCode::EBUSY) | None => return Err(ProbeError::Busy),
            Some(_) => {}
        }
    }
    let [count_status, threads, ..] = ask(Function::GET_THREAD_COUNT);
    Ok(Optee {
        calls_count: ask(Function::CALLS_COUNT)[0],
        calls_revision: [major, minor, 0, 0],
        os_uuid: ask(Function::GET_OS_UUID),
        os_revision: ask(Function::GET_OS_REVISION),
        threads: (ReturnCode(count_status) == ReturnCode::OK).then_some(threads),
        capabilities,
        max_notification,
        rpc_params,
    })
}
