// SPDX-License-Identifier: MIT OR Apache-2.0

//! The QEMU that plays a board: this machine's own, or a newer one fetched from Debian.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::apt::Apt;
use crate::cache::{Cache, Inputs};
use crate::{command, packages};

/// QEMU for 64-bit Arm.
const PROGRAM: &str = "qemu-system-aarch64";

/// Where Debian 12, whose own QEMU has no Raspberry Pi 4, has a newer one.
const SUITE: &str = "bookworm-backports";
const PACKAGES: [&str; 3] = ["qemu-system-arm", "qemu-system-common", "qemu-system-data"];

/// A QEMU.
#[derive(Clone, Debug, Default)]
pub struct Emulator {
    /// Where its packages are unpacked, if it is not installed.
    root: Option<PathBuf>,
}

impl Emulator {
    /// Finds one of version 9.0 or newer.
    pub fn newer(cache: &Cache) -> Result<Self> {
        Self::with(cache, "raspi4b")
    }

    /// Finds one that has the machine `wanted`.
    pub fn with(cache: &Cache, wanted: &str) -> Result<Self> {
        let own = Self::default();
        if own.has(wanted)? {
            return Ok(own);
        }
        let inputs = Inputs::default().texts(["1", SUITE]).texts(PACKAGES);
        let dir = cache.step(packages::QEMU, inputs, |work| {
            let apt = Apt::own(cache, SUITE)?;
            apt.prepare(work)?;
            apt.binaries(&PACKAGES, work)
        })?;
        let fetched = Self {
            root: Some(dir.join("root")),
        };
        let found = fetched.has(wanted).unwrap_or(false);
        found.then_some(fetched).with_context(|| {
            format!(
                "QEMU here has no machine {wanted}, and the one of {SUITE} does not run here: \
                 install QEMU 10.0 or newer"
            )
        })
    }

    fn has(&self, wanted: &str) -> Result<bool> {
        let mut list = Command::new(self.program());
        let machines = command::output(list.args(self.data()).args(["-machine", "help"]))?;
        let mut names = machines.lines().filter_map(|l| l.split_whitespace().next());
        Ok(names.any(|name| name == wanted))
    }

    fn program(&self) -> PathBuf {
        self.root
            .as_ref()
            .map_or(PROGRAM.into(), |root| root.join("usr/bin").join(PROGRAM))
    }

    /// Tells where its files are.
    fn data(&self) -> Vec<PathBuf> {
        let data = |root: &PathBuf| [PathBuf::from("-L"), root.join("usr/share/qemu")];
        self.root.iter().flat_map(data).collect()
    }

    /// Returns the command that starts the emulator; the kernel of this machine ends it even if
    /// xtask is killed.
    pub fn command(&self) -> Command {
        let mut qemu = Command::new("setpriv");
        qemu.args(["--pdeathsig", "KILL"])
            .arg(self.program())
            .args(self.data());
        if let Some(root) = &self.root {
            // Else it looks at the modules of the installed one, and says that they don't fit.
            qemu.env(
                "QEMU_MODULE_DIR",
                root.join("usr/lib/x86_64-linux-gnu/qemu"),
            );
        }
        qemu
    }

    /// Returns the version line of an emulator that is not installed.
    pub fn fetched(&self) -> Result<Option<String>> {
        if self.root.is_none() {
            return Ok(None);
        }
        let text = command::output(Command::new(self.program()).arg("--version"))?;
        Ok(text.lines().next().map(str::to_owned))
    }
}

/// Tells whether this build of QEMU loads plugins.
pub fn has_plugins() -> Result<bool> {
    let help = command::output(Command::new(PROGRAM).arg("--help"))?;
    Ok(help.lines().any(|line| line.starts_with("-plugin ")))
}

/// Returns QEMU's version line.
pub fn version() -> Result<String> {
    let text = command::output(Command::new(PROGRAM).arg("--version"))?;
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

/// Returns the option that loads a file into memory at an address.
pub fn loader(file: &Path, address: u64) -> String {
    format!(
        "loader,file={},addr={address:#x},force-raw=on",
        escape(file)
    )
}

/// Doubles commas: one ends a value in QEMU's option syntax; two stand for one.
pub fn escape(path: &Path) -> String {
    path.display().to_string().replace(',', ",,")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commas_in_paths_do_not_end_qemu_options() {
        assert_eq!(
            loader(Path::new("/a,b"), 0x6000_0000),
            "loader,file=/a,,b,addr=0x60000000,force-raw=on"
        );
    }
}
