// SPDX-License-Identifier: MIT OR Apache-2.0

//! The manifest: which guests there are and what each gets.
//!
//! Users write TOML; docs/manifest.md is the reference of its keys. The host compiles it with
//! `host::compile` to a blob, a small device tree, that travels as the first member of the
//! bundle, a cpio [`archive`]. At EL2 [`Manifest::parse`] reads the blob without an allocator.
//! Both ends apply the same rules ([`check`]), so a blob that did not come from our compiler
//! is held to them too.
#![cfg_attr(not(feature = "host"), no_std)]
#![forbid(unsafe_code)]

pub mod archive;
mod blob;
mod check;
mod devices;
#[cfg(feature = "host")]
pub mod host;
pub mod image;
mod table;

pub use blob::{Manifest, ManifestError};
pub use check::{Problem, check, check_housekeeping};
pub use devices::Devices;

use platform::Conduit;
use table::table;

/// The manifest's format: the value of the key `version`.
pub const VERSION: u32 = 1;
/// The name of the bundle's first member, the compiled manifest.
pub const MEMBER: &str = "manifest.dtb";
/// Most guests.
pub const MAX_GUESTS: usize = 16;

table! {
    /// What one guest is.
    pub struct Guest<'a> {
        node {
            /// Its name, unique: 1 to 31 of a-z, 0-9 and -, a letter first.
            pub name: &'a str
        }
        /// How many vCPUs it has.
        pub vcpus: u32 = "vcpus",
        /// The core of each vCPU, as positions in the board's /cpus; empty: those with the fewest.
        pub cpus: &'a [u8] = "cpus",
        /// Whether its cores serve nothing else.
        pub exclusive: bool = "exclusive",
        /// How long a turn of one of its vCPUs lasts on a core that it shares, in microseconds.
        pub slice: u32 = "slice",
        /// Which of those that share a core runs first: the highest, always.
        pub priority: u32 = "priority",
        /// The most time that each of its vCPUs gets in a period, in microseconds, if there is a limit.
        pub budget: Option<u32> = "budget",
        /// The period of that, in microseconds.
        pub period: Option<u32> = "period",
        /// Bytes of RAM, a multiple of 2 MiB.
        pub memory: u64 = "memory",
        /// The bundle's member that is its kernel, an arm64 Image.
        pub kernel: &'a str = "kernel",
        /// The bundle's member that is its initrd.
        pub initrd: Option<&'a str> = "initrd",
        /// /chosen bootargs.
        pub bootargs: &'a str = "bootargs",
        /// How it calls firmware.
        pub conduit: Conduit = "conduit",
        /// What becomes of it when it has crashed.
        pub on_crash: Policy = "on-crash",
        /// Most restarts in a row, if there is a limit.
        pub max_restarts: Option<u32> = "max-restarts",
        /// The longest wait before one of them, in microseconds.
        pub max_restart_delay: u32 = "max-restart-delay",
        /// Whether its RAM is at the same addresses for it as for the board's devices.
        pub direct_map: bool = "direct-map",
        /// The board's devices that are its own.
        pub devices: Devices<'a> = "devices",
        /// Those of them that do no DMA, whatever EL2 knows of their kind.
        pub no_dma: Devices<'a> = "no-dma",
        /// Its watchdog; without, it sees none.
        pub watchdog: Option<Watchdog> = "watchdog",
        /// How often it may do what costs others time; without, nothing bounds it.
        pub rates: Option<Rates> = "rates",
        /// Its use of OP-TEE; without, it sees none.
        pub tee: Option<Tee<'a>> = "tee",
    }
}

/// What becomes of a guest that is lost.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Policy {
    /// It is off, as after SYSTEM_OFF.
    #[default]
    Stop,
    /// It starts afresh, as after SYSTEM_RESET.
    Restart,
}

table! {
    /// A guest's watchdog.
    pub struct Watchdog {
        /// What becomes of the guest when it has let the watchdog expire.
        pub action: Policy = "action",
        /// Microseconds that the guest has from its start to its first refresh; without, the
        /// watchdog is off until the guest turns it on.
        pub timeout: Option<u32> = "timeout",
    }
}

table! {
    /// How often a guest may do what costs others time, in events a second.
    pub struct Rates {
        /// Traps to EL2 of each vCPU.
        pub traps: Option<u32> = "traps",
        /// Interrupts of other cores that each vCPU causes.
        pub kicks: Option<u32> = "kicks",
        /// Interrupts of the board's devices that are its own, of all together.
        pub device_interrupts: Option<u32> = "device-interrupts",
    }
}

table! {
    /// How a guest may use OP-TEE.
    pub struct Tee<'a> {
        /// The calling convention offered to it.
        pub dialect: Dialect = "dialect",
        /// Whether asynchronous notifications are offered, if OP-TEE has them.
        pub notifications: bool = "notifications",
        /// Most calls in OP-TEE at once.
        pub max_calls: u32 = "max-calls",
        /// Most shared buffers at once.
        pub max_buffers: u32 = "max-buffers",
        /// Most shared bytes at once, a multiple of 4 KiB.
        pub max_shared: u64 = "max-shared",
        /// Most sessions with trusted applications open at once.
        pub max_sessions: u32 = "max-sessions",
        /// Most VMs that the guest may cost OP-TEE as long as the board runs.
        pub max_vms: u32 = "max-vms",
        /// How long a visit to OP-TEE lasts at most before the core is taken back, in microseconds, if there is a limit.
        pub visit: Option<u32> = "visit",
        /// The most time that the guest gets in OP-TEE in a period, in microseconds, if there is a limit.
        pub budget: Option<u32> = "budget",
        /// The period of that, in microseconds.
        pub period: Option<u32> = "period",
        /// Whether each start gets a new VM of OP-TEE's.
        pub fresh: bool = "fresh",
        /// Whether an OP-TEE that only one guest can have is its own; that of one guest at most.
        pub owner: bool = "owner",
        /// Whether the board's RPMB is its own; that of one guest at most.
        pub rpmb: bool = "rpmb",
        /// The only trusted applications that it may open, in the order of an RFC 4122 UUID's
        /// bytes; empty: all but those denied.
        pub allow: &'a [[u8; 16]] = "allow",
        /// Trusted applications that it may not open.
        pub deny: &'a [[u8; 16]] = "deny",
    }
}

/// OP-TEE's calling conventions as seen by a guest (OP-TEE optee_smc.h).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Dialect {
    /// OPTEE_SMC_SEC_CAP_RPC_ARG: the RPC argument follows the message.
    #[default]
    Modern,
    /// CALL_WITH_ARG alone, for drivers older than Linux 5.16.
    Classic,
}
