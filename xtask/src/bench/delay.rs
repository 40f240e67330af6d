// SPDX-License-Identifier: MIT OR Apache-2.0

//! `cargo xtask bench --delay`: how late a control task wakes beside a guest on the same core that tries one thing after
//! another to delay it, and EL2's longest section with interrupts masked meanwhile. The test guest's groups `control` and
//! `attacker` are the two.

use std::fs;
use std::path::PathBuf;
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
/// What OP-TEE may keep the core for besides, with interrupts masked: measured, not bounded by anything.
const SECURE: u64 = 350_000;
/// The same for a VM's first call, for which OP-TEE prepares itself.
const FIRST_CALL: u64 = 900_000;
/// What begins the names of attacks through OP-TEE.
const OPTEE: &str = "OP-TEE";
const FIRST: &str = "first call";

/// How the core is shared.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Sharing {
    /// In turns: a control task that is due waits for those of the attacker's vCPUs.
    Turns,
    /// The control task takes the core from the attacker.
    Priority,
}

impl Sharing {
    /// Returns the manifest, for the attacks whose names contain one of `cases`, or for all.
    fn manifest(self, cases: &[String]) -> String {
        let text = match cases {
            [] => MANIFEST.to_owned(),
            cases => {
                let slot = "delay-slot=100";
                MANIFEST.replace(slot, &format!("{slot} delay-cases={}", cases.join(",")))
            }
        };
        match self {
            Self::Turns => text,
            Self::Priority => text.replacen("vcpus = 1\n", "vcpus = 1\npriority = 1\n", 1),
        }
    }

    /// Returns what the longest delay may be.
    fn bound(self, figure: &Figure) -> u64 {
        let turns = match self {
            Self::Turns => figure.vcpus * SLICE,
            Self::Priority => 0,
        };
        turns + SECTION + figure.secure()
    }
}

/// What was measured under one attack.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Figure {
    attack: String,
    /// The attacker's vCPUs that compute at once.
    vcpus: u64,
    periods: u64,
    /// Instructions from the deadline until the handler has run: half of the periods, 99 of 100, 999 of 1,000, all stay
    /// below.
    median: u64,
    most: u64,
    nearly_all: u64,
    longest: u64,
}

impl Figure {
    /// Returns what OP-TEE may add.
    fn secure(&self) -> u64 {
        match self.attack.starts_with(OPTEE) {
            true if self.attack.contains(FIRST) => FIRST_CALL,
            true => SECURE,
            false => 0,
        }
    }
}

/// Returns the manifest in which three guests with two vCPUs each compute beside the control task, and wakes are many.
fn crowd() -> String {
    let text = Sharing::Priority.manifest(&["loops".into()]);
    let text = text.replace("delay-slot=100", "delay-slot=2100 delay-period=200");
    let start = text.rfind("[[guest]]").unwrap_or_default();
    let attacker = text[start..].replace("owner = true", "enabled = false");
    let more = |number| attacker.replace("\"attacker\"", &format!("\"attacker-{number}\""));
    text + &more(2) + &more(3)
}

/// What the machines start from.
struct Setup<'a> {
    options: &'a Options,
    flash: PathBuf,
    image: PathBuf,
    plugin: Option<PathBuf>,
}

/// Writes the manifest in which each attack is short, and the control task with the higher priority judges by itself.
pub fn short_manifest() -> String {
    let text = Sharing::Priority.manifest(&[]);
    let short = format!("delay-from=700 delay-slot=12 delay-most={SECTION}");
    text.replace("delay-slot=100", &short)
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
    let setup = Setup {
        options,
        flash,
        image,
        plugin,
    };
    let of = |sharing: Sharing| sharing.manifest(&options.cases);
    let (turns, in_turns) = setup.measure("turns", &of(Sharing::Turns))?;
    let (priority, by_priority) = setup.measure("priority", &of(Sharing::Priority))?;
    let (crowd, _) = setup.measure("crowd", &crowd())?;
    print!("{}", render(options, &turns, &priority));
    for figure in &crowd {
        println!(
            "\nby priority beside three busy guests, {} wakes: median {}, 99.9 % {}, longest {}",
            grouped(figure.periods),
            grouped(figure.median),
            grouped(figure.nearly_all),
            grouped(figure.longest)
        );
    }
    println!("\nin turns: {in_turns}\nby priority: {by_priority}");
    let mut budgets = budgets(Sharing::Turns, &turns);
    budgets.extend(self::budgets(Sharing::Priority, &priority));
    budgets.extend(crowd.iter().map(|figure| Budget {
        what: "by priority: beside three busy guests",
        spent: figure.longest as f64,
        limit: SECTION as f64,
    }));
    Ok(judge(&budgets))
}

impl Setup<'_> {
    /// Returns the figures of all attacks, and what is to say of EL2's masked sections.
    fn measure(&self, name: &str, manifest: &str) -> Result<(Vec<Figure>, String)> {
        let dir = RunDir::new(&format!("bench-delay-{name}"), None)?;
        let counted = dir.file("sections");
        let plugin = self.plugin.clone().map(|file| el2_counter(file, &counted));
        let machine = Machine {
            cpu: self.options.cpu.clone(),
            smp: 1,
            icount: true,
            optee: Some(Optee::Virtualized),
            plugin,
            ..Machine::default()
        };
        let flash = self.flash.clone();
        let lines = super::test_guests(self.options, &dir, &machine, flash, &self.image, manifest)?;
        let figures: Vec<Figure> = lines.iter().filter_map(|line| figure(line)).collect();
        let failed = lines.iter().find(|line| line.contains("FAILED"));
        ensure!(
            failed.is_none() && !figures.is_empty(),
            "it ended with:\n{}\n{}",
            failed.map_or("", |line| line),
            end(&lines)
        );
        if machine.plugin.is_none() {
            return Ok((figures, "?".into()));
        }
        let text = fs::read_to_string(&counted);
        let text = text.with_context(|| format!("{}", counted.display()))?;
        Ok((figures, sections::verdict(&text, 0)?))
    }
}

