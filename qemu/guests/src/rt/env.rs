// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the guest's device tree says about where it runs.

use core::ops::Range;
use fdt::{
    Fdt,
    helpers::FallibleNode,
    parsing::{NoPanic, unaligned::UnalignedParser},
};
use platform::RAM_BASE;
use platform::{Conduit, flattened};

/// Where this guest runs.
#[derive(Debug)]
pub struct Env {
    /// Address and bytes of the device tree.
    pub tree: (u64, usize),
    /// How many vCPUs there are.
    pub vcpus: usize,
    /// Start and bytes of the first run of RAM.
    pub ram: (u64, u64),
    /// GICv3, else GICv2.
    pub gicv3: bool,
    /// PSCI's method.
    pub conduit: Conduit,
    /// OP-TEE's method, if there is an OP-TEE.
    pub tee: Option<Conduit>,
    /// The initrd's first byte and the one behind its last.
    pub initrd: Option<(u64, u64)>,
    /// Ticks a second, where CNTFRQ_EL0 is not to be believed.
    pub frequency: Option<u64>,
    /// Whether there is a watchdog.
    pub watchdog: bool,
    /// /chosen bootargs.
    pub arguments: &'static str,
}

static ENV: spin::Once<Env> = spin::Once::new();

/// Returns the environment, which [`init`] has found.
pub fn get() -> &'static Env {
    ENV.get().expect("the environment is known")
}

type Parser = (UnalignedParser<'static>, NoPanic);
type Tree = Fdt<'static, Parser>;
type Node = FallibleNode<'static, Parser>;

/// Reads the tree at `address`; `None` if something that every guest needs is not in it.
pub fn init(address: u64) -> Option<&'static Env> {
    let bytes = tree_bytes(address)?;
    let tree = Fdt::new_unaligned_fallible(bytes).ok()?;
    let env = Env {
        tree: (address, bytes.len()),
        vcpus: count_cpus(&tree)?,
        ram: ram(&tree)?,
        gicv3: is_gicv3(&tree)?,
        conduit: method(&find(&tree, "/psci")?)?,
        tee: find(&tree, "/firmware/optee").and_then(|node| method(&node)),
        initrd: find(&tree, "/chosen").and_then(|node| initrd(&node)),
        frequency: find(&tree, "/timer").and_then(|node| number_in(&node, "clock-frequency")),
        watchdog: all_nodes(&tree).any(|node| text(&node, "compatible") == Some("arm,sbsa-gwdt")),
        arguments: find(&tree, "/chosen")
            .and_then(|node| text(&node, "bootargs"))
            .unwrap_or(""),
    };
    Some(ENV.call_once(|| env))
}

/// Returns RAM behind this program that nothing occupies, in whole pages.
pub fn free_ram() -> Range<u64> {
    let env = get();
    let start = image().1.next_multiple_of(4096);
    let end = env.ram.0 + env.ram.1;
    let occupied = [Some(env.tree.0), env.initrd.map(|(start, _)| start)];
    let behind = occupied.into_iter().flatten().filter(|at| *at >= start);
    start..behind.fold(end, u64::min) & !4095
}

unsafe extern "C" {
    static __image_start: u8;
    static __image_end: u8;
}

/// Returns start and end of the program with its stacks.
pub fn image() -> (u64, u64) {
    (
        &raw const __image_start as u64,
        &raw const __image_end as u64,
    )
}

/// Returns the words of bootargs.
pub fn words() -> impl Iterator<Item = &'static str> {
    get().arguments.split_ascii_whitespace()
}

/// Returns the value of bootargs' `key=value`.
pub fn argument(key: &str) -> Option<&'static str> {
    words().find_map(|word| word.strip_prefix(key)?.strip_prefix('='))
}

/// Returns `argument` as a number.
pub fn number(key: &str) -> Option<u64> {
    argument(key)?.parse().ok()
}

/// Returns the numbers of `argument`, hexadecimal ones with commas between.
pub fn addresses(key: &str) -> impl Iterator<Item = u64> {
    let list = argument(key).unwrap_or("").split(',');
    list.filter_map(|text| u64::from_str_radix(text.strip_prefix("0x")?, 16).ok())
}

/// Tells whether this runs on a bare machine (bootargs say `bare`), to check the tests themselves.
pub fn is_bare() -> bool {
    words().any(|word| word == "bare")
}

