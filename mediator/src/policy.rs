// SPDX-License-Identifier: MIT OR Apache-2.0

//! Which trusted applications a guest may use, and what it was refused, for the operator.
//!
//! Refusals go to a table of fixed size instead of lines in the log: a guest that asks without
//! end moves a counter and nothing else.

use alloc::boxed::Box;

/// UUID of a trusted application, in the order it is written.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Uuid(pub [u8; 16]);

impl Uuid {
    /// Returns the UUID in the first two words of a value parameter.
    pub(crate) fn of(a: u64, b: u64) -> Self {
        Self((u128::from(b) << 64 | u128::from(a)).to_le_bytes())
    }
}

/// Which trusted applications a guest may open a session with, and OP-TEE load from it. Sessions
/// that one application opens with another stay inside OP-TEE and are not seen here.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum TaPolicy {
    /// All.
    #[default]
    Any,
    /// These alone.
    Only(Box<[Uuid]>),
    /// All but these.
    Except(Box<[Uuid]>),
}

impl TaPolicy {
    /// Tells whether `uuid` may be opened.
    pub fn allows(&self, uuid: Uuid) -> bool {
        match self {
            Self::Any => true,
            Self::Only(list) => list.contains(&uuid),
            Self::Except(list) => !list.contains(&uuid),
        }
    }
}

/// How an application was asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Asked {
    /// By the guest, in OPEN_SESSION.
    Open,
    /// By OP-TEE, in LOAD_TA, for an application that the guest may open.
    Load,
}

/// An application that was refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Denial {
    /// The application.
    pub uuid: Uuid,
    /// How it was asked for.
    pub asked: Asked,
    /// How often; it does not wrap.
    pub times: u64,
}

/// The applications that a guest was refused, first come first kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Denials {
    kept: [Option<Denial>; Denials::KEPT],
    /// Refusals of applications that found no room.
    pub others: u64,
}

impl Denials {
    /// Most applications that are kept.
    pub const KEPT: usize = 8;

    /// Returns the applications, in the order of their first refusal.
    pub fn iter(&self) -> impl Iterator<Item = Denial> + '_ {
        self.kept.iter().map_while(|denial| *denial)
    }

    /// Counts one refusal.
    #[cold]
    pub(crate) fn record(&mut self, uuid: Uuid, asked: Asked) {
        let fits = |denial: &Option<Denial>| match denial {
            Some(denial) => denial.uuid == uuid && denial.asked == asked,
            None => true,
        };
        let Some(denial) = self.kept.iter_mut().find(|denial| fits(denial)) else {
            self.others = self.others.saturating_add(1);
            return;
        };
        let times = denial.map_or(0, |denial| denial.times);
        *denial = Some(Denial {
            uuid,
            asked,
            times: times.saturating_add(1),
        });
    }
}
