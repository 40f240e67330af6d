// SPDX-License-Identifier: MIT OR Apache-2.0

//! What devices reach while guests come and go.

mod model;

use addr::Pa;
use model::device::Fault;
use model::walk::{READ, READ_WRITE};
use model::{Shared, assign, revoke};
use proptest::prelude::*;
use smmu::{Event, Kind, Setup, Smmu, Streams};

const VTCR: u64 = 0x8005_3559;
const STREAMS: u32 = 16;
const GUESTS: usize = 3;
const PAGES: u64 = 4;
const IPA: u64 = 0x4000_0000;

fn setup() -> Setup {
    Setup {
        table: Pa(0x10_0000),
        stream_bits: 4,
        commands: Pa(0x20_0000),
        events: Pa(0x21_0000),
        vtcr: VTCR,
        ram_end: 1 << 40,
        polls: 2_000,
    }
}

fn vmid(guest: usize) -> u16 {
    guest as u16 + 1
}

fn root(guest: usize) -> u64 {
    0x30_0000 + guest as u64 * 0x1_0000
}

/// Guests on a board, and what they have.
struct Board {
    model: Shared,
    smmu: Smmu<Shared>,
    owner: [Option<usize>; STREAMS as usize],
    /// Where each page of each guest's RAM is, if it is mapped.
    ram: [[Option<u64>; PAGES as usize]; GUESTS],
    /// Physical memory is never used twice, so that late accesses show.
    next: u64,
}

impl Board {
    fn new(seed: u64) -> Self {
        let model = Shared::new(seed);
        let smmu = Smmu::init(model.clone(), setup()).unwrap();
        let mut board = Self {
            model,
            smmu,
            owner: [None; STREAMS as usize],
            ram: [[None; PAGES as usize]; GUESTS],
            next: 0x8000_0000,
        };
        (0..GUESTS).for_each(|guest| board.lay_out(guest));
        board
    }

    /// Gives a guest new RAM in the place of what it had.
    fn lay_out(&mut self, guest: usize) {
        for page in 0..PAGES {
            let pa = self.next;
            self.next += 0x1000;
            self.map(guest, page, Some(pa));
        }
    }

    fn map(&mut self, guest: usize, page: u64, pa: Option<u64>) {
        self.ram[guest][page as usize] = pa;
        let leaf = pa.map(|pa| (pa, READ_WRITE));
        let mut model = self.model.0.borrow_mut();
        model.map(root(guest), IPA + page * 0x1000, leaf);
    }

    fn streams(&self, guest: usize) -> Vec<u32> {
        let owned = |&stream: &u32| self.owner[stream as usize] == Some(guest);
        (0..STREAMS).filter(owned).collect()
    }

    fn restart(&mut self, guest: usize) {
        let streams = self.streams(guest);
        for &stream in &streams {
            revoke(&mut self.smmu, Streams::one(stream), vmid(guest)).unwrap();
            self.owner[stream as usize] = None;
            self.nothing_else_is_reached();
        }
        self.lay_out(guest);
        for &stream in &streams {
            // As it was prepared when the guest got it.
            self.smmu.open(Streams::one(stream)).unwrap();
            self.owner[stream as usize] = Some(guest);
        }
    }

    /// Waits until all that is under way has arrived: at memory of the stream's own guest, as it is now.
    fn nothing_else_is_reached(&mut self) {
        let mut model = self.model.0.borrow_mut();
        model.reached.clear();
        model.settle();
        while model.land_one() {}
        for (stream, pa) in std::mem::take(&mut model.reached) {
            assert!(self.may_reach(stream, pa), "{stream:#x} reached {pa:#x}");
        }
    }

    fn may_reach(&self, stream: u32, pa: u64) -> bool {
        let owner = self.owner.get(stream as usize).copied().flatten();
        owner.is_some_and(|guest| self.ram[guest].contains(&Some(pa & !0xfff)))
    }

    fn drain(&mut self) -> Vec<Event> {
        let events = std::iter::from_fn(|| self.smmu.next_event()).collect();
        self.smmu.overflowed();
        events
    }

