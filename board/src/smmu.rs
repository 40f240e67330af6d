// SPDX-License-Identifier: MIT OR Apache-2.0

//! SMMUs, and the streams by which devices reach memory through them (Linux bindings arm,smmu-v3, iommu and
//! pci-iommu).

use crate::interrupt::{Controller, Interrupt, is_private};
use crate::tree::{Cells, NodeContext};
use addr::PaRange;
use arrayvec::ArrayVec;

/// Most SMMUs: what is behind a further one is behind none that is known.
pub const MAX_SMMUS: usize = 8;
/// Most runs of stream ids of the devices in a device's pages.
pub const MAX_STREAMS: usize = 16;
/// Most entries of an `iommu-map`.
const MAX_MAP: usize = 64;
/// Bytes of an SMMU's registers: pages 0 and 1, of 64 KiB each (IHI 0070 6.1).
const REGISTERS: u64 = 128 << 10;
/// PCI functions on a bus.
const FUNCTIONS: u32 = 256;

const COMPATIBLE: &[&str] = &["arm,smmu-v3"];

/// An SMMUv3.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Smmu {
    /// Its registers: page 0 comes first, page 1 is 64 KiB behind.
    pub registers: PaRange,
    /// The interrupt of its event queue, an SPI.
    pub events: Option<Interrupt>,
    /// The interrupt of its global errors, an SPI, which may be the same one.
    pub errors: Option<Interrupt>,
    /// Whether its accesses to tables and queues are coherent with the cores' caches.
    pub coherent: bool,
    /// What the devices behind it call it.
    phandle: u32,
}

impl Smmu {
    /// Reads the node of an SMMUv3 that is the normal world's alone; `None` of others, and of one that nothing can be
    /// behind or that is not whole.
    pub(crate) fn read(place: &NodeContext, gic: Controller) -> Option<Self> {
        if !place.is(COMPATIBLE) || place.is_secure() || place.cell("#iommu-cells") != Some(1) {
            return None;
        }
        let registers = place.reg().next()?.ok()?;
        let named = |name| {
            // By name alone: their order is not fixed.
            let found = gic.named(place, name, usize::MAX);
            found.filter(|found| !is_private(found.intid))
        };
        let combined = named("combined");
        (registers.size >= REGISTERS).then_some(Self {
            registers,
            events: combined.or_else(|| named("eventq")),
            errors: combined.or_else(|| named("gerror")),
            coherent: place.property("dma-coherent").is_some(),
            phandle: place.cell("phandle")?,
        })
    }
}

/// A run of stream ids.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Streams {
    /// The index in [`crate::Board::smmus`] of the SMMU that they go through.
    pub smmu: usize,
    /// The first one.
    pub first: u32,
    /// How many there are, at least 1; the last has 32 bits, too.
    pub count: u32,
}

impl Streams {
    fn new(smmu: usize, first: u32, count: u32) -> Option<Self> {
        let last = first.checked_add(count.checked_sub(1)?);
        last.map(|_| Self { smmu, first, count })
    }

    /// Returns one past the last stream id.
    pub fn end(&self) -> u64 {
        u64::from(self.first) + u64::from(self.count)
    }

    /// Tells whether the two runs share a stream.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.smmu == other.smmu
            && u64::from(self.first) < other.end()
            && u64::from(other.first) < self.end()
    }
}

/// Adds a run, joined with those that it touches or overlaps; `None` if there is no room.
pub(crate) fn join(list: &mut ArrayVec<Streams, MAX_STREAMS>, run: Streams) -> Option<()> {
    let (mut first, mut end) = (run.first, run.end());
    list.retain(|known| {
        let apart = known.smmu != run.smmu
            || known.end() < u64::from(first)
            || end < u64::from(known.first);
        if !apart {
            first = first.min(known.first);
            end = end.max(known.end());
        }
        apart
    });
    // All 2^32 of them would be one more than their number can say.
    let count = u32::try_from(end - u64::from(first)).ok()?;
    list.try_push(Streams {
        first,
        count,
        ..run
    })
    .ok()
}

/// Calls `found` with the streams that a node names, and tells whether it masters the bus through these alone: all go to
/// listed SMMUs and, of a PCI host bridge, each function on its buses has one.
pub(crate) fn named(place: &NodeContext, smmus: &[Smmu], found: &mut dyn FnMut(Streams)) -> bool {
    let mut run = |phandle, first, count| {
        let smmu = smmus.iter().position(|smmu| smmu.phandle == phandle)?;
        Streams::new(smmu, first, count).map(&mut *found)
    };
    // The length of an entry that names another IOMMU is not known: what follows it is not read.
    let own = place.property("iommus").map(|list| {
        let mut entries = list.chunks(8);
        let mut one = |entry| run(Cells(entry).next()?, Cells(entry.get(4..)?).next()?, 1);
        !list.is_empty() && entries.all(|entry| one(entry).is_some())
    });
    let map = place.property("iommu-map").map(|list| {
        let mut entries = list.chunks(16);
        entries.all(|entry| {
            let [_, phandle, first, count] = cells(entry);
            entry.len() == 16 && run(phandle, first, count).is_some()
        })
    });
    match (own, map) {
        (Some(own), None) => own && !is_pci(place),
        (own, Some(map)) => own != Some(false) && map && is_pci(place) && is_covered(place),
        (None, None) => false,
    }
}

fn cells(entry: &[u8]) -> [u32; 4] {
    let mut cells = Cells(entry);
    [(); 4].map(|()| cells.next().unwrap_or_default())
}

/// Tells whether a node is a PCI host bridge or what it stands for (IEEE 1275's PCI binding).
pub(crate) fn is_pci(place: &NodeContext) -> bool {
    place.string("device_type") == Some("pci")
}

/// Returns the first and the last bus of a PCI host bridge, all if its node does not say.
pub(crate) fn buses(place: &NodeContext) -> Option<(u8, u8)> {
    let Some(range) = place.property("bus-range") else {
        return Some((0, u8::MAX));
    };
    let mut cells = Cells(range);
    let mut bus = || u8::try_from(cells.next()?).ok();
    Some((bus()?, bus()?)).filter(|(first, last)| first <= last)
}

/// Tells whether `iommu-map` has an entry for each function that may be on a bridge's buses.
fn is_covered(place: &NodeContext) -> bool {
    let map = place.property("iommu-map").unwrap_or_default();
    let mask = place.cell("iommu-map-mask").unwrap_or(u32::MAX);
    // With a mask that drops low bits alone, what is left of the functions is evenly apart; others are taken to cover none.
    let step = u64::from(!mask & 0xffff) + 1;
    let Some((first, last)) = buses(place).filter(|_| step.is_power_of_two()) else {
        return false;
    };
    let kept = |function: u32| u64::from(function & mask);
    let (mut next, last) = (
        kept(u32::from(first) * FUNCTIONS),
        kept(u32::from(last) * FUNCTIONS + FUNCTIONS - 1),
    );
    // Each turn goes past the end of an entry, if of any.
    for _ in 0..MAX_MAP {
        let ends = map.chunks_exact(16).take(MAX_MAP).filter_map(|entry| {
            let [start, .., count] = cells(entry).map(u64::from);
            (start <= next && next < start + count).then_some(start + count)
        });
        let Some(end) = ends.max() else {
            return false;
        };
        next = end.next_multiple_of(step);
        if next > last {
            return true;
        }
    }
    false
}
