//! `cargo xtask test`: the checks, the host's tests, and the runs in QEMU of [`cases`].

mod case;
mod cases;
mod host;
mod passthrough;

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::boards::Firmware;
use crate::bundle::{self, Changes};
use crate::cache::{self, Cache};
use crate::guest;
use crate::image::{self, Profile};
use crate::packages::Packages;
use crate::qemu::{self, Files, Machine};
use crate::session::{self, Ended, Mode, Outcome, RunDir, Until};
use crate::toolchain::Toolchain;
use crate::{check, command, fuzz};
use case::{Boots, Case, Expect};

/// How long to fuzz, always from the same seed.
const FUZZ_SECONDS: u32 = 60;

/// Arguments of `test`.
#[derive(clap::Args)]
pub struct Options {
    /// Only the runs in QEMU whose name contains this
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// Only what needs no QEMU
    #[arg(long, conflicts_with = "only")]
    host: bool,
    /// Print the names of the runs in QEMU
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
        cases::all().for_each(|case| println!("{}", case.name));
        return Ok(ExitCode::SUCCESS);
    }
    let cache = Cache::open()?;
    crate::host::ensure_tools(&cache)?;
    let toolchain = Toolchain::ensure(&cache)?;
    drop(cache);
    println!("{}\n{}", toolchain.describe(), qemu::version()?);
    let mut tally = Tally::default();
    if options.only.is_none() {
        for (name, check) in check::checks(&toolchain) {
            tally.run(name, check)?;
        }
        host::run(&mut tally)?;
        tally.run("fuzz", || fuzz::search(FUZZ_SECONDS, 1))?;
    }
    if !options.host {
        run_machines(
            &toolchain,
            options.only.as_deref().unwrap_or(""),
            &mut tally,
        )?;
    }
    Ok(conclude(&tally))
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

fn run_machines(toolchain: &Toolchain, filter: &str, tally: &mut Tally) -> Result<()> {
    session::remove_stale_runs()?;
    let bench = Bench::prepare(toolchain)?;
    for case in cases::all().filter(|case| case.name.contains(filter)) {
        tally.run(case.name, || bench.run(case))?;
    }
    Ok(())
}

/// Everything the runs have in common.
struct Bench {
    release: PathBuf,
    debug: PathBuf,
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
    fn ensure(machine: &Machine) -> Result<Self> {
        let cache = Cache::open()?;
        let packages = Packages::with_optee(&cache, machine.optee_suite())?;
        Ok(Self {
            firmware: Firmware::ensure(&cache, &packages, machine)?,
            guests: guest::ensure(&cache, &packages)?,
            unpacked: packages.root(),
        })
    }
}

