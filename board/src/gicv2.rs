// SPDX-License-Identifier: MIT OR Apache-2.0

//! The frames of a GICv2, which many trees give in part: what is left out follows from the architecture.

use crate::BoardError;
use crate::tree::{NodeContext, Tree};
use addr::{PAGE_SIZE, Pa, PaRange};
use core::ops::ControlFlow;

/// Most frames that [`GicV2::frames`] returns.
pub(crate) const MAX_FRAMES: usize = 6;
/// GICC and GICV: GICC_DIR begins the second page (IHI 0048B 4.4, 5.5).
const INTERFACE: u64 = 2 * PAGE_SIZE;
/// Where a page of an interface is decoded by some bits of the address alone, it fills this much.
const ALIASES: u64 = 64 << 10;
/// Offset of GICC_IIDR and of GICV_IIDR.
const IIDR: u64 = 0xfc;

/// The frames of a GICv2.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GicV2 {
    /// Distributor.
    pub gicd: PaRange,
    /// CPU interface, its two pages one behind the other.
    pub gicc: PaRange,
    /// Virtual interface control.
    pub gich: PaRange,
    /// Virtual CPU interface, to be mapped at the guest's GICC.
    pub gicv: PaRange,
    /// INTID of the maintenance interrupt.
    pub maintenance: u32,
    /// Where the pages of `gicc` and of `gicv` are neighbors if they turn out to repeat.
    aliases: [Option<PaRange>; 2],
}

impl GicV2 {
    pub(crate) fn read(
        tree: &Tree,
        place: &NodeContext,
        maintenance: u32,
    ) -> Result<Self, BoardError> {
        let mut reg = place.reg();
        let mut next = || reg.next().transpose();
        let listed = [next()?, next()?, next()?, next()?];
        let malformed = BoardError::property(place.name(), "reg");
        let (gicd, gicc) = (listed[0].ok_or(malformed)?, listed[1].ok_or(malformed)?);
        let virtual_ = listed[2].zip(listed[3]);
        let (gich, gicv) = virtual_
            .or_else(|| by_offset(tree, place, gicd, gicc))
            .ok_or(BoardError::no_virtualization(place.name()))?;
        let all = [gicd, gicc, gich, gicv];
        // Address 0 is no pointer for a driver, and in no more than whole pages guests can be given GICV.
        if !all
            .iter()
            .all(|frame| frame.start.0 != 0 && frame.start.is_aligned(PAGE_SIZE))
        {
            return Err(malformed);
        }
        let room = Room { tree, place, all };
        let page = |frame| room.widen(frame, PAGE_SIZE).ok_or(malformed);
        let interface = |frame| room.widen(two_pages(frame), INTERFACE).ok_or(malformed);
        Ok(Self {
            gicd: page(gicd)?,
            gicc: interface(gicc)?,
            gich: page(gich)?,
            gicv: interface(gicv)?,
            maintenance,
            aliases: [gicc, gicv].map(|frame| room.alias(frame)),
        })
    }

    /// Returns all frames, and where interfaces may turn out to repeat.
    pub(crate) fn frames(&self) -> impl Iterator<Item = PaRange> + use<> {
        let listed = [self.gicd, self.gicc, self.gich, self.gicv];
        listed.into_iter().chain(self.aliases.into_iter().flatten())
    }

    /// Returns the frames that EL2 maps: GICV, which is guests', if it has to look there.
    pub(crate) fn mapped_frames(&self) -> impl Iterator<Item = PaRange> + use<> {
        let gicv = self.aliases[1].map(|_| self.gicv);
        let own = [self.gicd, self.gicc, self.gich];
        own.into_iter()
            .chain(gicv)
            .chain(self.aliases.into_iter().flatten())
    }

