//! Everything that is Arm's and not Rust's: system registers, exception vectors, physical calls.
//!
//! With `boot`, the only place for `asm!`.

pub mod cache;
pub mod cpu;
pub mod fault;
pub mod firmware;
pub mod guest;
pub mod mmio;
pub mod mmu;
pub mod sysreg;
pub mod timer;
