// SPDX-License-Identifier: MIT OR Apache-2.0

//! QEMU's sbsa-ref: a server, whose RAM starts at 1 TiB.
//!
//! TF-A and OP-TEE lie in a flash image. QEMU's loader puts everything else into RAM, and three instructions stand
//! for UEFI: what TF-A has is a tree with cores and memory alone.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use super::card;
use super::payload::jump;
use super::recipe::{self, Recipe};
use super::tree::Tree;
use crate::cache::{Cache, Inputs};
use crate::command;
use crate::emulator::{Emulator, escape, loader};
use crate::firmware::{self, Optee};
use crate::make::{OpteeBuild, TfA};
use crate::packages::Packages;
use crate::qemu::{Files, Firmware, Loader, Machine};

/// RAM starts with QEMU's own tree.
const RAM: u64 = 0x100_0000_0000;
const DTB: u64 = RAM + 0x0800_0000;
/// Where TF-A is built to enter its payload.
const PAYLOAD: u64 = RAM + 0x2000_0000;
const IMAGE: u64 = PAYLOAD + 0x20_0000;
const BUNDLE: u64 = RAM + 0x3000_0000;
/// Where BL2 expects the firmware package in the flash: behind BL1.
const FIP_OFFSET: usize = 0x1_2000;
/// The tree.
const SOURCE: &str = include_str!("sbsa.dts");
/// The flash's file.
const FLASH: &str = "flash.bin";
const DTB_FILE: &str = "sbsa.dtb";

/// The board's recipe.
pub struct Sbsa;

impl Recipe for Sbsa {
    fn check(&self, machine: &Machine) -> Result<()> {
        recipe::ensure_usual_parts(machine)?;
        ensure!(
            self.secure_world(machine) == Optee::Virtualized && machine.loader == Loader::TfA,
            "sbsa-ref is started by TF-A with OP-TEE only: leave out --optee and --loader"
        );
        Ok(())
    }

    fn usual_world(&self, _: &Machine) -> Optee {
        Optee::Virtualized
    }

    fn builds_optee(&self, _: &Machine) -> bool {
        true
    }

    fn firmware(&self, cache: &Cache, packages: &Packages, _: &Machine) -> Result<Firmware> {
        let tfa = TfA {
            name: "sbsa",
            platform: "qemu_sbsa",
            options: vec![
                "SPD=opteed".into(),
                format!("PRELOADED_BL33_BASE={PAYLOAD:#x}"),
            ],
            // The platform's makefile leaves out what BL2 reads OP-TEE's header with.
            environment: &[("BL2_SOURCES", "lib/optee/optee_utils.c")],
            targets: &["bl1", "bl2", "bl31"],
            files: &["bl1.bin", "bl2.bin", "bl31.bin"],
        };
        let tfa = tfa.ensure(cache, packages)?;
        let optee = OpteeBuild {
            name: "sbsa",
            platform: "vexpress-qemu_sbsa",
            options: vec![
                // TF-A's BL2 and BL31 are at the end of this memory.
                "CFG_TZDRAM_START=0x20002000".into(),
                "CFG_TZDRAM_SIZE=0x07ffe000".into(),
                "CFG_TEE_CORE_LOG_LEVEL=3".into(),
            ],
            // The platform is given no tree, and names no memory that guests could share.
            environment: &[(
                "core-platform-cppflags",
                "-DDRAM0_BASE=0x10000000000 -DDRAM0_SIZE=0x80000000",
            )],
        };
        let optee = optee.ensure(cache, packages)?;
        let inputs = Inputs::default().texts(["1", SOURCE]);
        let inputs = inputs.stamp(&tfa)?.stamp(&optee)?;
        let name = format!("firmware/sbsa{}", packages.suite().suffix());
        let dir = cache.step(&name, inputs, |work| {
            let flash = firmware::assemble(&tfa, Some(&optee), FIP_OFFSET)?;
            fs::write(work.dir.join(FLASH), flash)?;
            let source = work.dir.join("sbsa.dts");
            fs::write(&source, SOURCE)?;
            let mut dtc = Command::new("dtc");
            dtc.args(["-q", "-I", "dts", "-O", "dtb", "-o"]);
            dtc.arg(work.dir.join(DTB_FILE)).arg(&source);
            command::output(&mut dtc).map(|_| ())
        })?;
        Ok(Firmware {
            // Older ones have the machine too, but the GIC at another place.
            emulator: Emulator::newer(cache)?,
            image: Some(dir),
        })
    }

    fn command(&self, machine: &Machine, files: &Files, tree: &Path) -> Result<Command> {
        let folder = files.firmware.image.as_deref().context("firmware")?;
        fs::copy(folder.join(DTB_FILE), tree)?;
        if let Some(bundle) = &files.initrd {
            Tree(tree).initrd(bundle, BUNDLE)?;
        }
        let payload = tree.with_file_name("payload.bin");
        fs::write(&payload, jump(IMAGE, DTB))?;
        let mut qemu = files.firmware.emulator.command();
        let flash = escape(&folder.join(FLASH));
        qemu.args([
            "-machine",
            "sbsa-ref",
            "-cpu",
            "neoverse-n1",
            "-bios",
            &flash,
        ]);
        qemu.args(["-smp", &machine.smp.to_string(), "-m", &machine.mem]);
        // The machine has a display, whose ROM is in a package of its own.
        qemu.args(["-global", "bochs-display.romfile=", "-nic", "none"]);
        // The machine's own SMMU has stage 1 alone unless it is told otherwise.
        qemu.args(["-global", "arm-smmuv3.stage=nested"]);
        qemu.args(["-display", "none", "-monitor", "none"]);
        let mut loads = vec![
            (payload.as_path(), PAYLOAD),
            (tree, DTB),
            (files.bl33.as_path(), IMAGE),
        ];
        loads.extend(files.initrd.as_deref().map(|bundle| (bundle, BUNDLE)));
        for (file, address) in loads {
            qemu.args(["-device", &loader(file, address)]);
        }
        Ok(qemu)
    }

    fn powers_off(&self, _: Loader) -> bool {
        true
    }

    fn card(&self, _: &Firmware) -> Result<card::Files> {
        bail!("sbsa-ref is QEMU's alone: it boots from no card")
    }
}
