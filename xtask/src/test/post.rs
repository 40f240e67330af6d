// SPDX-License-Identifier: MIT OR Apache-2.0

//! What an image leaves in memory, as a debugger or a boot loader finds it there: its post code
//! (boot/src/stage.rs), and the tables that it began with.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};

use super::case::{Case, Front};
use crate::firmware::BL33;
use crate::image::Profile;
use crate::session::RunDir;

/// Where RAM begins, with the device tree.
const RAM: u64 = 0x4000_0000;
/// From the image's start to the post code.
const OFFSET: usize = 0x1f_f000;
/// The post code's upper half, "teev".
const MAGIC: u64 = 0x7465_6576 << 32;
const NOP: u32 = 0xd503_201f;
/// The stage at which the early tables are built.
const TABLES: u64 = 5;
/// Bytes of a block of theirs.
const BLOCK: u64 = 2 << 20;
/// A block of normal memory for EL2: AF, inner shareable, AP[1].
const IMAGE_BLOCK: u64 = 0x741;
/// The same, read-only and never executed.
const TREE_BLOCK: u64 = 1 << 54 | 0x7c1;
/// Where the poisoned image has the second block of the device tree.
const SPLIT_TREE: u64 = 0x8000_0000;

/// Fails unless RAM, the file `ram`, says that the image has come as far as the case wants, and has
/// begun with tables of what it needs.
pub fn check(case: &Case, ram: &Path) -> Result<()> {
    let Some(stage) = case.stage else {
        return Ok(());
    };
    let image = BL33 + size(case.front);
    let mut memory = vec![0; BLOCK as usize];
    File::open(ram)?.read_exact_at(&mut memory, image - RAM)?;
    let words: Vec<u64> = memory
        .as_chunks()
        .0
        .iter()
        .map(|word| u64::from_le_bytes(*word))
        .collect();
    let word = words[OFFSET / 8];
    ensure!(
        word == MAGIC | stage,
        "the post code is {word:#x}, not of stage {stage}"
    );
    match stage < TABLES {
        true => Ok(()),
        false => early_tables(&words, case.profile == Profile::Poisoned),
    }
}

/// Fails unless the early tables among the image's words map its own block, and the one or two that the
/// device tree lies in: a core may read ahead in each other.
fn early_tables(words: &[u64], is_poisoned: bool) -> Result<()> {
    let image = blocks(words, IMAGE_BLOCK);
    ensure!(image == [BL33], "the image is mapped at {image:#x?}");
    let tree = blocks(words, TREE_BLOCK);
    let wanted: &[u64] = match is_poisoned {
        true => &[SPLIT_TREE - BLOCK, SPLIT_TREE],
        false => &[RAM],
    };
    ensure!(tree == wanted, "the device tree is mapped at {tree:#x?}");
    Ok(())
}

/// Returns the addresses of the blocks with these attributes.
fn blocks(words: &[u64], attributes: u64) -> Vec<u64> {
    let places = words.iter().map(|word| word.wrapping_sub(attributes));
    let mut found: Vec<u64> = places
        .filter(|place| place.is_multiple_of(BLOCK) && (RAM..1 << 39).contains(place))
        .collect();
    found.sort_unstable();
    found
}

/// Returns how far it moves the image.
fn size(front: Front) -> u64 {
    match front {
        Front::None => 0,
        Front::Misplaces => 0x1000,
        Front::LosesTree => BLOCK,
    }
}

/// Puts it in front of the image.
pub fn behind(front: Front, image: &Path, dir: &RunDir) -> Result<PathBuf> {
    let size = size(front);
    // MOVZ x0, #0xb00, LSL #16: nothing is there on the virt machine.
    let first = match front {
        Front::None => return Ok(image.to_owned()),
        Front::Misplaces => NOP,
        Front::LosesTree => 0xd2a1_6000,
    };
    let branch = 0x1400_0000 | (size as u32 / 4 - 1);
    let mut moved = [first, branch].map(u32::to_le_bytes).concat();
    moved.resize(size as usize, 0);
    moved.extend(fs::read(image)?);
    let path = dir.file("moved");
    fs::write(&path, moved)?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_found_among_words() {
        let words = [
            SPLIT_TREE | TREE_BLOCK,
            0,
            IMAGE_BLOCK,
            BL33 | IMAGE_BLOCK,
            1 << 54 | SPLIT_TREE | IMAGE_BLOCK,
            RAM | TREE_BLOCK,
            BL33 | 0x743,
        ];
        assert_eq!(blocks(&words, IMAGE_BLOCK), [BL33]);
        assert_eq!(blocks(&words, TREE_BLOCK), [RAM, SPLIT_TREE]);
    }

    #[test]
    fn a_block_too_many_is_noticed() {
        let words = [BL33 | IMAGE_BLOCK, RAM | TREE_BLOCK];
        assert!(early_tables(&words, false).is_ok());
        assert!(early_tables(&words, true).is_err());
        let more = [words[0], words[1], (RAM + BLOCK) | TREE_BLOCK];
        assert!(early_tables(&more, false).is_err());
    }
}
