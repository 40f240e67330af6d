// SPDX-License-Identifier: MIT OR Apache-2.0

//! Queues between a driver that keeps the rules, or one that doesn't, and the device's side (Virtio 1.2, 2.7).

use addr::Ipa;
use proptest::prelude::*;
use virtio::{Chain, Fault, Layout, MAX_SEGMENTS, Memory, Queue};
use virtio_model::{BASE, Ram, Ring};

const TABLE: u64 = BASE;
const AVAILABLE: u64 = TABLE + 0x1000;
const USED: u64 = TABLE + 0x2000;
const BUFFERS: u64 = BASE + 0x4000;
const NEXT: u16 = 1;
const WRITE: u16 = 2;
const INDIRECT: u16 = 4;

fn layout(size: u16, event_idx: bool) -> Layout {
    Layout {
        size,
        descriptors: Ipa(TABLE),
        available: Ipa(AVAILABLE),
        used: Ipa(USED),
        event_idx,
    }
}

struct Pair {
    ram: Ram,
    driver: Ring,
    device: Queue,
    chain: Chain,
}

impl Pair {
    fn new(size: u16, event_idx: bool) -> Self {
        let ram = Ram::new(0x1_0000);
        let driver = Ring::new(&ram, TABLE, size, event_idx);
        let mut device = Queue::new();
        device.set(&ram, Some(layout(size, event_idx))).unwrap();
        Self {
            ram,
            driver,
            device,
            chain: Chain::new(),
        }
    }

    fn peek(&mut self) -> Result<bool, Fault> {
        self.device.peek(&self.ram, &mut self.chain, u64::MAX)
    }

    /// Takes a buffer and gives it back.
    fn serve(&mut self, written: u32) -> bool {
        let found = self.peek().unwrap();
        if found {
            self.device.take();
            self.device.put(&self.ram, &self.chain, written).unwrap();
        }
        found
    }

    fn interrupt(&mut self) -> bool {
        self.device.wants_interrupt(&self.ram).unwrap()
    }

    /// Writes a descriptor without regard to anything.
    fn descriptor(&self, slot: u64, at: u64, len: u32, flags: u16, next: u16) {
        let place = TABLE + slot * 16;
        self.ram.put(place, &at.to_le_bytes());
        self.ram.put(place + 8, &len.to_le_bytes());
        self.ram.put(place + 12, &flags.to_le_bytes());
        self.ram.put(place + 14, &next.to_le_bytes());
    }

    /// Makes `head` available as the first entry.
    fn offer(&self, head: u16) {
        self.ram.put(AVAILABLE + 4, &head.to_le_bytes());
        self.ram.put(AVAILABLE + 2, &1_u16.to_le_bytes());
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.chain.readable() as usize];
        self.chain.reader().read(&self.ram, &mut bytes).unwrap();
        bytes
    }
}

#[test]
fn buffers_go_there_and_back() {
    let mut pair = Pair::new(8, false);
    assert!(!pair.peek().unwrap());
    pair.ram.put(BUFFERS, b"question");
    let read = [(BUFFERS, 3), (BUFFERS + 3, 5)];
    let head = pair.driver.add(
        &pair.ram,
        &read,
        &[(BUFFERS + 0x100, 2), (BUFFERS + 0x200, 8)],
    );
    assert!(pair.peek().unwrap());
    assert_eq!((pair.chain.readable(), pair.chain.writable()), (8, 10));
    assert_eq!(pair.bytes(), b"question");
    pair.chain.writer().write(&pair.ram, b"answer").unwrap();
    pair.device.take();
    assert_eq!(pair.driver.take(&pair.ram), None);
    pair.device.put(&pair.ram, &pair.chain, 6).unwrap();
    assert_eq!(pair.driver.take(&pair.ram), Some((head.unwrap(), 6)));
    assert_eq!(pair.ram.bytes_at(BUFFERS + 0x100, 2), b"an");
    assert_eq!(pair.ram.bytes_at(BUFFERS + 0x200, 4), b"swer");
    assert!(!pair.peek().unwrap());
}

#[test]
fn a_buffer_that_was_only_looked_at_stays() {
    let mut pair = Pair::new(8, false);
    pair.ram.put(BUFFERS, b"1st2nd");
    pair.driver.add(&pair.ram, &[(BUFFERS, 3)], &[]);
    pair.driver.add(&pair.ram, &[(BUFFERS + 3, 3)], &[]);
    for _ in 0..3 {
        assert!(pair.peek().unwrap());
        assert_eq!(pair.bytes(), b"1st");
    }
    pair.device.take();
    assert!(pair.peek().unwrap());
    assert_eq!(pair.bytes(), b"2nd");
    // Nothing was found, so there is nothing to take.
    pair.device.take();
    pair.device.take();
    pair.driver.add(&pair.ram, &[(BUFFERS, 1)], &[]);
    assert!(pair.peek().unwrap());
}