/// Returns the pages of RAM that neither the image, its stacks included, nor the tree is in.
pub fn spare_ram() -> impl Iterator<Item = core::ops::Range<u64>> {
    unsafe extern "C" {
        static __image_end: u8;
    }
    let image = (&raw const __image_end as u64).next_multiple_of(4096);
    let (start, size) = get().ram;
    let (tree, bytes) = get().tree;
    let behind_tree = (tree + bytes as u64).next_multiple_of(4096);
    [image..tree & !4095, behind_tree..start + size].into_iter()
}

/// Returns a property of the first node that is `compatible` with this.
pub fn property_of(compatible: &str, name: &str) -> Option<&'static [u8]> {
    let (address, bytes) = get().tree;
    // SAFETY: `init` has read the tree here; nothing writes to it.
    let bytes = unsafe { core::slice::from_raw_parts(address as *const u8, bytes) };
    let tree = Fdt::new_unaligned_fallible(bytes).ok()?;
    let is = |node: &Node| {
        text(node, "compatible").is_some_and(|all| all.split('\0').any(|one| one == compatible))
    };
    let node = all_nodes(&tree).find(is)?;
    property(&node, name)
}

fn tree_bytes(address: u64) -> Option<&'static [u8]> {
    if address == 0 || !address.is_multiple_of(8) {
        return None;
    }
    // SAFETY: the loader put a tree here, in mapped RAM, and nothing writes to it; its header says
    // how long it is.
    unsafe {
        let at = address as *const u8;
        let size = flattened::total_size(core::slice::from_raw_parts(at, 8))?;
        Some(core::slice::from_raw_parts(at, size))
    }
}

fn find(tree: &Tree, path: &str) -> Option<Node> {
    tree.find_node(path).ok()?.map(|node| node.fallible())
}

fn property(node: &Node, name: &str) -> Option<&'static [u8]> {
    Some(node.raw_property(name).ok()??.value)
}

fn text(node: &Node, name: &str) -> Option<&'static str> {
    core::str::from_utf8(property(node, name)?)
        .ok()
        .map(|text| text.trim_end_matches('\0'))
}

/// Returns a property of one or two cells.
fn number_in(node: &Node, name: &str) -> Option<u64> {
    let bytes = property(node, name)?;
    let add = |sum, byte: &u8| sum << 8 | u64::from(*byte);
    (bytes.len() <= 8).then(|| bytes.iter().fold(0, add))
}

fn initrd(chosen: &Node) -> Option<(u64, u64)> {
    let cell = |name| number_in(chosen, name);
    Some((cell("linux,initrd-start")?, cell("linux,initrd-end")?))
}

fn method(node: &Node) -> Option<Conduit> {
    text(node, "method")?.parse().ok()
}

fn all_nodes(tree: &Tree) -> impl Iterator<Item = Node> {
    tree.all_nodes()
        .into_iter()
        .flat_map(|nodes| nodes.filter_map(|entry| entry.ok()))
        .map(|(_, node)| node.fallible())
}

fn count_cpus(tree: &Tree) -> Option<usize> {
    let cpus = all_nodes(tree)
        .filter(|node| text(node, "device_type") == Some("cpu"))
        .count();
    (cpus > 0).then_some(cpus)
}

/// Returns where RAM is. The tree has two cells for addresses and sizes at its root.
fn ram(tree: &Tree) -> Option<(u64, u64)> {
    let cell = |bytes: &[u8], n: usize| Some(u64::from_be_bytes(*bytes[n * 8..].first_chunk()?));
    all_nodes(tree)
        .filter(|node| text(node, "device_type") == Some("memory"))
        .filter_map(|node| property(&node, "reg"))
        .filter(|reg| reg.len() >= 16)
        .filter_map(|reg| Some((cell(reg, 0)?, cell(reg, 1)?)))
        .find(|&(start, _)| start == RAM_BASE.0)
}

fn is_gicv3(tree: &Tree) -> Option<bool> {
    all_nodes(tree).find_map(
        |node| match text(&node, "compatible")?.split('\0').next()? {
            "arm,gic-v3" => Some(true),
            "arm,gic-400" | "arm,cortex-a15-gic" => Some(false),
            _ => None,
        },
    )
}
