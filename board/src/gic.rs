// SPDX-License-Identifier: MIT OR Apache-2.0

//! The interrupt controller node.

use crate::gicv2::{self, GicV2};
use crate::interrupt::{Controller, Interrupt};
use crate::tree::{NodeContext, Tree};
use crate::{BoardError, Controllers};
use addr::PaRange;
use arrayvec::ArrayVec;
use core::ops::ControlFlow;
use platform::GicVersion;

/// Most regions of GICv3 redistributors: cores that have theirs in further ones are not used.
pub const MAX_GICR_REGIONS: usize = 4;
/// Most frames that [`Gic::frames`] returns.
pub const MAX_GIC_FRAMES: usize = gicv2::MAX_FRAMES;
const _: () = assert!(MAX_GICR_REGIONS < MAX_GIC_FRAMES);
/// Bytes of a redistributor's frame, and of its two that each GICv3 has.
const FRAME: u64 = 64 << 10;
const FRAMES: u64 = 2 * FRAME;
/// The maintenance interrupt's INTID where the tree does not say (Arm BSA, PPI assignments).
const BSA_MAINTENANCE: u32 = 25;

pub(crate) const V3: &[&str] = &["arm,gic-v3"];
pub(crate) const V2: &[&str] = &[
    "arm,gic-400",
    "arm,cortex-a15-gic",
    "arm,cortex-a7-gic",
    "qcom,msm-qgic2",
];

/// The interrupt controller.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Gic {
    /// GICv2 with the virtualization extensions (IHI 0048B).
    V2(GicV2),
    /// GICv3 or later (IHI 0069).
    V3(GicV3),
}

impl Gic {
    /// Returns its architecture.
    pub fn version(&self) -> GicVersion {
        match self {
            Self::V2(_) => GicVersion::V2,
            Self::V3(_) => GicVersion::V3,
        }
    }
}

/// The frames of a GICv3.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GicV3 {
    /// Distributor.
    pub gicd: PaRange,
    /// Regions of redistributors. Which CPU's each is, GICR_TYPER says.
    pub gicr: ArrayVec<PaRange, MAX_GICR_REGIONS>,
    /// Bytes from one redistributor to the next, where that is not what GICR_TYPER implies.
    stride: Option<u64>,
    /// INTID of the maintenance interrupt.
    pub maintenance: u32,
}

/// Returns [`BoardError::NoGic`] with the interrupt controllers that the tree has, but for those of pins.
pub(crate) fn none(tree: &Tree) -> BoardError {
    let mut found = Controllers::new();
    let _: Result<(), BoardError> = tree.each(&mut |place| {
        let has = |name| place.property(name).is_some();
        let controller = has("interrupt-controller") && !has("gpio-controller");
        if let Some(name) = place
            .string("compatible")
            .filter(|name| controller && !found.contains(name))
        {
            let comma = if found.is_empty() { "" } else { ", " };
            [comma, name].iter().for_each(|text| {
                let _ = found.try_push_str(text);
            });
        }
        ControlFlow::Continue(())
    });
    BoardError::NoGic(found)
}

impl Gic {
    /// Reads the node that [`Controller::find`] found.
    pub(crate) fn read(
        tree: &Tree,
        place: &NodeContext,
        own: Controller,
    ) -> Result<Self, BoardError> {
        let maintenance = own
            .interrupt(place, 0)
            .map_or(BSA_MAINTENANCE, |Interrupt { intid, .. }| intid);
        if place.is(V3) {
            return GicV3::read(place, maintenance).map(Self::V3);
        }
        GicV2::read(tree, place, maintenance).map(Self::V2)
    }
}

impl Gic {
    /// Returns the frames that EL2 maps.
    pub fn mapped_frames(&self) -> impl Iterator<Item = PaRange> {
        let (v2, v3) = self.each();
        let v2 = v2.into_iter().flat_map(GicV2::mapped_frames);
        v2.chain(v3.into_iter().flat_map(GicV3::frames))
    }

    /// Returns all frames of the GIC, [`Self::mapped_frames`] among them: at most [`MAX_GIC_FRAMES`].
    pub fn frames(&self) -> impl Iterator<Item = PaRange> {
        let (v2, v3) = self.each();
        let v2 = v2.into_iter().flat_map(GicV2::frames);
        v2.chain(v3.into_iter().flat_map(GicV3::frames))
    }

    fn each(&self) -> (Option<&GicV2>, Option<&GicV3>) {
        match self {
            Self::V2(gic) => (Some(gic), None),
            Self::V3(gic) => (None, Some(gic)),
        }
    }
}

/// Returns the frame, if it is there and not at address 0: drivers hold pointers to registers, and 0
/// is none.
fn somewhere(
    place: &NodeContext,
    frame: Option<Result<PaRange, BoardError>>,
) -> Result<PaRange, BoardError> {
    match frame {
        Some(Ok(frame)) if frame.start.0 == 0 => Err(BoardError::property(place.name(), "reg")),
        Some(frame) => frame,
        None => Err(BoardError::property(place.name(), "reg")),
    }
}

impl GicV3 {
    /// Returns the bytes from one redistributor to the next: the frames that GICR_TYPER.VLPIS tells of (IHI 0069H 12.10), unless
    /// the board has its own stride.
    pub fn stride(&self, virtual_lpis: bool) -> u64 {
        let implied = FRAMES * (1 + u64::from(virtual_lpis));
        self.stride.unwrap_or(implied)
    }

    fn frames(&self) -> impl Iterator<Item = PaRange> + use<> {
        core::iter::once(self.gicd).chain(self.gicr.clone())
    }

    fn read(place: &NodeContext, maintenance: u32) -> Result<Self, BoardError> {
        let regions = place.cell("#redistributor-regions").unwrap_or(1) as usize;
        let mut reg = place.reg();
        let missing = || BoardError::property(place.name(), "reg");
        let gicd = somewhere(place, reg.next())?;
        let mut gicr = ArrayVec::<PaRange, MAX_GICR_REGIONS>::new();
        let regions = regions.min(MAX_GICR_REGIONS);
        for region in reg.take(regions) {
            gicr.push(somewhere(place, Some(region))?);
        }
        if gicr.is_empty() || gicr.len() < regions {
            return Err(missing());
        }
        let stride = place
            .number("redistributor-stride")
            .filter(|stride| *stride >= FRAMES && stride.is_multiple_of(FRAME));
        if stride.is_some_and(|stride| gicr.iter().all(|region| stride > region.size)) {
            return Err(BoardError::property(place.name(), "redistributor-stride"));
        }
        Ok(Self {
            gicd,
            gicr,
            stride,
            maintenance,
        })
    }
}