    /// One access, with the only right end and the only right event.
    fn access(&mut self, stream: u32, page: u64, write: bool) {
        self.nothing_else_is_reached();
        self.drain();
        let address = IPA + page * 0x1000 + 0x123;
        let end = self.model.0.borrow_mut().dma(stream, address, write);
        let owner = self.owner.get(stream as usize).copied().flatten();
        let page = owner.and_then(|guest| self.ram[guest].get(page as usize).copied().flatten());
        let kind = match (owner, page) {
            (_, Some(pa)) => return assert_eq!(end, Ok(pa | 0x123)),
            _ if stream >= STREAMS => Kind::BadStreamId,
            (None, _) => Kind::BadSte,
            _ => Kind::Translation,
        };
        assert!(end.is_err());
        let access = (kind == Kind::Translation).then_some((address, write));
        let event = Event {
            kind,
            stream,
            access,
        };
        assert_eq!(self.drain(), [event]);
    }

    /// Takes a step while devices go on: what they reach meanwhile is their guest's before it or after it.
    fn step(&mut self, step: &Step) {
        let before = (self.owner, self.ram);
        self.model.0.borrow_mut().busy = STREAMS.into();
        self.take(step);
        let mut model = self.model.0.borrow_mut();
        model.busy = 0;
        let reached = std::mem::take(&mut model.reached);
        drop(model);
        for (stream, pa) in reached {
            let was = (before.0.get(stream as usize).copied().flatten())
                .is_some_and(|guest| before.1[guest].contains(&Some(pa & !0xfff)));
            assert!(was || self.may_reach(stream, pa), "{stream:#x}, {pa:#x}");
        }
        if !matches!(step, Step::Begin(..)) {
            self.nothing_else_is_reached();
        }
    }

    fn take(&mut self, step: &Step) {
        match *step {
            Step::Assign(guest, first, count) => self.assign(guest, first, count),
            Step::Revoke(first, count) => self.revoke(first, count),
            Step::Restart(guest) => self.restart(guest),
            Step::Unmap(guest, page) => {
                self.map(guest, page, None);
                self.smmu.invalidate(vmid(guest)).unwrap();
            }
            Step::Begin(stream, page) => {
                let mut model = self.model.0.borrow_mut();
                model.begin(stream, IPA + page * 0x1000, true);
            }
            Step::Access(stream, page, write) => self.access(stream, page, write),
        }
    }

    fn assign(&mut self, guest: usize, first: u32, count: u32) {
        let streams = Streams { first, count };
        let given = assign(&mut self.smmu, streams, vmid(guest), root(guest));
        let mut range = first as usize..(first + count) as usize;
        if range.end > STREAMS as usize {
            assert_eq!(given, Err(smmu::Error::Beyond(streams)));
        } else if let Some(taken) = range.clone().find(|&at| self.owner[at].is_some()) {
            assert_eq!(given, Err(smmu::Error::Taken(taken as u32)));
        } else {
            given.unwrap();
            range.all(|at| self.owner[at].replace(guest).is_none());
        }
    }

    /// Takes those of the streams that the first one's guest has.
    fn revoke(&mut self, first: u32, count: u32) {
        let Some(guest) = self.owner[first as usize] else {
            return;
        };
        let owned = |at: &u32| self.owner.get(*at as usize) == Some(&Some(guest));
        let count = (first..first + count).take_while(owned).count() as u32;
        let streams = Streams { first, count };
        revoke(&mut self.smmu, streams, vmid(guest)).unwrap();
        (first..first + count).for_each(|at| self.owner[at as usize] = None);
    }
}

#[derive(Clone, Debug)]
enum Step {
    Assign(usize, u32, u32),
    Revoke(u32, u32),
    Restart(usize),
    Unmap(usize, u64),
    Begin(u32, u64),
    Access(u32, u64, bool),
}

