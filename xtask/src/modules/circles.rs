// SPDX-License-Identifier: MIT OR Apache-2.0

//! Circles of imports.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::sources::Graph;

/// The most files that import from each other in a circle; empty if there is none. A module may
/// import from the one that it is part of.
pub fn largest(graph: &Graph) -> Vec<PathBuf> {
    let graph = without_parents(graph);
    let reached: Vec<_> = graph
        .keys()
        .map(|file| (file, reached(&graph, file)))
        .collect();
    let circle = |(file, from): &(&PathBuf, BTreeSet<&Path>)| {
        let mutual = |(other, back): &&(&PathBuf, BTreeSet<&Path>)| {
            from.contains(other.as_path()) && back.contains(file.as_path())
        };
        let files = reached.iter().filter(mutual);
        files.map(|(other, _)| (*other).clone()).collect::<Vec<_>>()
    };
    let circles = reached.iter().map(circle);
    circles.max_by_key(Vec::len).unwrap_or_default()
}

fn reached<'a>(graph: &'a Graph, from: &Path) -> BTreeSet<&'a Path> {
    let mut found = BTreeSet::new();
    let mut open: Vec<&Path> = vec![from];
    while let Some(file) = open.pop() {
        for next in graph.get(file).into_iter().flatten() {
            if found.insert(next.as_path()) {
                open.push(next);
            }
        }
    }
    found
}

/// Leaves out the arrows from a module up to those that it is part of.
fn without_parents(graph: &Graph) -> Graph {
    let mut graph = graph.clone();
    for (file, arrows) in &mut graph {
        arrows.retain(|to| !is_above(to, file));
    }
    graph
}

/// Whether the module of a file holds that of another.
fn is_above(above: &Path, file: &Path) -> bool {
    let folder = match above.file_name().and_then(|name| name.to_str()) {
        Some("main.rs" | "lib.rs" | "mod.rs") => above.parent().unwrap_or(above).to_owned(),
        _ => above.with_extension(""),
    };
    above != file && file.starts_with(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph(arrows: &[(&str, &[&str])]) -> Graph {
        let files = |names: &[&str]| names.iter().map(PathBuf::from).collect();
        let arrow = |(from, to): &(&str, &[&str])| (PathBuf::from(from), files(to));
        arrows.iter().map(arrow).collect()
    }

    #[test]
    fn largest_circle_is_found() {
        let graph = graph(&[
            ("a.rs", &["b.rs", "d.rs"]),
            ("b.rs", &["c.rs"]),
            ("c.rs", &["a.rs"]),
            ("d.rs", &["e.rs"]),
            ("e.rs", &["d.rs"]),
            ("f.rs", &["a.rs"]),
        ]);
        assert_eq!(largest(&graph), ["a.rs", "b.rs", "c.rs"].map(PathBuf::from));
    }

    #[test]
    fn straight_arrows_are_no_circle() {
        let graph = graph(&[("a.rs", &["b.rs", "c.rs"]), ("b.rs", &["c.rs"])]);
        assert!(largest(&graph).is_empty());
    }

    #[test]
    fn children_may_import_from_their_parents() {
        let graph = graph(&[
            ("main.rs", &["p/mod.rs"]),
            ("p/mod.rs", &["p/a.rs", "p/b.rs"]),
            ("p/a.rs", &["p/mod.rs", "main.rs"]),
            ("p/b.rs", &["p/mod.rs"]),
        ]);
        assert!(largest(&graph).is_empty());
    }

    #[test]
    fn a_way_round_through_a_parent_is_a_circle() {
        let graph = graph(&[
            ("p.rs", &["p/a.rs"]),
            ("p/a.rs", &["q.rs"]),
            ("q.rs", &["p.rs"]),
        ]);
        assert_eq!(largest(&graph).len(), 3);
    }
}
