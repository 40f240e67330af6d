// SPDX-License-Identifier: MIT OR Apache-2.0

//! The registers as a driver sees them (Virtio 1.2, 4.2.2).

use proptest::prelude::*;
use virtio::{EVENT_IDX, Effect, Queues, Transport, VERSION_1};
use virtio_model::{Registers, bring_up, register::*};

const DEVICE: u32 = 42;
/// A feature of the device's own.
const OWN: u64 = 1 << 5;
const CONFIG_BYTES: [u8; 6] = [1, 2, 3, 4, 5, 6];

fn device() -> Transport<2> {
    Transport::new(DEVICE, OWN)
}

fn get(device: &Transport<2>, offset: u64) -> u64 {
    device.read(offset, 4, &CONFIG_BYTES)
}

/// Writes what is to have no effect outside.
fn set(device: &mut Transport<2>, offset: u64, value: u64) {
    assert_eq!(device.write(offset, 4, value), Effect::None);
}

/// A driver's way to a device.
struct Way<'a>(&'a mut Transport<2>, Vec<Effect>);

impl Registers for Way<'_> {
    fn read(&mut self, offset: u64) -> u32 {
        get(self.0, offset) as u32
    }

    fn write(&mut self, offset: u64, value: u32) {
        let effect = self.0.write(offset, 4, value.into());
        if effect != Effect::None {
            self.1.push(effect);
        }
    }
}

/// Sets a device up, with queues at these places.
fn up(device: &mut Transport<2>) -> Vec<Effect> {
    let queues = [
        (16, [0x1000, 0x2000, 0x3000]),
        (8, [0x1_0000_4000, 0x5002, 0x6004]),
    ];
    let mut way = Way(device, Vec::new());
    assert_eq!(
        bring_up(&mut way, u64::MAX, &queues),
        Ok(OWN | VERSION_1 | EVENT_IDX)
    );
    way.1
}

fn numbers(effect: &Effect) -> Vec<usize> {
    match effect {
        Effect::Queues(queues) => Queues::iter(*queues).collect(),
        _ => Vec::new(),
    }
}

#[test]
fn a_device_says_what_it_is() {
    let mut device = device();
    assert_eq!(get(&device, MAGIC), 0x7472_6976);
    assert_eq!(get(&device, VERSION), 2);
    assert_eq!(get(&device, DEVICE_ID), DEVICE.into());
    assert_eq!(get(&device, DEVICE_FEATURES), EVENT_IDX | OWN);
    set(&mut device, DEVICE_FEATURES_SEL, 1);
    assert_eq!(get(&device, DEVICE_FEATURES), VERSION_1 >> 32);
    set(&mut device, DEVICE_FEATURES_SEL, 2);
    assert_eq!(get(&device, DEVICE_FEATURES), 0);
    for shared_memory in [0xb0, 0xb4, 0xb8, 0xbc] {
        assert_eq!(get(&device, shared_memory), 0xffff_ffff);
    }
}

#[test]
fn a_driver_sets_it_up() {
    let mut device = device();
    assert_eq!(device.queue(0), None);
    let effects = up(&mut device);
    // The reset, and the queues' start.
    assert_eq!(
        effects.iter().map(numbers).collect::<Vec<_>>(),
        [[0, 1], [0, 1]]
    );
    let first = device.queue(0).unwrap();
    assert_eq!((first.size, first.event_idx), (16, true));
    let second = device.queue(1).unwrap();
    assert_eq!(second.descriptors.0, 0x1_0000_4000);
    assert_eq!((second.available.0, second.used.0), (0x5002, 0x6004));
    assert_eq!(device.queue(2), None);
    assert!(device.has(OWN) && device.has(EVENT_IDX));
    assert_eq!(device.write(QUEUE_NOTIFY, 4, 1), Effect::Notify(1));
    set(&mut device, QUEUE_NOTIFY, 2);
    set(&mut device, QUEUE_NOTIFY, 0x1_0000);
}

