// SPDX-License-Identifier: MIT OR Apache-2.0

//! A PCI host bridge with ECAM, as the guest's tree has it (Linux binding host-generic-pci; PCI Local Bus 3.0, 6.1 and 6.2).

use crate::rt::window::{As, show};
use crate::rt::{env, gic, read32, write32};

const BRIDGE: &str = "pci-host-ecam-generic";
/// Registers of a function's configuration space.
const COMMAND: u64 = 0x04;
const BAR_0: u64 = 0x10;
const PIN: u64 = 0x3c;
/// Memory space and bus mastering on, INTx not masked.
const MEMORY_AND_MASTER: u32 = 0b110;

/// A function on the first bus.
pub struct Function {
    /// Its number there: device and function, as in an address of configuration space.
    number: u64,
    ecam: u64,
}

impl Function {
    /// Finds function 0 of the device of this vendor (low half) and device id.
    pub fn find(id: u32) -> Result<Self, &'static str> {
        let reg = env::property_of(BRIDGE, "reg").ok_or("no PCI host bridge in the tree")?;
        let ecam = Cells(reg).next_long().ok_or("no ECAM")?;
        let mut functions = (0..32).map(|device| Self {
            number: device << 3,
            ecam,
        });
        let found = functions.find(|function| function.read(0) == id);
        found.ok_or("the device is not on the first bus")
    }

    fn register(&self, register: u64) -> u64 {
        show(self.ecam + (self.number << 12) + register, As::Device)
    }

    fn read(&self, register: u64) -> u32 {
        read32(self.register(register))
    }

    fn write(&self, register: u64, value: u32) {
        write32(self.register(register), value);
    }

    /// Gives the function its registers, the first BAR, a place in the bridge's 32-bit memory, and lets it master the bus.
    /// Returns where the registers are.
    pub fn start(&self) -> Result<u64, &'static str> {
        self.write(COMMAND, 0);
        self.write(BAR_0, u32::MAX);
        let size = (!(self.read(BAR_0) & !0xf)).wrapping_add(1);
        let (bus, cpu) = memory().ok_or("the bridge has no 32-bit memory")?;
        let place = bus.next_multiple_of(u64::from(size.max(1)));
        self.write(BAR_0, place as u32);
        self.write(COMMAND, MEMORY_AND_MASTER);
        Ok(cpu + (place - bus))
    }

    /// Returns the INTID of its interrupt pin.
    pub fn interrupt(&self) -> Result<u32, &'static str> {
        let pin = self.read(PIN) >> 8 & 0xff;
        let own = [(self.number << 8) as u32, 0, 0, pin];
        let mask = env::property_of(BRIDGE, "interrupt-map-mask").ok_or("no mask of pins")?;
        let mut mask = Cells(mask);
        let wanted = own.map(|cell| cell & mask.next().unwrap_or(u32::MAX));
        let map = env::property_of(BRIDGE, "interrupt-map").ok_or("no map of pins")?;
        find_pin(Cells(map), wanted).ok_or("its pin is not in the map")
    }
}

/// Returns where the bridge has 32-bit memory: on the bus, and for the CPUs.
fn memory() -> Option<(u64, u64)> {
    const SPACE: u32 = 3 << 24;
    const MEMORY_32: u32 = 2 << 24;
    let mut ranges = Cells(env::property_of(BRIDGE, "ranges")?);
    loop {
        let space = ranges.next()?;
        let (bus, cpu) = (ranges.next_long()?, ranges.next_long()?);
        ranges.next_long()?;
        if space & SPACE == MEMORY_32 {
            return Some((bus, cpu));
        }
    }
}

/// Returns the INTID to which `map` leads from `wanted`, and makes it level-sensitive.
fn find_pin(mut map: Cells, wanted: [u32; 4]) -> Option<u32> {
    let unit = gic_address_cells();
    loop {
        let key = [map.next()?, map.next()?, map.next()?, map.next()?];
        for _ in 0..1 + unit {
            map.next()?;
        }
        let [_type, number, _flags] = [map.next()?, map.next()?, map.next()?];
        if key == wanted {
            gic::set_edge(number + 32, false);
            return Some(number + 32);
        }
    }
}

/// Returns the cells of a unit address below the GIC, which each entry of a map has.
fn gic_address_cells() -> u32 {
    ["arm,gic-v3", "arm,cortex-a15-gic", "arm,gic-400"]
        .iter()
        .find_map(|gic| Cells(env::property_of(gic, "#address-cells")?).next())
        .unwrap_or(0)
}

/// Cells of a property.
struct Cells(&'static [u8]);

impl Cells {
    fn next(&mut self) -> Option<u32> {
        let (cell, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u32::from_be_bytes(*cell))
    }

    /// Returns two cells.
    fn next_long(&mut self) -> Option<u64> {
        Some(u64::from(self.next()?) << 32 | u64::from(self.next()?))
    }
}
