//! The boards that xtask starts in QEMU and makes images for: one recipe a file.
//!
//! A recipe says what firmware the board needs and how it is made, what the boot loader leaves in
//! memory and in the device tree, and QEMU's arguments. The hypervisor's image is the same on all.

pub mod card;
mod emulator;
mod rpi4;
mod tree;
mod virt;
mod zcu102;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

use crate::apt::Apt;
use crate::cache::{Cache, Inputs};
use crate::firmware::{Gic, Optee};
use crate::packages::{self, Packages};
use crate::qemu::{Files, Machine};

pub use emulator::{Emulator, escape, loader};
pub use tree::Tree;

/// A board.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, clap::ValueEnum)]
pub enum Board {
    /// QEMU's virt machine
    #[default]
    Virt,
    /// Raspberry Pi 4 Model B, QEMU's raspi4b
    Rpi4,
    /// Xilinx ZCU102 (Zynq UltraScale+), QEMU's xlnx-zcu102
    Zcu102,
}

/// What starts the hypervisor.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, clap::ValueEnum)]
pub enum Loader {
    /// TF-A, and OP-TEE where the board has it
    #[default]
    TfA,
    /// QEMU itself, as it loads Linux: no firmware, so no TEE
    Direct,
    /// Debian's U-Boot, from the disk that `cargo xtask image` makes: no TEE
    UBoot,
}

/// What a machine is started from that is not ours.
#[derive(Clone, Debug, Default)]
pub struct Firmware {
    /// The QEMU that has the machine.
    pub emulator: Emulator,
    /// The flash image of the virt machine, or the folder with the board's files; none if QEMU
    /// itself is the loader.
    pub image: Option<PathBuf>,
}

impl Firmware {
    /// The virt machine's flash image.
    pub fn flash(image: PathBuf) -> Self {
        Self {
            emulator: Emulator::default(),
            image: Some(image),
        }
    }

    /// Fetches and builds what the machine needs.
    pub fn ensure(cache: &Cache, packages: &Packages, machine: &Machine) -> Result<Self> {
        check(machine)?;
        match machine.board {
            Board::Virt => virt::firmware(cache, packages, machine),
            Board::Rpi4 => rpi4::firmware(cache, packages),
            Board::Zcu102 => zcu102::firmware(cache, packages),
        }
    }
}

impl Board {
    /// What runs in its secure world unless the user chooses.
    pub fn secure_world(self, by: Loader, gic: Gic) -> Optee {
        match self {
            Self::Virt if by == Loader::TfA && gic == Gic::V3 => Optee::Virtualized,
            Self::Zcu102 => Optee::Virtualized,
            Self::Virt | Self::Rpi4 => Optee::None,
        }
    }

    /// Whether QEMU ends when the hypervisor powers the board off.
    pub fn powers_off(self, loader: Loader) -> bool {
        match self {
            Self::Virt => true,
            // Without TF-A there is no PSCI.
            Self::Rpi4 => loader == Loader::TfA,
            // Power is its PMU's, whose firmware QEMU has not.
            Self::Zcu102 => false,
        }
    }
}

/// Fetches and builds what the boards other than virt need.
pub fn fetch() -> Result<()> {
    let cache = Cache::open()?;
    for board in [Board::Rpi4, Board::Zcu102] {
        let machine = Machine {
            board,
            ..Machine::default()
        };
        let packages = Packages::with_optee(&cache, machine.optee_suite())?;
        let firmware = Firmware::ensure(&cache, &packages, &machine)?;
        let folder = firmware.image.unwrap_or_default();
        let version = firmware.emulator.fetched()?.unwrap_or_default();
        println!("{board:?}: {} {version}", folder.display());
    }
    Ok(())
}

/// Refuses what a board can't be.
fn check(machine: &Machine) -> Result<()> {
    let usual = Machine::default();
    let fixed = (&machine.cpu, machine.smp, &machine.mem, machine.gic)
        == (&usual.cpu, usual.smp, &usual.mem, usual.gic);
    let world = machine.optee;
    match machine.board {
        Board::Virt if machine.loader != Loader::TfA && machine.secure_world() != Optee::None => {
            bail!("only TF-A starts OP-TEE: leave out --optee or --loader")
        }
        Board::Virt => Ok(()),
        _ if !fixed => bail!(
            "the board's cores, memory and interrupt controller are fixed: leave out --cpu, --smp, \
             --mem and --gic"
        ),
        Board::Rpi4 if world.is_some_and(|world| world != Optee::None) => bail!(
            "no OP-TEE for the Raspberry Pi 4: docs/boards.md says what is missing; \
             use --optee none"
        ),
        Board::Zcu102 if world.is_some_and(|world| world != Optee::Virtualized) => {
            bail!("the ZCU102 is started with OP-TEE only: leave out --optee")
        }
        Board::Rpi4 if machine.loader == Loader::UBoot => {
            bail!("the Raspberry Pi 4 is started by TF-A or directly: choose another --loader")
        }
        Board::Zcu102 if machine.loader != Loader::TfA => {
            bail!("the ZCU102 is started by TF-A only: leave out --loader")
        }
        Board::Rpi4 | Board::Zcu102 => Ok(()),
    }
}

