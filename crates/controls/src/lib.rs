// SPDX-License-Identifier: MIT OR Apache-2.0

//! What EL2 writes to the registers that control it and its guests, and to its own tables.
//!
//! An emulator forgives a wrong cacheability, shareability or trap, so `tests/golden.rs` compares each value bit
//! for bit with what the Arm ARM asks for.
#![no_std]
#![forbid(unsafe_code)]

mod cptr;
pub mod stage1;
mod traps;

pub use cptr::Cptr;
pub use traps::{CNTHCTL, CPTR, Features, HCR_NO_GUEST, MPAM2, Vcpu, hcr, mdcr, vmid, vttbr};
