// SPDX-License-Identifier: MIT OR Apache-2.0

//! EL2's longest sections with interrupts masked, as the plugin `qemu/bench/masked.c` counts them.

use anyhow::{Context, Result, bail};

/// Instructions of EL2's for which a core's interrupts may wait.
const LIMIT: u64 = 20_000;
/// Instructions of EL2's on a silent guest's core while the guest computes: a kick or two, from
/// before. What the others print would take millions.
const SILENT_LIMIT: u64 = 5_000;

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

/// Judges what the plugin has written about a run with so many silent guests.
pub fn verdict(text: &str, silent: usize) -> Result<String> {
    let counts = parse(text).context("the plugin's counts can't be read")?;
    let longest = counts.sections.iter().max_by_key(|section| section.count);
    let longest = longest.context("the plugin has seen no section of EL2's")?;
    let most = counts.silent.iter().max().copied().unwrap_or(0);
    let mut said = format!(
        "longest section, masked: {} instructions of {LIMIT} on core {}",
        longest.count, longest.core
    );
    if silent > 0 {
        said += &format!("; EL2 on a silent guest's core: {most} instructions of {SILENT_LIMIT}");
    }
    let long = counts.sections.iter().filter(|one| one.count > LIMIT);
    for Section { core, count, at } in long.clone() {
        said += &format!("\n  core {core}: {count}, its 10,000th at {at:#x}");
    }
    if long.count() > 0 || most > SILENT_LIMIT {
        bail!(said);
    }
    if counts.silent.len() != silent {
        bail!(
            "{said}; {} of {silent} silent guests came to their end",
            counts.silent.len()
        );
    }
    Ok(said)
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
        assert!(parse("section 3").is_none());
    }

    #[test]
    fn only_short_sections_and_quiet_cores_are_within_the_budgets() {
        let kept = |text: &str, silent| verdict(text, silent).is_ok();
        assert!(kept("section 0 20000 1 2 0\n", 0));
        assert!(!kept("section 3 20001 1 2 3\n", 0));
        assert!(!kept("", 0));
        let two = |last: u64| format!("section 0 900 1 2 0\nsilent 0 9\nsilent 1 {last}\n");
        assert!(kept(&two(1000), 2));
        assert!(!kept(&two(9_000_000), 2));
        assert!(!kept("section 0 900 1 2 0\nsilent 0 9\n", 2));
    }
}
