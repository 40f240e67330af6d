// SPDX-License-Identifier: MIT OR Apache-2.0

//! What all virtio devices of a guest share: the registers of virtio-mmio, version 2 (Virtio 1.2, section 4.2), and
//! split virtqueues (2.7). Nothing legacy.
//!
//! [`Transport`] is the registers as a value: a write returns what is to be done by an [`Effect`]. [`Queue`] is the
//! device's side of one ring, a value of its own, so that the queues of a device can be behind locks of their own and
//! a core that fills one guest's receive queue takes nothing else of that guest. Rings and buffers are in the guest's
//! RAM, which [`Memory`] lends; the guest may rewrite all of it at any moment, so each word is read once and checked
//! then.
//!
//! What a guest does wrong with a register is ignored; what it does wrong with a ring is a [`Fault`], by which the
//! queue stops until it is set up anew, and the caller says so with [`Transport::fail`] (DEVICE_NEEDS_RESET).
//!
//! Two features of rings are left out:
//! - INDIRECT_DESC would cost the driver an allocation for each chain of several pieces, and EL2 one more table of
//!   the guest's to distrust. A queue of 256 holds 80 chains of three pieces.
//! - RING_PACKED saves a real device bus accesses; to a copying loop both rings are memory.
//!
//! EVENT_IDX is offered: a guest of several cores kicks less while a visit or a rate already sees to its queue, and a
//! receiver is interrupted once for what comes before it looks.
#![no_std]
#![forbid(unsafe_code)]

mod budget;
mod chain;
mod memory;
mod queue;
mod registers;
mod transport;

pub use budget::Budget;
pub use chain::{Chain, Cursor, MAX_SEGMENTS};
pub use memory::{Memory, NotRam};
pub use queue::{Fault, Layout, MAX_SIZE, Queue};
pub use transport::{EVENT_IDX, Effect, Queues, Transport, VERSION_1};
