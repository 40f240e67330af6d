// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a board boots from, as a folder of files and as the image of a card or disk with one FAT
//! partition.

use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::cache::{self, Cache};
use crate::{command, host, qemu};

/// The hypervisor on a card.
pub const IMAGE: &str = "teevisor.bin";
/// The bundle on a card.
pub const BUNDLE: &str = "bundle";
/// U-Boot's script, compiled.
const SCRIPT: &str = "boot.scr";

/// Program → package, of what only this needs.
const TOOLS: [(&str, &str); 3] = [
    ("mformat", "mtools"),
    ("mcopy", "mtools"),
    ("mkimage", "u-boot-tools"),
];

const SECTOR: u64 = 512;
/// Where the partition starts, in sectors: at 1 MiB, as partitioning programs have it.
const START: u64 = 2048;
/// Bytes of the smallest partition: FAT32 has at least 65,525 clusters.
const LEAST: u64 = 64 << 20;
/// Bytes left free for what the user adds.
const SPARE: u64 = 16 << 20;

/// A file of a card.
pub enum Content {
    /// As it is.
    Copy(PathBuf),
    /// Text that is made for the card.
    Text(String),
    /// U-Boot's script, to be compiled.
    Script(String),
}

/// The files of a card by their names.
pub type Files = Vec<(&'static str, Content)>;

/// Makes sure that the programs for making cards are there.
pub fn ensure_tools(cache: &Cache) -> Result<()> {
    host::ensure(cache, &TOOLS)
}

/// Makes a card with the board's own files and what a machine starts from, written beside `tree`.
pub fn with(own: Files, files: &qemu::Files, tree: &Path) -> Result<PathBuf> {
    let folder = tree.with_file_name("card");
    fs::create_dir_all(&folder)?;
    lay_out(own, &files.bl33, &folder)?;
    if let Some(bundle) = &files.initrd {
        fs::copy(bundle, folder.join(BUNDLE))?;
    }
    let card = folder.with_extension("img");
    write(&folder, &card)?;
    cache::remove(&folder)?;
    Ok(card)
}

/// Returns a file of a card, copied to beside the card.
pub fn read(card: &Path, name: &str) -> Result<PathBuf> {
    let to = card.with_file_name(name);
    let mut copy = mtool("mcopy", &partition(card));
    command::output(copy.args(["-n", "-o"]).arg(format!("::{name}")).arg(&to))?;
    Ok(to)
}

/// Puts everything but the bundle into the card's folder.
pub fn lay_out(own: Files, image: &Path, folder: &Path) -> Result<()> {
    fs::copy(image, folder.join(IMAGE))?;
    for (name, content) in own {
        let to = folder.join(name);
        match content {
            Content::Copy(from) => fs::copy(&from, &to).map(|_| ()),
            Content::Text(text) => fs::write(&to, text),
            Content::Script(text) => {
                fs::write(&to, text)?;
                compile(&to, &folder.join(SCRIPT))?;
                Ok(())
            }
        }
        .with_context(|| format!("{}", to.display()))?;
    }
    Ok(())
}

/// Writes U-Boot's commands that load the image and the bundle and start them with the device tree
/// at `tree`, after `first`.
pub fn script(tree: &str, first: &str) -> String {
    let load = "load ${devtype} ${devnum}:${distro_bootpart}";
    format!(
        "{first}{load} ${{kernel_addr_r}} {IMAGE}\n\
         {load} ${{ramdisk_addr_r}} {BUNDLE}\n\
         # The bundle stays where it is: it need not be copied.\n\
         setenv initrd_high 0xffffffffffffffff\n\
         booti ${{kernel_addr_r}} ${{ramdisk_addr_r}}:${{filesize}} {tree}\n"
    )
}

/// Wraps U-Boot's commands as `source` takes them.
fn compile(text: &Path, script: &Path) -> Result<()> {
    let mut mkimage = Command::new("mkimage");
    mkimage.args([
        "-A", "arm64", "-T", "script", "-C", "none", "-n", "teevisor",
    ]);
    mkimage.arg("-d").arg(text).arg(script);
    command::output(&mut mkimage).map(|_| ())
}

/// Writes the image of a card whose only partition holds the folder's files.
pub fn write(folder: &Path, card: &Path) -> Result<()> {
    let mut files = Vec::new();
    let mut bytes = SPARE;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        bytes += entry.metadata()?.len();
        files.push(entry.path());
    }
    files.sort();
    let sectors = bytes.max(LEAST).next_multiple_of(1 << 20) / SECTOR;
    let mut file = File::create(card).with_context(|| format!("{}", card.display()))?;
    file.set_len((START + sectors) * SECTOR)?;
    file.seek(SeekFrom::Start(0))?;
    file.write_all(&partition_table(sectors as u32))?;
    drop(file);
    let partition = partition(card);
    let mut format = mtool("mformat", &partition);
    format.args(["-F", "-v", "TEEVISOR", "-h", "255", "-s", "63"]);
    format.args(["-T", &sectors.to_string(), "-H", &START.to_string(), "::"]);
    command::output(&mut format)?;
    let mut copy = mtool("mcopy", &partition);
    command::output(copy.args(&files).arg("::")).map(|_| ())
}

/// Returns the card's partition, as mtools name it.
fn partition(card: &Path) -> String {
    format!("{}@@{}", card.display(), START * SECTOR)
}

fn mtool(program: &str, partition: &str) -> Command {
    let mut tool = Command::new(program);
    tool.args(["-i", partition]);
    tool
}

/// Makes a master boot record with one bootable FAT32 partition of so many sectors.
fn partition_table(sectors: u32) -> [u8; 512] {
    const BOOTABLE: u8 = 0x80;
    const FAT32_BY_SECTOR: u8 = 0x0c;
    /// Cylinder, head and sector: too large to say.
    const BEYOND: [u8; 3] = [0xfe, 0xff, 0xff];
    let mut record = [0; 512];
    let entry = &mut record[446..462];
    entry[0] = BOOTABLE;
    entry[1..4].copy_from_slice(&BEYOND);
    entry[4] = FAT32_BY_SECTOR;
    entry[5..8].copy_from_slice(&BEYOND);
    entry[8..12].copy_from_slice(&(START as u32).to_le_bytes());
    entry[12..16].copy_from_slice(&sectors.to_le_bytes());
    record[510..].copy_from_slice(&[0x55, 0xaa]);
    record
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partition_table_names_one_partition_and_is_signed() {
        let record = partition_table(0x20000);
        assert_eq!(record[446], 0x80);
        assert_eq!(record[450], 0x0c);
        assert_eq!(record[454..462], [0, 8, 0, 0, 0, 0, 2, 0]);
        assert_eq!(record[462..510], [0; 48]);
        assert_eq!(record[510..], [0x55, 0xaa]);
    }
}
