// SPDX-License-Identifier: MIT OR Apache-2.0

//! What an SMMU is driven by.

use addr::Pa;

use crate::Error;

/// The registers of an SMMU and the memory that it shares with EL2.
///
/// Memory is normal, inner shareable and write-back cacheable, as the SMMU sees it. Loads and stores are single-copy
/// atomic; words are little-endian (3.21.3).
pub trait Hardware {
    /// Reads the 32-bit register at `offset` from the start of page 0; page 1 begins at 0x10000 (6.1).
    fn read32(&mut self, offset: u64) -> u32;
    /// Writes the 32-bit register at `offset`.
    fn write32(&mut self, offset: u64, value: u32);
    /// Writes the 64-bit register at `offset`.
    fn write64(&mut self, offset: u64, value: u64);
    /// Loads the word at `at`.
    fn load(&mut self, at: Pa) -> u64;
    /// Stores the word at `at`.
    fn store(&mut self, at: Pa, word: u64);
    /// Stores zeros in `size` bytes at `at`, whole pages or entries of 64 bytes.
    fn zero(&mut self, at: Pa, size: u64);
    /// Lets the SMMU see all stores before anything that follows, and makes loads that follow happen after the register
    /// reads before: `dsb sy`.
    fn barrier(&mut self);
    /// Waits for a microsecond or so between two looks at a register.
    fn pause(&mut self);
}

/// Looks at the register called `name` until `done`, `polls` times at most.
pub fn poll<H: Hardware>(
    hardware: &mut H,
    polls: u32,
    name: &'static str,
    mut done: impl FnMut(&mut H) -> bool,
) -> Result<(), Error> {
    for _ in 0..polls {
        if done(hardware) {
            return Ok(());
        }
        hardware.pause();
    }
    Err(Error::Timeout(name))
}
