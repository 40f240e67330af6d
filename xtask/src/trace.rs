// SPDX-License-Identifier: MIT OR Apache-2.0

//! `cargo xtask trace`: a run whose first guest's calls to OP-TEE are shown step by step, and what
//! they took.

use std::collections::BTreeMap;
use std::process::ExitCode;

use anyhow::{Result, ensure};

use crate::run;
use crate::script::{Script, hypervisor, once};

/// The monitor shows the steps of the first guest's calls from the start on.
const FOLLOW: Script = &[once(
    hypervisor("Ctrl-] ? for help"),
    "\x1dmfollow 1\rquit\r",
)];

/// Performs the task.
pub fn trace(options: &run::Options) -> Result<ExitCode> {
    ensure!(
        options.has_command(),
        "trace needs a command for the guest: --guest-cmd \"xtest -l 0 -t regression 1004\""
    );
    ensure!(
        options.has_hypervisor(),
        "without the hypervisor there is nothing that records calls: leave out --no-hypervisor"
    );
    let (lines, code) = run::with_script(options, FOLLOW)?;
    print!("{}", summary(&lines));
    Ok(code)
}

/// A step, as the monitor shows it.
#[derive(Debug, PartialEq)]
struct Step<'a> {
    /// Microseconds.
    time: u64,
    call: &'a str,
    what: &'a str,
}

impl<'a> Step<'a> {
    /// Reads `teevisor: GUEST: SECONDS.MICROSECONDS vCPU N call SLOT.GENERATION: WHAT`.
    fn parse(line: &'a str) -> Option<Self> {
        let (_, rest) = line.strip_prefix("teevisor: ")?.split_once(": ")?;
        let (seconds, rest) = rest.split_once(" vCPU ")?;
        let (seconds, micros) = seconds.split_once('.')?;
        let (place, what) = rest.split_once(": ")?;
        let (_, call) = place.split_once(" call ")?;
        let time = seconds.parse::<u64>().ok()? * 1_000_000 + micros.parse::<u64>().ok()?;
        Some(Self { time, call, what })
    }
}

/// What the calls of one kind took together.
#[derive(Debug, Default, PartialEq)]
struct Total {
    calls: usize,
    visits: usize,
    rpcs: usize,
    interrupts: usize,
    /// Microseconds from taking a call over to its end, of all and of the longest.
    micros: u64,
    longest: u64,
}

/// A call that has begun.
struct Open<'a> {
    command: &'a str,
    begun: u64,
    /// Nothing has happened since.
    is_new: bool,
    seen: Total,
}

/// Tells whether a step right after a call was taken over says that it did not go on to OP-TEE.
fn stays_here(what: &str) -> bool {
    what.starts_with("refused: ") || what == "a part of its list is translated"
}

fn totals(lines: &[String]) -> BTreeMap<&str, Total> {
    let mut open: BTreeMap<&str, Open> = BTreeMap::new();
    let mut totals: BTreeMap<&str, Total> = BTreeMap::new();
    for step in lines.iter().filter_map(|line| Step::parse(line)) {
        if let Some(command) = step.what.strip_prefix("taken over: ") {
            let call = Open {
                command,
                begun: step.time,
                is_new: true,
                seen: Total::default(),
            };
            open.insert(step.call, call);
            continue;
        }
        let Some(call) = open.get_mut(step.call) else {
            continue;
        };
        call.seen.visits += usize::from(step.what == "enters OP-TEE");
        if std::mem::take(&mut call.is_new) {
            call.seen.visits += usize::from(!stays_here(step.what));
        }
        call.seen.rpcs += usize::from(step.what.starts_with("RPC to the guest"));
        call.seen.interrupts += usize::from(step.what == "interrupted");
        if step.what.starts_with("ended: ")
            && let Some(call) = open.remove(step.call)
        {
            let micros = step.time.saturating_sub(call.begun);
            let total = totals.entry(call.command).or_default();
            total.calls += 1;
            total.visits += call.seen.visits;
            total.rpcs += call.seen.rpcs;
            total.interrupts += call.seen.interrupts;
            total.micros += micros;
            total.longest = total.longest.max(micros);
        }
    }
    totals
}

fn summary(lines: &[String]) -> String {
    let head = format!(
        "{:<20} {:>6} {:>8} {:>6} {:>11} {:>9} {:>10}\n",
        "message", "calls", "visits", "RPCs", "interrupted", "mean us", "longest us"
    );
    let row = |(command, total): (&str, Total)| {
        format!(
            "{command:<20} {:>6} {:>8} {:>6} {:>11} {:>9} {:>10}\n",
            total.calls,
            total.visits,
            total.rpcs,
            total.interrupts,
            total.micros / total.calls.max(1) as u64,
            total.longest
        )
    };
    let rows = totals(lines).into_iter().map(row);
    std::iter::once(head).chain(rows).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<String> {
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn calls_are_put_together_from_their_steps() {
        let lines = lines(
            "teevisor: linux: 1.000010 vCPU 0 call 0.1: taken over: INVOKE\n\
             teevisor: linux: 1.000020 vCPU 1 call 1.7: taken over: OPEN_SESSION\n\
             linux| teevisor: linux: 9.000020 vCPU 1 call 1.7: ended: 0x0\n\
             teevisor: linux: 1.000030 vCPU 0 call 0.1: RPC to the guest: FS\n\
             teevisor: linux: 1.000040 vCPU 0 call 0.1: enters OP-TEE\n\
             teevisor: linux: 1.000041 vCPU 0: fast call to OP-TEE 0xb2000011\n\
             teevisor: linux: 1.000045 vCPU 0 call 0.1: interrupted\n\
             teevisor: linux: 1.000050 vCPU 0 call 0.1: ended: 0x0\n\
             teevisor: linux: 2.000000 vCPU 0 call 0.2: taken over: INVOKE\n\
             teevisor: linux: 2.000010 vCPU 0 call 0.2: ended: 0x0\n\
             teevisor: linux: off",
        );
        let invoke = Total {
            calls: 2,
            visits: 3,
            rpcs: 1,
            interrupts: 1,
            micros: 50,
            longest: 40,
        };
        // The session is still being opened.
        assert_eq!(totals(&lines), BTreeMap::from([("INVOKE", invoke)]));
        let table = summary(&lines);
        assert_eq!(table.lines().count(), 2);
        let row = table.lines().nth(1).unwrap();
        let row: Vec<_> = row.split_whitespace().collect();
        assert_eq!(row, ["INVOKE", "2", "3", "1", "1", "25", "40"]);
    }

    #[test]
    fn other_lines_are_no_steps() {
        for line in [
            "",
            "teevisor: linux: off",
            "teevisor: linux: 1.x vCPU 0 call 0.1: taken over: INVOKE",
            "one| teevisor: linux: 1.0 vCPU 0 call 0.1: ended: 0x0",
        ] {
            assert_eq!(Step::parse(line), None, "{line}");
        }
    }
}
