// SPDX-License-Identifier: MIT OR Apache-2.0

//! The stage-2 translation tables, DDI 0487 D8.2: 39-bit IPA, 4 KiB granule, walks start at level 1.

use aarch64_paging::{
    Mapping,
    descriptor::{PhysicalAddress, Stage2Attributes as Attr, VirtualAddress},
    idmap::IdTranslation,
    paging::{Constraints, MemoryRegion, Stage2},
};
use addr::{Ipa, Pa, pa_bits};

pub use aarch64_paging::MapError;

use crate::{GuestRam, RamRegion};

/// Level at which walks start.
const ROOT_LEVEL: usize = 1;

/// Normal memory, write-back cacheable, inner shareable, read, write and execute.
const RAM: Attr = Attr::VALID
    .union(Attr::MEMATTR_NORMAL_INNER_WB)
    .union(Attr::MEMATTR_NORMAL_OUTER_WB)
    .union(Attr::SH_INNER)
    .union(Attr::S2AP_ACCESS_RW)
    .union(Attr::ACCESS_FLAG);

/// Device-nGnRE, read and write.
const DEVICE: Attr = Attr::VALID
    .union(Attr::MEMATTR_DEVICE_nGnRE)
    .union(Attr::S2AP_ACCESS_RW)
    .union(Attr::ACCESS_FLAG)
    .union(Attr::XN);

/// Returns the bits of a guest's addresses: what walks from level 1 span, but no more than a physical address has
/// (DDI 0487 D8.2, "Supported IPA size").
pub const fn ipa_bits(pa_range: u64) -> u32 {
    let bits = pa_bits(pa_range);
    if bits < 39 { bits } else { 39 }
}

/// Returns VTCR_EL2 for these tables, with the least `pa_range` (ID_AA64MMFR0_EL1.PARange) of the board's cores.
pub const fn vtcr(pa_range: u64) -> u64 {
    // Output sizes above 48 bits need FEAT_LPA2 descriptors.
    let ps = if pa_range > 5 { 5 } else { pa_range };
    let t0sz = 64 - ipa_bits(pa_range) as u64;
    let (start_at_level_1, write_back, inner_shareable, res1) = (1, 1, 3, 1);
    t0sz | start_at_level_1 << 6
        | write_back << 8
        | write_back << 10
        | inner_shareable << 12
        | ps << 16
        | res1 << 31
}

/// One guest's tables. Built while no core uses them; freed on drop.
pub struct Tables {
    mapping: Mapping<IdTranslation<Attr>, Stage2>,
    /// One past the guest's last address.
    end: u64,
}

impl Tables {
    /// Tables that map nothing, as wide as [`vtcr`] has it with the same `pa_range`. The global allocator must
    /// hand out identity-mapped memory.
    pub fn new(pa_range: u64) -> Self {
        Self {
            mapping: Mapping::new(IdTranslation::new(), ROOT_LEVEL, Stage2),
            end: 1 << ipa_bits(pa_range),
        }
    }

    /// Returns the most tables, of a page each, that [`map_ram`](Self::map_ram) makes for `size` bytes
    /// in pieces of whole 2 MiB that follow one another for the guest: no block of 1 GiB fits if they
    /// lie otherwise in physical memory.
    pub const fn most_for_ram(size: u64) -> u64 {
        // It may begin and end within one.
        size.div_ceil(1 << 30) + 1
    }

    /// The most tables, of a page each, that one [`map_device`](Self::map_device) makes: those in which its first and its
    /// last page are, of levels 2 and 3.
    pub const MOST_FOR_DEVICE: u64 = 4;

    /// Maps all of `ram`, with the largest blocks that fit.
    pub fn map_ram(&mut self, ram: &GuestRam) -> Result<(), MapError> {
        ram.regions()
            .iter()
            .try_for_each(|region| self.map(region, RAM))
    }

    /// Lets the guest reach the device frame `pa..pa + size` at `ipa`.
    pub fn map_device(&mut self, ipa: Ipa, pa: Pa, size: u64) -> Result<(), MapError> {
        self.map(&RamRegion { ipa, pa, size }, DEVICE)
    }

