// SPDX-License-Identifier: MIT OR Apache-2.0

//! Interrupt specifiers of the GIC (Linux binding arm,gic and arm,gic-v3).

use crate::tree::{Cells, Nexus, NodeContext, Tree};
use crate::{BoardError, gic};
use arrayvec::ArrayVec;
use core::ops::ControlFlow;

/// A GIC interrupt.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Interrupt {
    /// The interrupt's id: 16..=31 is a PPI, 32..=1019 an SPI.
    pub intid: u32,
    /// Whether it is edge-triggered; else level-sensitive.
    pub edge: bool,
}

/// Controllers that only wake cores by the GIC's interrupts, which come to the GIC whatever they are set to, by the GIC's
/// specifiers: i.MX 8M's GPC and Tegra's legacy controller (Linux bindings fsl,imx-gpcv2 and nvidia,tegra20-ictlr). MediaTek's
/// sysirq is none: it inverts what comes, as it is set.
const FORWARDERS: &[&str] = &[
    "fsl,imx8mq-gpc",
    "fsl,imx8mm-gpc",
    "fsl,imx8mn-gpc",
    "fsl,imx8mp-gpc",
    "nvidia,tegra210-ictlr",
];

/// Most of them that are looked at: no board has two.
const MAX_FORWARDERS: usize = 4;

/// The interrupt controller that specifiers are read for.
#[derive(Clone, Copy)]
pub(crate) struct Controller {
    phandle: Option<u32>,
    /// Another controller, which hands this one's interrupts on as they are.
    forwarder: Option<u32>,
    /// Cells of a specifier: 3, or 4 with PPI partitions.
    cells: usize,
    /// Cells of a unit address, in the maps of others.
    address_cells: usize,
}