#[test]
fn a_cursor_ends_where_the_buffer_does() {
    let mut pair = Pair::new(8, false);
    pair.driver.add(
        &pair.ram,
        &[(BUFFERS, 4), (BUFFERS + 8, 4)],
        &[(BUFFERS + 16, 8)],
    );
    pair.peek().unwrap();
    let mut reader = pair.chain.reader();
    assert!(reader.skip(8).is_ok() && reader.skip(1).is_err());
    assert!(pair.chain.reader().skip(9).is_err());
    assert!(pair.chain.writer().write(&pair.ram, &[0; 9]).is_err());
    let mut writer = pair.chain.writer();
    writer.skip(1).unwrap();
    let mut reader = pair.chain.reader();
    assert!(reader.copy(&pair.ram, (&mut writer, &pair.ram), 8).is_err());
    let other = Ram::new(0x8000);
    let (mut reader, mut writer) = (pair.chain.reader(), pair.chain.writer());
    pair.ram.put(BUFFERS, b"abcd....efgh");
    reader.copy(&pair.ram, (&mut writer, &other), 7).unwrap();
    assert_eq!(other.bytes_at(BUFFERS + 16, 8), b"abcdefg\0");
}

#[test]
fn n01_each_descriptor_and_index_is_read_once() {
    let mut pair = Pair::new(8, false);
    let pieces = [
        (BUFFERS, 100),
        (BUFFERS + 0x100, 100),
        (BUFFERS + 0x200, 100),
    ];
    pair.driver.add(&pair.ram, &pieces, &[]);
    // As soon as it was read, each becomes another one.
    for slot in 0..3 {
        pair.ram.race(TABLE + slot * 16, &[0xff; 16]);
    }
    pair.ram.race(AVAILABLE + 2, &[0xff; 2]);
    pair.ram.race(AVAILABLE + 4, &[0xff; 2]);
    pair.ram.put(BUFFERS, &[7; 0x300]);
    pair.ram.forget();
    assert!(pair.peek().unwrap());
    assert_eq!(pair.bytes(), [7; 300]);
    pair.device.take();
    pair.device.put(&pair.ram, &pair.chain, 0).unwrap();
    assert!(pair.driver.take(&pair.ram).is_some());
    for at in (0..3)
        .map(|slot| TABLE + slot * 16)
        .chain([AVAILABLE + 2, AVAILABLE + 4])
    {
        assert_eq!(pair.ram.reads(at), 1, "{at:#x}");
    }
    // The index is looked at again when nothing is left of what it said, and is nonsense then.
    assert_eq!(pair.peek(), Err(Fault::Index));
}

#[test]
fn n02_a_chain_that_bites_its_tail_is_refused() {
    for (slot, next) in [(0, 0), (1, 0), (3, 1), (7, 4)] {
        let mut pair = Pair::new(8, false);
        for n in 0..8 {
            pair.descriptor(n, BUFFERS, 16, NEXT, n as u16 + 1);
        }
        pair.descriptor(slot, BUFFERS, 16, NEXT, next);
        pair.offer(0);
        assert_eq!(pair.peek(), Err(Fault::Loop));
        assert!(!pair.device.is_running());
        assert_eq!(pair.peek(), Ok(false));
    }
}

#[test]
fn n02_a_long_chain_is_cut() {
    let mut pair = Pair::new(256, false);
    for n in 0..=255 {
        pair.descriptor(n, BUFFERS, 1, NEXT, (n as u16 + 1) % 256);
    }
    pair.offer(0);
    pair.ram.begin();
    assert!(pair.peek().unwrap());
    assert!(pair.chain.is_cut());
    assert_eq!(pair.chain.readable(), MAX_SEGMENTS as u64);
    assert!(pair.ram.work().0 <= MAX_SEGMENTS as u64 + 2);
    // Empty descriptors count, too.
    (0..=255).for_each(|n| pair.descriptor(n, BUFFERS, 0, NEXT, (n as u16 + 1) % 256));
    assert!(pair.peek().unwrap() && pair.chain.is_cut());
    // One that just fits is whole.
    pair.descriptor(MAX_SEGMENTS as u64 - 1, BUFFERS, 1, 0, 0);
    assert!(pair.peek().unwrap() && !pair.chain.is_cut());
}

