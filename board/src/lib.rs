// SPDX-License-Identifier: MIT OR Apache-2.0

//! The board that teevisor runs on, as data found at run time in its device tree.
//!
//! [`Board::from_tree`] reads everything in one place, so that no other part of the
//! hypervisor parses a tree. The tree is not trusted to be well-formed: whatever its bytes,
//! the answer is a [`Board`] or a [`BoardError`]. Nodes whose `status` keeps the normal world
//! out are skipped, and bus addresses are translated by the `ranges` of the buses above.
//!
//! Sources: Devicetree Specification 0.4 and the bindings in Linux's
//! Documentation/devicetree/bindings that each item names.
#![no_std]
#![forbid(unsafe_code)]

mod assigned;
mod console;
mod cpu;
mod devices;
mod dma;
mod error;
mod firmware;
mod gic;
mod gicv2;
mod interrupt;
mod memory;
mod pci;
mod ppi;
mod smmu;
mod timer;
mod tree;

pub use assigned::AssignedDevices;
pub use console::{Console, console};
pub use cpu::{Cpu, EnableMethod, MAX_CPUS};
pub use devices::{Device, DeviceError, MAX_CLOCKS, MAX_INTERRUPTS, MAX_REGISTERS, MAX_VIRTIO};
pub use dma::Dma;
pub use error::{BoardError, Controllers, NodeName};
pub use firmware::{Optee, Psci, PsciVersion};
pub use gic::{Gic, GicV3, MAX_GIC_FRAMES, MAX_GICR_REGIONS};
pub use gicv2::GicV2;
pub use interrupt::Interrupt;
pub use memory::{MAX_MEMORY, MAX_RESERVED};
pub use pci::{ECAM_BUS, MAX_PINS, MAX_WINDOWS, PciHost, PciPin, PciWindow};
pub use platform::ConsoleKind;
pub use ppi::Ppis;
pub use smmu::{MAX_SMMUS, MAX_STREAMS, Smmu, Streams};
pub use timer::Timer;

use addr::{Pa, PaRange};
use arrayvec::{ArrayString, ArrayVec};
use core::ops::ControlFlow;
use interrupt::Controller;
use tree::{NodeContext, Tree};

/// What the device tree says of the board.
#[derive(Clone, Debug)]
pub struct Board {
    /// The board's name: `model`, else the first of `compatible`; cut to what fits.
    pub model: ArrayString<64>,
    /// RAM, as the enabled memory nodes have it: in any order, overlaps possible.
    pub memory: ArrayVec<PaRange, MAX_MEMORY>,
    /// What of it is taken: /reserved-memory, the memory reservation block, memory of the
    /// secure world, spin tables, devices that lie in RAM, the tree itself and the bundle; each apart from all others. Our own image is not among
    /// it.
    pub reserved: ArrayVec<PaRange, MAX_RESERVED>,
    /// The CPUs in the tree's order; the one that booted is among them.
    pub cpus: ArrayVec<Cpu, MAX_CPUS>,
    /// The firmware's power control, if there is any.
    pub psci: Option<Psci>,
    /// The console, if there is one that we can drive.
    pub console: Option<Console>,
    /// The interrupt controller.
    pub gic: Gic,
    /// The generic timer.
    pub timer: Timer,
    /// The private interrupts that EL2 handles.
    pub ppis: Ppis,
    /// OP-TEE, if the firmware brought it.
    pub optee: Option<Optee>,
    /// The SMMUv3s that the normal world has to itself, in the tree's order.
    pub smmus: ArrayVec<Smmu, MAX_SMMUS>,
    /// The tree itself.
    pub tree: PaRange,
    /// /chosen's initrd: the bundle.
    pub bundle: Option<PaRange>,
    /// /chosen's `bootargs` have the word `arm64.nompam`: the firmware keeps MPAM's registers from EL2, Linux's too.
    pub keeps_mpam: bool,
}

