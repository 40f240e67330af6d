// SPDX-License-Identifier: MIT OR Apache-2.0

//! Devices of the board that are a guest's own.
//!
//! A device lies where it lies on the board, for the guest too. Its interrupts are EL2's to
//! acknowledge; what the guest ends is linked to the physical interrupt by its list register.

use core::fmt;

use addr::{Ipa, Pa, PaRange};
use alloc::vec::Vec;
use board::{AssignedDevices, Board, Device, DeviceError, Interrupt, PciHost};
use log::info;
use manifest::Guest;
use platform::{VcpuId, VmId};
use rate::Rate;
use stage2::{GuestRam, Tables, ipa_bits};

use super::{Vm, rates::DeviceInterrupts};
use crate::arch::mmu;
use crate::iommu::{DmaError, Masters};
use crate::irq;

/// All that is passed through to one guest.
pub struct Devices {
    passed: Vec<PassthroughDevice>,
    routes: Vec<IrqRoute>,
    /// Those that master the bus.
    pub masters: Masters,
    interrupts: DeviceInterrupts,
}

/// What the guest's tree says of a device.
struct PassthroughDevice {
    name: &'static str,
    registers: Vec<(Ipa, u64)>,
    interrupts: Vec<(u32, bool)>,
    clocks: Vec<u32>,
    properties: Vec<(&'static str, &'static [u8])>,
    bridge: Option<Bridge>,
}

/// What it says of a PCI host bridge besides.
struct Bridge {
    buses: (u8, u8),
    pin_mask: [u32; 4],
    coherent: bool,
    windows: Vec<guesttree::PciWindow>,
    pins: Vec<guesttree::PciPin>,
}

impl Bridge {
    fn describe(&self) -> guesttree::PciHost<'_> {
        guesttree::PciHost {
            buses: self.buses,
            windows: &self.windows,
            pins: &self.pins,
            pin_mask: self.pin_mask,
            coherent: self.coherent,
        }
    }
}

impl PassthroughDevice {
    fn describe(&self) -> guesttree::Device<'_> {
        guesttree::Device {
            name: self.name,
            registers: &self.registers,
            interrupts: &self.interrupts,
            clocks: &self.clocks,
            properties: &self.properties,
            pci: self.bridge.as_ref().map(Bridge::describe),
        }
    }
}

/// A physical SPI and the guest's.
#[derive(Clone, Copy)]
struct IrqRoute {
    physical: u32,
    virtual_: u32,
}

/// Why a device can't be a guest's.
#[derive(Clone, Copy, Debug)]
pub enum PassError {
    /// The board says no.
    Board(DeviceError),
    /// It masters the bus.
    Dma(DmaError),
    /// It lies where the guest has something else.
    Collides,
    /// The virtual platform has no INTID left.
    Interrupts,
    /// The tables can't hold its pages.
    Map,
}

impl fmt::Display for PassError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Board(error) => write!(f, "{error}"),
            Self::Dma(error) => write!(f, "{error}"),
            Self::Collides => {
                f.write_str("it lies where the guest has RAM or a device of the virtual platform")
            }
            Self::Interrupts => f.write_str("the guest has too many interrupts"),
            Self::Map => f.write_str("its registers lie beyond the guest address space"),
        }
    }
}

impl From<DeviceError> for PassError {
    fn from(error: DeviceError) -> Self {
        Self::Board(error)
    }
}

impl From<DmaError> for PassError {
    fn from(error: DmaError) -> Self {
        Self::Dma(error)
    }
}

/// What devices are found in and given out of.
pub struct Source<'a> {
    /// The board.
    pub board: &'a Board,
    /// Its device tree.
    pub tree: &'static [u8],
    /// What is given already.
    pub given: AssignedDevices,
    /// EL2's own tables.
    pub tables: &'a mut mmu::Tables,
}

/// The guest that gets them.
pub struct Owner<'a> {
    /// Its number.
    pub number: usize,
    /// What the manifest says of it.
    pub guest: &'a Guest<'static>,
    /// Its RAM.
    pub ram: &'a GuestRam,
    /// Its tables.
    pub tables: &'a mut Tables,
    /// The number of its first vCPU's core, to which interrupts go.
    pub core: usize,
    /// How often they may come, if that is bounded.
    pub interrupt_rate: Option<Rate>,
}

