// SPDX-License-Identifier: MIT OR Apache-2.0

//! The list of changes that no test can or need notice, each with its reason.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use toml::{Table, Value};

use super::outcomes::{Fate, Outcome};

/// Where the list is: tables `survivors`, each a `reason` and the `mutants` that it is for, which
/// stand there as often as there are such in their function.
pub const LIST: &str = ".cargo/survivors.toml";

/// The list.
pub struct Survivors(Vec<String>);

/// How outcomes and list differ.
pub struct Judged<'a> {
    /// Survivors that the list lacks.
    pub without_reason: Vec<&'a str>,
    /// Changes in the list that were caught.
    pub fallen: Vec<&'a str>,
}

impl Survivors {
    /// Reads the list of a workspace.
    pub fn read(root: &Path) -> Result<Self> {
        let text = fs::read_to_string(root.join(LIST)).context(LIST)?;
        Self::parse(&text).context(LIST)
    }

    fn parse(text: &str) -> Result<Self> {
        let table: Table = text.parse()?;
        let groups = table.get("survivors").and_then(Value::as_array);
        let mut mutants = Vec::new();
        for group in groups.into_iter().flatten() {
            let reason = group.get("reason").and_then(Value::as_str);
            let list = group.get("mutants").and_then(Value::as_array);
            let list = list.context("a group without mutants")?;
            ensure!(
                reason.is_some_and(|reason| !reason.trim().is_empty()),
                "no reason for {list:?}"
            );
            let texts = list.iter().map(|mutant| mutant.as_str().map(str::to_owned));
            let texts: Option<Vec<_>> = texts.collect();
            mutants.extend(texts.context("mutants must be texts")?);
        }
        Ok(Self(mutants))
    }

    /// Compares the list with what became of the changes.
    pub fn judge<'a>(&self, all: &'a [Outcome]) -> Judged<'a> {
        let mut listed: Vec<&str> = self.0.iter().map(String::as_str).collect();
        let mut take = |mutant: &str| {
            let at = listed.iter().position(|one| *one == mutant);
            at.map(|at| listed.swap_remove(at)).is_some()
        };
        let missed = all.iter().filter(|one| one.fate == Fate::Missed);
        let missed = missed.map(|one| one.mutant.as_str());
        let without_reason = missed.filter(|mutant| !take(mutant)).collect();
        let caught = all.iter().filter(|one| one.fate != Fate::Missed);
        let caught = caught.map(|one| one.mutant.as_str());
        let fallen = caught.filter(|mutant| take(mutant)).collect();
        Judged {
            without_reason,
            fallen,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"
        [[survivors]]
        reason = "equivalent: the fields do not overlap"
        mutants = ["a.rs: replace | with ^ in f", "a.rs: replace | with ^ in f"]
    "#;

    fn outcome(mutant: &str, fate: Fate) -> Outcome {
        let (package, mutant) = ("a".to_owned(), mutant.to_owned());
        Outcome {
            package,
            mutant,
            fate,
        }
    }

    #[test]
    fn survivors_are_listed_as_often_as_they_are_there() {
        let list = Survivors::parse(TEXT).unwrap();
        let twice = "a.rs: replace | with ^ in f";
        let missed = |mutant| outcome(mutant, Fate::Missed);
        let all = [missed(twice), missed(twice)];
        assert!(list.judge(&all).without_reason.is_empty());
        let all = [
            missed(twice),
            missed("a.rs: other"),
            missed(twice),
            missed(twice),
        ];
        assert_eq!(list.judge(&all).without_reason, ["a.rs: other", twice]);
    }

    #[test]
    fn what_is_caught_need_not_be_listed() {
        let list = Survivors::parse(TEXT).unwrap();
        let twice = "a.rs: replace | with ^ in f";
        let all = [outcome(twice, Fate::Caught), outcome(twice, Fate::Missed)];
        assert_eq!(list.judge(&all).fallen, [twice]);
        // A part of the changes says nothing of the others.
        assert!(list.judge(&[]).fallen.is_empty());
    }

    #[test]
    fn reasons_are_not_left_out() {
        assert!(Survivors::parse("[[survivors]]\nmutants = ['a']").is_err());
        assert!(Survivors::parse("[[survivors]]\nmutants = ['a']\nreason = ' '").is_err());
        assert!(Survivors::parse("[[survivors]]\nreason = 'why'").is_err());
        assert!(Survivors::parse("").is_ok());
    }
}
