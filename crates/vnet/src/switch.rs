// SPDX-License-Identifier: MIT OR Apache-2.0

//! Which port has which address.

use crate::{ETHERNET, Mac, TAG};

/// Most ports of a switch.
pub const MAX_PORTS: usize = 32;

/// A port of a switch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Port(u8);

impl Port {
    /// Returns its number, in the order in which ports were added.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// Some ports of a switch.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Ports(u32);

impl Ports {
    /// None of them.
    pub const NONE: Self = Self(0);

    /// Tells whether it is none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Tells whether `port` is one of them.
    pub const fn contains(self, port: Port) -> bool {
        self.0 >> port.0 & 1 == 1
    }

    /// Adds a port.
    pub(crate) fn add(&mut self, port: Port) {
        self.0 |= 1 << port.0;
    }

    /// Returns the first of them.
    pub(crate) fn first(self) -> Option<Port> {
        (self.0 != 0).then(|| Port(self.0.trailing_zeros() as u8))
    }
}

impl Iterator for Ports {
    type Item = Port;

    /// Takes the first of them away.
    fn next(&mut self) -> Option<Port> {
        let first = self.first()?;
        self.0 &= self.0 - 1;
        Some(first)
    }
}

/// Why a switch can't have a port.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refused {
    /// It has [`MAX_PORTS`].
    Full,
    /// No port can have such an address.
    NoStation,
    /// Another port has that address.
    Taken,
}

/// A switch: made at boot, and the same from then on.
#[derive(Clone, Debug)]
pub struct Switch {
    macs: [u64; MAX_PORTS],
    ports: u8,
    mtu: u16,
}

impl Switch {
    /// Makes a switch without ports, for frames of up to `mtu` bytes behind their Ethernet header.
    pub const fn new(mtu: u16) -> Self {
        Self {
            macs: [0; MAX_PORTS],
            ports: 0,
            mtu,
        }
    }

    /// Adds a port with this address.
    ///
    /// # Errors
    /// Why it can't be.
    pub fn add(&mut self, mac: Mac) -> Result<Port, Refused> {
        let place = usize::from(self.ports);
        if !mac.is_station() {
            return Err(Refused::NoStation);
        }
        if self.macs[..place].contains(&mac.number()) {
            return Err(Refused::Taken);
        }
        *self.macs.get_mut(place).ok_or(Refused::Full)? = mac.number();
        self.ports += 1;
        Ok(Port(place as u8))
    }

    /// Returns the most bytes of a frame, its header and a VLAN tag included.
    pub const fn longest(&self) -> u32 {
        self.mtu as u32 + ETHERNET + TAG
    }

    /// Tells whether `mac` is that of `port`.
    pub(crate) fn is_own(&self, port: Port, mac: Mac) -> bool {
        self.macs.get(port.index()) == Some(&mac.number())
    }

    /// Returns where a frame goes that `from` sends to `to`.
    pub(crate) fn route(&self, from: Port, to: Mac) -> Ports {
        let all = ((1_u64 << self.ports) - 1) as u32;
        let others = all & !(1_u32 << from.0);
        if to.is_group() {
            return Ports(others);
        }
        let number = to.number();
        let owner = self.macs[..usize::from(self.ports)]
            .iter()
            .position(|&mac| mac == number);
        Ports(owner.map_or(0, |port| others & 1 << port))
    }
}
