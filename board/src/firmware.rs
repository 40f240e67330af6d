// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the firmware offers by calls: PSCI and OP-TEE.

use crate::BoardError;
use crate::interrupt::{Controller, Interrupt};
use crate::tree::NodeContext;
use platform::Conduit;

pub(crate) const OPTEE: &[&str] = &["linaro,optee-tz"];

fn conduit(place: &NodeContext) -> Result<Conduit, BoardError> {
    let method = place.string("method").and_then(|name| name.parse().ok());
    method.ok_or(BoardError::property(place.name(), "method"))
}

/// Which PSCI the tree promises (Linux binding arm,psci).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum PsciVersion {
    /// 0.1, whose function ids are the platform's own.
    V0_1,
    /// 0.2 or later: standard function ids, PSCI_VERSION answers.
    V0_2,
    /// 1.0 or later: PSCI_FEATURES too.
    V1_0,
}

/// The firmware's power control (DEN0022).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Psci {
    /// How it is called.
    pub conduit: Conduit,
    /// The newest version in `compatible`.
    pub version: PsciVersion,
    /// The function that starts a core, if that is the platform's own: of PSCI 0.1, if it has one.
    pub cpu_on: Option<u32>,
}

impl Psci {
    pub(crate) fn read(place: &NodeContext) -> Result<Option<Self>, BoardError> {
        let versions = [
            ("arm,psci-1.0", PsciVersion::V1_0),
            ("arm,psci-0.2", PsciVersion::V0_2),
            ("arm,psci", PsciVersion::V0_1),
        ];
        let Some((_, version)) = versions.into_iter().find(|(name, _)| place.is(&[name])) else {
            return Ok(None);
        };
        let numbered = version == PsciVersion::V0_1;
        let cpu_on = place.number("cpu_on").filter(|_| numbered);
        Ok(Some(Self {
            conduit: conduit(place)?,
            version,
            cpu_on: cpu_on.map(|id| id as u32),
        }))
    }
}

/// OP-TEE (Linux binding linaro,optee-tz).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Optee {
    /// How it is called.
    pub conduit: Conduit,
    /// The interrupt of its asynchronous notifications, if it has them.
    pub interrupt: Option<Interrupt>,
}

impl Optee {
    pub(crate) fn read(place: &NodeContext, gic: Controller) -> Result<Self, BoardError> {
        Ok(Self {
            conduit: conduit(place)?,
            interrupt: gic.interrupt(place, 0),
        })
    }
}
