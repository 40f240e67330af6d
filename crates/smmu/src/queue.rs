// SPDX-License-Identifier: MIT OR Apache-2.0

//! The indexes of a queue: each has one bit more than the queue's size, which tells full from empty (3.5.1).

/// A queue by the logarithm of its entries.
#[derive(Clone, Copy, Debug)]
pub struct Ring(pub u32);

impl Ring {
    /// Returns the index and wrap bit in what a PROD or CONS register holds.
    pub const fn pointer(self, register: u32) -> u32 {
        register & ((2 << self.0) - 1)
    }

    /// Returns the entry that a pointer stands for.
    pub const fn index(self, pointer: u32) -> u64 {
        (pointer & ((1 << self.0) - 1)) as u64
    }

    /// Returns the pointer after this one.
    pub const fn next(self, pointer: u32) -> u32 {
        self.pointer(pointer.wrapping_add(1))
    }

    /// Tells whether the producer has to wait for the consumer.
    pub const fn full(self, prod: u32, cons: u32) -> bool {
        self.pointer(prod ^ cons) == 1 << self.0
    }
}
