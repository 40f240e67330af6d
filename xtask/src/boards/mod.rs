// SPDX-License-Identifier: MIT OR Apache-2.0

//! The boards that xtask starts in QEMU and makes images for: one recipe a file.
//!
//! A [`Recipe`] says what firmware the board needs and how it is made, what the boot loader leaves in
//! memory and in the device tree, and QEMU's arguments. The hypervisor's image is the same on all.

mod card;
mod direct;
mod early;
pub mod image;
pub mod kernel_trees;
mod payload;
mod recipe;
mod rpi4;
mod sbsa;
pub mod tree;
mod virt;
mod zcu102;

use std::path::Path;
use std::process::Command;

use anyhow::{Result, ensure};
use clap::ValueEnum;

use crate::cache::Cache;
use crate::emulator::{escape, loader};
use crate::firmware::Optee;
use crate::packages::{Packages, Suite};
use crate::qemu::{Board, Files, Firmware, Loader, Machine, RESIDUE};

pub use early::EarlyConsole;
use recipe::Recipe;

/// Returns the recipe of a board.
pub fn recipe(board: Board) -> &'static dyn Recipe {
    match board {
        Board::Virt => &virt::Virt,
        Board::Imx8mp => &direct::IMX8MP,
        Board::Rpi4 => &rpi4::Rpi4,
        Board::Sbsa => &sbsa::Sbsa,
        Board::Versal => &direct::VERSAL,
        Board::Zcu102 => &zcu102::Zcu102,
    }
}

/// Returns what runs in a machine's secure world.
pub fn secure_world(machine: &Machine) -> Optee {
    recipe(machine.board).secure_world(machine)
}

/// Returns the suite that a machine's OP-TEE is from. Where it must be built, that is unstable: the
/// sources of the stable one are gone from the mirrors, which keep the newest only.
pub fn optee_suite(machine: &Machine) -> Suite {
    let recipe = recipe(machine.board);
    let built = recipe.secure_world(machine) != Optee::None && recipe.builds_optee(machine);
    let usual = if built { Suite::Sid } else { Suite::Trixie };
    machine.optee_suite.unwrap_or(usual)
}

/// Fetches and builds what a machine is started from.
pub fn firmware(cache: &Cache, packages: &Packages, machine: &Machine) -> Result<Firmware> {
    let recipe = recipe(machine.board);
    check_pci(machine)?;
    recipe.check(machine)?;
    recipe.firmware(cache, packages, machine)
}

/// Refuses what needs a PCI bus on a board without one, or an SMMU where QEMU has none.
fn check_pci(machine: &Machine) -> Result<()> {
    let on_bus = machine.nvme.is_some() || machine.e1000e || !machine.pci.is_empty();
    ensure!(
        !machine.smmu || machine.board == Board::Virt,
        "only the virt machine has an SMMU that can be chosen: leave out --smmu or --board"
    );
    ensure!(
        !on_bus || matches!(machine.board, Board::Virt | Board::Sbsa),
        "the board has no PCI bus: leave out --nvme, --e1000e and --pci"
    );
    Ok(())
}

/// Fetches and builds what the boards other than virt need.
pub fn fetch() -> Result<()> {
    let cache = Cache::open()?;
    let others = Board::value_variants().iter().copied();
    for board in others.filter(|board| *board != Board::Virt) {
        let loader = match board {
            Board::Imx8mp | Board::Versal => Loader::Direct,
            _ => Loader::TfA,
        };
        let machine = Machine {
            board,
            loader,
            ..Machine::default()
        };
        let packages = Packages::with_optee(&cache, optee_suite(&machine))?;
        let firmware = firmware(&cache, &packages, &machine)?;
        let folder = firmware.image.unwrap_or_default();
        let version = firmware.emulator.fetched()?.unwrap_or_default();
        println!("{board:?}: {} {version}", folder.display());
    }
    Ok(())
}

/// Returns the command that starts a machine; the console is on standard input and output, the
/// other UART's output, on most boards the secure world's, goes to `log`. Writes the device tree to
/// `tree` unless QEMU makes it.
pub fn command(machine: &Machine, files: &Files, tree: &Path, log: &Path) -> Result<Command> {
    let recipe = recipe(machine.board);
    let mut qemu = recipe.command(machine, files, tree)?;
    let log = format!("file:{}", escape(log));
    let console = recipe.console(machine.loader);
    for number in 0..2 {
        let to = if number == console { "stdio" } else { &log };
        qemu.args(["-serial", to]);
    }
    add_options(&mut qemu, machine);
    Ok(qemu)
}