#[test]
fn n02_only_as_much_is_read_as_is_needed() {
    let mut pair = Pair::new(8, false);
    (0..8).for_each(|n| pair.descriptor(n, BUFFERS, 16, NEXT | WRITE, n as u16 + 1));
    pair.offer(0);
    let found = pair.device.peek(&pair.ram, &mut pair.chain, 33);
    assert_eq!(found, Ok(true));
    assert_eq!(pair.chain.writable(), 48);
    assert_eq!(pair.ram.reads(TABLE + 3 * 16), 0);
}

#[test]
fn n03_indirect_tables_are_refused() {
    let mut pair = Pair::new(8, false);
    pair.descriptor(0, BUFFERS, 32, INDIRECT, 0);
    pair.offer(0);
    assert_eq!(pair.peek(), Err(Fault::Indirect));
    // Nobody has looked at the table.
    assert_eq!(pair.ram.reads(BUFFERS), 0);
}

#[test]
fn n04_addresses_outside_ram_are_refused() {
    let end = BASE + 0x1_0000;
    let bad = [
        (0, 1),
        (BASE - 1, 1),
        (BASE - 1, 2),
        (end, 1),
        (end - 1, 2),
        (BASE, 0x1_0001),
        (BASE, u32::MAX),
        (u64::MAX, 1),
        (u64::MAX, 2),
        (u64::MAX - 15, 32),
        (0xffff_0000_0000_0000 | BASE, 1),
    ];
    for (at, len) in bad {
        for flags in [0, WRITE] {
            let mut pair = Pair::new(8, false);
            pair.descriptor(0, BUFFERS, 16, NEXT | flags, 1);
            pair.descriptor(1, at, len, flags, 0);
            pair.offer(0);
            assert_eq!(pair.peek(), Err(Fault::NotRam), "{at:#x}+{len:#x}");
        }
    }
    let mut pair = Pair::new(8, false);
    pair.descriptor(0, end - 16, 16, 0, 0);
    pair.offer(0);
    assert_eq!(pair.peek(), Ok(true));
}

#[test]
fn n04_rings_outside_ram_are_refused() {
    let ram = Ram::new(0x1_0000);
    let end = BASE + 0x1_0000;
    let good = layout(8, true);
    // What 8 entries need, to the byte.
    type Field = fn(&mut Layout) -> &mut Ipa;
    let bounds: [(Field, u64); 3] = [
        (|layout| &mut layout.descriptors, 8 * 16),
        (|layout| &mut layout.available, 6 + 8 * 2),
        (|layout| &mut layout.used, 6 + 8 * 8),
    ];
    for (field, bytes) in bounds {
        for (at, fits) in [
            (end - bytes, true),
            (end - bytes + 1, false),
            (BASE - 1, false),
        ] {
            let mut moved = good;
            *field(&mut moved) = Ipa(at);
            let result = Queue::new().set(&ram, Some(moved));
            assert_eq!(result.is_ok(), fits, "{at:#x}");
        }
        let mut moved = good;
        *field(&mut moved) = Ipa(u64::MAX);
        assert_eq!(Queue::new().set(&ram, Some(moved)), Err(Fault::NotRam));
    }
}

#[test]
fn n16_a_head_or_a_next_that_the_table_lacks_is_refused() {
    for head in [8, 9, 0xffff] {
        let mut pair = Pair::new(8, false);
        pair.offer(head);
        assert_eq!(pair.peek(), Err(Fault::Index));
        let mut pair = Pair::new(8, false);
        pair.descriptor(0, BUFFERS, 1, NEXT, head);
        pair.offer(0);
        assert_eq!(pair.peek(), Err(Fault::Index));
    }
}

#[test]
fn n16_more_buffers_than_the_queue_holds_are_refused() {
    let mut pair = Pair::new(8, false);
    pair.descriptor(0, BUFFERS, 1, 0, 0);
    pair.ram.put(AVAILABLE + 2, &8_u16.to_le_bytes());
    assert_eq!(pair.peek(), Ok(true));
    for index in [9_u16, 0xffff, 0x8000] {
        let mut pair = Pair::new(8, false);
        pair.ram.put(AVAILABLE + 2, &index.to_le_bytes());
        assert_eq!(pair.peek(), Err(Fault::Index), "{index}");
    }
}

