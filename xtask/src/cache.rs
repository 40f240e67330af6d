// SPDX-License-Identifier: MIT OR Apache-2.0

//! The cache of what is fetched and built: one folder a step, good for as long as the digest
//! of the step's inputs is the one in its stamp.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use indicatif::ProgressBar;
use sha2::{Digest, Sha256};

use crate::ui;

const STAMP: &str = ".stamp";

/// The folder `target/cache` of the workspace, or what TEEVISOR_CACHE names; locked against
/// other xtasks for as long as the value lives.
pub struct Cache {
    root: PathBuf,
    _lock: File,
}

impl Cache {
    /// Opens the cache; waits for another xtask that is filling it.
    pub fn open() -> Result<Self> {
        let root = match std::env::var_os("TEEVISOR_CACHE") {
            Some(path) => PathBuf::from(path),
            None => workspace().join("target/cache"),
        };
        fs::create_dir_all(&root)?;
        let root = root.canonicalize()?;
        let lock = File::create(root.join(".lock"))?;
        lock.lock().context("lock of the cache")?;
        Ok(Self { root, _lock: lock })
    }

    /// Returns a path inside the cache.
    pub fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// Tells where the step's commands write what they print.
    pub fn log(&self, step: &str) -> PathBuf {
        self.root.join("log").join(format!("{step}.log"))
    }

    /// Returns the folder `name`, made by `build` unless it was made from the same inputs before.
    ///
    /// `build` gets an empty folder and the path of an empty log; the folder is given its name
    /// only when `build` succeeds.
    pub fn step(
        &self,
        name: &str,
        inputs: Inputs,
        build: impl FnOnce(&Work) -> Result<()>,
    ) -> Result<PathBuf> {
        let dir = self.root.join(name);
        let digest = inputs.digest();
        if is_fresh(&dir, &digest) {
            return Ok(dir);
        }
        let partial = self.root.join(format!("{name}.partial"));
        remove(&partial)?;
        fs::create_dir_all(&partial)?;
        let log = self.log(&name.replace('/', "-"));
        remove(&log)?;
        ui::step(name, |bar| {
            build(&Work {
                dir: &partial,
                log: &log,
                bar,
            })
        })?;
        fs::write(partial.join(STAMP), &digest)?;
        remove(&dir)?;
        fs::rename(&partial, &dir)?;
        Ok(dir)
    }
}

/// What a step's builder works with.
pub struct Work<'a> {
    /// The folder to fill.
    pub dir: &'a Path,
    /// The log of its commands.
    pub log: &'a Path,
    /// The progress to report to.
    pub bar: &'a ProgressBar,
}

/// Everything that decides what a step makes.
#[derive(Default)]
pub struct Inputs(Sha256);

impl Inputs {
    /// Adds a string; its length goes in too, so that "ab","c" and "a","bc" differ.
    pub fn text(mut self, text: &str) -> Self {
        self.0.update((text.len() as u64).to_le_bytes());
        self.0.update(text.as_bytes());
        self
    }

    /// Adds several strings.
    pub fn texts<'a>(self, texts: impl IntoIterator<Item = &'a str>) -> Self {
        texts.into_iter().fold(self, Self::text)
    }

    /// Adds what another step's folder was made from.
    pub fn stamp(self, dir: &Path) -> Result<Self> {
        let path = dir.join(STAMP);
        let stamp = fs::read_to_string(&path).with_context(|| format!("{}", path.display()))?;
        Ok(self.text(&stamp))
    }

    fn digest(self) -> String {
        let bytes = self.0.finalize();
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// Returns the root of the workspace that this program was built in.
pub fn workspace() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().unwrap_or(own).to_owned()
}

fn is_fresh(dir: &Path, digest: &str) -> bool {
    fs::read_to_string(dir.join(STAMP)).is_ok_and(|stamp| stamp == digest)
}

/// Removes a file or a folder with all in it; nothing there is fine.
pub fn remove(path: &Path) -> Result<()> {
    let result = match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(_) => Ok(()),
    };
    result.with_context(|| format!("cannot remove {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scratch(name: &str) -> Cache {
        let root = std::env::temp_dir().join(format!("xtask-{name}-{}", std::process::id()));
        fs::create_dir_all(&root).unwrap();
        let lock = File::create(root.join(".lock")).unwrap();
        Cache { root, _lock: lock }
    }

    #[test]
    fn digest_depends_on_every_input_and_on_their_borders() {
        let digest = |texts: &[&str]| Inputs::default().texts(texts.iter().copied()).digest();
        assert_eq!(digest(&["a", "b"]), digest(&["a", "b"]));
        assert_ne!(digest(&["ab", "c"]), digest(&["a", "bc"]));
        assert_ne!(digest(&["a"]), digest(&["a", ""]));
        assert_eq!(digest(&[]).len(), 64);
    }

    #[test]
    fn step_runs_once_for_the_same_inputs_and_again_for_others() {
        let cache = scratch("once");
        let mut runs = 0;
        let mut step = |input: &str| {
            let result = cache.step("piece", Inputs::default().text(input), |work| {
                runs += 1;
                fs::write(work.dir.join("made"), input)?;
                Ok(())
            });
            fs::read_to_string(result.unwrap().join("made")).unwrap()
        };
        assert_eq!(
            (step("1"), step("1"), step("2")),
            ("1".into(), "1".into(), "2".into())
        );
        assert_eq!(runs, 2);
        remove(&cache.root).unwrap();
    }

    #[test]
    fn failed_step_is_not_taken_for_made() {
        let cache = scratch("failed");
        let failed = cache.step("piece", Inputs::default(), |_| anyhow::bail!("no"));
        assert!(failed.is_err());
        assert!(!cache.path("piece").exists());
        let mut ran = false;
        let again = cache.step("piece", Inputs::default(), |work| {
            ran = fs::read_dir(work.dir)?.count() == 0;
            Ok(())
        });
        assert!(again.is_ok() && ran);
        remove(&cache.root).unwrap();
    }
}
