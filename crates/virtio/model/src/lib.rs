// SPDX-License-Identifier: MIT OR Apache-2.0

//! The other side of virtio devices, as instances, for host tests and the fuzzer: guest RAM that its guest rewrites
//! while it is read ([`Ram`]), a driver that keeps the rules ([`bring_up`], [`Ring`]), network ports as the kernel
//! connects them ([`Lan`]), and [`play`], in which guests that keep the rules talk beside one that keeps none.
#![forbid(unsafe_code)]

mod lan;
mod mmio;
mod play;
mod ram;
mod ring;
mod station;

pub use lan::Lan;
pub use mmio::{Registers, Setup, bring_up, register};
pub use play::{Op, Played, play, play_bytes};
pub use ram::{BASE, Ram};
pub use ring::{Piece, Ring, Used};
pub use station::{LONGEST, MTU, Station, mac};
