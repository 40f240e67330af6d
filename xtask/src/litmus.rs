// SPDX-License-Identifier: MIT OR Apache-2.0

//! The protocols between cores as litmus tests (`kernel/litmus`), judged by herd7 under Arm's own memory model.
//!
//! A test's condition is the outcome that must not be. herd7 has to find it impossible, and possible as soon as any
//! one of the test's barriers is taken away: so a test that shows nothing fails too.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::apt::Apt;
use crate::cache::{self, Cache, Inputs};
use crate::packages;

/// Where the tests are.
const FOLDER: &str = "kernel/litmus";
/// What they are about.
const SOURCES: &str = "kernel/src";

/// Where Debian has herd7, and what it takes to run it on a machine with an older C library.
const SUITE: &str = "sid";
const PACKAGES: [&str; 3] = ["herdtools7", "libc6", "libgmp10"];

/// What orders memory accesses, and what is left when that is taken away.
const BARRIERS: [(&str, &str); 8] = [
    ("DSB SY", "NOP"),
    ("DMB ISH", "NOP"),
    ("ISB", "NOP"),
    ("STLR", "STR"),
    ("LDAR", "LDR"),
    ("STLXR", "STXR"),
    ("LDAXR", "LDXR"),
    ("SWPA", "SWP"),
];

/// herd7, unpacked.
pub struct Herd {
    root: PathBuf,
    scratch: PathBuf,
}

impl Herd {
    /// Fetches it unless it is there.
    pub fn ensure(cache: &Cache) -> Result<Self> {
        let inputs = Inputs::default().texts(["1", SUITE]).texts(PACKAGES);
        let dir = cache.step(packages::HERD, inputs, |work| {
            let apt = Apt::own(cache, SUITE)?;
            apt.prepare(work)?;
            apt.binaries(&PACKAGES, work)?;
            keep_only(&work.dir.join("root/usr/bin"), "herd7")
        })?;
        let scratch = cache::workspace().join("target/litmus");
        fs::create_dir_all(&scratch)?;
        let root = dir.join("root/usr");
        Ok(Self { root, scratch })
    }

    /// Returns what it says of a test.
    fn judge(&self, name: &str, text: &str) -> Result<Answer> {
        let path = self.scratch.join(format!("{name}.litmus"));
        fs::write(&path, text)?;
        let mut herd = self.command()?;
        let output = herd.arg(&path).output().context("cannot start herd7")?;
        Ok(Answer {
            outcome: Outcome::of(&String::from_utf8_lossy(&output.stdout)),
            text: String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned(),
        })
    }

    /// Returns the command that starts it: by the loader that its C library came with.
    fn command(&self) -> Result<Command> {
        let triplet = format!("{}-linux-gnu", std::env::consts::ARCH);
        let libraries = self.root.join("lib").join(triplet);
        let mut herd = Command::new(loader(&libraries)?);
        herd.arg("--library-path")
            .arg(&libraries)
            .arg(self.root.join("bin/herd7"))
            .arg("-set-libdir")
            .arg(self.root.join("share/herdtools7/herd"))
            // Leaves out early what no core does: a twentieth of the time, the same answer.
            .args(["-optace", "true"]);
        Ok(herd)
    }
}

fn loader(libraries: &Path) -> Result<PathBuf> {
    let is_loader = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with("ld-linux-")
    };
    paths(libraries)?
        .into_iter()
        .find(is_loader)
        .with_context(|| format!("{}: no loader", libraries.display()))
}

/// Removes the other programs of the package, most of its size.
fn keep_only(folder: &Path, name: &str) -> Result<()> {
    let paths = paths(folder)?;
    let mut others = paths.iter().filter(|path| !path.ends_with(name));
    others.try_for_each(|path| cache::remove(path))
}

/// What herd7 has found out.
struct Answer {
    outcome: Option<Outcome>,
    /// All that it has printed.
    text: String,
}

/// How often the condition of a test holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Never,
    Sometimes,
    Always,
}

impl Outcome {
    /// Reads it from the line `Observation NAME Never 0 3`.
    fn of(output: &str) -> Option<Self> {
        let line = output.lines().find(|l| l.starts_with("Observation "))?;
        match line.split_whitespace().nth(2)? {
            "Never" => Some(Self::Never),
            "Sometimes" => Some(Self::Sometimes),
            "Always" => Some(Self::Always),
            _ => None,
        }
    }
}

/// One file.
pub struct Test {
    /// Its name without the extension.
    pub name: String,
    text: String,
}

/// Returns all tests.
pub fn tests() -> Result<Vec<Test>> {
    let read = |path: PathBuf| {
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        Ok(Test {
            name: name.into_owned(),
            text: fs::read_to_string(&path)?,
        })
    };
    let mut paths = paths(&cache::workspace().join(FOLDER))?;
    paths.retain(|path| path.extension().is_some_and(|e| e == "litmus"));
    paths.into_iter().map(read).collect()
}

impl Test {
    /// Runs it as it is, and without each of its barriers; says how many those are.
    pub fn run(&self, herd: &Herd) -> Result<String> {
        self.expect(herd, &self.text, Outcome::Never, "as it is")?;
        let variants = variants(&self.text);
        ensure!(!variants.is_empty(), "{}: no barrier", self.file());
        for variant in &variants {
            self.expect(herd, &variant.text, Outcome::Sometimes, &variant.what)?;
        }
        Ok(format!("{} barriers, each needed", variants.len()))
    }

