// SPDX-License-Identifier: MIT OR Apache-2.0

//! Devices of the board that a guest can be given.
//!
//! Stage 2 has 4 KiB pages, so what is given are the pages that a device's registers touch, with
//! all else that is in them: nothing in them may be the hypervisor's or the secure world's.

use crate::dma::{Dma, VIRTIO};
use crate::error::{NodeName, cut};
use crate::interrupt::{Controller, Interrupt};
use crate::pci::PciHost;
use crate::smmu::{self, MAX_STREAMS, Smmu, Streams, is_pci};
use crate::tree::{Cells, NodeContext, Tree};
use crate::{Board, gic};
use addr::{PAGE_SIZE, Pa, PaRange};
use arrayvec::ArrayVec;
use core::fmt;
use core::ops::ControlFlow;

/// Most ranges of registers of a device.
pub const MAX_REGISTERS: usize = 8;
/// Most interrupts of a device.
pub const MAX_INTERRUPTS: usize = 8;
/// Most clocks of a device.
pub const MAX_CLOCKS: usize = 4;
/// Most virtio transports in a device's pages.
pub const MAX_VIRTIO: usize = 16;

/// A device that a guest may have.
pub struct Device<'a> {
    place: NodeContext<'a>,
    /// Registers, in the order of the node's `reg`; of a PCI host bridge ECAM and then its windows.
    pub registers: ArrayVec<PaRange, MAX_REGISTERS>,
    /// Interrupts, all of them SPIs; of a PCI host bridge those of pins.
    pub interrupts: ArrayVec<Interrupt, MAX_INTERRUPTS>,
    /// Frequencies of the device's clocks in Hz, in the order of the node's `clocks`; none unless
    /// all are fixed, so that a guest can be told of them without a way to change them.
    pub clocks: ArrayVec<u32, MAX_CLOCKS>,
    /// The registers of each virtio transport in its pages, whether it is this device or not.
    pub virtio: ArrayVec<Pa, MAX_VIRTIO>,
    /// Whether it masters the bus, or another device in its pages does.
    pub dma: Dma,
    /// The streams that it and the others in its pages name, whatever `dma` says, those of a PCI host bridge with all
    /// that its `iommu-map` has; runs that touch are one.
    pub streams: ArrayVec<Streams, MAX_STREAMS>,
    /// What a PCI host bridge is besides.
    pub pci: Option<PciHost>,
    /// How many other devices have registers in its pages.
    pub neighbours: usize,
}

/// Why a device can't be given to a guest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DeviceError {
    /// No node has this path or alias.
    NoNode,
    /// The node's `status` is not "okay".
    Disabled,
    /// The secure world uses it.
    Secure,
    /// The node is a bus: what is on it are the devices.
    Bus,
    /// The node is a PCI host bridge without ECAM.
    NotEcam,
    /// The node is a PCI host bridge of which this is wrong.
    Bridge(&'static str),
    /// The node has no registers.
    NoRegisters,
    /// The node's `reg` is damaged, has too many entries, or one that the CPUs cannot reach.
    Registers,
    /// The tree breaks off, so that what else is in its pages cannot be known.
    Damaged,
    /// An interrupt is no SPI of the GIC, or there are too many.
    Interrupts,
    /// This of the hypervisor's is the device, or is in the same page.
    Hypervisor(&'static str),
    /// The device's registers are in RAM or in reserved memory.
    Memory,
    /// The secure world uses this device, which is in the same page.
    SecureNeighbour(NodeName),
    /// The hypervisor uses the same interrupt.
    OwnInterrupt(u32),
    /// The guest of this number has it, or another device in the same page.
    Given(usize),
    /// The guest of this number has a device with the same interrupt.
    GivenInterrupt(usize, u32),
    /// The guest of this number has a device that masters the bus by the same stream.
    GivenStream(usize, u32),
    /// There are more of something than there is room for.
    TooMany(&'static str, usize),
}

impl fmt::Display for DeviceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoNode => {
                "the board's device tree has no such node: name it by its whole path or by an alias"
            }
            Self::Disabled => "its status in the board's device tree is not okay",
            Self::Secure => "it is the secure world's",
            Self::NotEcam => {
                "it is a PCI host bridge without plain ECAM (pci-host-ecam-generic), which a guest can't drive without \
                 what it is made of beside: clocks, resets, a PHY"
            }
            Self::Bridge(what) => return write!(f, "it is a PCI host bridge whose {what}"),
            Self::Bus => "it is a bus: name a device on it",
            Self::NoRegisters => "it has no registers",
            Self::Registers => {
                "its reg is damaged, has more than 8 entries, or one that the CPUs cannot reach"
            }
            Self::Damaged => "the board's device tree is damaged: load it again, whole",
            Self::Interrupts => "it has an interrupt that is no SPI of the GIC, or more than 8",
            Self::Hypervisor(what) => {
                return write!(
                    f,
                    "it is, or shares 4 KiB of registers with, the hypervisor's {what}"
                );
            }
            Self::Memory => "its registers lie in memory that is RAM or reserved",
            Self::SecureNeighbour(name) => {
                return write!(
                    f,
                    "it shares 4 KiB of registers with {name}, which is the secure world's"
                );
            }
            Self::OwnInterrupt(intid) => {
                return write!(f, "the hypervisor uses its interrupt, INTID {intid}");
            }
            Self::Given(guest) => {
                return write!(
                    f,
                    "guest number {guest} has it, or a device in the same 4 KiB of registers"
                );
            }
            Self::GivenInterrupt(guest, intid) => {
                return write!(
                    f,
                    "guest number {guest} has a device with the same interrupt, INTID {intid}"
                );
            }
            Self::GivenStream(guest, stream) => {
                return write!(
                    f,
                    "guest number {guest} has a device with the same stream id, {stream:#x}, in its SMMU"
                );
            }
            Self::TooMany(what, most) => {
                return write!(f, "there are more than {most} {what}: name fewer devices");
            }
        })
    }
}

