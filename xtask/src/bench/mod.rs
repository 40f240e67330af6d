// SPDX-License-Identifier: MIT OR Apache-2.0

//! `cargo xtask bench`: what a call to OP-TEE costs a Linux program, in instructions, without
//! hypervisor, with it, and at EL2 alone. One core under `-icount`, so the medians repeat.

pub mod build;
mod counts;
pub mod delay;
mod profile;
mod scaling;
pub mod table;
mod timings;
mod traps;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::bundle::{self, Changes};
use crate::cache::{self, Cache};
use crate::firmware::{self, BL33, Optee};
use crate::image::{self, Profile};
use crate::packages::Packages;
use crate::qemu::{Files, Firmware, Machine, Plugin};
use crate::session::{self, Ended, Mode, RunDir, Until};
use crate::toolchain::Toolchain;
use crate::{command, emulator, guest, host, run, ui};
use build::Programs;
use counts::Counts;
use timings::Timing;

/// Where EL2's instructions are: the hypervisor runs where it is loaded. More than its image,
/// less than a guest's or OP-TEE's code comes near.
const EL2_SIZE: u64 = 2 << 20;
/// A processor whose branch predictor needs no work at the exits of a guest (docs/performance.md).
pub const PLAIN_CPU: &str = "cortex-a53";
/// The tables of vectors.
const VECTORS: [&str; 2] = ["exception_vectors", "exception_vectors_with_work"];
/// The vectors' entry of a guest's synchronous exceptions: "from a lower level, AArch64".
const SYNCHRONOUS: u64 = 0x400;

/// Arguments of `bench`.
#[derive(clap::Args)]
pub struct Options {
    /// Only the cases whose name contains one of these
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = case_part)]
    cases: Vec<String>,
    /// How often to call; the long calls are made less often
    #[arg(long, value_name = "N", default_value_t = 40, value_parser = clap::value_parser!(u32).range(1..100_000))]
    iterations: u32,
    /// QEMU's name of the processor; most need more work at each exit than this one
    #[arg(long, value_name = "NAME", default_value = PLAIN_CPU)]
    cpu: String,
    /// Which of EL2's functions this case's instructions are in, too
    #[arg(long, value_name = "CASE", value_parser = case_part)]
    profile: Option<String>,
    /// Instead: several cores in OP-TEE at once, and a guest beside one that floods OP-TEE
    #[arg(long, conflicts_with_all = ["cases", "profile"])]
    scaling: bool,
    /// Instead: what a guest's traps and interrupts cost
    #[arg(long, conflicts_with_all = ["cases", "profile", "scaling"])]
    traps: bool,
    /// Instead: how late a control task wakes beside a guest that tries everything to delay it
    #[arg(long, conflicts_with_all = ["profile", "scaling", "traps"])]
    delay: bool,
    /// End a machine after this many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 1800)]
    timeout: u64,
}

/// Reads a part of a case's name: the guest's shell must not take it for anything else.
fn case_part(text: &str) -> Result<String, String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    match !text.is_empty() && text.chars().all(plain) {
        true => Ok(text.to_owned()),
        false => Err("a case's name has letters, digits, `.`, `_` and `-`".into()),
    }
}

impl Options {
    fn command(&self) -> String {
        // In its first second Linux has other work yet, which would share the core with the
        // calls that outlast a time slice.
        let (calls, cases) = (self.iterations, self.cases.join(","));
        format!("sleep 5; teebench {calls} {cases}")
            .trim_end()
            .to_owned()
    }
}

/// Performs the task.
pub fn run(options: &Options) -> Result<ExitCode> {
    session::remove_stale_runs()?;
    if options.traps {
        return traps::run(options);
    }
    if options.delay {
        return delay::run(options);
    }
    let setups = Setups::prepare(options)?;
    if options.scaling {
        return scaling::run(&setups, options.iterations);
    }
    let plain = setups.plain()?;
    let (teevisor, counts) = setups.teevisor()?;
    let entry = |name| Ok(BL33 + symbol(name)? + SYNCHRONOUS);
    let entries: Vec<u64> = VECTORS.into_iter().map(entry).collect::<Result<_>>()?;
    let rows = table::join(&plain, &teevisor, counts.as_deref(), &entries);
    let rows = rows.context("the set-ups did not run the same cases")?;
    ensure!(!rows.is_empty(), "no case's name contains any of the list");
    println!("\nMedian instructions of a call; traps to EL2 by the guest itself\n");
    print!("{}", table::render(&rows));
    if let (Some(name), Some(counts)) = (&options.profile, &counts) {
        let index = rows.iter().position(|row| row.name == *name);
        let index = index.with_context(|| format!("case {name} was not measured"))?;
        profile::print(name, &counts[index], &elf())?;
    }
    let tick = counts.as_deref().and_then(counts::tick);
    Ok(judge(&table::budgets(&rows, tick)))
}

