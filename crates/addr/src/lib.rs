// SPDX-License-Identifier: MIT OR Apache-2.0

//! The address types every other crate shares.
//!
//! A physical address and a guest's intermediate physical address are both a number below
//! 2^52, and confusing them is the worst mistake a hypervisor can make. Here they are two
//! types with no conversion between them: only a stage-2 translation turns one into the other.
#![no_std]
#![forbid(unsafe_code)]

use core::fmt;

/// Size in bytes of a page: stage 1 at EL2, stage 2 and OP-TEE's page lists all use the 4 KiB granule.
pub const PAGE_SIZE: u64 = 4096;

/// Returns the bits of a physical address that `pa_range` stands for: ID_AA64MMFR0_EL1.PARange, or an
/// SMMU's IDR5.OAS. At most the 48 that descriptors without FEAT_LPA2 hold.
pub const fn pa_bits(pa_range: u64) -> u32 {
    match pa_range {
        0 => 32,
        1 => 36,
        2 => 40,
        3 => 42,
        4 => 44,
        _ => 48,
    }
}

macro_rules! address {
    ($(#[$doc:meta])* $name:ident, $tag:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(pub u64);

        impl $name {
            /// Returns `self + bytes`, or `None` if that wraps.
            pub const fn checked_add(self, bytes: u64) -> Option<Self> {
                match self.0.checked_add(bytes) {
                    Some(sum) => Some(Self(sum)),
                    None => None,
                }
            }

            /// Returns the start of the 4 KiB page that holds this address.
            pub const fn page(self) -> Self {
                Self(self.0 & !(PAGE_SIZE - 1))
            }

            /// Returns the bytes between the start of the page and this address.
            pub const fn page_offset(self) -> u64 {
                self.0 & (PAGE_SIZE - 1)
            }

            /// Tells whether this address is a multiple of `align`, which is a power of two.
            pub const fn is_aligned(self, align: u64) -> bool {
                self.0 & (align - 1) == 0
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($tag, ":{:#x}"), self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:#x}", self.0)
            }
        }
    };
}

address!(
    /// A physical address: what EL2 and the secure world see.
    Pa,
    "pa"
);
address!(
    /// An intermediate physical address: what a guest believes is physical.
    Ipa,
    "ipa"
);

/// A non-empty run of physical memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PaRange {
    /// The first byte.
    pub start: Pa,
    /// Bytes, at least 1; `start + size` does not wrap.
    pub size: u64,
}

impl PaRange {
    /// Makes the run of `size` bytes from `start`, or `None` if it is empty or wraps.
    pub const fn new(start: Pa, size: u64) -> Option<Self> {
        match start.checked_add(size) {
            Some(_) if size > 0 => Some(Self { start, size }),
            _ => None,
        }
    }

    /// Returns one past the last byte.
    pub const fn end(&self) -> Pa {
        Pa(self.start.0 + self.size)
    }

    /// Tells whether the two runs share a byte.
    pub const fn overlaps(&self, other: &Self) -> bool {
        self.start.0 < other.end().0 && other.start.0 < self.end().0
    }

    /// Tells whether `other` lies wholly inside this run.
    pub const fn contains(&self, other: &Self) -> bool {
        self.start.0 <= other.start.0 && other.end().0 <= self.end().0
    }
}
