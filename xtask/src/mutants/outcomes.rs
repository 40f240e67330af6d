// SPDX-License-Identifier: MIT OR Apache-2.0

//! What became of each change, as cargo-mutants writes it.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::bench::table;

/// A change and what became of it.
#[derive(Debug, PartialEq)]
pub struct Outcome {
    /// Package that was changed.
    pub package: String,
    /// File and change. The line is left out, as it moves with what is written above it.
    pub mutant: String,
    /// What became of it.
    pub fate: Fate,
}

/// What can become of a change.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fate {
    /// A test failed.
    Caught,
    /// No test failed.
    Missed,
    /// The tests took too long: a loop without an end.
    Timeout,
    /// It does not compile.
    Unviable,
}

/// Reads the outcomes of one run.
pub fn read(path: &Path) -> Result<Vec<Outcome>> {
    let text = fs::read_to_string(path).with_context(|| format!("{}", path.display()))?;
    parse(&text).with_context(|| format!("{}", path.display()))
}

fn parse(text: &str) -> Result<Vec<Outcome>> {
    let value: Value = serde_json::from_str(text)?;
    let all = value["outcomes"].as_array().context("no outcomes")?;
    // Besides the changes there is the run without any.
    let changes = all
        .iter()
        .filter(|one| one["scenario"]["Mutant"].is_object());
    changes.map(outcome).collect()
}

fn outcome(value: &Value) -> Result<Outcome> {
    let mutant = &value["scenario"]["Mutant"];
    let text = |key: &str| mutant[key].as_str().context("not of the expected form");
    let name = text("name")?;
    Ok(Outcome {
        package: text("package")?.to_owned(),
        mutant: without_position(name).with_context(|| name.to_owned())?,
        fate: match value["summary"].as_str() {
            Some("CaughtMutant") => Fate::Caught,
            Some("MissedMutant") => Fate::Missed,
            Some("Timeout") => Fate::Timeout,
            Some("Unviable") => Fate::Unviable,
            other => bail!("{name}: what is {other:?}?"),
        },
    })
}

/// `file: change` of `file:line:column: change`.
fn without_position(name: &str) -> Option<String> {
    let (place, change) = name.split_once(": ")?;
    let (file, _) = place.split_once(':')?;
    Some(format!("{file}: {change}"))
}

/// Returns the packages with their numbers, and the sum of them.
pub fn table(all: &[Outcome]) -> String {
    let mut packages: Vec<&str> = all.iter().map(|one| one.package.as_str()).collect();
    packages.dedup();
    let of = |package: &str| row(package, all.iter().filter(|one| one.package == package));
    let mut rows: Vec<_> = packages.iter().map(|package| of(package)).collect();
    if rows.len() > 1 {
        rows.push(row("all", all.iter()));
    }
    let head = [
        "package", "mutants", "caught", "timeout", "missed", "unviable", "score",
    ];
    table::aligned(head, rows.into_iter())
}

fn row<'a>(package: &str, outcomes: impl Iterator<Item = &'a Outcome> + Clone) -> [String; 7] {
    let count = |fate| outcomes.clone().filter(|one| one.fate == fate).count();
    let fates = [Fate::Caught, Fate::Timeout, Fate::Missed, Fate::Unviable];
    let [caught, timeout, missed, unviable] = fates.map(count);
    let noticed = caught + timeout;
    let score = match noticed + missed {
        0 => "-".to_owned(),
        viable => format!("{:.1} %", 100.0 * noticed as f64 / viable as f64),
    };
    let numbers = [
        noticed + missed + unviable,
        caught,
        timeout,
        missed,
        unviable,
    ];
    let [mutants, caught, timeout, missed, unviable] = numbers.map(|number| number.to_string());
    [
        package.to_owned(),
        mutants,
        caught,
        timeout,
        missed,
        unviable,
        score,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(name: &str, summary: &str) -> Value {
        let mutant = serde_json::json!({ "name": name, "package": "vgic" });
        serde_json::json!({ "scenario": { "Mutant": mutant }, "summary": summary })
    }

    fn parsed(outcomes: &[Value]) -> Result<Vec<Outcome>> {
        parse(&serde_json::json!({ "outcomes": outcomes }).to_string())
    }

    #[test]
    fn changes_are_known_by_file_and_what_is_changed() {
        let baseline = serde_json::json!({ "scenario": "Baseline", "summary": "Success" });
        let name = "crates/vgic/src/lr.rs:120:9: replace <impl A for B>::f -> C with D::new()";
        let outcomes = parsed(&[baseline, json(name, "MissedMutant")]).unwrap();
        let mutant = "crates/vgic/src/lr.rs: replace <impl A for B>::f -> C with D::new()";
        assert_eq!(outcomes.len(), 1);
        assert_eq!(
            (&*outcomes[0].mutant, outcomes[0].fate),
            (mutant, Fate::Missed)
        );
    }

    #[test]
    fn unknown_fates_and_names_are_errors() {
        assert!(parsed(&[json("a.rs:1:2: b", "Success")]).is_err());
        assert!(parsed(&[json("b", "CaughtMutant")]).is_err());
        assert!(parse("{}").is_err());
    }

    #[test]
    fn score_leaves_out_what_does_not_compile() {
        let fates = [
            "CaughtMutant",
            "CaughtMutant",
            "Timeout",
            "MissedMutant",
            "Unviable",
        ];
        let outcomes = parsed(&fates.map(|fate| json("a.rs:1:2: b", fate))).unwrap();
        let cells = ["vgic", "5", "2", "1", "1", "1", "75.0 %"];
        assert_eq!(row("vgic", outcomes.iter()), cells);
        assert_eq!(row("none", [].iter())[6], "-");
    }
}
