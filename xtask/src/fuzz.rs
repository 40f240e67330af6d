// SPDX-License-Identifier: MIT OR Apache-2.0

//! `cargo xtask fuzz`: the fuzz targets under libFuzzer, built by the compiler at hand.
//!
//! What cargo-fuzz does with a nightly compiler needs only stable flags when no sanitizer is
//! asked for; and no sanitizer is needed where no crate has unsafe code.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::slice;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;

use crate::cache::{self, Cache};
use crate::{command, host, toolchain, ui};

/// Coverage by branches as libFuzzer reads it (Clang's SanitizerCoverage), and the assertions of a
/// debug build. Compared values are not watched: operations take theirs from small sets, and the
/// watching would take a third of the time.
const FLAGS: [&str; 8] = [
    "--cfg=fuzzing",
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Ccodegen-units=1",
    "-Cdebug-assertions=on",
    "-Coverflow-checks=on",
];

/// A program of `fuzz/fuzz_targets`, with its corpus in `fuzz/corpus`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Target {
    /// The mediator between hostile guests and a hostile OP-TEE
    Mediator,
    /// Network devices and their switch between guests, one of them hostile
    Vnet,
}

impl Target {
    /// Returns its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mediator => "mediator",
            Self::Vnet => "vnet",
        }
    }
}

/// Arguments of `fuzz`.
#[derive(clap::Args)]
pub struct Options {
    /// Only this target; else all of them, one after the other
    #[arg(long, value_enum)]
    pub target: Option<Target>,
    /// How long to look for new inputs of each target, after its stored corpus was replayed
    #[arg(long, value_name = "N", default_value_t = 60)]
    pub seconds: u32,
    /// Where random choices start; 0: somewhere else each time
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u32,
    /// Play this one input, such as one that was found to fail
    #[arg(long, value_name = "FILE", requires = "target", conflicts_with_all = ["seconds", "seed"])]
    pub replay: Option<PathBuf>,
}

/// Performs the task.
pub fn run(options: &Options) -> Result<ExitCode> {
    host::ensure_tools(&Cache::open()?)?;
    if let (Some(file), Some(target)) = (&options.replay, options.target) {
        return replay(target, file);
    }
    let all = Target::value_variants();
    for &target in options.target.as_ref().map_or(all, slice::from_ref) {
        let found = search(target, options.seconds, options.seed)?;
        println!("{}: {found}", target.name());
    }
    Ok(ExitCode::SUCCESS)
}

fn replay(target: Target, file: &Path) -> Result<ExitCode> {
    let mut program = Command::new(build(target)?);
    let status = program.arg(file).status()?;
    match status.success() {
        true => Ok(ExitCode::SUCCESS),
        false => bail!("{} fails", file.display()),
    }
}

/// Replays a target's corpus and looks for new inputs; says what was done.
pub fn search(target: Target, seconds: u32, seed: u32) -> Result<String> {
    let name = target.name();
    let program = build(target)?;
    let found = folder().join("found").join(name);
    let corpus = cache::workspace().join("fuzz/corpus").join(name);
    let log = cache::workspace().join(format!("target/log/fuzz-{name}.log"));
    cache::remove(&log)?;
    fs::create_dir_all(&found)?;
    let mut fuzzer = Command::new(program);
    fuzzer
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-seed={seed}"))
        // An input that takes this many seconds has met a loop without a bound.
        .arg("-timeout=60")
        .arg("-print_final_stats=1")
        .arg(format!("-artifact_prefix={}/{name}-", folder().display()))
        .args([found, corpus]);
    ui::step("fuzz", |bar| {
        command::logged(&mut fuzzer, "fuzz", &log, bar)
    })
    .with_context(|| {
        format!("an input that fails is played again by `cargo xtask fuzz --target {name} --replay FILE`")
    })?;
    summary(&fs::read_to_string(&log)?)
}

/// Tells where the targets are built and what they find is kept.
fn folder() -> PathBuf {
    cache::workspace().join("target/fuzz")
}

fn build(target: Target) -> Result<PathBuf> {
    let triple = triple()?;
    let mut cargo = Command::new(toolchain::host_cargo());
    // With a target named, the flags are not for build scripts.
    cargo
        .args(["build", "--release", "--target", &triple, "--target-dir"])
        .arg(folder())
        .current_dir(cache::workspace().join("fuzz"))
        .env("CARGO_ENCODED_RUSTFLAGS", FLAGS.join("\x1f"));
    let log = cache::workspace().join("target/log/fuzz-build.log");
    cache::remove(&log)?;
    ui::step("fuzz targets", |bar| {
        command::logged(&mut cargo, "fuzz targets", &log, bar)
    })?;
    Ok(folder().join(triple).join("release").join(target.name()))
}

fn triple() -> Result<String> {
    let text = command::output(Command::new("rustc").arg("-vV"))?;
    let triple = text.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(triple.context("rustc -vV names no host")?.to_owned())
}

/// Reads the numbers in libFuzzer's output: inputs played, and branches that they reached.
fn summary(log: &str) -> Result<String> {
    let value = |key: &str| {
        let rest = log.rsplit_once(key)?.1;
        rest.split_whitespace().next()?.parse::<u64>().ok()
    };
    match (value("stat::number_of_executed_units:"), value(" cov: ")) {
        (Some(played), Some(branches)) if played > 0 && branches > 0 => Ok(format!(
            "{played} inputs played, {branches} branches reached"
        )),
        _ => bail!("libFuzzer did not say what it did"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_numbers_count() {
        let log = "#2\tINITED cov: 12 ft: 30 corp: 1/1b exec/s: 0\n\
                   #9\tDONE   cov: 345 ft: 70 corp: 2/2b\n\
                   stat::number_of_executed_units: 678\n";
        assert_eq!(
            summary(log).unwrap(),
            "678 inputs played, 345 branches reached"
        );
        assert!(summary("stat::number_of_executed_units: 678\n").is_err());
        assert!(summary("cov: 0 stat::number_of_executed_units: 0\n").is_err());
    }
}
