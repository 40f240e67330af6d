// SPDX-License-Identifier: MIT OR Apache-2.0

//! Building the guests that the manifest asks for.

use core::fmt;

use ::sched::{
    Budget, Share, Visits,
    place::{Cores, PlaceError},
};
use addr::{Ipa, PAGE_SIZE, Pa, PaRange};
use alloc::{boxed::Box, vec::Vec};
use board::Board;
use guesttree::GuestTree;
use log::warn;
use manifest::{Guest, Manifest, Policy, archive::Archive};
use physmem::FreeMap;
use platform::VmId;
use restarts::Limits;
use spin::Mutex;
use stage2::{GuestRam, MapError, RamRegion, Tables};
use vgic::Vgic;
use vpsci::Vpsci;
use vuart::Serial;

use super::{
    VMS, Vm,
    devices::{Devices, Owner, PassError, Source},
    images::{ImageError, Images},
    lifecycle::{Lifecycle, StopAction},
    rates::Rates,
    vcpu::Vcpu,
    watchdog::GuestWatchdog,
};
use crate::{
    arch::{mmu, timer},
    hardening, irq,
    tee::{self, Tee},
};

/// What is there to make guests from.
pub struct Resources<'a> {
    /// The board.
    pub board: &'a Board,
    /// Free physical memory.
    pub memory: &'a mut FreeMap,
    /// The bundle.
    pub bundle: &'a Archive<'static>,
    /// For each position in the board's /cpus, the number of the core if it runs.
    pub cores: &'a [Option<usize>],
    /// OP-TEE, if guests can have it.
    pub optee: Option<tee::Optee>,
    /// The board's devices.
    pub devices: Source<'a>,
    /// When EL2 was entered, in ticks of CNTPCT.
    pub entered: u64,
}

/// Why a guest can't be made.
#[derive(Clone, Copy, Debug)]
pub enum CreateError<'a> {
    /// The bundle has no member of this name.
    Missing(&'a str),
    /// The board has too little free memory.
    Memory {
        /// Bytes asked for.
        wanted: u64,
        /// Bytes free in all.
        free: u64,
    },
    /// The board has no such piece of free memory for a guest that needs one.
    Piece(u64),
    /// No core may serve one of its vCPUs.
    Core(PlaceError),
    /// The images don't fit.
    Images(ImageError),
    /// The device of this name can't be the guest's.
    Device(&'a str, PassError),
    /// The stage-2 tables can't hold the guest.
    Map,
}

impl fmt::Display for CreateError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(name) => write!(
                f,
                "the bundle has no `{name}`: build it again with `cargo xtask bundle`"
            ),
            Self::Memory { wanted, free } => write!(
                f,
                "{} MiB of RAM asked for, {} MiB free on this board: lower `memory`",
                wanted >> 20,
                free >> 20
            ),
            Self::Piece(size) => write!(
                f,
                "no {} MiB of free memory in one piece outside {}..{}, as `direct-map` needs: lower `memory`",
                size >> 20,
                platform::DEVICES_BASE,
                platform::DEVICES_END
            ),
            Self::Core(PlaceError::Absent(core)) => {
                write!(f, "core {core} does not run: change `cpus`")
            }
            Self::Core(PlaceError::Taken(core)) => write!(
                f,
                "core {core} has a vCPU already, and one of the two guests is `exclusive`: \
                 change `cpus`"
            ),
            Self::Core(PlaceError::Kept(core)) => write!(
                f,
                "core {core} is the housekeeping core, which no `exclusive` guest can have: change \
                 `cpus` or `housekeeping-core`"
            ),
            Self::Core(PlaceError::Full(core)) => write!(
                f,
                "the budgets on core {core} would be more than its time: lower `budget`, lengthen `period`, or \
                 change `cpus`"
            ),
            Self::Core(PlaceError::NoneLeft) => f.write_str(
                "no core is left that is not another guest's alone and has the time for its budget: lower `vcpus` \
                 or `budget`, or leave out `exclusive`",
            ),
            Self::Images(error) => write!(f, "{error}"),
            Self::Device(name, error) => write!(f, "device {name}: {error}"),
            Self::Map => {
                f.write_str("its RAM does not fit the guest address space: lower `memory`")
            }
        }
    }
}

