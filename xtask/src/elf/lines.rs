// SPDX-License-Identifier: MIT OR Apache-2.0

//! Where in the sources instructions come from, by the debug information.

use std::fmt;
use std::path::Path;
use std::process::Command;

use anyhow::{Result, ensure};

use crate::{cache, command};

/// An instruction's functions, the innermost first, each as `FUNCTION at FILE:LINE`.
#[derive(Debug, PartialEq, Eq)]
pub struct Place(Vec<String>);

impl Place {
    /// Tells whether one of the functions has `text` in its name.
    pub fn names(&self, text: &str) -> bool {
        self.0.iter().any(|function| function.contains(text))
    }
}

/// The innermost function of this workspace, else the outermost.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let workspace = format!("{}/", cache::workspace().display());
        let own = self.0.iter().find(|function| function.contains(&workspace));
        let place = own.or(self.0.last()).map_or("", String::as_str);
        f.write_str(&place.replace(&workspace, ""))
    }
}

/// Returns where the instructions at these addresses come from.
pub fn of(elf: &Path, addresses: &[u64]) -> Result<Vec<Place>> {
    if addresses.is_empty() {
        return Ok(Vec::new());
    }
    let mut addr2line = Command::new("aarch64-linux-gnu-addr2line");
    addr2line
        .args(["-f", "-C", "-i", "-a", "-p", "-e"])
        .arg(elf)
        .args(addresses.iter().map(|at| format!("{at:#x}")));
    let places = each(&command::output(&mut addr2line)?);
    ensure!(
        places.len() == addresses.len(),
        "addr2line answers {} of {} addresses",
        places.len(),
        addresses.len()
    );
    Ok(places)
}

/// Reads addr2line's answer: `0xADDRESS: FUNCTION at LINE`, then `(inlined by) FUNCTION at LINE`.
fn each(text: &str) -> Vec<Place> {
    let mut places: Vec<Place> = Vec::new();
    for line in text.lines() {
        if let Some((_, innermost)) = line.strip_prefix("0x").and_then(|l| l.split_once(": ")) {
            places.push(Place(vec![innermost.to_owned()]));
        } else if let Some(place) = places.last_mut() {
            let function = line.trim().trim_start_matches("(inlined by) ");
            place.0.push(function.to_owned());
        }
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_belong_to_the_address_before_them() {
        let own = cache::workspace().join("b.rs");
        let text = format!(
            "0x0000000000000048: read<u32, Acknowledge> at /core/a.rs:3\n \
             (inlined by) serve at {}:9\n (inlined by) main at /c.rs:1\n\
             0x000000000000004c: ?? ??:0\n",
            own.display()
        );
        let places = each(&text);
        assert_eq!(places.len(), 2);
        assert!(places[0].names("Acknowledge") && !places[1].names("Acknowledge"));
        assert_eq!(places[0].to_string(), "serve at b.rs:9");
        assert_eq!(places[1].to_string(), "?? ??:0");
    }
}
