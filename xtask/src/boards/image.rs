// SPDX-License-Identifier: MIT OR Apache-2.0

//! `cargo xtask image`: makes what a board boots from.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use super::{EarlyConsole, card};
use crate::bundle::{self, Changes};
use crate::cache::{self, Cache};
use crate::image::{self, LogLevel, Profile};
use crate::packages::Packages;
use crate::qemu::{Board, Machine};
use crate::toolchain::Toolchain;
use crate::{guest, host};

/// Arguments of `image`.
#[derive(clap::Args)]
pub struct Options {
    /// The board
    #[arg(long, value_enum)]
    board: Board,
    /// The manifest of the guests
    #[arg(default_value_os_t = bundle::default_manifest())]
    manifest: PathBuf,
    /// Files to add to the card, such as the board's own firmware
    #[arg(long, value_name = "FILE")]
    add: Vec<PathBuf>,
    /// A UART on which the image speaks before it has read the device tree: docs/hardware.md
    #[arg(long, value_name = "UART")]
    early_console: Option<EarlyConsole>,
    /// Where the folder and the image go [default: target/images/BOARD, and .img beside it]
    #[arg(long, short, value_name = "DIR")]
    output: Option<PathBuf>,
}

/// Performs the task.
pub fn make(options: &Options) -> Result<()> {
    let board = options.board;
    let recipe = super::recipe(board);
    let machine = Machine {
        board,
        loader: recipe.card_loader(),
        ..Machine::default()
    };
    let cache = Cache::open()?;
    host::ensure_tools(&cache)?;
    card::ensure_tools(&cache)?;
    let packages = Packages::with_optee(&cache, super::optee_suite(&machine))?;
    let guests = guest::ensure(&cache, &packages)?;
    let firmware = super::firmware(&cache, &packages, &machine)?;
    let toolchain = Toolchain::ensure(&cache)?;
    drop(cache);
    let folder = folder(options)?;
    let packed = bundle::pack(&options.manifest, &guests, &Changes::default())?;
    let bundle = folder.join(card::BUNDLE);
    fs::write(&bundle, packed).with_context(|| format!("{}", bundle.display()))?;
    let level = LogLevel::default();
    let image = image::hypervisor_with(&toolchain, Profile::Release, level, options.early_console)?;
    card::lay_out(recipe.card(&firmware)?, &image, &folder)?;
    for file in &options.add {
        let name = file.file_name().context("--add wants files")?;
        fs::copy(file, folder.join(name)).with_context(|| format!("{}", file.display()))?;
    }
    let card = folder.with_extension("img");
    card::write(&folder, &card)?;
    println!("{}\n{}", folder.display(), card.display());
    Ok(())
}

/// Makes an empty folder for the card's files.
fn folder(options: &Options) -> Result<PathBuf> {
    let name = clap::ValueEnum::to_possible_value(&options.board).context("the board's name")?;
    let usual = || {
        cache::workspace()
            .join("target/images")
            .join(name.get_name())
    };
    let folder = options.output.clone().unwrap_or_else(usual);
    if options.output.is_some() && folder.exists() {
        bail!("{} is there already: remove it first", folder.display());
    }
    cache::remove(&folder)?;
    fs::create_dir_all(&folder).with_context(|| format!("{}", folder.display()))?;
    Ok(folder)
}
