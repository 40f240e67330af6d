//! Firmware, guest kernel and user space from Debian: fetched for arm64 through a private apt
//! state, so the machine's own package lists stay as they are. apt checks the signatures.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::cache::{self, Cache, Inputs, Work};
use crate::{command, sources, ui};

/// The release everything comes from. Point releases replace versions inside it, so the suite
/// is pinned and the versions are printed.
pub const SUITE: &str = "trixie";
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

/// The fetched packages.
pub struct Packages {
    dir: PathBuf,
}

impl Packages {
    /// Fetches them unless they are there. Needs no network when the cache is complete.
    pub fn ensure(cache: &Cache) -> Result<Self> {
        let inputs = Inputs::default()
            .texts(["1", SUITE, KERNEL, TFA])
            .texts(BINARIES);
        let apt = Apt {
            state: cache.path("apt"),
        };
        let dir = cache.step("packages", inputs, |work| fetch(&apt, work))?;
        Ok(Self { dir })
    }

    /// Where the binary packages are unpacked together, as in a root file system.
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
        Ok(fs::read_to_string(self.dir.join("versions"))?)
    }
}

/// Forgets the fetched packages, so that the next use takes the suite's current versions.
pub fn forget(cache: &Cache) -> Result<()> {
    cache::remove(&cache.path("packages"))?;
    cache::remove(&cache.path("apt"))
}

fn fetch(apt: &Apt, work: &Work) -> Result<()> {
    apt.prepare()?;
    run(apt.get().arg("update"), work)?;
    let kernel = apt.kernel()?;
    let debs = work.dir.join("debs");
    fs::create_dir(&debs)?;
    let mut download = apt.get();
    download
        .arg("download")
        .args(BINARIES)
        .arg(&kernel)
        .current_dir(&debs);
    run(&mut download, work).with_context(missing)?;
    let mut source = apt.get();
    source
        .args(["source", "--download-only", TFA])
        .current_dir(work.dir);
    run(&mut source, work).with_context(missing)?;
    unpack_source(work)?;
    unpack_binaries(&debs, work)?;
    cache::remove(&debs)
}

fn missing() -> String {
    format!(
        "a package of Debian {SUITE} could not be fetched (the lines above name it); mirrors drop \
         a file for a while around point releases: try again later, or fill target/cache from \
         a machine that has it"
    )
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
}

impl Apt {
    fn prepare(&self) -> Result<()> {
        if !Path::new(KEYRING).exists() {
            bail!("{KEYRING} is missing: `apt-get install debian-archive-keyring`");
        }
        for folder in ["lists/partial", "archives/partial"] {
            fs::create_dir_all(self.state.join(folder))?;
        }
        let mirror = sources::mirror()?;
        let line = |kind: &str| format!("{kind} [signed-by={KEYRING}] {mirror} {SUITE} main\n");
        fs::write(
            self.state.join("sources.list"),
            line("deb") + &line("deb-src"),
        )?;
        Ok(())
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
