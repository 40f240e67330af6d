// SPDX-License-Identifier: MIT OR Apache-2.0

//! Guests with socket devices, put together as a kernel does it.
#![allow(dead_code)]

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use addr::Ipa;
use virtio::{Budget, Layout};
use virtio_model::{BASE, Ram, Ring};
use vsock::{Control, Ends, Next, Peer, Peers, Receive, Transmit, Visit};

pub const REQUEST: u16 = 1;
pub const RESPONSE: u16 = 2;
pub const RESET: u16 = 3;
pub const SHUTDOWN: u16 = 4;
pub const DATA: u16 = 5;
pub const CREDIT_UPDATE: u16 = 6;
pub const CREDIT_REQUEST: u16 = 7;

/// Ticks that a packet waits.
pub const PATIENCE: u64 = 100;
/// The port of EL2's service.
pub const SERVICE: u32 = 1024;

const RECEIVED: u64 = BASE + 0x8000;
const SENT: u64 = BASE + 0x2_0000;
const SLOT: u64 = 0x1_1000;

/// A packet's fields, by the names of the specification.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Packet {
    pub src_cid: u64,
    pub dst_cid: u64,
    pub src_port: u32,
    pub dst_port: u32,
    pub len: u32,
    pub kind: u16,
    pub op: u16,
    pub flags: u32,
    pub buf_alloc: u32,
    pub fwd_cnt: u32,
    pub data: Vec<u8>,
}

impl Packet {
    /// From guest `from` to an address, of these data.
    pub fn new(from: usize, to: u64, op: u16, data: &[u8]) -> Self {
        Self {
            src_cid: cid(from),
            dst_cid: to,
            src_port: 77,
            dst_port: SERVICE,
            len: data.len() as u32,
            kind: 1,
            op,
            flags: 0,
            buf_alloc: 0x1_0000,
            fwd_cnt: 0,
            data: data.into(),
        }
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend(self.src_cid.to_le_bytes());
        bytes.extend(self.dst_cid.to_le_bytes());
        bytes.extend(self.src_port.to_le_bytes());
        bytes.extend(self.dst_port.to_le_bytes());
        bytes.extend(self.len.to_le_bytes());
        bytes.extend(self.kind.to_le_bytes());
        bytes.extend(self.op.to_le_bytes());
        bytes.extend(self.flags.to_le_bytes());
        bytes.extend(self.buf_alloc.to_le_bytes());
        bytes.extend(self.fwd_cnt.to_le_bytes());
        bytes.extend(&self.data);
        bytes
    }

    fn read(bytes: &[u8]) -> Self {
        let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
        let half = |at: usize| u16::from_le_bytes(bytes[at..at + 2].try_into().unwrap());
        let double = |at: usize| u64::from(word(at)) | u64::from(word(at + 4)) << 32;
        Self {
            src_cid: double(0),
            dst_cid: double(8),
            src_port: word(16),
            dst_port: word(20),
            len: word(24),
            kind: half(28),
            op: half(30),
            flags: word(32),
            buf_alloc: word(36),
            fwd_cnt: word(40),
            data: bytes[44..].into(),
        }
    }
}

/// The address of guest n.
pub fn cid(n: usize) -> u64 {
    n as u64 + 3
}

pub struct Guest {
    pub ram: Ram,
    pub receive: RefCell<Receive>,
    pub transmit: RefCell<Transmit>,
    pub control: RefCell<Control>,
    received: RefCell<Ring>,
    sent: RefCell<Ring>,
    slots: RefCell<BTreeMap<u16, u64>>,
    free: RefCell<Vec<u64>>,
    /// Packets that were sent.
    count: Cell<u64>,
}

pub struct Net {
    pub peers: Peers,
    pub numbers: Vec<Peer>,
    pub guests: Vec<Guest>,
    pub budget: Budget,
    pub now: u64,
}

struct Others<'a>(&'a [Guest], usize, bool);

impl Ends for Others<'_> {
    type Memory = Ram;

    fn with<T>(&mut self, peer: Peer, act: impl FnOnce(&mut Receive, &Ram) -> T) -> T {
        assert!(!self.2, "two at once");
        self.2 = true;
        let guest = &self.0[peer.index()];
        let result = act(&mut guest.receive.borrow_mut(), &guest.ram);
        self.2 = false;
        result
    }

    fn control<T>(&mut self, act: impl FnOnce(&mut Control) -> T) -> Option<T> {
        assert!(!self.2, "while a receive side is lent");
        // The last guest may not speak to EL2.
        let may = self.1 + 1 < self.0.len();
        may.then(|| act(&mut self.0[self.1].control.borrow_mut()))
    }
}

impl Net {
    /// So many guests; each is connected with the next one.
    pub fn new(guests: usize) -> Self {
        let mut peers = Peers::new();
        let numbers: Vec<_> = (0..guests).map(|n| peers.add(cid(n)).unwrap()).collect();
        numbers
            .windows(2)
            .for_each(|pair| peers.connect(pair[0], pair[1]));
        let mut net = Self {
            guests: numbers.iter().map(|&peer| Guest::new(peer)).collect(),
            peers,
            numbers,
            budget: Budget {
                frames: 1000,
                bytes: 1_000_000,
            },
            now: 0,
        };
        (0..guests).for_each(|n| net.start(n));
        net
    }

