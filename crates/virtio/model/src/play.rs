// SPDX-License-Identifier: MIT OR Apache-2.0

//! Random play: two guests that keep the rules beside one that keeps none, with two ports of its own.

use std::collections::BTreeSet;
use std::rc::Rc;

use vnet::{Mac, Next, Rate};

use crate::mmio::register;
use crate::ram::BASE;
use crate::station::{self, LONGEST, MTU, Station, mac};
use crate::{Lan, Ram, Ring, bring_up};

/// Ports of the guests that keep the rules.
const HONEST: usize = 2;
/// Ports of the one that doesn't.
const HOSTILE: [usize; 2] = [2, 3];
/// Bytes of the hostile guest's RAM: rings of two devices, and buffers.
const HOSTILE_RAM: usize = 0x2_0000;
/// Where its buffers are.
const BUFFERS: u64 = BASE + 0x1_0000;
/// Entries of its queues.
const SIZE: u16 = 8;

/// Something that happens.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Op {
    kind: u8,
    who: u8,
    a: u8,
    b: u8,
    c: u16,
    d: u16,
}

impl Op {
    /// Bytes of one.
    pub const BYTES: usize = 8;

    /// Reads one. All bytes mean something.
    pub fn decode([kind, who, a, b, c, d, e, f]: [u8; Self::BYTES]) -> Self {
        Self {
            kind,
            who,
            a,
            b,
            c: u16::from_le_bytes([c, d]),
            d: u16::from_le_bytes([e, f]),
        }
    }
}

/// What came of a play.
#[derive(Clone, Copy, Debug, Default)]
pub struct Played {
    /// Frames that honest guests got from each other.
    pub honest: u64,
    /// Frames that they got from the hostile one.
    pub hostile: u64,
    /// Frames that the hostile guest got.
    pub received: u64,
    /// Frames refused as forged, too short, too long, or for nobody.
    pub refused: u64,
    /// Frames that a guest had no buffer for, too small a one, or no device.
    pub lost: u64,
    /// Times that a device of the hostile guest gave up.
    pub failures: u64,
    /// Visits that left something to do.
    pub more: u64,
    /// Visits that ended for the rate.
    pub waits: u64,
}

/// Plays what these bytes say: the first one is the style.
///
/// # Panics
/// If something happens that must not.
pub fn play_bytes(bytes: &[u8]) -> Played {
    let Some((&style, rest)) = bytes.split_first() else {
        return Played::default();
    };
    let (ops, _) = rest.as_chunks::<{ Op::BYTES }>();
    let ops: Vec<Op> = ops.iter().map(|&op| Op::decode(op)).collect();
    play(style, &ops)
}

/// Plays a list of operations, and looks after each whether what must hold does.
///
/// # Panics
/// If something happens that must not.
pub fn play(style: u8, ops: &[Op]) -> Played {
    let mut world = World::new(style);
    for &op in ops {
        world.step(op);
        world.judge();
    }
    world.end()
}

struct World {
    lan: Lan,
    stations: Vec<Station>,
    hostile: Rc<Ram>,
    /// Numbers of frames from one honest guest to the other that are still to come, by sender.
    expected: [Vec<u32>; HONEST],
    /// How many of those were lost.
    lost: [u64; HONEST],
    /// Frames whose sender was reset before they were used.
    unsure: [BTreeSet<u32>; HONEST],
    failed: [bool; 2],
    played: Played,
}

impl World {
    fn new(style: u8) -> Self {
        let mut stations: Vec<_> = (0..HONEST).map(Station::new).collect();
        let hostile = Rc::new(Ram::new(HOSTILE_RAM));
        let mut ports: Vec<(Mac, Rc<Ram>)> = Vec::new();
        ports.extend(stations.iter().map(|s| (mac(s.port), s.ram.clone())));
        ports.extend(HOSTILE.map(|port| (mac(port), hostile.clone())));
        let rate = Rate::a_second(Some(400_000), Some(400), 1_000_000);
        let mut lan = Lan::new(MTU, &ports, (style & 1 != 0).then_some(rate));
        lan.now = 1_000_000;
        lan.visits_at_kicks = style & 2 == 0;
        for station in &mut stations {
            station.start(&mut lan, 16, style & 4 << station.port != 0);
            station.refill(8, 12 + LONGEST, 1);
        }
        Self {
            lan,
            stations,
            hostile,
            expected: Default::default(),
            lost: [0; HONEST],
            unsure: Default::default(),
            failed: [false; 2],
            played: Played::default(),
        }
    }

