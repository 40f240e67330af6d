// SPDX-License-Identifier: MIT OR Apache-2.0

//! Lives that each open and close a session of a TA that OP-TEE keeps alive, and end by SYSTEM_RESET: the
//! TA is sims_keepalive of optee_test, the guest's initrd. Its instance outlives the sessions.

use super::uncached::Client;
use super::{Test, needs_hypervisor, needs_tee};
use crate::outcome::Outcome;
use crate::rt::call::psci::{SYSTEM_RESET, psci};
use crate::{ensure_eq, println};

pub const TESTS: &[Test] = &[("h29_lives_for_ever", lives_for_ever)];

/// a4c04d50-f180-11e8-8eb2-f2801f1b9fd1, as OPEN_SESSION's first parameter has it.
const KEEP_ALIVE: (u64, u64) = (
    u64::from_le_bytes([0xa4, 0xc0, 0x4d, 0x50, 0xf1, 0x80, 0x11, 0xe8]),
    u64::from_le_bytes([0x8e, 0xb2, 0xf2, 0x80, 0x1f, 0x1b, 0x9f, 0xd1]),
);

fn lives_for_ever() -> Outcome {
    needs_hypervisor()?;
    needs_tee()?;
    let mut client = Client::new()?;
    let (ret, session) = client.open(KEEP_ALIVE);
    ensure_eq!(ret, 0, "OPEN_SESSION");
    client.close(session)?;
    println!("guest: opened and closed");
    psci([SYSTEM_RESET]);
    Ok(())
}
