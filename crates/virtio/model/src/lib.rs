// SPDX-License-Identifier: MIT OR Apache-2.0

//! The other side of virtio devices, as instances, for host tests and the fuzzer: guest RAM that its guest rewrites while
//! it is read ([`Ram`]), and a driver that keeps the rules ([`bring_up`], [`Ring`]).
#![forbid(unsafe_code)]

mod mmio;
mod ram;
mod ring;

pub use mmio::{Registers, Setup, bring_up, register};
pub use ram::{BASE, Ram};
pub use ring::{Piece, Ring, Used};