    fn step(&mut self, op: Op) {
        let honest = usize::from(op.who) % HONEST;
        let port = HOSTILE[usize::from(op.who) % 2];
        match op.kind % 20 {
            0..3 => self.send(honest, op),
            3 => self.stations[honest].refill(
                usize::from(op.a % 8),
                [64, 1526, 12 + LONGEST][usize::from(op.b) % 3],
                1 + usize::from(op.c % 5),
            ),
            4 => {
                let wants = self.stations[honest].want_interrupts(op.a & 1 != 0);
                if wants {
                    self.reap(honest);
                }
            }
            5 => self.reap(honest),
            6 if op.a < 64 => self.restart(honest, op),
            6 | 7 => self.advance(op),
            8 => self.hostile_start(port, op),
            9 | 10 => self.hostile_send(port, op),
            11 => self.hostile_buffer(port, op),
            12 => {
                let at = self.ring_place(port, op);
                self.hostile.put(at, &op.d.to_le_bytes());
            }
            13 => {
                let at = self.ring_place(port, op);
                self.hostile.race(at, &op.d.to_le_bytes());
            }
            14 => self.descriptor(port, op),
            15 => self.available(port, op),
            16 => self.register(port, op),
            17 => self.lan.restart(port),
            _ => self.lan.kick(port),
        }
    }

    /// An honest guest sends to the other one, to the hostile one, to all, to nobody.
    fn send(&mut self, from: usize, op: Op) {
        let to = match op.a % 6 {
            0..3 => mac(1 - from),
            3 => Mac::BROADCAST,
            4 => mac(HOSTILE[usize::from(op.b) % 2]),
            _ => mac(77),
        };
        let bytes = [21, 60, 1514, LONGEST][usize::from(op.c) % 4];
        let pieces = 1 + usize::from(op.d % 8);
        let sent = self.stations[from].send(to, bytes, pieces);
        if let Some(sequence) = sent
            && (to.is_group() || to == mac(1 - from))
        {
            self.expected[from].push(sequence);
        }
        if op.d & 0x100 == 0 {
            self.stations[from].kick(&mut self.lan);
        }
    }

    fn reap(&mut self, honest: usize) {
        self.stations[honest].reap(&mut self.lan);
        for frame in std::mem::take(&mut self.stations[honest].got) {
            let from = frame[11];
            let hostile = HOSTILE.iter().any(|&port| from == port as u8);
            assert_eq!(frame[6..11], mac(0).0[..5], "a forged address");
            assert!(
                hostile || usize::from(from) == 1 - honest,
                "a forged address"
            );
            if hostile {
                self.played.hostile += 1;
                continue;
            }
            let (from, sequence) = station::read(&frame);
            let expected = &mut self.expected[from];
            let place = expected.iter().position(|&at| at == sequence);
            let place = place.expect("a frame that was sent, in order");
            let missed = expected.drain(..=place).count() - 1;
            self.lost[honest] += missed as u64;
            self.played.honest += 1;
        }
    }

    fn restart(&mut self, honest: usize, op: Op) {
        self.reap(honest);
        let size = [4, 16, 256][usize::from(op.b) % 3];
        if op.c & 1 != 0 {
            // Without a word of its driver's.
            self.lan.restart(honest);
        }
        let unsure = self.stations[honest].start(&mut self.lan, size, op.c & 2 != 0);
        self.unsure[honest].extend(unsure);
    }

    /// Time goes by, and what is due is done.
    fn advance(&mut self, op: Op) {
        self.lan.now += u64::from(op.d) * 4;
        (0..HONEST + HOSTILE.len()).for_each(|port| self.visit_if_due(port));
    }

    fn visit_if_due(&mut self, port: usize) {
        let due = match self.lan.next(port) {
            Next::More => true,
            Next::At(at) => at <= self.lan.now,
            Next::Kick => !self.lan.visits_at_kicks,
            Next::Broken(_) => false,
        };
        if due {
            let _ = self.lan.visit(port);
            self.played.more += u64::from(self.lan.next(port) == Next::More);
        }
    }

    fn rings(&self, port: usize) -> [u64; 2] {
        let first = BASE + (port - HONEST) as u64 * 0x8000;
        [first, first + Ring::BYTES]
    }

