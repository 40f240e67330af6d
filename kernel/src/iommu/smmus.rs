// SPDX-License-Identifier: MIT OR Apache-2.0

//! The board's SMMUs: the crate `smmu` on their registers and on EL2's memory.
//!
//! Each is closed before any guest is laid out: a device that the firmware left running reaches nothing. One behind which
//! some guest has devices is turned on then, the others stay closed. One that lacks what EL2 needs is left as it was, since
//! without it the devices behind it go where they went.
//!
//! What an SMMU refuses is looked for [`LOOKS`] times a second by the housekeeping core, and not told by an interrupt: a
//! guest's device makes such events as fast as it likes.

use core::sync::atomic::{AtomicU64, Ordering};

use addr::{PAGE_SIZE, Pa, PaRange};
use alloc::{boxed::Box, vec::Vec};
use arrayvec::ArrayVec;
use board::{Board, MAX_SMMUS, Streams};
use log::{info, warn};
use physmem::FreeMap;
use smmu::{Causes, Error, Event, Features, Hardware, Setup, Smmu, Told};
use spin::{Mutex, Once};

use super::DmaError;
use crate::arch::{
    barrier, cache,
    mmio::Mmio,
    mmu::{self, Kind},
    timer,
};

/// How often a register is looked at, a microsecond apart, before an SMMU counts as dead: much longer than one needs to
/// end all that is under way.
const POLLS: u32 = 10_000;
/// Looks a second for what SMMUs refused.
const LOOKS: u64 = 50;
/// Most events that a look takes.
const EVENTS: usize = 32;
/// Most causes of events that each SMMU tells.
const CAUSES: usize = 16;

const LEFT: &str = "it is left alone, and devices behind it need `direct-map`";

/// An SMMU's registers.
#[derive(Clone, Copy)]
struct Registers(Mmio);

/// What has become of an SMMU.
enum State {
    /// It is as the firmware left it.
    Left,
    /// It lets nothing through.
    Closed,
    /// It lets guests' devices reach their guests.
    On(Box<Mutex<Driven>>),
}

struct Driven {
    smmu: Smmu<Registers>,
    causes: Causes<CAUSES>,
    has_lost: bool,
}

struct Unit {
    at: Pa,
    state: State,
}

/// In the board's order.
static UNITS: Once<Vec<Unit>> = Once::new();
/// When the housekeeping core looks for events again.
///
/// Protocol: that core's own; nobody else uses it once guests run.
static LOOK: AtomicU64 = AtomicU64::new(0);

/// What stands before a device.
pub enum Wall {
    /// An SMMU that lets a guest's devices reach the guest alone.
    On,
    /// The SMMU here, which lets nothing through.
    Closed(Pa),
    /// Nothing that EL2 uses.
    None,
}

/// What an SMMU has to tell.
pub enum Report {
    /// It refused this access, the first of its cause. It is the board's SMMU of this number.
    Refused(usize, Event),
    /// It refuses more than is told; the same.
    TooMany(usize, Event),
    /// The SMMU here lost events.
    Lost(Pa),
    /// The SMMU here reports errors of its own.
    Failed(Pa, smmu::GlobalErrors),
}

/// Keeps all devices behind the board's SMMUs from all memory, before there is anything in it that is a guest's. Returns
/// which SMMUs can do that.
// Not inlined: see `setup::run`.
#[inline(never)]
pub fn close(
    board: &Board,
    tables: &mut mmu::Tables,
) -> Result<ArrayVec<bool, MAX_SMMUS>, mmu::CannotMap> {
    let mut closed = ArrayVec::new();
    for smmu in &board.smmus {
        tables.map(smmu.registers, Kind::Device)?;
        let at = smmu.registers.start;
        // Boards tie IDR0.COHACC wrongly: the tree has the last word, as for Linux.
        let outcome = smmu.coherent.then(|| Registers::of(smmu).close());
        match outcome {
            None => warn!("the SMMU at {at} lacks dma-coherent in the device tree: {LEFT}"),
            Some(Err(error)) => warn!("the SMMU at {at} {error}: {LEFT}"),
            Some(Ok(())) => {}
        }
        closed.push(outcome == Some(Ok(())));
    }
    Ok(closed)
}

