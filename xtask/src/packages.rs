//! Firmware, guest kernel and user space from Debian: fetched for arm64 through a private apt
//! state, so the machine's own package lists stay as they are. apt checks the signatures.
//!
//! Everything comes from [`RELEASE`]. OP-TEE may come from another suite, and then with it what
//! must match its version: its TAs, its client library and its tests.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;

use crate::cache::{self, Cache, Inputs, Work};
use crate::{command, sources, ui};

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
    fn name(self) -> &'static str {
        match self {
            Self::Trixie => "trixie",
            Self::Sid => "sid",
        }
    }

    /// What the names of steps end with that are made from this suite's OP-TEE.
    pub fn suffix(self) -> String {
        match self {
            RELEASE => String::new(),
            other => format!("-{}", other.name()),
        }
    }
}

/// The suite that everything comes from but, by choice, OP-TEE.
const RELEASE: Suite = Suite::Trixie;
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
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

    /// The same with the OP-TEE of a suite.
    pub fn with_optee(cache: &Cache, suite: Suite) -> Result<Self> {
        let apt = |suite| Apt {
            state: cache.path("apt"),
            suite,
        };
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
                fetch(&apt, &OPTEE, work)
            })?
        };
        Ok(Self { dir, optee, suite })
    }

    /// The suite that OP-TEE is from.
    pub fn suite(&self) -> Suite {
        self.suite
    }

    /// A file by its path in the guest's file system: of OP-TEE's packages, if it is theirs.
    pub fn file(&self, name: &str) -> PathBuf {
        let own = self.optee_root().join(name);
        if own.exists() {
            own
        } else {
            self.root().join(name)
        }
    }

    /// Where OP-TEE's packages are unpacked.
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

    /// Where the binary packages of the release are unpacked, as in a root file system.
    pub fn root(&self) -> PathBuf {
        self.dir.join("root")
    }

    /// TF-A's source tree with Debian's patches.
    pub fn tfa(&self) -> PathBuf {
        self.dir.join("tf-a")
    }

    /// The folder, for the digests of what is made from it.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// `NAME VERSION` lines of everything fetched.
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

/// Forgets the fetched packages, so that the next use takes the suites' current versions.
pub fn forget(cache: &Cache) -> Result<()> {
    for suite in Suite::value_variants() {
        cache::remove(&cache.path(&optee_step(*suite)))?;
    }
    cache::remove(&cache.path("apt"))
}

fn fetch_all(apt: &Apt, work: &Work) -> Result<()> {
    apt.prepare(work)?;
    let kernel = apt.kernel()?;
    let mut source = apt.get();
    source
        .args(["source", "--download-only", TFA])
        .current_dir(work.dir);
    run(&mut source, work).with_context(|| apt.missing())?;
    unpack_source(work)?;
    let names: Vec<&str> = BINARIES.into_iter().chain([kernel.as_str()]).collect();
    fetch(apt, &names, work)
}

/// Fetches binary packages and unpacks them.
fn fetch(apt: &Apt, names: &[&str], work: &Work) -> Result<()> {
    let debs = work.dir.join("debs");
    fs::create_dir(&debs)?;
    let mut download = apt.get();
    download.arg("download").args(names).current_dir(&debs);
    run(&mut download, work).with_context(|| apt.missing())?;
    unpack_binaries(&debs, work)?;
    cache::remove(&debs)
}

fn unpack_source(work: &Work) -> Result<()> {
    let dsc = files(work.dir, "dsc")?
        .pop()
        .context("apt-get source fetched no .dsc")?;
    let mut unpack = Command::new("dpkg-source");
    unpack
        .args(["--no-check", "-x"])
        .arg(&dsc)
        .arg("tf-a")
        .current_dir(work.dir);
    run(&mut unpack, work)?;
    let text = fs::read_to_string(&dsc)?;
    let version = text.lines().find_map(|line| line.strip_prefix("Version: "));
    note_version(
        work.dir,
        &format!("{TFA} {} (source)", version.unwrap_or("?")),
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

/// apt with a state of its own, for arm64.
struct Apt {
    state: PathBuf,
    suite: Suite,
}

impl Apt {
    /// Fetches the lists of the suite.
    fn prepare(&self, work: &Work) -> Result<()> {
        if !Path::new(KEYRING).exists() {
            bail!("{KEYRING} is missing: `apt-get install debian-archive-keyring`");
        }
        for folder in ["lists/partial", "archives/partial"] {
            fs::create_dir_all(self.state.join(folder))?;
        }
        let (mirror, suite) = (sources::mirror()?, self.suite.name());
        let line = |kind: &str| format!("{kind} [signed-by={KEYRING}] {mirror} {suite} main\n");
        fs::write(
            self.state.join("sources.list"),
            line("deb") + &line("deb-src"),
        )?;
        run(self.get().arg("update"), work)
    }

    /// What may be wrong when a package is not to be had.
    fn missing(&self) -> String {
        format!(
            "a package of Debian {} could not be fetched (the lines above name it); mirrors drop \
             a file for a while around point releases: try again later, or fill target/cache \
             from a machine that has it",
            self.suite.name()
        )
    }

    fn get(&self) -> Command {
        self.tool("apt-get")
    }

    fn tool(&self, program: &str) -> Command {
        let state = self.state.display();
        let mut command = Command::new(program);
        let options = [
            format!("Dir::Etc::sourcelist={state}/sources.list"),
            "Dir::Etc::sourceparts=/dev/null".into(),
            format!("Dir::State::lists={state}/lists"),
            format!("Dir::Cache={state}"),
            "Dir::State::status=/dev/null".into(),
            "APT::Architecture=arm64".into(),
            "APT::Architectures=arm64".into(),
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

    fn kernel(&self) -> Result<String> {
        let mut show = self.tool("apt-cache");
        show.args(["show", "--no-all-versions", KERNEL]);
        let text = command::output(&mut show)?;
        kernel_package(&text).with_context(|| format!("{KERNEL} depends on no kernel:\n{text}"))
    }
}

/// The first `linux-image-…` in the Depends field of a package's record.
fn kernel_package(record: &str) -> Option<String> {
    let depends = record
        .lines()
        .find_map(|line| line.strip_prefix("Depends: "))?;
    let names = depends
        .split([',', '|'])
        .filter_map(|d| d.split_whitespace().next());
    names
        .map(str::to_owned)
        .find(|name| name.starts_with("linux-image-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernel_is_found_among_the_dependencies() {
        let record = "Package: linux-image-cloud-arm64\nDepends: foo (>= 1), linux-image-6.12.1+deb13-cloud-arm64 (= 6.12.1-1)\n";
        assert_eq!(
            kernel_package(record).as_deref(),
            Some("linux-image-6.12.1+deb13-cloud-arm64")
        );
        assert_eq!(kernel_package("Package: x\nDepends: libc6\n"), None);
        assert_eq!(kernel_package(""), None);
    }
}
