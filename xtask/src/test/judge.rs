// SPDX-License-Identifier: MIT OR Apache-2.0

//! Whether a run in QEMU has passed, and while it goes on, whether it still can.

use anyhow::{Result, bail};

use super::case::{Case, Expect};
use crate::console::status;
use crate::session::{Ended, Outcome, Progress};

/// Returns what is said of each expected line that is not there, or not often enough.
fn missing(case: &Case, lines: &[String]) -> Vec<String> {
    let times = |text: &str| lines.iter().filter(|line| line.contains(text)).count();
    let problem = |expect: &Expect| match *expect {
        Expect::Line(text) | Expect::Shown(text) if times(text) == 0 => {
            Some(format!("no line with {text:?}"))
        }
        Expect::Times(least, text) if times(text) < least => Some(format!(
            "{} lines with {text:?}, fewer than {least}",
            times(text)
        )),
        Expect::Sum(least, text) if sum(lines, text) < least => Some(format!(
            "{}{text} in all, fewer than {least}",
            sum(lines, text)
        )),
        Expect::Between(from, ..) if times(from) == 0 => Some(format!("no line with {from:?}")),
        Expect::Same(text) if !is_same(lines, text) => {
            Some(format!("not twice the same line with {text:?}"))
        }
        _ => None,
    };
    case.expect.iter().filter_map(problem).collect()
}

/// Returns the sum of the numbers right before `text`.
fn sum(lines: &[String], text: &str) -> usize {
    let before = lines.iter().filter_map(|line| line.split_once(text));
    let numbers = before.filter_map(|(before, _)| before.rsplit(' ').next()?.parse::<usize>().ok());
    numbers.sum()
}

/// Tells whether at least two lines contain `text`, and are the same.
fn is_same(lines: &[String], text: &str) -> bool {
    let mut found = lines.iter().filter(|line| line.contains(text));
    let first = found.next();
    let more: Vec<_> = found.collect();
    !more.is_empty() && more.iter().all(|line| Some(*line) == first)
}

/// Tells what the run has come to, now that the lines at `touched` are new or have grown.
pub fn progress(case: &Case, lines: &[String], touched: &[usize]) -> Progress {
    let fatal = |&at: &usize| fatal(case, lines, at).is_some();
    if touched.iter().any(fatal) {
        Progress::Failed
    } else if case.waits_for_lines_only() && missing(case, lines).is_empty() {
        Progress::Enough
    } else {
        Progress::Open
    }
}

/// Returns what is said of the line at `at` if it is one after which the run can't pass.
fn fatal(case: &Case, lines: &[String], at: usize) -> Option<String> {
    let line = &lines[at];
    let forbids = |expect: &Expect| match *expect {
        Expect::Absent(text) if line.contains(text) => {
            Some(format!("a line that must not be: {line:?}"))
        }
        Expect::Between(from, to, text) if line.contains(text) => {
            let before = || lines[..at].iter().rev();
            let begun = before().position(|line| line.contains(from));
            let ended = before().position(|line| line.contains(to));
            let inside = begun.is_some_and(|begun| ended.is_none_or(|ended| begun < ended));
            inside.then(|| format!("a line that must not be there: {line:?}"))
        }
        Expect::Statuses(wanted) => {
            status(line)?;
            let found = lines[..=at].iter().filter_map(|line| status(line));
            let found: Vec<i32> = found.collect();
            let wrong = !wanted.starts_with(&found);
            wrong.then(|| format!("guests' exit statuses {found:?}, not {wanted:?}"))
        }
        _ => None,
    };
    let stopped = || {
        let ends = ENDS.iter().any(|end| line.contains(end));
        (ends && !is_expected(case, line)).then(|| format!("a line that nothing expects: {line:?}"))
    };
    case.expect.iter().find_map(forbids).or_else(stopped)
}

/// After such a line nothing good comes, unless it is what the run is about.
const ENDS: [&str; 2] = ["teevisor: error: ", "Kernel panic - not syncing"];

/// The last line of a board that can't be powered off. Its run is ended amid it.
const STAYS_ON: &str = "teevisor: error: the firmware cannot power the board off";

/// Tells whether the run waits for this line.
fn is_expected(case: &Case, line: &str) -> bool {
    let expects = |expect: &Expect| match expect {
        Expect::Line(text) | Expect::Shown(text) | Expect::Times(_, text) => line.contains(text),
        _ => false,
    };
    case.expect.iter().any(expects) || STAYS_ON.starts_with(line)
}

/// Returns what a run is told with, if it has passed.
pub fn verdict(case: &Case, outcome: &Outcome) -> Result<String> {
    let lines = &outcome.lines;
    let mut wrong = missing(case, lines);
    wrong.extend((0..lines.len()).filter_map(|at| fatal(case, lines, at)));
    for expect in case.expect {
        match *expect {
            Expect::Statuses(statuses) if outcome.statuses != statuses => wrong.push(format!(
                "guests' exit statuses {:?}, not {statuses:?}",
                outcome.statuses
            )),
            Expect::Off if !matches!(outcome.ended, Ended::Off | Ended::Over) => {
                wrong.push(format!("the machine did not go off: {:?}", outcome.ended));
            }
            _ => {}
        }
    }
    if let Some(saying) = &outcome.waits_for {
        wrong.push(format!("still waiting for {saying}"));
    }
    if outcome.ended == Ended::TimeLimit && wrong.is_empty() {
        wrong.push("the time limit was reached".into());
    }
    if wrong.is_empty() {
        return Ok(shown(case, lines));
    }
    wrong.dedup();
    let last = outcome.last.iter();
    wrong.extend(last.map(|(name, line)| format!("the last line of {name} was {line:?}")));
    bail!("{}", wrong.join("; "));
}