impl From<MapError> for CreateError<'_> {
    fn from(_: MapError) -> Self {
        Self::Map
    }
}

impl From<ImageError> for CreateError<'_> {
    fn from(error: ImageError) -> Self {
        Self::Images(error)
    }
}

/// Pages of stage-2 tables for a guest's root and its CPU interface, and some to spare.
const TABLES: u64 = 8;
/// Pages of tables for a device of the board, if all its frames lie far apart.
const TABLES_PER_DEVICE: u64 = Tables::MOST_FOR_DEVICE * board::MAX_REGISTERS as u64;
/// Bytes of a guest's device tree without devices, and of each device's node: a PCI host bridge's has 32 bytes for each of
/// its pins. One more tree, while it is written, is
/// part of what all guests share.
const TREE: u64 = 8 << 10;
const DEVICE_NODE: u64 = (1 << 10) + 32 * board::MAX_PINS as u64;
/// Bytes that a guest's UART keeps of what was typed.
const BACKLOG: u64 = 4096;

/// Returns the bytes of heap that [`all`] takes at most on account of this guest, its TEE aside. `has_smmus` is whether the
/// board has some, for which devices have tables of their own.
pub fn heap_needed(guest: &Guest<'_>, has_smmus: bool) -> u64 {
    let vcpus = guest.vcpus as usize;
    // The heap rounds their list up to a power of two.
    let vm = 3 * size_of::<Vm>() + (vcpus * size_of::<Vcpu>()).next_power_of_two();
    let gic = Vgic::heap_bytes(vcpus, platform::INTIDS);
    let devices = guest.devices.iter().count() as u64;
    let ram = Tables::most_for_ram(guest.memory);
    let behind = if has_smmus && devices > 0 { 1 + ram } else { 0 };
    let tables = TABLES + ram + behind + TABLES_PER_DEVICE * devices;
    let tree = (TREE + DEVICE_NODE * devices).next_power_of_two();
    (vm + gic) as u64 + tables * PAGE_SIZE + tree + BACKLOG
}

/// Makes every guest of the manifest, or names the first that can't be made, and why. Returns the
/// number of the housekeeping core.
// Cold, as it runs once: inlined into one another these functions take kilobytes more.
#[cold]
pub fn all<'a>(
    manifest: &'a Manifest<'static>,
    mut resources: Resources<'_>,
) -> Result<usize, (&'a str, CreateError<'static>)> {
    let numbers = resources.cores;
    let mut cores = Cores::new(|position| numbers.get(position).is_some_and(Option::is_some));
    if let Some(position) = manifest.housekeeping_core()
        && cores.keep(position).is_err()
    {
        warn!("core {position} does not run: change `housekeeping-core`");
    }
    // Of its final size at once: growing would need room for two lists.
    let mut vms = Vec::with_capacity(manifest.guests().len());
    for (index, guest) in manifest.guests().iter().enumerate() {
        let vm = one(VmId(index as u16), guest, &mut resources, &mut cores)
            .map_err(|error| (guest.name, error))?;
        vms.push(vm);
    }
    let boxed: Box<[Vm]> = vms.into();
    VMS.call_once(|| boxed);
    Ok(housekeeping(&cores, numbers))
}

/// Returns the number of the core that has console, monitor and OP-TEE's notifications.
fn housekeeping(cores: &Cores, numbers: &[Option<usize>]) -> usize {
    let (position, shared) = cores.housekeeping();
    if shared {
        warn!(
            "core {position} is a guest's alone and serves the console, too: no core is left for that"
        );
    }
    numbers.get(position).copied().flatten().unwrap_or(0)
}

