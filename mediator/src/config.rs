// SPDX-License-Identifier: MIT OR Apache-2.0

//! What one guest may do: its dialect, its quotas, the applications it may open.

use crate::abi::LIST_ENTRIES;
use crate::policy::TaPolicy;

/// What a guest is told about RPC arguments.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Dialect {
    /// RPC_ARG is offered; CALL_WITH_ARG works as well.
    #[default]
    Modern,
    /// RPC_ARG is hidden: CALL_WITH_ARG alone, with ALLOC and FREE returns.
    Classic,
}

/// Quotas of a guest. All memory they stand for is laid out when the guest is made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Calls under way at once, 1 to [`Limits::MAX_CALLS`].
    pub calls: u16,
    /// Shared buffers at once, of every kind, at most [`Limits::MAX_BUFFERS`].
    pub buffers: u16,
    /// Pages of 4 KiB in shared buffers at once, at most [`Limits::MAX_PAGES`].
    pub pages: u32,
    /// Sessions open at once, at most [`Limits::MAX_SESSIONS`].
    pub sessions: u16,
    /// Shadow pages for page lists: one for every 511 pages of the largest buffer, and one more
    /// for each list that is translated at the same time.
    pub list_frames: u16,
}

impl Limits {
    /// Most calls at once.
    pub const MAX_CALLS: u16 = 64;
    /// Most buffers at once.
    pub const MAX_BUFFERS: u16 = 32_768;
    /// Most shared pages at once: 8 GiB.
    pub const MAX_PAGES: u32 = 1 << 21;
    /// Most sessions open at once.
    pub const MAX_SESSIONS: u16 = 256;
    /// Most shadow pages for lists.
    pub const MAX_LIST_FRAMES: u16 = 8_192;

    /// Returns how many shadow pages [`crate::ShadowPages`] must hold.
    pub fn frames(&self) -> usize {
        let fitted = self.fitted();
        usize::from(fitted.calls) + usize::from(fitted.list_frames)
    }

    /// Returns the same quotas inside the bounds that the mediator's index types have.
    pub(crate) fn fitted(&self) -> Self {
        Self {
            calls: self.calls.clamp(1, Self::MAX_CALLS),
            buffers: self.buffers.min(Self::MAX_BUFFERS),
            pages: self.pages.min(Self::MAX_PAGES),
            sessions: self.sessions.min(Self::MAX_SESSIONS),
            list_frames: self.list_frames.min(Self::MAX_LIST_FRAMES),
        }
    }
}

impl Default for Limits {
    /// Returns 16 calls, 1,100 buffers, 256 sessions, 128 MiB shared, any one buffer up to 64 MiB with room for the
    /// lists of other calls.
    fn default() -> Self {
        let largest = 64 * 256_u16;
        Self {
            calls: 16,
            buffers: 1_100,
            pages: 128 * 256,
            sessions: Self::MAX_SESSIONS,
            list_frames: largest.div_ceil(LIST_ENTRIES as u16) + 15,
        }
    }
}

/// All about one guest.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Config {
    /// The dialect it is offered.
    pub dialect: Dialect,
    /// Its quotas.
    pub limits: Limits,
    /// The applications it may open.
    pub policy: TaPolicy,
    /// Whether the board's RPMB is its own. OP-TEE keeps a write counter and a directory of it in
    /// each guest's partition, so that two users of one RPMB break each other's.
    pub rpmb: bool,
    /// Whether each life of the guest begins in a VM of OP-TEE's that is new.
    pub fresh: bool,
    /// Most VMs that the guest may cost OP-TEE as long as the board runs; `None` is no limit.
    pub max_vms: Option<u16>,
    /// Whether a virtual interrupt is wired for asynchronous notifications. They are offered
    /// when OP-TEE has them too.
    pub notifications: bool,
}
