// SPDX-License-Identifier: MIT OR Apache-2.0

//! The firmware calls that EL2 answers itself: PSCI 1.1 and the SMCCC architecture calls.
//!
//! [`Vpsci`] is the power state of one guest's vCPUs, and the service of PSCI; [`smccc`] is that of
//! the architecture calls. Each says which calls it owns. The kernel gives it those that are trapped,
//! PSCI's under the VM's lock unless their answer is [the same always](Vpsci::constant), and does what the [`Outcome`] says after releasing it.
#![no_std]
#![forbid(unsafe_code)]

mod psci;
pub mod smccc;

#[cfg(test)]
mod tests;

pub use psci::{Outcome, Power, Vpsci};
