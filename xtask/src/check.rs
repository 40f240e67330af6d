// SPDX-License-Identifier: MIT OR Apache-2.0

//! What must hold of the sources: formatting, lints, the arrows between crates, size budgets.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::cache::{self, Cache};
use crate::image::{self, Profile};
use crate::toolchain::{self, Toolchain};
use crate::{command, deny, docs, elf, headers, lines, modules, ui};

/// Bytes of the release image.
const IMAGE: u64 = 416 * 1024;
/// Lines of code of the mediator, without its tests.
const MEDIATOR: usize = 2_700;
/// Lines of code of everything that runs at EL2, without tests.
const EL2: usize = 27_250;
/// Lines of the file that dispatches traps.
const DISPATCH: usize = 250;
const DISPATCH_FILE: &str = "kernel/src/trap/mod.rs";

/// Packages that run at EL2, by folder; `crates/*` joins them.
const EL2_FOLDERS: [&str; 4] = ["boot", "kernel", "mediator", "board"];

/// A check: its name, and what it finds.
pub type Check<'a> = (&'a str, Box<dyn Fn() -> Result<String> + 'a>);

/// Runs every check, and says of each how it ended.
pub fn run() -> Result<ExitCode> {
    let cache = Cache::open()?;
    crate::host::ensure_tools(&cache)?;
    let toolchain = Toolchain::ensure(&cache)?;
    drop(cache);
    let mut failed = 0;
    for (name, check) in checks(&toolchain) {
        match check() {
            Ok(detail) => println!("ok      {name}: {detail}"),
            Err(error) => {
                failed += 1;
                println!("FAILED  {name}: {error:#}");
            }
        }
    }
    Ok(if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// All checks, the quick ones first.
pub fn checks(toolchain: &Toolchain) -> Vec<Check<'_>> {
    vec![
        ("format", Box::new(format)),
        ("arrows between crates", Box::new(arrows)),
        ("arrows between modules", Box::new(module_arrows)),
        ("assembly's place", Box::new(assembly)),
        (
            "other people's crates",
            Box::new(|| deny::check(&cache::workspace())),
        ),
        (
            "names in the docs",
            Box::new(|| docs::check(&cache::workspace())),
        ),
        (
            "licence headers",
            Box::new(|| headers::check(&cache::workspace())),
        ),
        ("registry hosts", Box::new(registry_hosts)),
        (
            "mediator's size",
            Box::new(|| within(code(&["mediator".into()])?, MEDIATOR)),
        ),
        (
            "EL2's size",
            Box::new(|| within(code(&el2_folders()?)?, EL2)),
        ),
        ("trap dispatch's size", Box::new(dispatch)),
        ("lints on the host", Box::new(host_lints)),
        ("lints on the target", Box::new(|| target_lints(toolchain))),
        ("image's size", Box::new(|| image_size(toolchain))),
        ("image's instructions", Box::new(|| instructions(toolchain))),
    ]
}

fn format() -> Result<String> {
    quiet(
        Command::new(toolchain::host_cargo()).args(["fmt", "--all", "--check"]),
        "format",
    )
}

fn host_lints() -> Result<String> {
    let mut clippy = Command::new(toolchain::host_cargo());
    clippy.args(["clippy", "--all-targets", "--", "-D", "warnings"]);
    quiet(&mut clippy, "clippy-host")
}

fn target_lints(toolchain: &Toolchain) -> Result<String> {
    let mut clippy = toolchain.cargo("clippy");
    clippy.args([
        "--package",
        "teevisor",
        "--package",
        "teevisor-boot",
        "--package",
        "testguests",
    ]);
    clippy
        .arg("--target-dir")
        .arg(image::target_dir())
        .args(["--", "-D", "warnings"]);
    quiet(&mut clippy, "clippy-target")
}

/// Runs a command whose output is of interest only when it fails.
fn quiet(command: &mut Command, name: &str) -> Result<String> {
    let log = cache::workspace().join(format!("target/log/{name}.log"));
    cache::remove(&log)?;
    command.current_dir(cache::workspace());
    ui::step(name, |bar| command::logged(command, name, &log, bar))?;
    Ok("clean".into())
}

fn image_size(toolchain: &Toolchain) -> Result<String> {
    let image = image::hypervisor(toolchain, Profile::Release)?;
    let size = fs::metadata(&image)?.len();
    ensure!(size <= IMAGE, "{size} bytes, more than {IMAGE}");
    Ok(format!("{size} of {IMAGE} bytes"))
}

fn instructions(toolchain: &Toolchain) -> Result<String> {
    image::hypervisor(toolchain, Profile::Release)?;
    elf::scan::check(&image::elf(Profile::Release, "teevisor"))
}

fn within(count: usize, budget: usize) -> Result<String> {
    ensure!(count <= budget, "{count} lines, more than {budget}");
    Ok(format!("{count} of {budget} lines"))
}

fn dispatch() -> Result<String> {
    let path = cache::workspace().join(DISPATCH_FILE);
    let text = fs::read_to_string(&path).with_context(|| format!("{}", path.display()))?;
    within(text.lines().count(), DISPATCH)
}

fn el2_folders() -> Result<Vec<PathBuf>> {
    let mut folders: Vec<PathBuf> = EL2_FOLDERS.iter().map(PathBuf::from).collect();
    let crates = fs::read_dir(cache::workspace().join("crates"))?;
    folders.extend(
        crates
            .flatten()
            .map(|entry| Path::new("crates").join(entry.file_name())),
    );
    Ok(folders)
}

/// Lines of code below `src` of the packages in these folders.
fn code(folders: &[PathBuf]) -> Result<usize> {
    let mut total = 0;
    for folder in folders {
        total += lines::of_folder(&cache::workspace().join(folder).join("src"))?;
    }
    Ok(total)
}

/// What each package may depend on.
const SHARED: [&str; 2] = ["addr", "platform"];

/// Which of the project's packages a package may depend on, both without [`PREFIX`].
fn may_depend(from: &str, from_dir: &Path, on: &str) -> bool {
    match from {
        "teevisor" => on != "xtask" && on != "testguests",
        // The manifest's writer; what judges a device tree.
        "xtask" => ["board", "manifest", "physmem"].contains(&on) || SHARED.contains(&on),
        // The words that all share depend on nothing else of ours.
        "addr" => false,
        "platform" => on == "addr",
        // The model of both sides of the mediator, for its tests and the fuzzer.
        "mediator-model" => on == "mediator" || SHARED.contains(&on),
        "mediator" => on == "optee-abi" || SHARED.contains(&on),
        // Devices of virtio, on the registers and rings that they share, as the mediator is on OP-TEE's numbers.
        "vnet" | "vsock" => on == "virtio" || SHARED.contains(&on),
        // Drivers and guests for the tests and the fuzzer.
        "virtio-model" => ["virtio", "vnet"].contains(&on) || SHARED.contains(&on),
        "boot" | "board" | "testguests" => SHARED.contains(&on),
        _ if from_dir.starts_with("crates") => SHARED.contains(&on),
        _ => false,
    }
}

fn arrows() -> Result<String> {
    let mut cargo = Command::new(toolchain::host_cargo());
    cargo.args(["metadata", "--no-deps", "--format-version", "1"]);
    let text = command::output(cargo.current_dir(cache::workspace()))?;
    let arrows = project_arrows(&serde_json::from_str(&text)?)?;
    let bad = arrows
        .iter()
        .filter(|(from, dir, on)| !may_depend(from, dir, on));
    let bad: Vec<String> = bad.map(|(from, _, on)| format!("{from} → {on}")).collect();
    ensure!(bad.is_empty(), "not in the design: {}", bad.join(", "));
    Ok(format!("{} arrows", arrows.len()))
}

fn module_arrows() -> Result<String> {
    let mut folders = el2_folders()?;
    folders.push("xtask".into());
    folders.sort();
    modules::check(&cache::workspace(), &folders)
}

/// What the names of the project's libraries begin with.
const PREFIX: &str = "teevisor-";

/// Returns (package, its folder in the workspace, project's package it depends on), the names
/// without [`PREFIX`]. What only tests use does not count.
fn project_arrows(metadata: &Value) -> Result<Vec<(String, PathBuf, String)>> {
    let root = metadata["workspace_root"]
        .as_str()
        .context("no workspace_root")?;
    let packages = metadata["packages"].as_array().context("no packages")?;
    let mut arrows = Vec::new();
    for package in packages {
        let name = short_name(package);
        let manifest = Path::new(package["manifest_path"].as_str().unwrap_or_default());
        let dir = manifest.parent().unwrap_or(manifest).strip_prefix(root)?;
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            let ours = dependency["path"].is_string();
            if ours && dependency["kind"] != "dev" {
                let on = short_name(dependency);
                arrows.push((name.to_owned(), dir.to_owned(), on.to_owned()));
            }
        }
    }
    Ok(arrows)
}

