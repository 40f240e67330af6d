// SPDX-License-Identifier: MIT OR Apache-2.0

//! A copy of the sources that can be changed while people work on the others. It stays for the next
//! run, with what was built in it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::{cache, command};

/// What cargo builds in the copy.
const TARGET: &str = "target";

/// Makes `to` the same as the sources below `root`, which are all files that git does not ignore.
pub fn copy(root: &Path, to: &Path) -> Result<PathBuf> {
    let files = sources(root)?;
    for file in &files {
        update(&root.join(file), &to.join(file)).with_context(|| format!("{}", file.display()))?;
    }
    remove_others(to, Path::new(""), &files)?;
    Ok(to.to_owned())
}

fn sources(root: &Path) -> Result<BTreeSet<PathBuf>> {
    let mut git = Command::new("git");
    git.args([
        "ls-files",
        "-z",
        "--cached",
        "--others",
        "--exclude-standard",
    ]);
    let list = command::output(git.current_dir(root))?;
    let files = list.split('\0').filter(|name| !name.is_empty());
    let there = files.filter(|name| root.join(name).is_file());
    Ok(there.map(PathBuf::from).collect())
}

/// Copies a file unless it is the same: cargo builds what is newer.
fn update(from: &Path, to: &Path) -> Result<()> {
    if fs::read(to).is_ok_and(|there| fs::read(from).is_ok_and(|wanted| there == wanted)) {
        return Ok(());
    }
    fs::create_dir_all(to.parent().context("no folder")?)?;
    fs::copy(from, to)?;
    Ok(())
}

fn remove_others(root: &Path, folder: &Path, files: &BTreeSet<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(root.join(folder))? {
        let entry = entry?;
        let name = folder.join(entry.file_name());
        if name == Path::new(TARGET) {
            continue;
        }
        match entry.file_type()?.is_dir() {
            true => remove_others(root, &name, files)?,
            false if files.contains(&name) => {}
            false => cache::remove(&entry.path())?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_has_the_files_of_now_and_keeps_what_is_built() {
        let scratch = std::env::temp_dir().join(format!("xtask-tree-{}", std::process::id()));
        let (root, to) = (scratch.join("root"), scratch.join("copy"));
        fs::create_dir_all(root.join("src")).unwrap();
        command::output(Command::new("git").args(["init", "-q"]).current_dir(&root)).unwrap();
        let write = |name: &str, text: &str| fs::write(root.join(name), text).unwrap();
        write("src/old.rs", "old");
        write("src/lib.rs", "one");
        copy(&root, &to).unwrap();
        fs::create_dir_all(to.join("target")).unwrap();
        fs::write(to.join("target/built"), "built").unwrap();
        fs::remove_file(root.join("src/old.rs")).unwrap();
        write("src/lib.rs", "two");
        copy(&root, &to).unwrap();
        assert!(!to.join("src/old.rs").exists());
        assert_eq!(fs::read_to_string(to.join("src/lib.rs")).unwrap(), "two");
        assert!(to.join("target/built").exists());
        cache::remove(&scratch).unwrap();
    }
}