impl core::error::Error for DeviceError {}

impl Board {
    /// Returns the device called `name`, a path or an alias, in the tree `blob`, which is the one
    /// that this board was read from.
    pub fn device<'a>(&self, blob: &'a [u8], name: &str) -> Result<Device<'a>, DeviceError> {
        let tree = Tree::open(blob).map_err(|_| DeviceError::NoNode)?;
        let place = tree.named(name).ok_or(DeviceError::NoNode)?;
        usable(&place, name)?;
        let gic = Controller::find(&tree).ok().flatten();
        let gic = gic.map(|(_, controller)| controller);
        let pci = match gic.filter(|_| is_pci(&place)) {
            Some(gic) => Some(PciHost::read(&place, gic)?),
            None => None,
        };
        let registers = match &pci {
            Some(host) => Ok(host.registers()),
            None => registers(&place),
        };
        for range in registers.iter().flatten() {
            self.is_free(&pages_of(range))?;
        }
        if pci.is_none() && is_bus(&place) {
            return Err(DeviceError::Bus);
        }
        let mut device = Device {
            registers: registers?,
            interrupts: self.interrupts(gic, &place, pci.as_ref())?,
            clocks: fixed_clocks(&tree, &place).unwrap_or_default(),
            virtio: ArrayVec::new(),
            dma: Dma::No,
            streams: ArrayVec::new(),
            pci,
            neighbours: 0,
            place,
        };
        device.look_around(&tree, &self.smmus)?;
        Ok(device)
    }

    fn interrupts(
        &self,
        gic: Option<Controller>,
        place: &NodeContext,
        pci: Option<&PciHost>,
    ) -> Result<ArrayVec<Interrupt, MAX_INTERRUPTS>, DeviceError> {
        let all = match pci {
            Some(host) => host.interrupts(),
            None => gic.and_then(|gic| gic.all(place)),
        };
        let all: ArrayVec<Interrupt, _> = all.ok_or(DeviceError::Interrupts)?;
        let own = [
            self.console.and_then(|console| console.interrupt),
            self.optee.and_then(|optee| optee.interrupt),
        ];
        let smmus = self
            .smmus
            .iter()
            .flat_map(|smmu| [smmu.events, smmu.errors]);
        for Interrupt { intid, .. } in &all {
            if *intid < 32 {
                return Err(DeviceError::Interrupts);
            }
            if own
                .into_iter()
                .chain(smmus.clone())
                .flatten()
                .any(|own| own.intid == *intid)
            {
                return Err(DeviceError::OwnInterrupt(*intid));
            }
        }
        Ok(all)
    }

    /// Checks that neither memory nor what the hypervisor drives is in `pages`.
    fn is_free(&self, pages: &PaRange) -> Result<(), DeviceError> {
        let console = self.console.map(|console| console.registers);
        if self.gic.frames().any(|frame| frame.overlaps(pages)) {
            Err(DeviceError::Hypervisor("interrupt controller"))
        } else if console.is_some_and(|console| pages_of(&console).overlaps(pages)) {
            Err(DeviceError::Hypervisor("console"))
        } else if self.smmus.iter().any(|smmu| smmu.registers.overlaps(pages)) {
            Err(DeviceError::Hypervisor("IOMMU"))
        } else if self
            .memory
            .iter()
            .chain(&self.reserved)
            .any(|memory| memory.overlaps(pages))
        {
            Err(DeviceError::Memory)
        } else {
            Ok(())
        }
    }
}

