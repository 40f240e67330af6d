// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a hypervisor has to know of a trapped instruction: how to step over it, and which access
//! it makes where the exception syndrome does not say.
//!
//! All of it is arithmetic over ESR_EL2, SPSR_EL2 and the instruction's encoding (DDI 0487).
#![no_std]
#![forbid(unsafe_code)]

mod access;
mod step;

pub use access::{Access, Base, Direction};
pub use step::{
    Resume, before_hvc, condition_holds, instruction_length, skip, skip_a64, undefined_syndrome,
};

#[cfg(test)]
mod tests;
