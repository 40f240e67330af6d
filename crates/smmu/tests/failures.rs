// SPDX-License-Identifier: MIT OR Apache-2.0

//! SMMUs that lack something, refuse something or say nothing.

mod model;

use addr::Pa;
use model::{Shared, assign, revoke};
use smmu::{Causes, CommandError, Error, Event, Features, Kind, Setup, Smmu, Streams, Told};

fn setup() -> Setup {
    Setup {
        table: Pa(0x10_0000),
        stream_bits: 6,
        commands: Pa(0x20_0000),
        events: Pa(0x21_0000),
        vtcr: 0x8005_3559,
        ram_end: 1 << 40,
        polls: 300,
    }
}

fn init(model: &Shared, setup: Setup) -> Result<Smmu<Shared>, Error> {
    Smmu::init(model.clone(), setup)
}

fn failure(model: &Shared, setup: Setup) -> Error {
    init(model, setup).err().expect("it fails")
}

/// Changes bits of an identification register, and returns what is said of it.
fn without(register: u64, clear: u32, set: u32) -> String {
    let model = Shared::new(1);
    let value = model.0.borrow().get(register);
    model.0.borrow_mut().set(register, value & !clear | set);
    failure(&model, setup()).to_string()
}

#[test]
fn each_lack_is_named_with_its_field() {
    #[rustfmt::skip]
    let lacks = [
        (0x1c, 0, 1 << 4, "lacks an SMMUv3: SMMU_AIDR.ArchMajorRev is 0x1"),
        (0x00, 1, 0, "lacks stage 2: SMMU_IDR0.S2P is 0x0"),
        (0x00, 3 << 2, 1 << 2, "lacks AArch64 tables: SMMU_IDR0.TTF is 0x1"),
        (0x00, 1 << 4, 0, "lacks coherent walks: SMMU_IDR0.COHACC is 0x0"),
        (0x00, 0, 3 << 21, "lacks little-endian tables: SMMU_IDR0.TTENDIAN is 0x3"),
        (0x00, 1 << 24, 2 << 24, "lacks faults without a stall: SMMU_IDR0.STALL_MODEL is 0x2"),
        (0x04, 0, 1 << 30, "lacks a table at any address: SMMU_IDR1.TABLES_PRESET is 0x1"),
        (0x04, 0, 1 << 29, "lacks queues at any address: SMMU_IDR1.QUEUES_PRESET is 0x1"),
        (0x04, 31 << 21, 1 << 21, "lacks four commands in a queue: SMMU_IDR1.CMDQS is 0x1"),
        (0x04, 31 << 16, 0, "lacks four events in a queue: SMMU_IDR1.EVENTQS is 0x0"),
        (0x14, 1 << 4, 0, "lacks pages of 4 KiB: SMMU_IDR5.GRAN4K is 0x0"),
        (0x04, 0x3f, 5, "lacks the stream ids that devices have: SMMU_IDR1.SIDSIZE is 0x5"),
        (0x14, 7, 1, "lacks addresses as large as the board's RAM: SMMU_IDR5.OAS is 0x1"),
    ];
    for (register, clear, set, says) in lacks {
        assert_eq!(without(register, clear, set), says);
    }
}

#[test]
fn features_are_read() {
    let mut model = Shared::new(1);
    let features = Features::read(&mut model).unwrap();
    assert_eq!((features.stream_bits, features.output_bits()), (8, 44));
    assert_eq!((features.command_bits, features.event_bits), (3, 3));
    assert!(features.wide_vmids);
    model.0.borrow_mut().set(4, 19 << 21 | 19 << 16 | 32);
    let features = Features::read(&mut model).unwrap();
    assert_eq!((features.command_bits, features.event_bits), (8, 7));
    assert_eq!(features.stream_bits, 32);
}

#[test]
fn tables_that_it_cant_walk_are_refused() {
    let model = Shared::new(1);
    let small = Setup {
        ram_end: 1 << 30,
        ..setup()
    };
    for vtcr in [1 << 14, 1 << 21, 1 << 22, 1 << 16] {
        let vtcr = setup().vtcr ^ vtcr;
        let is_wide = vtcr >> 16 & 7 == 4;
        let end = init(&model, Setup { vtcr, ..small }).err();
        assert_eq!(end.is_none(), is_wide, "{vtcr:#x}");
    }
    model.0.borrow_mut().set(0x14, 1 << 4 | 1);
    assert_eq!(failure(&model, small), Error::Geometry(setup().vtcr));
    let vtcr = 0x8001_355c;
    assert!(init(&model, Setup { vtcr, ..small }).is_ok());
}

#[test]
fn tables_have_to_be_aligned_and_within_ram() {
    let model = Shared::new(1);
    let wrong = |setup: Setup| failure(&model, setup);
    let table = Pa(0x10_0800);
    assert_eq!(wrong(Setup { table, ..setup() }), Error::Address(table));
    let (table, stream_bits) = (Pa(0x10_1000), 7);
    let wide = Setup {
        table,
        stream_bits,
        ..setup()
    };
    assert_eq!(wrong(wide), Error::Address(table));
    let events = Pa(1 << 40);
    assert_eq!(wrong(Setup { events, ..setup() }), Error::Address(events));
    let commands = Pa(0x20_0080);
    let wild = Setup {
        commands,
        ..setup()
    };
    assert_eq!(wrong(wild), Error::Address(commands));
}

