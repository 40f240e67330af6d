// SPDX-License-Identifier: MIT OR Apache-2.0

//! Reading the compiled manifest.
//!
//! It is a device tree: `version` in the root, a node for each guest under its name, with
//! properties called as the keys of the TOML are, and the guest's tables below. Numbers are
//! one cell, sizes two, flags one, `cpus` a byte for each core, UUIDs 16 bytes each, `devices`
//! a list of strings, durations one cell of microseconds.

use crate::{
    Devices, Dialect, Guest, MAX_GUESTS, Policy, Problem, Tee, VERSION, Watchdog, check,
    check_housekeeping,
};
use arrayvec::ArrayVec;
use core::fmt;
use fdt::Fdt;
use fdt::helpers::UnalignedFallibleNode as Node;
use fdt::nodes::NodeProperty;
use platform::{Conduit, flattened};

/// A manifest that keeps all rules.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Manifest<'a> {
    guests: ArrayVec<Guest<'a>, MAX_GUESTS>,
    housekeeping_core: Option<u32>,
}

/// Why a blob is no manifest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ManifestError<'a> {
    /// It is no device tree, or a damaged one.
    Damaged,
    /// Its `version` is another one than ours.
    Version(u32),
    /// It has more guests than there is room for.
    TooManyGuests,
    /// A guest has a key that we don't know: it was compiled for a newer teevisor.
    UnknownKey(&'a str, &'a str),
    /// A guest's key is missing or its value has the wrong form.
    Malformed(&'a str, &'static str),
    /// A rule is broken.
    Invalid(Problem<'a>),
}

impl fmt::Display for ManifestError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Damaged => f.write_str("damaged or not compiled: make the bundle again"),
            Self::Version(found) => {
                write!(
                    f,
                    "version {found}, but this teevisor reads version {VERSION}: make the bundle with its own xtask"
                )
            }
            Self::TooManyGuests => write!(f, "more than {MAX_GUESTS} guests"),
            Self::UnknownKey(guest, key) => {
                write!(
                    f,
                    "guest {guest}: unknown key {key}: make the bundle with this teevisor's own xtask"
                )
            }
            Self::Malformed(guest, key) => {
                write!(
                    f,
                    "guest {guest}: {key} is missing or malformed: make the bundle again"
                )
            }
            Self::Invalid(problem) => problem.fmt(f),
        }
    }
}

impl core::error::Error for ManifestError<'_> {}

