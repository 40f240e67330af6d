// SPDX-License-Identifier: MIT OR Apache-2.0

//! Boards that QEMU itself starts, answering PSCI: their vendors' firmware is not built here.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use super::card;
use super::kernel_trees;
use super::recipe::{self, Recipe};
use crate::cache::Cache;
use crate::emulator::Emulator;
use crate::firmware::Optee;
use crate::packages::Packages;
use crate::qemu::{Files, Firmware, Loader, Machine};

/// NXP's evaluation board of the i.MX 8M Plus. Its GIC has no security extension.
pub const IMX8MP: Direct = Direct {
    machine: "imx8mp-evk",
    tree: Some(kernel_trees::IMX8MP),
    // UART2.
    console: 1,
};

/// A board with AMD's Versal, as QEMU makes it up.
pub const VERSAL: Direct = Direct {
    machine: "xlnx-versal-virt",
    tree: None,
    console: 0,
};

/// The recipe of such a board.
pub struct Direct {
    /// QEMU's name of it.
    machine: &'static str,
    /// The tree of Debian's kernel, unless QEMU makes one.
    tree: Option<&'static str>,
    /// Which of QEMU's serial ports is the console.
    console: usize,
}

impl Recipe for Direct {
    fn check(&self, machine: &Machine) -> Result<()> {
        recipe::ensure_usual_parts(machine)?;
        ensure!(
            self.secure_world(machine) == Optee::None && machine.loader == Loader::Direct,
            "{} is started by QEMU only, without OP-TEE: --loader direct",
            self.machine
        );
        Ok(())
    }

    fn usual_world(&self, _: &Machine) -> Optee {
        Optee::None
    }

    fn firmware(&self, cache: &Cache, _: &Packages, _: &Machine) -> Result<Firmware> {
        let trees = self.tree.map(|_| kernel_trees::ensure(cache));
        Ok(Firmware {
            emulator: Emulator::with(cache, self.machine)?,
            image: trees.transpose()?,
        })
    }

    fn command(&self, machine: &Machine, files: &Files, _: &Path) -> Result<Command> {
        let mut qemu = files.firmware.emulator.command();
        qemu.args(["-machine", self.machine, "-m", &machine.mem]);
        qemu.args(["-smp", &machine.smp.to_string(), "-nic", "none"]);
        qemu.args(["-display", "none", "-monitor", "none"]);
        qemu.arg("-kernel").arg(&files.bl33);
        if let Some(tree) = self.tree {
            let trees = files.firmware.image.as_deref().context("device trees")?;
            qemu.arg("-dtb").arg(trees.join(tree));
        }
        if let Some(bundle) = &files.initrd {
            qemu.arg("-initrd").arg(bundle);
        }
        Ok(qemu)
    }

    fn console(&self, _: Loader) -> usize {
        self.console
    }

    fn powers_off(&self, _: Loader) -> bool {
        true
    }

    fn card(&self, _: &Firmware) -> Result<card::Files> {
        bail!("what starts {} from a card is not built here", self.machine)
    }
}
