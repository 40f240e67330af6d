// SPDX-License-Identifier: MIT OR Apache-2.0

//! Firmware, guest kernel and user space from Debian for arm64.
//!
//! Everything comes from [`RELEASE`]. OP-TEE may come from another suite, and then with it what
//! must match its version: its TAs, its client library and its tests.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::ValueEnum;

use crate::apt::{self, Apt};
use crate::cache::{self, Cache, Inputs, Work};
use crate::command;

/// A suite of Debian's archive. Versions inside it are replaced, so they are printed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, clap::ValueEnum)]
pub enum Suite {
    /// Debian 13: OP-TEE 4.5
    #[default]
    Trixie,
    /// Debian unstable: OP-TEE 4.10 or newer
    Sid,
}

impl Suite {
    /// Returns the suite's name in the archive.
    pub fn name(self) -> &'static str {
        match self {
            Self::Trixie => "trixie",
            Self::Sid => "sid",
        }
    }

    /// Returns what the names of steps end with that are made from this suite's OP-TEE.
    pub fn suffix(self) -> String {
        match self {
            RELEASE => String::new(),
            other => format!("-{}", other.name()),
        }
    }
}

/// The suite that everything comes from but, by choice, OP-TEE.
pub const RELEASE: Suite = Suite::Trixie;
/// Depends on the newest kernel of its flavour, whose package name holds its version.
const KERNEL: &str = "linux-image-cloud-arm64";
const TFA: &str = "arm-trusted-firmware";

const BINARIES: [&str; 13] = [
    "busybox-static",
    "libc6",
    "libckteec0t64",
    "libgcc-s1",
    "libssl3t64",
    "libteec2",
    "libzstd1",
    "optee-client-dev",
    "optee-os",
    "optee-os-dev",
    "optee-test-qemu",
    "tee-supplicant",
    "zlib1g",
];
/// Those that must match OP-TEE's version: it refuses TAs of another one.
const OPTEE: [&str; 6] = [
    "libckteec0t64",
    "libteec2",
    "optee-os",
    "optee-os-dev",
    "optee-test-qemu",
    "tee-supplicant",
];

/// The fetched packages.
pub struct Packages {
    dir: PathBuf,
    optee: PathBuf,
    suite: Suite,
}

impl Packages {
    /// Fetches them, all of [`RELEASE`], unless they are there. Needs no network when the cache
    /// is complete.
    pub fn ensure(cache: &Cache) -> Result<Self> {
        Self::with_optee(cache, RELEASE)
    }

    /// Fetches the packages with the OP-TEE of a suite.
    pub fn with_optee(cache: &Cache, suite: Suite) -> Result<Self> {
        let apt = |suite: Suite| Apt::arm64(cache, suite.name());
        let inputs = Inputs::default()
            .texts(["1", RELEASE.name(), KERNEL, TFA])
            .texts(BINARIES);
        let dir = cache.step("packages", inputs, |work| fetch_all(&apt(RELEASE), work))?;
        let optee = if suite == RELEASE {
            dir.clone()
        } else {
            let inputs = Inputs::default().texts(["1", suite.name()]).texts(OPTEE);
            cache.step(&optee_step(suite), inputs, |work| {
                let apt = apt(suite);
                apt.prepare(work)?;
                apt.binaries(&OPTEE, work)
            })?
        };
        Ok(Self { dir, optee, suite })
    }

    /// Returns the suite that OP-TEE is from.
    pub fn suite(&self) -> Suite {
        self.suite
    }

    /// Returns a file by its path in the guest's file system: of OP-TEE's packages, if it is
    /// theirs.
    pub fn file(&self, name: &str) -> PathBuf {
        let own = self.optee_root().join(name);
        if own.exists() {
            own
        } else {
            self.root().join(name)
        }
    }

    /// Tells where OP-TEE's packages are unpacked.
    pub fn optee_root(&self) -> PathBuf {
        self.optee.join("root")
    }

