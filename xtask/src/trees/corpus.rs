// SPDX-License-Identifier: MIT OR Apache-2.0

//! The device trees of Debian's newest kernel source, compiled.
//!
//! All that Linux has for arm64, not only what Debian's kernel is configured for. Kept in the cache alone: their
//! licences are their authors' own, mostly GPL-2.0 or a choice of it and MIT.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use anyhow::{Result, ensure};

use super::loader;
use crate::apt::Apt;
use crate::cache::{self, Cache, Inputs, Work};
use crate::command;
use crate::packages::{self, Suite};

/// Depends on the newest kernel's source.
const SOURCE: &str = "linux-source";
const SUITE: Suite = Suite::Sid;
/// The trees, in the source.
const BOARDS: &str = "arch/arm64/boot/dts";
/// What of the source their compilation takes: boards share parts with 32-bit ones and, rarely, RISC-V.
const PARTS: [&str; 6] = [
    BOARDS,
    "arch/arm/boot/dts",
    "arch/riscv/boot/dts",
    "include/dt-bindings",
    "include/uapi/linux/input-event-codes.h",
    INCLUDES,
];
/// Links to the folders that trees include from.
const INCLUDES: &str = "scripts/dtc/include-prefixes";

/// Returns the folder with the trees, one file each, and `versions`.
pub fn ensure(cache: &Cache) -> Result<PathBuf> {
    let inputs = Inputs::default()
        .texts(["2", SUITE.name(), SOURCE])
        .text(loader::VERSION);
    cache.step(packages::TREES, inputs, |work| {
        let apt = Apt::arm64(cache, SUITE.name());
        apt.prepare(work)?;
        let package = packages::newest(&apt, SOURCE, "linux-source-")?;
        apt.binaries(&[&package], work)?;
        let source = unpack(&package, work)?;
        compile_all(&source, work)?;
        cache::remove(&source)
    })
}

/// Returns the trees' files.
pub fn trees(folder: &Path) -> Result<Vec<PathBuf>> {
    with_extension(folder, "dtb")
}

fn unpack(package: &str, work: &Work) -> Result<PathBuf> {
    let source = work.dir.join("source");
    fs::create_dir(&source)?;
    let archive = work.dir.join(format!("root/usr/src/{package}.tar.xz"));
    let mut tar = Command::new("tar");
    tar.arg("-xJf").arg(archive).arg("-C").arg(&source);
    tar.args(["--strip-components=1", "--wildcards"]);
    tar.args(PARTS.map(|part| format!("{package}/{part}")));
    command::logged(&mut tar, "unpacking", work.log, work.bar)?;
    cache::remove(&work.dir.join("root"))?;
    Ok(source)
}

/// Compiles them on all cores. What this machine's compiler does not take is told in a log.
fn compile_all(source: &Path, work: &Work) -> Result<()> {
    let boards = sources(&source.join(BOARDS))?;
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let parts = boards.chunks(boards.len().div_ceil(cores).max(1));
    let to = work.dir;
    let failed: Vec<String> = thread::scope(|scope| {
        let threads = parts.map(|part| scope.spawn(move || compile_some(source, part, to)));
        let threads: Vec<_> = threads.collect();
        let failed = threads.into_iter().map(|each| each.join());
        failed.flat_map(Result::unwrap_or_default).collect()
    });
    ensure!(!command::stopped(), "interrupted");
    let (all, bad, reasons) = (boards.len(), failed.len(), failed.join("\n"));
    ensure!(bad * 20 < all, "too many trees do not compile: {reasons}");
    fs::write(work.log.with_extension("failed.log"), reasons)?;
    let versions = work.dir.join("versions");
    let text = fs::read_to_string(&versions)?;
    let text = format!("{text}{all} boards, {bad} of them do not compile\n");
    Ok(fs::write(&versions, text)?)
}

/// Compiles boards, and returns what went wrong.
fn compile_some(source: &Path, boards: &[PathBuf], to: &Path) -> Vec<String> {
    let each = boards.iter().take_while(|_| !command::stopped());
    let failed = each.filter_map(|board| compile(source, board, to).err());
    failed.map(|error| format!("{error:#}")).collect()
}

/// Compiles a board's tree, and adds what a loader adds.
fn compile(source: &Path, board: &Path, to: &Path) -> Result<()> {
    let name = board.strip_prefix(source.join(BOARDS))?;
    let name = name
        .with_extension("dtb")
        .to_string_lossy()
        .replace('/', "+");
    let tree = to.join(name);
    let compiled = preprocess(source, board, &tree).and_then(|text| assemble(board, &text, &tree));
    if compiled.is_err() {
        cache::remove(&tree)?;
    }
    compiled.and_then(|()| loader::load(&tree))
}

/// Resolves what a source includes, as Linux's build does; returns the file, beside `tree`.
fn preprocess(source: &Path, board: &Path, tree: &Path) -> Result<PathBuf> {
    let text = tree.with_extension("pre");
    let mut gcc = Command::new("aarch64-linux-gnu-gcc");
    gcc.args(["-E", "-nostdinc", "-undef", "-D__DTS__"]);
    gcc.args(["-x", "assembler-with-cpp", "-I"]);
    gcc.arg(source.join(INCLUDES))
        .arg(board)
        .arg("-o")
        .arg(&text);
    command::output(&mut gcc)?;
    Ok(text)
}

/// Makes the tree of a preprocessed source, which is then removed.
fn assemble(board: &Path, text: &Path, tree: &Path) -> Result<()> {
    let mut dtc = Command::new("dtc");
    dtc.args(["-q", "-I", "dts", "-O", "dtb", "-i"]);
    dtc.args(board.parent()).arg("-o").arg(tree).arg(text);
    let compiled = command::output(&mut dtc);
    cache::remove(text)?;
    compiled.map(|_| ())
}

/// Returns the boards' sources below a folder.
fn sources(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = with_extension(folder, "dts")?;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            found.extend(sources(&entry.path())?);
        }
    }
    Ok(found)
}

fn with_extension(folder: &Path, extension: &str) -> Result<Vec<PathBuf>> {
    let paths = fs::read_dir(folder)?.flatten().map(|entry| entry.path());
    let mut found: Vec<_> = paths
        .filter(|path| path.extension().is_some_and(|e| e == extension))
        .collect();
    found.sort();
    Ok(found)
}
