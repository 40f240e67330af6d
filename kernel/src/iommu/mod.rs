// SPDX-License-Identifier: MIT OR Apache-2.0

//! What stands between devices that master the bus and the board's memory.
//!
//! Passing devices through (`vm/devices.rs`) asks here whether a guest may have such a device, and
//! says when the guest has ended: the devices must be still before its RAM is somebody else's. So far
//! there is one answer, that of a board without an IOMMU that EL2 can drive. A driver is a module
//! beside `absent` with a `Masters` of its own, chosen here by what the board has.

mod absent;

pub use absent::Masters;

use core::fmt;

use board::NodeName;

/// Why a device can't be a guest's.
#[derive(Clone, Copy, Debug)]
pub enum DmaError {
    /// The guest's RAM is elsewhere for this device, which does DMA, than for the guest.
    Elsewhere(NodeName),
    /// This device may do DMA, for all that is known.
    Unknown(NodeName),
    /// EL2's tables can't hold the registers by which it stops the device.
    Map,
}

impl fmt::Display for DmaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Elsewhere(name) => write!(f, "{name} does DMA: set `direct-map = true`"),
            Self::Unknown(name) => write!(
                f,
                "{name} may do DMA: set `direct-map = true`, or name the device in `no-dma` if you \
                 know that it does none"
            ),
            Self::Map => f.write_str("EL2's tables can't hold its registers"),
        }
    }
}