#[test]
fn n16_what_is_read_comes_before_what_is_written() {
    let mut pair = Pair::new(8, false);
    pair.descriptor(0, BUFFERS, 1, NEXT | WRITE, 1);
    pair.descriptor(1, BUFFERS, 1, 0, 0);
    pair.offer(0);
    assert_eq!(pair.peek(), Err(Fault::Direction));
}

#[test]
fn n12_a_queue_that_starts_anew_knows_nothing_of_before() {
    for event_idx in [false, true] {
        let mut pair = Pair::new(8, event_idx);
        for _ in 0..5 {
            pair.driver.add(&pair.ram, &[(BUFFERS, 1)], &[]);
        }
        pair.serve(0);
        pair.peek().unwrap();
        let stale = pair.chain.clone();
        pair.device.stop();
        // A core that comes late with its buffer writes nothing.
        let before = pair.ram.bytes_at(BASE, 0x8000);
        pair.device.take();
        assert_eq!(pair.device.put(&pair.ram, &stale, 1), Ok(()));
        assert!(!pair.interrupt());
        assert_eq!(pair.device.ask_for_kick(&pair.ram), Ok(false));
        assert_eq!(pair.device.spare_kicks(&pair.ram), Ok(()));
        assert_eq!(pair.ram.bytes_at(BASE, 0x8000), before);

        pair.driver = Ring::new(&pair.ram, TABLE, 8, event_idx);
        pair.device
            .set(&pair.ram, Some(layout(8, event_idx)))
            .unwrap();
        assert!(!pair.peek().unwrap());
        let head = pair.driver.add(&pair.ram, &[(BUFFERS, 1)], &[]);
        assert!(pair.serve(0));
        assert_eq!(pair.driver.take(&pair.ram), Some((head.unwrap(), 0)));
    }
}

#[test]
fn n10_a_driver_that_wants_no_interrupts_gets_none() {
    for event_idx in [false, true] {
        let mut pair = Pair::new(8, event_idx);
        assert!(!pair.interrupt(), "for nothing");
        for (wanted, expected) in [(true, true), (false, false), (true, true)] {
            pair.driver.want_interrupts(&pair.ram, wanted);
            pair.driver.add(&pair.ram, &[(BUFFERS, 1)], &[]);
            pair.serve(0);
            assert_eq!(pair.interrupt(), expected);
            assert!(!pair.interrupt(), "twice for the same buffer");
            pair.driver.take(&pair.ram);
        }
    }
}

#[test]
fn n10_with_event_idx_one_interrupt_is_for_all_until_the_driver_looks() {
    let mut pair = Pair::new(8, true);
    pair.driver.want_interrupts(&pair.ram, true);
    let mut interrupts = 0;
    for _ in 0..8 {
        pair.driver.add(&pair.ram, &[(BUFFERS, 1)], &[]);
        pair.serve(0);
        interrupts += u32::from(pair.interrupt());
    }
    assert_eq!(interrupts, 1);
}

#[test]
fn kicks_are_spared_until_they_are_asked_for() {
    for event_idx in [false, true] {
        let mut pair = Pair::new(8, event_idx);
        assert!(!pair.device.ask_for_kick(&pair.ram).unwrap());
        pair.driver.add(&pair.ram, &[(BUFFERS, 1)], &[]);
        assert!(pair.driver.needs_kick(&pair.ram));
        pair.device.spare_kicks(&pair.ram).unwrap();
        pair.serve(0);
        pair.driver.add(&pair.ram, &[(BUFFERS, 1)], &[]);
        assert!(!pair.driver.needs_kick(&pair.ram));
        // Nobody has kicked for that one.
        assert!(pair.device.ask_for_kick(&pair.ram).unwrap());
        pair.serve(0);
        assert!(!pair.device.ask_for_kick(&pair.ram).unwrap());
        pair.driver.add(&pair.ram, &[(BUFFERS, 1)], &[]);
        assert!(pair.driver.needs_kick(&pair.ram));
    }
}

/// RAM that notes the order of accesses.
struct Ordered<'a>(&'a Ram, std::cell::RefCell<Vec<String>>);

impl Ordered<'_> {
    fn note(&self, what: &str, at: Ipa) {
        self.1.borrow_mut().push(format!("{what} {:#x}", at.0));
    }
}

