// SPDX-License-Identifier: MIT OR Apache-2.0

//! A guest's memory: where its RAM really is, and the stage-2 tables that say so to the hardware.
//!
//! Guest RAM is a few contiguous regions, so [`GuestRam`] translates an IPA by arithmetic; the
//! tables in [`Tables`] are built once when the guest is created and are never walked by software.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

mod guest_ram;
mod tables;

pub use guest_ram::{GuestRam, RamRegion, TooManyRegions};
pub use tables::{MapError, Tables, ipa_bits, vtcr};
