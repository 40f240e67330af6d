// SPDX-License-Identifier: MIT OR Apache-2.0

//! `cargo xtask trees`: what teevisor would make of the boards whose device trees Linux carries.
//!
//! The trees are those of Debian's newest kernel source, compiled here, with what a boot loader adds. Each goes
//! through the same code as at EL2, up to what only the hardware can tell.

mod corpus;
mod judge;
mod loader;
mod peek;
pub mod sample;
mod table;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use clap::Args;

use crate::cache::Cache;
use crate::{command, ui};
use judge::Verdict;

/// Fewest boards that must be accepted of the corpus.
const ACCEPTED: usize = 1_405;
/// Fewest of these that must have a console.
const CONSOLES: usize = 1_250;
/// Most processor time for a tree on the host, in microseconds.
const SLOWEST: u128 = 20_000;

/// Options of `cargo xtask trees`.
#[derive(Args)]
pub struct Options {
    /// Device trees to judge, as the board's loader passes them, instead of those of Debian's kernel source
    trees: Vec<PathBuf>,
    /// Also print a line for each board
    #[arg(long)]
    list: bool,
    /// Judge the sample of `cargo xtask test` alone
    #[arg(long, conflicts_with_all = ["trees", "list"])]
    sample: bool,
}

/// A judged tree.
struct Judged {
    name: String,
    verdict: Verdict,
}

/// Judges the trees, and fails if fewer than before come through.
pub fn run(options: &Options) -> Result<ExitCode> {
    if options.sample {
        println!("{}", sample::check()?);
        return Ok(ExitCode::SUCCESS);
    }
    let whole = options.trees.is_empty();
    let paths = if whole {
        let cache = Cache::open()?;
        crate::host::ensure_tools(&cache)?;
        let corpus = corpus::ensure(&cache)?;
        print!("{}", fs::read_to_string(corpus.join("versions"))?);
        corpus::trees(&corpus)?
    } else {
        options.trees.clone()
    };
    let judged = judge_all(&paths)?;
    if options.list || !whole {
        judged
            .iter()
            .for_each(|board| println!("{}", table::line(board)));
    }
    if !whole {
        return Ok(ExitCode::SUCCESS);
    }
    print!("{}", table::summary(&judged));
    Ok(match floors(&judged) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            ui::note(&format!("error: {error}"));
            ExitCode::FAILURE
        }
    })
}

fn judge_all(paths: &[PathBuf]) -> Result<Vec<Judged>> {
    let each = paths.iter().take_while(|_| !command::stopped());
    each.map(|path| judge_file(path)).collect()
}

fn judge_file(path: &Path) -> Result<Judged> {
    let blob = fs::read(path).with_context(|| format!("{}", path.display()))?;
    let name = path.file_stem().unwrap_or_default();
    Ok(Judged {
        name: name.to_string_lossy().replace('+', "/"),
        verdict: judge::judge(&blob),
    })
}

/// Fails below the floors that this project has reached.
fn floors(judged: &[Judged]) -> Result<()> {
    let accepted = judged.iter().filter(|board| board.verdict.plan.is_ok());
    let consoles = accepted
        .clone()
        .filter(|board| board.verdict.console.is_ok());
    let (accepted, consoles) = (accepted.count(), consoles.count());
    ensure!(
        accepted >= ACCEPTED,
        "{accepted} boards accepted, fewer than {ACCEPTED}"
    );
    ensure!(
        consoles >= CONSOLES,
        "{consoles} boards with a console, fewer than {CONSOLES}"
    );
    let slowest = judged.iter().max_by_key(|board| board.verdict.took);
    let took = slowest.map_or(0, |board| board.verdict.took.as_micros());
    ensure!(
        took <= SLOWEST,
        "a tree takes {took} µs, more than {SLOWEST}"
    );
    Ok(())
}
