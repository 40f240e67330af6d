// SPDX-License-Identifier: MIT OR Apache-2.0

//! Both sides of the mediator, as instances, for host tests and the fuzzer: guest RAM that the
//! guest rewrites while it is read ([`Ram`]), shadow pages ([`Pool`]), an OP-TEE with guests,
//! threads, buffers and sessions ([`FakeOptee`]), and a [`World`] that drives one or two
//! [`mediator::Guest`]s between them and checks after every step what must always hold.
//!
//! Every host address starts with the tag [`HOST`], in its upper and in its lower 32 bits, so
//! that one which slips into a word or a register of the guest is seen at once.
#![forbid(unsafe_code)]

mod linux;
mod ops;
mod optee;
mod play;
mod ram;
mod vm;
mod windows;
mod world;

pub use linux::{Client, Message, Param, Way, header, result};
pub use ops::Op;
pub use optee::{Act, FakeOptee, Rpc, Shm, output};
pub use play::{Played, play, play_bytes};
pub use ram::{Pool, Ram};
pub use vm::{Recorder, Vm};
pub use world::{CLIENT, Entered, World};

/// Bytes of the host from the RAM of one guest to that of the next.
const RAM_STRIDE: u64 = 0x60_0000;

/// What bits 24 and up of every host address say; bits 24 to 31 say it again.
pub const HOST: u64 = 0xA5A5;

/// RAM of the first guest starts here in the host.
pub const RAM_PA: u64 = HOST << 24;

/// Shadow pages of the first guest start here in the host.
pub const POOL_PA: u64 = HOST << 24 | 0xC0_0000;

/// Returns where the RAM of this client of OP-TEE, 1 or 2, starts in the host.
pub fn ram_pa(client: u32) -> u64 {
    RAM_PA + u64::from(client - CLIENT) * RAM_STRIDE
}

/// Returns where its shadow pages start.
pub fn pool_pa(client: u32) -> u64 {
    POOL_PA + u64::from(client - CLIENT) * 0x20_0000
}

/// Where the guest thinks its RAM starts.
pub const RAM_IPA: u64 = 0x4000_0000;

/// Returns the client of OP-TEE whose RAM holds this host address.
fn owner(pa: u64) -> Option<u32> {
    let at = pa.checked_sub(RAM_PA).filter(|_| pa < POOL_PA)?;
    Some(CLIENT + (at / RAM_STRIDE) as u32)
}

/// Tells whether a word holds a host address, or half of one that tells.
pub fn is_host(word: u64) -> bool {
    let half = |half: u64| half >> 24 == HOST & 0xff;
    word >> 24 == HOST || half(word >> 32) || half(word & 0xFFFF_FFFF)
}
