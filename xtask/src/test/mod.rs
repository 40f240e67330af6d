// SPDX-License-Identifier: MIT OR Apache-2.0

//! `cargo xtask test`: the checks, the host's tests, the litmus tests, and the runs in QEMU of [`cases`].

mod case;
mod cases;
mod host;
mod judge;
mod partitions;
mod passthrough;
mod post;
pub mod soak;

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;

use crate::bench::{self, build};
use crate::boards;
use crate::bundle::{self, Changes};
use crate::cache::{self, Cache};
use crate::guest;
use crate::image::{self, Profile};
use crate::litmus::{self, Herd};
use crate::packages::Packages;
use crate::qemu::{Files, Firmware, Machine};
use crate::session::{self, Mode, RunDir, Until};
use crate::toolchain::Toolchain;
use crate::{check, command, emulator, fuzz, sections, trees};
use case::{Boots, Case};

/// How long to fuzz, all targets together, always from the same seed.
const FUZZ_SECONDS: u32 = 60;

/// Arguments of `test`.
#[derive(clap::Args)]
pub struct Options {
    /// Only the litmus tests and the runs in QEMU whose name contains this
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// Only what needs no QEMU
    #[arg(long, conflicts_with = "only")]
    host: bool,
    /// Print the names of the litmus tests and of the runs in QEMU
    #[arg(long)]
    list: bool,
}

/// How many passed and which failed.
#[derive(Default)]
pub struct Tally {
    passed: usize,
    failed: Vec<String>,
}

impl Tally {
    fn record(&mut self, name: &str, result: Result<String>, start: Instant) {
        let seconds = start.elapsed().as_secs_f32();
        match result {
            Ok(detail) => {
                self.passed += 1;
                println!("PASS  {name} ({seconds:.1} s) {detail}");
            }
            Err(error) => {
                println!("FAIL  {name} ({seconds:.1} s): {error:#}");
                self.failed.push(name.to_owned());
            }
        }
    }

    fn run(&mut self, name: &str, test: impl FnOnce() -> Result<String>) -> Result<()> {
        let start = Instant::now();
        let result = test();
        if command::stopped() {
            bail!("interrupted");
        }
        self.record(name, result, start);
        Ok(())
    }
}

/// Performs the task.
pub fn run(options: &Options) -> Result<ExitCode> {
    if options.list {
        let litmus = litmus::tests()?;
        litmus
            .iter()
            .for_each(|test| println!("litmus-{}", test.name));
        cases::all().for_each(|case| println!("{}", case.name));
        return Ok(ExitCode::SUCCESS);
    }
    let toolchain = prepare()?;
    let mut tally = Tally::default();
    if options.only.is_none() {
        for (name, check) in check::checks(&toolchain) {
            tally.run(name, check)?;
        }
        host::run(&mut tally)?;
        tally.run("device trees", trees::sample::check)?;
        let targets = fuzz::Target::value_variants();
        for &target in targets {
            let seconds = FUZZ_SECONDS / targets.len() as u32;
            let name = format!("fuzz {}", target.name());
            tally.run(&name, || fuzz::search(target, seconds, 1))?;
        }
    }
    let filter = options.only.as_deref().unwrap_or("");
    run_litmus(filter, &mut tally)?;
    if !options.host {
        run_cases(&toolchain, cases::all(), filter, &mut tally)?;
    }
    Ok(conclude(&tally))
}

/// Prepares the tools, which it names.
fn prepare() -> Result<Toolchain> {
    let cache = Cache::open()?;
    crate::host::ensure_tools(&cache)?;
    let toolchain = Toolchain::ensure(&cache)?;
    drop(cache);
    println!("{}\n{}", toolchain.describe(), emulator::version()?);
    Ok(toolchain)
}