/// Turns those of the `closed` SMMUs on that guests need: `needs` says of each the bits of the largest stream id of a guest's
/// device. All cores that run guests do so.
#[inline(never)]
pub fn init(board: &Board, closed: &[bool], needs: &[Option<u32>], memory: &mut FreeMap) {
    let ram_end = board.memory.iter().map(|range| range.end().0).max();
    let each = board.smmus.iter().zip(closed).zip(needs);
    let units = each.map(|((smmu, &is_closed), need)| Unit {
        at: smmu.registers.start,
        state: match need {
            _ if !is_closed => State::Left,
            None => State::Closed,
            Some(bits) => turn_on(smmu, *bits, ram_end.unwrap_or(0), memory),
        },
    });
    UNITS.call_once(|| units.collect());
    if is_any_on() {
        LOOK.store(timer::now(), Ordering::Relaxed);
    }
}

fn turn_on(smmu: &board::Smmu, stream_bits: u32, ram_end: u64, memory: &mut FreeMap) -> State {
    let at = smmu.registers.start;
    let size = smmu::table_size(stream_bits);
    let mut place = |size| memory.allocate(size, size).map(|range| range.start);
    let Some((table, commands, events)) =
        place(size).and_then(|table| Some((table, place(PAGE_SIZE)?, place(PAGE_SIZE)?)))
    else {
        warn!(
            "the SMMU at {at} lets nothing through: no {} KiB of memory are free for its stream table",
            size >> 10
        );
        return State::Closed;
    };
    let setup = Setup {
        table,
        stream_bits,
        commands,
        events,
        vtcr: stage2::vtcr(mmu::pa_range()),
        ram_end,
        polls: POLLS,
    };
    match Smmu::init(Registers::of(smmu), setup) {
        Ok(smmu) => {
            info!(
                "the SMMU at {at} holds guests' devices: {} streams",
                1_u64 << stream_bits
            );
            let driven = Driven {
                smmu,
                causes: Causes::new(),
                has_lost: false,
            };
            State::On(Box::new(Mutex::new(driven)))
        }
        Err(error) => {
            warn!("the SMMU at {at} lets nothing through: it {error}");
            State::Closed
        }
    }
}

/// Returns what stands before the devices of the board's SMMU of this number.
pub fn wall(smmu: usize) -> Wall {
    match unit(smmu) {
        Some(Unit {
            state: State::On(_),
            ..
        }) => Wall::On,
        Some(Unit {
            state: State::Closed,
            at,
        }) => Wall::Closed(*at),
        _ => Wall::None,
    }
}

/// Lays out streams for the guest of `vmid`, whose tables begin at `root`.
pub fn prepare(streams: Streams, vmid: u16, root: Pa) -> Result<(), DmaError> {
    with(streams.smmu, |driven| {
        driven.smmu.prepare(run(streams), vmid, root)
    })
}

/// Lets streams reach their guest's RAM.
pub fn open(streams: Streams) -> Result<(), DmaError> {
    with(streams.smmu, |driven| {
        driven.causes.forget(run(streams));
        driven.smmu.open(run(streams))
    })
}

/// Keeps streams from all memory.
pub fn shut(streams: Streams) -> Result<(), DmaError> {
    with(streams.smmu, |driven| driven.smmu.shut(run(streams)))
}

/// Drops what an SMMU holds of the tables of the guest of `vmid`.
pub fn invalidate(smmu: usize, vmid: u16) -> Result<(), DmaError> {
    with(smmu, |driven| driven.smmu.invalidate(vmid))
}

/// Returns when the housekeeping core has to call [`reports`], if ever.
pub fn look_at() -> Option<u64> {
    let at = LOOK.load(Ordering::Relaxed);
    (at != 0).then_some(at)
}