    /// Adds what decides the contents of all packages.
    pub fn stamps(&self, inputs: Inputs) -> Result<Inputs> {
        let inputs = inputs.stamp(&self.dir)?;
        if self.optee == self.dir {
            return Ok(inputs);
        }
        inputs.stamp(&self.optee)
    }

    /// Tells where the binary packages of the release are unpacked, as in a root file system.
    pub fn root(&self) -> PathBuf {
        self.dir.join("root")
    }

    /// Returns TF-A's source tree with Debian's patches.
    pub fn tfa(&self) -> PathBuf {
        self.dir.join("tf-a")
    }

    /// Returns the folder, for the digests of what is made from it.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Returns `NAME VERSION` lines of everything fetched.
    pub fn versions(&self) -> Result<String> {
        let mut text = fs::read_to_string(self.dir.join("versions"))?;
        if self.optee != self.dir {
            text += &fs::read_to_string(self.optee.join("versions"))?;
        }
        Ok(text)
    }
}

fn optee_step(suite: Suite) -> String {
    format!("packages{}", suite.suffix())
}

/// Returns the step that fetches OP-TEE's source.
pub fn optee_source_step(suite: Suite) -> String {
    format!("optee-source{}", suite.suffix())
}

/// The step that fetches the device trees of Debian's kernel.
pub const DEVICE_TREES: &str = "device-trees";
/// The step that compiles the device trees of Debian's newest kernel source.
pub const TREES: &str = "trees";
/// The step that fetches U-Boot.
pub const U_BOOT: &str = "u-boot";
/// The step that fetches a newer QEMU than this machine's.
pub const QEMU: &str = "qemu";
/// The step that fetches herd7.
pub const HERD: &str = "herd";

/// Forgets the fetched packages, so that the next use takes the suites' current versions.
pub fn forget(cache: &Cache) -> Result<()> {
    for suite in Suite::value_variants() {
        cache::remove(&cache.path(&optee_step(*suite)))?;
        cache::remove(&cache.path(&optee_source_step(*suite)))?;
    }
    for step in [DEVICE_TREES, TREES, U_BOOT, QEMU, HERD] {
        cache::remove(&cache.path(step))?;
    }
    apt::forget(cache)
}

fn fetch_all(apt: &Apt, work: &Work) -> Result<()> {
    apt.prepare(work)?;
    let kernel = kernel(apt, KERNEL)?;
    apt.source(TFA, "tf-a", work)?;
    let names: Vec<&str> = BINARIES.into_iter().chain([kernel.as_str()]).collect();
    apt.binaries(&names, work)
}

/// Returns the newest kernel package of the flavor that `flavour` depends on.
pub fn kernel(apt: &Apt, flavour: &str) -> Result<String> {
    newest(apt, flavour, "linux-image-")
}

/// Returns the package that the always newest `name` depends on, which begins with `prefix`.
pub fn newest(apt: &Apt, name: &str, prefix: &str) -> Result<String> {
    let mut show = apt.tool("apt-cache");
    show.args(["show", "--no-all-versions", name]);
    let text = command::output(&mut show)?;
    dependency(&text, prefix)
        .with_context(|| format!("{name} depends on no {prefix} package:\n{text}"))
}

/// Returns the first package that begins with `prefix` in the Depends field of a package's record.
fn dependency(record: &str, prefix: &str) -> Option<String> {
    let depends = record
        .lines()
        .find_map(|line| line.strip_prefix("Depends: "))?;
    let names = depends
        .split([',', '|'])
        .filter_map(|d| d.split_whitespace().next());
    names
        .map(str::to_owned)
        .find(|name| name.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernel_is_found_among_the_dependencies() {
        let record = "Package: linux-image-cloud-arm64\nDepends: foo (>= 1), linux-image-6.12.1+deb13-cloud-arm64 (= 6.12.1-1)\n";
        assert_eq!(
            dependency(record, "linux-image-").as_deref(),
            Some("linux-image-6.12.1+deb13-cloud-arm64")
        );
        assert_eq!(
            dependency("Package: x\nDepends: libc6\n", "linux-image-"),
            None
        );
        assert_eq!(dependency("", "linux-image-"), None);
    }
}
