// SPDX-License-Identifier: MIT OR Apache-2.0

//! QEMU's edu (docs/specs/edu.rst): a page of memory of its own, and a DMA engine that takes 100 ms for any transfer.

use super::{BUFFER, Page, pci::Function};
use crate::ensure;
use crate::outcome::Outcome;
use crate::rt::{read32, read64, time, write32, write64};

/// Vendor and device.
pub const ID: u32 = 0x11e8_1234;
/// Milliseconds after which a transfer has ended, if one is under way.
pub const TRANSFER: u64 = 100;

const LIVENESS: u64 = 0x04;
const INTERRUPTS: u64 = 0x24;
const ACKNOWLEDGE: u64 = 0x64;
const SOURCE: u64 = 0x80;
const DESTINATION: u64 = 0x88;
const COUNT: u64 = 0x90;
const COMMAND: u64 = 0x98;
/// Where its memory is, as its engine names it.
const MEMORY: u64 = 0x4_0000;

const RUN: u64 = 1 << 0;
const OUT: u64 = 1 << 1;
const RAISE: u64 = 1 << 2;

/// The device.
pub struct Edu {
    registers: u64,
    /// Its interrupt.
    pub intid: u32,
}

impl Edu {
    /// Starts the device behind `function`; what it was doing has ended.
    pub fn new(function: Function) -> Result<Self, &'static str> {
        let registers = function.start()?;
        let intid = function.interrupt()?;
        let edu = Self { registers, intid };
        write32(registers + LIVENESS, 0x1234_5678);
        if read32(registers + LIVENESS) != !0x1234_5678 {
            return Err("its registers are not there");
        }
        if !time::eventually(|| !edu.is_busy()) {
            return Err("a transfer of before does not end");
        }
        edu.acknowledge();
        Ok(edu)
    }

    fn is_busy(&self) -> bool {
        read64(self.registers + COMMAND) & RUN != 0
    }

    /// Ends its interrupt. Returns what it was about.
    pub fn acknowledge(&self) -> u32 {
        let status = read32(self.registers + INTERRUPTS);
        write32(self.registers + ACKNOWLEDGE, status);
        status
    }

    /// Begins to read `count` bytes at `from` into its memory at `at`.
    pub fn begin_read(&self, from: u64, at: usize, count: usize) {
        self.begin(from, inside(at, count), count, 0);
    }

    /// Begins to write `count` bytes to `to` from its memory at `at`.
    pub fn begin_write(&self, to: u64, at: usize, count: usize) {
        self.begin(inside(at, count), to, count, OUT);
    }

    fn begin(&self, source: u64, destination: u64, count: usize, command: u64) {
        write64(self.registers + SOURCE, source);
        write64(self.registers + DESTINATION, destination);
        write64(self.registers + COUNT, count as u64);
        // SAFETY: a barrier, so that the device sees what was written to RAM.
        unsafe { core::arch::asm!("dsb sy") };
        write64(self.registers + COMMAND, RUN | RAISE | command);
    }

    /// Waits for the end of what it does.
    pub fn wait(&self) -> Outcome {
        ensure!(
            time::eventually(|| !self.is_busy()),
            "the transfer does not end"
        );
        Ok(())
    }

    /// Reads into its memory, and waits for the end.
    pub fn read(&self, from: u64, at: usize, count: usize) -> Outcome {
        self.begin_read(from, at, count);
        self.wait()
    }

    /// Writes from its memory, and waits for the end.
    pub fn write(&self, to: u64, at: usize, count: usize) -> Outcome {
        self.begin_write(to, at, count);
        self.wait()
    }

    /// Fills its memory from the beginning of a page.
    pub fn load(&self, page: Page) -> Outcome {
        self.read(page.address(), 0, BUFFER)
    }

    /// Writes its memory to the beginning of a page.
    pub fn store(&self, page: Page) -> Outcome {
        self.write(page.address(), 0, BUFFER)
    }
}

/// Returns how the engine names its memory at `at`. QEMU ends if it is told to go beyond.
fn inside(at: usize, count: usize) -> u64 {
    assert!(at + count <= BUFFER);
    MEMORY + at as u64
}
