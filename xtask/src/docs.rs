// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the pages of documentation name: files of the repository, and each other's headings.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::command;

/// Folders with whose names a path in code font begins.
const FOLDERS: [&str; 10] = [
    ".ci/",
    "board/",
    "boot/",
    "crates/",
    "docs/",
    "fuzz/",
    "kernel/",
    "mediator/",
    "qemu/",
    "xtask/",
];
/// What stands for a name that the reader chooses.
const PLACEHOLDERS: [&str; 2] = ["NAME", "*"];

/// Looks up everything that the pages below `root` name.
pub fn check(root: &Path) -> Result<String> {
    let mut git = Command::new("git");
    let pages = command::output(git.args(["ls-files", "*.md"]).current_dir(root))?;
    let mut names = 0;
    let mut faults = Vec::new();
    for page in pages.lines() {
        let text = read(&root.join(page))?;
        let folder = root.join(page).parent().unwrap_or(root).to_owned();
        let links = links(&text);
        let paths = paths(&text);
        names += links.len() + paths.len();
        let links = links
            .iter()
            .filter(|link| !leads(&root.join(page), &folder, link));
        let paths = paths.iter().filter(|path| !root.join(path).exists());
        faults.extend(links.chain(paths).map(|name| format!("{page}: {name}")));
    }
    ensure!(faults.is_empty(), "there is no {}", faults.join(", "));
    Ok(format!("{names} names of files and headings"))
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("{}", path.display()))
}

/// Targets of links within the repository.
fn links(text: &str) -> Vec<&str> {
    let targets = text.split("](").skip(1);
    let targets = targets.filter_map(|rest| Some(rest.split_once(')')?.0));
    targets.filter(|target| !target.contains("://")).collect()
}

/// Paths of the repository in code font.
fn paths(text: &str) -> Vec<&str> {
    let code = text
        .lines()
        .flat_map(|line| line.split('`').skip(1).step_by(2));
    let is_path = |code: &&str| {
        let begins = FOLDERS.iter().any(|folder| code.starts_with(folder));
        let chosen = PLACEHOLDERS.iter().any(|name| code.contains(name));
        begins && !chosen && !code.contains(char::is_whitespace)
    };
    code.filter(is_path).collect()
}

/// Tells whether a link of a page in `folder` leads to a file, and to a heading if it names one.
fn leads(page: &Path, folder: &Path, link: &str) -> bool {
    let (file, heading) = link.split_once('#').unwrap_or((link, ""));
    let file = if file.is_empty() {
        page.to_owned()
    } else {
        folder.join(file)
    };
    let has_heading = || {
        let text = fs::read_to_string(&file).unwrap_or_default();
        text.lines()
            .any(|line| anchor(line).as_deref() == Some(heading))
    };
    file.exists() && (heading.is_empty() || has_heading())
}

/// Returns the name by which forges let links lead to a heading.
fn anchor(line: &str) -> Option<String> {
    let title = line.strip_prefix('#')?.trim_start_matches('#').trim();
    let kept = |c: &char| c.is_alphanumeric() || " -_".contains(*c);
    let kept = title.chars().filter(kept);
    Some(
        kept.flat_map(char::to_lowercase)
            .map(|c| if c == ' ' { '-' } else { c })
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_links_are_found() {
        let text = "See `xtask/src/main.rs`, `cargo xtask test`, `kernel/src/NAME.rs` and\n\
                    [this](a.md#b), [that](https://example.org/c).\n";
        assert_eq!(paths(text), ["xtask/src/main.rs"]);
        assert_eq!(links(text), ["a.md#b"]);
    }

    #[test]
    fn headings_have_their_forges_anchors() {
        assert_eq!(
            anchor("## Another OP-TEE").as_deref(),
            Some("another-op-tee")
        );
        assert_eq!(
            anchor("# What's left, and why").as_deref(),
            Some("whats-left-and-why")
        );
        assert_eq!(anchor("text"), None);
    }

    #[test]
    fn links_lead_to_files_and_headings() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
        let page = folder.join("README.md");
        let leads = |link| leads(&page, &folder, link);
        assert!(leads("boards.md#a-new-board"));
        assert!(leads("#the-teevisor-book"));
        assert!(!leads("boards.md#no-such-heading"));
        assert!(!leads("no-such-page.md"));
    }
}