/// The command that starts a machine, with its console on standard output and its other UART's
/// output in `log`. Writes the device tree to `tree` unless QEMU makes it.
pub fn command(machine: &Machine, files: &Files, tree: &Path, log: &Path) -> Result<Command> {
    let log = format!("file:{}", escape(log));
    let (mut qemu, serial) = match machine.board {
        Board::Virt => (virt::command(machine, files, tree)?, 0),
        Board::Rpi4 => rpi4::command(machine.loader, files, tree)?,
        Board::Zcu102 => (zcu102::command(files, tree)?, 0),
    };
    for number in 0..2 {
        let to = if number == serial { "stdio" } else { &log };
        qemu.args(["-serial", to]);
    }
    Ok(qemu)
}

/// The device trees of Debian's kernel, by the name of their file.
fn device_tree(cache: &Cache, name: &str) -> Result<PathBuf> {
    const KERNEL: &str = "linux-image-arm64";
    const TREES: [&str; 2] = [rpi4::TREE, zcu102::TREE];
    let suite = packages::RELEASE.name();
    let inputs = Inputs::default().texts(["1", suite]).texts(TREES);
    let dir = cache.step(packages::DEVICE_TREES, inputs, |work| {
        let apt = Apt::arm64(cache, suite);
        apt.prepare(work)?;
        let kernel = packages::kernel(&apt, KERNEL)?;
        apt.binaries(&[&kernel], work)?;
        let root = work.dir.join("root");
        let folder = root.join(kernel.replacen("linux-image", "usr/lib/linux-image", 1));
        for tree in TREES {
            let file = Path::new(tree).file_name().unwrap_or_default();
            std::fs::copy(folder.join(tree), work.dir.join(file))?;
        }
        crate::cache::remove(&root)
    })?;
    Ok(dir.join(Path::new(name).file_name().unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(board: Board, loader: Loader) -> Machine {
        Machine {
            board,
            loader,
            ..Machine::default()
        }
    }

    #[test]
    fn what_a_board_can_be_passes() {
        for loader in [Loader::TfA, Loader::Direct, Loader::UBoot] {
            assert!(check(&machine(Board::Virt, loader)).is_ok());
        }
        assert!(check(&machine(Board::Rpi4, Loader::TfA)).is_ok());
        assert!(check(&machine(Board::Rpi4, Loader::Direct)).is_ok());
        assert!(check(&machine(Board::Zcu102, Loader::TfA)).is_ok());
    }

    #[test]
    fn what_a_board_cannot_be_is_refused() {
        let with = |board, loader, change: fn(&mut Machine)| {
            let mut machine = machine(board, loader);
            change(&mut machine);
            check(&machine).unwrap_err().to_string()
        };
        let optee = |machine: &mut Machine| machine.optee = Some(Optee::Plain);
        assert!(with(Board::Virt, Loader::UBoot, optee).contains("only TF-A"));
        assert!(with(Board::Rpi4, Loader::TfA, optee).contains("docs/boards.md"));
        assert!(with(Board::Zcu102, Loader::TfA, optee).contains("leave out --optee"));
        assert!(with(Board::Rpi4, Loader::TfA, |m| m.smp = 2).contains("--smp"));
        assert!(with(Board::Rpi4, Loader::UBoot, |_| ()).contains("--loader"));
        assert!(with(Board::Zcu102, Loader::Direct, |_| ()).contains("--loader"));
    }

    #[test]
    fn optee_comes_from_where_it_can_be_built() {
        use crate::packages::Suite;
        let suite = |board, gic, smp, optee| {
            Machine {
                board,
                gic,
                smp,
                optee,
                ..Machine::default()
            }
            .optee_suite()
        };
        let virtualized = Some(Optee::Virtualized);
        assert_eq!(suite(Board::Virt, Gic::V3, 4, None), Suite::Trixie);
        assert_eq!(suite(Board::Virt, Gic::V2, 4, None), Suite::Trixie);
        assert_eq!(suite(Board::Virt, Gic::V2, 4, virtualized), Suite::Sid);
        assert_eq!(suite(Board::Virt, Gic::V3, 8, None), Suite::Sid);
        assert_eq!(suite(Board::Zcu102, Gic::V3, 4, None), Suite::Sid);
        assert_eq!(suite(Board::Rpi4, Gic::V3, 4, None), Suite::Trixie);
    }
}
