// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the crates that are used must be like, by deny.toml: their licenses, one version of each,
//! no wildcards, all from crates.io.
//!
//! Building cargo-deny takes minutes, so what cargo itself tells is judged here; cargo-deny is run
//! besides where it is installed, which adds what only it knows: advisories, yanked versions.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use spdx::{Expression, ParseMode};
use toml::Table;

use crate::{command, host, toolchain};

/// The workspaces, by their manifests.
const WORKSPACES: [&str; 2] = ["Cargo.toml", "fuzz/Cargo.toml"];
const RULES: &str = "deny.toml";
/// What cargo calls the one registry.
const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// Judges the crates of both workspaces.
pub fn check(root: &Path) -> Result<String> {
    let rules = Rules::read(&root.join(RULES))?;
    let mut crates = 0;
    let mut faults = Vec::new();
    for manifest in WORKSPACES {
        let mut cargo = Command::new(toolchain::host_cargo());
        cargo.args(["metadata", "--format-version", "1", "--manifest-path"]);
        let text = command::output(cargo.arg(root.join(manifest)))?;
        let metadata = serde_json::from_str(&text)?;
        let packages = packages(&metadata)?;
        crates += packages.iter().filter(|p| p["source"].is_string()).count();
        faults.extend(rules.faults(packages));
    }
    ensure!(faults.is_empty(), "{}", faults.join("; "));
    Ok(format!(
        "{crates} crates; cargo-deny: {}",
        cargo_deny(root)?
    ))
}

fn packages(metadata: &Value) -> Result<&[Value]> {
    let packages = metadata["packages"].as_array();
    Ok(packages.context("cargo tells of no packages")?)
}

/// Runs cargo-deny if it is installed, and tells what it judged.
fn cargo_deny(root: &Path) -> Result<&'static str> {
    if host::find("cargo-deny").is_none() {
        return Ok("not installed, so advisories are not looked at");
    }
    let run = |arguments: &[&str], manifest| {
        let mut deny = Command::new("cargo-deny");
        deny.args(["--manifest-path", manifest]).args(arguments);
        command::output(deny.current_dir(root))
    };
    // Without a network there is no database, which is no fault of the crates.
    let advisories = run(&["fetch", "db"], WORKSPACES[0]).is_ok();
    let mut arguments = vec!["--offline", "check", "bans", "licenses", "sources"];
    arguments.extend(advisories.then_some("advisories"));
    for manifest in WORKSPACES {
        run(&arguments, manifest)?;
    }
    Ok(match advisories {
        true => "clean, advisories too",
        false => "clean, but its database of advisories can't be fetched",
    })
}

/// What deny.toml allows.
struct Rules {
    /// Licenses of every crate.
    licences: Vec<String>,
    /// Licenses of single crates.
    exceptions: Vec<(String, Vec<String>)>,
    /// Name and beginning of the version of those that may be there beside another version.
    skipped: Vec<(String, String)>,
}

impl Rules {
    fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).with_context(|| format!("{}", path.display()))?;
        Self::parse(&text).with_context(|| format!("{}", path.display()))
    }

    fn parse(text: &str) -> Result<Self> {
        let table: Table = text.parse()?;
        let exception = |entry: &toml::Value| {
            let name = entry.get("crate")?.as_str()?.to_owned();
            Some((name, texts(entry.get("allow"))))
        };
        let skipped = |entry: &toml::Value| {
            let (name, version) = entry.get("crate")?.as_str()?.split_once('@')?;
            Some((name.to_owned(), version.to_owned()))
        };
        let entries = |part: &str, key: &str| {
            let entries = table.get(part).and_then(|part| part.get(key));
            entries.and_then(toml::Value::as_array).cloned()
        };
        let exceptions = entries("licenses", "exceptions").unwrap_or_default();
        let skips = entries("bans", "skip").unwrap_or_default();
        let licences = table.get("licenses").and_then(|part| part.get("allow"));
        Ok(Self {
            licences: texts(licences),
            exceptions: exceptions.iter().filter_map(exception).collect(),
            skipped: skips.iter().filter_map(skipped).collect(),
        })
    }

    /// Returns what is wrong with these packages.
    fn faults(&self, packages: &[Value]) -> Vec<String> {
        let mut faults = self.duplicates(packages);
        for package in packages {
            faults.extend(self.licence_fault(package));
            faults.extend(source_fault(package));
            faults.extend(wildcards(package));
        }
        faults
    }

    fn licence_fault(&self, package: &Value) -> Option<String> {
        let (name, licence) = (text(package, "name"), text(package, "license"));
        let own = self.exceptions.iter().filter(|(of, _)| of == name);
        let allowed: Vec<&String> = own.flat_map(|(_, own)| own).chain(&self.licences).collect();
        let is_allowed = |licence: &str| allowed.iter().any(|a| *a == licence);
        let fault = match Expression::parse_mode(licence, ParseMode::LAX) {
            Ok(expression) => !expression.evaluate(|wanted| is_allowed(&wanted.to_string())),
            Err(_) => true,
        };
        fault.then(|| format!("{name}: {RULES} does not allow its licence, {licence:?}"))
    }

    /// Names of which there are several versions.
    fn duplicates(&self, packages: &[Value]) -> Vec<String> {
        let mut versions = BTreeMap::<&str, Vec<&str>>::new();
        for package in packages {
            let (name, version) = (text(package, "name"), text(package, "version"));
            if !self.is_skipped(name, version) {
                versions.entry(name).or_default().push(version);
            }
        }
        let several = versions.iter().filter(|(_, versions)| versions.len() > 1);
        let fault = |(name, versions): (&&str, &Vec<&str>)| {
            let versions = versions.join(" and ");
            format!("{name}: both {versions}; agree on one, or skip the older in {RULES}")
        };
        several.map(fault).collect()
    }

    fn is_skipped(&self, name: &str, version: &str) -> bool {
        self.skipped.iter().any(|(skipped, start)| {
            let rest = version.strip_prefix(start.as_str());
            skipped == name && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        })
    }
}

