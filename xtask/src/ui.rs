// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the user sees of long steps: a spinner on a terminal, plain lines elsewhere.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use anyhow::Result;
use indicatif::{ProgressBar, ProgressStyle};

/// Runs `work` under a spinner named `name`; prints how long it took when it succeeds.
pub fn step<T>(name: &str, work: impl FnOnce(&ProgressBar) -> Result<T>) -> Result<T> {
    let start = Instant::now();
    let bar = spinner(name);
    let result = work(&bar);
    bar.finish_and_clear();
    if result.is_ok() {
        note(&format!("{name}: {:.1} s", start.elapsed().as_secs_f32()));
    }
    result
}

/// Prints one line about what happened, on stderr: stdout is for results.
pub fn note(line: &str) {
    eprintln!("xtask: {line}");
}

fn spinner(name: &str) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        note(&format!("{name} ..."));
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{spinner} {prefix} [{elapsed}] {wide_msg}")
        .unwrap_or_else(|_| ProgressStyle::default_spinner());
    let bar = ProgressBar::new_spinner().with_style(style);
    bar.set_prefix(name.to_owned());
    bar.enable_steady_tick(Duration::from_millis(120));
    bar
}