/// Returns the lines that a run's result comes with.
fn shown(case: &Case, lines: &[String]) -> String {
    let wanted = case.expect.iter().filter_map(|expect| match expect {
        Expect::Shown(text) => {
            let line = lines.iter().find(|line| line.contains(text))?;
            Some(line.trim().to_owned())
        }
        Expect::Sum(_, text) => Some(format!("{}{text}", sum(lines, text))),
        _ => None,
    });
    let wanted: Vec<String> = wanted.collect();
    wanted.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test::case::BASE;

    fn outcome(lines: &[&str], statuses: &[i32], ended: Ended) -> Outcome {
        let lines = lines.iter().map(|line| (*line).to_owned()).collect();
        Outcome {
            lines,
            statuses: statuses.to_vec(),
            ended,
            waits_for: None,
            last: vec![("one".into(), "the end".into())],
        }
    }

    const CASE: Case = Case {
        expect: &[
            Expect::Line("good"),
            Expect::Shown("all"),
            Expect::Absent("panic"),
            Expect::Between("good", "end", "noise"),
            Expect::Times(1, "all"),
            Expect::Sum(2, " good"),
            Expect::Same("same"),
            Expect::Statuses(&[0]),
            Expect::Off,
        ],
        ..BASE
    };

    #[test]
    fn what_is_expected_passes() {
        let lines = &["all: 1 good", "1 good", "same", "same"];
        let shown = verdict(&CASE, &outcome(lines, &[0], Ended::Off));
        assert_eq!(shown.unwrap(), "all: 1 good; 2 good");
    }

    #[test]
    fn every_expectation_can_fail() {
        let fails = |lines: &[&str], statuses: &[i32], ended, why: &str| {
            let text = verdict(&CASE, &outcome(lines, statuses, ended))
                .unwrap_err()
                .to_string();
            assert!(text.contains(why), "{text}");
        };
        fails(&["bad"], &[0], Ended::Off, "no line with \"good\"");
        fails(&["good"], &[0], Ended::Off, "no line with \"all\"");
        fails(
            &["good", "panicked"],
            &[0],
            Ended::Off,
            "must not be: \"panicked\"",
        );
        fails(
            &["good", "noise", "end"],
            &[0],
            Ended::Off,
            "must not be there: \"noise\"",
        );
        fails(&["good"], &[1], Ended::Off, "exit statuses [1]");
        fails(&["good"], &[], Ended::Off, "exit statuses []");
        fails(&["good"], &[0], Ended::Off, "0 lines with \"all\"");
        fails(&["1 good", "good"], &[0], Ended::Off, "1 good in all");
        fails(&["same"], &[0], Ended::Off, "not twice the same");
        fails(&["same", "same 2"], &[0], Ended::Off, "not twice the same");
        fails(&["good"], &[0], Ended::TimeLimit, "did not go off");
    }

    #[test]
    fn time_limit_fails_a_case_that_waits_for_lines() {
        let case = Case {
            expect: &[Expect::Line("good")],
            ..BASE
        };
        assert!(verdict(&case, &outcome(&["good"], &[], Ended::Enough)).is_ok());
        assert!(verdict(&case, &outcome(&["good"], &[], Ended::TimeLimit)).is_err());
    }

    /// Returns what the first line that ends the run says of it, if one does.
    fn ends_at(case: &Case, lines: &[&str]) -> Option<usize> {
        let lines: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
        let progress = |at: &usize| progress(case, &lines[..=*at], &[*at]);
        (0..lines.len()).find(|at| progress(at) != Progress::Open)
    }

    #[test]
    fn a_run_that_has_failed_ends_at_once() {
        assert_eq!(ends_at(&CASE, &["good", "panic", "x"]), Some(1));
        assert_eq!(ends_at(&CASE, &["noise", "good", "x", "noise"]), Some(3));
        assert_eq!(ends_at(&CASE, &["good", "end", "noise"]), None);
        assert_eq!(
            ends_at(&CASE, &["guest-exit-status: 0", "guest-exit-status: 1"]),
            Some(1)
        );
        assert_eq!(ends_at(&CASE, &["one| guest-exit-status: 1"]), Some(0));
        assert_eq!(ends_at(&CASE, &["teevisor: error: no"]), Some(0));
        assert_eq!(
            ends_at(&CASE, &["a| Kernel panic - not syncing: x"]),
            Some(0)
        );
    }

    #[test]
    fn an_error_that_is_expected_does_not_end_a_run() {
        let case = Case {
            expect: &[Expect::Line("error: guest thief"), Expect::Off],
            ..BASE
        };
        assert_eq!(ends_at(&case, &["teevisor: error: guest thief: x"]), None);
        assert_eq!(ends_at(&case, &[STAYS_ON]), None);
        let (begun, _) = STAYS_ON.split_at(STAYS_ON.len() - 5);
        assert_eq!(ends_at(&case, &[begun]), None);
    }

    #[test]
    fn a_failure_tells_what_was_waited_for_and_what_came_last() {
        let mut failed = outcome(&["good"], &[0], Ended::TimeLimit);
        failed.waits_for = Some("two to say \"~ # \"".into());
        let text = verdict(&CASE, &failed).unwrap_err().to_string();
        assert!(
            text.contains("still waiting for two to say \"~ # \""),
            "{text}"
        );
        assert!(
            text.ends_with("the last line of one was \"the end\""),
            "{text}"
        );
    }

    #[test]
    fn a_script_must_be_typed_to_its_end() {
        let case = Case {
            expect: &[],
            ..BASE
        };
        let mut run = outcome(&[], &[], Ended::Off);
        assert!(verdict(&case, &run).is_ok());
        run.waits_for = Some("x".into());
        assert!(verdict(&case, &run).is_err());
    }
}
