// SPDX-License-Identifier: MIT OR Apache-2.0

//! Running other programs so that a failure says which step, which command and where its log is.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use indicatif::ProgressBar;

static STOP: AtomicBool = AtomicBool::new(false);

/// Makes SIGINT, SIGTERM and SIGHUP set the flag that every wait in this program looks at,
/// so that children are ended and temporary files removed on the way out.
pub fn handle_signals() -> Result<()> {
    ctrlc::set_handler(|| STOP.store(true, Ordering::Relaxed)).context("signal handler")
}

/// Tells whether the user asked the program to end.
pub fn stopped() -> bool {
    STOP.load(Ordering::Relaxed)
}

/// Kills the child when dropped: nothing that xtask starts outlives it.
pub struct Guard(pub Child);

impl Drop for Guard {
    fn drop(&mut self) {
        // Both fail only if it has ended already, which is what is wanted.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Guard {
    /// Waits for the end of the child, or for a signal to xtask.
    pub fn wait(&mut self, mut tick: impl FnMut()) -> Result<ExitStatus> {
        loop {
            if let Some(status) = self.0.try_wait()? {
                return Ok(status);
            }
            if stopped() {
                bail!("interrupted");
            }
            tick();
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Returns the command as one could type it.
pub fn display(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let quoted = words.map(|word| quote(&word.to_string_lossy()));
    quoted.collect::<Vec<_>>().join(" ")
}

fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=./,:+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// Runs `command` with its output appended to `log`; the newest line shows beside the spinner.
pub fn logged(command: &mut Command, step: &str, log: &Path, bar: &ProgressBar) -> Result<()> {
    let start = fs::metadata(log).map_or(0, |log| log.len());
    let status = status(command, step, log, bar)?;
    if !status.success() {
        bail!(
            "{step} failed: `{}` ended with {status}; log: {}\n{}",
            display(command),
            log.display(),
            last_lines(log, start, 12),
        );
    }
    Ok(())
}

/// Runs `command` as [`logged`] does, and leaves it to the caller what its status means.
pub fn status(
    command: &mut Command,
    step: &str,
    log: &Path,
    bar: &ProgressBar,
) -> Result<ExitStatus> {
    if let Some(parent) = log.parent() {
        fs::create_dir_all(parent)?;
    }
    let mut out = File::options().create(true).append(true).open(log)?;
    let start = out.seek(SeekFrom::End(0))?;
    let child = command
        .stdin(Stdio::null())
        .stdout(out.try_clone()?)
        .stderr(out)
        .spawn()
        .with_context(|| format!("{step}: cannot start `{}`", display(command)))?;
    Guard(child).wait(|| {
        if !bar.is_hidden() {
            bar.set_message(last_lines(log, start, 1));
        }
    })
}

/// Returns standard output of a command that must succeed.
pub fn output(command: &mut Command) -> Result<String> {
    let out = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start `{}`", display(command)))?;
    if !out.status.success() {
        bail!(
            "`{}` ended with {}: {}",
            display(command),
            out.status,
            String::from_utf8_lossy(&out.stderr).trim(),
        );
    }
    Ok(String::from_utf8_lossy(&out.stdout).into_owned())
}

fn last_lines(log: &Path, start: u64, count: usize) -> String {
    const TAIL: u64 = 4096;
    let read = || -> std::io::Result<String> {
        let mut file = File::open(log)?;
        let end = file.seek(SeekFrom::End(0))?;
        file.seek(SeekFrom::Start(start.max(end.saturating_sub(TAIL))))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    let text = read().unwrap_or_default();
    let lines: Vec<&str> = text.lines().filter(|l| !l.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn display_quotes_what_a_shell_would_split() {
        let mut command = Command::new("echo");
        command.args(["plain", "two words", "it's", ""]);
        assert_eq!(display(&command), r"echo plain 'two words' 'it'\''s' ''");
    }

    #[test]
    fn failure_names_step_command_and_log() {
        let log = std::env::temp_dir().join(format!("xtask-log-{}", std::process::id()));
        let mut command = Command::new("sh");
        command.args(["-c", "echo why; exit 3"]);
        let error = logged(&mut command, "the step", &log, &ProgressBar::hidden()).unwrap_err();
        let text = error.to_string();
        fs::remove_file(&log).unwrap();
        assert!(text.contains("the step failed"), "{text}");
        assert!(text.contains("sh -c 'echo why; exit 3'"), "{text}");
        assert!(text.contains(&log.display().to_string()), "{text}");
        assert!(text.ends_with("why"), "{text}");
    }
}
