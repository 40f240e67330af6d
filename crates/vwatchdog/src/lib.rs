// SPDX-License-Identifier: MIT OR Apache-2.0

//! How it is noticed that a guest is lost.
//!
//! [`Watchdog`] is the Generic Watchdog of Arm's Base System Architecture (DEN0094, appendix
//! "Generic watchdog") as a guest sees it: software that no longer refreshes it is lost.
//! [`Lockup`] tells a vCPU that still makes progress from one whose exception vector itself
//! faults, for which no more than counting is needed.
#![no_std]
#![forbid(unsafe_code)]

mod lockup;
mod watchdog;

pub use lockup::Lockup;
pub use watchdog::{Frame, Watchdog};