    /// The hostile guest sets a device up as it should be, or nearly so.
    fn hostile_start(&mut self, port: usize, op: Op) {
        let size = if op.a == 0 { op.c } else { SIZE };
        let skew = if op.b == 0 { u64::from(op.d) } else { 0 };
        let queue = |at: u64| (size, [at + skew, at + 0x1000 + skew, at + 0x2000 + skew]);
        let queues = self.rings(port).map(queue);
        for at in self.rings(port) {
            self.hostile.put(at, &[0; Ring::BYTES as usize]);
        }
        let features = if op.a & 1 != 0 { u64::MAX } else { !(1 << 29) };
        // What the device thinks of that is all the same.
        let _ = bring_up(&mut (&mut self.lan, port), features, &queues);
    }

    /// It sends a frame that would be right, but for one thing.
    fn hostile_send(&mut self, port: usize, op: Op) {
        let from = match op.a % 8 {
            0 => mac(usize::from(op.b) % HONEST),
            1 => mac(HOSTILE[0]),
            _ => mac(port),
        };
        let to = [mac(0), mac(1), mac(2), mac(3), Mac::BROADCAST][usize::from(op.b) % 5];
        let slot = u64::from(op.c % SIZE);
        let at = BUFFERS + slot * 0x1000;
        self.hostile.put(at + 12, &to.0);
        self.hostile.put(at + 18, &from.0);
        if op.a & 0x40 != 0 {
            self.hostile.race(at + 18, &mac(0).0);
        }
        let len = [13, 40, 64, 1526, 9030, 9031, 0x1_0000][usize::from(op.d) % 7];
        self.set_descriptor(port, 1, slot, (at, len, 0, 0));
        self.make_available(port, 1, slot as u16);
        self.lan.kick(port);
    }

    /// It makes a buffer for frames available.
    fn hostile_buffer(&mut self, port: usize, op: Op) {
        let slot = u64::from(op.c % SIZE);
        let at = BUFFERS + u64::from(op.b) * 0x100;
        let len = [26, 64, 1526, 9030][usize::from(op.d) % 4];
        self.set_descriptor(port, 0, slot, (at, len, 2, 0));
        self.make_available(port, 0, slot as u16);
    }

    fn set_descriptor(
        &self,
        port: usize,
        queue: usize,
        slot: u64,
        (at, len, flags, next): (u64, u32, u16, u16),
    ) {
        let at_slot = self.rings(port)[queue] + slot * 16;
        self.hostile.put(at_slot, &at.to_le_bytes());
        self.hostile.put(at_slot + 8, &len.to_le_bytes());
        self.hostile.put(at_slot + 12, &flags.to_le_bytes());
        self.hostile.put(at_slot + 14, &next.to_le_bytes());
    }

    fn make_available(&self, port: usize, queue: usize, head: u16) {
        let ring = self.rings(port)[queue] + 0x1000;
        let index = u16::from_le_bytes(self.hostile.get(ring + 2));
        let entry = ring + 4 + u64::from(index % SIZE) * 2;
        self.hostile.put(entry, &head.to_le_bytes());
        self.hostile
            .put(ring + 2, &index.wrapping_add(1).to_le_bytes());
    }

    /// A half word of a ring that matters.
    fn ring_place(&self, port: usize, op: Op) -> u64 {
        let ring = self.rings(port)[usize::from(op.a) % 2];
        let slot = u64::from(op.c % SIZE);
        ring + match op.b % 8 {
            0 => slot * 16,
            1 => slot * 16 + 8,
            2 => slot * 16 + 12,
            3 => slot * 16 + 14,
            4 => 0x1000,
            5 => 0x1002,
            6 => 0x1004 + slot * 2,
            _ => 0x1004 + u64::from(SIZE) * 2,
        }
    }

    /// Any descriptor, of values that matter.
    fn descriptor(&mut self, port: usize, op: Op) {
        let at = match op.b % 6 {
            0 => BASE - 8,
            1 => BASE + HOSTILE_RAM as u64 - u64::from(op.d % 64),
            2 => u64::MAX - u64::from(op.d),
            3 => self.rings(port)[0] + u64::from(op.d),
            _ => BUFFERS + u64::from(op.d),
        };
        let len = [0, 1, 12, 26, 1500, 9030, u32::MAX][usize::from(op.d >> 8) % 7];
        let (flags, next) = (op.c & 7, op.c >> 3 & 0xf);
        let queue = usize::from(op.a) % 2;
        self.set_descriptor(
            port,
            queue,
            u64::from(op.a >> 1) % 8,
            (at, len, flags, next),
        );
    }