/// Prints what EL2 may spend and what it spends. Fails if that is more.
fn judge(budgets: &[table::Budget]) -> ExitCode {
    if !budgets.is_empty() {
        println!("\nEL2's budgets, in instructions");
    }
    for budget in budgets {
        let verdict = if budget.is_kept() { "kept" } else { "EXCEEDED" };
        println!(
            "{verdict:<8}  {:7.1} of {:5}  {}",
            budget.spent, budget.limit, budget.what
        );
    }
    match budgets.iter().all(table::Budget::is_kept) {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

fn symbol(name: &str) -> Result<u64> {
    let text = command::output(Command::new("aarch64-linux-gnu-nm").arg(elf()))?;
    address(&text, name).with_context(|| format!("the hypervisor has no symbol {name}"))
}

/// Returns the address of a symbol in `nm`'s list.
fn address(list: &str, name: &str) -> Option<u64> {
    let mut lines = list.lines().map(|line| line.split_whitespace().collect());
    let line = lines.find(|words: &Vec<&str>| words.get(2) == Some(&name))?;
    u64::from_str_radix(line[0], 16).ok()
}

fn elf() -> PathBuf {
    image::elf(Profile::Release, "teevisor")
}

/// What both machines start from.
struct Setups {
    command: String,
    limit: Duration,
    plain: PathBuf,
    virtualized: PathBuf,
    cpu: String,
    image: PathBuf,
    plugin: Option<PathBuf>,
    /// The guests' kernel, and their initial file system with the programs in it.
    folder: RunDir,
}

impl Setups {
    /// Builds everything and says what it is.
    fn prepare(options: &Options) -> Result<Self> {
        let cache = Cache::open()?;
        host::ensure_tools(&cache)?;
        let packages = Packages::ensure(&cache)?;
        let Programs { archive, plugin } = build::programs(&cache, &packages)?;
        let folder = folder(&guest::ensure(&cache, &packages)?, &archive)?;
        let gic = Machine::default().gic;
        let plain = firmware::flash(&cache, &packages, gic, 4, Optee::Plain)?;
        let virtualized = firmware::flash(&cache, &packages, gic, 4, Optee::Virtualized)?;
        let toolchain = Toolchain::ensure(&cache)?;
        drop(cache);
        let image = image::hypervisor(&toolchain, Profile::Release)?;
        let setups = Self {
            command: options.command(),
            limit: Duration::from_secs(options.timeout),
            plain,
            virtualized,
            cpu: options.cpu.clone(),
            image,
            plugin,
            folder,
        };
        setups.describe(&packages, &toolchain)?;
        if !options.scaling {
            setups.describe_machine()?;
        }
        Ok(setups)
    }

    fn describe(&self, packages: &Packages, toolchain: &Toolchain) -> Result<()> {
        let mut commit = Command::new("git");
        commit.args(["describe", "--always", "--dirty"]);
        let commit = command::output(commit.current_dir(cache::workspace()));
        println!("teevisor {}", commit.unwrap_or("?".into()).trim());
        println!("{}\n{}", toolchain.describe(), emulator::version()?);
        print!("{}", packages.versions()?);
        Ok(())
    }

    fn describe_machine(&self) -> Result<()> {
        let Machine { cpu, mem, .. } = self.machine(Optee::Plain);
        println!("machine: virt, GICv3, one {cpu}, {mem}; -icount shift=0,sleep=off -seed 1");
        let text = fs::read_to_string(bundle::default_manifest())?;
        println!(
            "manifest:\n{}",
            bundle::apply(&text, &self.changes())?.trim_end()
        );
        Ok(())
    }

    fn machine(&self, optee: Optee) -> Machine {
        Machine {
            cpu: self.cpu.clone(),
            smp: 1,
            icount: true,
            optee: Some(optee),
            ..Machine::default()
        }
    }

    fn changes(&self) -> Changes {
        Changes {
            vcpus: Some(1),
            command: Some(self.command.clone()),
            ..Changes::default()
        }
    }

    fn plain(&self) -> Result<Vec<Timing>> {
        let guests = self.folder.file("");
        let files = run::baseline(
            Firmware::flash(self.plain.clone()),
            &guests,
            Some(&self.command),
        );
        let dir = RunDir::new("bench-plain", None)?;
        let lines = self.boot("no hypervisor", &self.machine(Optee::Plain), &files, &dir)?;
        timings("no hypervisor", &lines)
    }

    /// Measures with EL2's counts, if QEMU can count.
    fn teevisor(&self) -> Result<(Vec<Timing>, Option<Vec<Counts>>)> {
        let text = fs::read_to_string(bundle::default_manifest())?;
        let (lines, counts) =
            self.guests("teevisor", 1, &bundle::apply(&text, &self.changes())?)?;
        Ok((timings("teevisor", &lines)?, counts))
    }

    /// Returns the console of a manifest's guests on so many cores, and EL2's counts.
    fn guests(
        &self,
        name: &str,
        cores: u32,
        manifest: &str,
    ) -> Result<(Vec<String>, Option<Vec<Counts>>)> {
        let dir = RunDir::new(&format!("bench-{name}"), None)?;
        let initrd = dir.file("bundle");
        let folder = self.folder.file("");
        let bundle = bundle::pack_text(manifest, &[&folder], &Changes::default())?;
        fs::write(&initrd, bundle).with_context(|| format!("{}", initrd.display()))?;
        let files = Files {
            firmware: Firmware::flash(self.virtualized.clone()),
            bl33: self.image.clone(),
            initrd: Some(initrd),
            bootargs: None,
        };
        let counted = dir.file("counts");
        let mut machine = self.machine(Optee::Virtualized);
        machine.smp = cores;
        // Cores that take turns would not meet: a turn can be as long as two seconds.
        machine.icount = cores == 1;
        machine.plugin = self.plugin.clone().map(|file| el2_counter(file, &counted));
        let lines = self.boot(name, &machine, &files, &dir)?;
        let counts = machine.plugin.map(|_| {
            let text = fs::read_to_string(&counted);
            counts::parse(&text.with_context(|| format!("{}", counted.display()))?)
        });
        Ok((lines, counts.transpose()?))
    }

    fn boot(
        &self,
        name: &str,
        machine: &Machine,
        files: &Files,
        dir: &RunDir,
    ) -> Result<Vec<String>> {
        let until = Until {
            limit: Some(self.limit),
            ..Until::default()
        };
        let step = format!("bench, {name}");
        let outcome = ui::step(&step, |_| {
            session::run(machine, files, dir, &until, Mode::Captured)
        })?;
        ensure!(
            outcome.ended == Ended::Off,
            "{step} ended by {:?}, with:\n{}\n",
            outcome.ended,
            end(&outcome.lines)
        );
        Ok(outcome.lines)
    }
}

/// Returns the console of a manifest's test guests, whose run leaves its files in `dir`.
fn test_guests(
    options: &Options,
    dir: &RunDir,
    machine: &Machine,
    flash: PathBuf,
    image: &Path,
    manifest: &str,
) -> Result<Vec<String>> {
    let initrd = dir.file("bundle");
    let guests = image::elf(Profile::Release, "");
    let bundle = bundle::pack_text(manifest, &[&guests], &Changes::default())?;
    fs::write(&initrd, bundle).with_context(|| format!("{}", initrd.display()))?;
    let files = Files {
        firmware: Firmware::flash(flash),
        bl33: image.to_owned(),
        initrd: Some(initrd),
        bootargs: None,
    };
    let until = Until {
        limit: Some(Duration::from_secs(options.timeout)),
        names: bundle::names_in(manifest)?,
        ..Until::default()
    };
    let outcome = ui::step("bench, test guests", |_| {
        session::run(machine, &files, dir, &until, Mode::Captured)
    })?;
    ensure!(
        outcome.ended == Ended::Off,
        "the test guests ended by {:?}, with:\n{}\n",
        outcome.ended,
        end(&outcome.lines)
    );
    Ok(outcome.lines)
}

/// Returns what teebench wrote to a console.
fn timings(name: &str, lines: &[String]) -> Result<Vec<Timing>> {
    timings::parse(lines).with_context(|| format!("bench, {name}, ended with:\n{}\n", end(lines)))
}

fn end(lines: &[String]) -> String {
    lines[lines.len().saturating_sub(12)..].join("\n")
}

/// Makes a plugin that counts what EL2 executes, and where it writes that.
pub fn el2_counter(file: PathBuf, out: &Path) -> Plugin {
    let arguments = vec![
        ("out", out.display().to_string()),
        ("start", format!("{BL33:x}")),
        ("size", format!("{EL2_SIZE:x}")),
    ];
    Plugin { file, arguments }
}

/// Makes a folder whose initial file system has the archive behind it: Linux unpacks archives that
/// follow each other one after the other.
fn folder(plain: &Path, archive: &Path) -> Result<RunDir> {
    let dir = RunDir::new("bench-guests", None)?;
    let mut initramfs = fs::read(plain.join(guest::INITRAMFS))?;
    initramfs.extend(fs::read(archive)?);
    fs::write(dir.file(guest::INITRAMFS), initramfs)?;
    fs::copy(plain.join(guest::KERNEL), dir.file(guest::KERNEL))?;
    Ok(dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_names_the_cases() {
        let mut options = Options {
            cases: vec!["pta.nop".into(), "reg_unreg_4K".into()],
            iterations: 21,
            cpu: PLAIN_CPU.into(),
            profile: None,
            scaling: false,
            traps: false,
            delay: false,
            timeout: 1,
        };
        let expected = "sleep 5; teebench 21 pta.nop,reg_unreg_4K";
        assert_eq!(options.command(), expected);
        options.cases.clear();
        assert_eq!(options.command(), "sleep 5; teebench 21");
    }

    #[test]
    fn case_is_nothing_that_a_shell_would_expand() {
        assert!(case_part("pta.shm_reg_4K").is_ok());
        for text in ["", "a b", "a;b", "$a", "a\"", "*"] {
            assert!(case_part(text).is_err(), "{text}");
        }
    }

    #[test]
    fn symbols_are_found_by_their_whole_name() {
        let list = "0000000000001000 T exception_vectors\n\
                    0000000000002000 T exception_vectors_end\n                 U other\n";
        assert_eq!(address(list, "exception_vectors"), Some(0x1000));
        assert_eq!(address(list, "exception"), None);
        assert_eq!(address(list, "other"), None);
    }
}
