// SPDX-License-Identifier: MIT OR Apache-2.0

//! An SMMUv3 that holds devices within their guests' stage-2 tables.
//!
//! EL2 uses the least of an SMMU (Arm IHI 0070, sections in brackets below and beside the code): its non-secure
//! programming interface, a linear stream table, and stage 2 alone. A stream that no guest has is invalid in the table:
//! its accesses abort, and an event names it. A stream that a guest has is translated by the guest's own tables, under its
//! VMID. Nothing is allocated, and each wait is bounded.
//!
//! [`Smmu`] does all this by a [`Hardware`], which is registers and memory: the board's, or the tests' model. A caller
//! - calls [`close`] for each SMMU before anything else, so that what the firmware left running reaches nothing;
//! - asks [`Features::read`] how large the tables have to be, lays them out, and calls [`Smmu::init`];
//! - lays out a guest's streams once by [`Smmu::prepare`]; calls [`Smmu::open`] at its start, [`Smmu::shut`] and then
//!   [`Smmu::invalidate`] at its end;
//! - at an interrupt, and now and then, takes what [`Smmu::next_event`], [`Smmu::overflowed`] and [`Smmu::errors`] have, and
//!   lets a [`Causes`] decide what is told.
#![no_std]
#![forbid(unsafe_code)]

mod causes;
mod command;
mod error;
mod event;
mod features;
mod hardware;
mod queue;
mod registers;
mod smmu;
mod ste;
mod streams;

pub use causes::{Cause, Causes, Told};
pub use error::{CommandError, Error, GlobalErrors};
pub use event::{Event, Kind};
pub use features::{Features, Lack};
pub use hardware::Hardware;
pub use smmu::{Setup, Smmu, close, table_size};
pub use streams::Streams;
