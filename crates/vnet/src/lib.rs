// SPDX-License-Identifier: MIT OR Apache-2.0

//! Network devices of guests (Virtio 1.2, section 5.1), and the switches between them.
//!
//! A device is three values, each of which may be behind a lock of its own: [`Device`], its registers; [`Transmit`]
//! and [`Receive`], its two queues as ports of a [`Switch`]. The switch itself is a table that the manifest has made:
//! which port has which address. It learns nothing from frames and has no state.
//!
//! All work is done by the core of the guest that sends, when it kicks, in [`Transmit::visit`]s of a bounded length:
//! frame by frame, receiver by receiver, from one guest's RAM straight to the other's. During a visit the caller
//! holds the sender's transmit side, and one receive side at a time. So locks are taken in one order (transmit sides
//! before receive sides, no two of either), and what a receiver does with its own registers and rings, however wrong,
//! is between it and EL2.
//!
//! A kernel takes its locks in the order device, transmit side, receive side. A write of a register holds the device's
//! until the queues that its effect names are set, so that no start overtakes a reset. Interrupts are raised behind a
//! visit, when its locks are free again: a device that was reset in the meantime knows not to.
//!
//! A receiver without a buffer loses the frame, and it is counted: nobody waits for somebody else's guest. A sender
//! that exceeds its [`Rate`] waits with what is in its queue.
//!
//! What the device offers is what costs nothing: MAC, MTU, STATUS. It does not offer
//! - MRG_RXBUF: up to an MTU of 1,500 a frame is one descriptor either way. With 9,000 Linux posts chains of five
//!   descriptors and 51 of them fill its queue; EL2 reads of a chain only as far as the frame goes. Merged buffers
//!   would save the receiver memory, and cost EL2 a second pass over the used ring for each long frame.
//! - checksums and segmentation: they would pay on long streams, as Linux sends 64 KiB by one descriptor chain then,
//!   at the price of frames of which each is longer than a visit may be. To be measured first.
//! - a control queue: the address is the manifest's, and filters are the switch.
#![no_std]
#![forbid(unsafe_code)]

mod device;
mod mac;
mod rate;
mod receive;
mod switch;
mod transmit;

pub use device::{DEVICE_ID, Device, RECEIVE, TRANSMIT};
pub use mac::Mac;
pub use rate::Rate;
pub use receive::{Receive, ReceiveCounters};
pub use switch::{MAX_PORTS, Port, Ports, Refused, Switch};
pub use transmit::{Next, Receivers, Transmit, TransmitCounters, Visit};

/// Bytes of `struct virtio_net_hdr` in front of each frame (5.1.6). All of them are zero in what is received but
/// num_buffers; without offloads those of what is sent say nothing.
const HEADER: u32 = 12;
/// Bytes of an Ethernet header: to, from, type.
const ETHERNET: u32 = 14;
/// Bytes of a VLAN tag, which a frame may have besides what the MTU counts.
const TAG: u32 = 4;
