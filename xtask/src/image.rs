// SPDX-License-Identifier: MIT OR Apache-2.0

//! The hypervisor's image, and those of the small test guests.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::boards::EarlyConsole;
use crate::elf::veneers;
use crate::toolchain::{TARGET, Toolchain};
use crate::{cache, command};

/// How the hypervisor is compiled.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Profile {
    /// Optimized: what is shipped.
    Release,
    /// With debug assertions.
    Debug,
    /// Optimized, with a console that takes as long as one of 115,200 baud.
    SlowConsole,
    /// Optimised, started with all that firmware may leave behind at its worst, and speaking early.
    Poisoned,
}

impl Profile {
    /// Returns cargo's name of the profile, and of its folder.
    pub fn name(self) -> &'static str {
        match self {
            Self::Release | Self::SlowConsole | Self::Poisoned => "release",
            Self::Debug => "el2-debug",
        }
    }
}

/// What is compiled in of the hypervisor's log.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, clap::ValueEnum)]
pub enum LogLevel {
    /// What an operator needs to know.
    #[default]
    Info,
    /// And what becomes of guests and vCPUs.
    Debug,
    /// And each trap.
    Trace,
}

/// Builds the hypervisor: the path of its flat image.
pub fn hypervisor(toolchain: &Toolchain, profile: Profile) -> Result<PathBuf> {
    // The test's machine is virt.
    let early = (profile == Profile::Poisoned).then_some(EarlyConsole::VIRT);
    hypervisor_with(toolchain, profile, LogLevel::default(), early)
}

/// Builds the hypervisor with more of its log, or with a console that speaks early.
pub fn hypervisor_with(
    toolchain: &Toolchain,
    profile: Profile,
    level: LogLevel,
    early: Option<EarlyConsole>,
) -> Result<PathBuf> {
    let log: &[_] = match level {
        LogLevel::Info => &[],
        LogLevel::Debug => &["--no-default-features", "--features", "log-debug"],
        LogLevel::Trace => &["--no-default-features", "--features", "log-trace"],
    };
    let (feature, extension): (&[_], _) = match profile {
        Profile::Release | Profile::Debug if early.is_none() => (&[], "bin"),
        Profile::Release | Profile::Debug => (&[], "early.bin"),
        Profile::SlowConsole => (&["--features", "slow-uart"], "slow.bin"),
        Profile::Poisoned => (&["--features", "poison"], "poisoned.bin"),
    };
    let speaks: &[_] = match early {
        Some(_) => &["--features", "early-console"],
        None => &[],
    };
    let environment = early.iter().flat_map(EarlyConsole::environment).collect();
    let options = [log, feature, speaks].concat();
    build(toolchain, profile, "teevisor", &options, environment)?;
    let elf = elf(profile, "teevisor");
    veneers::apply(&elf)?;
    flatten(&elf, &elf.with_extension(extension))
}

/// Builds the test guests: a name and a flat image each.
pub fn test_guests(toolchain: &Toolchain) -> Result<Vec<(String, PathBuf)>> {
    let elves = build(toolchain, Profile::Release, "testguests", &[], Vec::new())?;
    let guest = |elf: &PathBuf| {
        let name = elf
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        Ok((name, flatten(elf, &elf.with_extension("bin"))?))
    };
    elves.iter().map(guest).collect()
}

/// Tells where cargo puts a program for the target.
pub fn elf(profile: Profile, name: &str) -> PathBuf {
    target_dir().join(TARGET).join(profile.name()).join(name)
}

/// Returns the folder for EL2's builds, apart from the host's: another compiler may be at work
/// there.
pub fn target_dir() -> PathBuf {
    cache::workspace().join("target/el2")
}

/// Builds a package for the target: the paths of its programs.
fn build(
    toolchain: &Toolchain,
    profile: Profile,
    package: &str,
    options: &[&str],
    environment: Vec<(&str, String)>,
) -> Result<Vec<PathBuf>> {
    let mut cargo = toolchain.cargo("build");
    cargo.envs(environment);
    cargo.args([
        "--package",
        package,
        "--message-format=json-render-diagnostics",
    ]);
    cargo
        .arg("--target-dir")
        .arg(target_dir())
        .current_dir(cache::workspace());
    cargo.args(["--profile", profile.name()]).args(options);
    // cargo's own progress and diagnostics go to the terminal as they are.
    cargo.stderr(std::process::Stdio::inherit());
    let out = cargo.output().with_context(|| command::display(&cargo))?;
    if !out.status.success() {
        bail!(
            "build of {package} failed: `{}` ended with {}",
            command::display(&cargo),
            out.status
        );
    }
    Ok(executables(&String::from_utf8_lossy(&out.stdout)))
}

/// Returns the programs named in cargo's JSON messages.
fn executables(messages: &str) -> Vec<PathBuf> {
    let parsed = messages
        .lines()
        .filter_map(|l| serde_json::from_str::<serde_json::Value>(l).ok());
    let mut found: Vec<PathBuf> = parsed
        .filter_map(|m| m["executable"].as_str().map(PathBuf::from))
        .collect();
    found.sort();
    found
}

fn flatten(elf: &Path, image: &Path) -> Result<PathBuf> {
    let mut objcopy = Command::new("aarch64-linux-gnu-objcopy");
    objcopy.args(["-O", "binary"]).arg(elf).arg(image);
    command::output(&mut objcopy)?;
    anyhow::ensure!(
        fs::metadata(image)?.len() > 0,
        "{} is empty",
        image.display()
    );
    Ok(image.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_found_in_cargos_messages() {
        let messages = "{\"reason\":\"compiler-artifact\",\"executable\":null}\nnot json\n\
                        {\"reason\":\"compiler-artifact\",\"executable\":\"/t/b\"}\n\
                        {\"executable\":\"/t/a\"}\n{\"reason\":\"build-finished\"}";
        assert_eq!(
            executables(messages),
            [PathBuf::from("/t/a"), PathBuf::from("/t/b")]
        );
    }
}