#[test]
fn arguments_are_checked() {
    let model = Shared::new(1);
    let value = model.0.borrow().get(0);
    model.0.borrow_mut().set(0, value & !(1 << 18));
    let mut smmu = init(&model, setup()).unwrap();
    let mut assign =
        |first, count, vmid, root| assign(&mut smmu, Streams { first, count }, vmid, root).err();
    assert_eq!(assign(0, 1, 0x100, 0x1000), Some(Error::Vmid(0x100)));
    assert_eq!(assign(0, 1, 1, 0x800), Some(Error::Address(Pa(0x800))));
    assert_eq!(assign(0, 1, 1, 1 << 44), Some(Error::Address(Pa(1 << 44))));
    for (first, count) in [(0, 0), (0, 65), (64, 1), (63, 2), (u32::MAX, u32::MAX)] {
        let streams = Streams { first, count };
        assert_eq!(
            assign(first, count, 1, 0x1000),
            Some(Error::Beyond(streams))
        );
        assert_eq!(
            smmu_silence(&model, first, count),
            Some(Error::Beyond(streams))
        );
    }
}

fn smmu_silence(model: &Shared, first: u32, count: u32) -> Option<Error> {
    let mut smmu = init(model, setup()).unwrap();
    revoke(&mut smmu, Streams { first, count }, 1).err()
}

#[test]
fn a_dead_smmu_is_an_error_and_not_a_hang() {
    for (stuck, name) in [
        (model::GBPA, "GBPA"),
        (model::CR0, "CR0ACK"),
        (model::IRQ_CTRL, "IRQ_CTRLACK"),
        (model::CMDQ_CONS, "CMDQ_CONS"),
    ] {
        let model = Shared::new(9);
        // As the firmware may have left it.
        let mut before = model.0.borrow_mut();
        before.set(model::GBPA, 0);
        for register in [model::CR0, model::CR0 + 4, model::IRQ_CTRL + 4] {
            before.set(register, 1);
        }
        before.stuck = Some(stuck);
        if stuck == model::GBPA {
            before.set(stuck, 1 << 31);
        }
        drop(before);
        assert_eq!(failure(&model, setup()), Error::Timeout(name));
        assert_eq!(
            Error::Timeout(name).to_string(),
            format!("doesn't answer: see SMMU_{name}")
        );
    }
}

#[test]
fn one_that_dies_later_is_an_error_too() {
    let model = Shared::new(2);
    let mut smmu = init(&model, setup()).unwrap();
    assign(&mut smmu, Streams::one(1), 1, 0x30_0000).unwrap();
    model.0.borrow_mut().stuck = Some(model::CMDQ_CONS);
    for _ in 0..20 {
        let end = revoke(&mut smmu, Streams::one(1), 1);
        assert_eq!(end, Err(Error::Timeout("CMDQ_CONS")));
    }
    model.0.borrow_mut().stuck = None;
    revoke(&mut smmu, Streams::one(1), 1).unwrap();
}

/// The operation says so, and the same one again succeeds: the queue goes on.
#[test]
fn a_refused_command_is_told_and_stops_nothing() {
    for (code, error) in [
        (1, CommandError::Illegal),
        (2, CommandError::Abort),
        (3, CommandError::Device),
        (9, CommandError::Other(9)),
    ] {
        for opcode in [0x03, 0x28, 0x46] {
            let model = Shared::new(opcode.into());
            let mut smmu = init(&model, setup()).unwrap();
            assign(&mut smmu, Streams::one(1), 1, 0x30_0000).unwrap();
            model.0.borrow_mut().refuse = Some((opcode, code));
            let end = revoke(&mut smmu, Streams::one(1), 1);
            assert_eq!(end, Err(Error::Command { opcode, error }));
            revoke(&mut smmu, Streams::one(1), 1).unwrap();
            assert!(smmu.errors().is_none());
        }
    }
}

#[test]
fn errors_of_the_whole_smmu_are_named_once() {
    let model = Shared::new(2);
    let mut smmu = init(&model, setup()).unwrap();
    assert!(smmu.errors().is_none());
    let before = model.0.borrow().get(0x60);
    model.0.borrow_mut().set(0x60, before ^ (1 << 3 | 1 << 8));
    assert!(!smmu.overflowed());
    let errors = smmu.errors().unwrap();
    assert_eq!(errors.to_string(), "SMMU_GERROR 0x108 PRIQ_ABT_ERR SFM_ERR");
    assert!(smmu.errors().is_none());
}