    /// Moves each interface whose first page repeats to where its two pages are neighbors: `read` reads the register
    /// of 32 bits at an address in [`crate::Gic::mapped_frames`].
    ///
    /// The identification register tells: it is in the first page alone.
    pub fn find_aliases(&mut self, read: impl Fn(Pa) -> u32) {
        let id = |start: Pa| read(Pa(start.0 + IIDR));
        let frames = [&mut self.gicc, &mut self.gicv].into_iter();
        for (frame, alias) in frames.zip(self.aliases) {
            let Some(alias) = alias else {
                continue;
            };
            let first = id(frame.start);
            let next = Pa(frame.start.0 + PAGE_SIZE);
            if is_gicv2(first) && id(next) == first && id(alias.start) == first {
                *frame = alias;
            }
        }
    }
}

/// Tells whether an identification register has GICv2 as its architecture version (IHI 0048B 4.4.14).
fn is_gicv2(iidr: u32) -> bool {
    iidr >> 16 & 0xf == 2
}

/// Returns where GICH and GICV are of a GIC that has them where GIC-400 and the Cortex-A15 do (DDI 0471B 3.2), by pages or
/// by 64 KiB each. `None` if another device is there.
fn by_offset(
    tree: &Tree,
    place: &NodeContext,
    gicd: PaRange,
    gicc: PaRange,
) -> Option<(PaRange, PaRange)> {
    let unit = gicc.start.0.checked_sub(gicd.start.0)?;
    let known = matches!(unit, PAGE_SIZE | ALIASES) && !place.is(&["qcom,msm-qgic2"]);
    let at = |units, size| PaRange::new(gicd.start.checked_add(units * unit)?, size);
    let (gich, gicv) = (at(3, PAGE_SIZE)?, at(5, INTERFACE)?);
    let taken = |other: &PaRange| other.overlaps(&gich) || other.overlaps(&gicv);
    (known && !is_any_others(tree, place, taken)).then_some((gich, gicv))
}

/// Tells whether `wanted` holds for a register range of another node, disabled ones too, or the tree is damaged.
fn is_any_others(tree: &Tree, place: &NodeContext, wanted: impl Fn(&PaRange) -> bool) -> bool {
    let mut found = false;
    let walked = tree.each_of_all(&mut |other| {
        let own = other.unit_address() == place.unit_address() && other.name() == place.name();
        found = !own
            && other
                .reg()
                .map_while(Result::ok)
                .any(|range| wanted(&range));
        match found {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    });
    found || walked.is_err()
}

/// Returns where an interface's two pages lie one behind the other. In a frame of 128 KiB each of them fills 64 KiB by
/// aliases, so that a kernel with pages of 64 KiB can map them apart (SBSA DEN0029, "GICv2m"): the last alias of the
/// first and the first of the second are neighbors.
fn two_pages(frame: PaRange) -> PaRange {
    if frame.size < 2 * ALIASES {
        return frame;
    }
    PaRange {
        start: Pa(frame.start.0 + ALIASES - PAGE_SIZE),
        size: INTERFACE,
    }
}

/// What is around the frames that a node lists.
struct Room<'t, 'a, 'b> {
    tree: &'t Tree<'a>,
    place: &'t NodeContext<'b>,
    all: [PaRange; 4],
}

impl Room<'_, '_, '_> {
    /// Returns the `size` bytes that begin a frame, more or less than the tree has of it; `None` if the rest is another
    /// device's.
    fn widen(&self, frame: PaRange, size: u64) -> Option<PaRange> {
        let wide = PaRange::new(frame.start, size)?;
        (frame.contains(&wide) || self.is_free(&wide, &frame)).then_some(wide)
    }

    /// Returns where an interface's two pages would be neighbors, if it can be one that repeats and is not known to be.
    fn alias(&self, frame: PaRange) -> Option<PaRange> {
        if !frame.start.is_aligned(ALIASES) || frame.size >= 2 * ALIASES {
            return None;
        }
        let whole = PaRange::new(frame.start, 2 * ALIASES)?;
        let alias = two_pages(whole);
        self.is_free(&alias, &frame).then_some(alias)
    }

    /// Tells whether nothing that the tree lists is in `range`, but for what has `frame` in it, too.
    fn is_free(&self, range: &PaRange, frame: &PaRange) -> bool {
        let other = |other: &PaRange| other.overlaps(range) && !other.overlaps(frame);
        !self.all.iter().any(other) && !is_any_others(self.tree, self.place, other)
    }
}
