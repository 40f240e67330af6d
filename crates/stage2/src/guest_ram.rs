// SPDX-License-Identifier: MIT OR Apache-2.0

//! IPA to PA by arithmetic.

use addr::{Ipa, Pa};

/// Most regions that one guest's RAM may be split into.
const MAX_REGIONS: usize = 4;

/// One run of guest RAM, contiguous in both address spaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RamRegion {
    /// Where the guest sees it.
    pub ipa: Ipa,
    /// Where it is.
    pub pa: Pa,
    /// Bytes, a multiple of the page size.
    pub size: u64,
}

impl RamRegion {
    /// No RAM.
    const NONE: Self = Self {
        ipa: Ipa(0),
        pa: Pa(0),
        size: 0,
    };

    #[inline]
    fn locate(&self, ipa: Ipa) -> Option<(Pa, u64)> {
        let offset = ipa.0.wrapping_sub(self.ipa.0);
        (offset < self.size).then(|| (Pa(self.pa.0.wrapping_add(offset)), self.size - offset))
    }
}

/// The guest has more RAM regions than a [`GuestRam`] can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooManyRegions;

/// All RAM of one guest.
#[derive(Clone, Debug)]
pub struct GuestRam {
    /// Those from `count` on are [`RamRegion::NONE`].
    regions: [RamRegion; MAX_REGIONS],
    count: usize,
}

impl Default for GuestRam {
    fn default() -> Self {
        Self::new()
    }
}

impl GuestRam {
    /// Makes a guest's RAM without any yet.
    pub const fn new() -> Self {
        Self {
            regions: [RamRegion::NONE; MAX_REGIONS],
            count: 0,
        }
    }

    /// Adds a region; the caller keeps regions disjoint in both address spaces.
    pub fn push(&mut self, region: RamRegion) -> Result<(), TooManyRegions> {
        *self.regions.get_mut(self.count).ok_or(TooManyRegions)? = region;
        self.count += 1;
        Ok(())
    }

    /// Returns the regions, in the order they were added.
    pub fn regions(&self) -> &[RamRegion] {
        &self.regions[..self.count]
    }

    /// Returns where the guest's first region begins for it; 0 without RAM.
    pub fn start(&self) -> Ipa {
        self.regions[0].ipa
    }

    /// Returns the bytes of RAM in all regions.
    pub fn size(&self) -> u64 {
        self.regions.iter().map(|region| region.size).sum()
    }

    /// Returns the PA of `ipa`, and the bytes from there to the end of its region; `None` if `ipa` is
    /// not RAM.
    pub fn locate(&self, ipa: Ipa) -> Option<(Pa, u64)> {
        let mut regions = self.regions.iter();
        regions.find_map(|region| region.locate(ipa))
    }

    /// Returns the same if `ipa` is in the first region, which nearly all guests have alone; `None` says nothing about
    /// other regions.
    #[inline]
    pub fn locate_first(&self, ipa: Ipa) -> Option<(Pa, u64)> {
        let [first, ..] = &self.regions;
        first.locate(ipa)
    }

    /// Returns the region that `ipa` is in; `None` if it is not RAM.
    #[inline]
    pub fn region(&self, ipa: Ipa) -> Option<RamRegion> {
        let mut regions = self.regions.iter().copied();
        regions.find(|region| region.locate(ipa).is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn two_regions() -> GuestRam {
        let mut ram = GuestRam::new();
        ram.push(RamRegion {
            ipa: Ipa(0x4000_0000),
            pa: Pa(0x8020_0000),
            size: 0x20_0000,
        })
        .unwrap();
        ram.push(RamRegion {
            ipa: Ipa(0x4020_0000),
            pa: Pa(0x5000_0000),
            size: 0x40_0000,
        })
        .unwrap();
        ram
    }

    #[test]
    fn translates_inside_and_refuses_outside() {
        let ram = two_regions();
        assert_eq!(
            ram.locate(Ipa(0x4000_0010)),
            Some((Pa(0x8020_0010), 0x1f_fff0))
        );
        assert_eq!(
            ram.locate(Ipa(0x4020_0000)),
            Some((Pa(0x5000_0000), 0x40_0000))
        );
        assert_eq!(ram.locate(Ipa(0x4060_0000)), None);
        assert_eq!(
            ram.locate_first(Ipa(0x4000_0010)),
            ram.locate(Ipa(0x4000_0010))
        );
        assert_eq!(ram.locate_first(Ipa(0x4020_0000)), None);
        assert_eq!(ram.locate(Ipa(0x3fff_ffff)), None);
        assert_eq!(ram.locate(Ipa(u64::MAX)), None);
        assert_eq!(ram.region(Ipa(0x4000_0800)), Some(ram.regions()[0]));
        assert_eq!(ram.region(Ipa(0x405f_f000)), Some(ram.regions()[1]));
        assert_eq!(ram.region(Ipa(0x4060_0000)), None);
        assert_eq!((ram.start(), ram.size()), (Ipa(0x4000_0000), 0x60_0000));
    }

    #[test]
    fn a_fifth_region_is_refused() {
        let mut ram = GuestRam::new();
        let region = RamRegion {
            ipa: Ipa(0),
            pa: Pa(0),
            size: 4096,
        };
        for _ in 0..MAX_REGIONS {
            ram.push(region).unwrap();
        }
        assert_eq!(ram.push(region), Err(TooManyRegions));
    }

    proptest! {
        #[test]
        fn h04_every_translation_stays_in_a_region(ipa: u64) {
            let ram = two_regions();
            if let Some((pa, left)) = ram.locate(Ipa(ipa)) {
                let inside = |r: &RamRegion| {
                    r.pa <= pa && pa.0 + left == r.pa.0 + r.size && ipa - r.ipa.0 == pa.0 - r.pa.0
                };
                prop_assert!(ram.regions().iter().any(inside));
            }
        }
    }
}
