// SPDX-License-Identifier: MIT OR Apache-2.0

//! Programs of this machine that the workflow needs, and their Debian packages: installed by
//! itself as root, else named in the one line that installs them.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, bail};

use crate::cache::Cache;
use crate::{command, ui};

/// A program, or a file by its whole path → its package.
const TOOLS: [(&str, &str); 14] = [
    ("aarch64-linux-gnu-gcc", "gcc-aarch64-linux-gnu"),
    ("aarch64-linux-gnu-objcopy", "binutils-aarch64-linux-gnu"),
    // The compiler only recommends the C library that it compiles programs for.
    (
        "/usr/aarch64-linux-gnu/include/stdio.h",
        "libc6-dev-arm64-cross",
    ),
    ("c++", "g++"),
    ("dpkg-source", "dpkg-dev"),
    ("dtc", "device-tree-compiler"),
    ("fdtput", "device-tree-compiler"),
    ("git", "git"),
    ("make", "make"),
    ("patch", "patch"),
    ("qemu-system-aarch64", "qemu-system-arm"),
    ("setpriv", "util-linux"),
    ("stty", "coreutils"),
    ("xz", "xz-utils"),
];

/// Makes sure that every tool is there that most tasks need.
pub fn ensure_tools(cache: &Cache) -> Result<()> {
    ensure(cache, &TOOLS)
}

/// Makes sure that programs are there, each named with its package.
pub fn ensure(cache: &Cache, tools: &[(&str, &'static str)]) -> Result<()> {
    let missing = tools.iter().filter(|(program, _)| find(program).is_none());
    let mut packages: Vec<&str> = missing.map(|(_, package)| *package).collect();
    packages.dedup();
    install(cache, &packages)
}

/// Tells where a program is, by PATH, or a file by its whole path.
pub fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    // A whole path stays what it is when it is joined.
    let candidates = std::env::split_paths(&path).map(|dir| dir.join(program));
    candidates.into_iter().find(|candidate| candidate.is_file())
}

/// Installs Debian packages on this machine.
pub fn install(cache: &Cache, packages: &[&str]) -> Result<()> {
    if packages.is_empty() {
        return Ok(());
    }
    let line = format!(
        "apt-get install --no-install-recommends {}",
        packages.join(" ")
    );
    if !is_root() || find("apt-get").is_none() {
        bail!("this machine lacks some programs; install them with: {line}");
    }
    let log = cache.log("host-packages");
    ui::step(&format!("installing {}", packages.join(" ")), |bar| {
        let run = |args: &[&str]| {
            let mut apt = Command::new("apt-get");
            apt.args(["-y", "-o", "DPkg::Lock::Timeout=300"]).args(args);
            apt.env("DEBIAN_FRONTEND", "noninteractive");
            command::logged(&mut apt, "host packages", &log, bar)
        };
        let mut install = vec!["install", "--no-install-recommends"];
        install.extend(packages);
        // The lists of a fresh machine are empty or name versions that are gone.
        run(&install).or_else(|_| run(&["update"]).and_then(|()| run(&install)))
    })
}

/// Tells whether apt-get can install packages as it is.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Returns the version that apt would install of a package, if it knows one.
pub fn candidate(package: &str) -> Option<String> {
    let mut policy = Command::new("apt-cache");
    policy.args(["policy", package]).env("LC_ALL", "C");
    let text = command::output(&mut policy).ok()?;
    let line = text
        .lines()
        .find_map(|l| l.trim().strip_prefix("Candidate: "))?;
    (line != "(none)").then(|| line.to_owned())
}

/// Refreshes the machine's package lists.
pub fn update(cache: &Cache) -> Result<()> {
    ui::step("apt-get update", |bar| {
        let mut apt = Command::new("apt-get");
        apt.args(["-o", "DPkg::Lock::Timeout=300", "update"]);
        command::logged(&mut apt, "apt-get update", &cache.log("host-packages"), bar)
    })
}
