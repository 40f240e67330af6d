// SPDX-License-Identifier: MIT OR Apache-2.0

//! One field of an identification register.

/// A 4-bit field that a guest may see, and how much of it.
///
/// DDI 0487, D24.1.3 ("Principles of the ID scheme for fields in ID registers"): in an unsigned
/// field a higher number has all that a lower one has and 0 has nothing; in a signed field 0xf has
/// nothing and 0 already has the feature.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Field {
    shift: u8,
    max: u8,
    signed: bool,
}

impl Field {
    /// Names the unsigned field at bit `shift`, shown up to `max`.
    pub(crate) const fn upto(shift: u8, max: u8) -> Self {
        assert!(shift.is_multiple_of(4) && shift < 64 && max >= 1 && max <= 15);
        Self {
            shift,
            max,
            signed: false,
        }
    }

    /// Names the signed field at bit `shift`, shown up to `max`.
    pub(crate) const fn signed(shift: u8, max: u8) -> Self {
        assert!(shift.is_multiple_of(4) && shift < 64 && max <= 7);
        Self {
            shift,
            max,
            signed: true,
        }
    }

    /// Returns the field's bits in the register.
    pub const fn mask(self) -> u64 {
        0xf << self.shift
    }

    /// Returns the field of `host`, capped, at its place; all other bits clear.
    pub(crate) fn cap(self, host: u64) -> u64 {
        let value = host >> self.shift & 0xf;
        let negative = self.signed && value & 8 != 0;
        let shown = if negative {
            value
        } else {
            value.min(u64::from(self.max))
        };
        shown << self.shift
    }
}
