// SPDX-License-Identifier: MIT OR Apache-2.0

//! Socket devices of guests (Virtio 1.2, section 5.10): streams between guests that the manifest connects, and to EL2
//! itself.
//!
//! As with network devices a device is three values: [`Device`], its registers; [`Transmit`] and [`Receive`], its
//! queues. The core of the guest that sends does the work, in visits of a bounded length, and has one receive side at
//! a time. The event queue is accepted and never used: its one event is for guests that move to another machine.
//!
//! Between guests EL2 carries packets and knows nothing of connections: those are the two drivers' business, and so
//! is their credit. What EL2 sees to is who speaks to whom: the addresses of a packet are checked, and written anew.
//! A packet is not lost for want of a buffer, as a stream must not be: it waits in front of its sender's queue until
//! the receiver has one. A receiver that leaves it waiting too long is stuck: its packets are answered with a reset
//! until it takes one again, so that it holds up nobody's other streams for longer than that, once.
//!
//! A kick of a receive queue makes visits due: of the transmit sides that wait for this guest ([`Next::Buffer`]), and of
//! its own, as EL2 may have something for it. The order of locks is that of network devices, with [`Control`]'s where a
//! receive side's is.
//!
//! [`Control`] is EL2's own end, at address [`EL2`]: a few streams of a guest, each with two small buffers.
#![no_std]
#![forbid(unsafe_code)]

mod control;
mod device;
mod packet;
mod peers;
mod receive;
mod transmit;

pub use control::{Control, STREAMS, Stream};
pub use device::{DEVICE_ID, Device, EVENT, RECEIVE, TRANSMIT};
pub use packet::EL2;
pub use peers::{MAX_PEERS, Peer, Peers, Refused};
pub use receive::Receive;
pub use transmit::{Counters, Ends, Next, Transmit, Visit};