#[cold]
fn one(
    id: VmId,
    guest: &Guest<'static>,
    resources: &mut Resources<'_>,
    cores: &mut Cores,
) -> Result<Vm, CreateError<'static>> {
    let vcpus = assign(guest, resources.cores, cores)?;
    let member = |name| {
        resources
            .bundle
            .find(name)
            .ok_or(CreateError::Missing(name))
    };
    let kernel = member(guest.kernel)?;
    let initrd = guest.initrd.map(member).transpose()?;
    let board = resources.board;
    let gic_version = board.gic.version();
    let ram = match guest.direct_map {
        true => allocate_direct(guest.memory, resources.memory)?,
        false => allocate(guest.memory, resources.memory)?,
    };
    let mut tables = tables(&ram, &board.gic)?;
    let rates = Rates::of(guest.rates);
    let owner = Owner {
        number: usize::from(id.0),
        guest,
        ram: &ram,
        tables: &mut tables,
        core: vcpus[0].core,
        interrupt_rate: rates.device_interrupts,
    };
    let devices = Devices::give(&mut resources.devices, owner)
        .map_err(|(name, error)| CreateError::Device(name, error))?;
    let memory = &mut *resources.memory;
    let wired = board.optee.is_some_and(|optee| optee.interrupt.is_some());
    let tee = Tee::new(id, guest, resources.optee.as_ref(), wired, |size| {
        memory.allocate(size, PAGE_SIZE)
    });
    let count = vcpus.len();
    let tree = GuestTree {
        vcpus: count as u8,
        ram: &[(ram.start(), ram.size())],
        bootargs: guest.bootargs,
        initrd: None,
        gic: gic_version,
        conduit: guest.conduit,
        tee: tee.as_ref().ok().map(tee_node),
        devices: &devices.describe(),
        watchdog: guest.watchdog.is_some(),
        timer_frequency: timer::guests_frequency(),
    };
    let images = Images::place(kernel, initrd, &ram, &tree)?;
    let workarounds = hardening::of_the_board();
    Ok(Vm {
        id,
        name: guest.name.into(),
        ram,
        tables,
        vcpus,
        power: Mutex::new(Vpsci::new(count as u8)),
        gic: Mutex::new(Vgic::new(
            gic_version,
            count,
            platform::INTIDS,
            irq::virtual_interface().count(),
        )),
        uart: Mutex::new(Serial::new()),
        devices,
        tee,
        life: Lifecycle::new(
            Limits {
                most: guest.max_restarts,
                longest: guest.max_restart_delay as u64 / 1000,
            },
            resources.entered,
        ),
        images,
        gic_version,
        workarounds,
        counter_offset: timer::now(),
        watchdog: guest.watchdog.map(|watchdog| {
            GuestWatchdog::new(watchdog.timeout.map(ticks), after(watchdog.action))
        }),
        on_crash: after(guest.on_crash),
        share: share(guest),
        visits: visits(guest).map(Mutex::new),
        rates,
    })
}

/// Returns what the guest's tables map of the virtual platform.
fn tables(ram: &GuestRam, gic: &board::Gic) -> Result<Tables, MapError> {
    let mut tables = Tables::new(mmu::pa_range());
    tables.map_ram(ram)?;
    if let board::Gic::V2(gic) = gic {
        // The virtual CPU interface is hardware: it only reaches this core's list registers.
        tables.map_device(platform::GICC_BASE, gic.gicv.start, platform::GICC_SIZE)?;
    }
    Ok(tables)
}

/// Describes OP-TEE for the guest's tree: it may admit at a restart a guest that it refuses now.
fn tee_node(tee: &Tee) -> guesttree::Tee {
    guesttree::Tee {
        interrupt: tee.offers_notifications().then_some(platform::OPTEE_INTID),
    }
}

