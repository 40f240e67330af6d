// SPDX-License-Identifier: MIT OR Apache-2.0

//! Debian mirrors, read from the machine's own apt sources: both formats of sources.list(5).

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

/// Suites by which a source is known to be Debian's archive itself.
const SUITES: [&str; 8] = [
    "bookworm",
    "trixie",
    "forky",
    "sid",
    "unstable",
    "testing",
    "stable",
    "oldstable",
];

/// One place where binary packages come from.
#[derive(Debug, PartialEq, Eq)]
pub struct Source {
    uri: String,
    suite: String,
    components: Vec<String>,
}

/// Finds the mirror of Debian's archive that this machine uses, or the one TEEVISOR_MIRROR names.
pub fn mirror() -> Result<String> {
    if let Ok(uri) = std::env::var("TEEVISOR_MIRROR") {
        return Ok(uri);
    }
    let sources = read(Path::new("/etc/apt"));
    pick(&sources).context(
        "no Debian mirror among this machine's apt sources (/etc/apt/sources.list, \
         /etc/apt/sources.list.d); name one in the environment variable TEEVISOR_MIRROR",
    )
}

fn read(apt: &Path) -> Vec<Source> {
    let mut found =
        fs::read_to_string(apt.join("sources.list")).map_or(Vec::new(), |t| one_line(&t));
    let parts = fs::read_dir(apt.join("sources.list.d"))
        .into_iter()
        .flatten()
        .flatten();
    let mut paths: Vec<_> = parts.map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        let Ok(text) = fs::read_to_string(&path) else {
            continue;
        };
        match path.extension().and_then(|e| e.to_str()) {
            Some("list") => found.extend(one_line(&text)),
            Some("sources") => found.extend(deb822(&text)),
            _ => {}
        }
    }
    found
}

fn pick(sources: &[Source]) -> Option<String> {
    let archive = |s: &&Source| {
        SUITES.contains(&s.suite.as_str()) && s.components.iter().any(|c| c == "main")
    };
    sources.iter().find(archive).map(|s| s.uri.clone())
}

/// Lines like `deb [option=value …] URI SUITE COMPONENT…`.
fn one_line(text: &str) -> Vec<Source> {
    let lines = text
        .lines()
        .map(|line| line.split('#').next().unwrap_or(""));
    lines.filter_map(entry).collect()
}

fn entry(line: &str) -> Option<Source> {
    let rest = line.trim().strip_prefix("deb")?;
    let rest = rest.strip_prefix(char::is_whitespace)?.trim_start();
    let rest = match rest.strip_prefix('[') {
        Some(options) => options.split_once(']')?.1,
        None => rest,
    };
    let mut words = rest.split_whitespace().map(str::to_owned);
    Some(Source {
        uri: words.next()?,
        suite: words.next()?,
        components: words.collect(),
    })
}

/// Stanzas of `Field: value` lines with continuation lines, separated by empty lines.
fn deb822(text: &str) -> Vec<Source> {
    let no_comments: Vec<&str> = text.lines().filter(|l| !l.starts_with('#')).collect();
    let stanzas = no_comments.split(|line| line.trim().is_empty());
    stanzas.flat_map(stanza).collect()
}

fn stanza(lines: &[&str]) -> Vec<Source> {
    let has = |name: &str, value: &str| field(lines, name).iter().any(|v| v == value);
    if !has("types", "deb") || has("enabled", "no") {
        return Vec::new();
    }
    let components = field(lines, "components");
    let suites = field(lines, "suites");
    let of_uri = |uri: String| {
        let components = components.clone();
        suites.clone().into_iter().map(move |suite| Source {
            uri: uri.clone(),
            suite,
            components: components.clone(),
        })
    };
    field(lines, "uris").into_iter().flat_map(of_uri).collect()
}

/// Returns the words of the field `name` (in lower case), continuation lines included.
fn field(lines: &[&str], name: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut inside = false;
    for line in lines {
        let value = if line.starts_with(char::is_whitespace) {
            line
        } else {
            let (key, value) = line.split_once(':').unwrap_or(("", ""));
            inside = key.eq_ignore_ascii_case(name);
            value
        };
        if inside {
            words.extend(value.split_whitespace().map(str::to_owned));
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deb822_of_a_fresh_machine() {
        let text = "Types: deb\n# a comment inside\nURIs: http://mirror.example/debian\n\
                    Suites: bookworm bookworm-updates\nComponents: main\nSigned-By: /k.gpg\n\n\
                    Types: deb\nURIs: http://mirror.example/debian-security\n\
                    Suites: bookworm-security\nComponents: main\n";
        let sources = deb822(text);
        assert_eq!(sources.len(), 3);
        assert_eq!(
            pick(&sources).as_deref(),
            Some("http://mirror.example/debian")
        );
    }

    #[test]
    fn deb822_continuation_case_and_disabled() {
        let text = "types: deb deb-src\nuris:\n http://one.example/debian\n http://two.example/debian\n\
                    suites: trixie\ncomponents: main\n  contrib\n\n\
                    Enabled: no\nTypes: deb\nURIs: http://off.example\nSuites: sid\nComponents: main\n";
        let sources = deb822(text);
        let uris: Vec<&str> = sources.iter().map(|s| s.uri.as_str()).collect();
        assert_eq!(
            uris,
            ["http://one.example/debian", "http://two.example/debian"]
        );
        assert_eq!(sources[0].components, ["main", "contrib"]);
    }

    #[test]
    fn one_line_with_options_and_comments() {
        let text = "# deb http://no.example/debian trixie main\n\
                    deb-src http://src.example/debian trixie main\n\
                    deb [arch=amd64 signed-by=/k.gpg] http://mirror.example/debian trixie main contrib # why\n";
        let sources = one_line(text);
        assert_eq!(sources.len(), 1);
        assert_eq!(
            pick(&sources).as_deref(),
            Some("http://mirror.example/debian")
        );
    }

    #[test]
    fn other_archives_are_not_taken_for_debian() {
        let text = "deb http://vendor.example/apt cloud-sdk-bookworm main\n\
                    deb http://node.example nodistro main\n\
                    deb http://sec.example/debian-security bookworm-security main\n\
                    deb http://flat.example ./\n";
        assert_eq!(pick(&one_line(text)), None);
    }
}
