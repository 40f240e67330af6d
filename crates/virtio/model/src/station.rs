// SPDX-License-Identifier: MIT OR Apache-2.0

//! A guest with a network driver that keeps the rules, and knows each frame that it may see.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use vnet::Mac;

use crate::mmio::register;
use crate::ram::BASE;
use crate::{Lan, Piece, Ram, Ring, bring_up};

/// Bytes behind the Ethernet header of a frame of [`Station`]s, at most.
pub const MTU: u16 = 9000;
/// Bytes of the longest frame.
pub const LONGEST: usize = MTU as usize + 18;

/// Bytes of virtio's header.
const HEADER: usize = 12;
/// Bytes of a buffer for any frame.
const SLOT: u64 = 0x2400;
const RECEIVED: u64 = BASE + 0x8000;
const SENT: u64 = RECEIVED + SLOT * 16;
/// Bytes of RAM that it needs.
const RAM: usize = 0x4_0000;
/// Features: EVENT_IDX, VERSION_1, MAC, MTU, STATUS.
const WANTED: u64 = 1 << 32 | 1 << 5 | 1 << 3 | 1 << 16;
const EVENT_IDX: u64 = 1 << 29;

/// Returns the address of port n.
pub fn mac(n: usize) -> Mac {
    Mac([0x52, 0x54, 0, 0, 0, n as u8])
}

/// A guest's driver.
pub struct Station {
    /// Its port.
    pub port: usize,
    /// Its RAM.
    pub ram: Rc<Ram>,
    receive: Ring,
    transmit: Ring,
    /// Free buffers, and which buffer each pending head is.
    receive_slots: BTreeSet<u64>,
    transmit_slots: BTreeSet<u64>,
    receiving: BTreeMap<u16, (u64, u32)>,
    sending: BTreeMap<u16, (u64, Option<u32>)>,
    next: u32,
    /// Frames that it got, and has not looked at.
    pub got: Vec<Vec<u8>>,
    /// How many it got since it was made.
    pub frames: u64,
}

impl Station {
    /// Makes the guest of a port, which has no device yet; it minds what the device touches.
    pub fn new(port: usize) -> Self {
        let ram = Rc::new(Ram::new(RAM));
        ram.guard();
        let ring = |at| Ring::new(&ram, BASE + at, 1, false);
        Self {
            port,
            receive: ring(0),
            transmit: ring(0x3000),
            ram: ram.clone(),
            receive_slots: BTreeSet::new(),
            transmit_slots: BTreeSet::new(),
            receiving: BTreeMap::new(),
            sending: BTreeMap::new(),
            next: 0,
            got: Vec::new(),
            frames: 0,
        }
    }

    /// Resets the device and sets it up. Returns the frames that were not known to be sent.
    ///
    /// # Panics
    /// If the device is not as it should be.
    pub fn start(&mut self, lan: &mut Lan, size: u16, event_idx: bool) -> BTreeSet<u32> {
        self.reap(lan);
        lan.write(self.port, register::STATUS, 4, 0);
        // Nothing of the RAM is the device's any more.
        self.ram.guard();
        let event = if event_idx { EVENT_IDX } else { 0 };
        self.receive = Ring::new(&self.ram, BASE, size, event_idx);
        self.transmit = Ring::new(&self.ram, BASE + 0x3000, size, event_idx);
        let places = |ring: &Ring| (size, [ring.table, ring.available(), ring.used()]);
        let queues = [places(&self.receive), places(&self.transmit)];
        let features = bring_up(&mut (lan, self.port), WANTED | event, &queues);
        assert_eq!(features, Ok(WANTED | event));
        self.receive_slots = (0..16).map(|n| RECEIVED + n * SLOT).collect();
        self.transmit_slots = (0..7).map(|n| SENT + n * SLOT).collect();
        self.receiving.clear();
        let unsure = std::mem::take(&mut self.sending).into_values();
        unsure.filter_map(|(_, sequence)| sequence).collect()
    }

    /// Makes buffers of these bytes, in `pieces` each, available to the device.
    pub fn refill(&mut self, count: usize, bytes: usize, pieces: usize) {
        for _ in 0..count {
            let Some(&slot) = self.receive_slots.first() else {
                return;
            };
            let pieces = split(slot, bytes, pieces);
            let Some(head) = self.receive.add(&self.ram, &[], &pieces) else {
                return;
            };
            self.receive_slots.remove(&slot);
            self.receiving.insert(head, (slot, bytes as u32));
        }
    }

    /// Sends a frame in some pieces, and kicks if the device wants that. False if there is no room.
    pub fn send_raw(&mut self, lan: &mut Lan, frame: &[u8], pieces: usize) -> bool {
        self.queue(frame, pieces, None) && self.kick(lan)
    }

