// SPDX-License-Identifier: MIT OR Apache-2.0

//! The verdicts as people read them, and as docs/boards.md has them.

use std::collections::BTreeMap;
use std::fmt::Write;

use platform::GicVersion;

use super::Judged;

/// Boards that have something in common.
struct Group<'a> {
    what: String,
    boards: Vec<&'a Judged>,
}

/// Groups boards by what `what` says of each, the largest group first.
fn groups<'a>(
    boards: impl Iterator<Item = &'a Judged>,
    what: impl Fn(&Judged) -> Option<String>,
) -> Vec<Group<'a>> {
    let mut by: BTreeMap<String, Vec<&Judged>> = BTreeMap::new();
    for board in boards {
        if let Some(what) = what(board) {
            by.entry(what).or_default().push(board);
        }
    }
    let mut groups: Vec<_> = by
        .into_iter()
        .map(|(what, boards)| Group { what, boards })
        .collect();
    groups.sort_by_key(|group| std::cmp::Reverse(group.boards.len()));
    groups
}

/// Returns a line of one board.
pub fn line(board: &Judged) -> String {
    let verdict = &board.verdict;
    let console = match &verdict.console {
        Ok(kind) => format!("console {kind:?}"),
        Err(unknown) => format!("silent ({unknown})"),
    };
    let outcome = match &verdict.plan {
        Ok(gic) => format!("{}, {console}", version(*gic)),
        Err(why) => format!("refused: {why}"),
    };
    let optee = if verdict.optee { ", OP-TEE" } else { "" };
    format!("{}: {outcome}{optee}", board.name)
}

fn version(gic: GicVersion) -> &'static str {
    match gic {
        GicVersion::V2 => "GICv2",
        GicVersion::V3 => "GICv3",
    }
}

/// Returns everything as tables in Markdown.
pub fn summary(judged: &[Judged]) -> String {
    let accepted = || judged.iter().filter(|board| board.verdict.plan.is_ok());
    let mut text = String::new();
    totals(&mut text, judged);
    let gic = |board: &Judged| {
        board
            .verdict
            .plan
            .as_ref()
            .ok()
            .map(|gic| version(*gic).to_owned())
    };
    rows(
        &mut text,
        "accepted, interrupt controller",
        &groups(accepted(), gic),
    );
    let console = |board: &Judged| {
        board
            .verdict
            .console
            .as_ref()
            .ok()
            .map(|kind| format!("{kind:?}"))
    };
    rows(&mut text, "accepted, console", &groups(accepted(), console));
    let silent = |board: &Judged| board.verdict.console.clone().err();
    rows(
        &mut text,
        "accepted but silent: what stdout-path names",
        &groups(accepted(), silent),
    );
    let bridge = |board: &Judged| {
        let refused = board
            .verdict
            .bridges
            .iter()
            .find_map(|bridge| bridge.as_ref().err());
        refused.cloned()
    };
    rows(
        &mut text,
        "accepted, a PCI host bridge is no guest's",
        &groups(accepted(), bridge),
    );
    let refused = |board: &Judged| board.verdict.plan.clone().err();
    rows(&mut text, "refused", &groups(judged.iter(), refused));
    text
}

fn totals(text: &mut String, judged: &[Judged]) {
    let accepted = || judged.iter().filter(|board| board.verdict.plan.is_ok());
    let consoles = accepted().filter(|board| board.verdict.console.is_ok());
    let optee = accepted().filter(|board| board.verdict.optee);
    let smmus = accepted().filter(|board| board.verdict.smmus > 0);
    let with = |wanted: fn(&bool) -> bool| {
        let bridges = |board: &&Judged| board.verdict.bridges.iter().flatten().any(wanted);
        accepted().filter(bridges).count()
    };
    let slowest = judged.iter().max_by_key(|board| board.verdict.took);
    let counts = [
        ("boards", judged.len()),
        ("accepted", accepted().count()),
        ("accepted, with a console", consoles.count()),
        ("accepted, tree names OP-TEE", optee.count()),
        ("accepted, with an SMMUv3", smmus.count()),
        (
            "accepted, with a PCI host bridge for a guest",
            with(|_| true),
        ),
        (
            "accepted, with one behind SMMUv3s",
            with(|is_behind| *is_behind),
        ),
    ];
    for (what, count) in counts {
        let _ = writeln!(text, "{count:>5} {what}");
    }
    if let Some(board) = slowest {
        let took = board.verdict.took.as_micros();
        let _ = writeln!(
            text,
            "{took:>5} µs of processor time for the slowest tree, {}",
            board.name
        );
    }
}

fn rows(text: &mut String, title: &str, groups: &[Group]) {
    let _ = writeln!(text, "\n| {title} | boards | for example |\n|---|--:|---|");
    for group in groups {
        let example = group.boards.first().map_or("", |board| &board.name);
        let _ = writeln!(
            text,
            "| {} | {} | `{example}` |",
            group.what,
            group.boards.len()
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trees::judge::Verdict;
    use board::ConsoleKind;
    use std::time::Duration;

    fn judged(
        name: &str,
        plan: Result<GicVersion, &str>,
        console: Result<ConsoleKind, &str>,
    ) -> Judged {
        Judged {
            name: name.into(),
            verdict: Verdict {
                plan: plan.map_err(str::to_owned),
                console: console.map_err(str::to_owned),
                optee: name == "c",
                smmus: usize::from(name == "d"),
                bridges: match name {
                    "b" => vec![Err("bad".into()), Ok(false)],
                    "d" => vec![Ok(true)],
                    _ => vec![],
                },
                took: Duration::ZERO,
            },
        }
    }

    #[test]
    fn boards_are_counted_by_reason_the_most_common_first() {
        let all = [
            judged("a", Err("no GIC"), Err("none")),
            judged("b", Ok(GicVersion::V3), Err("other,uart")),
            judged("c", Ok(GicVersion::V2), Ok(ConsoleKind::Pl011)),
            judged("d", Ok(GicVersion::V2), Ok(ConsoleKind::Sbsa)),
        ];
        let text = summary(&all);
        for part in [
            "    4 boards\n    3 accepted\n    2 accepted, with a console\n    1 accepted, tree names",
            "    1 accepted, with an SMMUv3\n    2 accepted, with a PCI host bridge for a guest\n    1 accepted, with one",
            "| bad | 1 | `b` |",
            "| GICv2 | 2 | `c` |\n| GICv3 | 1 | `b` |",
            "| other,uart | 1 | `b` |",
            "| no GIC | 1 | `a` |",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert_eq!(line(&all[2]), "c: GICv2, console Pl011, OP-TEE");
        assert_eq!(line(&all[1]), "b: GICv3, silent (other,uart)");
        assert_eq!(line(&all[0]), "a: refused: no GIC");
    }
}