    fn map(&mut self, region: &RamRegion, attributes: Attr) -> Result<(), MapError> {
        let end = region.ipa.0.saturating_add(region.size);
        if end > self.end {
            return Err(MapError::AddressRange(VirtualAddress(end as usize)));
        }
        let start = region.ipa.0 as usize;
        self.mapping.map_range(
            &MemoryRegion::new(start, start + region.size as usize),
            PhysicalAddress(region.pa.0 as usize),
            attributes,
            Constraints::NO_CONTIGUOUS_HINT,
        )
    }

    /// Returns where the hardware finds the tables: VTTBR_EL2.BADDR.
    pub fn root(&self) -> Pa {
        Pa(self.mapping.root_address().0 as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    fn leaves(tables: &Tables, start: usize, end: usize) -> Vec<(usize, usize, Attr)> {
        let mut found = Vec::new();
        tables
            .mapping
            .walk_range(
                &MemoryRegion::new(start, end),
                &mut |region, descriptor, level| {
                    if descriptor.is_valid() && (level == 3 || !descriptor.is_table_or_page()) {
                        found.push((region.start().0, level, descriptor.flags()));
                    }
                    Ok(())
                },
            )
            .unwrap();
        found
    }

    #[test]
    fn congruent_ram_takes_the_largest_blocks() {
        let mut ram = GuestRam::new();
        let size = (1 << 30) + (2 << 20) + 4096;
        ram.push(RamRegion {
            ipa: Ipa(0x4000_0000),
            pa: Pa(0x8000_0000),
            size,
        })
        .unwrap();
        let mut tables = Tables::new(5);
        tables.map_ram(&ram).unwrap();
        let levels: Vec<usize> = leaves(&tables, 0x4000_0000, 0x4000_0000 + size as usize)
            .iter()
            .map(|l| l.1)
            .collect();
        assert_eq!(levels, [1, 2, 3]);
    }

    /// Counts the tables below the root by the leaves that they hold.
    fn tables_below(tables: &Tables) -> u64 {
        let mut holders: Vec<(usize, usize)> = Vec::new();
        for (start, level, _) in leaves(tables, 0, 1 << 39) {
            let spans = [(2, 30), (3, 21)].into_iter();
            holders.extend(
                spans
                    .filter(|span| span.0 <= level)
                    .map(|span| (span.0, start >> span.1)),
            );
        }
        holders.sort_unstable();
        holders.dedup();
        holders.len() as u64
    }

    #[test]
    fn ram_takes_no_more_tables_than_are_counted() {
        for start in [0x4000_0000, 0x4020_0000, 0x7fe0_0000] {
            for size in [2 << 20, 1 << 30, (1 << 30) + (2 << 20), 5 << 30, 160 << 30] {
                let mut ram = GuestRam::new();
                let (ipa, pa) = (Ipa(start), Pa(0x4840_0000));
                ram.push(RamRegion { ipa, pa, size }).unwrap();
                let mut tables = Tables::new(5);
                tables.map_ram(&ram).unwrap();
                let (made, most) = (tables_below(&tables), Tables::most_for_ram(size));
                assert!(
                    made > 0 && made <= most,
                    "{start:#x}, {size:#x}: {made} of {most}"
                );
            }
        }
    }

    #[test]
    fn a_device_takes_no_more_tables_than_are_counted() {
        let made = |start: u64, size| {
            let mut tables = Tables::new(5);
            tables.map_device(Ipa(start), Pa(start), size).unwrap();
            tables_below(&tables)
        };
        assert_eq!(made(0x0900_0000, 0x1000), 2);
        assert_eq!(made(0x40_1000_0000, 0x1000_0000), 1);
        assert_eq!(made(0x1000_0000, 0x2eff_0000), 2);
        assert_eq!(made(0x3fff_f000, 0x2000), Tables::MOST_FOR_DEVICE);
        let most = made(0x3fff_f000, (3 << 30) + 0x2000);
        assert_eq!(most, Tables::MOST_FOR_DEVICE);
    }

    #[test]
    fn nothing_else_is_mapped() {
        let mut ram = GuestRam::new();
        ram.push(RamRegion {
            ipa: Ipa(0x4000_0000),
            pa: Pa(0x5000_0000),
            size: 1 << 21,
        })
        .unwrap();
        let mut tables = Tables::new(5);
        tables.map_ram(&ram).unwrap();
        tables
            .map_device(Ipa(0x0801_0000), Pa(0x0804_0000), 0x2000)
            .unwrap();
        let all = leaves(&tables, 0, 1 << 39);
        let starts: Vec<usize> = all.iter().map(|leaf| leaf.0).collect();
        assert_eq!(starts, [0x0801_0000, 0x0801_1000, 0x4000_0000]);
        assert!(all[0].2.contains(Attr::XN), "devices are never executable");
    }

    #[test]
    fn each_guests_tables_have_a_root_of_their_own() {
        let (one, two) = (Tables::new(5), Tables::new(5));
        assert!(one.root() != Pa(0) && one.root().is_aligned(4096));
        assert_ne!(one.root(), two.root());
    }

    #[test]
    fn beyond_the_ipa_space_is_refused() {
        for (pa_range, bits) in [(0, 32), (1, 36), (2, 39), (5, 39), (6, 39)] {
            let mut tables = Tables::new(pa_range);
            let last = Ipa((1 << bits) - 0x1000);
            assert!(tables.map_device(last, Pa(0x1000), 0x1000).is_ok());
            assert!(tables.map_device(last, Pa(0x1000), 0x2000).is_err());
            assert!(
                tables
                    .map_device(Ipa(1 << bits), Pa(0x1000), 0x1000)
                    .is_err()
            );
            assert!(tables.map_device(last, Pa(0x1000), u64::MAX).is_err());
        }
    }

    #[test]
    fn vtcr_caps_the_output_size() {
        assert_eq!(vtcr(2) >> 16 & 7, 2);
        assert_eq!(vtcr(6) >> 16 & 7, 5);
        assert_eq!(
            [0, 1, 2, 6].map(|range| vtcr(range) & 0x3f),
            [32, 28, 25, 25]
        );
    }

    /// Walks are cacheable and inner shareable, begin at level 1, and RES1 is one.
    #[test]
    fn vtcr_has_all_its_fields() {
        assert_eq!(vtcr(0), 0x8000_3560);
        assert_eq!(vtcr(1), 0x8001_355c);
        assert_eq!(vtcr(2), 0x8002_3559);
        assert_eq!(vtcr(5), 0x8005_3559);
    }

    /// The bits of DDI 0487 D8.3.1, "Stage 2 attribute fields", in numbers of their own.
    #[test]
    fn ram_is_shared_write_back_memory_and_devices_are_devices() {
        let mut ram = GuestRam::new();
        ram.push(RamRegion {
            ipa: Ipa(0x4000_0000),
            pa: Pa(0x5000_0000),
            size: 1 << 21,
        })
        .unwrap();
        let mut tables = Tables::new(5);
        tables.map_ram(&ram).unwrap();
        tables
            .map_device(Ipa(0x0801_0000), Pa(0x0804_0000), 0x1000)
            .unwrap();
        let flags: Vec<_> = leaves(&tables, 0, 1 << 39)
            .iter()
            .map(|leaf| leaf.2.bits() as u64)
            .collect();
        let (write_back, inner_shareable, read_write, accessed) =
            (0b1111 << 2, 0b11 << 8, 0b11 << 6, 1 << 10);
        let (device_ngnre, never_executed, page) = (0b0001 << 2, 0b10 << 53, 1 << 1);
        let attributes = !page & !1;
        assert_eq!(
            flags[0] & attributes & !(0b11 << 8),
            device_ngnre | read_write | accessed | never_executed
        );
        assert_eq!(
            flags[1] & attributes,
            write_back | inner_shareable | read_write | accessed
        );
    }
}
