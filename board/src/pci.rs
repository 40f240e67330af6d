// SPDX-License-Identifier: MIT OR Apache-2.0

//! PCI host bridges whose configuration space is memory, ECAM, and that need no other driving (Linux binding
//! host-generic-pci, IEEE 1275's PCI binding).

use crate::devices::{DeviceError, MAX_REGISTERS, is_whole_pages};
use crate::interrupt::{Controller, Interrupt};
use crate::smmu::buses;
use crate::tree::{Cells, NodeContext};
use addr::{Pa, PaRange};
use arrayvec::ArrayVec;

/// Most windows of a bridge: with its ECAM they are a device's ranges of registers.
pub const MAX_WINDOWS: usize = MAX_REGISTERS - 1;
/// Most entries of a bridge's `interrupt-map`.
pub const MAX_PINS: usize = 32;

const ECAM: &[&str] = &["pci-host-ecam-generic"];
/// Bytes of ECAM that a bus has (PCI Express Base Specification 6.0, 7.2.2).
pub const ECAM_BUS: u64 = 1 << 20;

/// A PCI host bridge with ECAM.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PciHost {
    /// ECAM of its buses.
    pub ecam: PaRange,
    /// The first bus and the last.
    pub buses: (u8, u8),
    /// Where the CPUs see its memory and I/O space.
    pub windows: ArrayVec<PciWindow, MAX_WINDOWS>,
    /// The interrupts of its functions' pins.
    pub pins: ArrayVec<PciPin, MAX_PINS>,
    /// Which bits of a function's address and pin are compared with those of `pins`.
    pub pin_mask: [u32; 4],
    /// Whether DMA is coherent with the CPUs' caches.
    pub coherent: bool,
}

/// A part of the memory or I/O space of a bridge that the CPUs see.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PciWindow {
    /// What space it is of: the first cell of a PCI address (IEEE 1275's PCI binding, 2.2.1.1).
    pub space: u32,
    /// Where it begins there.
    pub bus: u64,
    /// Where the CPUs see it: whole pages.
    pub cpu: PaRange,
}

impl PciWindow {
    /// Tells whether it is of the memory that has 32 bits of addresses.
    fn is_memory_32(&self) -> bool {
        self.space >> 24 & 0b11 == 0b10
    }

    /// Returns what of it lies below `end`.
    fn below(self, end: Pa) -> Option<Self> {
        let size = self.cpu.end().min(end).0.checked_sub(self.cpu.start.0)?;
        let cpu = PaRange::new(self.cpu.start, size)?;
        Some(Self { cpu, ..self })
    }
}

/// A pin of a function, or of several.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PciPin {
    /// The function's address, of three cells, and the pin, masked.
    pub key: [u32; 4],
    /// Where the pin leads.
    pub interrupt: Interrupt,
}

impl PciHost {
    /// Reads the node of a PCI host bridge, which must have ECAM.
    pub(crate) fn read(place: &NodeContext, gic: Controller) -> Result<Self, DeviceError> {
        let cells = |name, cells| place.cell(name) == Some(cells);
        if !place.is(ECAM) {
            return Err(DeviceError::NotEcam);
        }
        if !cells("#address-cells", 3) || !cells("#size-cells", 2) {
            return Err(DeviceError::Bridge(CELLS));
        }
        let buses = buses(place).ok_or(DeviceError::Bridge(BUSES))?;
        let pin_mask = match place.property("interrupt-map-mask") {
            Some(mask) => key(&mut Cells(mask)).ok_or(DeviceError::Interrupts)?,
            None => [u32::MAX; 4],
        };
        let (buses, ecam) = ecam(place, buses).ok_or(DeviceError::Bridge(BUSES))?;
        Ok(Self {
            ecam,
            buses,
            windows: windows(place).ok_or(DeviceError::Bridge(WINDOWS))?,
            pins: pins(place, gic, pin_mask).ok_or(DeviceError::Interrupts)?,
            pin_mask,
            coherent: place.property("dma-coherent").is_some(),
        })
    }

    /// Returns ECAM and all windows.
    pub(crate) fn registers(&self) -> ArrayVec<PaRange, MAX_REGISTERS> {
        let windows = self.windows.iter().map(|window| window.cpu);
        core::iter::once(self.ecam).chain(windows).collect()
    }

