// SPDX-License-Identifier: MIT OR Apache-2.0

//! The manifest as users write it.

use super::groups;
use crate::blob::Top;
use crate::table::Word;
use crate::{Devices, Dialect, Guest, Policy, Problem, Rates, Tee, VERSION, Watchdog};
use platform::Conduit;
use serde::{Deserialize, Deserializer, de::Error as _};
use std::fmt;
use toml::de::{DeTable, DeValue};

/// Why a TOML text is no manifest.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CompileError {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong and what to write instead.
    pub message: String,
    /// The line's text.
    pub source: String,
}

impl fmt::Display for CompileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "manifest, line {}: {}\n  {}",
            self.line,
            self.message,
            self.source.trim_end()
        )
    }
}

impl std::error::Error for CompileError {}

impl CompileError {
    fn at_byte(text: &str, at: usize, message: String) -> Self {
        let before = text.get(..at).unwrap_or(text);
        let line = before.matches('\n').count();
        let source = text.lines().nth(line).unwrap_or_default().to_owned();
        Self {
            line: line + 1,
            message,
            source,
        }
    }

    fn from_toml(text: &str, error: &toml::de::Error) -> Self {
        let at = error.span().map_or(0, |span| span.start);
        Self::at_byte(text, at, error.message().to_owned())
    }

    /// Describes a broken rule, at the line of the key that breaks it.
    pub(super) fn of_rule(text: &str, problem: &Problem) -> Self {
        Self::at_key(text, problem.index, problem.key, problem.to_string())
    }

    /// Describes a broken rule of a key at the top, at the line of the key.
    pub(super) fn of_top(text: &str, problem: &Problem) -> Self {
        let at = DeTable::parse(text).ok().and_then(|root| {
            let value = root.get_ref().get(problem.key)?;
            Some(value.span().start)
        });
        Self::at_byte(text, at.unwrap_or(0), problem.to_string())
    }

    /// Describes an error at the line of a key of the `index`th guest.
    pub(super) fn at_key(text: &str, index: usize, key: &str, message: String) -> Self {
        let at = key_position(text, index, key).unwrap_or(0);
        Self::at_byte(text, at, message)
    }
}

