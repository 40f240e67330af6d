// SPDX-License-Identifier: MIT OR Apache-2.0

//! Sets of vCPUs and of INTIDs.

use alloc::{boxed::Box, vec};
use platform::VcpuId;

/// A set of a guest's vCPUs.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[must_use = "a vCPU that is not kicked may sleep on its interrupt"]
pub struct VcpuSet(u8);

impl VcpuSet {
    /// No vCPU.
    pub const EMPTY: Self = Self(0);

    /// The vCPUs whose bits are set.
    pub const fn from_bits(bits: u8) -> Self {
        Self(bits)
    }

    /// One bit for each vCPU.
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// Just `vcpu`; the empty set for a number above 7.
    pub const fn one(vcpu: VcpuId) -> Self {
        Self(if vcpu.0 < 8 { 1 << vcpu.0 } else { 0 })
    }

    /// Whether no vCPU is in the set.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether `vcpu` is in the set.
    pub const fn contains(self, vcpu: VcpuId) -> bool {
        self.0 & Self::one(vcpu).0 != 0
    }

    /// The set without `vcpu`.
    pub const fn without(self, vcpu: VcpuId) -> Self {
        Self(self.0 & !Self::one(vcpu).0)
    }

    /// The vCPUs, in order.
    pub fn iter(self) -> impl Iterator<Item = VcpuId> {
        bits(self.0.into()).map(|vcpu| VcpuId(vcpu as u8))
    }
}

impl core::ops::BitOr for VcpuSet {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl core::ops::BitOrAssign for VcpuSet {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

/// A set of INTIDs below 1024, with a summary so that an empty or small set costs little to walk.
#[derive(Debug)]
pub(crate) struct IntidSet {
    words: Box<[u32]>,
    /// Bit n: word n is not zero.
    summary: u32,
}

impl IntidSet {
    pub(crate) fn new(words: usize) -> Self {
        Self {
            words: vec![0; words].into_boxed_slice(),
            summary: 0,
        }
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.summary == 0
    }

    pub(crate) fn insert(&mut self, intid: u32) {
        if let Some(word) = self.words.get_mut(intid as usize / 32) {
            *word |= 1 << (intid % 32);
            self.summary |= 1 << (intid / 32);
        }
    }

    #[inline(always)]
    pub(crate) fn remove(&mut self, intid: u32) {
        if let Some(word) = self.words.get_mut(intid as usize / 32) {
            *word &= !(1 << (intid % 32));
            if *word == 0 {
                self.summary &= !(1 << (intid / 32));
            }
        }
    }

    /// The INTID, if there is a single one.
    #[inline(always)]
    pub(crate) fn single(&self) -> Option<u32> {
        let word = self.summary.trailing_zeros();
        let set = *self.words.get(word as usize)?;
        let is_single = self.summary.is_power_of_two() && set.is_power_of_two();
        is_single.then(|| word * 32 + set.trailing_zeros())
    }

    pub(crate) fn clear(&mut self) {
        self.words.fill(0);
        self.summary = 0;
    }

    /// The INTIDs, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = u32> {
        bits(self.summary).flat_map(move |word| {
            let set = self.words.get(word as usize).copied().unwrap_or(0);
            bits(set).map(move |bit| word * 32 + bit)
        })
    }
}

/// The numbers of the bits that are set, in order.
pub(crate) fn bits(mut word: u32) -> impl Iterator<Item = u32> {
    core::iter::from_fn(move || {
        let bit = word.trailing_zeros();
        word &= word.wrapping_sub(1);
        (bit < 32).then_some(bit)
    })
}