#[test]
fn a_legacy_driver_or_one_that_wants_more_is_refused() {
    for chosen in [OWN, VERSION_1 | 1 << 28, VERSION_1 | 1 << 34] {
        let mut device = device();
        set(&mut device, STATUS, 1);
        set(&mut device, STATUS, 3);
        for half in [0, 1] {
            set(&mut device, DRIVER_FEATURES_SEL, half);
            set(
                &mut device,
                DRIVER_FEATURES,
                chosen >> (32 * half) & 0xffff_ffff,
            );
        }
        set(&mut device, STATUS, 0xb);
        assert_eq!(get(&device, STATUS), 3);
        set(&mut device, STATUS, 0xf);
        assert_eq!(get(&device, STATUS), 3, "{chosen:#x}");
        assert!(!device.has(OWN));
    }
}

#[test]
fn n15_a_status_without_those_before_it_is_ignored() {
    for status in [2, 4, 8, 0xc, 0xe] {
        let mut device = device();
        set(&mut device, DRIVER_FEATURES_SEL, 1);
        set(&mut device, DRIVER_FEATURES, 1);
        set(&mut device, STATUS, status);
        assert_eq!(get(&device, STATUS), 0, "{status}");
    }
    let mut device = device();
    let _ = up(&mut device);
    // Only a reset clears bits.
    set(&mut device, STATUS, 1);
    assert_eq!(get(&device, STATUS), 0xf);
}

#[test]
fn n15_features_stand_once_they_are_agreed_on() {
    let mut device = device();
    let _ = up(&mut device);
    set(&mut device, DRIVER_FEATURES_SEL, 0);
    set(&mut device, DRIVER_FEATURES, 0);
    assert!(device.has(OWN));
    assert!(device.queue(0).unwrap().event_idx);
}

#[test]
fn n15_a_queue_in_use_stays_where_it_is() {
    let mut device = device();
    let _ = up(&mut device);
    let before = device.queue(0);
    set(&mut device, QUEUE_SEL, 0);
    for offset in [0x38, 0x80, 0x84, 0x90, 0x94, 0xa0, 0xa4] {
        set(&mut device, offset, 0x40);
    }
    assert_eq!(device.queue(0), before);
    // Once it is not ready it can move.
    let effect = device.write(QUEUE_READY, 4, 0);
    assert_eq!(numbers(&effect), [0]);
    assert_eq!(device.queue(0), None);
    assert_eq!(device.write(QUEUE_NOTIFY, 4, 0), Effect::None);
    set(&mut device, QUEUE_DESC, 0x40);
    assert_eq!(numbers(&device.write(QUEUE_READY, 4, 1)), [0]);
    assert_eq!(device.queue(0).unwrap().descriptors.0, 0x40);
    assert!(device.queue(1).is_some());
}

#[test]
fn n15_a_queue_that_cannot_be_fails_the_device() {
    let bad: [(u64, u64); 7] = [
        (QUEUE_NUM, 0),
        (QUEUE_NUM, 3),
        (QUEUE_NUM, 512),
        (QUEUE_NUM, 0x1_0000),
        (QUEUE_DESC, 8),
        (QUEUE_DRIVER, 1),
        (QUEUE_DEVICE, 2),
    ];
    for (offset, value) in bad {
        let mut device = device();
        let _ = up(&mut device);
        let _ = device.write(QUEUE_READY, 4, 0);
        set(&mut device, offset, value);
        let effect = device.write(QUEUE_READY, 4, 1);
        assert_eq!(numbers(&effect), [0, 1], "{offset:#x} {value:#x}");
        assert_eq!((device.queue(0), device.queue(1)), (None, None));
        assert_eq!(get(&device, STATUS), 0x4f);
        // The driver hears of it.
        assert_eq!(get(&device, INTERRUPT_STATUS), 2);
        assert!(device.level());
        // And can begin anew.
        let _ = up(&mut device);
        assert!(device.queue(0).is_some());
    }
}

#[test]
fn interrupts_are_acknowledged_by_cause() {
    let mut device = device();
    assert!(!device.interrupt() && !device.level(), "nobody listens");
    let _ = up(&mut device);
    assert!(device.interrupt());
    assert!(!device.interrupt(), "it is up already");
    let generation = get(&device, GENERATION);
    assert!(!device.config_changed());
    assert_ne!(get(&device, GENERATION), generation);
    assert_eq!(get(&device, INTERRUPT_STATUS), 3);
    set(&mut device, INTERRUPT_ACK, 1);
    assert!(device.level());
    set(&mut device, INTERRUPT_ACK, 2);
    assert!(!device.level());
}