fn step() -> impl Strategy<Value = Step> {
    let stream = 0..STREAMS + 2;
    let run = (0..STREAMS, 1..9_u32);
    let page = 0..PAGES + 1;
    prop_oneof![
        3 => (0..GUESTS, run.clone()).prop_map(|(guest, run)| Step::Assign(guest, run.0, run.1)),
        2 => run.prop_map(|run| Step::Revoke(run.0, run.1)),
        1 => (0..GUESTS).prop_map(Step::Restart),
        1 => (0..GUESTS, 0..PAGES).prop_map(|(guest, page)| Step::Unmap(guest, page)),
        6 => (stream.clone(), page.clone()).prop_map(|(stream, page)| Step::Begin(stream, page)),
        6 => (stream, page, any::<bool>()).prop_map(|at| Step::Access(at.0, at.1, at.2)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn a_stream_reaches_its_guests_ram_and_nothing_else(
        seed in any::<u64>(),
        steps in prop::collection::vec(step(), 1..60),
    ) {
        let mut board = Board::new(seed);
        steps.iter().for_each(|step| board.step(step));
    }
}

#[test]
fn the_queues_wrap_many_times() {
    let mut board = Board::new(7);
    for round in 0..200 {
        board.assign(round % GUESTS, 3, 7);
        board.access(3 + round as u32 % 7, round as u64 % PAGES, true);
        board.access(9, PAGES, false);
        board.access(1, 0, false);
        board.revoke(3, 7);
        board.access(3, 0, true);
    }
    let commands = board.model.0.borrow().consumed.len();
    assert!(commands > 16 * 100, "{commands} of a queue of 8");
}

/// A page that the guest may only read is no device's to write.
#[test]
fn permissions_hold_for_devices() {
    let mut board = Board::new(1);
    board.assign(0, 5, 1);
    board
        .model
        .0
        .borrow_mut()
        .map(root(0), IPA, Some((0x9000_0000, READ)));
    let dma = |write| board.model.0.borrow_mut().dma(5, IPA, write);
    assert_eq!(dma(false), Ok(0x9000_0000));
    assert_eq!(dma(true), Err(Fault(Some(0x13))));
    // VTCR_EL2 has 48 bits, the SMMU 44.
    let walk = board.model.0.borrow().word(0x10_0000 + 5 * 64 + 16) >> 32;
    assert_eq!(walk & 0x7_ffff, 0x4_3559);
    let event = board.drain().pop().unwrap();
    assert_eq!(
        event.to_string(),
        "stream 0x5: F_PERMISSION, write to 0x40000000"
    );
}

/// A device that the firmware left running reaches nothing from the moment that the SMMU is closed, whatever the SMMU
/// has cached of the firmware's entries and translations.
#[test]
fn what_the_firmware_left_running_is_stopped_first() {
    const STAGE_2: [u64; 4] = [0b1101, 0, 1 | 0xc_3559 << 32 | 1 << 58, 0x30_0000];
    for (seed, enabled) in (0..40).flat_map(|seed| [(seed, 0), (seed, 0b1111)]) {
        let model = Shared::new(seed);
        {
            let mut model = model.0.borrow_mut();
            model.set(model::CR0, enabled);
            model.set(model::CR0 + 4, enabled);
            model.remember(3, [0b1001, 0, 0, 0], 2, IPA >> 12, 0x6000_0000);
            model.remember(4, STAGE_2, 1, IPA >> 12, 0x7000_0000);
            // What is in the memory that the table gets.
            model.put(0x10_0000 + 5 * 64, 0b1001);
            model.restless = Some((3, 0x5000_0000));
        }
        let mut hardware = model.clone();
        smmu::close(&mut hardware, 1_000).unwrap();
        model.0.borrow_mut().reached.clear();
        let mut smmu = Smmu::init(hardware, setup()).unwrap();
        assign(&mut smmu, Streams::one(4), 1, 0x30_0000).unwrap();
        let mut model = model.0.borrow_mut();
        assert_eq!(model.reached, []);
        assert!(model.dma(3, 0x5000_0000, true).is_err());
        assert!(model.dma(4, IPA, true).is_err());
        assert!(model.dma(5, IPA, true).is_err());
    }
}

/// Before its guest starts a stream is laid out, and reaches nothing.
#[test]
fn a_prepared_stream_reaches_nothing_until_it_is_opened() {
    let mut board = Board::new(3);
    let streams = Streams { first: 4, count: 2 };
    board.smmu.prepare(streams, vmid(0), Pa(root(0))).unwrap();
    let dma = |board: &Board, stream| board.model.0.borrow_mut().dma(stream, IPA, true);
    assert_eq!(dma(&board, 4), Err(Fault(Some(0x04))));
    assert_eq!(board.drain().len(), 1);
    board.smmu.open(Streams::one(4)).unwrap();
    assert!(dma(&board, 4).is_ok());
    assert_eq!(dma(&board, 5), Err(Fault(Some(0x04))));
    board.smmu.shut(streams).unwrap();
    assert_eq!(dma(&board, 4), Err(Fault(Some(0x04))));
}

/// With translation already off, there is no bypass between two states either.
#[test]
fn closing_leaves_no_gap() {
    for seed in 0..200 {
        let model = Shared::new(seed);
        model.0.borrow_mut().set(model::CR0, 1);
        model.0.borrow_mut().set(model::CR0 + 4, 1);
        // The firmware's table has nothing for anybody.
        model.0.borrow_mut().restless = Some((3, 0x5000_0000));
        smmu::close(&mut model.clone(), 1_000).unwrap();
        assert_eq!(model.0.borrow().reached, [], "seed {seed}");
    }
}

/// What the SMMU may have read of an entry before it was another guest's isn't used with what is new of it.
#[test]
fn an_entry_is_never_half_old() {
    for seed in 0..100 {
        let mut board = Board::new(seed);
        board.assign(0, 5, 1);
        board.revoke(5, 1);
        {
            let mut model = board.model.0.borrow_mut();
            model.keep_all_but_the_first(5);
            model.restless = Some((5, IPA));
            model.reached.clear();
        }
        board.assign(1, 5, 1);
        let reached = std::mem::take(&mut board.model.0.borrow_mut().reached);
        assert!(
            reached.iter().all(|&(_, pa)| board.may_reach(5, pa)),
            "seed {seed}"
        );
        board.access(5, 0, true);
    }
}

/// An access that ends as late as it can leaves no translation behind.
#[test]
fn a_late_access_leaves_no_translation() {
    for seed in 0..100 {
        let mut board = Board::new(seed);
        board.assign(0, 5, 1);
        let begin = |page| {
            board
                .model
                .0
                .borrow_mut()
                .begin(5, IPA + page * 0x1000, true)
        };
        (0..PAGES).for_each(begin);
        board.restart(0);
        (0..PAGES).for_each(|page| board.access(5, page, true));
    }
}

#[test]
fn a_silenced_stream_is_not_recorded_until_it_is_given() {
    let mut board = Board::new(3);
    board.smmu.silence(2).unwrap();
    let end = board.model.0.borrow_mut().dma(2, IPA, true);
    assert_eq!(end, Err(Fault(None)));
    assert_eq!(board.drain(), []);
    board.assign(1, 2, 1);
    board.access(2, 0, true);
    assert_eq!(board.smmu.silence(2), Err(smmu::Error::Taken(2)));
    board.revoke(2, 1);
    board.access(2, 0, true);
}

#[test]
fn lost_events_are_said_to_be_lost_once() {
    let mut board = Board::new(5);
    let flood = |board: &Board, count: u32| {
        let mut model = board.model.0.borrow_mut();
        (0..count).for_each(|stream| {
            let _ = model.dma(stream % 3, IPA, true);
        });
    };
    for _ in 0..5 {
        flood(&board, 8);
        assert!(!board.smmu.overflowed());
        flood(&board, 1);
        assert!(board.smmu.overflowed() && !board.smmu.overflowed());
        let streams: Vec<u32> = board.drain().iter().map(|event| event.stream).collect();
        assert_eq!(streams, [0, 1, 2, 0, 1, 2, 0, 1]);
        flood(&board, 9);
        assert_eq!(std::iter::from_fn(|| board.smmu.next_event()).count(), 8);
        assert!(board.smmu.overflowed() && !board.smmu.overflowed());
    }
}
