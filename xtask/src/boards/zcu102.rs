// SPDX-License-Identifier: MIT OR Apache-2.0

//! Xilinx ZCU102, a Zynq UltraScale+ MPSoC.
//!
//! On the board the first-stage boot loader loads TF-A, OP-TEE and U-Boot, which then loads the
//! image. Here QEMU's loader does that, and three instructions stand for U-Boot: TF-A gives its
//! payload no device tree.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::card::{self, Content};
use super::kernel_trees;
use super::payload::jump;
use super::recipe::{self, Recipe};
use super::tree::Tree;
use crate::cache::{Cache, Inputs};
use crate::emulator::{Emulator, escape, loader};
use crate::firmware::Optee;
use crate::make::{OpteeBuild, TfA};
use crate::packages::Packages;
use crate::qemu::{Files, Firmware, Loader, Machine};

/// Where TF-A is built to enter its payload: U-Boot's place.
const PAYLOAD: u64 = 0x0800_0000;
const DTB: u64 = 0x0700_0000;
const IMAGE: u64 = 0x0820_0000;
const BUNDLE: u64 = 0x2000_0000;
/// Where TF-A enters OP-TEE.
const OPTEE: u64 = 0x6000_0000;
/// The memory that OP-TEE sets aside for a normal world that shares no other.
const OPTEE_SHM: u64 = 0x7000_0000;
/// Bytes of each, as OP-TEE's platform has them.
const OPTEE_SIZE: u32 = 0x1000_0000;
/// TF-A's file.
const BL31: &str = "bl31.elf";
/// OP-TEE's file.
const TEE: &str = "tee.bin";
/// The tree's file.
const DTB_FILE: &str = "zynqmp-zcu102-rev1.0.dtb";

const MACHINE: &str = "xlnx-zcu102";
/// The rate at which QEMU counts. There is no register in it from which TF-A sets CNTFRQ_EL0.
const QEMU_COUNTER: u32 = 62_500_000;

/// The board's recipe.
pub struct Zcu102;

impl Recipe for Zcu102 {
    fn check(&self, machine: &Machine) -> Result<()> {
        recipe::ensure_usual_parts(machine)?;
        if self.secure_world(machine) != Optee::Virtualized {
            bail!("the ZCU102 is started with OP-TEE only: leave out --optee");
        }
        if machine.loader != Loader::TfA {
            bail!("the ZCU102 is started by TF-A only: leave out --loader");
        }
        Ok(())
    }

    fn usual_world(&self, _: &Machine) -> Optee {
        Optee::Virtualized
    }

    fn builds_optee(&self, _: &Machine) -> bool {
        true
    }

    /// Makes TF-A, OP-TEE and the device tree in a folder, and a QEMU that has the board.
    fn firmware(&self, cache: &Cache, packages: &Packages, _: &Machine) -> Result<Firmware> {
        let tfa = TfA {
            name: "zynqmp",
            platform: "zynqmp",
            options: vec!["SPD=opteed".into(), "RESET_TO_BL31=1".into()],
            environment: &[],
            targets: &["bl31"],
            files: &["bl31/bl31.elf"],
        };
        let tfa = tfa.ensure(cache, packages)?;
        let optee = OpteeBuild {
            name: "zcu102",
            platform: "zynqmp-zcu102",
            // The console is the hypervisor's: errors only.
            options: vec!["CFG_TEE_CORE_LOG_LEVEL=1".into()],
            environment: &[],
        };
        let optee = optee.ensure(cache, packages)?;
        let trees = kernel_trees::ensure(cache)?;
        let inputs = Inputs::default().text("2").stamp(&tfa)?.stamp(&optee)?;
        let inputs = inputs.stamp(&trees)?;
        let name = format!("firmware/zcu102{}", packages.suite().suffix());
        let dir = cache.step(&name, inputs, |work| {
            fs::copy(tfa.join("bl31.elf"), work.dir.join(BL31))?;
            fs::copy(optee.join("tee-raw.bin"), work.dir.join(TEE))?;
            let to = work.dir.join(DTB_FILE);
            fs::copy(trees.join(kernel_trees::ZCU102), &to)?;
            add_optee(&Tree(&to))
        })?;
        Ok(Firmware {
            // Older ones have the machine too, but with other options.
            emulator: Emulator::with(cache, "raspi4b")?,
            image: Some(dir),
        })
    }

