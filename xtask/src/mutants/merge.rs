// SPDX-License-Identifier: MIT OR Apache-2.0

//! Fewer programs to link: building the tests takes most of the time that a change takes, and each
//! file in `tests` is a program.
//!
//! In the copy that is changed, the files of a package are modules of one program. The long ones
//! come in another, behind it, so that what the short ones notice doesn't wait for them.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use toml::{Table, Value};

/// Files whose tests play thousands of inputs.
const LONG: [&str; 5] = ["fuzz_smoke", "hostile", "ideal", "interleavings", "random"];
/// What can't share a program with others.
const ALONE: &str = "#[global_allocator]";
const TESTS: &str = "tests";
const MANIFEST: &str = "Cargo.toml";

/// Joins the tests of the package in `folder`, if it has any besides its units.
pub fn merge(folder: &Path) -> Result<()> {
    let (alone, joined) = files(folder)?;
    if alone.len() + joined.len() < 2 {
        return Ok(());
    }
    let (long, short) = joined
        .into_iter()
        .partition(|name| LONG.contains(&name.as_str()));
    let programs = [
        program(folder, "a_short", short)?,
        program(folder, "z_long", long)?,
    ];
    let names = alone.iter().map(String::as_str);
    let names: Vec<_> = names.chain(programs.into_iter().flatten()).collect();
    let manifest = folder.join(MANIFEST);
    let text = with_tests(&fs::read_to_string(&manifest)?, &names);
    fs::write(&manifest, text.context(MANIFEST)?)?;
    Ok(())
}

/// The names of the files of tests, in order: first those that stay what they are.
fn files(folder: &Path) -> Result<(Vec<String>, Vec<String>)> {
    let (mut alone, mut joined) = (Vec::new(), Vec::new());
    let tests = folder.join(TESTS);
    let entries = tests.is_dir().then(|| fs::read_dir(&tests)).transpose()?;
    for entry in entries.into_iter().flatten() {
        let path = entry?.path();
        let Some(name) = path.file_stem().filter(|_| path.is_file()) else {
            continue;
        };
        let list = match fs::read_to_string(&path)?.contains(ALONE) {
            true => &mut alone,
            false => &mut joined,
        };
        list.push(name.to_string_lossy().into_owned());
    }
    alone.sort();
    joined.sort();
    Ok((alone, joined))
}

/// Writes the program that joins files; `None` if there are none.
fn program(folder: &Path, name: &'static str, files: Vec<String>) -> Result<Option<&'static str>> {
    if files.is_empty() {
        return Ok(None);
    }
    let modules = files
        .iter()
        .map(|file| format!("#[path = \"{file}.rs\"]\nmod {file};\n"));
    let text = format!("//! Joined.\n{}", modules.collect::<String>());
    fs::write(folder.join(TESTS).join(format!("{name}.rs")), text)?;
    Ok(Some(name))
}

/// A package's manifest with these tests alone.
fn with_tests(manifest: &str, names: &[&str]) -> Result<String> {
    let mut table: Table = manifest.parse()?;
    let package = table.get_mut("package").and_then(Value::as_table_mut);
    package
        .context("no package")?
        .insert("autotests".to_owned(), false.into());
    let tests = names.iter().map(|&name| {
        let path = format!("{TESTS}/{name}.rs");
        Value::Table(
            [
                ("name".to_owned(), name.into()),
                ("path".to_owned(), path.into()),
            ]
            .into_iter()
            .collect(),
        )
    });
    table.insert("test".to_owned(), Value::Array(tests.collect()));
    Ok(table.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache;

    #[test]
    fn files_of_tests_become_modules_of_two_programs() {
        let folder = std::env::temp_dir().join(format!("xtask-merge-{}", std::process::id()));
        fs::create_dir_all(folder.join("tests/common")).unwrap();
        let write = |name: &str, text: &str| fs::write(folder.join(name), text).unwrap();
        write(MANIFEST, "[package]\nname = 'a'\n");
        write("tests/one.rs", "");
        write("tests/random.rs", "");
        write("tests/heap.rs", ALONE);
        merge(&folder).unwrap();
        let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
        let manifest: Table = read(MANIFEST).parse().unwrap();
        let tests = manifest["test"].as_array().unwrap();
        let names: Vec<_> = tests.iter().map(|test| test["name"].as_str()).collect();
        assert_eq!(names, [Some("heap"), Some("a_short"), Some("z_long")]);
        assert_eq!(manifest["package"]["autotests"].as_bool(), Some(false));
        assert!(read("tests/a_short.rs").ends_with("#[path = \"one.rs\"]\nmod one;\n"));
        assert!(read("tests/z_long.rs").contains("mod random;"));
        cache::remove(&folder).unwrap();
    }

    #[test]
    fn a_package_of_units_alone_stays_as_it_is() {
        let nowhere = std::env::temp_dir().join("xtask-merge-nowhere");
        assert!(merge(&nowhere).is_ok() && !nowhere.exists());
    }
}
