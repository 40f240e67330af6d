// SPDX-License-Identifier: MIT OR Apache-2.0

//! Firmware built from Debian's sources: TF-A and OP-TEE.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::apt::Apt;
use crate::cache::{Cache, Inputs, Work};
use crate::packages::{self, Packages};
use crate::{command, host};

/// Debian's own, for whose modules the packages below are; PATH may have another first.
const PYTHON: &str = "/usr/bin/python3";
/// What OP-TEE's build imports, and the packages.
const MODULES: &str = "import cryptography, elftools";
const MODULE_PACKAGES: [&str; 2] = ["python3-cryptography", "python3-pyelftools"];

/// A build of TF-A.
pub struct TfA {
    /// Of its folder in the cache.
    pub name: &'static str,
    /// PLAT.
    pub platform: &'static str,
    /// What else make is given.
    pub options: Vec<String>,
    /// What its environment is given, to which its makefiles add.
    pub environment: &'static [(&'static str, &'static str)],
    /// What is made.
    pub targets: &'static [&'static str],
    /// The files to keep, below the platform's folder of the build.
    pub files: &'static [&'static str],
}

impl TfA {
    /// Makes the folder with the files.
    pub fn ensure(&self, cache: &Cache, packages: &Packages) -> Result<PathBuf> {
        let options = self.options();
        let inputs = Inputs::default()
            .texts(["1", &compiler()?])
            .texts(options.iter().map(String::as_str))
            .texts(texts(self.environment))
            .texts(self.files.iter().copied())
            .stamp(packages.dir())?;
        let name = format!("firmware/tf-a-{}", self.name);
        cache.step(&name, inputs, |work| self.make(packages, &options, work))
    }

    fn options(&self) -> Vec<String> {
        let mut options = vec![
            "CROSS_COMPILE=aarch64-linux-gnu-".into(),
            format!("PLAT={}", self.platform),
            "DEBUG=0".into(),
            // Notices and errors: the console is the guests'.
            "LOG_LEVEL=20".into(),
            // Else the times of the build and this repository's commit go in: the same sources
            // make the same image.
            "BUILD_STRING=debian".into(),
            "BUILD_MESSAGE_TIMESTAMP=\"\"".into(),
        ];
        options.extend(self.options.iter().cloned());
        options
    }

    fn make(&self, packages: &Packages, options: &[String], work: &Work) -> Result<()> {
        let build = work.dir.join("build");
        let mut make = make(&packages.tfa());
        make.arg(format!("BUILD_BASE={}", build.display()));
        make.args(options).args(self.targets);
        make.envs(self.environment.iter().copied());
        command::logged(&mut make, "TF-A", work.log, work.bar)?;
        keep(
            &build.join(self.platform).join("release"),
            self.files,
            work.dir,
        )?;
        Ok(fs::remove_dir_all(build)?)
    }
}

/// A build of OP-TEE for virtualization.
pub struct OpteeBuild {
    /// Of its folder in the cache.
    pub name: &'static str,
    /// PLATFORM.
    pub platform: &'static str,
    /// What else make is given.
    pub options: Vec<String>,
    /// What its environment is given, to which its makefiles add.
    pub environment: &'static [(&'static str, &'static str)],
}

impl OpteeBuild {
    /// What is kept: one image, and the same in the parts that TF-A's BL2 loads.
    const FILES: [&str; 4] = [
        "tee-raw.bin",
        "tee-header_v2.bin",
        "tee-pager_v2.bin",
        "tee-pageable_v2.bin",
    ];

    /// Makes the folder with [`Self::FILES`].
    pub fn ensure(&self, cache: &Cache, packages: &Packages) -> Result<PathBuf> {
        let suite = packages.suite();
        let source = cache.step(
            &packages::optee_source_step(suite),
            Inputs::default().texts(["1", suite.name()]),
            |work| {
                let apt = Apt::arm64(cache, suite.name());
                apt.prepare(work)?;
                apt.source("optee-os", "optee-os", work)
            },
        )?;
        let inputs = Inputs::default()
            .texts(["1", &compiler()?, self.platform])
            .texts(self.options.iter().map(String::as_str))
            .texts(texts(self.environment))
            .stamp(&source)?;
        let inputs = packages.stamps(inputs)?;
        let name = format!("firmware/optee-{}{}", self.name, suite.suffix());
        cache.step(&name, inputs, |work| {
            ensure_modules(cache)?;
            self.make(&source.join("optee-os"), packages, work)
        })
    }

    fn make(&self, source: &Path, packages: &Packages, work: &Work) -> Result<()> {
        let build = work.dir.join("build");
        // The key that the TAs of Debian's packages are signed with.
        let key = "usr/lib/optee-os-dev/vexpress-qemu_armv8a-virtualized/keys/default_ta.pem";
        let mut make = make(source);
        make.arg(format!("O={}", build.display()))
            .arg(format!("PYTHON3={PYTHON}"))
            .arg(format!("PLATFORM={}", self.platform))
            .arg(format!(
                "TA_SIGN_KEY={}",
                packages.optee_root().join(key).display()
            ))
            .args([
                "CROSS_COMPILE64=aarch64-linux-gnu-",
                "CFG_ARM64_core=y",
                "CFG_USER_TA_TARGETS=ta_arm64",
                "CFG_NS_VIRTUALIZATION=y",
            ])
            .args(&self.options)
            .envs(self.environment.iter().copied());
        command::logged(&mut make, "OP-TEE", work.log, work.bar)?;
        keep(&build.join("core"), &Self::FILES, work.dir)?;
        Ok(fs::remove_dir_all(build)?)
    }
}

/// Returns names and values one after the other.
fn texts<'a>(environment: &'a [(&'a str, &'a str)]) -> impl Iterator<Item = &'a str> {
    environment.iter().flat_map(|(name, value)| [*name, *value])
}

fn ensure_modules(cache: &Cache) -> Result<()> {
    let found = Command::new(PYTHON).args(["-c", MODULES]).output();
    if found.is_ok_and(|out| out.status.success()) {
        return Ok(());
    }
    host::install(cache, &MODULE_PACKAGES)
}

/// Returns the command of make in a source tree, without the flags of an outer make or of the
/// user's shell.
fn make(source: &Path) -> Command {
    let jobs = std::thread::available_parallelism().map_or(1, usize::from);
    let mut make = Command::new("make");
    make.arg("-C").arg(source).arg(format!("-j{jobs}"));
    for variable in ["MAKEFLAGS", "MFLAGS", "CFLAGS", "LDFLAGS", "CC", "LD", "AS"] {
        make.env_remove(variable);
    }
    make
}

fn keep(build: &Path, files: &[&str], to: &Path) -> Result<()> {
    for file in files {
        let from = build.join(file);
        let name = from.file_name().unwrap_or_default();
        fs::copy(&from, to.join(name)).with_context(|| format!("{}", from.display()))?;
    }
    Ok(())
}

/// Returns the version line of the cross compiler.
fn compiler() -> Result<String> {
    let text = command::output(Command::new("aarch64-linux-gnu-gcc").arg("--version"))?;
    Ok(text.lines().next().unwrap_or_default().to_owned())
}
