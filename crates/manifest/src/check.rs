// SPDX-License-Identifier: MIT OR Apache-2.0

//! The rules a manifest keeps, whatever form it came in.

use crate::{Guest, MAX_GUESTS, Rates, Tee, Watchdog, archive};
use core::fmt;
use core::ops::RangeInclusive;

/// Unit of guest RAM: a stage-2 block.
const GRANULE: u64 = 2 << 20;
/// Most RAM of a guest: what 39 bits of intermediate physical address leave above 1 GiB.
const MAX_MEMORY: u64 = (1 << 39) - (1 << 30);
const VCPUS: RangeInclusive<u32> = 1..=8;
const MAX_CORE: u8 = 31;
/// Microseconds. A shorter turn would go into switching; a longer one is felt at the console.
const SLICE: RangeInclusive<u32> = 100..=1_000_000;
const MAX_PRIORITY: u32 = 255;
/// Microseconds, as for a slice.
const PERIOD: RangeInclusive<u32> = SLICE;
/// All of a core's time, in the parts in which [`promised`] counts.
const WHOLE: u64 = 1_000_000_000;
const MAX_RESTARTS: u32 = 1_000_000;
/// Microseconds.
const MAX_RESTART_DELAY: u32 = 3_600_000_000;
const MAX_NAME: usize = 31;
const MAX_MEMBER: usize = 255;
/// COMMAND_LINE_SIZE of arm64 Linux, its end included.
const MAX_BOOTARGS: usize = 2047;
const MAX_DEVICES: usize = 16;
const MAX_DEVICE_NAME: usize = 255;
/// Events a second: one at least in each period of the hundredth that a rate is held in.
const RATE: RangeInclusive<u32> = 100..=1_000_000_000;
/// Microseconds: no guest comes up in less than one second.
const TIMEOUT: RangeInclusive<u32> = 1_000_000..=3_600_000_000;
const CALLS: RangeInclusive<u32> = 1..=64;
const BUFFERS: RangeInclusive<u32> = 1..=32768;
const VMS: RangeInclusive<u32> = 1..=1000;
const SESSIONS: RangeInclusive<u32> = 1..=256;
const MAX_SHARED: u64 = 8 << 30;
const MAX_UUIDS: usize = 64;

/// A rule that a manifest breaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Problem<'a> {
    /// The guest's position, from 0.
    pub index: usize,
    /// The guest's name as given; empty if the manifest as a whole is meant.
    pub guest: &'a str,
    /// The key, with its table if that is not the guest's own.
    pub key: &'static str,
    /// What the key's value has to be.
    pub rule: &'static str,
    /// The guest that has already what this one wants; empty if that is not the matter.
    pub other: &'a str,
}

impl fmt::Display for Problem<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.guest.is_empty() {
            write!(f, "guest {}: ", self.guest)?;
        }
        write!(f, "{} {}", self.key, self.rule)?;
        if !self.other.is_empty() {
            write!(f, ": guest {} has it", self.other)?;
        }
        Ok(())
    }
}

impl core::error::Error for Problem<'_> {}

/// Checks every rule; the first that is broken is the error.
pub fn check<'a>(guests: &[Guest<'a>]) -> Result<(), Problem<'a>> {
    if !(1..=MAX_GUESTS).contains(&guests.len()) {
        let rule = "must be there 1 to 16 times";
        return Err(Problem {
            index: 0,
            guest: "",
            key: "[[guest]]",
            rule,
            other: "",
        });
    }
    for (index, guest) in guests.iter().enumerate() {
        let before = guests.get(..index).unwrap_or_default();
        check_guest(guest, before).map_err(|(key, rule)| Problem {
            index,
            guest: guest.name,
            key,
            rule,
            other: "",
        })?;
    }
    check_owners(guests)
}

/// Checks who has what there is one of: an OP-TEE that is not built for virtualization, and the RPMB, of
/// which OP-TEE keeps state for each guest.
fn check_owners<'a>(guests: &[Guest<'a>]) -> Result<(), Problem<'a>> {
    check_owner(guests, "tee.owner", |tee| tee.owner)?;
    check_owner(guests, "tee.rpmb", |tee| tee.rpmb)
}

fn check_owner<'a>(
    guests: &[Guest<'a>],
    key: &'static str,
    owns: fn(&Tee<'_>) -> bool,
) -> Result<(), Problem<'a>> {
    let has = |guest: &Guest| guest.tee.as_ref().is_some_and(owns);
    let mut owners = guests.iter().enumerate().filter(|(_, guest)| has(guest));
    match (owners.next(), owners.next()) {
        (Some((_, first)), Some((index, second))) => Err(Problem {
            index,
            guest: second.name,
            key,
            rule: "must be true for one guest at most",
            other: first.name,
        }),
        _ => Ok(()),
    }
}

