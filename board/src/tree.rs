// SPDX-License-Identifier: MIT OR Apache-2.0

//! Walking an untrusted flattened device tree (Devicetree Specification 0.4).
//!
//! The `fdt` crate decodes the blocks, [`flattened`] checks the header; here are the
//! translation of bus addresses, and inheritance of `interrupt-parent` and `status`.

use crate::BoardError;
use addr::{Pa, PaRange};
use arrayvec::ArrayVec;
use core::ops::ControlFlow;
use fdt::Fdt;
use fdt::helpers::UnalignedFallibleNode;
use platform::flattened;

/// Deepest nesting looked into. Real boards use five levels.
const MAX_DEPTH: usize = 8;
type Node<'a> = UnalignedFallibleNode<'a>;

/// A tree whose header was checked.
#[derive(Clone, Copy)]
pub(crate) struct Tree<'a> {
    blob: &'a [u8],
    root: Node<'a>,
}

impl<'a> Tree<'a> {
    /// Checks the header and finds the root.
    pub fn open(blob: &'a [u8]) -> Result<Self, BoardError> {
        let size = flattened::total_size(blob).ok_or(BoardError::NotATree)?;
        let blob = blob.get(..size).ok_or(BoardError::Header)?;
        flattened::has_sound_header(blob)
            .then_some(())
            .ok_or(BoardError::Header)?;
        if !flattened::has_short_names(blob) {
            return Err(BoardError::LongName);
        }
        let tree = Fdt::new_unaligned_fallible(blob).map_err(|_| BoardError::Header)?;
        let root = tree
            .find_node("/")
            .map_err(|_| BoardError::malformed("/"))?;
        Ok(Self {
            blob,
            root: root.ok_or(BoardError::malformed("/"))?,
        })
    }

    /// Returns the bytes of the tree.
    pub fn size(&self) -> usize {
        self.blob.len()
    }

    /// Returns the root node.
    pub fn root(&self) -> NodeContext<'a> {
        let mut place = NodeContext {
            node: self.root,
            common: common(&self.root),
            buses: ArrayVec::new(),
            interrupt_parent: None,
            nexus: None,
            reachable: true,
        };
        place.interrupt_parent = place.cell("interrupt-parent");
        place
    }

    /// Returns the memory reservation block (specification 5.3): what lies in it is not free.
    pub fn reservations(&self) -> impl Iterator<Item = PaRange> + use<'a> {
        let start = flattened::reservations(self.blob).unwrap_or(usize::MAX);
        let mut block = Cells(self.blob.get(start..).unwrap_or_default());
        core::iter::from_fn(move || Some((block.take(2)?, block.take(2)?)))
            .take_while(|entry| *entry != (0, 0))
            .filter_map(|(start, size)| PaRange::new(Pa(start), size))
    }

    /// Returns the node at `path`, in which unit addresses may be left out.
    pub fn find(&self, path: &str) -> Option<NodeContext<'a>> {
        let names = path.split('/').filter(|name| !name.is_empty());
        names
            .into_iter()
            .try_fold(self.root(), |place, name| place.child(name))
    }

    /// Returns the node that `name` is the path or the alias of (specification 3.3).
    pub fn named(&self, name: &str) -> Option<NodeContext<'a>> {
        if name.starts_with('/') {
            return self.find(name);
        }
        self.find(self.find("/aliases")?.string(name)?)
    }

    /// Calls `visit` for every enabled node until it breaks.
    pub fn each(
        &self,
        visit: &mut dyn FnMut(&NodeContext<'a>) -> ControlFlow<()>,
    ) -> Result<(), BoardError> {
        self.root().each(false, visit).map(|_| ())
    }

    /// Calls `visit` for every node, disabled ones too, until it breaks.
    pub fn each_of_all(
        &self,
        visit: &mut dyn FnMut(&NodeContext<'a>) -> ControlFlow<()>,
    ) -> Result<(), BoardError> {
        self.root().each(true, visit).map(|_| ())
    }
}

/// Big-endian 32-bit cells, read from the front.
#[derive(Clone, Copy)]
pub(crate) struct Cells<'a>(pub &'a [u8]);

