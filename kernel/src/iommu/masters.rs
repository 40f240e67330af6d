// SPDX-License-Identifier: MIT OR Apache-2.0

//! A guest's devices that master the bus: what lets them reach memory, and stops them.

use addr::{PAGE_SIZE, Pa, PaRange};
use alloc::vec::Vec;
use board::{Device, Dma, ECAM_BUS, Streams};
use log::warn;
use stage2::{GuestRam, Tables};

use super::{
    DmaError,
    smmus::{self, Wall},
};
use crate::arch::{
    mmio::Mmio,
    mmu::{self, Kind},
};

/// Offset of a virtio transport's Status register (Virtio 1.2, section 4.2.2).
const VIRTIO_STATUS: u64 = 0x70;

/// Most streams that one step opens or shuts: the core's interrupts wait meanwhile.
const STEP: u32 = 512;

/// Bytes of ECAM that a device on a bus has, of eight functions (PCI Express Base Specification 6.0, 7.2.2).
const DEVICE: u64 = 8 * FUNCTION;
const FUNCTION: u64 = 1 << 12;
/// Offsets of a function's vendor id, command and header type (the same, 7.5.1.1).
const VENDOR: u64 = 0x00;
const COMMAND: u64 = 0x04;
const HEADER_TYPE: u64 = 0x0e;

/// A guest's devices that master the bus.
pub struct Masters {
    /// Names its translations.
    vmid: u16,
    /// What devices behind SMMUs reach: the guest's RAM. Not the guest's own tables, by which a device could use other
    /// devices' registers, and with a GICv2 the virtual CPU interface of whoever runs on some core.
    tables: Option<Tables>,
    virtio: Vec<Mmio>,
    /// ECAM of the first bus of each PCI host bridge: what is behind it masters the bus through functions on this one.
    buses: Vec<Mmio>,
    /// Devices behind SMMUs that are on, by their names in the manifest.
    streams: Vec<(&'static str, Streams)>,
    /// Some device reaches all memory.
    reaches_all: bool,
}

impl Masters {
    /// Makes those of the guest whose stage-2 translations have this VMID: none.
    pub const fn new(vmid: u16) -> Self {
        Self {
            vmid,
            tables: None,
            virtio: Vec::new(),
            buses: Vec::new(),
            streams: Vec::new(),
            reaches_all: false,
        }
    }

    /// Takes in `device`, which is called `name`, or says why the guest may not have it. `direct_map` is whether the guest's
    /// RAM has the board's addresses, `vouched` whether the manifest says that the device does no DMA.
    pub fn admit(
        &mut self,
        name: &'static str,
        device: &Device<'_>,
        ram: &GuestRam,
        (direct_map, vouched): (bool, bool),
    ) -> Result<(), DmaError> {
        let mut is_held = true;
        for &streams in &device.streams {
            match smmus::wall(streams.smmu) {
                Wall::On => {
                    let root = self.root(ram)?;
                    smmus::prepare(streams, self.vmid, root)?;
                    self.streams.push((name, streams));
                }
                Wall::Closed(at) => return Err(DmaError::Closed(at)),
                Wall::None => is_held = false,
            }
        }
        match device.dma {
            Dma::No => {}
            Dma::Behind(_) if is_held => {}
            _ if direct_map => self.reaches_all = true,
            Dma::Unknown(_) if vouched => {}
            Dma::Unknown(name) => return Err(DmaError::Unknown(name)),
            Dma::Behind(name) | Dma::Yes(name) => return Err(DmaError::Elsewhere(name)),
        }
        Ok(())
    }

    /// Returns the root of the tables for devices, which are made for the first one.
    fn root(&mut self, ram: &GuestRam) -> Result<Pa, DmaError> {
        if let Some(tables) = &self.tables {
            return Ok(tables.root());
        }
        let mut tables = Tables::new(mmu::pa_range());
        tables.map_ram(ram).map_err(|_| DmaError::Map)?;
        Ok(self.tables.insert(tables).root())
    }

