// SPDX-License-Identifier: MIT OR Apache-2.0

//! Where EL2 spends a case's instructions: by function, with inlined ones apart.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use super::counts::Counts;
use crate::firmware::BL33;
use crate::{cache, command};

/// Lines printed.
const LONGEST: usize = 30;

/// Prints the functions that a call executes most.
pub fn print(name: &str, counts: &Counts, elf: &Path) -> Result<()> {
    let mut functions: Vec<(String, u64)> = by_function(counts, elf)?.into_iter().collect();
    functions.sort_by_key(|(_, executions)| std::cmp::Reverse(*executions));
    println!("\nEL2's instructions in a call of {name}, by function");
    for (function, executions) in functions.iter().take(LONGEST) {
        println!("{:9.1}  {function}", counts.a_call(*executions));
    }
    let rest: u64 = functions.iter().skip(LONGEST).map(|(_, count)| count).sum();
    println!("{:9.1}  all others", counts.a_call(rest));
    Ok(())
}

fn by_function(counts: &Counts, elf: &Path) -> Result<BTreeMap<String, u64>> {
    let mut addr2line = Command::new("aarch64-linux-gnu-addr2line");
    addr2line.args(["-a", "-f", "-C", "-i", "-e"]).arg(elf);
    addr2line.args(
        counts
            .executions
            .iter()
            .map(|(at, _)| format!("{:#x}", at - BL33)),
    );
    let text = command::output(&mut addr2line)?;
    let mut functions = BTreeMap::new();
    for (frames, (_, executions)) in frames(&text).iter().zip(&counts.executions) {
        let function = own(frames, cache::workspace()).context("addr2line")?;
        *functions.entry(function).or_default() += executions;
    }
    Ok(functions)
}

/// A function and where it is defined.
type Frame<'a> = (&'a str, &'a str);

/// Reads addr2line's answer: for each address, its function, then those it is inlined into.
fn frames(text: &str) -> Vec<Vec<Frame<'_>>> {
    let mut all: Vec<Vec<Frame>> = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line.starts_with("0x") {
            all.push(Vec::new());
        } else if let (Some(frames), Some(place)) = (all.last_mut(), lines.next()) {
            frames.push((line, place));
        }
    }
    all
}

/// Returns the innermost function of this workspace, else the outermost: which of `core`'s helpers
/// is at work says little.
fn own(frames: &[Frame], workspace: impl AsRef<Path>) -> Option<String> {
    let is_own = |(_, place): &&Frame| Path::new(place).starts_with(&workspace);
    let found = frames.iter().find(is_own).or(frames.last());
    found.map(|(function, _)| (*function).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "0x0000000000000874\nguest_exit\n??:?\n0x0000000000001000\n\
                        core::ptr::read\n/rust/core/ptr.rs:1\nmediator::begin\n/w/mediator/a.rs:3\n\
                        teevisor::call\n/w/kernel/b.rs:9\n";

    #[test]
    fn frames_of_each_address() {
        let all = frames(TEXT);
        assert_eq!(all.len(), 2);
        assert_eq!(all[0], [("guest_exit", "??:?")]);
        assert_eq!(all[1].len(), 3);
    }

    #[test]
    fn instructions_count_for_the_innermost_function_of_ours() {
        let all = frames(TEXT);
        assert_eq!(own(&all[0], "/w").as_deref(), Some("guest_exit"));
        assert_eq!(own(&all[1], "/w").as_deref(), Some("mediator::begin"));
        assert_eq!(
            own(&all[1], "/elsewhere").as_deref(),
            Some("teevisor::call")
        );
        assert_eq!(own(&[], "/w"), None);
    }
}
