// SPDX-License-Identifier: MIT OR Apache-2.0

//! Which core serves a vCPU ([`place`]), and whose turn it is there ([`Turns`]), among the vCPUs that are fixed
//! to the core.
//!
//! Of those that can run and have something left of their budgets the one with the highest priority runs, from
//! the moment on at which it can. Among equals it is round-robin: a vCPU keeps the core until its slice ends, it
//! waits or it yields; then the next one that can run, in the order of their numbers, gets a whole slice. One that
//! becomes able to run takes the core from no equal. So a vCPU waits at most for one slice of each of the others
//! of its priority, beside what the higher ones take. Who was preempted goes on with what is left of its slice.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod budget;
pub mod place;
mod turns;
mod visits;

pub use budget::{Account, Budget};
pub use turns::{Share, Turns};
pub use visits::Visits;

/// Returns the first of two moments, of those that there are.
#[inline]
pub fn sooner(one: Option<u64>, other: Option<u64>) -> Option<u64> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        _ => one.or(other),
    }
}
