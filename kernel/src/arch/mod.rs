// SPDX-License-Identifier: MIT OR Apache-2.0

//! Everything that is Arm's and not Rust's: system registers, exception vectors, physical calls.
//!
//! With `boot`, the only place for `asm!`.

pub mod barrier;
pub mod cache;
pub mod cpu;
pub mod fault;
pub mod firmware;
pub mod gic_cpu_interface;
pub mod guest;
pub mod identification;
pub mod list_registers;
pub mod mmio;
pub mod mmu;
mod registers;
pub mod timer;
pub mod words;
