// SPDX-License-Identifier: MIT OR Apache-2.0

//! The tests that run on the host.

use std::fs;
use std::process::Command;
use std::time::Instant;

use anyhow::{Result, anyhow};

use super::Tally;
use crate::{cache, command, host, toolchain, ui};

/// Where proptest's random inputs start.
const SEED: &str = "PROPTEST_RNG_SEED";

/// Runs them; every one counts for itself.
pub fn run(tally: &mut Tally) -> Result<()> {
    let start = Instant::now();
    let log = cache::workspace().join("target/log/host-tests.log");
    cache::remove(&log)?;
    let result = ui::step("host tests", |bar| {
        command::logged(&mut runner(), "host tests", &log, bar)
    });
    if command::stopped() {
        return result;
    }
    let text = fs::read_to_string(&log).unwrap_or_default();
    let counts = count(&text);
    tally.passed += counts.passed;
    println!(
        "{} host tests passed, {} failed",
        counts.passed, counts.failed
    );
    if result.is_ok() && counts.passed == 0 {
        tally.record("host tests", Err(anyhow!("none ran")), start);
    }
    if let Err(error) = result {
        tally.record("host tests", Err(error), start);
        (1..counts.failed).for_each(|_| tally.failed.push("host tests".into()));
    }
    Ok(())
}

fn runner() -> Command {
    let mut cargo = Command::new(toolchain::host_cargo());
    if host::find("cargo-nextest").is_some() {
        cargo.args(["nextest", "run", "--no-fail-fast", "--color", "never"]);
    } else {
        cargo.args(["test", "--no-fail-fast"]);
    }
    // The same random inputs each time: what fails is then the change's doing. Other seeds are
    // for a search of their own.
    if std::env::var_os(SEED).is_none() {
        cargo.env(SEED, "1");
    }
    cargo.current_dir(cache::workspace());
    cargo
}

#[derive(Debug, PartialEq, Eq, Default)]
struct Counts {
    passed: usize,
    failed: usize,
}

/// Adds up the closing lines of `cargo nextest` or of `cargo test`'s programs.
fn count(log: &str) -> Counts {
    let closing = |line: &&str| {
        line.starts_with("test result: ") || line.trim_start().starts_with("Summary [")
    };
    let sum = |word: &str| {
        log.lines()
            .filter(closing)
            .filter_map(|l| number_before(l, word))
            .sum()
    };
    Counts {
        passed: sum("passed"),
        failed: sum("failed"),
    }
}

/// Returns the 12 in "… 12 passed, …".
fn number_before(line: &str, word: &str) -> Option<usize> {
    let words: Vec<&str> = line
        .split([' ', ',', ';', '.'])
        .filter(|w| !w.is_empty())
        .collect();
    let at = words.iter().position(|w| *w == word)?;
    words.get(at.checked_sub(1)?)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_of_both_runners() {
        let nextest = "     Summary [   0.012s] 45 tests run: 43 passed, 2 failed, 1 skipped\n";
        assert_eq!(
            count(nextest),
            Counts {
                passed: 43,
                failed: 2
            }
        );
        let cargo = "test result: ok. 29 passed; 0 failed; 0 ignored; 0 measured\n\
                     test a ... ok\n\
                     test result: FAILED. 1 passed; 3 failed; 0 ignored\n";
        assert_eq!(
            count(cargo),
            Counts {
                passed: 30,
                failed: 3
            }
        );
        assert_eq!(count("error: could not compile"), Counts::default());
    }
}
