// SPDX-License-Identifier: MIT OR Apache-2.0

//! QEMU's virt machine.
//!
//! TF-A and OP-TEE lie in a flash image; QEMU's loader puts the image and the bundle into RAM, where
//! TF-A enters the image. Without firmware, QEMU loads both as it loads Linux. U-Boot loads them
//! from a disk, which is what `cargo xtask image` makes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::card::{self, Content};
use super::recipe::Recipe;
use super::tree::Tree;
use crate::apt::Apt;
use crate::cache::{Cache, Inputs};
use crate::command;
use crate::emulator::{Emulator, escape, loader};
use crate::firmware::{self, BL33, Optee};
use crate::packages::{self, Packages};
use crate::qemu::{Files, Firmware, Loader, Machine};
use platform::GicVersion;

/// Where the bundle, or a kernel's initial file system, is loaded.
const INITRD: u64 = 0x6800_0000;

/// The oldest machine whose SMMU has stage 2 unless it is told otherwise: QEMU 10.0's.
const STAGE_2: &str = "virt-10.0";

/// Where the first reserved page of a board with holes lies, not at the start of a block.
const HOLES: u32 = 0x7000_1000;
/// From one to the next: each is in another block, with free ones between.
const HOLE_TO_HOLE: u32 = 4 << 20;

/// The board's recipe.
pub struct Virt;

impl Recipe for Virt {
    fn check(&self, machine: &Machine) -> Result<()> {
        if machine.loader != Loader::TfA && self.secure_world(machine) != Optee::None {
            bail!("only TF-A starts OP-TEE: leave out --optee or --loader");
        }
        Ok(())
    }

    fn usual_world(&self, machine: &Machine) -> Optee {
        if machine.loader == Loader::TfA && machine.gic == GicVersion::V3 {
            Optee::Virtualized
        } else {
            Optee::None
        }
    }

    /// Returns the flash image of TF-A and OP-TEE, or U-Boot's; nothing if QEMU is the loader.
    fn firmware(&self, cache: &Cache, packages: &Packages, machine: &Machine) -> Result<Firmware> {
        let image = match machine.loader {
            Loader::TfA => {
                let optee = self.secure_world(machine);
                let flash = firmware::flash(cache, packages, machine.gic, machine.smp, optee)?;
                Some(flash)
            }
            Loader::Direct => None,
            Loader::UBoot => {
                card::ensure_tools(cache)?;
                Some(u_boot(cache)?)
            }
        };
        let emulator = match machine {
            Machine { smmu: true, .. } => Emulator::with(cache, STAGE_2)?,
            Machine {
                newer_qemu: true, ..
            } => Emulator::newer(cache)?,
            _ => Emulator::default(),
        };
        Ok(Firmware { emulator, image })
    }

    fn command(&self, machine: &Machine, files: &Files, tree: &Path) -> Result<Command> {
        let mut qemu = files.firmware.emulator.command();
        match machine.loader {
            Loader::TfA => by_firmware(&mut qemu, machine, files, tree)?,
            Loader::Direct => directly(&mut qemu, machine, files),
            Loader::UBoot => {
                let card = card::with(self.card(&files.firmware)?, files, tree)?;
                by_u_boot(&mut qemu, machine, files, &card);
            }
        }
        Ok(qemu)
    }

    fn powers_off(&self, _: Loader) -> bool {
        true
    }

    fn card_loader(&self) -> Loader {
        Loader::UBoot
    }

    /// Returns what U-Boot needs on its disk. The tree is the one that QEMU gave to U-Boot.
    fn card(&self, _: &Firmware) -> Result<card::Files> {
        let script = card::script("${fdtcontroladdr}", "");
        Ok(vec![("boot.cmd", Content::Script(script))])
    }
}

/// Starts TF-A from the flash; the image and the bundle are in RAM already.
fn by_firmware(qemu: &mut Command, machine: &Machine, files: &Files, tree: &Path) -> Result<()> {
    let flash = files.firmware.image.as_deref();
    write_tree(machine, files, flash.context("flash image")?, tree)?;
    qemu.args(arguments(machine, "", flash));
    qemu.arg("-dtb").arg(tree);
    qemu.args(["-device", &loader(&files.bl33, BL33)]);
    if let Some(initrd) = &files.initrd {
        qemu.args(["-device", &loader(initrd, INITRD)]);
    }
    Ok(())
}