    fn file(&self) -> String {
        format!("{FOLDER}/{}.litmus", self.name)
    }

    fn expect(&self, herd: &Herd, text: &str, wanted: Outcome, what: &str) -> Result<()> {
        let answer = herd.judge(&self.name, text)?;
        let why = match (answer.outcome, wanted) {
            (Some(found), wanted) if found == wanted => return Ok(()),
            (None, _) => "herd7 can't read the test",
            (_, Outcome::Never) => "the forbidden outcome is possible",
            _ => "the forbidden outcome is still impossible: nothing needs that barrier",
        };
        bail!("{}, {what}: {why}\n{}", self.file(), answer.text)
    }
}

/// A test without one of its barriers.
struct Variant {
    what: String,
    text: String,
}

/// Returns the test without the first of its barriers, without the second, and so on.
fn variants(text: &str) -> Vec<Variant> {
    // The threads' code begins with their names.
    let code = text.find("\n P0").unwrap_or(text.len());
    let found = BARRIERS.iter().flat_map(|&(strong, weak)| {
        text[code..]
            .match_indices(strong)
            .map(move |(at, _)| (code + at, strong, weak))
    });
    found
        .map(|(at, strong, weak)| {
            let (before, after) = (&text[..at], &text[at + strong.len()..]);
            let line = before.lines().count();
            let thread = before
                .lines()
                .next_back()
                .map_or(0, |l| l.matches('|').count());
            Variant {
                what: format!("line {line}, P{thread}'s {strong} as {weak}"),
                text: format!("{before}{weak}{after}"),
            }
        })
        .collect()
}

/// Checks that sources and tests go together: each file with atomics says by which protocol they are used, each test
/// is named by a protocol, and each that is named is there. Says how many files have atomics.
pub fn check_sources(tests: &[Test]) -> Result<String> {
    let mut sources = Vec::new();
    read_sources(&cache::workspace().join(SOURCES), &mut sources)?;
    let named = |name: &str| format!("litmus/{name}.litmus");
    for test in tests {
        let is_named = sources
            .iter()
            .any(|(_, text)| text.contains(&named(&test.name)));
        ensure!(is_named, "{}: no protocol names it", test.file());
    }
    for (path, text) in &sources {
        for name in mentioned(text) {
            let exists = tests.iter().any(|test| test.name == name);
            ensure!(exists, "{}: there is no {}", path.display(), named(name));
        }
    }
    sources.retain(|(_, text)| text.contains("Ordering::"));
    for (path, text) in &sources {
        ensure!(
            text.contains("Protocol"),
            "{}: which core may see what when? Say so with the atomics, as in kernel/src/irq/mod.rs",
            path.display()
        );
    }
    Ok(format!("{} files with atomics", sources.len()))
}

/// Returns the names in `litmus/NAME.litmus`.
fn mentioned(text: &str) -> impl Iterator<Item = &str> {
    let parts = text.split("litmus/").skip(1);
    parts.filter_map(|part| part.split_once(".litmus").map(|(name, _)| name))
}

fn read_sources(folder: &Path, into: &mut Vec<(PathBuf, String)>) -> Result<()> {
    for path in paths(folder)? {
        if path.is_dir() {
            read_sources(&path, into)?;
        } else if path.extension().is_some_and(|e| e == "rs") {
            let text = fs::read_to_string(&path)?;
            into.push((path, text));
        }
    }
    Ok(())
}

fn paths(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("{}", folder.display()))?;
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEST: &str = "AArch64 t\n(* no DSB SY here *)\n{}\n P0 | P1 ;\n STLR W0,[X1] | LDAXR W2,[X3] ;\n DSB SY | ISB ;\n";

    #[test]
    fn each_barrier_is_taken_away_by_itself() {
        let variants = variants(TEST);
        let what: Vec<&str> = variants.iter().map(|v| v.what.as_str()).collect();
        assert_eq!(
            what,
            [
                "line 6, P0's DSB SY as NOP",
                "line 6, P1's ISB as NOP",
                "line 5, P0's STLR as STR",
                "line 5, P1's LDAXR as LDXR",
            ]
        );
        assert!(variants[0].text.ends_with("\n NOP | ISB ;\n"));
        assert!(variants[2].text.contains("\n STR W0,[X1] | LDAXR"));
        assert!(variants.iter().all(|v| v.text.contains("no DSB SY here")));
    }

    #[test]
    fn outcome_is_read_from_its_line() {
        let output =
            |word: &str| format!("Test t Allowed\nObservation t {word} 0 3\nTime t 0.01\n");
        assert_eq!(Outcome::of(&output("Never")), Some(Outcome::Never));
        assert_eq!(Outcome::of(&output("Sometimes")), Some(Outcome::Sometimes));
        assert_eq!(Outcome::of(&output("Always")), Some(Outcome::Always));
        assert_eq!(Outcome::of("Warning: line 4: unexpected 'W0'\n"), None);
    }

    #[test]
    fn tests_that_a_protocol_names_are_found() {
        let text = "/// Protocol (litmus/kick.litmus, litmus/wake.litmus): litmus/ in prose.";
        assert_eq!(mentioned(text).collect::<Vec<_>>(), ["kick", "wake"]);
    }
}
