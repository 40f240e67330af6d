// SPDX-License-Identifier: MIT OR Apache-2.0

//! Raspberry Pi 4 Model B.
//!
//! On the board the GPU's firmware loads TF-A at 0 as the *armstub*, the kernel, the initrd and the
//! device tree from a card, as the card's config.txt says, and tells the stub by three words where
//! they are. Here QEMU's loader does that with the card that `cargo xtask image` makes, and the words
//! are patched in the stub's file. Without TF-A, QEMU's own stub enters the kernel at EL2 and
//! leaves the other cores in a spin table.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::card::{self, Content};
use super::kernel_trees;
use super::recipe::{self, Recipe};
use super::tree::Tree;
use crate::cache::{Cache, Inputs};
use crate::command;
use crate::emulator::{Emulator, escape, loader};
use crate::firmware::Optee;
use crate::make::TfA;
use crate::packages::Packages;
use crate::qemu::{Files, Firmware, Loader, Machine};

/// Where the image is loaded: a multiple of 2 MiB behind the stub.
const KERNEL: u32 = 0x20_0000;
/// Where the device tree is loaded here; the GPU's firmware chooses its own place.
const DTB: u32 = 0x0700_0000;
/// Where the bundle is loaded. Not "followkernel": that is behind the image's file, where the
/// image has its bss.
const BUNDLE: u32 = 0x0800_0000;
/// The armstub's file.
const STUB: &str = "bl31.bin";
/// The tree's file.
const DTB_FILE: &str = "bcm2711-rpi-4-b.dtb";
/// The mini UART in the tree.
const MINI_UART: &str = "/soc/serial@7e215040";

const MACHINE: &str = "raspi4b";
/// The rate at which QEMU counts. TF-A writes the board's own 54 MHz to CNTFRQ_EL0.
const QEMU_COUNTER: u32 = 62_500_000;

/// The stub's words: a magic that the GPU's firmware clears, the tree's address, the kernel's.
const STUB_MAGIC: usize = 0xf0;
const STUB_DTB: usize = 0xf8;
const STUB_KERNEL: usize = 0xfc;

/// The board's recipe.
pub struct Rpi4;

impl Recipe for Rpi4 {
    fn check(&self, machine: &Machine) -> Result<()> {
        recipe::ensure_usual_parts(machine)?;
        if self.secure_world(machine) != Optee::None {
            bail!(
                "no OP-TEE for the Raspberry Pi 4: docs/boards.md says what is missing; \
                 use --optee none"
            );
        }
        if machine.loader == Loader::UBoot {
            bail!("the Raspberry Pi 4 is started by TF-A or directly: choose another --loader");
        }
        Ok(())
    }

    fn usual_world(&self, _: &Machine) -> Optee {
        Optee::None
    }

    /// Makes TF-A and the device tree in a folder, and a QEMU that has the board.
    fn firmware(&self, cache: &Cache, packages: &Packages, _: &Machine) -> Result<Firmware> {
        let tfa = TfA {
            name: "rpi4",
            platform: "rpi4",
            options: vec!["SPD=none".into()],
            environment: &[],
            targets: &["bl31"],
            files: &["bl31.bin"],
        };
        card::ensure_tools(cache)?;
        let tfa = tfa.ensure(cache, packages)?;
        let trees = kernel_trees::ensure(cache)?;
        let inputs = Inputs::default().text("1").stamp(&tfa)?.stamp(&trees)?;
        let dir = cache.step("firmware/rpi4", inputs, |work| {
            fs::copy(tfa.join("bl31.bin"), work.dir.join(STUB))?;
            fs::copy(trees.join(kernel_trees::RPI4), work.dir.join(DTB_FILE))?;
            Ok(())
        })?;
        Ok(Firmware {
            emulator: Emulator::with(cache, MACHINE)?,
            image: Some(dir),
        })
    }

    fn command(&self, machine: &Machine, files: &Files, tree: &Path) -> Result<Command> {
        let mut qemu = files.firmware.emulator.command();
        qemu.args(["-machine", MACHINE, "-display", "none", "-monitor", "none"]);
        if machine.loader == Loader::Direct {
            let own = dtb(machine, files, tree)?;
            directly(&mut qemu, files, &own);
        } else {
            let card = Card::insert(self.card(&files.firmware)?, files, tree)?;
            by_firmware(&mut qemu, &card, files, tree)?;
        }
        Ok(qemu)
    }

    fn console(&self, loader: Loader) -> usize {
        // Without TF-A the tree's console is the mini UART.
        usize::from(loader == Loader::Direct)
    }

    fn powers_off(&self, loader: Loader) -> bool {
        // Without TF-A there is no PSCI.
        loader == Loader::TfA
    }

    /// Returns what is on the card beside the image, the bundle and the GPU's own firmware, which is
    /// not free software.
    fn card(&self, firmware: &Firmware) -> Result<card::Files> {
        let folder = firmware.image.as_deref().context("firmware")?;
        let config = format!(
            "# Read by the GPU's firmware, which starts TF-A, which starts teevisor.\n\
             arm_64bit=1\n\
             enable_uart=1\n\
             enable_gic=1\n\
             armstub={STUB}\n\
             kernel={}\n\
             kernel_address={KERNEL:#x}\n\
             device_tree={DTB_FILE}\n\
             # Not followkernel: that is where the image has its bss.\n\
             initramfs {} {BUNDLE:#x}\n",
            card::IMAGE,
            card::BUNDLE
        );
        let add = "Add start4.elf and fixup4.dat of the Raspberry Pi's firmware to this partition.\n\
                   Debian has them in raspi-firmware (section non-free-firmware), below\n\
                   /usr/lib/raspi-firmware. Their licence permits use with this board only.\n";
        Ok(vec![
            ("config.txt", Content::Text(config)),
            ("ADD-FIRMWARE.txt", Content::Text(add.into())),
            (STUB, Content::Copy(folder.join(STUB))),
            (DTB_FILE, Content::Copy(folder.join(DTB_FILE))),
        ])
    }
}

