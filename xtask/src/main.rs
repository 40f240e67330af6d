// SPDX-License-Identifier: MIT OR Apache-2.0

//! The whole workflow of the project: `cargo xtask --help` lists it.
//!
//! Everything that is fetched or built outside cargo goes to target/cache, one folder a step,
//! and is made again only when its inputs change.

mod apt;
mod bench;
mod boards;
mod bundle;
mod cache;
mod check;
mod choices;
mod command;
mod console;
mod cpio;
mod deny;
mod docs;
mod elf;
mod emulator;
mod fip;
mod firmware;
mod fuzz;
mod guest;
mod headers;
mod host;
mod image;
mod lines;
mod litmus;
mod make;
mod measure;
mod modules;
mod mutants;
mod packages;
mod qemu;
mod run;
mod script;
mod sections;
mod session;
mod sources;
mod split;
mod terminals;
mod test;
mod toolchain;
mod trace;
mod transcript;
mod trees;
mod ui;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use cache::Cache;
use packages::{Packages, Suite};
use toolchain::Toolchain;

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Builds, runs and tests teevisor")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Fetch and build everything that runs beside the hypervisor: firmware, OP-TEE, guests
    Fetch {
        /// Take the current versions of the packages
        #[arg(long)]
        refresh: bool,
        /// Debian suite that OP-TEE and its TAs come from
        #[arg(long, value_enum, default_value_t)]
        optee_suite: Suite,
        /// Also what boards other than virt need
        #[arg(long)]
        boards: bool,
    },
    /// Build the hypervisor's image
    Build {
        /// With debug assertions
        #[arg(long)]
        debug: bool,
        /// A UART on which the image speaks before it has read the device tree: docs/hardware.md
        #[arg(long, value_name = "UART")]
        early_console: Option<boards::EarlyConsole>,
    },
    /// Check a manifest and pack it with its guests' files
    Bundle(bundle::Options),
    /// Make what a board boots from: a folder of files, and the image of a card or disk
    Image(boards::image::Options),
    /// Boot the hypervisor and its guests in QEMU
    RunQemu(Box<run::Options>),
    /// Do as `run-qemu`, with every step of the first guest's calls to OP-TEE, and what they took
    Trace(Box<run::Options>),
    /// Check formatting, lints, layering and size budgets
    Check,
    /// Run all checks and tests, on the host and in QEMU
    Test(test::Options),
    /// Run in QEMU what takes hours
    Soak(test::soak::Options),
    /// Fuzz the mediator: a hostile guest and a hostile OP-TEE, guided by coverage
    Fuzz(fuzz::Options),
    /// Judge the device trees of all boards that Linux knows: which would boot, which have a console
    Trees(trees::Options),
    /// Change the pure crates in small ways, and say which changes no test notices
    Mutants(mutants::Options),
    /// Print the image's size, EL2's memory and the instructions from entry to the first guest
    Measure,
    /// Print what a call to OP-TEE costs, in instructions: without hypervisor, with it, at EL2
    Bench(bench::Options),
}

fn main() -> ExitCode {
    match command::handle_signals().and_then(|()| perform(Cli::parse().task)) {
        Ok(code) => code,
        Err(error) => {
            ui::note(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn perform(task: Task) -> Result<ExitCode> {
    match task {
        Task::Fetch {
            refresh,
            optee_suite,
            boards,
        } => {
            fetch(refresh, optee_suite)?;
            if boards {
                boards::fetch()?;
            }
        }
        Task::Build {
            debug,
            early_console,
        } => build(debug, early_console)?,
        Task::Bundle(options) => bundle::write(&options)?,
        Task::Image(options) => boards::image::make(&options)?,
        Task::RunQemu(options) => return run::run(&options),
        Task::Trace(options) => return trace::trace(&options),
        Task::Check => return check::run(),
        Task::Test(options) => return test::run(&options),
        Task::Soak(options) => return test::soak::run(&options),
        Task::Fuzz(options) => return fuzz::run(&options),
        Task::Trees(options) => return trees::run(&options),
        Task::Mutants(options) => return mutants::run(&options),
        Task::Measure => return measure::run(),
        Task::Bench(options) => return bench::run(&options),
    }
    Ok(ExitCode::SUCCESS)
}

fn fetch(refresh: bool, optee_suite: Suite) -> Result<()> {
    let cache = Cache::open()?;
    host::ensure_tools(&cache)?;
    if refresh {
        packages::forget(&cache)?;
    }
    let packages = Packages::with_optee(&cache, optee_suite)?;
    for (gic, optee) in firmware::FLASHES {
        firmware::flash(&cache, &packages, gic, 4, optee)?;
    }
    let guests = guest::ensure(&cache, &packages)?;
    print!("{}", packages.versions()?);
    println!("{}", emulator::version()?);
    println!("guests' files: {}", guests.display());
    Ok(())
}

fn build(debug: bool, early: Option<boards::EarlyConsole>) -> Result<()> {
    let cache = Cache::open()?;
    host::ensure_tools(&cache)?;
    let toolchain = Toolchain::ensure(&cache)?;
    drop(cache);
    ui::note(&toolchain.describe());
    let profile = if debug {
        image::Profile::Debug
    } else {
        image::Profile::Release
    };
    let level = image::LogLevel::default();
    let image = image::hypervisor_with(&toolchain, profile, level, early)?;
    println!(
        "{} ({} bytes)",
        image.display(),
        std::fs::metadata(&image)?.len()
    );
    Ok(())
}