/// A device brings it about by many refused accesses: it is no failure of the SMMU.
#[test]
fn events_that_could_not_be_written_are_lost() {
    let model = Shared::new(2);
    let mut smmu = init(&model, setup()).unwrap();
    let before = model.0.borrow().get(0x60);
    model.0.borrow_mut().set(0x60, before ^ 1 << 2);
    assert!(smmu.errors().is_none());
    assert!(smmu.overflowed());
    assert!(!smmu.overflowed());
}

/// Errors that the firmware left behind don't stop the queue.
#[test]
fn old_errors_are_forgotten() {
    let model = Shared::new(2);
    model.0.borrow_mut().set(0x60, 0b1101);
    assert!(init(&model, setup()).unwrap().errors().is_none());
}

/// The order of 3.11, and all that is dropped before translation is on.
#[test]
fn caches_are_dropped_before_translation_is_on() {
    let model = Shared::new(2);
    init(&model, setup()).unwrap();
    assert_eq!(model.0.borrow().consumed, [0x04, 0x30, 0x46]);
    let (idr0, model) = (model.0.borrow().get(0), Shared::new(2));
    model.0.borrow_mut().set(0, idr0 | 1 << 9);
    init(&model, setup()).unwrap();
    assert_eq!(model.0.borrow().consumed, [0x04, 0x30, 0x20, 0x46]);
    let on = model.0.borrow().get(model::CR0 + 4);
    // What a device says it has translated is checked (ATSCHK); nobody asks for pages (PRIQEN).
    assert_eq!(on, 0b1_1101);
    assert_eq!(model.0.borrow().get(0x2c), 0b110);
}

/// A run of streams costs as few commands as it has aligned blocks.
#[test]
fn a_whole_bus_is_few_commands() {
    let model = Shared::new(2);
    let mut smmu = init(&model, setup()).unwrap();
    model.0.borrow_mut().consumed.clear();
    let bus = Streams {
        first: 0,
        count: 64,
    };
    assign(&mut smmu, bus, 1, 0x30_0000).unwrap();
    assert_eq!(model.0.borrow().consumed, [0x04, 0x46, 0x04, 0x46]);
}

/// More commands than the queue has room for wait.
#[test]
fn a_small_queue_does() {
    let model = Shared::new(2);
    model.0.borrow_mut().set(4, 2 << 21 | 2 << 16 | 8);
    let mut smmu = init(&model, setup()).unwrap();
    let streams = Streams {
        first: 1,
        count: 62,
    };
    for _ in 0..10 {
        assign(&mut smmu, streams, 1, 0x30_0000).unwrap();
        revoke(&mut smmu, streams, 1).unwrap();
    }
}

#[test]
fn each_cause_is_told_once() {
    let event = |stream, kind| Event {
        kind,
        stream,
        access: None,
    };
    let mut causes = Causes::<3>::new();
    assert_eq!(causes.note(&event(1, Kind::BadSte)), Told::Now);
    assert_eq!(causes.note(&event(1, Kind::Translation)), Told::Now);
    assert_eq!(causes.note(&event(1, Kind::BadSte)), Told::Before);
    assert_eq!(causes.note(&event(2, Kind::BadSte)), Told::Now);
    assert_eq!(causes.note(&event(3, Kind::BadSte)), Told::Last);
    assert_eq!(causes.note(&event(4, Kind::BadSte)), Told::Before);
    assert_eq!(causes.others(), 2);
    let counts: Vec<_> = causes.iter().map(|cause| cause.count).collect();
    assert_eq!(counts, [2, 1, 1]);
    causes.forget(Streams { first: 0, count: 2 });
    assert_eq!(causes.note(&event(1, Kind::BadSte)), Told::Now);
    assert_eq!(causes.note(&event(2, Kind::BadSte)), Told::Before);
}

#[test]
fn records_are_decoded() {
    let read = 1 << 35;
    let translation = Event::decode([0x10 | 0x1234 << 32, read, 0xdead_b000, 0]);
    assert_eq!(
        translation.to_string(),
        "stream 0x1234: F_TRANSLATION, read of 0xdeadb000"
    );
    let fetch = Event::decode([0x03 | 7 << 32, read, 0xdead_b000, 0x1000]);
    assert_eq!(fetch.to_string(), "stream 0x7: F_STE_FETCH");
    let unknown = Event::decode([0xe0 | u64::from(u32::MAX) << 32, 0, 0, 0]);
    assert_eq!(unknown.to_string(), "stream 0xffffffff: event 0xe0");
    #[rustfmt::skip]
    let numbers = [
        (0x01, Kind::Unsupported), (0x02, Kind::BadStreamId), (0x03, Kind::SteFetch),
        (0x04, Kind::BadSte), (0x05, Kind::BadAtsRequest), (0x06, Kind::StreamDisabled),
        (0x07, Kind::Forbidden), (0x08, Kind::BadSubstreamId), (0x0b, Kind::WalkAbort),
        (0x10, Kind::Translation), (0x11, Kind::AddressSize), (0x12, Kind::AccessFlag),
        (0x13, Kind::Permission), (0x20, Kind::TlbConflict), (0x21, Kind::ConfigConflict),
    ];
    for (number, kind) in numbers {
        assert_eq!(Kind::from(number), kind);
    }
}
