// SPDX-License-Identifier: MIT OR Apache-2.0

//! The line at the start of each source that names its licenses.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::command;

/// Folders whose sources must have it.
const FOLDERS: [&str; 8] = [
    "board", "boot", "crates", "fuzz", "kernel", "mediator", "qemu", "xtask",
];
/// Sources by the ends of their names.
const SOURCES: [&str; 4] = ["*.rs", "*.s", "*.c", "*.ld"];
const LINE: &str = "SPDX-License-Identifier: MIT OR Apache-2.0";

/// Looks for the line in the sources of the listed folders.
pub fn check(root: &Path) -> Result<String> {
    let mut git = Command::new("git");
    git.args(["ls-files", "--"]).args(pathspecs(&FOLDERS));
    let files = command::output(git.current_dir(root))?;
    let mut without = Vec::new();
    for file in files.lines() {
        let text = fs::read_to_string(root.join(file)).with_context(|| file.to_owned())?;
        if !has_line(&text) {
            without.push(file);
        }
    }
    ensure!(
        without.is_empty(),
        "begin these with a comment `{LINE}`: {}",
        without.join(", ")
    );
    Ok(format!("{} files", files.lines().count()))
}

/// Returns what git calls the sources below folders.
fn pathspecs(folders: &[&str]) -> Vec<String> {
    let of = |folder: &&str| SOURCES.map(|source| format!(":(glob){folder}/**/{source}"));
    folders.iter().flat_map(of).collect()
}

fn has_line(text: &str) -> bool {
    let first = text.lines().next().unwrap_or_default();
    let comment = first.trim_start_matches(['/', '*', '#', ' ']);
    comment.trim_end_matches(['/', '*', ' ']) == LINE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_line_names_the_licences() {
        for comment in [format!("// {LINE}\n"), format!("/* {LINE} */\n\nx")] {
            assert!(has_line(&comment), "{comment}");
        }
        for other in ["", "//! Module.\n", "// SPDX-License-Identifier: MIT\n"] {
            assert!(!has_line(other), "{other}");
        }
        assert!(!has_line(&format!("\n// {LINE}\n")));
    }

    #[test]
    fn sources_of_a_folder_are_named_to_git() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut git = Command::new("git");
        git.args(["ls-files", "--"]).args(pathspecs(&["src"]));
        let files = command::output(git.current_dir(root)).unwrap();
        assert!(files.contains("src/headers.rs") || files.contains("src/main.rs"));
        assert!(files.contains("src/boards/virt.rs"));
    }
}