impl Cells<'_> {
    /// Takes the number in the next `count` cells, at most two.
    pub fn take(&mut self, count: usize) -> Option<u64> {
        let (value, rest) = self.0.split_at_checked(count.checked_mul(4)?)?;
        self.0 = rest;
        (count <= 2).then(|| {
            value
                .iter()
                .fold(0, |sum, byte| sum << 8 | u64::from(*byte))
        })
    }

    /// Takes the next cell.
    pub fn next(&mut self) -> Option<u32> {
        self.take(1).and_then(|cell| u32::try_from(cell).ok())
    }
}

/// The address space of a node's children.
#[derive(Clone, Copy)]
struct Bus<'a> {
    address_cells: usize,
    size_cells: usize,
    /// `None`: children cannot be reached from the parent's space.
    ranges: Option<&'a [u8]>,
}

impl Bus<'_> {
    /// Returns the address in the parent's space, which has `parent_cells` to an address.
    fn to_parent(self, address: u64, size: u64, parent_cells: usize) -> Option<u64> {
        let mut ranges = Cells(self.ranges?);
        if ranges.0.is_empty() {
            return Some(address);
        }
        if self.address_cells + parent_cells + self.size_cells == 0 {
            return None;
        }
        loop {
            let child = ranges.take(self.address_cells)?;
            let parent = ranges.take(parent_cells)?;
            let length = ranges.take(self.size_cells)?;
            let end = address
                .checked_sub(child)
                .and_then(|offset| offset.checked_add(size));
            if end.is_some_and(|end| end <= length) {
                return parent.checked_add(address - child);
            }
        }
    }
}

/// A node that maps interrupts of those below to other controllers' (Devicetree Specification 0.4, 2.4.3).
#[derive(Clone, Copy)]
pub(crate) struct Nexus<'a> {
    /// The entries: unit address and specifier of a child; phandle, unit address and specifier of the parent.
    pub map: &'a [u8],
    /// Which bits of a child's are compared; all, if there is none.
    pub mask: Option<&'a [u8]>,
    /// Cells of a child's unit address.
    pub address_cells: usize,
    /// Cells of a child's specifier.
    pub interrupt_cells: usize,
}

/// Properties that are looked for in every node: one pass finds all of them.
const COMMON: [&str; 9] = [
    "compatible",
    "status",
    "reg",
    "device_type",
    "interrupt-parent",
    "interrupt-map",
    "ranges",
    "#address-cells",
    "#size-cells",
];

/// Returns the properties of a node, up to one that is damaged.
fn properties<'a>(node: &Node<'a>) -> impl Iterator<Item = (&'a str, &'a [u8])> + use<'a> {
    let properties = node.properties().ok();
    let each = properties.map(|properties| properties.iter());
    let intact = each.into_iter().flatten().map_while(Result::ok);
    intact.map(|property| (property.name, property.value))
}

/// Returns the values of [`COMMON`] in a node, of each name the first one.
fn common<'a>(node: &Node<'a>) -> [Option<&'a [u8]>; COMMON.len()] {
    let mut found = [None; COMMON.len()];
    for (name, value) in properties(node) {
        let known = COMMON.iter().position(|known| *known == name);
        if let Some(slot) = known.and_then(|known| found.get_mut(known)) {
            slot.get_or_insert(value);
        }
    }
    found
}

/// A node and where it is.
#[derive(Clone)]
pub(crate) struct NodeContext<'a> {
    node: Node<'a>,
    common: [Option<&'a [u8]>; COMMON.len()],
    /// The buses above the node, the root's first.
    buses: ArrayVec<Bus<'a>, MAX_DEPTH>,
    interrupt_parent: Option<u32>,
    nexus: Option<Nexus<'a>>,
    /// Whether the normal world may use all nodes above.
    reachable: bool,
}