    fn available(&mut self, port: usize, op: Op) {
        let queue = usize::from(op.a) % 2;
        for n in 0..op.b % 4 {
            self.make_available(port, queue, op.c.wrapping_add(n.into()) % (SIZE + 1));
        }
    }

    fn register(&mut self, port: usize, op: Op) {
        const REGISTERS: [u64; 13] = [
            register::DEVICE_FEATURES_SEL,
            register::DRIVER_FEATURES,
            register::DRIVER_FEATURES_SEL,
            register::QUEUE_SEL,
            register::QUEUE_NUM,
            register::QUEUE_READY,
            register::QUEUE_NOTIFY,
            register::INTERRUPT_ACK,
            register::STATUS,
            register::QUEUE_DESC,
            register::QUEUE_DRIVER,
            register::QUEUE_DEVICE,
            register::QUEUE_DEVICE + 4,
        ];
        let offset = match op.a & 0xf {
            n @ 0..13 => REGISTERS[usize::from(n)],
            13 => register::CONFIG + u64::from(op.d % 32),
            _ => op.d.into(),
        };
        let size = if op.a & 0x10 == 0 { 4 } else { 1 << (op.b % 4) };
        let value = match op.b >> 4 {
            0..4 => u64::from(op.c % 16),
            4..8 => BASE + u64::from(op.c),
            8 => u64::MAX,
            _ => u64::from(op.c),
        };
        self.lan.read(port, offset, size);
        self.lan.write(port, offset, size, value);
    }

    /// What holds after each step.
    fn judge(&mut self) {
        for port in 0..HONEST {
            assert!(!self.lan.has_failed(port), "an honest guest's device");
        }
        for (n, port) in HOSTILE.into_iter().enumerate() {
            let failed = self.lan.has_failed(port);
            self.played.failures += u64::from(failed && !self.failed[n]);
            self.failed[n] = failed;
        }
    }

    /// The honest guests go on, the hostile one plays no more: nothing is stuck, and each frame is accounted for.
    fn end(mut self) -> Played {
        self.hostile.settle();
        HOSTILE.into_iter().for_each(|port| self.lan.restart(port));
        self.drain();
        self.account();
        for station in &mut self.stations {
            // Buffers may be too small for the frames below.
            station.start(&mut self.lan, 16, true);
            station.refill(2, 12 + LONGEST, 3);
        }
        for from in 0..HONEST {
            let before = self.played.honest;
            let sequence = self.stations[from].send(mac(1 - from), LONGEST, 2);
            self.expected[from].push(sequence.expect("room"));
            self.stations[from].kick(&mut self.lan);
            self.drain();
            assert_eq!(self.played.honest, before + 1, "a frame of {from}'s");
        }
        self.played
    }

    /// Until nothing is under way.
    fn drain(&mut self) {
        for _ in 0..200 {
            for from in 0..HONEST {
                self.stations[from].kick(&mut self.lan);
                self.reap(from);
            }
            if self.stations.iter().all(|station| station.under_way() == 0) {
                return (0..HONEST).for_each(|from| self.reap(from));
            }
            self.lan.now += 10_000;
            (0..HONEST).for_each(|port| self.visit_if_due(port));
        }
        panic!("frames stay in a queue");
    }

    fn account(&mut self) {
        for honest in 0..HONEST {
            let (sent, received) = self.lan.counters(honest);
            assert_eq!(received.frames, self.stations[honest].frames);
            let lost = received.no_buffer + received.too_small + received.down;
            let missing = self.lost[honest] + self.expected[1 - honest].len() as u64;
            let unsure = self.unsure[1 - honest].len() as u64;
            assert!(missing <= lost + unsure, "{missing} of {lost} + {unsure}");
            assert_eq!(sent.forged + sent.runts + sent.giants, 0);
            self.lost[honest] = 0;
            self.expected[1 - honest].clear();
            self.played.lost += lost;
            self.played.waits += sent.waits;
            self.played.refused += sent.nobody;
        }
        for port in HOSTILE {
            let (sent, received) = self.lan.counters(port);
            self.played.received += received.frames;
            self.played.lost += received.no_buffer + received.too_small + received.down;
            self.played.refused += sent.forged + sent.runts + sent.giants + sent.nobody;
            self.played.waits += sent.waits;
        }
    }
}
