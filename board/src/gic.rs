// SPDX-License-Identifier: MIT OR Apache-2.0

//! The interrupt controller node.

use crate::interrupt::{Controller, Interrupt};
use crate::tree::{NodeContext, Tree};
use crate::{BoardError, fit};
use addr::{PAGE_SIZE, Pa, PaRange};
use arrayvec::ArrayVec;
use core::ops::ControlFlow;
use platform::GicVersion;

/// Most regions of GICv3 redistributors.
pub const MAX_GICR_REGIONS: usize = 4;
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
}

/// The frames of a GICv3.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GicV3 {
    /// Distributor.
    pub gicd: PaRange,
    /// Regions of redistributors. Which CPU's each is, GICR_TYPER says.
    pub gicr: ArrayVec<PaRange, MAX_GICR_REGIONS>,
    /// Bytes from one redistributor to the next, where that is not what GICR_TYPER implies.
    pub stride: Option<u64>,
    /// INTID of the maintenance interrupt.
    pub maintenance: u32,
}

/// Returns the first enabled GIC's node.
pub(crate) fn find<'a>(tree: &Tree<'a>) -> Result<Option<NodeContext<'a>>, BoardError> {
    let mut found = None;
    tree.each(&mut |place| {
        if place.is(V3) || place.is(V2) {
            found = Some(place.clone());
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    })?;
    Ok(found)
}

impl Gic {
    /// Reads the node that [`find`] found.
    pub(crate) fn read(place: &NodeContext) -> Result<Self, BoardError> {
        let maintenance = Controller::of(place)
            .interrupt(place, 0)
            .map_or(BSA_MAINTENANCE, |Interrupt { intid, .. }| intid);
        if place.is(V3) {
            return GicV3::read(place, maintenance).map(Self::V3);
        }
        GicV2::read(place, maintenance).map(Self::V2)
    }
}

impl Gic {
    /// Returns the frames that EL2 uses: a GICV is the guests'.
    pub fn mapped_frames(&self) -> impl Iterator<Item = PaRange> {
        let guests = match self {
            Self::V2(gic) => Some(gic.gicv),
            Self::V3(_) => None,
        };
        self.frames().filter(move |frame| Some(*frame) != guests)
    }

    /// Returns all frames of the GIC.
    pub fn frames(&self) -> impl Iterator<Item = PaRange> {
        let (four, regions) = match self {
            Self::V2(gic) => (Some([gic.gicd, gic.gicc, gic.gich, gic.gicv]), None),
            Self::V3(gic) => (
                None,
                Some(core::iter::once(gic.gicd).chain(gic.gicr.clone())),
            ),
        };
        four.into_iter()
            .flatten()
            .chain(regions.into_iter().flatten())
    }
}

impl GicV2 {
    fn read(place: &NodeContext, maintenance: u32) -> Result<Self, BoardError> {
        let mut reg = place.reg();
        let mut frame = || somewhere(place, reg.next());
        Ok(Self {
            gicd: frame()?,
            gicc: two_pages(frame()?),
            gich: frame()?,
            gicv: two_pages(frame()?),
            maintenance,
        })
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

/// Returns where a CPU interface's two pages lie one behind the other. In a frame of 128 KiB each
/// of them fills 64 KiB by aliases, so that a kernel with pages of 64 KiB can map them apart (SBSA
/// DEN0029, "GICv2m"): the last alias of the first and the first of the second are neighbors.
fn two_pages(frame: PaRange) -> PaRange {
    const ALIASES: u64 = 64 << 10;
    if frame.size < 2 * ALIASES {
        return frame;
    }
    PaRange {
        start: Pa(frame.start.0 + ALIASES - PAGE_SIZE),
        size: 2 * PAGE_SIZE,
    }
}

impl GicV3 {
    fn read(place: &NodeContext, maintenance: u32) -> Result<Self, BoardError> {
        let regions = place.cell("#redistributor-regions").unwrap_or(1) as usize;
        let mut reg = place.reg();
        let missing = || BoardError::property(place.name(), "reg");
        let gicd = somewhere(place, reg.next())?;
        let mut gicr = ArrayVec::new();
        for region in reg.take(regions) {
            let region = somewhere(place, Some(region))?;
            fit(&mut gicr, region, "redistributor regions")?;
        }
        if gicr.is_empty() || gicr.len() < regions {
            return Err(missing());
        }
        Ok(Self {
            gicd,
            gicr,
            stride: place.number("redistributor-stride"),
            maintenance,
        })
    }
}