    /// Returns the interrupts that pins lead to, each once, if there are no more than `N`.
    pub(crate) fn interrupts<const N: usize>(&self) -> Option<ArrayVec<Interrupt, N>> {
        let mut all = ArrayVec::<Interrupt, N>::new();
        for PciPin { interrupt, .. } in &self.pins {
            if all.iter().all(|known| known.intid != interrupt.intid) {
                all.try_push(*interrupt).ok()?;
            }
        }
        Some(all)
    }

    /// Leaves out what of the windows is not below `end`, and returns how many there were of it.
    pub(crate) fn cut(&mut self, end: Pa) -> Result<usize, DeviceError> {
        let before = self.windows.len();
        let below = self.windows.iter().filter_map(|window| window.below(end));
        let whole = self.windows.iter().filter(|window| window.cpu.end() <= end);
        let lost = before - whole.count();
        self.windows = below.collect();
        if self.ecam.end() <= end && self.windows.iter().any(PciWindow::is_memory_32) {
            Ok(lost)
        } else {
            Err(DeviceError::Bridge(REACH))
        }
    }
}

const CELLS: &str = "#address-cells or #size-cells are not those of PCI, 3 and 2";
const BUSES: &str = "bus-range is damaged, or reg is not ECAM for all of it";
const WINDOWS: &str =
    "ranges are damaged, more than 7, not of whole pages of 4 KiB, or out of the CPUs' reach";
const REACH: &str = "ECAM, or all 32-bit memory, lies beyond the guest address space";

/// Returns the buses and their ECAM, from the first entry of `reg`. Where the node has no `bus-range`, there are as many as
/// have ECAM.
fn ecam(place: &NodeContext, (first, last): (u8, u8)) -> Option<((u8, u8), PaRange)> {
    let (start, size) = place.entries().next()?.ok()?;
    let reg = place.to_pa(start, size)?;
    let room = reg.size / ECAM_BUS;
    let count = u64::from(last - first) + 1;
    let count = match place.property("bus-range") {
        Some(_) => Some(count).filter(|count| *count <= room)?,
        None => count.min(room),
    };
    let last = first + u8::try_from(count.checked_sub(1)?).ok()?;
    let ecam = PaRange::new(reg.start, count * ECAM_BUS)?;
    is_whole_pages(&ecam).then_some(((first, last), ecam))
}

/// Returns the windows onto memory and I/O space.
fn windows(place: &NodeContext) -> Option<ArrayVec<PciWindow, MAX_WINDOWS>> {
    let mut windows = ArrayVec::new();
    let mut ranges = Cells(place.property("ranges")?);
    while !ranges.0.is_empty() {
        let (space, bus) = (ranges.next()?, ranges.take(2)?);
        let start = ranges.take(place.address_cells())?;
        let cpu = place.to_pa(start, ranges.take(2)?)?;
        let window = PciWindow { space, bus, cpu };
        // Configuration space that goes by a window has not the form of ECAM.
        if space >> 24 & 0b11 != 0 {
            is_whole_pages(&cpu).then_some(())?;
            windows.try_push(window).ok()?;
        }
    }
    Some(windows)
}

/// Returns the map of interrupts, if all of it leads to the GIC.
fn pins(
    place: &NodeContext,
    gic: Controller,
    mask: [u32; 4],
) -> Option<ArrayVec<PciPin, MAX_PINS>> {
    let map = place.property("interrupt-map").unwrap_or_default();
    if map.is_empty() {
        return Some(ArrayVec::new());
    }
    (place.cell("#interrupt-cells") == Some(1)).then_some(())?;
    let mut pins = ArrayVec::new();
    let mut rest = Cells(map);
    while !rest.0.is_empty() {
        let own = key(&mut rest)?;
        let interrupt = gic.parent(&mut rest)?;
        let key = core::array::from_fn(|n| own[n] & mask[n]);
        pins.try_push(PciPin { key, interrupt }).ok()?;
    }
    Some(pins)
}

fn key(cells: &mut Cells) -> Option<[u32; 4]> {
    Some([cells.next()?, cells.next()?, cells.next()?, cells.next()?])
}