/// Reads `delay: ATTACK: VCPUS PERIODS MEDIAN MOST NEARLY_ALL LONGEST`.
fn figure(line: &str) -> Option<Figure> {
    let (attack, numbers) = line.split_once(MARK)?.1.rsplit_once(": ")?;
    let numbers: Vec<u64> = numbers
        .split_whitespace()
        .filter_map(|word| word.parse().ok())
        .collect();
    let [vcpus, periods, median, most, nearly_all, longest] = numbers[..] else {
        return None;
    };
    let attack = attack.to_owned();
    Some(Figure {
        attack,
        vcpus,
        periods,
        median,
        most,
        nearly_all,
        longest,
    })
}

fn render(options: &Options, turns: &[Figure], priority: &[Figure]) -> String {
    let head = [
        "attack", "periods", "median", "longest", "bound", "periods", "median", "longest", "bound",
    ];
    let half = |sharing: Sharing, figure: &Figure| {
        [
            figure.periods,
            figure.median,
            figure.longest,
            sharing.bound(figure),
        ]
        .map(grouped)
    };
    let cells = |(turns, priority): (&Figure, &Figure)| {
        let [a, b, c, d] = half(Sharing::Turns, turns);
        let [e, f, g, h] = half(Sharing::Priority, priority);
        [turns.attack.clone(), a, b, c, d, e, f, g, h]
    };
    format!(
        "\nInstructions from a deadline until its handler has run: in turns, then with a higher priority; \
         one {}, -icount shift=0,sleep=off\n\n{}",
        options.cpu,
        table::aligned(head, turns.iter().zip(priority).map(cells))
    )
}

/// Makes a budget of the attacks that have the same bound: the longest delay of them all.
fn budgets(sharing: Sharing, figures: &[Figure]) -> Vec<Budget> {
    const SLICE_AND: u64 = SLICE + SECTION;
    let kinds: &[(&str, u64)] = match sharing {
        Sharing::Turns => &[
            ("in turns: the longest delay by one vCPU", SLICE_AND),
            ("in turns: by two vCPUs", SLICE_AND + SLICE),
            ("in turns: by OP-TEE and one vCPU", SLICE_AND + SECURE),
            (
                "in turns: by OP-TEE and two vCPUs",
                SLICE_AND + SLICE + SECURE,
            ),
            ("in turns: by a VM's first call", SLICE_AND + FIRST_CALL),
        ],
        Sharing::Priority => &[
            ("by priority: the longest delay", SECTION),
            ("by priority: by OP-TEE", SECTION + SECURE),
            ("by priority: by a VM's first call", SECTION + FIRST_CALL),
        ],
    };
    let budget = |&(what, bound): &(&'static str, u64)| {
        let same = figures
            .iter()
            .filter(|figure| sharing.bound(figure) == bound);
        Some(Budget {
            what,
            spent: same.map(|figure| figure.longest).max()? as f64,
            limit: bound as f64,
        })
    };
    kinds.iter().filter_map(budget).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Figure {
        figure(line).unwrap()
    }

    #[test]
    fn figures_have_the_attacks_name() {
        let found = read("control| delay: UART: text: 1 80 90 100 105 110\r");
        let expected = Figure {
            attack: "UART: text".into(),
            vcpus: 1,
            periods: 80,
            median: 90,
            most: 100,
            nearly_all: 105,
            longest: 110,
        };
        assert_eq!(found, expected);
        assert_eq!(figure("delay: UART: 1 2 3"), None);
        assert_eq!(figure("test control::wakes_in_time ... ok"), None);
    }

    #[test]
    fn each_kind_has_its_bound() {
        let figures = [
            read("delay: loop: 1 9 0 0 0 525000"),
            read("delay: OP-TEE: calls: 1 9 0 0 0 875000"),
            read("delay: OP-TEE: first call: 1 9 0 0 0 1425000"),
            read("delay: loop: 1 9 0 0 0 525001"),
            read("delay: loops: 2 9 0 0 0 1025000"),
        ];
        let kept = |sharing| -> Vec<bool> {
            let budgets = budgets(sharing, &figures);
            budgets.iter().map(Budget::is_kept).collect()
        };
        assert_eq!(kept(Sharing::Turns), [false, true, true, true]);
        assert_eq!(kept(Sharing::Priority), [false; 3]);
    }

    #[test]
    fn the_attackers_slice_is_the_manifests() {
        for sharing in [Sharing::Turns, Sharing::Priority] {
            manifest::host::compile(&sharing.manifest(&[])).unwrap();
        }
        manifest::host::compile(&crowd()).unwrap();
        let slice = format!("slice = \"{}us\"", SLICE / 1000);
        assert!(MANIFEST.contains(&slice));
    }
}
