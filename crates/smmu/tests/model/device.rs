// SPDX-License-Identifier: MIT OR Apache-2.0

//! Devices' accesses.

use super::*;

/// Why an access was aborted: the number of its event, or none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fault(pub Option<u8>);

/// A translation of a page.
#[derive(Clone, Copy, Debug)]
pub struct Leaf {
    pub pa: u64,
    pub read: bool,
    pub write: bool,
}

/// An access under way, and the entry that it goes by.
pub struct Flight {
    stream: u32,
    address: u64,
    write: bool,
    entry: Result<[u64; 4], Fault>,
}

impl Model {
    /// A device's access, all of it: where it ends.
    pub fn dma(&mut self, stream: u32, address: u64, write: bool) -> Result<u64, Fault> {
        let flight = self.flight(stream, address, write);
        self.land(&flight)
    }

    /// A device's access has come to the SMMU.
    pub fn begin(&mut self, stream: u32, address: u64, write: bool) {
        let flight = self.flight(stream, address, write);
        self.flights.push_back(flight);
    }

    pub fn under_way(&self) -> usize {
        self.flights.len()
    }

    pub fn land_one(&mut self) -> bool {
        let flight = self.flights.pop_front();
        if let Some(flight) = &flight {
            let _ = self.land(flight);
        }
        flight.is_some()
    }

    fn flight(&mut self, stream: u32, address: u64, write: bool) -> Flight {
        Flight {
            stream,
            address,
            write,
            entry: self.entry(stream),
        }
    }

    fn table(&self) -> (u64, u32) {
        let base = self.get64(STRTAB_BASE) & 0x000f_ffff_ffff_ffc0;
        (base, self.get(STRTAB_BASE_CFG) & 0x3f)
    }

    /// Reads some words of any entries, for no reason.
    pub fn prefetch(&mut self) {
        let streams = 1 << self.table().1;
        for _ in 0..4 {
            let (stream, index) = (self.random(streams) as u32, self.random(4) as usize);
            self.entry_word(stream, index);
        }
    }

    fn entry_word(&mut self, stream: u32, index: usize) -> u64 {
        let at = self.table().0 + u64::from(stream) * 64 + index as u64 * 8;
        let fresh = self.word(at);
        let cached = self.entries.get(&(stream, index)).copied();
        if cached.is_none() && self.random(2) == 0 {
            self.entries.insert((stream, index), fresh);
        }
        cached.unwrap_or(fresh)
    }

    fn entry(&mut self, stream: u32) -> Result<[u64; 4], Fault> {
        const BYPASS: [u64; 4] = [0b1001, 0, 0, 0];
        if !self.on(SMMUEN) {
            let open = self.get(GBPA_IN_FORCE) & ABORT == 0;
            return if open { Ok(BYPASS) } else { Err(Fault(None)) };
        }
        if stream >> self.table().1 != 0 {
            return Err(Fault((self.get(0x2c) & 2 != 0).then_some(0x02)));
        }
        let words = [0, 1, 2, 3].map(|index| self.entry_word(stream, index));
        match words[0] & 1 {
            0 => Err(Fault(Some(0x04))),
            _ => Ok(words),
        }
    }

    fn land(&mut self, flight: &Flight) -> Result<u64, Fault> {
        let to = flight.entry.and_then(|entry| match entry[0] >> 1 & 7 {
            0..=3 => Err(Fault(None)),
            0b100 => Ok(flight.address),
            0b110 => self.translate(entry, flight.address, flight.write),
            config => panic!("Config {config}"),
        });
        match to {
            Ok(pa) => self.reached.push((flight.stream, pa)),
            Err(Fault(Some(kind))) => self.record(kind, flight),
            Err(Fault(None)) => {}
        }
        to
    }

    fn translate(&mut self, entry: [u64; 4], address: u64, write: bool) -> Result<u64, Fault> {
        let vmid = entry[2] & 0xffff;
        let leaf = match self.translations.get(&(vmid, address >> 12)) {
            Some(leaf) => *leaf,
            None => {
                let leaf = self.walk(entry, address)?;
                self.translations.insert((vmid, address >> 12), leaf);
                leaf
            }
        };
        match if write { leaf.write } else { leaf.read } {
            true => Ok(leaf.pa | address & 0xfff),
            false => Err(Fault(Some(0x13))),
        }
    }

    fn record(&mut self, kind: u8, flight: &Flight) {
        if !self.on(EVENTQEN) {
            return;
        }
        let base = self.get64(EVENTQ_BASE);
        let size = 1_u32 << (base & 0x1f);
        let (prod, cons) = (self.get(EVENTQ_PROD), self.get(EVENTQ_CONS));
        if (prod ^ cons) & (2 * size - 1) == size {
            if (prod ^ cons) >> 31 == 0 {
                self.set(EVENTQ_PROD, prod ^ 1 << 31);
            }
            return;
        }
        let at = (base & 0x000f_ffff_ffff_ffe0) + u64::from(prod & (size - 1)) * 32;
        let read = u64::from(!flight.write) << 35;
        self.put(at, u64::from(kind) | u64::from(flight.stream) << 32);
        self.put(at + 8, read | 1 << 39 | 0b10 << 40);
        self.put(at + 16, flight.address);
        self.put(at + 24, flight.address & !0xfff);
        self.set(EVENTQ_PROD, prod & 1 << 31 | (prod + 1) & (2 * size - 1));
    }
}
