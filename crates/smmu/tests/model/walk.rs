// SPDX-License-Identifier: MIT OR Apache-2.0

//! Stage-2 tables of the 4 KiB granule: walked, and written for the tests.

use super::device::Fault;
use super::*;

const ADDRESS: u64 = 0x0000_ffff_ffff_f000;

/// Which S2AP a page has: bit 6 is read, bit 7 is write.
pub const READ_WRITE: u64 = 3 << 6;
pub const READ: u64 = 1 << 6;
const ACCESSED: u64 = 1 << 10;

impl Model {
    /// Checks an entry as 5.2.2 does, and walks its tables.
    pub fn walk(&self, entry: [u64; 4], address: u64) -> Result<Leaf, Fault> {
        let walk = entry[2] >> 32;
        let (input, level_1) = (64 - (walk & 0x3f) as u32, walk >> 6 & 3 == 1);
        let output = [32, 36, 40, 42, 44, 48, 48, 48][(walk >> 16 & 7) as usize];
        let oas = [32, 36, 40, 42, 44, 48][(self.get(0x14) & 7).min(5) as usize];
        let legal = walk >> 19 & 1 == 1 && walk >> 20 & 1 == 0 && walk >> 23 & 3 == 0;
        let granule = walk >> 14 & 3 == 0 && level_1 && (32..=39).contains(&input);
        let base = entry[3];
        if !legal || !granule || walk >> 25 & 1 == 1 || input > oas || base >> output != 0 {
            return Err(Fault(Some(0x04)));
        }
        let recorded = |kind| Fault((walk >> 26 & 1 == 1).then_some(kind));
        if address >> input != 0 {
            return Err(recorded(0x10));
        }
        let mut table = base;
        for level in 1..=3 {
            let shift = 39 - 9 * level;
            let descriptor = self.word(table + (address >> shift & 0x1ff) * 8);
            let (valid, is_table) = (descriptor & 1 == 1, descriptor & 2 != 0);
            if !valid || level == 3 && !is_table {
                return Err(recorded(0x10));
            }
            if (descriptor & ADDRESS) >> output != 0 {
                return Err(recorded(0x11));
            }
            if level < 3 && is_table {
                table = descriptor & ADDRESS;
                continue;
            }
            if descriptor & ACCESSED == 0 {
                return Err(recorded(0x12));
            }
            let within = address & ((1 << shift) - 1) & ADDRESS;
            return Ok(Leaf {
                pa: descriptor & ADDRESS & !((1 << shift) - 1) | within,
                read: descriptor >> 6 & 1 == 1,
                write: descriptor >> 7 & 1 == 1,
            });
        }
        unreachable!("level 3 ends it")
    }

    /// Maps a page by the tables at `root`, which has room for three more pages behind it.
    pub fn map(&mut self, root: u64, ipa: u64, leaf: Option<(u64, u64)>) {
        let (second, third) = (root + 0x1000, root + 0x2000);
        self.put(root + (ipa >> 30 & 0x1ff) * 8, second | 3);
        self.put(second + (ipa >> 21 & 0x1ff) * 8, third | 3);
        let page = leaf.map_or(0, |(pa, access)| pa | access | ACCESSED | 3);
        self.put(third + (ipa >> 12 & 0x1ff) * 8, page);
    }
}