fn short_name(package: &Value) -> &str {
    let name = package["name"].as_str().unwrap_or_default();
    name.strip_prefix(PREFIX).unwrap_or(name)
}

/// Assembly and system registers are in these folders alone.
const ASSEMBLY: [&str; 2] = ["boot/", "kernel/src/arch/"];
/// This folder knows the fields of registers, but reads and writes none.
const FIELDS: &str = "crates/controls/";

/// Looks for assembly, and for the crates that stand for it, in the other sources that run at EL2.
fn assembly() -> Result<String> {
    let words = "asm!|\\b(mrs|msr)\\b|aarch64_cpu|arm_sysregs|GicCpuInterface";
    let mut grep = Command::new("git");
    grep.args(["grep", "-nIE", words, "--", "*.rs", "*.s"]);
    grep.args([":!xtask", ":!qemu"])
        .args(ASSEMBLY.map(|folder| format!(":!{folder}")));
    let found = grep.current_dir(cache::workspace()).output();
    let found = String::from_utf8_lossy(&found.context("cannot start git")?.stdout).into_owned();
    let in_code = |line: &&str| {
        !line
            .splitn(3, ':')
            .any(|part| part.trim().starts_with("//"))
    };
    let fields = |line: &&str| line.starts_with(FIELDS) && line.contains("use aarch64_cpu");
    let lines = found.lines().filter(in_code);
    let found: Vec<&str> = lines.filter(|line| !fields(line)).collect();
    ensure!(
        found.is_empty(),
        "outside {}: {}",
        ASSEMBLY.join(" and "),
        found.join("; ")
    );
    Ok(format!("in {} alone", ASSEMBLY.join(" and ")))
}

