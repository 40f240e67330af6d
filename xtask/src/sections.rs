//! EL2's longest sections with interrupts masked, for `cargo xtask measure`.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::bench::{self, build};
use crate::bundle::{self, Changes};
use crate::cache::Cache;
use crate::image;
use crate::qemu::{Files, Firmware, Machine};
use crate::session::{self, Ended, Mode, RunDir, Until};
use crate::toolchain::Toolchain;

/// Instructions of EL2's for which a core's interrupts may wait.
const LIMIT: u64 = 20_000;
/// Silent guests in the manifest.
const SILENT: usize = 2;
/// Instructions of EL2's on a silent guest's core while the guest computes: a kick or two, from
/// before. What the others print would take millions.
const SILENT_LIMIT: u64 = 5_000;
const MANIFEST: &str = include_str!("../../qemu/profiles/test/flood.toml");

/// A section: its core, its length in instructions, and where its 10,000th is.
#[derive(Debug, PartialEq, Eq)]
struct Section {
    core: usize,
    count: u64,
    at: u64,
}

/// What the plugin has counted.
#[derive(Debug, Default, PartialEq, Eq)]
struct Counts {
    sections: Vec<Section>,
    /// Instructions on the core of each silent guest while it computes.
    silent: Vec<u64>,
}

/// What is needed for the run.
pub struct Setup {
    flash: PathBuf,
    image: PathBuf,
    guests: PathBuf,
    plugin: Option<PathBuf>,
}

impl Setup {
    /// Builds it; `flash` is the firmware of a machine with four cores.
    pub fn prepare(cache: &Cache, toolchain: &Toolchain, flash: PathBuf) -> Result<Self> {
        let guests = image::test_guests(toolchain)?;
        let guest = guests.first().context("there is no test guest")?;
        Ok(Self {
            flash,
            image: image::slow_hypervisor(toolchain)?,
            guests: guest.1.parent().context("its folder")?.to_owned(),
            plugin: build::plugin(cache, "masked")?,
        })
    }

    /// Runs guests that flood a console of 115,200 baud beside silent ones, and judges what EL2 did. True if it kept to its budgets.
    pub fn run(self) -> Result<bool> {
        let Some(plugin) = self.plugin else {
            println!("longest section, masked      ? (QEMU is built without plugins)");
            return Ok(true);
        };
        let dir = RunDir::new("measure-flood", None)?;
        let (initrd, out) = (dir.file("bundle"), dir.file("sections"));
        let bundle = bundle::pack_text(MANIFEST, &[&self.guests], &Changes::default())?;
        fs::write(&initrd, bundle)?;
        let machine = Machine {
            plugin: Some(bench::el2_counter(plugin, &out)),
            ..Machine::default()
        };
        let files = Files {
            firmware: Firmware::flash(self.flash),
            bl33: self.image,
            initrd: Some(initrd),
            bootargs: None,
        };
        let until = Until {
            limit: Some(Duration::from_secs(900)),
            ..Until::default()
        };
        let outcome = session::run(&machine, &files, &dir, &until, Mode::Captured)?;
        let end = &outcome.lines[outcome.lines.len().saturating_sub(12)..];
        ensure!(
            outcome.ended == Ended::Off,
            "the flood did not end: {:?}, with:\n{}",
            outcome.ended,
            end.join("\n")
        );
        let counts = parse(&fs::read_to_string(&out)?).context("the plugin's counts")?;
        Ok(judge(&counts))
    }
}

fn parse(text: &str) -> Option<Counts> {
    let mut counts = Counts::default();
    for line in text.lines() {
        match line.split(' ').collect::<Vec<_>>()[..] {
            ["section", core, count, _, _, at] => counts.sections.push(Section {
                core: core.parse().ok()?,
                count: count.parse().ok()?,
                at: u64::from_str_radix(at, 16).ok()?,
            }),
            ["silent", _, count] => counts.silent.push(count.parse().ok()?),
            _ => return None,
        }
    }
    Some(counts)
}

fn judge(counts: &Counts) -> bool {
    let Some(longest) = counts.sections.iter().max_by_key(|section| section.count) else {
        return false;
    };
    let verdict = |kept| if kept { "kept" } else { "EXCEEDED" };
    let short = longest.count <= LIMIT;
    println!(
        "longest section, masked      {} instructions of {LIMIT} on core {}: {}",
        longest.count,
        longest.core,
        verdict(short)
    );
    for section in counts
        .sections
        .iter()
        .filter(|section| section.count > LIMIT)
    {
        println!(
            "  core {}: {}, its 10,000th at {:#x}",
            section.core, section.count, section.at
        );
    }
    let most = counts.silent.iter().max().copied().unwrap_or(u64::MAX);
    let quiet = counts.silent.len() == SILENT && most <= SILENT_LIMIT;
    println!(
        "EL2 on a silent guest's core {most} instructions of {SILENT_LIMIT}: {}",
        verdict(quiet)
    );
    short && quiet
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_of_the_plugin() {
        let counts = parse("section 3 21000 60000400 60000404 60001000\nsilent 3 99\n").unwrap();
        let section = Section {
            core: 3,
            count: 21000,
            at: 0x6000_1000,
        };
        assert_eq!(counts.sections, [section]);
        assert_eq!(counts.silent, [99]);
        assert!(!judge(&counts));
        assert!(parse("section 3").is_none());
    }

    #[test]
    fn a_short_section_and_quiet_cores_are_within_the_budgets() {
        let judged = |silent: u64| {
            let text = format!("section 0 900 1 2 0\nsilent 0 9\nsilent 1 {silent}\n");
            judge(&parse(&text).unwrap())
        };
        assert!(judged(1000));
        assert!(!judged(9_000_000));
        assert!(!judge(&parse("section 0 900 1 2 0\nsilent 0 9\n").unwrap()));
        assert!(!judge(&Counts::default()));
    }
}
