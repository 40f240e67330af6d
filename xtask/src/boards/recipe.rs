// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a board's file tells of it.

use std::path::Path;
use std::process::Command;

use anyhow::{Result, ensure};

use super::card;
use crate::cache::Cache;
use crate::firmware::{self, Optee};
use crate::packages::Packages;
use crate::qemu::{Files, Firmware, Loader, Machine};

/// How a board is started in QEMU, and what its card holds.
pub trait Recipe {
    /// Refuses what the board can't be.
    fn check(&self, machine: &Machine) -> Result<()>;

    /// Returns what runs in the secure world unless the user chooses.
    fn usual_world(&self, machine: &Machine) -> Optee;

    /// Returns what runs in the secure world.
    fn secure_world(&self, machine: &Machine) -> Optee {
        machine.optee.unwrap_or_else(|| self.usual_world(machine))
    }

    /// Tells whether an OP-TEE for it is built from source, for want of a packaged one.
    fn builds_optee(&self, machine: &Machine) -> bool {
        firmware::is_built(machine.gic, machine.smp)
    }

    /// Fetches and builds what it is started from.
    fn firmware(&self, cache: &Cache, packages: &Packages, machine: &Machine) -> Result<Firmware>;

    /// Returns the vCPUs of the default manifest's guest, if the board can't have what the manifest
    /// says.
    fn usual_vcpus(&self) -> Option<u32> {
        None
    }

    /// Returns QEMU's command without serial ports. Writes the device tree to `tree` unless QEMU
    /// makes it.
    fn command(&self, machine: &Machine, files: &Files, tree: &Path) -> Result<Command>;

    /// Tells which of QEMU's serial ports is the console.
    fn console(&self, _loader: Loader) -> usize {
        0
    }

    /// Tells whether QEMU ends when the hypervisor powers the board off.
    fn powers_off(&self, loader: Loader) -> bool;

    /// Returns what starts the hypervisor from a card.
    fn card_loader(&self) -> Loader {
        Loader::TfA
    }

    /// Returns what is on the card beside the image and the bundle.
    fn card(&self, firmware: &Firmware) -> Result<card::Files>;
}

/// Refuses options for what is part of the board.
pub fn ensure_usual_parts(machine: &Machine) -> Result<()> {
    let parts = |machine: &Machine| {
        let (cpu, mem) = (machine.cpu.clone(), machine.mem.clone());
        (cpu, machine.smp, mem, machine.gic)
    };
    ensure!(
        parts(machine) == parts(&Machine::default()),
        "the board's cores, memory and interrupt controller are fixed: leave out --cpu, --smp, \
         --mem and --gic"
    );
    Ok(())
}
