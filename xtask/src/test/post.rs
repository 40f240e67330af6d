// SPDX-License-Identifier: MIT OR Apache-2.0

//! The image's post code, as a debugger or a boot loader finds it in memory: boot/src/stage.rs.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};

use super::case::Case;
use crate::firmware::BL33;
use crate::session::RunDir;

/// Where RAM begins.
const RAM: u64 = 0x4000_0000;
/// From the image's start to the post code.
const OFFSET: u64 = 0x1f_f000;
/// The post code's upper half, "teev".
const MAGIC: u64 = 0x7465_6576 << 32;
/// From where the image should be to where a misplaced one is.
const MISPLACED: u64 = 0x1000;

/// Fails unless RAM, the file `ram`, says that the image has come as far as the case wants.
pub fn check(case: &Case, ram: &Path) -> Result<()> {
    let Some(stage) = case.stage else {
        return Ok(());
    };
    let image = BL33 - RAM + if case.misplaced { MISPLACED } else { 0 };
    let mut word = [0; 8];
    File::open(ram)?.read_exact_at(&mut word, image + OFFSET)?;
    let word = u64::from_le_bytes(word);
    ensure!(
        word == MAGIC | stage,
        "the post code is {word:#x}, not of stage {stage}"
    );
    Ok(())
}

/// Moves the image: behind a branch to it.
pub fn misplace(image: &Path, dir: &RunDir) -> Result<PathBuf> {
    let branch = 0x1400_0000 | (MISPLACED as u32 / 4);
    let mut moved = branch.to_le_bytes().to_vec();
    moved.resize(MISPLACED as usize, 0);
    moved.extend(fs::read(image)?);
    let path = dir.file("misplaced");
    fs::write(&path, moved)?;
    Ok(path)
}