/// Checks the key `housekeeping-core` beside guests that keep all rules.
pub fn check_housekeeping<'a>(core: Option<u32>, guests: &[Guest<'a>]) -> Result<(), Problem<'a>> {
    let problem = |rule| Problem {
        index: 0,
        guest: "",
        key: "housekeeping-core",
        rule,
        other: "",
    };
    let Some(core) = core else { return Ok(()) };
    if core > u32::from(MAX_CORE) {
        return Err(problem("must be from 0 to 31"));
    }
    let mut alone = guests.iter().filter(|guest| guest.exclusive);
    if alone.any(|guest| guest.cpus.iter().any(|&named| u32::from(named) == core)) {
        return Err(problem(
            "is a core in the cpus of an exclusive guest, which has it alone",
        ));
    }
    Ok(())
}

type Broken = (&'static str, &'static str);

fn rule(kept: bool, key: &'static str, rule: &'static str) -> Result<(), Broken> {
    if kept { Ok(()) } else { Err((key, rule)) }
}

fn check_guest(guest: &Guest, before: &[Guest]) -> Result<(), Broken> {
    rule(
        is_name(guest.name),
        "name",
        "must be 1 to 31 of a-z, 0-9 and -, a letter first",
    )?;
    rule(
        before.iter().all(|other| other.name != guest.name),
        "name",
        "is another guest's already",
    )?;
    rule(VCPUS.contains(&guest.vcpus), "vcpus", "must be from 1 to 8")?;
    check_cores(guest, before)?;
    rule(
        SLICE.contains(&guest.slice),
        "slice",
        "must be from 100us to 1000ms",
    )?;
    check_turns(guest, before)?;
    rule(
        is_size(guest.memory, GRANULE, MAX_MEMORY),
        "memory",
        "must be a multiple of 2MiB, at least 2MiB and at most 511GiB",
    )?;
    rule(
        is_member(guest.kernel),
        "kernel",
        "must be the path of a file, at most 255 bytes",
    )?;
    rule(
        guest.initrd.is_none_or(is_member),
        "initrd",
        "must be the path of a file, at most 255 bytes",
    )?;
    rule(
        is_text(guest.bootargs, MAX_BOOTARGS),
        "bootargs",
        "must be one line of at most 2047 bytes",
    )?;
    check_restarts(guest)?;
    check_devices(guest, before)?;
    guest.watchdog.map_or(Ok(()), check_watchdog)?;
    guest.rates.map_or(Ok(()), check_rates)?;
    guest.tee.map_or(Ok(()), |tee| check_tee(&tee))
}

fn check_turns(guest: &Guest, before: &[Guest]) -> Result<(), Broken> {
    rule(
        guest.priority <= MAX_PRIORITY,
        "priority",
        "must be from 0 to 255",
    )?;
    check_budget(guest.budget, guest.period, ["budget", "period"])?;
    let alone = "must be left out in an exclusive guest, whose vCPUs have their cores alone";
    rule(!guest.exclusive || guest.priority == 0, "priority", alone)?;
    rule(!guest.exclusive || guest.budget.is_none(), "budget", alone)?;
    let on = |core: u8| -> u64 {
        let all = before.iter().chain([guest]);
        all.map(|guest| promised(guest, core)).sum()
    };
    rule(
        guest.cpus.iter().all(|&core| on(core) <= WHOLE),
        "budget",
        "must be less, or period longer: with the budgets of the other vCPUs on one of its cpus it is more than the \
         core's time",
    )
}

/// Returns what part of the time of a core the guest's vCPUs that it names for it get by their budgets.
fn promised(guest: &Guest, core: u8) -> u64 {
    let (Some(budget), Some(period @ 1..)) = (guest.budget, guest.period) else {
        return 0;
    };
    let vcpus = guest.cpus.iter().filter(|&&named| named == core).count() as u64;
    vcpus * (u64::from(budget) * WHOLE / u64::from(period))
}

