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
const MANIFEST: &str = "version = 1\n[[guest]]\nname = \"traps\"\nvcpus = 2\nmemory = \"16MiB\"\n\
    kernel = \"testguest.bin\"\nbootargs = \"test=traps\"\n";
/// What begins a line with a figure.
const MARK: &str = "traps: ";

/// What GICv3's figures may be at most.
const BUDGETS: &[(&str, f64)] = &[
    ("hypercall", 180.0),
    ("UART register read", 350.0),
    ("distributor register read", 300.0),
];

/// A measurement's name and instructions.
type Figure = (String, u64);

/// Measures, prints, judges.
pub fn run(options: &Options) -> Result<ExitCode> {
    let cache = Cache::open()?;
    host::ensure_tools(&cache)?;
    let packages = Packages::ensure(&cache)?;
    let flash = |gic| firmware::flash(&cache, &packages, gic, 1, Optee::None);
    let flashes: Vec<PathBuf> = GICS.into_iter().map(flash).collect::<Result<_>>()?;
    let toolchain = Toolchain::ensure(&cache)?;
    drop(cache);
    let image = image::hypervisor(&toolchain, Profile::Release)?;
    image::test_guests(&toolchain)?;
    let mut measured = Vec::new();
    for (gic, flash) in GICS.into_iter().zip(flashes) {
        measured.push(measure(options, gic, flash, &image)?);
    }
    let [v3, v2] = &measured[..] else {
        unreachable!("one for each GIC");
    };
    print!("{}", render(options, v3, v2));
    Ok(judge(&budgets(v3)))
}

fn measure(
    options: &Options,
    gic: GicVersion,
    flash: PathBuf,
    image: &Path,
) -> Result<Vec<Figure>> {
    let machine = Machine {
        gic,
        cpu: options.cpu.clone(),
        smp: 1,
        icount: true,
        optee: Some(Optee::None),
        ..Machine::default()
    };
    let name = format!("bench-traps-{gic:?}").to_lowercase();
    let dir = RunDir::new(&name, None)?;
    let lines = super::test_guests(options, &dir, &machine, flash, image, MANIFEST)?;
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

fn render(options: &Options, v3: &[Figure], v2: &[Figure]) -> String {
    let mut text = format!(
        "\nInstructions for one; one {}, -icount shift=0,sleep=off\n\n| | GICv3 | GICv2 |\n| --- | --: | --: |\n",
        options.cpu
    );
    for (name, count) in v3 {
        let other = v2.iter().find(|(other, _)| other == name);
        let other = other.map_or("–".to_owned(), |(_, count)| grouped(*count));
        text += &format!("| {name} | {} | {other} |\n", grouped(*count));
    }
    text
}

fn budgets(figures: &[Figure]) -> Vec<Budget> {
    let budget = |&(what, limit): &(&'static str, f64)| {
        let (_, count) = figures.iter().find(|(name, _)| name == what)?;
        let spent = *count as f64;
        Some(Budget { what, spent, limit })
    };
    BUDGETS.iter().filter_map(budget).collect()
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
}
