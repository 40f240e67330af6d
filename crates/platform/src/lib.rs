// SPDX-License-Identifier: MIT OR Apache-2.0

//! The words that the crates share about a machine, be it the board or a guest's: who is who, how
//! firmware is called, which GIC there is, where things are.
//!
//! The items of `map` are the address map of the virtual platform that every guest sees.
#![no_std]
#![forbid(unsafe_code)]

mod conduit;
mod console;
pub mod flattened;
mod map;
mod workarounds;

pub use conduit::{Conduit, UnknownConduit};
pub use console::{AccessWidth, ConsoleKind, RegisterLayout};
pub use map::*;
pub use workarounds::Workarounds;

/// The number of a guest, from 0 in the manifest's order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct VmId(pub u16);

/// The number of a vCPU inside its guest, from 0. It is also Aff0 of the vCPU's MPIDR_EL1.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct VcpuId(pub u8);

/// The architecture of an interrupt controller.
///
/// A guest's is the board's, whose virtual CPU interface it uses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum GicVersion {
    /// GICv2 (IHI 0048B): memory-mapped CPU interface, no affinity routing.
    V2,
    /// GICv3 or later (IHI 0069) with affinity routing alone (GICD_CTLR.ARE = 1).
    V3,
}

impl GicVersion {
    /// Both, the older one first.
    pub const ALL: [Self; 2] = [Self::V2, Self::V3];

    /// Returns its number as people write it.
    pub const fn number(self) -> &'static str {
        match self {
            Self::V2 => "2",
            Self::V3 => "3",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_numbered_as_people_write_them() {
        assert_eq!(GicVersion::ALL.map(GicVersion::number), ["2", "3"]);
    }

    #[test]
    fn the_last_device_is_the_uart() {
        assert_eq!(DEVICES_END.0, 0x0900_1000);
    }
}