fn check_budget(
    budget: Option<u32>,
    period: Option<u32>,
    [budget_key, period_key]: [&'static str; 2],
) -> Result<(), Broken> {
    let (Some(budget), Some(period)) = (budget, period) else {
        rule(budget.is_none(), budget_key, "must have a period beside it")?;
        return rule(period.is_none(), period_key, "must have a budget beside it");
    };
    rule(
        PERIOD.contains(&period),
        period_key,
        "must be from 100us to 1000ms",
    )?;
    rule(
        (*PERIOD.start()..=period).contains(&budget),
        budget_key,
        "must be from 100us to its period",
    )
}

fn check_restarts(guest: &Guest) -> Result<(), Broken> {
    rule(
        guest.max_restarts.is_none_or(|most| most <= MAX_RESTARTS),
        "max-restarts",
        "must be from 0 to 1000000",
    )?;
    rule(
        guest.max_restart_delay <= MAX_RESTART_DELAY,
        "max-restart-delay",
        "must be at most 1h",
    )
}

fn check_devices(guest: &Guest, before: &[Guest]) -> Result<(), Broken> {
    let devices = guest.devices;
    rule(
        devices.iter().count() <= MAX_DEVICES,
        "devices",
        "must have at most 16 devices",
    )?;
    rule(
        devices.iter().all(is_node),
        "devices",
        "must be paths or aliases of the board's device tree, at most 255 bytes each",
    )?;
    let twice = |(at, name)| devices.iter().take(at).any(|other| other == name);
    rule(
        !devices.iter().enumerate().any(twice),
        "devices",
        "must not name a device twice",
    )?;
    let named = |name| devices.iter().any(|device| device == name);
    rule(
        guest.no_dma.iter().all(named),
        "no-dma",
        "must name devices as its devices does, and no others",
    )?;
    let given = |name| {
        before
            .iter()
            .flat_map(|guest| guest.devices.iter())
            .any(|other| other == name)
    };
    rule(
        !devices.iter().any(given),
        "devices",
        "has a device that is another guest's already",
    )
}

fn check_watchdog(watchdog: Watchdog) -> Result<(), Broken> {
    rule(
        watchdog
            .timeout
            .is_none_or(|timeout| TIMEOUT.contains(&timeout)),
        "watchdog.timeout",
        "must be from 1s to 1h",
    )
}

fn check_rates(rates: Rates) -> Result<(), Broken> {
    let each = [
        ("rates.traps", rates.traps),
        ("rates.kicks", rates.kicks),
        ("rates.device-interrupts", rates.device_interrupts),
    ];
    each.into_iter().try_for_each(|(key, rate)| {
        let fits = rate.is_none_or(|rate| RATE.contains(&rate));
        rule(fits, key, "must be from 100 to 1000000000 a second")
    })
}

fn check_cores(guest: &Guest, before: &[Guest]) -> Result<(), Broken> {
    let cores = guest.cpus;
    let count = cores.is_empty() || cores.len() == guest.vcpus as usize;
    rule(
        count,
        "cpus",
        "must have one core for each of the vcpus, or be left out",
    )?;
    rule(
        cores.iter().all(|core| *core <= MAX_CORE),
        "cpus",
        "must be from 0 to 31",
    )?;
    let twice = cores
        .iter()
        .enumerate()
        .any(|(at, core)| cores[..at].contains(core));
    rule(
        !(guest.exclusive && twice),
        "cpus",
        "must not name a core twice in an exclusive guest",
    )?;
    let clashes = |other: &&Guest| guest.exclusive || other.exclusive;
    let taken = before
        .iter()
        .filter(clashes)
        .any(|other| other.cpus.iter().any(|core| cores.contains(core)));
    rule(
        !taken,
        "cpus",
        "has a core that is another guest's already, and one of the two is exclusive",
    )
}

fn check_tee(tee: &Tee) -> Result<(), Broken> {
    rule(
        CALLS.contains(&tee.max_calls),
        "tee.max-calls",
        "must be from 1 to 64",
    )?;
    rule(
        BUFFERS.contains(&tee.max_buffers),
        "tee.max-buffers",
        "must be from 1 to 32768",
    )?;
    rule(
        is_size(tee.max_shared, 4096, MAX_SHARED),
        "tee.max-shared",
        "must be a multiple of 4KiB, at least 4KiB and at most 8GiB",
    )?;
    rule(
        SESSIONS.contains(&tee.max_sessions),
        "tee.max-sessions",
        "must be from 1 to 256",
    )?;
    rule(
        VMS.contains(&tee.max_vms),
        "tee.max-vms",
        "must be from 1 to 1000",
    )?;
    rule(
        tee.visit.is_none_or(|visit| PERIOD.contains(&visit)),
        "tee.visit",
        "must be from 100us to 1000ms",
    )?;
    check_budget(tee.budget, tee.period, ["tee.budget", "tee.period"])?;
    rule(
        tee.allow.len() <= MAX_UUIDS,
        "tee.allow",
        "must have at most 64 UUIDs",
    )?;
    rule(
        tee.deny.len() <= MAX_UUIDS,
        "tee.deny",
        "must have at most 64 UUIDs",
    )?;
    let one = tee.allow.is_empty() || tee.deny.is_empty();
    rule(
        one,
        "tee.deny",
        "must be left out beside allow, which denies all others already",
    )
}

fn is_name(name: &str) -> bool {
    let letters = name
        .bytes()
        .all(|c| matches!(c, b'a'..=b'z' | b'0'..=b'9' | b'-'));
    letters && name.len() <= MAX_NAME && name.starts_with(|c: char| c.is_ascii_lowercase())
}

fn is_size(size: u64, unit: u64, most: u64) -> bool {
    (unit..=most).contains(&size) && size.is_multiple_of(unit)
}

fn is_member(name: &str) -> bool {
    let reserved = [crate::MEMBER, archive::PADDING, archive::TRAILER];
    !name.is_empty() && is_text(name, MAX_MEMBER) && !reserved.contains(&name)
}

/// Tells whether `name` has the form of a path or an alias (Devicetree Specification 2.2.1 and 3.3).
fn is_node(name: &str) -> bool {
    let printable = name.bytes().all(|c| c.is_ascii_graphic());
    !name.is_empty() && name.len() <= MAX_DEVICE_NAME && printable
}

fn is_text(text: &str, most: usize) -> bool {
    text.len() <= most && !text.contains(char::is_control)
}