fn conclude(tally: &Tally) -> ExitCode {
    tally
        .failed
        .iter()
        .for_each(|name| println!("failed: {name}"));
    println!("{} passed, {} failed", tally.passed, tally.failed.len());
    match tally.failed.is_empty() && tally.passed > 0 {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

fn run_litmus(filter: &str, tally: &mut Tally) -> Result<()> {
    let tests = litmus::tests()?;
    let name = |test: &litmus::Test| format!("litmus-{}", test.name);
    let wanted = || tests.iter().filter(|test| name(test).contains(filter));
    if wanted().next().is_none() {
        return Ok(());
    }
    tally.run("litmus", || litmus::check_sources(&tests))?;
    match Cache::open().and_then(|cache| Herd::ensure(&cache)) {
        Ok(herd) => wanted().try_for_each(|test| tally.run(&name(test), || test.run(&herd))),
        Err(error) => tally.run("litmus, herd7", || Err(error)),
    }
}

fn run_cases(
    toolchain: &Toolchain,
    cases: impl Iterator<Item = &'static Case>,
    filter: &str,
    tally: &mut Tally,
) -> Result<()> {
    let mut wanted = cases.filter(|case| case.name.contains(filter)).peekable();
    if wanted.peek().is_none() {
        return Ok(());
    }
    session::remove_stale_runs()?;
    let bench = Bench::prepare(toolchain, None)?;
    wanted.try_for_each(|case| tally.run(case.name, || bench.run(case)))
}

/// Everything the runs have in common.
struct Bench {
    release: PathBuf,
    debug: PathBuf,
    poisoned: PathBuf,
    /// Judges each run that passes by EL2's masked sections, too.
    masked: Option<Masked>,
}

/// What that takes.
struct Masked {
    plugin: PathBuf,
    slow: PathBuf,
}

/// Runs of the test in which EL2's longest section with interrupts masked is looked for. False if one fails.
pub fn run_masked(toolchain: &Toolchain) -> Result<bool> {
    let Some(plugin) = build::plugin(&Cache::open()?, "masked")? else {
        println!("longest section, masked      ? (QEMU is built without plugins)");
        return Ok(true);
    };
    let slow = image::hypervisor(toolchain, Profile::SlowConsole)?;
    let bench = Bench::prepare(toolchain, Some(Masked { plugin, slow }))?;
    let mut tally = Tally::default();
    for case in cases::masked() {
        tally.run(case.name, || bench.run(case))?;
    }
    Ok(tally.failed.is_empty())
}

/// What a machine starts from that is not ours.
struct Foreign {
    firmware: Firmware,
    guests: PathBuf,
    /// Debian's packages, unpacked: some TAs go to guests without a file system.
    unpacked: PathBuf,
}

impl Foreign {
    /// Fetches and builds it. A suite that has it not is the failure of those runs alone that
    /// need it.
    fn ensure(machine: &Machine, boots: &Boots) -> Result<Self> {
        let cache = Cache::open()?;
        let packages = Packages::with_optee(&cache, boards::optee_suite(machine))?;
        Ok(Self {
            firmware: boards::firmware(&cache, &packages, machine)?,
            guests: guest::for_manifest(&cache, &packages, &boots.manifest().unwrap_or_default())?,
            unpacked: packages.root(),
        })
    }
}

impl Bench {
    fn prepare(toolchain: &Toolchain, masked: Option<Masked>) -> Result<Self> {
        let packages = Packages::ensure(&Cache::open()?)?;
        print!("{}", packages.versions()?);
        image::test_guests(toolchain)?;
        Ok(Self {
            release: image::hypervisor(toolchain, Profile::Release)?,
            debug: image::hypervisor(toolchain, Profile::Debug)?,
            poisoned: image::hypervisor(toolchain, Profile::Poisoned)?,
            masked,
        })
    }

    fn run(&self, case: &Case) -> Result<String> {
        let kept = cache::workspace().join("target/test-logs").join(case.name);
        cache::remove(&kept)?;
        let dir = RunDir::new("test", None)?;
        let mut machine = case.machine();
        if case.disk {
            machine.disk = Some(passthrough::make(&dir)?);
        }
        if case.nvme {
            machine.nvme = Some(passthrough::make(&dir)?);
        }
        if case.nvme_blank {
            machine.nvme = Some(partitions::make(&dir)?);
        }
        if case.e1000e {
            machine.tftp = Some(partitions::offer(&dir)?);
        }
        if case.residue {
            let path = dir.file("residue");
            fs::write(&path, [0xa5; 1 << 20])?;
            machine.residue = Some(path);
        }
        machine.ram = case.stage.map(|_| dir.file("ram"));
        let sections = dir.file("sections");
        machine.plugin = self
            .masked
            .as_ref()
            .map(|masked| bench::el2_counter(masked.plugin.clone(), &sections));
        let files = self.files(case, &machine, &dir)?;
        let progress = |lines: &[String], touched: &[usize]| judge::progress(case, lines, touched);
        let until = Until {
            script: case.types,
            limit: Some(Duration::from_secs(case.seconds)),
            names: names(case)?,
            judge: Some(&progress),
            ..Until::default()
        };
        let outcome = session::run(&machine, &files, &dir, &until, Mode::Captured)?;
        let mut verdict = judge::verdict(case, &outcome);
        let disk = machine.disk.as_ref().or(machine.nvme.as_ref());
        if let (Ok(_), Some(disk)) = (&verdict, disk) {
            let right = match case.nvme_blank {
                true => partitions::check(disk),
                false => passthrough::check(disk),
            };
            verdict = right.map(|()| String::new());
        }
        if let (Ok(_), Some(ram)) = (&verdict, &machine.ram) {
            verdict = post::check(case, ram).map(|()| String::new());
        }
        if verdict.is_ok() && machine.plugin.is_some() {
            let names = names(case)?;
            let silent = names.iter().filter(|name| name.starts_with("silent"));
            verdict = sections::verdict(&fs::read_to_string(&sections)?, silent.count());
        }
        if verdict.is_err() {
            machine.ram.iter().try_for_each(|ram| cache::remove(ram))?;
            fs::create_dir_all(kept.parent().unwrap_or(&kept))?;
            fs::rename(dir.keep(), &kept)?;
        }
        let shown = verdict.with_context(|| format!("logs in {}", kept.display()))?;
        // The run's own QEMU, if it is not the one that is named at the start.
        let emulator = files.firmware.emulator.fetched()?;
        Ok([Some(shown), emulator].into_iter().flatten().collect())
    }

    fn files(&self, case: &Case, machine: &Machine, dir: &RunDir) -> Result<Files> {
        let foreign = Foreign::ensure(machine, &case.boots)?;
        let bl33 = match case.profile {
            _ if case.boots.bare().is_some() => image::elf(Profile::Release, "testguest.bin"),
            Profile::Release => self.release.clone(),
            Profile::Debug => self.debug.clone(),
            Profile::Poisoned => self.poisoned.clone(),
            Profile::SlowConsole => {
                let masked = self.masked.as_ref();
                masked.context("only `measure` builds it")?.slow.clone()
            }
        };
        let bl33 = post::behind(case.front, &bl33, dir)?;
        let initrd = match bundle(case, &foreign)? {
            Some(bytes) => {
                let path = dir.file("bundle");
                fs::write(&path, bytes)?;
                Some(path)
            }
            None => None,
        };
        Ok(Files {
            firmware: foreign.firmware,
            bl33,
            initrd,
            bootargs: case.boots.bare().map(str::to_owned),
        })
    }
}

/// Returns the names of the guests, in their order.
fn names(case: &Case) -> Result<Vec<String>> {
    match case.boots {
        Boots::Linux(_) => bundle::guest_names(&bundle::default_manifest()),
        Boots::Manifest(text) => bundle::names_in(text),
        Boots::Made(make) => bundle::names_in(&make()),
        Boots::TestGuest(name) => bundle::names_in(&cases::test_guest_manifest(name)),
        Boots::DamagedManifest | Boots::Bytes(_) | Boots::NoBundle | Boots::Bare(_) => {
            Ok(Vec::new())
        }
    }
}

fn bundle(case: &Case, foreign: &Foreign) -> Result<Option<Vec<u8>>> {
    let changes = Changes {
        vcpus: case.vcpus,
        conduit: case.conduit,
        command: case.boots.command().map(str::to_owned),
    };
    let programs = image::elf(Profile::Release, "");
    let folders = [&foreign.guests, &programs, &foreign.unpacked].map(PathBuf::as_path);
    Ok(match case.boots {
        Boots::Linux(_) => Some(bundle::pack(
            &bundle::default_manifest(),
            &foreign.guests,
            &changes,
        )?),
        Boots::Manifest(text) => Some(bundle::pack_text(text, &folders, &changes)?),
        Boots::Made(make) => Some(bundle::pack_text(&make(), &folders, &changes)?),
        Boots::TestGuest(name) => Some(bundle::pack_text(
            &cases::test_guest_manifest(name),
            &folders,
            &changes,
        )?),
        Boots::DamagedManifest => Some(damaged_manifest()?),
        Boots::Bytes(bytes) => Some(bytes.to_vec()),
        Boots::NoBundle | Boots::Bare(_) => None,
    })
}

fn damaged_manifest() -> Result<Vec<u8>> {
    let mut archive = manifest::host::Writer::new(Vec::new());
    archive.member(
        manifest::MEMBER,
        b"version = 1: the source, not the compiled tree",
    )?;
    Ok(archive.finish()?)
}
