// SPDX-License-Identifier: MIT OR Apache-2.0

//! The programs in qemu/bench: teebench and callers for the guest, and the plugin for QEMU.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::cache::{self, Cache, Inputs, Work};
use crate::cpio::Archive;
use crate::packages::Packages;
use crate::{command, emulator, ui};

const CROSS: &str = "aarch64-linux-gnu-gcc";
const HOST: &str = "cc";

/// What was built.
pub struct Programs {
    /// An archive for the guest, with its programs.
    pub archive: PathBuf,
    /// The plugin, if QEMU takes one.
    pub plugin: Option<PathBuf>,
}

/// Builds them.
pub fn programs(cache: &Cache, packages: &Packages) -> Result<Programs> {
    let inputs = Inputs::default()
        .texts(["2", &compiler(CROSS)?])
        .texts([&source("teebench.c")?, &source("callers.c")?].map(String::as_str))
        .stamp(packages.dir())?;
    let dir = cache.step("bench/guest", inputs, |work| in_guest(packages, work))?;
    Ok(Programs {
        archive: dir.join("archive.cpio"),
        plugin: plugin(cache, "calls")?,
    })
}

fn in_guest(packages: &Packages, work: &Work) -> Result<()> {
    let mut archive = Archive::default();
    for name in ["teebench", "callers"] {
        let program = compile(name, packages, work)?;
        archive.file(&format!("usr/bin/{name}"), 0o755, &fs::read(program)?);
    }
    Ok(fs::write(work.dir.join("archive.cpio"), archive.finish())?)
}

/// Compiles a program. The C library is the build machine's, so the guest's must not be older.
fn compile(name: &str, packages: &Packages, work: &Work) -> Result<PathBuf> {
    let program = work.dir.join(name);
    let usr = packages.root().join("usr");
    let mut gcc = Command::new(CROSS);
    gcc.args(["-O2", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror"])
        .args(["-pthread", &format!("-I{}", usr.join("include").display())])
        .arg(path(&format!("{name}.c")))
        .arg(usr.join("lib/aarch64-linux-gnu/libteec.so.2"))
        .arg("-o")
        .arg(&program);
    command::logged(&mut gcc, name, work.log, work.bar)?;
    Ok(program)
}

/// Builds the QEMU plugin of this name, if QEMU takes one.
pub fn plugin(cache: &Cache, name: &str) -> Result<Option<PathBuf>> {
    let version = emulator::version()?;
    if !emulator::has_plugins()? {
        ui::note(&format!(
            "{version} is built without plugins: EL2's instructions can not be counted"
        ));
        return Ok(None);
    }
    let api = api(&version).with_context(|| format!("no version in `{version}`"))?;
    let inputs =
        Inputs::default().texts(["1", &source(&format!("{name}.c"))?, &compiler(HOST)?, api]);
    let library = format!("{name}.so");
    let step = match name {
        "calls" => "bench/plugin".to_owned(),
        _ => format!("bench/plugin-{name}"),
    };
    let dir = cache.step(&step, inputs, |work| {
        let mut cc = Command::new(HOST);
        cc.args(["-O2", "-shared", "-fPIC", "-fvisibility=hidden"])
            .args(["-Wall", "-Wextra", "-Wno-unused-parameter", "-Werror"])
            .arg(format!("-DAPI={api}"))
            .arg(path(&format!("{name}.c")))
            .arg("-o")
            .arg(work.dir.join(&library));
        command::logged(&mut cc, "QEMU plugin", work.log, work.bar)
    })?;
    Ok(Some(dir.join(library)))
}

/// Returns the version of the plugin interface that a QEMU with this version line has.
fn api(version: &str) -> Option<&'static str> {
    let (_, number) = version.split_once("version ")?;
    let major: u32 = number.split('.').next()?.parse().ok()?;
    Some(if major < 9 { "1" } else { "4" })
}

fn path(name: &str) -> PathBuf {
    cache::workspace().join("qemu/bench").join(name)
}

fn source(name: &str) -> Result<String> {
    let path: &Path = &path(name);
    fs::read_to_string(path).with_context(|| format!("{}", path.display()))
}

fn compiler(program: &str) -> Result<String> {
    let text = command::output(Command::new(program).arg("--version"))?;
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interface_of_qemus_versions() {
        let line = |v: &str| format!("QEMU emulator version {v} (Debian 1:{v})");
        assert_eq!(api(&line("7.2.22")), Some("1"));
        assert_eq!(api(&line("10.0.2")), Some("4"));
        assert_eq!(api("QEMU"), None);
    }
}
