// SPDX-License-Identifier: MIT OR Apache-2.0

//! `cargo xtask bench --delay`: how late a control task wakes beside a guest on the same core that tries one thing after
//! another to delay it, and EL2's longest section with interrupts masked meanwhile. The test guest's groups `control` and
//! `attacker` are the two.

use std::fs;
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use platform::GicVersion;

use super::table::{self, Budget, grouped};
use super::{Options, build, el2_counter, end, judge};
use crate::cache::Cache;
use crate::firmware::{self, Optee};
use crate::image::{self, Profile};
use crate::packages::Packages;
use crate::qemu::Machine;
use crate::session::RunDir;
use crate::toolchain::Toolchain;
use crate::{host, sections};

/// The two guests. The attacker restarts as often as it likes.
const MANIFEST: &str = include_str!("../../../qemu/profiles/test/delay.toml");
/// What begins a line with figures.
const MARK: &str = "delay: ";
/// A turn of the attacker's vCPUs, in instructions: its `slice`.
const SLICE: u64 = 500_000;
/// What a vCPU that is due may wait for besides: EL2's longest section, and the switch.
const SECTION: u64 = 25_000;
/// What OP-TEE may keep the core for besides, with interrupts masked.
const SECURE: u64 = 200_000;
/// What begins the names of attacks through OP-TEE.
const OPTEE: &str = "OP-TEE";

/// What was measured under one attack.
#[derive(Debug, PartialEq, Eq)]
struct Figure {
    attack: String,
    /// The attacker's vCPUs that compute at once.
    vcpus: u64,
    periods: u64,
    /// Instructions from the deadline until the handler has run: half of the periods, 99 of 100, all stay below.
    median: u64,
    most: u64,
    longest: u64,
}

/// Measures, prints, judges.
pub fn run(options: &Options) -> Result<ExitCode> {
    let cache = Cache::open()?;
    host::ensure_tools(&cache)?;
    let packages = Packages::ensure(&cache)?;
    let flash = firmware::flash(&cache, &packages, GicVersion::V3, 4, Optee::Virtualized)?;
    let plugin = build::plugin(&cache, "masked")?;
    let toolchain = Toolchain::ensure(&cache)?;
    drop(cache);
    let image = image::hypervisor(&toolchain, Profile::Release)?;
    image::test_guests(&toolchain)?;
    let dir = RunDir::new("bench-delay", None)?;
    let counted = dir.file("sections");
    let machine = Machine {
        cpu: options.cpu.clone(),
        smp: 1,
        icount: true,
        optee: Some(Optee::Virtualized),
        plugin: plugin.map(|file| el2_counter(file, &counted)),
        ..Machine::default()
    };
    let lines = super::test_guests(options, &dir, &machine, flash, &image, MANIFEST)?;
    let figures: Vec<Figure> = lines.iter().filter_map(|line| figure(line)).collect();
    let failed = lines.iter().find(|line| line.contains("FAILED"));
    ensure!(
        failed.is_none() && !figures.is_empty(),
        "it ended with:\n{}\n{}",
        failed.map_or("", |line| line),
        end(&lines)
    );
    print!("{}", render(options, &figures));
    if machine.plugin.is_some() {
        let text =
            fs::read_to_string(&counted).with_context(|| format!("{}", counted.display()))?;
        println!("\nEL2's {}", sections::verdict(&text, 0)?);
    }
    Ok(judge(&budgets(&figures)))
}

/// Reads `delay: ATTACK: VCPUS PERIODS MEDIAN MOST LONGEST`.
fn figure(line: &str) -> Option<Figure> {
    let (attack, numbers) = line.split_once(MARK)?.1.rsplit_once(": ")?;
    let numbers: Vec<u64> = numbers
        .split_whitespace()
        .filter_map(|word| word.parse().ok())
        .collect();
    let [vcpus, periods, median, most, longest] = numbers[..] else {
        return None;
    };
    let attack = attack.to_owned();
    Some(Figure {
        attack,
        vcpus,
        periods,
        median,
        most,
        longest,
    })
}

fn render(options: &Options, figures: &[Figure]) -> String {
    let head = [
        "attack",
        "periods",
        "median",
        "99 of 100",
        "longest",
        "bound",
    ];
    let cells = |figure: &Figure| {
        [
            figure.attack.clone(),
            figure.periods.to_string(),
            grouped(figure.median),
            grouped(figure.most),
            grouped(figure.longest),
            grouped(bound(figure)),
        ]
    };
    format!(
        "\nInstructions from a deadline until its handler has run; one {}, -icount shift=0,sleep=off\n\n{}",
        options.cpu,
        table::aligned(head, figures.iter().map(cells))
    )
}

/// Returns what the longest delay may be.
fn bound(figure: &Figure) -> u64 {
    let secure = figure.attack.starts_with(OPTEE);
    figure.vcpus * SLICE + SECTION + u64::from(secure) * SECURE
}

/// Makes a budget of the attacks that have the same bound: the longest delay of them all.
fn budgets(figures: &[Figure]) -> Vec<Budget> {
    let kinds = [
        ("the longest delay by one vCPU", 1, false),
        ("the longest delay by two vCPUs", 2, false),
        ("the longest delay by OP-TEE and one vCPU", 1, true),
        ("the longest delay by OP-TEE and two vCPUs", 2, true),
    ];
    let budget = |(what, vcpus, secure)| {
        let same = figures
            .iter()
            .filter(|figure| (figure.vcpus, figure.attack.starts_with(OPTEE)) == (vcpus, secure));
        let worst = same.max_by_key(|figure| figure.longest)?;
        Some(Budget {
            what,
            spent: worst.longest as f64,
            limit: bound(worst) as f64,
        })
    };
    kinds.into_iter().filter_map(budget).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Figure {
        figure(line).unwrap()
    }

    #[test]
    fn figures_have_the_attacks_name() {
        let found = read("control| delay: UART: text: 1 80 90 100 110\r");
        let expected = Figure {
            attack: "UART: text".into(),
            vcpus: 1,
            periods: 80,
            median: 90,
            most: 100,
            longest: 110,
        };
        assert_eq!(found, expected);
        assert_eq!(figure("delay: UART: 1 2 3"), None);
        assert_eq!(figure("test control::wakes_in_time ... ok"), None);
    }

    #[test]
    fn each_kind_has_its_bound() {
        let figures = [
            read("delay: loop: 1 9 0 0 525000"),
            read("delay: OP-TEE: calls: 1 9 0 0 725000"),
            read("delay: loop: 1 9 0 0 525001"),
            read("delay: loops: 2 9 0 0 1025000"),
        ];
        let kept: Vec<bool> = budgets(&figures).iter().map(Budget::is_kept).collect();
        assert_eq!(kept, [false, true, true]);
    }

    #[test]
    fn the_attackers_slice_is_the_manifests() {
        manifest::host::compile(MANIFEST).unwrap();
        let slice = format!("slice = \"{}us\"", SLICE / 1000);
        assert!(MANIFEST.contains(&slice));
    }
}