/// Names a crate from elsewhere than the workspace and crates.io.
fn source_fault(package: &Value) -> Option<String> {
    let source = package["source"].as_str()?;
    let fault = || {
        format!(
            "{}: from {source}, not from crates.io",
            text(package, "name")
        )
    };
    (source != CRATES_IO).then(fault)
}

/// Dependencies on whatever version there is, of the workspace's own crates.
fn wildcards(package: &Value) -> Vec<String> {
    let dependencies = package["dependencies"].as_array();
    let own = package["source"].is_null();
    let any = |on: &&Value| own && on["req"] == "*" && on["path"].is_null();
    let any = dependencies.into_iter().flatten().filter(any);
    let fault = |on: &Value| {
        let (name, on) = (text(package, "name"), text(on, "name"));
        format!("{name}: names no version of {on}")
    };
    any.map(fault).collect()
}

fn text<'a>(of: &'a Value, key: &str) -> &'a str {
    of[key].as_str().unwrap_or_default()
}

fn texts(list: Option<&toml::Value>) -> Vec<String> {
    let list = list.and_then(toml::Value::as_array);
    let texts = list.into_iter().flatten().filter_map(toml::Value::as_str);
    texts.map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const TEXT: &str = r#"
        [licenses]
        allow = ["MIT", "Unicode-3.0"]
        exceptions = [{ crate = "odd", allow = ["MPL-2.0"] }]
        [bans]
        skip = [{ crate = "old@1.2", reason = "because" }]
    "#;

    fn package(name: &str, version: &str, license: &str) -> Value {
        json!({ "name": name, "version": version, "license": license, "source": CRATES_IO })
    }

    fn faults(packages: &[Value]) -> Vec<String> {
        Rules::parse(TEXT).unwrap().faults(packages)
    }

    #[test]
    fn one_allowed_licence_of_a_choice_is_enough() {
        for licence in [
            "MIT",
            "GPL-2.0-only OR MIT",
            "Apache-2.0/MIT",
            "MIT AND Unicode-3.0",
        ] {
            assert_eq!(
                faults(&[package("a", "1.0.0", licence)]),
                [""; 0],
                "{licence}"
            );
        }
        for licence in [
            "GPL-2.0-only",
            "MIT AND Apache-2.0",
            "MPL-2.0",
            "",
            "my own",
        ] {
            assert_eq!(
                faults(&[package("a", "1.0.0", licence)]).len(),
                1,
                "{licence}"
            );
        }
        assert_eq!(faults(&[package("odd", "1.0.0", "MPL-2.0")]), [""; 0]);
    }

    #[test]
    fn second_version_is_a_fault_unless_it_is_skipped() {
        let two = |name, old| [package(name, old, "MIT"), package(name, "3.0.0", "MIT")];
        assert!(faults(&two("new", "1.2.0"))[0].contains("both 1.2.0 and 3.0.0"));
        assert_eq!(faults(&two("old", "1.2.7")), [""; 0]);
        assert_eq!(faults(&two("old", "1.20.0")).len(), 1);
    }

    #[test]
    fn sources_other_than_the_registry_are_faults() {
        let mut package = package("a", "1.0.0", "MIT");
        package["source"] = "git+https://example.org/a".into();
        assert!(faults(&[package])[0].contains("not from crates.io"));
    }

    #[test]
    fn wildcards_are_faults_but_for_paths() {
        let on = |path| json!({ "name": "on", "req": "*", "path": path });
        let mut package = package("a", "1.0.0", "MIT");
        package["source"] = Value::Null;
        package["dependencies"] = json!([on(Value::Null), on("/w/on".into())]);
        assert_eq!(faults(&[package]), ["a: names no version of on"]);
    }
}
