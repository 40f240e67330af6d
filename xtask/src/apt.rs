// SPDX-License-Identifier: MIT OR Apache-2.0

//! apt with a state of its own under target/cache, so that the machine's own package lists stay as
//! they are. apt checks the signatures.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::cache::{self, Cache, Work};
use crate::{command, sources, ui};

const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// apt for one suite and one architecture.
pub struct Apt {
    state: PathBuf,
    suite: &'static str,
    architecture: String,
}

/// Forgets the lists of all suites.
pub fn forget(cache: &Cache) -> Result<()> {
    cache::remove(&cache.path("apt"))
}

impl Apt {
    /// Makes apt for arm64: what runs beside the hypervisor.
    pub fn arm64(cache: &Cache, suite: &'static str) -> Self {
        Self {
            state: cache.path("apt"),
            suite,
            architecture: "arm64".into(),
        }
    }

    /// Makes apt for this machine.
    pub fn own(cache: &Cache, suite: &'static str) -> Result<Self> {
        let own = command::output(Command::new("dpkg").arg("--print-architecture"))?;
        Ok(Self {
            architecture: own.trim().into(),
            ..Self::arm64(cache, suite)
        })
    }

    /// Fetches the lists of the suite.
    pub fn prepare(&self, work: &Work) -> Result<()> {
        if !Path::new(KEYRING).exists() {
            bail!("{KEYRING} is missing: `apt-get install debian-archive-keyring`");
        }
        for folder in ["lists/partial", "archives/partial"] {
            fs::create_dir_all(self.state.join(folder))?;
        }
        let (mirror, suite) = (sources::mirror()?, self.suite);
        let line = |kind: &str| format!("{kind} [signed-by={KEYRING}] {mirror} {suite} main\n");
        fs::write(
            self.state.join("sources.list"),
            line("deb") + &line("deb-src"),
        )?;
        run(self.get().arg("update"), work)
    }

    /// Returns what may be wrong when a package is not to be had.
    fn missing(&self) -> String {
        format!(
            "a package of Debian {} could not be fetched (the lines above name it); mirrors drop \
             a file for a while around point releases: try again later, or fill target/cache \
             from a machine that has it",
            self.suite
        )
    }

    /// Returns the command of apt-get.
    pub fn get(&self) -> Command {
        self.tool("apt-get")
    }

    /// Returns the command of a program of apt.
    pub fn tool(&self, program: &str) -> Command {
        let state = self.state.display();
        let mut command = Command::new(program);
        let options = [
            format!("Dir::Etc::sourcelist={state}/sources.list"),
            "Dir::Etc::sourceparts=/dev/null".into(),
            format!("Dir::State::lists={state}/lists"),
            format!("Dir::Cache={state}"),
            "Dir::State::status=/dev/null".into(),
            format!("APT::Architecture={}", self.architecture),
            format!("APT::Architectures={}", self.architecture),
            // The folders belong to the user, where apt's own user may not write.
            "APT::Sandbox::User=".into(),
            // Package lists only: no translations, no desktop metadata.
            "Acquire::Languages=none".into(),
            "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false".into(),
            "Acquire::Retries=3".into(),
            "APT::Update::Error-Mode=any".into(),
        ];
        for option in options {
            command.args(["-o", &option]);
        }
        command.env("LC_ALL", "C.UTF-8");
        command
    }

    /// Fetches binary packages and unpacks them together below `root` in the step's folder.
    pub fn binaries(&self, names: &[&str], work: &Work) -> Result<()> {
        let debs = work.dir.join("debs");
        fs::create_dir(&debs)?;
        let mut download = self.get();
        download.arg("download").args(names).current_dir(&debs);
        run(&mut download, work).with_context(|| self.missing())?;
        unpack_binaries(&debs, work)?;
        cache::remove(&debs)
    }

    /// Fetches a source package and unpacks it, with Debian's patches, as `folder` in the step's.
    pub fn source(&self, name: &str, folder: &str, work: &Work) -> Result<()> {
        let mut source = self.get();
        source
            .args(["source", "--download-only", name])
            .current_dir(work.dir);
        run(&mut source, work).with_context(|| self.missing())?;
        unpack_source(name, folder, work)
    }
}

fn unpack_source(name: &str, folder: &str, work: &Work) -> Result<()> {
    let dsc = files(work.dir, "dsc")?
        .pop()
        .context("apt-get source fetched no .dsc")?;
    let mut unpack = Command::new("dpkg-source");
    unpack
        .args(["--no-check", "-x"])
        .arg(&dsc)
        .arg(folder)
        .current_dir(work.dir);
    run(&mut unpack, work)?;
    let text = fs::read_to_string(&dsc)?;
    let version = text.lines().find_map(|line| line.strip_prefix("Version: "));
    note_version(
        work.dir,
        &format!("{name} {} (source)", version.unwrap_or("?")),
    )
}

fn unpack_binaries(debs: &Path, work: &Work) -> Result<()> {
    let root = work.dir.join("root");
    for deb in files(debs, "deb")? {
        run(
            Command::new("dpkg-deb").arg("-x").arg(&deb).arg(&root),
            work,
        )?;
        let mut show = Command::new("dpkg-deb");
        show.args(["-W", "--showformat=${Package} ${Version}"])
            .arg(&deb);
        note_version(work.dir, &command::output(&mut show)?)?;
    }
    Ok(())
}

fn note_version(dir: &Path, line: &str) -> Result<()> {
    let path = dir.join("versions");
    let old = fs::read_to_string(&path).unwrap_or_default();
    ui::note(&format!("fetched {line}"));
    Ok(fs::write(path, format!("{old}{line}\n"))?)
}

fn files(dir: &Path, extension: &str) -> Result<Vec<PathBuf>> {
    let paths = fs::read_dir(dir)?.flatten().map(|entry| entry.path());
    let mut found: Vec<_> = paths
        .filter(|p| p.extension().is_some_and(|e| e == extension))
        .collect();
    found.sort();
    Ok(found)
}

fn run(command: &mut Command, work: &Work) -> Result<()> {
    command::logged(command, "packages", work.log, work.bar)
}