    /// Takes in what EL2 knows how to stop of a device in `pages`, which nobody has had yet: virtio
    /// transports, and functions of a PCI host bridge.
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
        if let Some(host) = &device.pci
            && inside(&&host.ecam.start)
        {
            let first = PaRange {
                start: host.ecam.start,
                size: ECAM_BUS,
            };
            tables.map(first, Kind::Device).map_err(|_| DmaError::Map)?;
            // SAFETY: the tree says that this is ECAM, a mebibyte of it at least; it is mapped above, and EL2 uses it only
            // while the guest that has the bridge is stopped.
            self.buses
                .push(unsafe { Mmio::new(first.start.0, first.size) });
        }
        Ok(())
    }

    /// Tells the operator what `guest` can do with its devices, if that is more than with its own RAM.
    pub fn warn(&self, guest: &str) {
        if self.reaches_all {
            warn!(
                "guest {guest} reaches all of the board's memory by its devices' DMA: trust it as EL2"
            );
        }
    }

    /// Returns the device whose this stream of an SMMU is, if it is one of these.
    pub fn owner(&self, smmu: usize, stream: u32) -> Option<&'static str> {
        let has = |own: &Streams| own.smmu == smmu && smmus::run(*own).contains(stream);
        let found = self.streams.iter().find(|(_, streams)| has(streams));
        found.map(|(name, _)| *name)
    }

    /// Lets some more devices reach the guest's RAM, which is laid out: of all their streams, from number `done` on. Returns
    /// how many those were, 0 if there are no more.
    pub fn open(&self, done: u32) -> Result<u32, DmaError> {
        if done == 0 {
            // What the guest's last life or the firmware began must not go on in this one.
            self.buses.iter().for_each(disable);
        }
        self.step(done).map_or(Ok(0), |part| {
            smmus::open(part)?;
            Ok(part.count)
        })
    }

    /// Keeps some more devices from all memory, likewise. When it returns 0 none of them reaches any, and no access of
    /// theirs is under way. No core runs the guest.
    pub fn shut(&self, done: u32) -> Result<u32, DmaError> {
        if let Some(part) = self.step(done) {
            smmus::shut(part)?;
            return Ok(part.count);
        }
        let each = || self.streams.iter().map(|(_, streams)| streams.smmu);
        each().try_for_each(|smmu| smmus::invalidate(smmu, self.vmid))?;
        Ok(0)
    }

    /// Returns the next streams of one device, from number `done` of all on.
    fn step(&self, done: u32) -> Option<Streams> {
        let mut before = 0;
        for &(_, Streams { smmu, first, count }) in &self.streams {
            if done - before < count {
                let first = first + (done - before);
                let count = STEP.min(count - (done - before));
                return Some(Streams { smmu, first, count });
            }
            before += count;
        }
        None
    }

    /// Stops devices that can be told to. No core runs the guest.
    pub fn stop(&self) {
        // A device that went on would write to memory that is somebody else's by then.
        for transport in &self.virtio {
            transport.write(VIRTIO_STATUS, 0_u32);
        }
        // Those behind SMMUs are stopped there, and told of.
        if self.reaches_all {
            self.buses.iter().for_each(disable);
        }
    }
}

/// Makes each function on a PCI bus as it is after a reset in this: it neither masters the bus nor answers but to ECAM.
#[inline(never)]
fn disable(bus: &Mmio) {
    for device in (0..ECAM_BUS).step_by(DEVICE as usize) {
        let is_there = |function: u64| bus.read::<u16>(function + VENDOR) != u16::MAX;
        if !is_there(device) {
            continue;
        }
        let has_more = bus.read::<u8>(device + HEADER_TYPE) & 1 << 7 != 0;
        let end = device + if has_more { DEVICE } else { FUNCTION };
        let functions = (device..end).step_by(FUNCTION as usize);
        for function in functions.filter(|function| is_there(*function)) {
            bus.write(function + COMMAND, 0_u16);
            // What it had sent has arrived when this is answered.
            bus.read::<u16>(function + COMMAND);
        }
    }
}
