// SPDX-License-Identifier: MIT OR Apache-2.0

//! `cargo xtask bench --traps`: what a guest's traps and interrupts cost, in instructions of guest, EL2 and firmware
//! together, with GICv3 and GICv2. The test guest's group `traps` measures.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Result, ensure};
use platform::GicVersion;

use super::table::{Budget, grouped};
use super::{Options, end, judge};
use crate::cache::Cache;
use crate::firmware::{self, Optee};
use crate::host;
use crate::image::{self, Profile};
use crate::packages::Packages;
use crate::qemu::Machine;
use crate::session::RunDir;
use crate::toolchain::Toolchain;

const GICS: [GicVersion; 2] = [GicVersion::V3, GicVersion::V2];
/// What begins a line with a figure.
const MARK: &str = "traps: ";
/// What another core makes a difference to.
const ON_TWO_CORES: [&str; 2] = ["SGI to another vCPU", "timer of a waiting vCPU"];

/// What the figures may be at most, by either GIC.
const BUDGETS: &[(&str, f64)] = &[
    ("hypercall", 115.0),
    ("UART register read", 278.0),
    ("distributor register read", 271.0),
    ("distributor register write", 389.0),
    ("SGI to itself", 785.0),
    ("SGI to another vCPU", 2_465.0),
    ("timer of a busy vCPU", 765.0),
    ("timer of a waiting vCPU", 1_280.0),
    ("change of two busy vCPUs", 1_605.0),
    ("SGI to another vCPU, two cores", 1_000.0),
    ("timer of a waiting vCPU, two cores", 785.0),
];

fn manifest(cores: u32) -> String {
    // With a core of its own there is no other vCPU to change to.
    let groups = if cores == 1 { "traps,turns" } else { "traps" };
    format!(
        "version = 1\n[[guest]]\nname = \"traps\"\nvcpus = 2\nmemory = \"16MiB\"\nslice = \"2ms\"\n\
         kernel = \"testguest.bin\"\nbootargs = \"test={groups}\"\n"
    )
}

/// A measurement's name and instructions.
type Figure = (String, u64);

/// Measures, prints, judges.
pub fn run(options: &Options) -> Result<ExitCode> {
    let cache = Cache::open()?;
    host::ensure_tools(&cache)?;
    let packages = Packages::ensure(&cache)?;
    let machines = [1, 2].map(|cores| GICS.map(|gic| (cores, gic)));
    let flash = |(cores, gic)| firmware::flash(&cache, &packages, gic, cores, Optee::None);
    let flashes: Vec<PathBuf> = machines
        .iter()
        .flatten()
        .map(|&of| flash(of))
        .collect::<Result<_>>()?;
    let toolchain = Toolchain::ensure(&cache)?;
    drop(cache);
    let image = image::hypervisor(&toolchain, Profile::Release)?;
    image::test_guests(&toolchain)?;
    let mut figures = [Vec::new(), Vec::new()];
    for (&(cores, gic), flash) in machines.iter().flatten().zip(flashes) {
        let found = measure(options, cores, gic, flash, &image)?;
        figures[usize::from(gic == GicVersion::V2)].extend(named(cores, found));
    }
    print!("{}", render(options, &figures));
    Ok(judge(&budgets(&figures)))
}

/// Takes of two cores' figures what is another than one core's.
fn named(cores: u32, figures: Vec<Figure>) -> Vec<Figure> {
    if cores == 1 {
        return figures;
    }
    let differ = figures
        .into_iter()
        .filter(|(name, _)| ON_TWO_CORES.contains(&name.as_str()));
    differ
        .map(|(name, count)| (format!("{name}, two cores"), count))
        .collect()
}

fn measure(
    options: &Options,
    cores: u32,
    gic: GicVersion,
    flash: PathBuf,
    image: &Path,
) -> Result<Vec<Figure>> {
    let machine = Machine {
        gic,
        cpu: options.cpu.clone(),
        smp: cores,
        icount: true,
        optee: Some(Optee::None),
        ..Machine::default()
    };
    let name = format!("bench-traps-{gic:?}-{cores}").to_lowercase();
    let dir = RunDir::new(&name, None)?;
    let lines = super::test_guests(options, &dir, &machine, flash, image, &manifest(cores))?;
    let figures: Vec<Figure> = lines.iter().filter_map(|line| figure(line)).collect();
    ensure!(
        !figures.is_empty(),
        "{name} has no figures, and ended with:\n{}\n",
        end(&lines)
    );
    Ok(figures)
}

/// Reads `traps: NAME: N`.
fn figure(line: &str) -> Option<Figure> {
    let (name, count) = line.split_once(MARK)?.1.rsplit_once(": ")?;
    Some((name.to_owned(), count.trim().parse().ok()?))
}

fn render(options: &Options, [v3, v2]: &[Vec<Figure>; 2]) -> String {
    let mut text = format!(
        "\nInstructions for one; {}, -icount shift=0,sleep=off\n\n| | GICv3 | GICv2 |\n| --- | --: | --: |\n",
        options.cpu
    );
    for (name, count) in v3 {
        let other = find(v2, name).map_or("–".to_owned(), grouped);
        text += &format!("| {name} | {} | {other} |\n", grouped(*count));
    }
    text
}

fn find(figures: &[Figure], name: &str) -> Option<u64> {
    let found = figures.iter().find(|(other, _)| other == name);
    found.map(|(_, count)| *count)
}

/// Returns the budgets, which the worse of both has to keep. What was not measured keeps none.
fn budgets(figures: &[Vec<Figure>; 2]) -> Vec<Budget> {
    let of = |figures: &Vec<Figure>, what| find(figures, what).map_or(f64::INFINITY, |n| n as f64);
    let budget = |&(what, limit): &(&'static str, f64)| Budget {
        what,
        spent: figures
            .iter()
            .map(|each| of(each, what))
            .fold(0.0, f64::max),
        limit,
    };
    BUDGETS.iter().map(budget).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_has_a_name_and_a_number() {
        let found = figure("traps| traps: SGI to itself: 1234\r");
        assert_eq!(found, Some(("SGI to itself".into(), 1234)));
        assert_eq!(figure("test traps::calls ... ok"), None);
    }

    #[test]
    fn the_worse_of_both_keeps_a_budget_and_what_is_missing_none() {
        let all = BUDGETS
            .iter()
            .map(|(what, limit)| ((*what).to_owned(), *limit as u64));
        let mut both = [all.clone().collect::<Vec<_>>(), all.collect()];
        assert!(budgets(&both).iter().all(Budget::is_kept));
        both[0][0].1 += 1;
        both[1].pop();
        let kept: Vec<bool> = budgets(&both).iter().map(Budget::is_kept).collect();
        assert_eq!(kept.iter().filter(|&&kept| !kept).count(), 2);
        assert!(!kept[0] && !kept[BUDGETS.len() - 1]);
    }

    #[test]
    fn two_cores_are_named_where_they_make_a_difference() {
        let found = [("hypercall", 1), (ON_TWO_CORES[0], 2)].map(|(name, n)| (name.to_owned(), n));
        assert_eq!(named(1, found.to_vec()), found);
        assert_eq!(
            named(2, found.to_vec()),
            [("SGI to another vCPU, two cores".to_owned(), 2)]
        );
    }
}
