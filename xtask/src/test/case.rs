// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a run in QEMU is: a machine, what it boots, and what must come of it.

use std::borrow::Cow;

use crate::firmware::Optee;
use crate::image::Profile;
use crate::packages::Suite;
use crate::qemu::{Board, Loader, Machine};
use crate::script::Script;
use platform::Conduit;
use platform::GicVersion;

/// One machine started once, and what its console must say.
pub struct Case {
    /// Name of the run, and of the folder of its logs.
    pub name: &'static str,
    /// The board.
    pub board: Board,
    /// What starts the hypervisor.
    pub loader: Loader,
    /// Interrupt controller.
    pub gic: GicVersion,
    /// QEMU's name of the cores.
    pub cpu: &'static str,
    /// Number of cores.
    pub smp: u32,
    /// RAM, as QEMU writes it.
    pub mem: &'static str,
    /// Whether the cores have EL2.
    pub el2: bool,
    /// The secure world, if not the machine's usual one.
    pub optee: Option<Optee>,
    /// Debian suite of OP-TEE, if not the machine's usual one.
    pub optee_suite: Option<Suite>,
    /// Build of the hypervisor.
    pub profile: Profile,
    /// vCPUs of the first guest, if not the manifest's number.
    pub vcpus: Option<u32>,
    /// Conduit of the first guest, if not the manifest's.
    pub conduit: Option<Conduit>,
    /// Whether it has a disk.
    pub disk: bool,
    /// Whether an SMMUv3 is before the PCI bus.
    pub smmu: bool,
    /// Whether the PCI bus has an NVMe disk, of the same content.
    pub nvme: bool,
    /// Whether that disk has nothing on it, for a guest to make partitions.
    pub nvme_blank: bool,
    /// Whether the PCI bus has a network card, behind which there is a text by TFTP.
    pub e1000e: bool,
    /// What else is on the PCI bus.
    pub pci: &'static [&'static str],
    /// Whether there are bytes in free RAM that something before the hypervisor left.
    pub residue: bool,
    /// How many pages, far apart, the board reserves.
    pub holes: u32,
    /// The Raspberry Pi's console is a 16550 without an interrupt.
    pub polled_16550: bool,
    /// One instruction a nanosecond.
    pub icount: bool,
    /// Whether QEMU 9.0 or newer plays the virt machine, fetched if it is not installed.
    pub newer_qemu: bool,
    /// What is in front of the image.
    pub front: Front,
    /// The last stage that the image's post code must say.
    pub stage: Option<u64>,
    /// What is in the bundle.
    pub boots: Boots,
    /// What is typed at the console, each after what it must have said.
    pub types: Script,
    /// Wall time after which it has failed.
    pub seconds: u64,
    /// All of this must hold.
    pub expect: &'static [Expect],
}

/// What is in front of the image, and ends in a branch to it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Front {
    /// Nothing.
    None,
    /// So little that the image is not where it should be.
    Misplaces,
    /// What sets x0 to an address at which nothing is.
    LosesTree,
}

/// What is in the bundle.
#[derive(Clone, Copy)]
pub enum Boots {
    /// The default manifest's Linux, and the command that it runs.
    Linux(&'static str),
    /// The bare-metal test guest with these arguments.
    TestGuest(&'static str),
    /// The test guest with these arguments in the hypervisor's place.
    Bare(&'static str),
    /// The guests of a manifest.
    Manifest(&'static str),
    /// The guests of a manifest that is written for the run.
    Made(fn() -> String),
    /// An archive whose manifest is not one.
    DamagedManifest,
    /// These bytes instead of a bundle.
    Bytes(&'static [u8]),
    /// The device tree names no initrd.
    NoBundle,
}

impl Boots {
    /// Returns the arguments of what is in the hypervisor's place.
    pub fn bare(&self) -> Option<&'static str> {
        match self {
            Self::Bare(bootargs) => Some(bootargs),
            _ => None,
        }
    }

    /// Returns the text of the run's own manifest, if it has one.
    pub fn manifest(&self) -> Option<Cow<'static, str>> {
        match self {
            Self::Manifest(text) => Some(Cow::Borrowed(text)),
            Self::Made(make) => Some(Cow::Owned(make())),
            _ => None,
        }
    }

    /// Returns what Linux runs.
    pub fn command(&self) -> Option<&'static str> {
        match self {
            Self::Linux(command) => Some(command),
            _ => None,
        }
    }
}

/// Something that must hold of a run.
pub enum Expect {
    /// A line contains this.
    Line(&'static str),
    /// A line contains this, and it is shown beside the run's name.
    Shown(&'static str),
    /// At least so many lines contain this.
    Times(usize, &'static str),
    /// The numbers before this, in all lines that contain it, are together at least so many. The
    /// sum is shown beside the run's name.
    Sum(usize, &'static str),
    /// At least two lines contain this, and they are the same.
    Same(&'static str),
    /// No line contains this.
    Absent(&'static str),
    /// No line between those with the first two texts contains the third.
    Between(&'static str, &'static str, &'static str),
    /// What guests' inits reported, in order.
    Statuses(&'static [i32]),
    /// The machine is powered off.
    Off,
}

impl Case {
    /// Returns the machine.
    pub fn machine(&self) -> Machine {
        Machine {
            board: self.board,
            loader: self.loader,
            gic: self.gic,
            cpu: self.cpu.into(),
            smp: self.smp,
            mem: self.mem.into(),
            el2: self.el2,
            optee: self.optee,
            optee_suite: self.optee_suite,
            holes: self.holes,
            polled_16550: self.polled_16550,
            icount: self.icount,
            newer_qemu: self.newer_qemu,
            smmu: self.smmu,
            e1000e: self.e1000e,
            pci: self.pci.iter().map(ToString::to_string).collect(),
            ..Machine::default()
        }
    }

    /// Tells whether the run may end once the lines are there: the machine may go on for ever.
    pub fn waits_for_lines_only(&self) -> bool {
        let line = |expect: &Expect| {
            matches!(
                expect,
                Expect::Line(_)
                    | Expect::Shown(_)
                    | Expect::Times(..)
                    | Expect::Sum(..)
                    | Expect::Same(_)
                    | Expect::Absent(_)
            )
        };
        self.expect.iter().all(line)
    }
}

/// What a case is when it does not say otherwise.
pub const BASE: Case = Case {
    name: "",
    board: Board::Virt,
    loader: Loader::TfA,
    gic: GicVersion::V3,
    cpu: "cortex-a57",
    smp: 4,
    mem: "2G",
    el2: true,
    optee: None,
    optee_suite: None,
    profile: Profile::Release,
    vcpus: None,
    conduit: None,
    disk: false,
    smmu: false,
    nvme: false,
    nvme_blank: false,
    e1000e: false,
    pci: &[],
    residue: false,
    holes: 0,
    polled_16550: false,
    icount: false,
    newer_qemu: false,
    front: Front::None,
    stage: None,
    boots: Boots::NoBundle,
    types: &[],
    seconds: 600,
    expect: &[],
};