impl<'a> Manifest<'a> {
    /// Reads and checks a compiled manifest; bytes behind it are ignored.
    pub fn parse(blob: &'a [u8]) -> Result<Self, ManifestError<'a>> {
        let blob = sound(blob).ok_or(ManifestError::Damaged)?;
        let tree = Fdt::new_unaligned_fallible(blob).map_err(damaged)?;
        let root = tree
            .find_node("/")
            .map_err(damaged)?
            .ok_or(ManifestError::Damaged)?;
        let version = top(root).cell("version");
        match version.map_err(|_| ManifestError::Damaged)? {
            VERSION => Self::read(root),
            other => Err(ManifestError::Version(other)),
        }
    }

    fn read(root: Node<'a>) -> Result<Self, ManifestError<'a>> {
        let mut guests = ArrayVec::new();
        for node in root.children().map_err(damaged)?.iter() {
            let guest = Guest::read(node.map_err(damaged)?)?;
            guests
                .try_push(guest)
                .map_err(|_| ManifestError::TooManyGuests)?;
        }
        check(&guests).map_err(ManifestError::Invalid)?;
        let housekeeping_core = top(root).optional_cell("housekeeping-core")?;
        check_housekeeping(housekeeping_core, &guests).map_err(ManifestError::Invalid)?;
        Ok(Self {
            guests,
            housekeeping_core,
        })
    }

    /// The core that has console, monitor and OP-TEE's notifications, as a position in the board's
    /// /cpus, if the manifest chooses one.
    pub fn housekeeping_core(&self) -> Option<usize> {
        self.housekeeping_core.map(|core| core as usize)
    }

    /// The guests, in the order in which they were written.
    pub fn guests(&self) -> &[Guest<'a>] {
        &self.guests
    }
}

fn damaged<'a>(_: fdt::FdtError) -> ManifestError<'a> {
    ManifestError::Damaged
}

/// The root as a table of keys, which is no guest's.
fn top(root: Node<'_>) -> Table<'_> {
    Table {
        node: root,
        guest: "",
    }
}

/// A node read as a table of keys, and the guest whose it is.
struct Table<'a> {
    node: Node<'a>,
    guest: &'a str,
}

impl<'a> Guest<'a> {
    fn read(node: Node<'a>) -> Result<Self, ManifestError<'a>> {
        let name = node.name().map_err(damaged)?;
        let table = Table {
            node,
            guest: name.name,
        };
        if name.unit_address.is_some() {
            return Err(table.malformed("name"));
        }
        table.knows(&[
            "vcpus",
            "cpus",
            "exclusive",
            "slice",
            "memory",
            "kernel",
            "initrd",
            "bootargs",
            "conduit",
            "on-crash",
            "max-restarts",
            "max-restart-delay",
            "direct-map",
            "devices",
        ])?;
        let [tee, watchdog] = table.children(["tee", "watchdog"])?;
        Ok(Self {
            name: name.name,
            vcpus: table.cell("vcpus")?,
            cpus: table.find("cpus")?.unwrap_or_default(),
            exclusive: table.flag("exclusive")?,
            slice: table.cell("slice")?,
            memory: table.size("memory")?,
            kernel: table.text("kernel")?,
            initrd: table.optional_text("initrd")?,
            bootargs: table.text("bootargs")?,
            conduit: table.choice("conduit", Conduit::ALL.map(|one| (one.name(), one)))?,
            on_crash: table.policy("on-crash")?,
            max_restarts: table.optional_cell("max-restarts")?,
            max_restart_delay: table.cell("max-restart-delay")?,
            watchdog: watchdog.map(Watchdog::read).transpose()?,
            direct_map: table.flag("direct-map")?,
            devices: Devices::new(table.optional_text("devices")?.unwrap_or_default()),
            tee: tee.map(Tee::read).transpose()?,
        })
    }
}

impl<'a> Tee<'a> {
    fn read(table: Table<'a>) -> Result<Self, ManifestError<'a>> {
        table.knows(&[
            "dialect",
            "notifications",
            "max-calls",
            "max-buffers",
            "max-shared",
            "max-sessions",
            "max-vms",
            "fresh",
            "rpmb",
            "allow",
            "deny",
        ])?;
        Ok(Self {
            dialect: table.choice(
                "dialect",
                [("modern", Dialect::Modern), ("classic", Dialect::Classic)],
            )?,
            notifications: table.flag("notifications")?,
            max_calls: table.cell("max-calls")?,
            max_buffers: table.cell("max-buffers")?,
            max_shared: table.size("max-shared")?,
            max_sessions: table.cell("max-sessions")?,
            max_vms: table.cell("max-vms")?,
            fresh: table.flag("fresh")?,
            rpmb: table.flag("rpmb")?,
            allow: table.uuids("allow")?,
            deny: table.uuids("deny")?,
        })
    }
}

impl Watchdog {
    fn read(table: Table<'_>) -> Result<Self, ManifestError<'_>> {
        table.knows(&["action", "timeout"])?;
        Ok(Self {
            action: table.policy("action")?,
            timeout: table
                .find("timeout")?
                .map(|_| table.cell("timeout"))
                .transpose()?,
        })
    }
}

impl<'a> Table<'a> {
    fn malformed(&self, key: &'static str) -> ManifestError<'a> {
        ManifestError::Malformed(self.guest, key)
    }

    /// Refuses keys that are not in `known`: one that we pass over might have been a limit.
    fn knows(&self, known: &[&str]) -> Result<(), ManifestError<'a>> {
        for property in self.node.properties().map_err(damaged)?.iter() {
            let NodeProperty { name, .. } = property.map_err(damaged)?;
            if !known.contains(&name) {
                return Err(ManifestError::UnknownKey(self.guest, name));
            }
        }
        Ok(())
    }

    fn find(&self, key: &'static str) -> Result<Option<&'a [u8]>, ManifestError<'a>> {
        let property = self.node.raw_property(key).map_err(damaged)?;
        Ok(property.map(|property| property.value))
    }

    fn bytes(&self, key: &'static str) -> Result<&'a [u8], ManifestError<'a>> {
        self.find(key)?.ok_or(self.malformed(key))
    }

    fn cell(&self, key: &'static str) -> Result<u32, ManifestError<'a>> {
        let bytes = self.bytes(key)?.try_into();
        bytes
            .map(u32::from_be_bytes)
            .map_err(|_| self.malformed(key))
    }

    fn optional_cell(&self, key: &'static str) -> Result<Option<u32>, ManifestError<'a>> {
        self.find(key)?.map(|_| self.cell(key)).transpose()
    }

    fn size(&self, key: &'static str) -> Result<u64, ManifestError<'a>> {
        let bytes = self.bytes(key)?.try_into();
        bytes
            .map(u64::from_be_bytes)
            .map_err(|_| self.malformed(key))
    }

    fn flag(&self, key: &'static str) -> Result<bool, ManifestError<'a>> {
        match self.cell(key)? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(self.malformed(key)),
        }
    }

    fn text(&self, key: &'static str) -> Result<&'a str, ManifestError<'a>> {
        let text = self.bytes(key)?.strip_suffix(&[0]);
        text.and_then(|text| core::str::from_utf8(text).ok())
            .ok_or(self.malformed(key))
    }

    fn optional_text(&self, key: &'static str) -> Result<Option<&'a str>, ManifestError<'a>> {
        self.find(key)?.map(|_| self.text(key)).transpose()
    }

    fn choice<T>(
        &self,
        key: &'static str,
        choices: [(&str, T); 2],
    ) -> Result<T, ManifestError<'a>> {
        let text = self.text(key)?;
        let chosen = choices.into_iter().find(|(name, _)| *name == text);
        chosen.map(|(_, value)| value).ok_or(self.malformed(key))
    }

    fn policy(&self, key: &'static str) -> Result<Policy, ManifestError<'a>> {
        self.choice(key, [("stop", Policy::Stop), ("restart", Policy::Restart)])
    }

    fn uuids(&self, key: &'static str) -> Result<&'a [[u8; 16]], ManifestError<'a>> {
        match self.find(key)?.unwrap_or_default().as_chunks() {
            (uuids, []) => Ok(uuids),
            _ => Err(self.malformed(key)),
        }
    }

    /// The children, each there once at most, in the order of their `names`.
    fn children<const N: usize>(
        &self,
        names: [&'static str; N],
    ) -> Result<[Option<Self>; N], ManifestError<'a>> {
        let mut tables = [const { None }; N];
        for node in self.node.children().map_err(damaged)?.iter() {
            let node = node.map_err(damaged)?;
            let found = node.name().map_err(damaged)?;
            let known = names.into_iter().zip(&mut tables);
            let mut named =
                known.filter(|(name, _)| *name == found.name && found.unit_address.is_none());
            let (name, table) = named
                .next()
                .ok_or(ManifestError::UnknownKey(self.guest, found.name))?;
            let inner = Self {
                node,
                guest: self.guest,
            };
            if table.replace(inner).is_some() {
                return Err(self.malformed(name));
            }
        }
        Ok(tables)
    }
}

/// The tree at the front of `blob` if its header can be trusted.
fn sound(blob: &[u8]) -> Option<&[u8]> {
    let blob = blob.get(..flattened::total_size(blob)?)?;
    flattened::has_sound_header(blob).then_some(blob)
}