fn after(policy: Policy) -> StopAction {
    match policy {
        Policy::Stop => StopAction::Off,
        Policy::Restart => StopAction::Restart,
    }
}

/// Returns the ticks of the system counter in so many microseconds.
fn ticks(microseconds: u32) -> u64 {
    u64::from(microseconds) * timer::frequency() / 1_000_000
}

/// Returns what each of the guest's vCPUs may have of its core.
fn share(guest: &Guest<'_>) -> Share {
    Share {
        priority: guest.priority as u8,
        slice: ticks(guest.slice),
        budget: budget(guest.budget, guest.period, ticks),
    }
}

/// Returns how long the guest may be in OP-TEE, if that is bounded.
fn visits(guest: &Guest<'_>) -> Option<Visits> {
    let tee = guest.tee.as_ref()?;
    let budget = budget(tee.budget, tee.period, ticks);
    Visits::new(tee.visit.map(ticks), budget, timer::now())
}

/// Returns a budget, if there is one, in the unit that `convert` makes of microseconds.
fn budget(
    budget: Option<u32>,
    period: Option<u32>,
    convert: impl Fn(u32) -> u64,
) -> Option<Budget> {
    Some(Budget {
        budget: convert(budget?),
        period: convert(period?),
    })
}

/// Returns each vCPU on its core: those the manifest names, else those with the fewest vCPUs.
fn assign(
    guest: &Guest<'_>,
    numbers: &[Option<usize>],
    cores: &mut Cores,
) -> Result<Vec<Vcpu>, CreateError<'static>> {
    let share = budget(guest.budget, guest.period, u64::from).map_or(0, |budget| budget.share());
    let vcpu = |index: usize| {
        let named = guest.cpus.get(index).copied().map(usize::from);
        let position = cores.place(named, guest.exclusive, share)?;
        let number = numbers.get(position).copied().flatten();
        number.map(Vcpu::new).ok_or(PlaceError::Absent(position))
    };
    let placed: Result<_, PlaceError> = (0..guest.vcpus as usize).map(vcpu).collect();
    placed.map_err(CreateError::Core)
}

/// Returns RAM for a guest: consecutive for the guest, in as few pieces as there can be.
fn allocate(size: u64, memory: &mut FreeMap) -> Result<GuestRam, CreateError<'static>> {
    let too_little = CreateError::Memory {
        wanted: size,
        free: memory.free_bytes(),
    };
    let ranges = memory
        .allocate_guest(size, physmem::MAX_GUEST_RANGES)
        .ok_or(too_little)?;
    let mut ram = GuestRam::new();
    let mut ipa = platform::RAM_BASE;
    for PaRange { start, size } in ranges {
        ram.push(RamRegion {
            ipa,
            pa: start,
            size,
        })
        .map_err(|_| too_little)?;
        ipa = Ipa(ipa.0 + size);
    }
    Ok(ram)
}

/// Returns RAM for a guest at the addresses that the board has it at: one piece, clear of the virtual
/// platform's devices.
fn allocate_direct(size: u64, memory: &mut FreeMap) -> Result<GuestRam, CreateError<'static>> {
    let none = CreateError::Piece(size);
    let devices = platform::DEVICES_END.0 - platform::DEVICES_BASE.0;
    let devices = PaRange::new(Pa(platform::DEVICES_BASE.0), devices).ok_or(none)?;
    let mut clear = memory.clone();
    clear.reserve(&devices).map_err(|_| none)?;
    let ranges = clear.allocate_guest(size, 1).ok_or(none)?;
    let mut ram = GuestRam::new();
    for range in &ranges {
        memory.reserve(range).map_err(|_| none)?;
        ram.push(RamRegion {
            ipa: Ipa(range.start.0),
            pa: range.start,
            size: range.size,
        })
        .map_err(|_| none)?;
    }
    Ok(ram)
}
