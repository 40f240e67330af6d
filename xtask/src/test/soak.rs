// SPDX-License-Identifier: MIT OR Apache-2.0

//! `cargo xtask soak`: runs in QEMU that take too long for `cargo xtask test`, judged in the same way.

use std::process::ExitCode;

use anyhow::Result;

use super::{Tally, cases, conclude, prepare, run_cases};

/// Arguments of `soak`.
#[derive(clap::Args)]
pub struct Options {
    /// Only the runs whose name contains this
    #[arg(long, value_name = "TEXT", default_value = "")]
    only: String,
    /// Print the names of the runs
    #[arg(long)]
    list: bool,
}

/// Performs the task.
pub fn run(options: &Options) -> Result<ExitCode> {
    if options.list {
        cases::long().for_each(|case| println!("{}", case.name));
        return Ok(ExitCode::SUCCESS);
    }
    let toolchain = prepare()?;
    let mut tally = Tally::default();
    run_cases(&toolchain, cases::long(), &options.only, &mut tally)?;
    Ok(conclude(&tally))
}