    fn usual_vcpus(&self) -> Option<u32> {
        // QEMU can't start the board's other cores.
        Some(1)
    }

    fn command(&self, _: &Machine, files: &Files, tree: &Path) -> Result<Command> {
        let folder = files.firmware.image.as_deref().context("firmware")?;
        write_tree(files, folder, tree)?;
        let payload = tree.with_file_name("payload.bin");
        fs::write(&payload, jump(IMAGE, DTB))?;
        let mut qemu = files.firmware.emulator.command();
        let machine = format!("{MACHINE},secure=on,virtualization=on,audiodev=none");
        qemu.args(["-machine", &machine, "-audiodev", "none,id=none"]);
        qemu.args(["-m", "4G", "-display", "none", "-monitor", "none"]);
        let bl31 = escape(&folder.join(BL31));
        // The core that is named starts at the program's entry; the others stay off.
        qemu.args(["-device", &format!("loader,file={bl31},cpu-num=0")]);
        let tee = folder.join(TEE);
        let mut loads = vec![
            (tee.as_path(), OPTEE),
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
        // Power is its PMU's, whose firmware QEMU does not have.
        false
    }

    /// Returns what is on the card beside the image and the bundle. The first-stage boot loader,
    /// the PMU's firmware and U-Boot are the vendor's; bootgen packs them with TF-A and OP-TEE as
    /// BOOT.BIN.
    fn card(&self, firmware: &Firmware) -> Result<card::Files> {
        let folder = firmware.image.as_deref().context("firmware")?;
        let script = card::script(
            "${fdt_addr_r}",
            &format!(
                "load ${{devtype}} ${{devnum}}:${{distro_bootpart}} ${{fdt_addr_r}} {DTB_FILE}\n"
            ),
        );
        let bif = format!(
            "// bootgen -arch zynqmp -image boot.bif -o BOOT.BIN\n\
             // fsbl.elf, pmufw.elf and u-boot.elf: the vendor's, for this board.\n\
             the_ROM_image:\n{{\n\
             \t[bootloader, destination_cpu=a53-0] fsbl.elf\n\
             \t[pmufw_image] pmufw.elf\n\
             \t[destination_cpu=a53-0, exception_level=el-3, trustzone] {BL31}\n\
             \t[destination_cpu=a53-0, exception_level=el-1, trustzone, load={OPTEE:#x}, \
             startup={OPTEE:#x}] {TEE}\n\
             \t[destination_cpu=a53-0, exception_level=el-2] u-boot.elf\n}}\n"
        );
        Ok(vec![
            ("boot.cmd", Content::Script(script)),
            ("boot.bif", Content::Text(bif)),
            (BL31, Content::Copy(folder.join(BL31))),
            (TEE, Content::Copy(folder.join(TEE))),
            (DTB_FILE, Content::Copy(folder.join(DTB_FILE))),
        ])
    }
}

/// Adds what OP-TEE would add to a tree that it is given; the board's TF-A gives it none.
fn add_optee(tree: &Tree) -> Result<()> {
    tree.optee()?;
    for (name, start) in [("core", OPTEE), ("shm", OPTEE_SHM)] {
        let memory = format!("/reserved-memory/optee_{name}@{start:x}");
        tree.node(&memory)?;
        tree.cells(&memory, "reg", &[0, start as u32, 0, OPTEE_SIZE])?;
        tree.cells(&memory, "no-map", &[])?;
    }
    Ok(())
}

fn write_tree(files: &Files, folder: &Path, to: &Path) -> Result<()> {
    fs::copy(folder.join(DTB_FILE), to)?;
    let tree = Tree(to);
    // TF-A starts cores with the help of the PMU's firmware, which QEMU does not have.
    for core in 1..4 {
        tree.text(&format!("/cpus/cpu@{core}"), "status", "fail")?;
    }
    tree.cells("/timer", "clock-frequency", &[QEMU_COUNTER])?;
    if let Some(bundle) = &files.initrd {
        tree.initrd(bundle, BUNDLE)?;
    }
    Ok(())
}