/// Lets QEMU load the image as a kernel.
fn directly(qemu: &mut Command, files: &Files, dtb: &Path) {
    // Only with a tree does QEMU take the image for a Linux kernel.
    qemu.arg("-kernel").arg(&files.bl33);
    qemu.arg("-dtb").arg(dtb);
    if let Some(bundle) = &files.initrd {
        qemu.arg("-initrd").arg(bundle);
    }
}

/// Returns the tree for QEMU's own loader, in `tree` if it is changed.
fn dtb(machine: &Machine, files: &Files, tree: &Path) -> Result<PathBuf> {
    let folder = files.firmware.image.as_deref().context("firmware")?;
    let own = folder.join(DTB_FILE);
    if !machine.polled_16550 {
        return Ok(own);
    }
    fs::copy(&own, tree)?;
    let changed = Tree(tree);
    changed.text(MINI_UART, "compatible", "ns16550a")?;
    changed.cells(MINI_UART, "reg-shift", &[2])?;
    changed.cells(MINI_UART, "reg-io-width", &[4])?;
    changed.remove(MINI_UART, "interrupts")?;
    Ok(tree.into())
}

/// Loads what the card's config.txt names, as the GPU's firmware does.
fn by_firmware(qemu: &mut Command, card: &Card, files: &Files, tree: &Path) -> Result<()> {
    let kernel = number(card.value("kernel_address")?)?;
    let stub = card.file(card.value("armstub")?)?;
    fs::write(&stub, patched(fs::read(&stub)?, kernel)?)?;
    write_tree(files, &card.file(card.value("device_tree")?)?, tree)?;
    load(qemu, &stub, 0);
    load(qemu, tree, DTB);
    load(qemu, &card.file(card.value("kernel")?)?, kernel);
    if files.initrd.is_some() {
        let (name, address) = card.initramfs()?;
        let (bundle, address) = (card.file(name)?, number(address)?);
        Tree(tree).initrd(&bundle, address.into())?;
        load(qemu, &bundle, address);
    }
    Ok(())
}

fn load(qemu: &mut Command, file: &Path, address: u32) {
    qemu.args(["-device", &loader(file, address.into())]);
}

/// A card in the board, as the GPU's firmware reads it.
struct Card {
    image: PathBuf,
    config: String,
}

impl Card {
    /// Makes the card beside `tree`.
    fn insert(own: card::Files, files: &Files, tree: &Path) -> Result<Self> {
        let image = card::with(own, files, tree)?;
        let mut card = Self {
            image,
            config: String::new(),
        };
        card.config = fs::read_to_string(card.file("config.txt")?)?;
        Ok(card)
    }

    /// Returns a file of the card, copied out of it.
    fn file(&self, name: &str) -> Result<PathBuf> {
        card::read(&self.image, name)
    }

    /// Returns the value of a line `KEY=VALUE` of config.txt.
    fn value(&self, key: &str) -> Result<&str> {
        let of = |line| str::strip_prefix(line, key)?.strip_prefix('=');
        let found = self.config.lines().find_map(of);
        found.with_context(|| format!("config.txt has no {key}"))
    }

    /// Reads what the line `initramfs FILE ADDRESS` says.
    fn initramfs(&self) -> Result<(&str, &str)> {
        let of = |line| str::strip_prefix(line, "initramfs ")?.split_once(' ');
        let found = self.config.lines().find_map(of);
        found.context("config.txt has no initramfs")
    }
}

fn number(text: &str) -> Result<u32> {
    let digits = text.trim_start_matches("0x");
    u32::from_str_radix(digits, 16).with_context(|| format!("config.txt: {text} is no address"))
}

/// Writes the tree as QEMU's board has it, plus the rate at which QEMU counts; the PL011 as
/// console.
fn write_tree(files: &Files, from: &Path, tree: &Path) -> Result<()> {
    let mut dump = files.firmware.emulator.command();
    let machine = format!("{MACHINE},dumpdtb={}", escape(tree));
    dump.args(["-machine", &machine, "-display", "none", "-dtb"])
        .arg(from)
        .arg("-kernel")
        .arg(&files.bl33);
    command::output(&mut dump)?;
    let tree = Tree(tree);
    tree.text("/chosen", "stdout-path", "serial0:115200n8")?;
    tree.cells("/timer", "clock-frequency", &[QEMU_COUNTER])
}

/// Returns the stub as the GPU's firmware leaves it in memory.
fn patched(mut stub: Vec<u8>, kernel: u32) -> Result<Vec<u8>> {
    for (at, word) in [(STUB_MAGIC, 0), (STUB_DTB, DTB), (STUB_KERNEL, kernel)] {
        let place = stub
            .get_mut(at..at + 4)
            .context("TF-A's bl31.bin is cut short")?;
        place.copy_from_slice(&word.to_le_bytes());
    }
    Ok(stub)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stub_names_the_tree_and_the_kernel() {
        let stub = patched(vec![0xff; 0x200], KERNEL).unwrap();
        assert_eq!(stub[0xf0..0xf4], [0; 4]);
        assert_eq!(stub[0xf8..0xfc], [0, 0, 0, 7]);
        assert_eq!(stub[0xfc..0x100], [0, 0, 0x20, 0]);
        assert!(patched(vec![0; 0xfe], KERNEL).is_err());
    }
}