/// Adds what can be had on every board.
fn add_options(qemu: &mut Command, machine: &Machine) {
    if machine.icount {
        qemu.args(["-icount", "shift=0,sleep=off"]);
    }
    if let Some(disk) = &machine.disk {
        let drive = format!("if=none,id=disk,format=raw,file={}", escape(disk));
        qemu.args(["-drive", &drive, "-device", "virtio-blk-device,drive=disk"]);
    }
    if let Some(disk) = &machine.nvme {
        let drive = format!("if=none,id=nvme,format=raw,file={}", escape(disk));
        qemu.args(["-drive", &drive, "-device", "nvme,drive=nvme,serial=1"]);
    }
    if machine.e1000e {
        let tftp = machine
            .tftp
            .as_deref()
            .map(|folder| format!(",tftp={}", escape(folder)));
        let net = format!("user,id=net{}", tftp.unwrap_or_default());
        qemu.args(["-netdev", &net]);
        qemu.args(["-device", "e1000e,netdev=net,romfile="]);
    }
    for device in &machine.pci {
        qemu.args(["-device", device]);
    }
    if let Some(residue) = &machine.residue {
        qemu.args(["-device", &loader(residue, RESIDUE)]);
    }
    if let Some(plugin) = &machine.plugin {
        qemu.args(["-plugin", &plugin.option()]);
    }
    if machine.gdb {
        qemu.args(["-s", "-S"]);
    }
}

/// Tells whether the console says that the board was to be powered off, on a board that QEMU does
/// not power off.
pub fn is_over(machine: &Machine, console: &[String]) -> bool {
    let said = |line: &String| line.contains("all guests are off: powering the board off");
    !recipe(machine.board).powers_off(machine.loader) && console.iter().any(said)
}

#[cfg(test)]
mod tests {
    use super::*;
    use platform::GicVersion;

    #[test]
    fn what_needs_a_pci_bus_is_refused_without_one() {
        let refused = |change: fn(&mut Machine)| {
            let mut machine = machine(Board::Rpi4, Loader::Direct);
            assert!(check(&machine).is_ok());
            change(&mut machine);
            check(&machine).unwrap_err().to_string()
        };
        assert!(refused(|machine| machine.smmu = true).contains("--smmu"));
        assert!(refused(|machine| machine.e1000e = true).contains("--e1000e"));
        assert!(refused(|machine| machine.nvme = Some("disk".into())).contains("--nvme"));
        assert!(refused(|machine| machine.pci.push("edu".into())).contains("--pci"));
        let mut machine = machine(Board::Virt, Loader::TfA);
        (machine.smmu, machine.e1000e) = (true, true);
        assert!(check(&machine).is_ok());
    }

    fn check(machine: &Machine) -> Result<()> {
        check_pci(machine)?;
        recipe(machine.board).check(machine)
    }

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
        assert!(check(&machine(Board::Imx8mp, Loader::Direct)).is_ok());
        assert!(check(&machine(Board::Versal, Loader::Direct)).is_ok());
        assert!(check(&machine(Board::Sbsa, Loader::TfA)).is_ok());
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
        assert!(with(Board::Imx8mp, Loader::TfA, |_| ()).contains("--loader direct"));
        assert!(with(Board::Sbsa, Loader::Direct, |_| ()).contains("--loader"));
        assert!(with(Board::Zcu102, Loader::Direct, |_| ()).contains("--loader"));
    }

    #[test]
    fn optee_comes_from_where_it_can_be_built() {
        let suite = |board, gic, smp, optee| {
            optee_suite(&Machine {
                board,
                gic,
                smp,
                optee,
                ..Machine::default()
            })
        };
        let virtualized = Some(Optee::Virtualized);
        assert_eq!(suite(Board::Virt, GicVersion::V3, 4, None), Suite::Trixie);
        assert_eq!(suite(Board::Virt, GicVersion::V2, 4, None), Suite::Trixie);
        assert_eq!(
            suite(Board::Virt, GicVersion::V2, 4, virtualized),
            Suite::Sid
        );
        assert_eq!(suite(Board::Virt, GicVersion::V3, 8, None), Suite::Sid);
        assert_eq!(suite(Board::Zcu102, GicVersion::V3, 4, None), Suite::Sid);
        assert_eq!(suite(Board::Rpi4, GicVersion::V3, 4, None), Suite::Trixie);
    }
}