fn usable(place: &NodeContext, name: &str) -> Result<(), DeviceError> {
    let last = name.rsplit('/').next().unwrap_or_default();
    if name.starts_with('/') && last.split_once('@').map(|(_, unit)| unit) != place.unit_address() {
        // Without the unit address it would be the first of several.
        Err(DeviceError::NoNode)
    } else if place.is_secure() {
        Err(DeviceError::Secure)
    } else if !place.is_enabled() {
        Err(DeviceError::Disabled)
    } else {
        Ok(())
    }
}

fn is_bus(place: &NodeContext) -> bool {
    place.property("ranges").is_some() || is_pci(place)
}

/// Returns the frequencies of a node's clocks, if every one is a `fixed-clock` (Linux's binding).
fn fixed_clocks(tree: &Tree, place: &NodeContext) -> Option<ArrayVec<u32, MAX_CLOCKS>> {
    let mut clocks = ArrayVec::new();
    for entry in place.property("clocks")?.chunks(4) {
        let hz = fixed_clock(tree, Cells(entry).next()?)?;
        clocks.try_push(hz).ok()?;
    }
    Some(clocks)
}

fn fixed_clock(tree: &Tree, phandle: u32) -> Option<u32> {
    let mut hz = None;
    let walked = tree.each_of_all(&mut |place| {
        if place.cell("phandle") != Some(phandle) {
            return ControlFlow::Continue(());
        }
        if place.is(&["fixed-clock"]) && place.cell("#clock-cells") == Some(0) {
            hz = place.cell("clock-frequency");
        }
        ControlFlow::Break(())
    });
    walked.ok().and(hz)
}

fn registers(place: &NodeContext) -> Result<ArrayVec<PaRange, MAX_REGISTERS>, DeviceError> {
    let mut registers = ArrayVec::new();
    for range in place.reg() {
        let range = range.map_err(|_| DeviceError::Registers)?;
        registers
            .try_push(range)
            .map_err(|_| DeviceError::Registers)?;
    }
    match (place.entries().count(), registers.len()) {
        (0, _) => Err(DeviceError::NoRegisters),
        (all, reached) if all != reached => Err(DeviceError::Registers),
        _ => Ok(registers),
    }
}

/// Returns the whole pages that hold `range`, but for the last page of the address space.
fn pages_of(range: &PaRange) -> PaRange {
    let start = range.start.page();
    let last = Pa(range.end().0 - 1).page();
    let size = (last.0 - start.0).saturating_add(PAGE_SIZE);
    PaRange::new(start, size).unwrap_or(*range)
}

pub(crate) fn is_whole_pages(range: &PaRange) -> bool {
    pages_of(range) == *range
}

