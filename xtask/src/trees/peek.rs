// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a tree says that teevisor has no use for, but whoever reads about it has.

use fdt::Fdt;
use fdt::helpers::UnalignedFallibleNode as Node;

/// A tree.
pub struct Peek<'a>(Node<'a>);

/// The first memory node.
pub struct Memory {
    /// The node's name, with its unit address.
    pub node: String,
    /// Where memory starts: 0, if nothing says it.
    pub start: u64,
    /// None of the node's ranges has a size.
    pub is_empty: bool,
    /// Cells of an address.
    pub address_cells: usize,
    /// Cells of a size.
    pub size_cells: usize,
}

impl<'a> Peek<'a> {
    /// Opens a tree that is sound.
    pub fn open(blob: &'a [u8]) -> Option<Self> {
        let tree = Fdt::new_unaligned_fallible(blob).ok()?;
        tree.find_node("/").ok()?.map(Self)
    }

    /// Returns the first memory node, or else how it would have to be.
    pub fn memory(&self) -> Memory {
        let count = |name| number(property(&self.0, name)?).map(|cells| cells as usize);
        let address_cells = count("#address-cells").unwrap_or(2);
        let size_cells = count("#size-cells").unwrap_or(1);
        let found = children(&self.0).find_map(|(node_name, node)| {
            property(&node, "device_type").filter(|kind| *kind == b"memory\0")?;
            let reg = property(&node, "reg")?;
            let mut entries = reg.chunks_exact(4 * (address_cells + size_cells));
            let start = number(entries.clone().next()?.get(..4 * address_cells)?)?;
            let is_empty = entries.all(|entry| entry[4 * address_cells..].iter().all(|&b| b == 0));
            Some(Memory {
                node: node_name,
                start,
                is_empty,
                address_cells,
                size_cells,
            })
        });
        found.unwrap_or_else(|| Memory {
            node: "memory".into(),
            start: 0,
            is_empty: true,
            address_cells,
            size_cells,
        })
    }

    /// Returns the paths of all enabled nodes of PCI host bridges.
    pub fn bridges(&self) -> Vec<String> {
        let mut found = Vec::new();
        bridges(&self.0, "", &mut found);
        found
    }

    /// Returns `compatible` of the node that /chosen's `stdout-path` names: a path, or an alias of one.
    pub fn stdout(&self) -> Option<String> {
        let chosen = child(&self.0, "chosen")?;
        let name = text(property(&chosen, "stdout-path")?)?;
        let name = name.split(':').next()?;
        let path = if name.starts_with('/') {
            name
        } else {
            text(property(&child(&self.0, "aliases")?, name)?)?
        };
        let parts = path.split('/').filter(|part| !part.is_empty());
        let node = parts
            .into_iter()
            .try_fold(self.0, |node, part| child(&node, part))?;
        text(property(&node, "compatible")?).map(str::to_owned)
    }
}

fn property<'a>(node: &Node<'a>, name: &str) -> Option<&'a [u8]> {
    Some(node.raw_property(name).ok()??.value)
}

fn children<'a>(node: &Node<'a>) -> impl Iterator<Item = (String, Node<'a>)> + use<'a> {
    let nodes = node.children().ok();
    let each = nodes.map(|nodes| nodes.iter());
    each.into_iter()
        .flatten()
        .map_while(Result::ok)
        .filter_map(|node| {
            let name = node.name().ok()?;
            let unit = name.unit_address.map(|unit| format!("@{unit}"));
            Some((name.name.to_owned() + &unit.unwrap_or_default(), node))
        })
}

/// Adds those below `node`, whose path is `path`. What is below a bridge is its bus.
fn bridges(node: &Node, path: &str, found: &mut Vec<String>) {
    for (name, node) in children(node) {
        let path = format!("{path}/{name}");
        let status = property(&node, "status").and_then(text);
        if !status.is_none_or(|status| matches!(status, "okay" | "ok")) {
            continue;
        }
        match property(&node, "device_type").and_then(text) {
            Some("pci") => found.push(path),
            _ => bridges(&node, &path, found),
        }
    }
}

fn child<'a>(node: &Node<'a>, wanted: &str) -> Option<Node<'a>> {
    let is = |name: &str| name == wanted || name.split('@').next() == Some(wanted);
    children(node)
        .find(|(name, _)| is(name))
        .map(|(_, node)| node)
}