impl Bench {
    fn prepare(toolchain: &Toolchain) -> Result<Self> {
        let packages = Packages::ensure(&Cache::open()?)?;
        print!("{}", packages.versions()?);
        image::test_guests(toolchain)?;
        Ok(Self {
            release: image::hypervisor(toolchain, Profile::Release)?,
            debug: image::hypervisor(toolchain, Profile::Debug)?,
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
        if case.residue {
            let path = dir.file("residue");
            fs::write(&path, [0xa5; 1 << 20])?;
            machine.residue = Some(path);
        }
        let files = self.files(case, &machine, &dir)?;
        let enough =
            |lines: &[String]| case.waits_for_lines_only() && missing(case, lines).is_empty();
        let until = Until {
            script: case.types,
            limit: Some(Duration::from_secs(case.seconds)),
            enough: Some(&enough),
            ..Until::default()
        };
        let outcome = session::run(&machine, &files, &dir, &until, Mode::Captured)?;
        let mut verdict = judge(case, &outcome);
        if let (Ok(_), Some(disk)) = (&verdict, &machine.disk) {
            verdict = passthrough::check(disk).map(|()| String::new());
        }
        if verdict.is_err() {
            fs::create_dir_all(kept.parent().unwrap_or(&kept))?;
            fs::rename(dir.keep(), &kept)?;
        }
        let shown = verdict.with_context(|| format!("logs in {}", kept.display()))?;
        // The run's own QEMU, if it is not the one that is named at the start.
        let emulator = files.firmware.emulator.fetched()?;
        Ok([Some(shown), emulator].into_iter().flatten().collect())
    }

    fn files(&self, case: &Case, machine: &Machine, dir: &RunDir) -> Result<Files> {
        let foreign = Foreign::ensure(machine)?;
        let bl33 = match case.profile {
            _ if case.boots.bare().is_some() => image::elf(Profile::Release, "testguest.bin"),
            Profile::Release => self.release.clone(),
            Profile::Debug => self.debug.clone(),
        };
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

/// What is said of each expected line that is not there, or not often enough.
fn missing(case: &Case, lines: &[String]) -> Vec<String> {
    let times = |text: &str| lines.iter().filter(|line| line.contains(text)).count();
    let problem = |expect: &Expect| match *expect {
        Expect::Line(text) | Expect::Shown(text) if times(text) == 0 => {
            Some(format!("no line with {text:?}"))
        }
        Expect::Times(least, text) if times(text) < least => Some(format!(
            "{} lines with {text:?}, fewer than {least}",
            times(text)
        )),
        Expect::Sum(least, text) if sum(lines, text) < least => Some(format!(
            "{}{text} in all, fewer than {least}",
            sum(lines, text)
        )),
        Expect::Same(text) if !is_same(lines, text) => {
            Some(format!("not twice the same line with {text:?}"))
        }
        _ => None,
    };
    case.expect.iter().filter_map(problem).collect()
}

/// The sum of the numbers right before `text`.
fn sum(lines: &[String], text: &str) -> usize {
    let before = lines.iter().filter_map(|line| line.split_once(text));
    let numbers = before.filter_map(|(before, _)| before.rsplit(' ').next()?.parse::<usize>().ok());
    numbers.sum()
}

/// Whether at least two lines contain `text`, and are the same.
fn is_same(lines: &[String], text: &str) -> bool {
    let mut found = lines.iter().filter(|line| line.contains(text));
    let first = found.next();
    let more: Vec<_> = found.collect();
    !more.is_empty() && more.iter().all(|line| Some(*line) == first)
}

fn judge(case: &Case, outcome: &Outcome) -> Result<String> {
    let mut wrong = missing(case, &outcome.lines);
    for expect in case.expect {
        match expect {
            Expect::Line(_) | Expect::Shown(_) | Expect::Times(..) => {}
            Expect::Sum(..) | Expect::Same(_) => {}
            Expect::Absent(text) => {
                let found = outcome.lines.iter().filter(|line| line.contains(text));
                wrong.extend(found.map(|line| format!("a line that must not be: {line:?}")));
            }
            Expect::Between(from, to, text) => {
                let after = outcome.lines.iter().skip_while(|line| !line.contains(from));
                let between: Vec<_> = after.take_while(|line| !line.contains(to)).collect();
                if between.is_empty() {
                    wrong.push(format!("no line with {from:?}"));
                }
                let found = between.iter().find(|line| line.contains(text));
                wrong.extend(found.map(|line| format!("a line that must not be there: {line:?}")));
            }
            Expect::Statuses(statuses) if outcome.statuses != *statuses => {
                wrong.push(format!(
                    "guests' exit statuses {:?}, not {statuses:?}",
                    outcome.statuses
                ));
            }
            Expect::Statuses(_) => {}
            Expect::Off if !matches!(outcome.ended, Ended::Off | Ended::Over) => {
                wrong.push(format!("the machine did not go off: {:?}", outcome.ended));
            }
            Expect::Off => {}
        }
    }
    if outcome.ended == Ended::TimeLimit && wrong.is_empty() {
        wrong.push("the time limit was reached".into());
    }
    if !wrong.is_empty() {
        let last = outcome
            .lines
            .iter()
            .rev()
            .find(|line| !line.trim().is_empty());
        wrong.push(format!(
            "the last line was {:?}",
            last.map_or("", |line| line)
        ));
        bail!("{}", wrong.join("; "));
    }
    Ok(shown(case, &outcome.lines))
}

/// The lines that a run's result comes with.
fn shown(case: &Case, lines: &[String]) -> String {
    let wanted = case.expect.iter().filter_map(|expect| match expect {
        Expect::Shown(text) => {
            let line = lines.iter().find(|line| line.contains(text))?;
            Some(line.trim().to_owned())
        }
        Expect::Sum(_, text) => Some(format!("{}{text}", sum(lines, text))),
        _ => None,
    });
    let wanted: Vec<String> = wanted.collect();
    wanted.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(lines: &[&str], statuses: &[i32], ended: Ended) -> Outcome {
        let lines = lines.iter().map(|line| (*line).to_owned()).collect();
        Outcome {
            lines,
            statuses: statuses.to_vec(),
            ended,
        }
    }

    const CASE: Case = Case {
        expect: &[
            Expect::Line("good"),
            Expect::Shown("all"),
            Expect::Absent("panic"),
            Expect::Between("good", "end", "noise"),
            Expect::Times(1, "all"),
            Expect::Sum(2, " good"),
            Expect::Same("same"),
            Expect::Statuses(&[0]),
            Expect::Off,
        ],
        ..case::BASE
    };

    #[test]
    fn what_is_expected_passes() {
        let lines = &["all: 1 good", "1 good", "same", "same"];
        let shown = judge(&CASE, &outcome(lines, &[0], Ended::Off));
        assert_eq!(shown.unwrap(), "all: 1 good; 2 good");
    }

    #[test]
    fn every_expectation_can_fail() {
        let fails = |lines: &[&str], statuses: &[i32], ended, why: &str| {
            let text = judge(&CASE, &outcome(lines, statuses, ended))
                .unwrap_err()
                .to_string();
            assert!(text.contains(why), "{text}");
        };
        fails(&["bad"], &[0], Ended::Off, "no line with \"good\"");
        fails(&["good"], &[0], Ended::Off, "no line with \"all\"");
        fails(
            &["good", "panicked"],
            &[0],
            Ended::Off,
            "must not be: \"panicked\"",
        );
        fails(
            &["good", "noise", "end"],
            &[0],
            Ended::Off,
            "must not be there: \"noise\"",
        );
        fails(&["good"], &[1], Ended::Off, "exit statuses [1]");
        fails(&["good"], &[], Ended::Off, "exit statuses []");
        fails(&["good"], &[0], Ended::Off, "0 lines with \"all\"");
        fails(&["1 good", "good"], &[0], Ended::Off, "1 good in all");
        fails(&["same"], &[0], Ended::Off, "not twice the same");
        fails(&["same", "same 2"], &[0], Ended::Off, "not twice the same");
        fails(&["good"], &[0], Ended::TimeLimit, "did not go off");
    }

    #[test]
    fn time_limit_fails_a_case_that_waits_for_lines() {
        let case = Case {
            expect: &[Expect::Line("good")],
            ..case::BASE
        };
        assert!(judge(&case, &outcome(&["good"], &[], Ended::Enough)).is_ok());
        assert!(judge(&case, &outcome(&["good"], &[], Ended::TimeLimit)).is_err());
    }
}