impl<'a> NodeContext<'a> {
    /// Returns the node's name, unit address left out.
    pub fn name(&self) -> &'a str {
        self.node.name().map_or("?", |name| name.name)
    }

    /// Returns the node's unit address: what its name has behind the `@`.
    pub fn unit_address(&self) -> Option<&'a str> {
        self.node.name().ok()?.unit_address
    }

    /// Returns all properties, up to one that is damaged.
    pub fn properties(&self) -> impl Iterator<Item = (&'a str, &'a [u8])> + use<'a> {
        properties(&self.node)
    }

    /// Returns the bytes of a property.
    pub fn property(&self, name: &str) -> Option<&'a [u8]> {
        match COMMON.iter().position(|known| *known == name) {
            Some(known) => *self.common.get(known)?,
            None => Some(self.node.raw_property(name).ok()??.value),
        }
    }

    /// Returns the first cell of a property that has at least one.
    pub fn cell(&self, name: &str) -> Option<u32> {
        Cells(self.property(name)?).next()
    }

    /// Returns a property that is a number of one or two cells.
    pub fn number(&self, name: &str) -> Option<u64> {
        let bytes = self.property(name)?;
        matches!(bytes.len(), 4 | 8).then(|| Cells(bytes).take(bytes.len() / 4))?
    }

    /// Returns the strings of a property.
    pub fn strings(&self, name: &str) -> impl Iterator<Item = &'a str> + use<'a> {
        let bytes = self.property(name).unwrap_or_default();
        bytes
            .split(|byte| *byte == 0)
            .filter_map(|text| core::str::from_utf8(text).ok())
    }

    /// Returns a property's only or first string.
    pub fn string(&self, name: &str) -> Option<&'a str> {
        self.strings(name).next().filter(|text| !text.is_empty())
    }

    /// Tells whether `compatible` has one of `names`.
    pub fn is(&self, names: &[&str]) -> bool {
        self.strings("compatible").any(|name| names.contains(&name))
    }

    /// Tells whether the normal world may use the node: `status` is absent or okay, here and above.
    pub fn is_enabled(&self) -> bool {
        let status = self.string("status");
        self.reachable && status.is_none_or(|status| matches!(status, "okay" | "ok"))
    }

    /// Tells whether the secure world uses the node (Linux's arm/secure binding).
    pub fn is_secure(&self) -> bool {
        self.string("secure-status")
            .is_some_and(|status| matches!(status, "okay" | "ok"))
    }

    /// Returns `reg` as physical addresses. `Err` if it breaks off; what cannot be reached from the
    /// root or is empty is left out.
    pub fn reg(&self) -> impl Iterator<Item = Result<PaRange, BoardError>> + use<'a, '_> {
        self.entries()
            .filter_map(|entry| entry.map(|(at, size)| self.to_pa(at, size)).transpose())
    }

    /// Returns `reg` untranslated, as memory has it: its numbers are physical addresses already.
    pub fn memory(&self) -> impl Iterator<Item = Result<PaRange, BoardError>> + use<'a, '_> {
        self.entries().filter_map(|entry| {
            entry
                .map(|(at, size)| PaRange::new(Pa(at), size))
                .transpose()
        })
    }

    /// Returns the entries of `reg` as they are: address and bytes.
    pub fn entries(&self) -> impl Iterator<Item = Result<(u64, u64), BoardError>> + use<'a, '_> {
        let mut reg = Cells(self.property("reg").unwrap_or_default());
        core::iter::from_fn(move || {
            (!reg.0.is_empty()).then(|| match self.reg_entry(&mut reg) {
                Some(entry) => Ok(entry),
                None => {
                    reg.0 = &[];
                    Err(BoardError::property(self.name(), "reg"))
                }
            })
        })
    }

    fn reg_entry(&self, reg: &mut Cells) -> Option<(u64, u64)> {
        let bus = self
            .buses
            .last()
            .filter(|bus| bus.address_cells + bus.size_cells > 0)?;
        Some((reg.take(bus.address_cells)?, reg.take(bus.size_cells)?))
    }

    /// Returns the physical range of a bus address of this node.
    pub fn to_pa(&self, address: u64, size: u64) -> Option<PaRange> {
        let mut address = address;
        for pair in self.buses.windows(2).rev() {
            address = pair[1].to_parent(address, size, pair[0].address_cells)?;
        }
        PaRange::new(Pa(address), size)
    }

    /// Returns the first cells of `reg` as a number that is no address, as CPUs have.
    pub fn unit(&self) -> Option<u64> {
        Cells(self.property("reg")?).take(self.buses.last()?.address_cells)
    }

    /// Returns the phandle of the node's interrupt controller, its own or inherited.
    pub fn interrupt_parent(&self) -> Option<u32> {
        self.interrupt_parent
    }

    /// Returns the node above through which its interrupts go, instead of straight to its interrupt parent.
    pub fn nexus(&self) -> Option<&Nexus<'a>> {
        self.nexus.as_ref()
    }

    /// Returns how many cells an address has on the bus that the node is on.
    pub fn address_cells(&self) -> usize {
        self.buses.last().map_or(2, |bus| bus.address_cells)
    }

    fn own_nexus(&self) -> Option<Nexus<'a>> {
        Some(Nexus {
            map: self.property("interrupt-map")?,
            mask: self.property("interrupt-map-mask"),
            address_cells: self.bus().address_cells,
            interrupt_cells: self.cell("#interrupt-cells")? as usize,
        })
    }

    fn bus(&self) -> Bus<'a> {
        let cells = |name, default| self.cell(name).map_or(default, |cells| cells as usize);
        Bus {
            address_cells: cells("#address-cells", 2),
            size_cells: cells("#size-cells", 1),
            ranges: self.property("ranges"),
        }
    }

    /// Returns all children, disabled ones too; none below the deepest level looked into.
    ///
    /// The iterator ends after the first `Err`.
    pub fn children(&self) -> impl Iterator<Item = Result<Self, BoardError>> + use<'a> {
        self.children_that(|_| true)
    }

    /// Returns the child called `name`, with its unit address or without.
    pub fn child(&self, name: &str) -> Option<Self> {
        let (base, unit) = name.split_once('@').unzip();
        let wanted = |node: &Node<'a>| {
            node.name().is_ok_and(|here| {
                here.name == base.unwrap_or(name) && (unit.is_none() || unit == here.unit_address)
            })
        };
        self.children_that(wanted).next()?.ok()
    }

    /// Returns the children for which `wanted` holds: of others no property is read.
    fn children_that<W: FnMut(&Node<'a>) -> bool>(
        &self,
        mut wanted: W,
    ) -> impl Iterator<Item = Result<Self, BoardError>> + use<'a, W> {
        let mut buses = self.buses.clone();
        let deep = buses.try_push(self.bus()).is_err();
        let mut nodes = self
            .node
            .children()
            .ok()
            .filter(|_| !deep)
            .map(|nodes| nodes.iter());
        let (inherited, name) = (self.interrupt_parent, self.name());
        let nexus = self.own_nexus().or(self.nexus);
        let reachable = self.is_enabled();
        core::iter::from_fn(move || {
            let node = nodes
                .as_mut()?
                .find(|node| node.as_ref().map_or(true, &mut wanted))?;
            if node.is_err() {
                nodes = None;
            }
            Some(node.map_err(|_| BoardError::malformed(name)).map(|node| {
                let mut child = Self {
                    node,
                    common: common(&node),
                    buses: buses.clone(),
                    interrupt_parent: inherited,
                    nexus,
                    reachable,
                };
                if let Some(parent) = child.cell("interrupt-parent") {
                    (child.interrupt_parent, child.nexus) = (Some(parent), None);
                }
                child
            }))
        })
    }

    fn each(
        &self,
        disabled: bool,
        visit: &mut dyn FnMut(&Self) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, BoardError> {
        if !disabled && !self.is_enabled() {
            return Ok(ControlFlow::Continue(()));
        }
        if visit(self).is_break() {
            return Ok(ControlFlow::Break(()));
        }
        for child in self.children() {
            if child?.each(disabled, visit)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }
}