#[test]
fn n12_nothing_of_before_a_reset_is_left() {
    for by_driver in [false, true] {
        let mut device = device();
        let _ = up(&mut device);
        device.interrupt();
        match by_driver {
            true => assert_eq!(numbers(&device.write(STATUS, 4, 0)), [0, 1]),
            false => device.reset(),
        }
        assert_eq!((device.queue(0), device.queue(1)), (None, None));
        assert!(!device.level() && !device.has(OWN));
        // A core that was just serving the queue comes too late to interrupt.
        assert!(!device.interrupt() && !device.level());
        for register in [STATUS, INTERRUPT_STATUS, QUEUE_READY] {
            assert_eq!(get(&device, register), 0);
        }
        set(&mut device, QUEUE_SEL, 1);
        assert_eq!(get(&device, QUEUE_READY), 0);
        // Not even a size or an address.
        let effect = device.write(QUEUE_READY, 4, 1);
        assert_eq!(numbers(&effect), [0, 1]);
        assert_eq!(get(&device, STATUS), 0x40);
    }
}

#[test]
fn a_driver_that_has_failed_is_not_served() {
    let mut device = device();
    let _ = up(&mut device);
    assert_eq!(numbers(&device.write(STATUS, 4, 0x8f)), [0, 1]);
    assert_eq!(device.queue(0), None);
    assert!(!device.interrupt());
}

#[test]
fn configuration_is_read_in_any_width() {
    let device = device();
    let read = |offset, size| device.read(CONFIG + offset, size, &CONFIG_BYTES);
    assert_eq!(read(0, 1), 1);
    assert_eq!(read(1, 2), 0x0302);
    assert_eq!(read(0, 4), 0x0403_0201);
    assert_eq!(read(0, 8), 0x0605_0403_0201);
    assert_eq!(read(4, 4), 0x0605);
    assert_eq!(read(6, 4), 0);
    assert_eq!(device.read(u64::MAX, 8, &CONFIG_BYTES), 0);
}

#[test]
fn n15_registers_are_words() {
    let mut device = device();
    for (offset, size) in [
        (STATUS, 1),
        (STATUS, 2),
        (STATUS, 8),
        (STATUS + 1, 4),
        (STATUS - 2, 4),
    ] {
        assert_eq!(device.write(offset, size, 0x0001_0001), Effect::None);
        assert_eq!(get(&device, STATUS), 0, "{offset:#x} {size}");
    }
    assert_eq!(device.read(MAGIC, 1, &CONFIG_BYTES), 0);
    assert_eq!(device.read(MAGIC, 8, &CONFIG_BYTES), 0);
    assert_eq!(device.read(MAGIC + 2, 4, &CONFIG_BYTES), 0);
}

proptest! {
    /// Whatever is written in whatever order, what a queue starts with is sound, and nothing runs without its driver.
    #[test]
    fn n15_any_writes_in_any_order(
        is_up in any::<bool>(),
        writes in prop::collection::vec(
            (
                prop_oneof![8 => (0_u64..64).prop_map(|n| n * 4), 1 => 0_u64..0x200],
                prop_oneof![8 => Just(4_u8), 1 => prop_oneof![Just(1_u8), Just(2), Just(8)]],
                prop_oneof![4 => 0_u64..16, 1 => any::<u64>(), 1 => Just(0x8_0000)],
            ),
            0..300,
        ),
    ) {
        let mut device = device();
        if is_up {
            let _ = up(&mut device);
        }
        for (offset, size, value) in writes {
            let before = [device.queue(0), device.queue(1)];
            let effect = device.write(offset, size, value);
            let now = [device.queue(0), device.queue(1)];
            // Each change is told.
            let told = numbers(&effect);
            for queue in 0..2 {
                prop_assert!(before[queue] == now[queue] || told.contains(&queue));
            }
            for layout in now.into_iter().flatten() {
                prop_assert!(layout.size.is_power_of_two() && layout.size <= 256);
                prop_assert!(layout.descriptors.is_aligned(16));
                prop_assert!(layout.available.is_aligned(2) && layout.used.is_aligned(4));
                prop_assert_eq!(get(&device, STATUS) & 0xcf, 0xf);
                prop_assert!(device.has(VERSION_1));
            }
            if let Effect::Notify(queue) = effect {
                prop_assert!(now[queue].is_some());
            }
            for offset in (0..0x120).step_by(4) {
                get(&device, offset);
            }
        }
    }
}