impl Devices {
    /// Tells whether nothing is passed through.
    pub fn is_empty(&self) -> bool {
        self.passed.is_empty()
    }

    /// Gives a guest the devices of the manifest, or names the one that it can't have.
    pub fn give(
        source: &mut Source<'_>,
        mut owner: Owner<'_>,
    ) -> Result<Self, (&'static str, PassError)> {
        let mut devices = Self {
            passed: Vec::new(),
            routes: Vec::new(),
            masters: Masters::new(controls::vmid(VmId(owner.number as u16))),
            interrupts: DeviceInterrupts::new(owner.interrupt_rate),
        };
        for name in owner.guest.devices.iter() {
            devices
                .add(source, &mut owner, name)
                .map_err(|error| (name, error))?;
        }
        devices.masters.warn(owner.guest.name);
        Ok(devices)
    }

    fn add(
        &mut self,
        source: &mut Source<'_>,
        owner: &mut Owner<'_>,
        name: &'static str,
    ) -> Result<(), PassError> {
        let mut device = source.board.device(source.tree, name)?;
        let lost = device.cut(Pa(1 << ipa_bits(mmu::pa_range())))?;
        let vouched = owner.guest.no_dma.iter().any(|other| other == name);
        let trust = (owner.guest.direct_map, vouched);
        self.masters.admit(name, &device, owner.ram, trust)?;
        for pages in source.given.give(owner.number, &device)? {
            map_for_guest(owner, pages)?;
            self.masters.add(source.tables, &device, pages)?;
        }
        let interrupts = device
            .interrupts
            .iter()
            .map(|interrupt| self.route(*interrupt, owner.core))
            .collect::<Option<Vec<_>>>()
            .ok_or(PassError::Interrupts)?;
        report(owner.guest.name, name, &device, lost);
        let registers = device.registers.iter();
        let registers = registers.map(|range| (same(range.start), range.size));
        let mut passed = PassthroughDevice {
            name: device.name(),
            registers: registers.collect(),
            interrupts,
            clocks: device.clocks.to_vec(),
            properties: device.properties().collect(),
            bridge: None,
        };
        if let Some(host) = device.pci {
            let bridge = self.bridge(&host, owner.core);
            passed.bridge = Some(bridge.ok_or(PassError::Interrupts)?);
            // A bridge's node has ECAM alone in `reg`, interrupts in its map, and nothing of the board's besides.
            passed.registers.truncate(1);
            passed.interrupts.clear();
            passed.clocks.clear();
            passed.properties.clear();
        }
        self.passed.push(passed);
        Ok(())
    }

    /// Returns a PCI host bridge as the guest sees it.
    fn bridge(&mut self, host: &PciHost, core: usize) -> Option<Bridge> {
        let windows = host.windows.iter().map(|window| guesttree::PciWindow {
            space: window.space,
            bus: window.bus,
            start: same(window.cpu.start),
            size: window.cpu.size,
        });
        let pins = host.pins.iter().map(|pin| {
            let (key, interrupt) = (pin.key, self.route(pin.interrupt, core)?);
            Some(guesttree::PciPin { key, interrupt })
        });
        Some(Bridge {
            windows: windows.collect(),
            pins: pins.collect::<Option<_>>()?,
            buses: host.buses,
            pin_mask: host.pin_mask,
            coherent: host.coherent,
        })
    }

    /// Returns the guest's INTID for a physical SPI, the same if it can be; and its trigger.
    fn route(&mut self, interrupt: Interrupt, core: usize) -> Option<(u32, bool)> {
        let Interrupt { intid, edge } = interrupt;
        let known = self.routes.iter().find(|route| route.physical == intid);
        if let Some(route) = known {
            return Some((route.virtual_, edge));
        }
        let free = |candidate: &u32| {
            *candidate > platform::LAST_OWN_SPI
                && *candidate < platform::INTIDS as u32
                && self.routes.iter().all(|route| route.virtual_ != *candidate)
        };
        let mut others = platform::LAST_OWN_SPI..platform::INTIDS as u32;
        let virtual_ = Some(intid).filter(free).or_else(|| others.find(free))?;
        irq::route_spi(intid, core, edge);
        self.routes.push(IrqRoute {
            physical: intid,
            virtual_,
        });
        Some((virtual_, edge))
    }

