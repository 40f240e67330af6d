//! Both sides of the mediator, as instances, for host tests and the fuzzer: guest RAM that the
//! guest rewrites while it is read ([`Ram`]), shadow pages ([`Pool`]), an OP-TEE with guests,
//! threads, buffers and sessions ([`FakeOptee`]), and a [`World`] that drives a
//! [`mediator::Guest`] between them and checks after every step what must always hold.
//!
//! Every host address starts with the tag [`HOST`], in its upper and in its lower 32 bits, so
//! that one which slips into a word or a register of the guest is seen at once.
#![forbid(unsafe_code)]

mod linux;
mod ops;
mod optee;
mod ram;
mod world;

pub use linux::{Client, Message, Param, Way};
pub use ops::{Op, Played, play, play_bytes};
pub use optee::{Act, FakeOptee, Rpc, Shm, output};
pub use ram::{Pool, Ram};
pub use world::{CLIENT, Entered, Recorder, World};

/// What bits 24 and up of every host address say; bits 24 to 31 say it again.
pub const HOST: u64 = 0xA5A5;

/// Guest RAM starts here in the host.
pub const RAM_PA: u64 = HOST << 24;

/// Shadow pages start here in the host.
pub const POOL_PA: u64 = HOST << 24 | 0xC0_0000;

/// Where the guest thinks its RAM starts.
pub const RAM_IPA: u64 = 0x4000_0000;

/// Whether a word holds a host address, or half of one that tells.
pub fn is_host(word: u64) -> bool {
    let half = |half: u64| half >> 24 == HOST & 0xff;
    word >> 24 == HOST || half(word >> 32) || half(word & 0xFFFF_FFFF)
}