impl<'a> Device<'a> {
    /// Returns the node's name, without the unit address.
    pub fn name(&self) -> &'a str {
        self.place.name()
    }

    /// Returns the pages that hold the registers: one run for each range of them.
    pub fn pages(&self) -> ArrayVec<PaRange, MAX_REGISTERS> {
        self.registers.iter().map(pages_of).collect()
    }

    /// Leaves out what of a PCI host bridge's windows is not below `end`, and returns how many there were of it.
    pub fn cut(&mut self, end: Pa) -> Result<usize, DeviceError> {
        let Some(host) = &mut self.pci else {
            return Ok(0);
        };
        let lost = host.cut(end)?;
        self.registers = host.registers();
        Ok(lost)
    }

    /// Returns the properties that mean the same in another tree: without those about its children
    /// and those known to refer to other nodes, and without `reg` and `interrupts`, whose form
    /// depends on where the node is. The names of clocks go with [`Device::clocks`].
    pub fn properties(&self) -> impl Iterator<Item = (&'a str, &'a [u8])> + use<'a> {
        let clocked = !self.clocks.is_empty();
        self.place
            .properties()
            .filter(move |(name, _)| stands_alone(name) || clocked && *name == "clock-names")
    }

    /// Looks at every node that has registers in this device's pages.
    fn look_around(&mut self, tree: &Tree, smmus: &[Smmu]) -> Result<(), DeviceError> {
        let pages = self.pages();
        let mut found = 0_usize;
        let mut outcome = Ok(());
        let walked = tree.each_of_all(&mut |place| {
            let inside = |range: &PaRange| pages.iter().any(|page| page.overlaps(range));
            let Some(range) = place.reg().map_while(Result::ok).find(inside) else {
                return ControlFlow::Continue(());
            };
            found += 1;
            outcome = self.tolerate(place, range, smmus);
            match outcome {
                Ok(()) => ControlFlow::Continue(()),
                Err(_) => ControlFlow::Break(()),
            }
        });
        outcome?;
        walked.map_err(|_| DeviceError::Damaged)?;
        self.neighbours = found.saturating_sub(1);
        Ok(())
    }

    /// Lets a node with registers at `range` be in this device's pages if it is the device or a
    /// part of it.
    fn tolerate(
        &mut self,
        place: &NodeContext,
        range: PaRange,
        smmus: &[Smmu],
    ) -> Result<(), DeviceError> {
        let has = |name| place.property(name).is_some();
        let mut joined = Some(());
        let behind = smmu::named(place, smmus, &mut |run| {
            joined = joined.and_then(|()| smmu::join(&mut self.streams, run));
        });
        let many = DeviceError::TooMany("runs of stream ids in its pages", MAX_STREAMS);
        joined.ok_or(many)?;
        self.dma = self.dma.or(Dma::of(place, behind));
        if place.is_secure() {
            Err(DeviceError::SecureNeighbour(cut(place.name())))
        } else if place.string("device_type") == Some("memory") {
            Err(DeviceError::Memory)
        } else if place.is(gic::V2) || place.is(gic::V3) || has("msi-controller") {
            // Its frames as they are used leave out the aliases that they are in.
            Err(DeviceError::Hypervisor("interrupt controller"))
        } else if has("#iommu-cells") {
            Err(DeviceError::Hypervisor("IOMMU"))
        } else if place.is(&["arm,armv7-timer-mem"]) {
            Err(DeviceError::Hypervisor("timer"))
        } else if place.is(VIRTIO) {
            let many = DeviceError::TooMany("virtio transports in its pages", MAX_VIRTIO);
            self.virtio.try_push(range.start).map_err(|_| many)
        } else {
            Ok(())
        }
    }
}

/// Tells whether a property refers to no other node (Linux's bindings, and the Devicetree
/// Specification 2.3 and 2.4).
fn stands_alone(name: &str) -> bool {
    const OTHERS: &[&str] = &[
        "reg",
        "status",
        "secure-status",
        "ranges",
        "dma-ranges",
        "phandle",
        "linux,phandle",
        "interrupts",
        "interrupts-extended",
        "interrupt-parent",
        "interrupt-controller",
        "interrupt-map",
        "interrupt-map-mask",
        "clocks",
        "clock-names",
        "resets",
        "reset-names",
        "power-domains",
        "power-domain-names",
        "operating-points-v2",
        "dmas",
        "dma-names",
        "iommus",
        "iommu-map",
        "iommu-map-mask",
        "msi-parent",
        "msi-map",
        "phys",
        "phy-names",
        "phy-handle",
        "nvmem-cells",
        "nvmem-cell-names",
        "memory-region",
        "interconnects",
        "mboxes",
        "mbox-names",
        "hwlocks",
        "pwms",
        "thermal-sensors",
        "cooling-device",
        "trusted-foundations",
        "mmc-pwrseq",
        "wakeup-parent",
    ];
    let known = OTHERS.contains(&name)
        || name.starts_with('#')
        || ["pinctrl-", "assigned-clock"]
            .iter()
            .any(|start| name.starts_with(start))
        || ["-supply", "-gpio", "-gpios"]
            .iter()
            .any(|end| name.ends_with(end))
        || matches!(name, "gpio" | "gpios");
    !known
}