impl Controller {
    /// Finds the first enabled GIC's node, and who forwards to it.
    pub fn find<'a>(tree: &Tree<'a>) -> Result<Option<(NodeContext<'a>, Self)>, BoardError> {
        let mut gic: Option<NodeContext> = None;
        let mut forwarders = ArrayVec::<_, MAX_FORWARDERS>::new();
        tree.each(&mut |place| {
            if gic.is_none() && (place.is(gic::V3) || place.is(gic::V2)) {
                gic = Some(place.clone());
            } else if place.is(FORWARDERS) {
                let _ = forwarders.try_push((place.interrupt_parent(), place.cell("phandle")));
            }
            ControlFlow::Continue(())
        })?;
        Ok(gic.map(|gic| {
            let phandle = gic.cell("phandle");
            let forwards = |parent: Option<u32>| phandle.is_some() && parent == phandle;
            let forwarder = forwarders.iter().find(|(parent, _)| forwards(*parent));
            let own = Self::of(&gic, forwarder.and_then(|(_, phandle)| *phandle));
            (gic, own)
        }))
    }

    /// Reads what the controller's own node says of its specifiers.
    fn of(gic: &NodeContext, forwarder: Option<u32>) -> Self {
        let cells = gic
            .cell("#interrupt-cells")
            .map_or(3, |cells| cells as usize);
        Self {
            phandle: gic.cell("phandle"),
            forwarder,
            cells,
            address_cells: gic.cell("#address-cells").unwrap_or(0) as usize,
        }
    }

    /// Returns the `index`th interrupt of a node, if it goes to this controller.
    pub fn interrupt(&self, place: &NodeContext, index: usize) -> Option<Interrupt> {
        if let Some(extended) = place.property("interrupts-extended") {
            return self.extended(extended, index);
        }
        if let Some(nexus) = place.nexus() {
            return self.mapped(nexus, place, index);
        }
        let ours = self.phandle.is_none() || self.is_ours(place.interrupt_parent());
        let specifiers = place.property("interrupts").filter(|_| ours)?;
        specifiers
            .chunks_exact(self.bytes()?)
            .nth(index)
            .and_then(decode)
    }

    /// Returns all interrupts of a node; `None` if one does not go to this controller, or if there
    /// are more than `N`.
    pub fn all<const N: usize>(&self, place: &NodeContext) -> Option<ArrayVec<Interrupt, N>> {
        let specifier = self.bytes()?;
        let (list, entry) = match place.property("interrupts-extended") {
            Some(extended) => (extended, specifier.checked_add(4)?),
            None => {
                let cells = place
                    .nexus()
                    .map_or(self.cells, |nexus| nexus.interrupt_cells);
                let entry = cells.checked_mul(4).filter(|&bytes| bytes > 0)?;
                (place.property("interrupts").unwrap_or_default(), entry)
            }
        };
        let count = list.len() / entry;
        let found = (0..count.min(N)).map_while(|index| self.interrupt(place, index));
        let found: ArrayVec<_, N> = found.collect();
        (found.len() * entry == list.len()).then_some(found)
    }

    /// Returns the interrupt called `name` by `interrupt-names`, or else the `index`th.
    pub fn named(&self, place: &NodeContext, name: &str, index: usize) -> Option<Interrupt> {
        if place.property("interrupt-names").is_none() {
            return self.interrupt(place, index);
        }
        let named = place
            .strings("interrupt-names")
            .position(|here| here == name)?;
        self.interrupt(place, named)
    }

    /// Entries of other controllers have a length we do not know: all must be ours.
    fn extended(&self, entries: &[u8], index: usize) -> Option<Interrupt> {
        let entry = self.bytes()?.checked_add(4)?;
        let ours = |entry: &&[u8]| self.is_ours(Cells(entry).next());
        let mut entries = entries.chunks_exact(entry).take_while(ours);
        entries.nth(index).and_then(|entry| decode(entry.get(4..)?))
    }

    /// Finds an interrupt in the map of a node above, if all of the map's entries up to it are ours: others' have a length we
    /// do not know.
    fn mapped(&self, nexus: &Nexus, place: &NodeContext, index: usize) -> Option<Interrupt> {
        let unit = nexus.address_cells.checked_mul(4)?;
        let specifier = nexus
            .interrupt_cells
            .checked_mul(4)
            .filter(|&bytes| bytes > 0)?;
        let key = unit.checked_add(specifier)?;
        let ours = self
            .address_cells
            .checked_mul(4)?
            .checked_add(self.bytes()?)?;
        let entry = key.checked_add(4)?.checked_add(ours)?;
        let interrupts = place.property("interrupts")?;
        let wanted = interrupts.chunks_exact(specifier).nth(index)?;
        let address = place.property("reg").unwrap_or_default();
        let is_wanted = |child: &[u8]| {
            child.iter().enumerate().all(|(n, byte)| {
                let bits = nexus
                    .mask
                    .map_or(0xff, |mask| mask.get(n).copied().unwrap_or(0xff));
                let here = match n.checked_sub(unit) {
                    Some(n) => wanted.get(n),
                    // Of another bus, an address is none here.
                    None => address
                        .get(n)
                        .filter(|_| place.address_cells() == nexus.address_cells),
                };
                bits == 0 || here.is_some_and(|here| (here ^ byte) & bits == 0)
            })
        };
        let mut entries = nexus.map.chunks_exact(entry);
        let found = entries
            .by_ref()
            .take_while(|entry| Cells(&entry[key..]).next() == self.phandle)
            .find(|entry| is_wanted(&entry[..key]))?;
        decode(found.get(entry - self.bytes()?..)?)
    }

    /// Takes the parent's part of an entry of an `interrupt-map`, if the parent is this controller.
    pub fn parent(&self, cells: &mut Cells) -> Option<Interrupt> {
        cells
            .next()
            .map(Some)
            .filter(|phandle| *phandle == self.phandle)?;
        let unit = self.address_cells.checked_mul(4)?;
        let (entry, rest) = cells.0.split_at_checked(unit.checked_add(self.bytes()?)?)?;
        cells.0 = rest;
        decode(entry.get(unit..)?)
    }

    /// Tells whether interrupts of the controller `phandle` are this one's.
    fn is_ours(&self, phandle: Option<u32>) -> bool {
        phandle == self.phandle || phandle.is_some() && phandle == self.forwarder
    }

    fn bytes(&self) -> Option<usize> {
        (3..=4).contains(&self.cells).then_some(self.cells * 4)
    }
}

/// Tells whether `intid` is a PPI: one interrupt on each core.
pub(crate) fn is_private(intid: u32) -> bool {
    (16..platform::FIRST_SPI).contains(&intid)
}

/// Decodes a specifier: type, number, flags: type 0 is an SPI, 1 a PPI.
fn decode(specifier: &[u8]) -> Option<Interrupt> {
    let mut cells = Cells(specifier);
    let (kind, number, flags) = (cells.next()?, cells.next()?, cells.next()?);
    let intid = match kind {
        0 if number < 988 => number + 32,
        1 if number < 16 => number + 16,
        _ => return None,
    };
    Some(Interrupt {
        intid,
        edge: flags & 0b11 != 0,
    })
}
