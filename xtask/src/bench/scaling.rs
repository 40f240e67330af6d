// SPDX-License-Identifier: MIT OR Apache-2.0

//! `cargo xtask bench --scaling`: what a call costs EL2 while other cores call too, how many cores
//! are in OP-TEE at once, and whether one guest's flood costs another's calls anything.

use std::process::ExitCode;

use anyhow::{Context, Result, ensure};

use super::counts::Counts;
use super::table::{self, Budget, grouped};
use super::{Setups, judge};

/// How many threads call, each on a core of its own.
const CALLERS: [u32; 3] = [1, 2, 4];
/// Instructions that an undisturbed call without buffers may cost beside another caller, on these cores.
const NOP: f64 = 715.0;
/// What they call.
const KINDS: [&str; 2] = ["nop", "busy"];

/// Measures, prints, judges.
pub fn run(setups: &Setups, calls: u32) -> Result<ExitCode> {
    // Enough that what nine of ten stay below repeats.
    let calls = 5 * calls;
    let mut counts = measure(setups, "one guest", 4, &one_guest(calls))?;
    counts.extend(measure(setups, "two guests", 3, &two_guests(calls))?);
    let names = names();
    ensure!(
        counts.len() == names.len(),
        "the guests ran {} cases of {}",
        counts.len(),
        names.len()
    );
    println!("\nEL2's instructions of a call; entries of OP-TEE in it; calls in OP-TEE at once\n");
    print!("{}", render(&names, &counts));
    Ok(judge(&budgets(&counts)?))
}

fn names() -> Vec<String> {
    let alone = KINDS.iter().flat_map(|kind| {
        let name = move |callers| format!("{kind}, callers: {callers}");
        CALLERS.iter().map(name)
    });
    let beside = ["nop, the other guest idle", "nop, the other guest floods"];
    alone.chain(beside.map(str::to_owned)).collect()
}

/// Returns what a call costs that no tick of the guest's timer falls into: on a slow host one falls
/// into most calls, and then not even the median is free of it.
fn undisturbed(counts: &Counts) -> u64 {
    counts.rank(1, 4)
}

/// Makes the budgets: while another core of the guest calls, a call keeps the budget that it has
/// alone: with a session more it may take a few instructions more to find its own. Another guest
/// costs it nothing.
fn budgets(counts: &[Counts]) -> Result<Vec<Budget>> {
    let [_, two, .., quiet, loud] = counts else {
        return Ok(Vec::new());
    };
    ensure!(
        quiet.at_once() < 1.05 && loud.at_once() > 1.1,
        "the other guest's flood was not under way at the right time: try again"
    );
    let budget = |what, counts: &Counts, limit| Budget {
        what,
        spent: undisturbed(counts) as f64,
        limit,
    };
    let alone = undisturbed(quiet) as f64;
    Ok(vec![
        budget("a call while another core calls", two, NOP),
        budget("a call while another guest floods OP-TEE", loud, alone),
    ])
}

fn measure(setups: &Setups, name: &str, cores: u32, manifest: &str) -> Result<Vec<Counts>> {
    let (lines, counts) = setups.guests(name, cores, manifest)?;
    let done = lines.iter().filter(|line| line.contains("callers: done"));
    ensure!(
        done.count() > 0,
        "{name} ended with:\n{}",
        super::end(&lines)
    );
    let failed = lines.iter().find(|line| line.contains("callers: failed"));
    ensure!(
        failed.is_none(),
        "{name}: {}",
        failed.map_or("", |line| line)
    );
    counts.context("it takes a QEMU with plugins")
}

/// Writes the manifest of a guest with four vCPUs, which makes the calls one after the other.
fn one_guest(calls: u32) -> String {
    let runs = KINDS.iter().flat_map(|kind| {
        let run = move |callers| format!("callers {kind} {callers} {calls}");
        CALLERS.iter().map(run)
    });
    let runs: Vec<String> = runs.collect();
    guest("calls", 4, &format!("sleep 5; {}", runs.join("; ")))
}

/// Writes the manifest of a guest that calls twice, and one that floods OP-TEE on two cores the
/// second time.
fn two_guests(calls: u32) -> String {
    let run = format!("callers nop 1 {calls}");
    let calls = guest("calls", 1, &format!("sleep 4; {run}; sleep 12; {run}"));
    let floods = guest("floods", 2, "sleep 10; timeout 20 callers flood 2");
    let (_, floods) = floods.split_once('\n').unwrap_or_default();
    format!("{calls}{floods}")
}

/// Writes the manifest of one guest.
fn guest(name: &str, vcpus: u32, command: &str) -> String {
    format!(
        "version = 1\n[[guest]]\nname = \"{name}\"\nvcpus = {vcpus}\nmemory = \"512MiB\"\n\
         kernel = \"linux\"\ninitrd = \"initramfs.cpio\"\n\
         bootargs = 'console=ttyAMA0 quiet {}'\n",
        crate::guest::command_argument(command)
    )
}

fn render(names: &[String], counts: &[Counts]) -> String {
    let head = [
        "calls", "number", "1 of 4", "median", "9 of 10", "entries", "at once",
    ];
    let cells = |(name, counts): (&String, &Counts)| {
        [
            name.clone(),
            counts.calls.len().to_string(),
            grouped(undisturbed(counts)),
            grouped(counts.median()),
            grouped(counts.rank(9, 10)),
            format!("{:.2}", counts.smcs()),
            format!("{:.2}", counts.at_once()),
        ]
    };
    table::aligned(head, names.iter().zip(counts).map(cells))
}

#[cfg(test)]
mod tests {
    use super::super::counts::Call;
    use super::*;

    fn counts(instructions: u64, inside: &[(u64, u64)]) -> Counts {
        let call = Call {
            core: 0,
            instructions,
            smcs: 1,
        };
        Counts {
            calls: vec![call],
            inside: inside.to_vec(),
            ..Counts::default()
        }
    }

    #[test]
    fn manifests_are_manifests() {
        for text in [one_guest(7), two_guests(7)] {
            manifest::host::compile(&text).unwrap();
        }
        assert_eq!(two_guests(7).matches("[[guest]]").count(), 2);
    }

    #[test]
    fn calls_that_cost_more_beside_others_exceed_the_budget() {
        let alone = || counts(1000, &[(1, 10)]);
        let beside = |instructions| counts(instructions, &[(2, 10)]);
        let kept = |two, loud| -> Vec<bool> {
            let all = [alone(), beside(two), alone(), beside(loud)];
            budgets(&all).unwrap().iter().map(Budget::is_kept).collect()
        };
        assert_eq!(kept(700, 1000), [true, true]);
        assert_eq!(kept(715, 1000), [true, true]);
        assert_eq!(kept(716, 1000), [false, true]);
        assert_eq!(kept(700, 1001), [true, false]);
    }

    #[test]
    fn flood_that_did_not_meet_the_calls_says_nothing() {
        let all = [1, 2, 3, 4].map(|_| counts(1000, &[(1, 10)]));
        assert!(budgets(&all).is_err());
    }
}
