// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the monitor shows, from plain numbers.

use core::fmt;

/// A guest in `list`.
#[derive(Clone, Copy, Debug)]
pub struct GuestLine<'a> {
    /// Number of the guest, from 1.
    pub number: usize,
    /// Name of the guest.
    pub name: &'a str,
    /// What it is doing, in a word.
    pub state: &'a str,
    /// Bytes of RAM.
    pub ram: u64,
    /// How often it was started anew.
    pub restarts: u32,
    /// Priority of its vCPUs.
    pub priority: u8,
    /// What each of them may have of its core, if there is a limit: so many microseconds in each period of so many.
    pub budget: Option<(u32, u32)>,
    /// Whether what is typed goes to it.
    pub has_keys: bool,
    /// Bytes of its output that were dropped.
    pub dropped: u64,
    /// Interrupts of the board's devices that are its own, and how often they had to wait.
    pub device_interrupts: (u64, u32),
}

impl fmt::Display for GuestLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {}: {}, {} MiB of RAM, restarts: {}",
            self.number,
            self.name,
            self.state,
            self.ram >> 20,
            self.restarts
        )?;
        if self.priority > 0 {
            write!(f, ", priority {}", self.priority)?;
        }
        if let Some((budget, period)) = self.budget {
            write!(f, ", {budget} of {period} us")?;
        }
        if self.has_keys {
            f.write_str(", has the keys")?;
        }
        if self.dropped > 0 {
            write!(f, ", {} bytes of output dropped", self.dropped)?;
        }
        if let (count @ 1.., waits) = self.device_interrupts {
            write!(f, ", device interrupts: {count}")?;
            held(f, waits)?;
        }
        Ok(())
    }
}

/// A vCPU in `list`.
#[derive(Clone, Copy, Debug)]
pub struct VcpuLine<'a> {
    /// Number of the vCPU, from 0.
    pub number: usize,
    /// The core that it runs on.
    pub core: usize,
    /// What it is doing, in a word.
    pub state: &'a str,
    /// The time of the core that it has had, in milliseconds.
    pub milliseconds: u64,
    /// Physical SErrors that came while it ran.
    pub serrors: u16,
    /// How often it came to EL2 by itself.
    pub traps: u64,
    /// How often it interrupted another core.
    pub kicks: u64,
    /// How often it had to wait, as it did one of these too often.
    pub waits: u32,
}

impl fmt::Display for VcpuLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "  vCPU {} on core {}: {}, {}.{:03} s used, traps: {}, kicks: {}",
            self.number,
            self.core,
            self.state,
            self.milliseconds / 1000,
            self.milliseconds % 1000,
            self.traps,
            self.kicks
        )?;
        held(f, self.waits)?;
        match self.serrors {
            0 => Ok(()),
            n => write!(f, ", SErrors: {n}"),
        }
    }
}

/// Says how often the manifest's `rates` let something wait.
fn held(f: &mut fmt::Formatter<'_>, waits: u32) -> fmt::Result {
    match waits {
        0 => Ok(()),
        n => write!(f, " (held back: {n})"),
    }
}

/// What a guest holds of OP-TEE, each with its quota.
#[derive(Clone, Copy, Debug)]
pub struct TeeUsage {
    /// Calls under way.
    pub calls: (u32, u32),
    /// Of these, in the secure world now.
    pub inside: u32,
    /// Shared buffers.
    pub buffers: (u32, u32),
    /// Pages of 4 KiB in them.
    pub pages: (u32, u32),
    /// Shadow pages that hold page lists.
    pub lists: (u32, u32),
}

impl fmt::Display for TeeUsage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = |f: &mut fmt::Formatter<'_>, (used, most): (u32, u32), what: &str| {
            write!(f, ", {used} of {most} {what}")
        };
        let (calls, most) = self.calls;
        write!(f, "{calls} of {most} calls ({} in OP-TEE)", self.inside)?;
        of(f, self.buffers, "buffers")?;
        let (used, most) = self.pages;
        of(
            f,
            (used.saturating_mul(4), most.saturating_mul(4)),
            "KiB shared",
        )?;
        of(f, self.lists, "list pages")
    }
}

/// An application that a guest's policy has refused.
#[derive(Clone, Copy, Debug)]
pub struct DeniedLine {
    /// UUID of the application, in the order in which it is written.
    pub uuid: [u8; 16],
    /// Whether a trusted application wanted it loaded; else the guest wanted to open it.
    pub load: bool,
    /// How often.
    pub times: u64,
}

impl fmt::Display for DeniedLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("  denied: ")?;
        for (n, byte) in self.uuid.iter().enumerate() {
            if matches!(n, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        let what = if self.load { "load" } else { "open" };
        write!(f, ", {what}, times: {}", self.times)
    }
}

/// What a guest has done with OP-TEE since it was made: a name and a number each.
#[derive(Clone, Copy, Debug)]
pub struct TeeCounters<'a>(pub &'a [(&'a str, u64)]);

impl fmt::Display for TeeCounters<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, (name, count)) in self.0.iter().enumerate() {
            let separator = if n == 0 { "  " } else { ", " };
            write!(f, "{separator}{name} {count}")?;
        }
        Ok(())
    }
}
