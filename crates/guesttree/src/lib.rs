// SPDX-License-Identifier: MIT OR Apache-2.0

//! Writes the device tree that a guest is started with.
//!
//! It describes the virtual platform of [`platform`] and nothing of the board: a guest
//! finds every address in it that it may use. Bindings are those of Linux's
//! Documentation/devicetree/bindings, as the nodes' `compatible` names them.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

use addr::Ipa;
use core::fmt;
use nodes::Nodes;
use platform::{Conduit, GicVersion};
pub use template::Template;

mod nodes;
mod template;
#[cfg(test)]
mod tests;

/// What differs from guest to guest.
#[derive(Clone, Copy, Debug)]
pub struct GuestTree<'a> {
    /// vCPUs, 1 to [`platform::MAX_VCPUS`]; each one's MPIDR affinity is its number in Aff0.
    pub vcpus: u8,
    /// RAM as (start, bytes), at least one.
    pub ram: &'a [(Ipa, u64)],
    /// /chosen bootargs.
    pub bootargs: &'a str,
    /// The initrd's first byte and the one behind its last.
    pub initrd: Option<(Ipa, Ipa)>,
    /// The interrupt controller.
    pub gic: GicVersion,
    /// How the guest calls PSCI and OP-TEE.
    pub conduit: Conduit,
    /// OP-TEE, if it is for this guest.
    pub tee: Option<Tee>,
    /// Devices of the board that are the guest's own.
    pub devices: &'a [Device<'a>],
    /// Whether it has a watchdog.
    pub watchdog: bool,
    /// Hz of the generic timer, where CNTFRQ_EL0 is not to be believed.
    pub timer_frequency: Option<u32>,
}

/// The /firmware/optee node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Tee {
    /// The SPI of asynchronous notifications, edge-triggered, if they are offered.
    pub interrupt: Option<u32>,
}

/// A device of the board.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Device<'a> {
    /// Name of the node, without the unit address.
    pub name: &'a str,
    /// Registers as (start, bytes), at least one.
    pub registers: &'a [(Ipa, u64)],
    /// Interrupts as (INTID of an SPI, whether it is edge-triggered).
    pub interrupts: &'a [(u32, bool)],
    /// Frequencies in Hz of its clocks, all of them fixed.
    pub clocks: &'a [u32],
    /// Other properties as (name, value), to be copied as they are.
    pub properties: &'a [(&'a str, &'a [u8])],
    /// What a PCI host bridge is besides, whose registers are ECAM.
    pub pci: Option<PciHost<'a>>,
}

/// A PCI host bridge.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PciHost<'a> {
    /// The first bus and the last.
    pub buses: (u8, u8),
    /// Where it has memory and I/O space.
    pub windows: &'a [PciWindow],
    /// Interrupts of functions' pins.
    pub pins: &'a [PciPin],
    /// Which bits of a function's address and pin are compared with those of `pins`.
    pub pin_mask: [u32; 4],
    /// Whether DMA is coherent with the vCPUs' caches.
    pub coherent: bool,
}

/// A window of a PCI host bridge.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PciWindow {
    /// The first cell of a PCI address: which space.
    pub space: u32,
    /// Where it begins in that space.
    pub bus: u64,
    /// Where the guest sees it.
    pub start: Ipa,
    /// Bytes.
    pub size: u64,
}

/// A pin of a PCI function, or of several.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PciPin {
    /// The function's address, of three cells, and the pin.
    pub key: [u32; 4],
    /// The interrupt: the INTID of an SPI, and whether it is edge-triggered.
    pub interrupt: (u32, bool),
}

/// Why there is no tree.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Error {
    /// No vCPU, or more than the platform has.
    Vcpus,
    /// No RAM, an empty region, or one that wraps.
    Ram,
    /// An interrupt that is no SPI of the platform.
    Interrupt,
    /// A device without registers.
    Device,
    /// `bootargs` has a NUL.
    Bootargs,
    /// The writer failed: ours to mend.
    Writer,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Vcpus => "the guest's tree: vCPUs must be 1 to 8",
            Self::Ram => "the guest's tree: a region of RAM is empty or wraps, or there is none",
            Self::Interrupt => "the guest's tree: an interrupt is no SPI of the platform",
            Self::Device => "the guest's tree: a device has no registers",
            Self::Bootargs => "the guest's tree: bootargs must not have a NUL",
            Self::Writer => "the guest's tree could not be written",
        })
    }
}

impl core::error::Error for Error {}

impl From<vm_fdt::Error> for Error {
    fn from(_: vm_fdt::Error) -> Self {
        Self::Writer
    }
}

/// Writes the tree: a few KiB.
pub fn build(guest: &GuestTree) -> Result<Template, Error> {
    check(guest)?;
    let mut nodes = Nodes::new()?;
    nodes.root(|nodes| {
        nodes.chosen(guest)?;
        nodes.cpus(guest.vcpus)?;
        for (start, size) in guest.ram {
            nodes.memory(*start, *size)?;
        }
        nodes.psci(guest.conduit)?;
        nodes.timer(guest.timer_frequency)?;
        nodes.gic(guest.gic, guest.vcpus)?;
        nodes.uart()?;
        nodes.devices(guest.devices)?;
        if guest.watchdog {
            nodes.watchdog()?;
        }
        guest
            .tee
            .map_or(Ok(()), |tee| nodes.firmware(guest.conduit, tee))
    })?;
    Template::new(nodes.finish()?.into()).ok_or(Error::Writer)
}

fn check(guest: &GuestTree) -> Result<(), Error> {
    let sane = |(start, size): &(Ipa, u64)| *size > 0 && start.checked_add(*size).is_some();
    let is_spi = |intid: u32| (32..platform::INTIDS as u32).contains(&intid);
    if !(1..=platform::MAX_VCPUS).contains(&usize::from(guest.vcpus)) {
        Err(Error::Vcpus)
    } else if guest.ram.is_empty() || !guest.ram.iter().all(sane) {
        Err(Error::Ram)
    } else if !interrupts(guest).all(is_spi) {
        Err(Error::Interrupt)
    } else if guest
        .devices
        .iter()
        .any(|device| device.registers.is_empty())
    {
        Err(Error::Device)
    } else if guest.bootargs.contains('\0') {
        Err(Error::Bootargs)
    } else {
        Ok(())
    }
}

fn interrupts(guest: &GuestTree) -> impl Iterator<Item = u32> {
    let tee = guest.tee.and_then(|tee| tee.interrupt);
    let devices = guest.devices.iter().flat_map(|device| device.interrupts);
    let hosts = guest.devices.iter().filter_map(|device| device.pci);
    let pins = hosts.flat_map(|host| host.pins).map(|pin| &pin.interrupt);
    tee.into_iter()
        .chain(devices.chain(pins).map(|(intid, _)| *intid))
}
