// SPDX-License-Identifier: MIT OR Apache-2.0

//! `cargo xtask bundle`: a manifest checked, compiled and packed with its guests' files.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use platform::Conduit;
use toml::{Table, Value};

use crate::cache::{self, Cache};
use crate::packages::Packages;
use crate::{guest, host};

/// Arguments of `bundle`.
#[derive(clap::Args)]
pub struct Options {
    /// The manifest
    #[arg(default_value_os_t = default_manifest())]
    manifest: PathBuf,
    /// Where the bundle goes
    #[arg(long, short, default_value_os_t = cache::workspace().join("target/bundle"))]
    output: PathBuf,
}

/// What the command line changes in the manifest's first guest.
#[derive(Default, Clone)]
pub struct Changes {
    /// Number of vCPUs.
    pub vcpus: Option<u32>,
    /// How it calls firmware.
    pub conduit: Option<Conduit>,
    /// What its init runs.
    pub command: Option<String>,
}

/// Returns the manifest of `run-qemu` when none is given.
pub fn default_manifest() -> PathBuf {
    cache::workspace().join("qemu/profiles/linux.toml")
}

/// Performs the task.
pub fn write(options: &Options) -> Result<()> {
    let cache = Cache::open()?;
    host::ensure_tools(&cache)?;
    // What is wrong with it is told when it is packed.
    let text = fs::read_to_string(&options.manifest).unwrap_or_default();
    let guests = guest::for_manifest(&cache, &Packages::ensure(&cache)?, &text)?;
    let bundle = pack(&options.manifest, &guests, &Changes::default())?;
    let to = &options.output;
    fs::write(to, &bundle).with_context(|| format!("cannot write {}", to.display()))?;
    println!("{} ({} bytes)", to.display(), bundle.len());
    Ok(())
}

/// Returns the names of a manifest's guests, in their order.
pub fn guest_names(manifest: &Path) -> Result<Vec<String>> {
    let text = fs::read_to_string(manifest);
    names_in(&text.with_context(|| format!("cannot read {}", manifest.display()))?)
}

/// Returns the names of the guests in a manifest's text, in their order.
pub fn names_in(text: &str) -> Result<Vec<String>> {
    let root: Table = text.parse()?;
    let guests = root.get("guest").and_then(Value::as_array);
    let name = |guest: &Value| Some(guest.get("name")?.as_str()?.to_owned());
    Ok(guests.into_iter().flatten().filter_map(name).collect())
}

/// Makes the bundle of a manifest; its files are looked up beside it, then in `guests`.
pub fn pack(manifest: &Path, guests: &Path, changes: &Changes) -> Result<Vec<u8>> {
    let text = fs::read_to_string(manifest);
    let text = text.with_context(|| format!("cannot read {}", manifest.display()))?;
    let beside = manifest.parent().unwrap_or(Path::new("."));
    pack_text(&text, &[beside, guests], changes).with_context(|| format!("{}", manifest.display()))
}

/// Makes the bundle of a manifest's text; its files are looked up in `folders`.
pub fn pack_text(text: &str, folders: &[&Path], changes: &Changes) -> Result<Vec<u8>> {
    // The lines that errors name are the user's as long as the user's text is compiled.
    manifest::host::compile(text)?;
    let text = apply(text, changes)?;
    let find = |file: &str| {
        let candidates = folders.iter().map(|folder| folder.join(file));
        let found = candidates.into_iter().find(|path| path.is_file());
        fs::read(found.unwrap_or_else(|| PathBuf::from(file)))
    };
    Ok(manifest::host::bundle(&text, find, Vec::new())?)
}

/// Returns a manifest's text with the changes made.
pub fn apply(text: &str, changes: &Changes) -> Result<String> {
    let mut root: Table = text.parse()?;
    let guest = root.get_mut("guest").and_then(|guests| guests.get_mut(0));
    let guest = guest
        .and_then(Value::as_table_mut)
        .ok_or_else(|| anyhow!("no [[guest]]"))?;
    if let Some(vcpus) = changes.vcpus {
        guest.insert("vcpus".into(), i64::from(vcpus).into());
        // Cores chosen for another number of vCPUs no longer fit.
        guest.remove("cpus");
    }
    if let Some(conduit) = changes.conduit {
        guest.insert("conduit".into(), conduit.name().into());
    }
    if let Some(command) = &changes.command {
        let before = guest
            .get("bootargs")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let after = format!("{before} {}", guest::command_argument(command));
        guest.insert("bootargs".into(), after.trim_start().into());
    }
    Ok(root.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "version = 1\n[[guest]]\nname = \"a\"\nvcpus = 1\ncpus = [2]\n\
                        memory = \"64MiB\"\nkernel = \"k\"\nbootargs = \"quiet\"\n";

    fn guest_after(changes: &Changes) -> Table {
        let root: Table = apply(TEXT, changes).unwrap().parse().unwrap();
        root["guest"][0].as_table().unwrap().clone()
    }

    #[test]
    fn nothing_changes_unasked() {
        let before: Table = TEXT.parse().unwrap();
        let after: Table = apply(TEXT, &Changes::default()).unwrap().parse().unwrap();
        assert_eq!(before, after);
    }

    #[test]
    fn changes_reach_the_first_guest() {
        let changes = Changes {
            vcpus: Some(2),
            conduit: Some(Conduit::Hvc),
            command: Some("xtest \"x\"".into()),
        };
        let guest = guest_after(&changes);
        assert_eq!(guest["vcpus"].as_integer(), Some(2));
        assert_eq!(guest["conduit"].as_str(), Some("hvc"));
        assert_eq!(
            guest["bootargs"].as_str(),
            Some("quiet guest.cmd=\"xtest %22x%22\"")
        );
        assert!(!guest.contains_key("cpus"));
    }

    #[test]
    fn errors_name_the_line_of_the_users_text() {
        let text = format!("{TEXT}colour = 1\n");
        let error = pack_text(&text, &[], &Changes::default())
            .unwrap_err()
            .to_string();
        assert!(error.contains("line 9"), "{error}");
    }

    #[test]
    fn missing_file_is_named() {
        let error = pack_text(TEXT, &[Path::new("/nonexistent")], &Changes::default());
        let error = error.unwrap_err().to_string();
        assert!(error.contains("k, which the manifest names"), "{error}");
    }
}
