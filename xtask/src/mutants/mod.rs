// SPDX-License-Identifier: MIT OR Apache-2.0

//! `cargo xtask mutants`: changes the pure crates in small ways by cargo-mutants, and says which of
//! the changes no test notices.
//!
//! Such a survivor fails the run unless [`survivors`] has it with a reason.

mod merge;
mod outcomes;
mod survivors;
mod tree;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, ensure};

use crate::cache::{self, Cache, Inputs, Work};
use crate::{command, host, toolchain, ui};
use outcomes::Outcome;
use survivors::Survivors;

/// What is changed unless the user names something else, the small ones first.
const PACKAGES: [&str; 14] = [
    "platform",
    "hardening",
    "serror",
    "controls",
    "vpsci",
    "sched",
    "stage2",
    "smmu",
    "rate",
    "board",
    "manifest",
    "vgic",
    "mediator",
    "optee-abi",
];
const TOOL: &str = "cargo-mutants";
const VERSION: &str = "27.1.0";
const REMEDY: &str = "cargo-mutants can't be built here: install it where crates.io can be reached by \
    `cargo install --locked cargo-mutants`, so that it is in the PATH";

/// Proptest's settings: the same few inputs for each change, and no search for the smallest one that
/// fails, since that any does is all there is to know.
const PROPTEST: [(&str, &str); 4] = [
    ("PROPTEST_CASES", "64"),
    ("PROPTEST_RNG_SEED", "1"),
    ("PROPTEST_MAX_SHRINK_ITERS", "0"),
    ("PROPTEST_DISABLE_FAILURE_PERSISTENCE", "1"),
];

/// Arguments of `mutants`.
#[derive(clap::Args)]
pub struct Options {
    /// Change this package alone; may be given several times
    #[arg(long, value_name = "NAME", default_values_t = PACKAGES.map(str::to_owned))]
    package: Vec<String>,
    /// Only the changes whose line in `--list` matches this
    #[arg(long, value_name = "REGEX")]
    only: Option<String>,
    /// One of N equal parts of each package's changes, from 0 on, such as 0/4
    #[arg(long, value_name = "K/N")]
    shard: Option<String>,
    /// Print the changes, one a line, and try none
    #[arg(long)]
    list: bool,
}

/// Performs the task.
pub fn run(options: &Options) -> Result<ExitCode> {
    let root = cache::workspace();
    let tool = ensure_tool()?;
    if options.list {
        let mut list = mutants(&tool, &root, options, &options.package);
        print!("{}", command::output(list.arg("--list"))?);
        return Ok(ExitCode::SUCCESS);
    }
    let survivors = Survivors::read(&root)?;
    let tree = tree::copy(&root, &root.join("target/mutants/tree"))?;
    let mut all = Vec::new();
    for package in &options.package {
        all.extend(try_package(&tool, &tree, options, package)?);
    }
    ensure!(!all.is_empty(), "there is nothing to change");
    Ok(conclude(&all, &survivors))
}

fn conclude(all: &[Outcome], survivors: &Survivors) -> ExitCode {
    let judged = survivors.judge(all);
    judged.fallen.iter().for_each(|mutant| {
        ui::note(&format!(
            "caught, so it need not stand in {}: {mutant}",
            survivors::LIST
        ));
    });
    let without = judged.without_reason;
    without
        .iter()
        .for_each(|mutant| println!("not caught: {mutant}"));
    println!("{}", outcomes::table(all));
    match without.is_empty() {
        true => ExitCode::SUCCESS,
        false => {
            println!(
                "survivors: {}; write a test that fails for each, or a reason in {}",
                without.len(),
                survivors::LIST
            );
            ExitCode::FAILURE
        }
    }
}

/// Tries each change to a package against its own tests.
fn try_package(tool: &Path, tree: &Path, options: &Options, package: &str) -> Result<Vec<Outcome>> {
    let target = cache::workspace().join("target");
    let output = target.join("mutants").join(package);
    let log = target.join(format!("log/mutants-{package}.log"));
    cache::remove(&output)?;
    cache::remove(&log)?;
    merge::merge(&tree.join(folder(package)))?;
    std::fs::create_dir_all(&output)?;
    let mut mutants = mutants(tool, tree, options, &[package.to_owned()]);
    if package == "optee-abi" {
        // Its numbers mean what the mediator's tests make of them.
        mutants.args(["--test-package", "teevisor-mediator"]);
    }
    // Whoever reads the log wants to know how far it is.
    mutants.args(["--in-place", "--caught", "--unviable", "--output"]);
    mutants.arg(&output).envs(PROPTEST);
    let name = format!("mutants of {package}");
    let status = ui::step(&name, |bar| command::status(&mut mutants, &name, &log, bar))?;
    // 2: survivors, 3: some changes made the tests hang, which notices them.
    let tried = matches!(status.code(), Some(0 | 2 | 3));
    ensure!(
        tried,
        "{name} could not be tried: {status}; log: {}",
        log.display()
    );
    outcomes::read(&output.join("mutants.out/outcomes.json"))
}

/// Where the sources of a package are.
fn folder(package: &str) -> PathBuf {
    match package {
        "board" | "mediator" => package.into(),
        _ => Path::new("crates").join(package),
    }
}

fn mutants(tool: &Path, tree: &Path, options: &Options, packages: &[String]) -> Command {
    let mut command = Command::new(tool);
    command.args(["mutants", "--colors", "never", "--dir"]);
    command.arg(tree).env("CARGO", toolchain::host_cargo());
    for package in packages {
        command.args(["--package", &format!("teevisor-{package}")]);
    }
    if let Some(only) = &options.only {
        command.args(["--re", only]);
    }
    if let Some(shard) = &options.shard {
        command.args(["--sharding", "round-robin", "--shard", shard]);
    }
    command
}

/// The one in the PATH, else one that is built once.
fn ensure_tool() -> Result<PathBuf> {
    if let Some(found) = host::find(TOOL) {
        return Ok(found);
    }
    let cache = Cache::open()?;
    let inputs = Inputs::default().text(TOOL).text(VERSION);
    let folder = cache.step(TOOL, inputs, install).context(REMEDY)?;
    Ok(folder.join("bin").join(TOOL))
}

fn install(work: &Work) -> Result<()> {
    let mut cargo = Command::new(toolchain::host_cargo());
    cargo.args(["install", "--locked", "--version", VERSION, TOOL, "--root"]);
    command::logged(cargo.arg(work.dir), TOOL, work.log, work.bar)
}
