// SPDX-License-Identifier: MIT OR Apache-2.0

//! A few dozen boards, one of each kind, and what becomes of each: a part of `cargo xtask test`.
//!
//! The trees come with the stable release's kernel, and are not stored here.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::{judge_file, loader, table};
use crate::boards::kernel_trees;
use crate::cache::{self, Cache};

/// A line for each: as [`table::line`] has it.
const SAMPLE: &str = include_str!("sample.txt");

/// Judges each, and compares.
pub fn check() -> Result<String> {
    let cache = Cache::open()?;
    let trees = kernel_trees::ensure(&cache)?;
    drop(cache);
    let folder = cache::workspace().join("target/trees");
    fs::create_dir_all(&folder)?;
    let lines = || SAMPLE.lines().filter(|line| !line.starts_with('#'));
    let found = lines().map(|line| judge_one(line, &trees, &folder));
    let found = found.collect::<Result<Vec<_>>>()?;
    let pairs = lines()
        .zip(&found)
        .filter(|(wanted, found)| wanted != found);
    let other: Vec<String> = pairs
        .map(|(wanted, found)| format!("-{wanted}\n+{found}"))
        .collect();
    ensure!(other.is_empty(), "not as expected:\n{}", other.join("\n"));
    Ok(format!("{} boards as expected", found.len()))
}

/// Judges the board that a line begins with.
fn judge_one(line: &str, trees: &Path, folder: &Path) -> Result<String> {
    let name = line.split(':').next().unwrap_or_default();
    let copy = folder.join(name.replace('/', "+") + ".dtb");
    let tree = trees.join(name.to_owned() + ".dtb");
    fs::copy(&tree, &copy).with_context(|| format!("{}", tree.display()))?;
    loader::load(&copy)?;
    Ok(table::line(&judge_file(&copy)?))
}
