// SPDX-License-Identifier: MIT OR Apache-2.0

//! The driver's side of a split virtqueue (Virtio 1.2, 2.7), as it should be.

use std::collections::BTreeMap;

use crate::Ram;

/// A piece of a buffer: address, bytes.
pub type Piece = (u64, u32);

/// A buffer that the device has used: its number, and how many bytes of it were written.
pub type Used = (u16, u32);

const NEXT: u16 = 1;
const WRITE: u16 = 2;

/// A queue of the driver's.
#[derive(Clone, Debug)]
pub struct Ring {
    /// Where its table is; the available and the used ring follow on pages of their own.
    pub table: u64,
    /// Descriptors.
    pub size: u16,
    event_idx: bool,
    free: Vec<u16>,
    /// Buffers that the device has: the descriptors of each by its head, and where its pieces are.
    pending: BTreeMap<u16, (Vec<u16>, Vec<Piece>)>,
    index: u16,
    /// How far the index was when the driver last thought about a kick.
    kicked: u16,
    seen: u16,
}

impl Ring {
    /// Bytes that a queue takes.
    pub const BYTES: u64 = 0x3000;

    /// Makes an empty queue from `table` on, which is a page.
    pub fn new(ram: &Ram, table: u64, size: u16, event_idx: bool) -> Self {
        ram.put(table, &[0; Self::BYTES as usize]);
        ram.grant(table, u64::from(size) * 16, false);
        ram.grant(table + 0x1000, 6 + u64::from(size) * 2, false);
        ram.grant(table + 0x2000, 6 + u64::from(size) * 8, true);
        Self {
            table,
            size,
            event_idx,
            free: (0..size).rev().collect(),
            pending: BTreeMap::new(),
            index: 0,
            kicked: 0,
            seen: 0,
        }
    }

    /// Returns where the available ring is.
    pub fn available(&self) -> u64 {
        self.table + 0x1000
    }

    /// Returns where the used ring is.
    pub fn used(&self) -> u64 {
        self.table + 0x2000
    }

    /// Returns how many descriptors are free.
    pub fn room(&self) -> usize {
        self.free.len()
    }

    /// Returns how many buffers the device has.
    pub fn pending(&self) -> usize {
        self.pending.len()
    }

    /// Makes a buffer available: pieces that the device reads, then pieces that it writes. Returns its number, if
    /// there is room.
    pub fn add(&mut self, ram: &Ram, read: &[Piece], write: &[Piece]) -> Option<u16> {
        let pieces: Vec<Piece> = read.iter().chain(write).copied().collect();
        if pieces.is_empty() || pieces.len() > self.free.len() {
            return None;
        }
        let own: Vec<u16> = pieces.iter().filter_map(|_| self.free.pop()).collect();
        for (n, &(at, len)) in pieces.iter().enumerate() {
            let is_written = n >= read.len();
            ram.grant(at, len.into(), is_written);
            let next = own.get(n + 1).copied();
            let flags = next.map_or(0, |_| NEXT) | if is_written { WRITE } else { 0 };
            let descriptor = descriptor(at, len, flags, next.unwrap_or(0));
            ram.put(self.table + u64::from(own[n]) * 16, &descriptor);
        }
        let slot = u64::from(self.index % self.size);
        ram.put(self.available() + 4 + slot * 2, &own[0].to_le_bytes());
        self.index = self.index.wrapping_add(1);
        ram.put(self.available() + 2, &self.index.to_le_bytes());
        let head = own[0];
        self.pending.insert(head, (own, pieces));
        Some(head)
    }

    /// Tells whether the device wants to be kicked for what was added since this was last asked.
    pub fn needs_kick(&mut self, ram: &Ram) -> bool {
        let before = std::mem::replace(&mut self.kicked, self.index);
        if !self.event_idx {
            return before != self.index && half(ram, self.used()) & 1 == 0;
        }
        let event = half(ram, self.used() + 4 + u64::from(self.size) * 8);
        self.index.wrapping_sub(event).wrapping_sub(1) < self.index.wrapping_sub(before)
    }

    /// Takes the next buffer that the device has used.
    pub fn take(&mut self, ram: &Ram) -> Option<Used> {
        if half(ram, self.used() + 2) == self.seen {
            return None;
        }
        let entry = self.used() + 4 + u64::from(self.seen % self.size) * 8;
        let id = u32::from_le_bytes(ram.get(entry)) as u16;
        let written = u32::from_le_bytes(ram.get(entry + 4));
        self.seen = self.seen.wrapping_add(1);
        let (own, pieces) = self.pending.remove(&id).expect("a buffer of ours");
        pieces.iter().for_each(|&(at, _)| ram.revoke(at));
        self.free.extend(own);
        Some((id, written))
    }

    /// Asks for an interrupt at the next buffer, or for none. True if there is one already.
    pub fn want_interrupts(&mut self, ram: &Ram, wanted: bool) -> bool {
        let event = if wanted {
            self.seen
        } else {
            self.seen.wrapping_sub(0x8000)
        };
        match self.event_idx {
            true => ram.put(
                self.available() + 4 + u64::from(self.size) * 2,
                &event.to_le_bytes(),
            ),
            false => ram.put(self.available(), &u16::from(!wanted).to_le_bytes()),
        }
        wanted && half(ram, self.used() + 2) != self.seen
    }
}

/// Returns a descriptor's bytes.
fn descriptor(at: u64, len: u32, flags: u16, next: u16) -> [u8; 16] {
    let rest = u128::from(len) | u128::from(flags) << 32 | u128::from(next) << 48;
    (u128::from(at) | rest << 64).to_le_bytes()
}

fn half(ram: &Ram, at: u64) -> u16 {
    u16::from_le_bytes(ram.get(at))
}
