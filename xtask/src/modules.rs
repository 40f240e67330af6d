// SPDX-License-Identifier: MIT OR Apache-2.0

//! The arrows between the modules of one crate: no large circles, and layers that import from few
//! others only.

mod circles;
mod imports;
mod sources;

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};

use sources::{Crate, Graph};

/// Most files in a circle of imports of a crate.
const MOST: usize = 3;

/// Folder, module at its crate's root, and the modules that this one may import from.
const LAYERS: [(&str, &str, &[&str]); 8] = [
    ("kernel", "arch", &[]),
    ("kernel", "console", &["arch"]),
    ("kernel", "heap", &[]),
    ("kernel", "iommu", &["arch"]),
    ("kernel", "irq", &["arch"]),
    ("kernel", "memory", &["arch"]),
    ("kernel", "tee", &["arch", "memory", "trace"]),
    ("kernel", "trace", &["arch"]),
];

/// Judges the circles of the crates in these folders of `workspace`, and names the largest of each.
/// A small crate without any is left out.
pub fn check(workspace: &Path, folders: &[PathBuf]) -> Result<String> {
    let mut within = Vec::new();
    let mut beyond = Vec::new();
    let mut upward = Vec::new();
    for folder in folders {
        let sources = workspace.join(folder).join("src");
        let graph = Crate::read(&sources)?.graph(&sources);
        let circle = circles::largest(&graph);
        upward.extend(arrows_up(folder, &graph));
        let line = describe(folder, &circle);
        if circle.len() > MOST {
            beyond.push(line);
        } else if !circle.is_empty() || !folder.starts_with("crates") {
            within.push(line);
        }
    }
    ensure!(
        beyond.is_empty(),
        "more files import from each other in a circle than may: {}",
        beyond.join(", ")
    );
    ensure!(
        upward.is_empty(),
        "not in the design: {}",
        upward.join(", ")
    );
    Ok(format!("largest circles of files: {}", within.join(", ")))
}

/// The arrows of a crate from a module of [`LAYERS`] to one that is not below it.
fn arrows_up(folder: &Path, graph: &Graph) -> Vec<String> {
    let mut found = Vec::new();
    for (_, module, below) in LAYERS.iter().filter(|(of, ..)| folder == Path::new(of)) {
        let own = graph.iter().filter(|(file, _)| top(file) == *module);
        for (file, target) in own.flat_map(|(file, to)| to.iter().map(move |to| (file, to))) {
            let to = top(target);
            if to != *module && !below.contains(&to.as_str()) {
                let (from, to) = (file.display(), target.display());
                found.push(format!("{}: {from} → {to}", folder.display()));
            }
        }
    }
    found
}

/// The module at the crate's root that a file belongs to.
fn top(file: &Path) -> String {
    let first = file.components().next();
    let first = first.map(|first| Path::new(first.as_os_str()).with_extension(""));
    first.unwrap_or_default().display().to_string()
}

fn describe(folder: &Path, circle: &[PathBuf]) -> String {
    let files: Vec<_> = circle
        .iter()
        .map(|file| file.display().to_string())
        .collect();
    let count = format!("{} {} of {MOST}", folder.display(), files.len());
    match files.is_empty() {
        true => count,
        false => format!("{count} ({})", files.join(" ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn lower_layers_import_from_no_higher_one() {
        let files = |names: &[&str]| names.iter().map(PathBuf::from).collect::<BTreeSet<_>>();
        let graph = Graph::from([
            (
                "console/mod.rs".into(),
                files(&["arch/mmio.rs", "console/uart.rs"]),
            ),
            (
                "console/uart.rs".into(),
                files(&["arch/mmio.rs", "vm/mod.rs"]),
            ),
            ("monitor.rs".into(), files(&["vm/mod.rs"])),
        ]);
        let found = arrows_up(Path::new("kernel"), &graph);
        assert_eq!(found, ["kernel: console/uart.rs → vm/mod.rs"]);
        assert!(arrows_up(Path::new("xtask"), &graph).is_empty());
    }

    #[test]
    fn circle_names_its_files() {
        let files = ["a.rs", "b.rs"].map(PathBuf::from);
        let kernel = describe(Path::new("kernel"), &files);
        assert_eq!(kernel, "kernel 2 of 3 (a.rs b.rs)");
        assert_eq!(describe(Path::new("xtask"), &[]), "xtask 0 of 3");
    }
}
