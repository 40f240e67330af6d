// SPDX-License-Identifier: MIT OR Apache-2.0

//! Why a device tree does not describe a board that can be run on.

use arrayvec::ArrayString;
use core::fmt;

/// The name of a node, cut to what fits: for messages only.
pub type NodeName = ArrayString<40>;

/// Interrupt controllers by their `compatible`, cut to what fits: for messages only.
pub type Controllers = ArrayString<96>;

/// Why a device tree is refused. `Display` names the node and what to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BoardError {
    /// Fewer bytes than a header, or not the magic number 0xd00dfeed.
    NotATree,
    /// The header's version, offsets or sizes contradict each other or the bytes given.
    Header,
    /// A name has more than 255 bytes.
    LongName,
    /// The structure block breaks off or makes no sense below this node.
    Malformed(NodeName),
    /// A property is missing or has the wrong length.
    Property(NodeName, &'static str),
    /// No enabled memory node has a size.
    NoMemory,
    /// /cpus has no CPU.
    NoCpus,
    /// No enabled GICv2 or GICv3 node; what there is instead.
    NoGic(Controllers),
    /// A GICv2 without GICH and GICV.
    NoVirtualization(NodeName),
    /// No enabled Arm generic timer node.
    NoTimer,
    /// A private interrupt that EL2 handles is none, or has the INTID of another: whose, and the INTID.
    Ppi(&'static str, u32),
    /// More of something than there is room for: what, and the limit.
    TooMany(&'static str, usize),
}

impl BoardError {
    /// Returns [`Self::Property`] of a node by its name.
    pub(crate) fn property(node: &str, property: &'static str) -> Self {
        Self::Property(cut(node), property)
    }

    /// Returns [`Self::NoVirtualization`] of a node by its name.
    pub(crate) fn no_virtualization(node: &str) -> Self {
        Self::NoVirtualization(cut(node))
    }

    /// Returns [`Self::Malformed`] at a node by its name.
    pub(crate) fn malformed(node: &str) -> Self {
        Self::Malformed(cut(node))
    }
}

/// As much of `name` as fits.
pub(crate) fn cut<const N: usize>(name: &str) -> ArrayString<N> {
    let mut cut = ArrayString::new();
    name.chars().all(|c| cut.try_push(c).is_ok());
    cut
}

impl fmt::Display for BoardError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotATree => f.write_str(
                "x0 holds no device tree: start the image as the arm64 Linux boot protocol says",
            ),
            Self::Header => {
                f.write_str("the device tree's header is damaged: load the tree again, whole")
            }
            Self::LongName => f.write_str(
                "a name in the device tree has more than 255 bytes: load the tree again, whole",
            ),
            Self::Malformed(node) => write!(
                f,
                "the device tree is damaged in node {node}: load it again, whole"
            ),
            Self::Property(node, property) => {
                write!(
                    f,
                    "node {node}: property {property} is missing or malformed: correct the device tree"
                )
            }
            Self::NoMemory => {
                f.write_str("no memory node has a size: the firmware must fill in /memory reg")
            }
            Self::NoCpus => f.write_str("/cpus names no CPU: correct the device tree"),
            Self::NoGic(controllers) => write!(
                f,
                "no GICv2 or GICv3 node is enabled, but {}: this board is not supported",
                if controllers.is_empty() {
                    "no other interrupt controller either"
                } else {
                    controllers
                }
            ),
            Self::NoVirtualization(node) => write!(
                f,
                "node {node}: reg does not have GICH and GICV: add these frames if the GIC has the virtualization extension"
            ),
            Self::NoTimer => {
                f.write_str("no arm,armv8-timer node is enabled: correct the device tree")
            }
            Self::Ppi(what, intid) => write!(
                f,
                "INTID {intid} of the {what} is not a PPI of its own: correct the interrupts of the timer's and the \
                 GIC's nodes"
            ),
            Self::TooMany(what, most) => write!(
                f,
                "the device tree has more than {most} {what}: leave out or join some"
            ),
        }
    }
}

impl core::error::Error for BoardError {}