    /// Kicks, if the device wants that.
    pub fn kick(&mut self, lan: &mut Lan) -> bool {
        if self.transmit.needs_kick(&self.ram) {
            lan.kick(self.port);
        }
        true
    }

    /// Puts a frame into the queue.
    fn queue(&mut self, frame: &[u8], pieces: usize, sequence: Option<u32>) -> bool {
        let Some(&slot) = self.transmit_slots.first() else {
            return false;
        };
        // What virtio's header says of a frame is nobody's business without offloads: here it is nonsense.
        self.ram.put(slot, &[0xee; HEADER]);
        self.ram.put(slot + HEADER as u64, frame);
        let pieces = split(slot, HEADER + frame.len(), pieces);
        let Some(head) = self.transmit.add(&self.ram, &pieces, &[]) else {
            return false;
        };
        self.transmit_slots.remove(&slot);
        self.sending.insert(head, (slot, sequence));
        true
    }

    /// Puts a frame that tells who has sent it into the queue, without a kick. Returns its number, if there is room.
    pub fn send(&mut self, to: Mac, bytes: usize, pieces: usize) -> Option<u32> {
        let sequence = self.next;
        let frame = frame(to, self.port, sequence, bytes);
        self.queue(&frame, pieces, Some(sequence)).then(|| {
            self.next += 1;
            sequence
        })
    }

    /// Takes the buffers that the device has used.
    ///
    /// # Panics
    /// If it has not used them as it should.
    pub fn reap(&mut self, lan: &mut Lan) {
        let pending = lan.read(self.port, register::INTERRUPT_STATUS, 4);
        lan.write(self.port, register::INTERRUPT_ACK, 4, pending);
        while let Some((head, written)) = self.transmit.take(&self.ram) {
            assert_eq!(written, 0);
            let (slot, _) = self.sending.remove(&head).expect("a frame of ours");
            self.transmit_slots.insert(slot);
        }
        while let Some((head, written)) = self.receive.take(&self.ram) {
            let (slot, room) = self.receiving.remove(&head).expect("a buffer of ours");
            self.receive_slots.insert(slot);
            assert!(written <= room && written as usize >= HEADER + 14);
            let bytes = self.ram.bytes_at(slot, written as usize);
            let (header, frame) = bytes.split_at(HEADER);
            assert_eq!(header, [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0]);
            self.frames += 1;
            self.got.push(frame.to_vec());
        }
    }

    /// Says whether it wants interrupts for received frames. True if there are some already.
    pub fn want_interrupts(&mut self, wanted: bool) -> bool {
        self.receive.want_interrupts(&self.ram, wanted)
    }

    /// Returns how many frames are under way.
    pub fn under_way(&self) -> usize {
        self.sending.len()
    }
}

/// Returns so many bytes from `at` on in pieces, the first of them short.
fn split(at: u64, bytes: usize, pieces: usize) -> Vec<Piece> {
    let pieces = pieces.clamp(1, bytes);
    let short = (HEADER).min(bytes / pieces).max(1);
    let mut all = Vec::new();
    let mut done = 0;
    for piece in 0..pieces {
        let rest = bytes - done;
        let len = if piece + 1 == pieces { rest } else { short };
        all.push((at + done as u64, len as u32));
        done += len;
    }
    all
}

/// Returns a frame of so many bytes, 21 at least, from port `from`.
fn frame(to: Mac, from: usize, sequence: u32, bytes: usize) -> Vec<u8> {
    let mut frame = Vec::new();
    frame.extend(to.0);
    frame.extend(mac(from).0);
    frame.extend([0x88, 0xb5, from as u8]);
    frame.extend(sequence.to_le_bytes());
    frame.extend((bytes as u16).to_le_bytes());
    let at = frame.len();
    frame.extend((at..bytes).map(|n| pattern(from, sequence, n)));
    frame
}

fn pattern(from: usize, sequence: u32, n: usize) -> u8 {
    (from * 101 + sequence as usize * 31 + n * 7 + n / 256) as u8
}

/// Reads a frame of [`Station::send`]: its sender and its number.
///
/// # Panics
/// If it is not as it was sent.
pub(crate) fn read(frame: &[u8]) -> (usize, u32) {
    let from = usize::from(frame[14]);
    let sequence = u32::from_le_bytes(frame[15..19].try_into().expect("four"));
    let to = Mac(frame[..6].try_into().expect("six"));
    assert_eq!(
        frame,
        self::frame(to, from, sequence, frame.len()),
        "a frame has changed on its way"
    );
    (from, sequence)
}
