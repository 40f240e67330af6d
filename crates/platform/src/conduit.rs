// SPDX-License-Identifier: MIT OR Apache-2.0

//! The instruction that calls firmware.

use core::fmt;
use core::str::FromStr;

/// The instruction that calls firmware (DEN0028, SMC Calling Convention).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Conduit {
    /// SMC: the only one that reaches anything from EL2.
    #[default]
    Smc,
    /// HVC: for those below a hypervisor.
    Hvc,
}

/// A word that names no conduit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct UnknownConduit;

impl Conduit {
    /// Both, in the order in which help shows them.
    pub const ALL: [Self; 2] = [Self::Smc, Self::Hvc];

    /// Returns its word in device trees (property `method`), manifests and options.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Smc => "smc",
            Self::Hvc => "hvc",
        }
    }
}

impl FromStr for Conduit {
    type Err = UnknownConduit;

    fn from_str(name: &str) -> Result<Self, UnknownConduit> {
        let mut all = Self::ALL.into_iter();
        all.find(|one| one.name() == name).ok_or(UnknownConduit)
    }
}

impl fmt::Display for Conduit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for UnknownConduit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("neither smc nor hvc")
    }
}

impl core::error::Error for UnknownConduit {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_conduit_is_read_by_the_name_it_is_written_with() {
        for conduit in Conduit::ALL {
            assert_eq!(conduit.name().parse(), Ok(conduit));
        }
        assert_eq!("SMC".parse::<Conduit>(), Err(UnknownConduit));
    }
}
