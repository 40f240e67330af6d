// SPDX-License-Identifier: MIT OR Apache-2.0

//! What stands between devices that master the bus and the board's memory.
//!
//! A device behind an SMMU that EL2 drives ([`smmus`]) reaches its guest's RAM alone while the guest
//! runs, and nothing before and after. A device without one reaches all memory: a guest may have it only if the manifest trusts it
//! (`direct-map`), and only the device itself can be stopped. Passing devices through (`vm/devices.rs`) asks here whether a
//! guest may have a device, and says when the guest starts and ends ([`Masters`]).

mod masters;
mod smmus;

pub use masters::Masters;
pub use smmus::{Report, close, init, look_at, reports};

use core::fmt;

use addr::Pa;
use board::NodeName;

/// Why a device can't be a guest's.
#[derive(Clone, Copy, Debug)]
pub enum DmaError {
    /// The guest's RAM is elsewhere for this device, which does DMA, than for the guest.
    Elsewhere(NodeName),
    /// This device may do DMA, for all that is known.
    Unknown(NodeName),
    /// Tables can't hold the registers by which EL2 stops the device, or the RAM that the device may reach.
    Map,
    /// The SMMU with registers here, which the device is behind, let it reach nothing when EL2 began, and nothing more can be
    /// had of it.
    Closed(Pa),
    /// That SMMU failed to do as it was asked.
    Smmu(Pa, smmu::Error),
}

impl fmt::Display for DmaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Elsewhere(name) => write!(
                f,
                "{name} does DMA, and no SMMU that EL2 can use holds it: set `direct-map = true`"
            ),
            Self::Unknown(name) => write!(
                f,
                "{name} may do DMA: set `direct-map = true`, or name the device in `no-dma` if you \
                 know that it does none"
            ),
            Self::Map => f.write_str("tables can't hold its registers or its guest's RAM"),
            Self::Closed(at) => write!(
                f,
                "the SMMU at {at} is of no use (see the warning): leave the device out"
            ),
            Self::Smmu(at, error) => write!(f, "the SMMU at {at} {error}"),
        }
    }
}
