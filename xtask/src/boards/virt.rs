//! QEMU's virt machine.
//!
//! TF-A and OP-TEE lie in a flash image; QEMU's loader puts the image and the bundle into RAM, where
//! TF-A enters the image. Without firmware, QEMU loads both as it loads Linux.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use super::{Emulator, Loader, Tree, escape, loader};
use crate::command;
use crate::firmware::BL33;
use crate::qemu::{Files, Machine};

/// Where the bundle, or a kernel's initial file system, is loaded.
const INITRD: u64 = 0x6800_0000;

/// QEMU's command without serial ports; the console is the first. Writes the device tree to `tree`
/// if the loader would.
pub fn command(machine: &Machine, files: &Files, tree: &Path) -> Result<Command> {
    let mut qemu = files.firmware.emulator.command();
    if machine.loader == Loader::Direct {
        qemu.args(arguments(machine, "", None));
        qemu.arg("-kernel").arg(&files.bl33);
        if let Some(initrd) = &files.initrd {
            qemu.arg("-initrd").arg(initrd);
        }
        if let Some(bootargs) = &files.bootargs {
            qemu.args(["-append", bootargs]);
        }
        return Ok(qemu);
    }
    let flash = files.firmware.image.as_deref().context("flash image")?;
    write_tree(machine, files, flash, tree)?;
    qemu.args(arguments(machine, "", Some(flash)));
    qemu.arg("-dtb").arg(tree);
    qemu.args(["-device", &loader(&files.bl33, BL33)]);
    if let Some(initrd) = &files.initrd {
        qemu.args(["-device", &loader(initrd, INITRD)]);
    }
    Ok(qemu)
}

fn arguments(machine: &Machine, option: &str, flash: Option<&Path>) -> Vec<String> {
    let gic = machine.gic.version();
    let secure = if flash.is_some() { "on" } else { "off" };
    let el2 = if machine.el2 { "on" } else { "off" };
    let name = format!("virt,secure={secure},virtualization={el2},gic-version={gic}{option}");
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
    pairs
        .iter()
        .chain(&flash)
        .chain(&seed)
        .flat_map(|(a, b)| [a.to_string(), b.to_string()])
        .collect()
}

/// QEMU's own tree plus what a boot loader would add to /chosen. It must be dumped with -bios: the
/// tree of a machine without firmware names a secure GPIO that faults.
fn write_tree(machine: &Machine, files: &Files, flash: &Path, tree: &Path) -> Result<()> {
    let dumped = tree.with_extension("dumped");
    let dump = format!(",dumpdtb={}", escape(&dumped));
    let mut qemu = Emulator::default().command();
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
    if let Some(initrd) = &files.initrd {
        tree.initrd(initrd, INITRD)?;
    }
    if let Some(bootargs) = &files.bootargs {
        tree.text("/chosen", "bootargs", bootargs)?;
    }
    Ok(())
}
