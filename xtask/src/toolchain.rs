// SPDX-License-Identifier: MIT OR Apache-2.0

//! The Rust compiler for the EL2 target. Whichever of these is there first:
//! the active toolchain with the target's standard library (`rustup target add`), or Debian's
//! compiler, which has the library's source and builds `core` from it.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

use crate::cache::Cache;
use crate::{command, host, ui};

/// Soft-float: the compiler never touches the guests' FP/SIMD registers.
pub const TARGET: &str = "aarch64-unknown-none-softfloat";
/// The workspace's `rust-version`.
const MINIMUM: (u32, u32) = (1, 95);

/// Debian's packages: (the one whose version counts, all of them). bookworm's security archive
/// has the -web ones, newer releases have it in the plain ones. The linker, rust-lld, is in
/// those named llvm.
const DEBIAN: [(&str, &[&str]); 2] = [
    (
        "rustc",
        &[
            "rustc",
            "cargo",
            "rust-src",
            "rust-clippy",
            "rustfmt",
            "rust-llvm",
        ],
    ),
    (
        "rustc-web",
        &[
            "rustc-web",
            "cargo-web",
            "rust-web-src",
            "rust-web-clippy",
            "rustfmt-web",
            "rust-web-llvm",
        ],
    ),
];

/// How to build for the target.
pub enum Toolchain {
    /// The active toolchain has the target.
    Active,
    /// The compiler under this prefix builds `core` from its own source.
    BuildStd(PathBuf),
}

impl Toolchain {
    /// Finds one, or installs Debian's when run as root.
    pub fn ensure(cache: &Cache) -> Result<Self> {
        if let Some(found) = Self::find() {
            return Ok(found);
        }
        if host::is_root() && host::find("apt-get").is_some() {
            install_debian(cache)?;
            if let Some(found) = Self::find() {
                return Ok(found);
            }
        }
        bail!(
            "no Rust compiler and linker for {TARGET}: `rustup target add {TARGET}`, or on \
             Debian 12 `apt-get install {} lld-22`",
            DEBIAN[1].1.join(" ")
        )
    }

    fn find() -> Option<Self> {
        if sysroot("rustc").is_some_and(|root| has_target(&root)) {
            return Some(Self::Active);
        }
        let prefix = Path::new("/usr");
        let rustc = prefix.join("bin/rustc");
        let root = sysroot(&rustc.to_string_lossy())?;
        let programs = ["cargo", "cargo-clippy", "rust-lld"].map(|p| prefix.join("bin").join(p));
        let complete = has_source(&root) && programs.iter().all(|program| program.exists());
        let new_enough = version(&rustc)? >= MINIMUM;
        (complete && new_enough).then(|| Self::BuildStd(prefix.to_owned()))
    }

    /// Returns `cargo SUBCOMMAND` for the EL2 target, with what selects and builds it.
    pub fn cargo(&self, subcommand: &str) -> Command {
        let mut command = match self {
            Self::Active => {
                let mut cargo = Command::new(host_cargo());
                cargo.arg(subcommand);
                cargo
            }
            Self::BuildStd(prefix) => build_std(&prefix.join("bin"), subcommand),
        };
        command.args(["--target", TARGET]);
        command
    }

    /// Returns one line for the log.
    pub fn describe(&self) -> String {
        let rustc = match self {
            Self::Active => PathBuf::from("rustc"),
            Self::BuildStd(prefix) => prefix.join("bin/rustc"),
        };
        let version = command::output(Command::new(&rustc).arg("--version"));
        format!("{} for {TARGET}", version.unwrap_or_default().trim())
    }
}

/// Returns the cargo that runs this program.
pub fn host_cargo() -> PathBuf {
    std::env::var_os("CARGO").map_or_else(|| "cargo".into(), PathBuf::from)
}

fn build_std(bin: &Path, subcommand: &str) -> Command {
    // cargo looks for subcommands in rustup's folder first, whose clippy is another version:
    // so Debian's is run by its own name.
    let mut command = match subcommand {
        "clippy" => Command::new(bin.join("cargo-clippy")),
        _ => Command::new(bin.join("cargo")),
    };
    command
        .arg(subcommand)
        .args(["-Zbuild-std=core,alloc,compiler_builtins"])
        .args(["-Zbuild-std-features=compiler-builtins-mem"])
        // What a later compiler will say of this one's own library is not for us.
        .args(["--config", "future-incompat-report.frequency=\"never\""])
        .env("RUSTC_BOOTSTRAP", "1")
        .env("RUSTC", bin.join("rustc"))
        .env("CARGO", bin.join("cargo"))
        .env_remove("RUSTUP_TOOLCHAIN");
    command
}

fn sysroot(rustc: &str) -> Option<PathBuf> {
    let text = command::output(Command::new(rustc).args(["--print", "sysroot"])).ok()?;
    Some(PathBuf::from(text.trim()))
}

fn has_target(sysroot: &Path) -> bool {
    sysroot
        .join("lib/rustlib")
        .join(TARGET)
        .join("lib")
        .is_dir()
}

fn has_source(sysroot: &Path) -> bool {
    sysroot
        .join("lib/rustlib/src/rust/library/core/Cargo.toml")
        .exists()
}

fn version(rustc: &Path) -> Option<(u32, u32)> {
    parse_version(&command::output(Command::new(rustc).arg("--version")).ok()?)
}

/// Reads `rustc 1.96.0 (…)` or a Debian version `1.96.0+dfsg1-1` → (1, 96).
fn parse_version(text: &str) -> Option<(u32, u32)> {
    let word = text
        .split_whitespace()
        .find(|w| w.starts_with(|c: char| c.is_ascii_digit()))?;
    let mut numbers = word.split('.');
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

fn install_debian(cache: &Cache) -> Result<()> {
    let choose = || {
        let new_enough = |(name, _): &&(&str, &[&str])| {
            host::candidate(name).and_then(|v| parse_version(&v)) >= Some(MINIMUM)
        };
        DEBIAN.iter().find(new_enough)
    };
    if choose().is_none() {
        host::update(cache)?;
    }
    if let Some((_, packages)) = choose() {
        host::install(cache, packages)?;
        install_linker(cache)?;
    } else {
        ui::note("this Debian has no Rust compiler that is new enough");
    }
    Ok(())
}

/// Installs the linker: Debian's rust-lld is a link to a versioned lld, in a package of that name
/// that nothing depends on.
fn install_linker(cache: &Cache) -> Result<()> {
    let link = Path::new("/usr/bin/rust-lld");
    let Ok(target) = link.read_link() else {
        return Ok(());
    };
    match target.file_name().and_then(|name| name.to_str()) {
        Some(package) if !link.exists() => host::install(cache, &[package]),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_rustc_and_of_debian() {
        assert_eq!(
            parse_version("rustc 1.96.0 (ac68faa20 2026-05-25)"),
            Some((1, 96))
        );
        assert_eq!(parse_version("1.95.1+dfsg1-1~deb12u2"), Some((1, 95)));
        assert_eq!(parse_version("(none)"), None);
        assert!(parse_version("1.100.0") > Some(MINIMUM));
    }
}