impl Memory for Ordered<'_> {
    fn is_ram(&self, at: Ipa, len: u64) -> bool {
        self.0.is_ram(at, len)
    }
    fn load(&self, at: Ipa) -> Result<u16, virtio::NotRam> {
        self.note("load", at);
        self.0.load(at)
    }
    fn store(&self, at: Ipa, value: u16) -> Result<(), virtio::NotRam> {
        self.note("store", at);
        self.0.store(at, value)
    }
    fn fence(&self) {
        self.note("fence", Ipa(0));
    }
    fn read_words(&self, from: Ipa) -> Result<[u64; 2], virtio::NotRam> {
        self.note("words", from);
        self.0.read_words(from)
    }
    fn write_halves(&self, to: Ipa, halves: [u32; 2]) -> Result<(), virtio::NotRam> {
        self.note("halves", to);
        self.0.write_halves(to, halves)
    }
    fn read(&self, from: Ipa, bytes: &mut [u8]) -> Result<(), virtio::NotRam> {
        self.note("read", from);
        self.0.read(from, bytes)
    }
    fn write(&self, to: Ipa, bytes: &[u8]) -> Result<(), virtio::NotRam> {
        self.note("write", to);
        self.0.write(to, bytes)
    }
    fn copy(&self, _: Ipa, _: &Self, _: Ipa, _: u32) -> Result<(), virtio::NotRam> {
        Err(virtio::NotRam)
    }
}

/// The index before entry and descriptor, data and entry before the index, a fence between what is stored for the
/// other side to see and what is loaded of it.
#[test]
fn accesses_come_in_the_order_that_the_protocol_needs() {
    let mut pair = Pair::new(8, true);
    pair.driver.add(&pair.ram, &[], &[(BUFFERS, 4)]);
    let ordered = Ordered(&pair.ram, Default::default());
    pair.device
        .peek(&ordered, &mut pair.chain, u64::MAX)
        .unwrap();
    pair.device.take();
    pair.chain.writer().write(&ordered, b"data").unwrap();
    pair.device.put(&ordered, &pair.chain, 4).unwrap();
    pair.device.wants_interrupt(&ordered).unwrap();
    pair.device.ask_for_kick(&ordered).unwrap();
    let at = |what: &str, at: u64| format!("{what} {at:#x}");
    assert_eq!(
        ordered.1.into_inner(),
        [
            at("load", AVAILABLE + 2),
            at("load", AVAILABLE + 4),
            at("words", TABLE),
            at("write", BUFFERS),
            at("halves", USED + 4),
            at("store", USED + 2),
            at("fence", 0),
            at("load", AVAILABLE + 4 + 8 * 2),
            at("store", USED + 4 + 8 * 8),
            at("fence", 0),
            at("load", AVAILABLE + 2),
        ]
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6))]

    /// Over more buffers than the rings' indexes count, in any rhythm: each comes back once and in order, none is
    /// waited for in vain on either side.
    #[test]
    fn nothing_is_lost_and_nobody_waits_in_vain(
        event_idx in any::<bool>(),
        rhythm in prop::collection::vec((1_usize..9, 0_usize..9, any::<bool>()), 200),
    ) {
        let mut pair = Pair::new(8, event_idx);
        let mut sent = std::collections::VecDeque::new();
        let mut due = pair.device.ask_for_kick(&pair.ram).unwrap();
        pair.driver.want_interrupts(&pair.ram, true);
        let mut came = false;
        for (add, serve, look) in rhythm.into_iter().cycle().take(20_000) {
            pair.ram.forget();
            for _ in 0..add {
                sent.extend(pair.driver.add(&pair.ram, &[(BUFFERS, 1)], &[]));
            }
            due |= pair.driver.needs_kick(&pair.ram);
            // The device works only when it was kicked, or knows that it isn't done.
            if due {
                pair.device.spare_kicks(&pair.ram).unwrap();
                let served = (0..serve).take_while(|_| pair.serve(0)).count();
                if served < serve || serve == 8 {
                    due = pair.device.ask_for_kick(&pair.ram).unwrap();
                }
                came |= pair.interrupt();
            }
            // The driver looks only when it was interrupted.
            if look && came {
                came = false;
                pair.driver.want_interrupts(&pair.ram, false);
                loop {
                    while let Some((head, _)) = pair.driver.take(&pair.ram) {
                        prop_assert_eq!(sent.pop_front(), Some(head));
                    }
                    if !pair.driver.want_interrupts(&pair.ram, true) {
                        break;
                    }
                }
            }
            // With all buffers under way, one of the two has something to do.
            prop_assert!(pair.driver.room() > 0 || due || came);
        }
    }
}