    /// Sets both queues of a guest up anew.
    pub fn start(&mut self, n: usize) {
        let guest = &self.guests[n];
        let (received, sent) = guest.rings();
        let layout = |ring: &Ring| Layout {
            size: ring.size,
            descriptors: Ipa(ring.table),
            available: Ipa(ring.available()),
            used: Ipa(ring.used()),
            event_idx: false,
        };
        guest
            .receive
            .borrow_mut()
            .set(&guest.ram, Some(layout(&received)))
            .unwrap();
        guest
            .transmit
            .borrow_mut()
            .set(&guest.ram, Some(layout(&sent)))
            .unwrap();
        guest.control.borrow_mut().reset();
        guest.received.replace(received);
        guest.sent.replace(sent);
        guest.slots.borrow_mut().clear();
        guest
            .free
            .replace((0..8).map(|n| RECEIVED + n * 0x3000).collect());
    }

    pub fn visit(&mut self, n: usize) -> Visit {
        let guest = &self.guests[n];
        let mut others = Others(&self.guests, n, false);
        let mut transmit = guest.transmit.borrow_mut();
        transmit.visit(&self.peers, &guest.ram, &mut others, self.budget, self.now)
    }

    /// Sends a packet, and says when the next visit is due.
    pub fn send(&mut self, n: usize, packet: &Packet) -> Next {
        self.queue(n, packet);
        self.visit(n).next
    }

    /// Puts a packet into the queue.
    pub fn queue(&mut self, n: usize, packet: &Packet) {
        let guest = &self.guests[n];
        let mut ring = guest.sent.borrow_mut();
        while ring.take(&guest.ram).is_some() {}
        // Each has its own place as long as it waits.
        let number = guest.count.replace(guest.count.get() + 1);
        let at = SENT + number % 5 * SLOT;
        let bytes = packet.bytes();
        guest.ram.put(at, &bytes);
        let pieces = [(at, 44), (at + 44, bytes.len() as u32 - 44)];
        let pieces = if bytes.len() > 44 {
            &pieces[..]
        } else {
            &pieces[..1]
        };
        ring.add(&guest.ram, pieces, &[]).unwrap();
    }

    /// Tells whether a guest's device wants a kick for what was queued since this was last asked.
    pub fn needs_kick(&self, n: usize) -> bool {
        let guest = &self.guests[n];
        guest.sent.borrow_mut().needs_kick(&guest.ram)
    }

    /// Makes a buffer of so many bytes available to a guest's device, if it has one left. Whether the device wants a
    /// kick.
    pub fn post(&mut self, n: usize, bytes: u32) -> bool {
        let guest = &self.guests[n];
        let Some(slot) = guest.free.borrow_mut().pop() else {
            return false;
        };
        let mut ring = guest.received.borrow_mut();
        let head = ring.add(&guest.ram, &[], &[(slot, bytes)]).unwrap();
        guest.slots.borrow_mut().insert(head, slot);
        ring.needs_kick(&guest.ram)
    }

    /// Returns what a guest has got.
    pub fn got(&mut self, n: usize) -> Vec<Packet> {
        let guest = &self.guests[n];
        let mut ring = guest.received.borrow_mut();
        let mut packets = Vec::new();
        while let Some((head, written)) = ring.take(&guest.ram) {
            let slot = guest.slots.borrow_mut().remove(&head).unwrap();
            let packet = Packet::read(&guest.ram.bytes_at(slot, written as usize));
            assert_eq!(packet.len as usize, packet.data.len());
            assert_eq!((packet.kind, packet.dst_cid), (1, cid(n)));
            guest.free.borrow_mut().push(slot);
            packets.push(packet);
        }
        packets
    }

    /// Returns how many packets a guest's device still has.
    pub fn under_way(&self, n: usize) -> usize {
        let guest = &self.guests[n];
        let mut ring = guest.sent.borrow_mut();
        while ring.take(&guest.ram).is_some() {}
        ring.pending()
    }
}

impl Guest {
    fn new(peer: Peer) -> Self {
        let ram = Ram::new(0x8_0000);
        let ring = || Ring::new(&ram, BASE, 16, false).into();
        Self {
            receive: Receive::new().into(),
            transmit: Transmit::new(peer, PATIENCE).into(),
            control: Control::new(cid(peer.index()), SERVICE).into(),
            received: ring(),
            sent: ring(),
            slots: RefCell::default(),
            free: RefCell::default(),
            count: Cell::default(),
            ram,
        }
    }

    fn rings(&self) -> (Ring, Ring) {
        let ring = |at| Ring::new(&self.ram, BASE + at, 16, false);
        (ring(0), ring(0x3000))
    }
}