/// Lets QEMU load the image as a kernel.
fn directly(qemu: &mut Command, machine: &Machine, files: &Files) {
    qemu.args(arguments(machine, "", None));
    qemu.arg("-kernel").arg(&files.bl33);
    if let Some(initrd) = &files.initrd {
        qemu.arg("-initrd").arg(initrd);
    }
    if let Some(bootargs) = &files.bootargs {
        qemu.args(["-append", bootargs]);
    }
}

/// Starts U-Boot from the flash, with the card as its disk.
fn by_u_boot(qemu: &mut Command, machine: &Machine, files: &Files, card: &Path) {
    qemu.args(arguments(machine, "", files.firmware.image.as_deref()));
    let drive = format!("if=none,id=card,format=raw,file={}", escape(card));
    // Not where a guest's disk would be.
    let device = "virtio-blk-device,drive=card,bus=virtio-mmio-bus.0";
    qemu.args(["-drive", &drive, "-device", device]);
}

/// Fetches Debian's U-Boot for this machine.
fn u_boot(cache: &Cache) -> Result<PathBuf> {
    const PACKAGE: &str = "u-boot-qemu";
    let suite = packages::RELEASE.name();
    let dir = cache.step(
        packages::U_BOOT,
        Inputs::default().texts(["1", suite, PACKAGE]),
        |work| {
            let apt = Apt::arm64(cache, suite);
            apt.prepare(work)?;
            apt.binaries(&[PACKAGE], work)
        },
    )?;
    Ok(dir.join("root/usr/lib/u-boot/qemu_arm64/u-boot.bin"))
}

fn arguments(machine: &Machine, option: &str, flash: Option<&Path>) -> Vec<String> {
    let gic = machine.gic.number();
    let secure = if machine.loader == Loader::TfA {
        "on"
    } else {
        "off"
    };
    let el2 = if machine.el2 { "on" } else { "off" };
    let backend = machine.ram.as_ref().map_or("", |_| ",memory-backend=ram");
    let smmu = if machine.smmu { ",iommu=smmuv3" } else { "" };
    let name = format!(
        "virt,secure={secure},virtualization={el2},gic-version={gic}{smmu}{backend}{option}"
    );
    let object = machine.ram.as_ref().map(|file| {
        let (size, file) = (&machine.mem, escape(file));
        format!("memory-backend-file,id=ram,size={size},mem-path={file},share=on")
    });
    let smp = machine.smp.to_string();
    let flash = flash.map(|flash| flash.display().to_string());
    let pairs = [
        ("-machine", name.as_str()),
        ("-cpu", &machine.cpu),
        ("-smp", &smp),
        ("-m", &machine.mem),
        ("-nic", "none"),
        ("-display", "none"),
        ("-monitor", "none"),
    ];
    // The seeds that QEMU writes to /chosen, too, are to repeat.
    let seed = machine.icount.then_some(("-seed", "1"));
    let flash = flash.as_deref().map(|flash| ("-bios", flash));
    let object = object.as_deref().map(|object| ("-object", object));
    pairs
        .iter()
        .chain(&object)
        .chain(&flash)
        .chain(&seed)
        .flat_map(|(a, b)| [a.to_string(), b.to_string()])
        .collect()
}

/// Writes QEMU's own tree plus what a boot loader would add to /chosen. It must be dumped with
/// -bios: the tree of a machine without firmware names a secure GPIO that faults.
fn write_tree(machine: &Machine, files: &Files, flash: &Path, tree: &Path) -> Result<()> {
    let dumped = tree.with_extension("dumped");
    let dump = format!(",dumpdtb={}", escape(&dumped));
    let mut qemu = files.firmware.emulator.command();
    command::output(qemu.args(arguments(machine, &dump, Some(flash))))?;
    // QEMU leaves a megabyte of free space in it, and doubles that when it loads the tree: more
    // than OP-TEE takes.
    let mut pack = Command::new("dtc");
    pack.args(["-q", "-I", "dtb", "-O", "dtb", "-o"])
        .arg(tree)
        .arg(&dumped);
    command::output(&mut pack)?;
    fs::remove_file(&dumped)?;
    let tree = Tree(tree);
    (0..machine.holes).try_for_each(|number| tree.reserve(HOLES + number * HOLE_TO_HOLE))?;
    if let Some(initrd) = &files.initrd {
        tree.initrd(initrd, INITRD)?;
    }
    if let Some(bootargs) = &files.bootargs {
        tree.text("/chosen", "bootargs", bootargs)?;
    }
    Ok(())
}