/// Mirrors come from the machine's own configuration, so no host of an archive or registry may
/// stand in a tracked file. (In pieces here, for this file is one too.)
fn registry_hosts() -> Result<String> {
    let hosts = ["deb", "security", "snapshot", "ftp", "archive", "ports"]
        .map(|h| h.to_owned() + "\\.debian\\.org");
    let indexes = ["index", "static"].map(|h| h.to_owned() + "\\.crates\\.io");
    let all: Vec<String> = hosts
        .into_iter()
        .chain(indexes)
        .chain([["arti", "factory"].concat()])
        .collect();
    let mut grep = Command::new("git");
    grep.args(["grep", "-nIE", &all.join("|")])
        .current_dir(cache::workspace());
    let out = grep.output().context("cannot start git")?;
    match out.status.code() {
        Some(1) => Ok("none".into()),
        Some(0) => bail!("{}", String::from_utf8_lossy(&out.stdout).trim()),
        _ => bail!("git grep: {}", String::from_utf8_lossy(&out.stderr).trim()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata(from: &str, dir: &str, kind: &str) -> Value {
        serde_json::json!({ "workspace_root": "/w", "packages": [{
            "name": from,
            "manifest_path": format!("/w/{dir}/Cargo.toml"),
            "dependencies": [
                { "name": "teevisor-vgic", "path": "/w/crates/vgic", "kind": kind },
                { "name": "log", "kind": null },
            ],
        }]})
    }

    fn allowed(from: &str, dir: &str) -> bool {
        let arrows = project_arrows(&metadata(from, dir, "build")).unwrap();
        assert_eq!(arrows.len(), 1);
        arrows
            .iter()
            .all(|(from, dir, on)| may_depend(from, dir, on))
    }

    #[test]
    fn only_the_kernel_depends_on_a_pure_crate() {
        assert!(allowed("teevisor", "kernel"));
        assert!(!allowed("mediator", "mediator"));
        assert!(!allowed("vpsci", "crates/vpsci"));
        assert!(!allowed("boot", "boot"));
        assert!(!allowed("xtask", "xtask"));
        assert!(!allowed("something", "elsewhere"));
    }

    #[test]
    fn dependencies_of_tests_and_of_others_do_not_count() {
        assert_eq!(
            project_arrows(&metadata("vpsci", "crates/vpsci", "dev")).unwrap(),
            []
        );
    }

    #[test]
    fn budgets_are_inclusive() {
        assert!(within(10, 10).is_ok());
        assert!(within(11, 10).is_err());
    }
}