/// Takes what SMMUs have to tell, if it is time for that at `now`, in ticks of CNTPCT. `tell` returns whether the stream is
/// some guest's: what nobody drives any more must not crowd others out of the queue. Only the housekeeping core calls it.
pub fn reports(now: u64, mut tell: impl FnMut(Report) -> bool) {
    if look_at().is_none_or(|at| at > now) {
        return;
    }
    LOOK.store(now + timer::frequency() / LOOKS, Ordering::Relaxed);
    let units = UNITS.get().into_iter().flatten();
    for (number, unit) in units.enumerate() {
        if let State::On(driven) = &unit.state {
            driven.lock().reports(number, unit.at, &mut tell);
        }
    }
}

impl Driven {
    fn reports(&mut self, number: usize, at: Pa, tell: &mut impl FnMut(Report) -> bool) {
        for _ in 0..EVENTS {
            let Some(event) = self.smmu.next_event() else {
                break;
            };
            let is_guests = match self.causes.note(&event) {
                Told::Now => tell(Report::Refused(number, event)),
                Told::Last => tell(Report::TooMany(number, event)),
                Told::Before => true,
            };
            if !is_guests {
                // It fails for streams beyond the table, which have no entry.
                let _ = self.smmu.silence(event.stream);
            }
        }
        if self.smmu.overflowed() && !core::mem::replace(&mut self.has_lost, true) {
            tell(Report::Lost(at));
        }
        if let Some(errors) = self.smmu.errors() {
            tell(Report::Failed(at, errors));
        }
    }
}

fn is_any_on() -> bool {
    let mut units = UNITS.get().into_iter().flatten();
    units.any(|unit| matches!(unit.state, State::On(_)))
}

fn unit(smmu: usize) -> Option<&'static Unit> {
    UNITS.get()?.get(smmu)
}

fn with(smmu: usize, act: impl FnOnce(&mut Driven) -> Result<(), Error>) -> Result<(), DmaError> {
    match unit(smmu) {
        Some(Unit {
            state: State::On(driven),
            at,
        }) => act(&mut driven.lock()).map_err(|error| DmaError::Smmu(*at, error)),
        // Nobody has streams of another one.
        _ => Ok(()),
    }
}

/// Returns streams as the SMMU numbers them.
pub const fn run(streams: Streams) -> smmu::Streams {
    smmu::Streams {
        first: streams.first,
        count: streams.count,
    }
}

impl Registers {
    /// Returns the registers of an SMMU of the board's, which are mapped.
    fn of(smmu: &board::Smmu) -> Self {
        let PaRange { start, size } = smmu.registers;
        // SAFETY: the tree says that an SMMU is there; its registers are never given to a guest and are mapped before
        // they are used.
        Self(unsafe { Mmio::new(start.0, size) })
    }

    fn close(mut self) -> Result<(), Error> {
        Features::read(&mut self)?;
        smmu::close(&mut self, POLLS)
    }
}

impl Hardware for Registers {
    fn read32(&mut self, offset: u64) -> u32 {
        self.0.read(offset)
    }

    fn write32(&mut self, offset: u64, value: u32) {
        self.0.write(offset, value);
    }

    fn write64(&mut self, offset: u64, value: u64) {
        self.0.write(offset, value);
    }

    fn load(&mut self, at: Pa) -> u64 {
        // SAFETY: the crate reads the table and queues of `turn_on`, which EL2 maps and nobody else has; the SMMU writes
        // events there.
        unsafe { (at.0 as *const u64).read_volatile() }
    }

    fn store(&mut self, at: Pa, word: u64) {
        // SAFETY: as for `load`.
        unsafe { (at.0 as *mut u64).write_volatile(word) }
    }

    fn zero(&mut self, at: Pa, size: u64) {
        // SAFETY: as for `load`; whole pages, which the SMMU doesn't use yet.
        unsafe { cache::zero(at.0, size) }
    }

    fn barrier(&mut self) {
        barrier::dsb();
    }

    fn pause(&mut self) {
        let until = timer::now() + timer::frequency() / 1_000_000;
        while timer::now() <= until {}
    }
}