    /// Returns what the guest's tree says of the devices.
    pub fn describe(&self) -> Vec<guesttree::Device<'_>> {
        self.passed
            .iter()
            .map(PassthroughDevice::describe)
            .collect()
    }

    /// Lets the interrupts come. The guest is about to start.
    pub fn start(&self) {
        self.interrupts.forget();
        for route in &self.routes {
            irq::enable_spi(route.physical);
        }
    }

    /// Returns when interrupts that came too often come again, in ticks of CNTPCT.
    pub fn due(&self) -> Option<u64> {
        self.interrupts.due()
    }

    /// Ends the wait of interrupts that came too often. They come again if the guest runs.
    pub fn resume(&self, runs: bool) {
        self.interrupts.forget();
        for route in self.routes.iter().filter(|_| runs) {
            irq::resume_spi(route.physical);
        }
    }

    /// Returns how many interrupts there were, and how often they had to wait.
    pub fn counts(&self) -> (u64, u32) {
        self.interrupts.shown()
    }

    /// Lets no interrupt come any more, and stops the devices' DMA. No core runs the guest.
    pub fn stop(&self) {
        self.interrupts.forget();
        self.hold();
        self.masters.stop();
    }

    fn hold(&self) {
        for route in &self.routes {
            irq::disable_spi(route.physical);
        }
    }
}

/// Returns the guest sees devices where the board has them.
fn same(at: Pa) -> Ipa {
    Ipa(at.0)
}

fn map_for_guest(owner: &mut Owner<'_>, pages: PaRange) -> Result<(), PassError> {
    let (start, end) = (same(pages.start), same(pages.end()));
    let apart = |low: Ipa, high: Ipa| end <= low || high <= start;
    let ram = owner.ram.regions().iter();
    let beside_ram = ram
        .map(|region| (region.ipa, Ipa(region.ipa.0 + region.size)))
        .all(|(low, high)| apart(low, high));
    if !beside_ram || !apart(platform::DEVICES_BASE, platform::DEVICES_END) {
        return Err(PassError::Collides);
    }
    owner
        .tables
        .map_device(start, pages.start, pages.size)
        .map_err(|_| PassError::Map)
}

fn report(guest: &str, name: &str, device: &Device<'_>, lost: usize) {
    info!(
        "guest {guest} has {name} at {}, and {} more in the same pages",
        device.registers[0].start, device.neighbours
    );
    if lost > 0 {
        info!(
            "guest {guest} does without {lost} of the windows of {name}, or a part of each: beyond its addresses"
        );
    }
}

/// Returns the guest whose the physical SPI `intid` is, and its INTID there.
fn owner(intid: u32) -> Option<(&'static Vm, u32)> {
    super::all().iter().find_map(|vm| {
        let mut routes = vm.devices.routes.iter();
        let route = routes.find(|route| route.physical == intid)?;
        Some((vm, route.virtual_))
    })
}

/// What has become of a device's interrupt.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fired {
    /// It is nobody's.
    Nobodys,
    /// The guest has it, and it stays active.
    Handed,
    /// The same, and the guest's devices have had their rate: this core lets them go on when it is [`Devices::due`].
    Last,
}

/// Hands the physical SPI `intid` to the guest whose it is.
pub fn fired(intid: u32) -> Fired {
    let Some((vm, virtual_)) = owner(intid) else {
        return Fired::Nobodys;
    };
    vm.signal(|gic| gic.hw_pending(VcpuId(0), virtual_, intid));
    if vm.devices.interrupts.count() {
        vm.devices.hold();
        return Fired::Last;
    }
    Fired::Handed
}
