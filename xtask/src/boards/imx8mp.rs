// SPDX-License-Identifier: MIT OR Apache-2.0

//! NXP's evaluation board of the i.MX 8M Plus.
//!
//! QEMU itself is the loader, and answers PSCI: the vendor's firmware for this board is not built here. Its GIC has
//! no security extension.

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

const MACHINE: &str = "imx8mp-evk";

/// The board's recipe.
pub struct Imx8mp;

impl Recipe for Imx8mp {
    fn check(&self, machine: &Machine) -> Result<()> {
        recipe::ensure_usual_parts(machine)?;
        ensure!(
            self.secure_world(machine) == Optee::None && machine.loader == Loader::Direct,
            "the i.MX 8M Plus is started by QEMU only, without OP-TEE: --loader direct"
        );
        Ok(())
    }

    fn usual_world(&self, _: &Machine) -> Optee {
        Optee::None
    }

    fn firmware(&self, cache: &Cache, _: &Packages, _: &Machine) -> Result<Firmware> {
        Ok(Firmware {
            emulator: Emulator::with(cache, MACHINE)?,
            image: Some(kernel_trees::ensure(cache)?),
        })
    }

    fn command(&self, machine: &Machine, files: &Files, _: &Path) -> Result<Command> {
        let trees = files.firmware.image.as_deref().context("device trees")?;
        let mut qemu = files.firmware.emulator.command();
        qemu.args(["-machine", MACHINE, "-m", &machine.mem]);
        qemu.args(["-smp", &machine.smp.to_string(), "-nic", "none"]);
        qemu.args(["-display", "none", "-monitor", "none"]);
        qemu.arg("-kernel").arg(&files.bl33);
        qemu.arg("-dtb").arg(trees.join(kernel_trees::IMX8MP));
        if let Some(bundle) = &files.initrd {
            qemu.arg("-initrd").arg(bundle);
        }
        Ok(qemu)
    }

    fn console(&self, _: Loader) -> usize {
        // UART2.
        1
    }

    fn powers_off(&self, _: Loader) -> bool {
        true
    }

    fn card(&self, _: &Firmware) -> Result<card::Files> {
        bail!("what starts the i.MX 8M Plus from a card is not built here")
    }
}