/// Returns the first string of a property.
fn text(bytes: &[u8]) -> Option<&str> {
    str::from_utf8(bytes.split(|byte| *byte == 0).next()?).ok()
}

/// Returns a number of one or two cells.
fn number(bytes: &[u8]) -> Option<u64> {
    let value = bytes
        .iter()
        .fold(0, |sum, byte| sum << 8 | u64::from(*byte));
    matches!(bytes.len(), 4 | 8).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use vm_fdt::FdtWriter;

    fn tree(nodes: impl FnOnce(&mut FdtWriter) -> Result<(), vm_fdt::Error>) -> Vec<u8> {
        let write = || {
            let mut tree = FdtWriter::new()?;
            let root = tree.begin_node("")?;
            tree.property_u32("#address-cells", 2)?;
            tree.property_u32("#size-cells", 1)?;
            nodes(&mut tree)?;
            tree.end_node(root)?;
            tree.finish()
        };
        write().unwrap()
    }

    #[test]
    fn memory_of_which_the_tree_says_the_place_alone_has_no_size() {
        let memory = |reg: [u32; 3]| {
            let blob = tree(|tree| {
                let node = tree.begin_node("memory@100")?;
                tree.property_string("device_type", "memory")?;
                tree.property_array_u32("reg", &reg)?;
                tree.end_node(node)
            });
            let memory = Peek::open(&blob).unwrap().memory();
            (memory.node, memory.start, memory.is_empty)
        };
        assert_eq!(memory([1, 0, 0]), ("memory@100".into(), 1 << 32, true));
        assert_eq!(memory([1, 0, 4]), ("memory@100".into(), 1 << 32, false));
        let none = tree(|_| Ok(()));
        assert!(Peek::open(&none).unwrap().memory().is_empty);
    }

    #[test]
    fn enabled_bridges_are_found_wherever_they_are() {
        let blob = tree(|tree| {
            let bus = tree.begin_node("soc")?;
            for (name, status) in [("pcie@1", "okay"), ("pcie@2", "disabled")] {
                let bridge = tree.begin_node(name)?;
                tree.property_string("device_type", "pci")?;
                tree.property_string("status", status)?;
                let port = tree.begin_node("pcie@0")?;
                tree.property_string("device_type", "pci")?;
                tree.end_node(port)?;
                tree.end_node(bridge)?;
            }
            tree.end_node(bus)
        });
        assert_eq!(Peek::open(&blob).unwrap().bridges(), ["/soc/pcie@1"]);
    }

    #[test]
    fn stdout_is_found_by_path_and_by_alias() {
        let stdout = |path: &str| {
            let blob = tree(|tree| {
                let aliases = tree.begin_node("aliases")?;
                tree.property_string("serial0", "/uart@0")?;
                tree.end_node(aliases)?;
                let chosen = tree.begin_node("chosen")?;
                tree.property_string("stdout-path", path)?;
                tree.end_node(chosen)?;
                let uart = tree.begin_node("uart@0")?;
                tree.property_string("compatible", "some,uart")?;
                tree.end_node(uart)
            });
            Peek::open(&blob).unwrap().stdout()
        };
        assert_eq!(stdout("serial0:115200n8").as_deref(), Some("some,uart"));
        assert_eq!(stdout("/uart@0").as_deref(), Some("some,uart"));
        assert_eq!(stdout("serial1"), None);
    }
}
