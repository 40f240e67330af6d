// SPDX-License-Identifier: MIT OR Apache-2.0

//! The list of a guest's devices.

/// Nodes of the board's device tree, each named by its path or by an alias.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Devices<'a> {
    /// The names with a NUL between two: none of them has one.
    joined: &'a str,
}

impl<'a> Devices<'a> {
    /// Returns the devices whose names are in `joined`, with a NUL between two. The empty text has none.
    pub const fn new(joined: &'a str) -> Self {
        Self { joined }
    }

    /// Returns the names in order.
    pub fn iter(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        let any = !self.joined.is_empty();
        self.joined.split('\0').filter(move |_| any)
    }

    /// Returns the names as [`Self::new`] takes them.
    pub const fn joined(&self) -> &'a str {
        self.joined
    }
}