/// Returns where the value of a guest's key is, else where the table is that lacks it.
fn key_position(text: &str, index: usize, key: &str) -> Option<usize> {
    let root = DeTable::parse(text).ok()?;
    let guests = root.get_ref().get("guest")?.get_ref().as_array()?;
    let mut value = guests.get(index)?;
    for name in key.split('.') {
        let DeValue::Table(table) = value.get_ref() else {
            break;
        };
        let Some(inner) = table.get(name) else { break };
        value = inner;
    }
    Some(value.span().start)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Source {
    version: u32,
    pub(super) housekeeping_core: Option<u32>,
    #[serde(default)]
    guest: Vec<GuestSource>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct GuestSource {
    name: String,
    vcpus: u32,
    #[serde(default)]
    cpus: Vec<u8>,
    #[serde(default)]
    exclusive: bool,
    #[serde(default = "default_slice", deserialize_with = "duration")]
    slice: u32,
    #[serde(default)]
    priority: u32,
    #[serde(default, deserialize_with = "some_duration")]
    budget: Option<u32>,
    #[serde(default, deserialize_with = "some_duration")]
    period: Option<u32>,
    #[serde(deserialize_with = "size")]
    memory: u64,
    kernel: String,
    initrd: Option<String>,
    #[serde(default)]
    bootargs: String,
    #[serde(default, deserialize_with = "word")]
    conduit: Conduit,
    #[serde(default, deserialize_with = "word")]
    on_crash: Policy,
    max_restarts: Option<u32>,
    #[serde(default = "default_restart_delay", deserialize_with = "duration")]
    max_restart_delay: u32,
    watchdog: Option<WatchdogSource>,
    rates: Option<RatesSource>,
    #[serde(default)]
    direct_map: bool,
    #[serde(default, deserialize_with = "devices")]
    devices: String,
    #[serde(default, deserialize_with = "devices")]
    no_dma: String,
    #[serde(default)]
    tee: TeeSource,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct WatchdogSource {
    #[serde(deserialize_with = "word")]
    action: Policy,
    #[serde(default, deserialize_with = "some_duration")]
    timeout: Option<u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RatesSource {
    traps: Option<u32>,
    kicks: Option<u32>,
    device_interrupts: Option<u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
struct TeeSource {
    enabled: bool,
    #[serde(deserialize_with = "word")]
    dialect: Dialect,
    notifications: bool,
    max_calls: u32,
    max_buffers: u32,
    #[serde(deserialize_with = "size")]
    max_shared: u64,
    max_sessions: u32,
    max_vms: u32,
    #[serde(deserialize_with = "some_duration")]
    visit: Option<u32>,
    #[serde(deserialize_with = "some_duration")]
    budget: Option<u32>,
    #[serde(deserialize_with = "some_duration")]
    period: Option<u32>,
    fresh: bool,
    owner: Option<bool>,
    rpmb: Option<bool>,
    #[serde(deserialize_with = "some_uuids")]
    allow: Vec<[u8; 16]>,
    #[serde(deserialize_with = "uuids")]
    deny: Vec<[u8; 16]>,
}

impl Default for TeeSource {
    fn default() -> Self {
        Self {
            enabled: true,
            dialect: Dialect::default(),
            notifications: true,
            max_calls: 16,
            max_buffers: 1100,
            max_shared: 128 << 20,
            max_sessions: 256,
            max_vms: 16,
            visit: None,
            budget: None,
            period: None,
            fresh: false,
            owner: None,
            rpmb: None,
            allow: Vec::new(),
            deny: Vec::new(),
        }
    }
}

/// Reads the text; the rules are not checked yet.
pub(super) fn parse(text: &str) -> Result<Source, CompileError> {
    let source: Source =
        toml::from_str(text).map_err(|error| CompileError::from_toml(text, &error))?;
    if source.version != VERSION {
        let at = text.find("version").unwrap_or(0);
        return Err(CompileError::at_byte(
            text,
            at,
            format!("version must be {VERSION}"),
        ));
    }
    Ok(source)
}

impl Source {
    pub(super) fn top(&self) -> Top {
        Top {
            version: VERSION,
            housekeeping_core: self.housekeeping_core,
        }
    }

    pub(super) fn guests(&self) -> Vec<Guest<'_>> {
        let with_tee = self.guest.iter().filter(|guest| guest.tee.enabled).count();
        let alone = with_tee == 1;
        self.guest.iter().map(|guest| guest.guest(alone)).collect()
    }
}

impl GuestSource {
    /// Returns the guest; `alone` is whether no other guest has a TEE.
    fn guest(&self, alone: bool) -> Guest<'_> {
        Guest {
            name: &self.name,
            vcpus: self.vcpus,
            cpus: &self.cpus,
            exclusive: self.exclusive,
            slice: self.slice,
            priority: self.priority,
            budget: self.budget,
            period: self.period,
            memory: self.memory,
            kernel: &self.kernel,
            initrd: self.initrd.as_deref(),
            bootargs: &self.bootargs,
            conduit: self.conduit,
            on_crash: self.on_crash,
            max_restarts: self.max_restarts,
            max_restart_delay: self.max_restart_delay,
            watchdog: self.watchdog.as_ref().map(|watchdog| Watchdog {
                action: watchdog.action,
                timeout: watchdog.timeout,
            }),
            direct_map: self.direct_map,
            devices: Devices::new(&self.devices),
            no_dma: Devices::new(&self.no_dma),
            rates: self.rates.as_ref().map(|rates| Rates {
                traps: rates.traps,
                kicks: rates.kicks,
                device_interrupts: rates.device_interrupts,
            }),
            tee: self.tee.enabled.then(|| self.tee.tee(alone)),
        }
    }
}

impl TeeSource {
    fn tee(&self, alone: bool) -> Tee<'_> {
        Tee {
            dialect: self.dialect,
            notifications: self.notifications,
            max_calls: self.max_calls,
            max_buffers: self.max_buffers,
            max_shared: self.max_shared,
            max_sessions: self.max_sessions,
            max_vms: self.max_vms,
            visit: self.visit,
            budget: self.budget,
            period: self.period,
            fresh: self.fresh,
            owner: self.owner.unwrap_or(alone),
            rpmb: self.rpmb.unwrap_or(alone),
            allow: &self.allow,
            deny: &self.deny,
        }
    }
}

/// Returns 5 ms: long beside the cost of a switch, short beside what a person notices.
fn default_slice() -> u32 {
    5_000
}

/// Returns 1 s: a guest that restarts in a circle prints a few lines a second, and one that is reset by hand is back soon.
fn default_restart_delay() -> u32 {
    1_000_000
}

/// Returns one of a few words: "hvc".
fn word<'de, D: Deserializer<'de>, T: Word>(from: D) -> Result<T, D::Error> {
    let name = String::deserialize(from)?;
    T::named(&name).ok_or_else(|| {
        let words: Vec<_> = T::ALL
            .iter()
            .map(|word| format!("`{}`", word.name()))
            .collect();
        let words = words.join(" or ");
        D::Error::custom(format!("unknown variant `{name}`, expected {words}"))
    })
}

/// Returns a number of bytes as text: "512MiB".
fn size<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    let text = String::deserialize(from)?;
    let units = [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];
    quantity(&text, &units).ok_or_else(|| {
        D::Error::custom(format!(
            "{text:?} is no size: write a number and KiB, MiB or GiB, as in \"512MiB\""
        ))
    })
}

/// Returns a time as text, in microseconds: "5ms".
fn duration<'de, D: Deserializer<'de>>(from: D) -> Result<u32, D::Error> {
    let text = String::deserialize(from)?;
    let units = [
        ("us", 1),
        ("ms", 1_000),
        ("s", 1_000_000),
        ("min", 60_000_000),
        ("h", 3_600_000_000),
    ];
    quantity(&text, &units)
        .and_then(|number| number.try_into().ok())
        .ok_or_else(|| {
            D::Error::custom(format!(
                "{text:?} is no time of at most 1h: write a number and us, ms, s, min or h, as in \"5ms\""
            ))
        })
}

/// Returns a time that may be left out.
fn some_duration<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u32>, D::Error> {
    duration(from).map(Some)
}

/// Returns a number and one of `units`, each with what it stands for.
fn quantity(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let (_, factor) = units.iter().find(|(name, _)| *name == unit.trim_start())?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

/// Returns the names as [`Devices`] has them.
fn devices<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    let names = Vec::<String>::deserialize(from)?;
    if names
        .iter()
        .any(|name| name.is_empty() || name.contains('\0'))
    {
        return Err(D::Error::custom(
            "devices and no-dma must name nodes of the board's device tree, as in \"/virtio_mmio@a003e00\"",
        ));
    }
    Ok(names.join("\0"))
}

/// Reads UUIDs, and names of groups that stand for several; each UUID comes up once.
fn uuids<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<[u8; 16]>, D::Error> {
    let mut list = Vec::new();
    for text in Vec::<String>::deserialize(from)? {
        for uuid in named(&text).map_err(D::Error::custom)? {
            if !list.contains(&uuid) {
                list.push(uuid);
            }
        }
    }
    Ok(list)
}

/// Returns what an entry of `allow` or `deny` stands for: one UUID, or those of a group.
fn named(text: &str) -> Result<Vec<[u8; 16]>, String> {
    if let Some(group) = groups::find(text) {
        return Ok(group.collect());
    }
    match uuid(text) {
        Some(uuid) => Ok(vec![uuid]),
        None if text.starts_with(|c: char| c.is_ascii_lowercase()) && !text.contains('-') => {
            Err(format!(
                "{text:?} is no group of trusted applications: there are {}",
                groups::names()
            ))
        }
        None => Err(format!(
            "{text:?} is no UUID: write it as \"8aaaf200-2450-11e4-abe2-0002a5d5c51b\", or a group: {}",
            groups::names()
        )),
    }
}

/// Returns a list that means "these alone" is not empty: without any, it would mean "all".
fn some_uuids<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<[u8; 16]>, D::Error> {
    let list = uuids(from)?;
    if list.is_empty() {
        return Err(D::Error::custom(
            "allow must name a UUID: leave it out to allow all",
        ));
    }
    Ok(list)
}

/// Returns the 8-4-4-4-12 form of RFC 4122.
fn uuid(text: &str) -> Option<[u8; 16]> {
    let groups: Vec<_> = text.split('-').collect();
    if groups.iter().map(|group| group.len()).ne([8, 4, 4, 4, 12]) {
        return None;
    }
    let digits = groups.concat();
    let hex = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    let number = u128::from_str_radix(&digits, 16).ok().filter(|_| hex)?;
    Some(number.to_be_bytes())
}
