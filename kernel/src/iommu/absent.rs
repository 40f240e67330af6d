// SPDX-License-Identifier: MIT OR Apache-2.0

//! A board without an IOMMU: a device reaches all memory, at the board's addresses. Only a guest
//! whose RAM is at these addresses can use one, and only the device itself can be stopped.

use addr::{PAGE_SIZE, Pa, PaRange};
use alloc::vec::Vec;
use board::{Device, Dma};
use log::warn;

use super::DmaError;
use crate::arch::{
    mmio::Mmio,
    mmu::{self, Kind},
};

/// Offset of a virtio transport's Status register (Virtio 1.2, section 4.2.2).
const VIRTIO_STATUS: u64 = 0x70;

/// A guest's devices that master the bus.
#[derive(Default)]
pub struct Masters {
    virtio: Vec<Mmio>,
}

impl Masters {
    /// Tells whether a guest may have `device`. `direct_map` is whether the guest's RAM has the
    /// board's addresses, `vouched` whether the manifest says that the device does no DMA.
    pub fn admit(device: &Device<'_>, direct_map: bool, vouched: bool) -> Result<(), DmaError> {
        match device.dma {
            _ if direct_map => Ok(()),
            Dma::No => Ok(()),
            Dma::Unknown(_) if vouched => Ok(()),
            Dma::Unknown(name) => Err(DmaError::Unknown(name)),
            Dma::Behind(name) | Dma::Yes(name) => Err(DmaError::Elsewhere(name)),
        }
    }

    /// Takes in what EL2 knows how to stop of a device in `pages`, which nobody has had yet: virtio
    /// transports.
    pub fn add(
        &mut self,
        tables: &mut mmu::Tables,
        device: &Device<'_>,
        pages: PaRange,
    ) -> Result<(), DmaError> {
        let inside = |at: &&Pa| pages.start <= **at && **at < pages.end();
        let mut transports = device.virtio.iter().filter(inside).peekable();
        if transports.peek().is_some() {
            tables.map(pages, Kind::Device).map_err(|_| DmaError::Map)?;
        }
        // SAFETY: the tree says that these registers are a virtio transport's; they are mapped
        // above, and EL2 uses them only while the guest that has the device is stopped.
        let frame = |at: &Pa| unsafe { Mmio::new(at.0, PAGE_SIZE) };
        self.virtio.extend(transports.map(frame));
        Ok(())
    }

    /// Tells the operator what `guest` can do with devices, if it has RAM that they reach.
    pub fn warn(guest: &str) {
        warn!(
            "guest {guest} reaches all of the board's memory by its devices' DMA: trust it as EL2"
        );
    }

    /// Stops the devices. No core runs the guest.
    pub fn stop(&self) {
        // A device that went on would write to memory that is somebody else's by then.
        for transport in &self.virtio {
            transport.write(VIRTIO_STATUS, 0_u32);
        }
    }
}