impl Board {
    /// Reads the tree whose bytes are `blob`, found at `at` (which the tree's own
    /// reservation is made from; bytes behind the tree are ignored).
    // Not inlined: the stack that it takes is free again when guests are made.
    #[inline(never)]
    pub fn from_tree(blob: &[u8], at: Pa) -> Result<Self, BoardError> {
        let tree = Tree::open(blob)?;
        let (node, controller) = Controller::find(&tree)?.ok_or_else(|| gic::none(&tree))?;
        let gic = Gic::read(&tree, &node, controller)?;
        let found = Found::find(&tree, controller)?;
        let timer = found.timer.ok_or(BoardError::NoTimer)?;
        let own = PaRange::new(at, tree.size() as u64).ok_or(BoardError::Header)?;
        let chosen = tree.find("/chosen");
        let bundle = memory::bundle(chosen.as_ref())?;
        let cpus = cpu::cpus(&tree)?;
        let mut reserved = memory::reserved(&tree, [Some(own), bundle])?;
        let memory = memory::memory(&tree, &mut reserved)?;
        memory::reserve_devices(&tree, &memory, &mut reserved)?;
        for page in cpus.iter().filter_map(Cpu::release_page) {
            memory::reserve(&mut reserved, page)?;
        }
        Ok(Self {
            model: model(&tree),
            memory,
            reserved,
            cpus,
            psci: found.psci,
            keeps_mpam: chosen.is_some_and(|chosen| keeps_mpam(&chosen)),
            console: console::find(&tree, Some(controller)),
            ppis: Ppis::of(&gic, &timer)?,
            gic,
            timer,
            optee: found.optee,
            smmus: found.smmus,
            tree: own,
            bundle,
        })
    }

    /// Returns the registers of what EL2 drives or guests' tables map: interrupt controller and SMMUs.
    pub fn frames(&self) -> impl Iterator<Item = PaRange> {
        let smmus = self.smmus.iter().map(|smmu| smmu.registers);
        self.gic.frames().chain(smmus)
    }
}

/// What is found by `compatible`, wherever it is.
#[derive(Default)]
struct Found {
    psci: Option<Psci>,
    timer: Option<Timer>,
    optee: Option<Optee>,
    smmus: ArrayVec<Smmu, MAX_SMMUS>,
}

impl Found {
    fn find(tree: &Tree, gic: Controller) -> Result<Self, BoardError> {
        let mut found = Self::default();
        let mut outcome = Ok(());
        tree.each(&mut |place| {
            outcome = found.take(place, gic);
            if outcome.is_ok() {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        })?;
        outcome.map(|()| found)
    }

    fn take(&mut self, place: &NodeContext, gic: Controller) -> Result<(), BoardError> {
        if place.is(timer::COMPATIBLE) && self.timer.is_none() {
            self.timer = Some(Timer::read(place, gic)?);
        } else if place.is(firmware::OPTEE) && self.optee.is_none() {
            self.optee = Some(Optee::read(place, gic)?);
        } else if let Some(smmu) = Smmu::read(place, gic) {
            // What is behind those for which there is no room is behind none that is listed.
            let _ = self.smmus.try_push(smmu);
        } else if self.psci.is_none() {
            self.psci = Psci::read(place)?;
        }
        Ok(())
    }
}

fn keeps_mpam(chosen: &NodeContext) -> bool {
    let arguments = chosen.string("bootargs");
    arguments.is_some_and(|text| text.split_whitespace().any(|word| word == "arm64.nompam"))
}

fn model(tree: &Tree) -> ArrayString<64> {
    let root = tree.root();
    error::cut(
        root.string("model")
            .or_else(|| root.string("compatible"))
            .unwrap_or("unnamed board"),
    )
}

/// Pushes, or says what there is too much of.
fn fit<T, const N: usize>(
    list: &mut ArrayVec<T, N>,
    item: T,
    what: &'static str,
) -> Result<(), BoardError> {
    list.try_push(item)
        .map_err(|_| BoardError::TooMany(what, N))
}
