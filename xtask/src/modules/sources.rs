// SPDX-License-Identifier: MIT OR Apache-2.0

//! A crate's sources: which file imports from which.
//!
//! An import counts for the file that defines what it names, not for one that hands it on by
//! `pub use`. What only tests import does not count.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use syn::{Item, ItemMod, UseTree};

use super::imports;

/// A module's path from the crate's root.
type ModulePath = Vec<String>;

/// A module, in a file of its own or inside another's.
#[derive(Default)]
struct Module {
    /// Where its text is.
    file: PathBuf,
    /// What it defines itself, its modules excepted.
    items: BTreeSet<String>,
    /// Names that it imports, with what they stand for.
    aliases: BTreeMap<String, Vec<String>>,
    /// Paths all of whose names it imports.
    globs: Vec<Vec<String>>,
    /// Every path that it names: imports, and what stands in code.
    named: Vec<Vec<String>>,
}

/// The modules of a crate.
#[derive(Default)]
pub struct Crate {
    modules: BTreeMap<ModulePath, Module>,
}

/// For each file, the files that it imports from.
pub type Graph = BTreeMap<PathBuf, BTreeSet<PathBuf>>;

impl Crate {
    /// Reads the sources of the crate whose root is in `folder`.
    pub fn read(folder: &Path) -> Result<Self> {
        let roots = ["main.rs", "lib.rs"].map(|name| folder.join(name));
        let root = roots.iter().find(|root| root.is_file());
        let root = root.with_context(|| format!("no crate in {}", folder.display()))?;
        let mut sources = Self::default();
        sources.read_file(root, folder, &[])?;
        Ok(sources)
    }

    /// Reads a module's file; `folder` is where the files of its modules are.
    fn read_file(&mut self, file: &Path, folder: &Path, at: &[String]) -> Result<()> {
        let text = fs::read_to_string(file).with_context(|| format!("{}", file.display()))?;
        let parsed = syn::parse_file(&text).with_context(|| format!("{}", file.display()))?;
        self.add(file, folder, at, &parsed.items)
    }

    fn add(&mut self, file: &Path, folder: &Path, at: &[String], items: &[Item]) -> Result<()> {
        let mut module = Module {
            file: file.to_owned(),
            named: imports::paths(items),
            ..Module::default()
        };
        for item in items.iter().filter(|item| !imports::is_test(item)) {
            match item {
                Item::Use(import) => module.import(&import.tree, &mut Vec::new()),
                Item::Mod(inner) => self.add_inner(inner, file, folder, at)?,
                other => module.items.extend(imports::name(other)),
            }
        }
        self.modules.insert(at.to_vec(), module);
        Ok(())
    }

    fn add_inner(
        &mut self,
        inner: &ItemMod,
        file: &Path,
        folder: &Path,
        at: &[String],
    ) -> Result<()> {
        let name = inner.ident.to_string();
        let path = [at, std::slice::from_ref(&name)].concat();
        let folder_inside = folder.join(&name);
        if let Some((_, items)) = &inner.content {
            return self.add(file, &folder_inside, &path, items);
        }
        let own = [
            folder.join(format!("{name}.rs")),
            folder_inside.join("mod.rs"),
        ];
        match own.iter().find(|file| file.is_file()) {
            Some(file) => self.read_file(file, &folder_inside, &path),
            None => bail!("{}: no file of its module {name}", file.display()),
        }
    }

    /// The arrows between its files, named from `folder`.
    pub fn graph(&self, folder: &Path) -> Graph {
        let mut graph = Graph::new();
        let name = |file: &Path| file.strip_prefix(folder).unwrap_or(file).to_owned();
        for (at, module) in &self.modules {
            let arrows = graph.entry(name(&module.file)).or_default();
            for path in &module.named {
                let target = self.absolute(at, path).map(|path| self.file_of(&path));
                arrows.extend(target.filter(|file| *file != module.file).map(name));
            }
        }
        graph
    }

    /// A path as from the crate's root; none if it is another crate's or a local name.
    fn absolute(&self, at: &[String], path: &[String]) -> Option<Vec<String>> {
        let (first, rest) = path.split_first()?;
        let from = |base: &[String]| Some([base, rest].concat());
        match first.as_str() {
            "crate" => from(&[]),
            "self" => from(at),
            "super" => {
                let parent = at.split_last()?.1;
                match rest.first().map(String::as_str) {
                    Some("super") => self.absolute(parent, rest),
                    _ => from(parent),
                }
            }
            name => {
                let here = [at, path].concat();
                let known = self.modules.contains_key(&here[..=at.len()]);
                let imported = || self.modules.get(at)?.aliases.get(name);
                (known || imported().is_some()).then_some(here)
            }
        }
    }

    /// The file that defines what a path from the root names.
    fn file_of(&self, path: &[String]) -> &Path {
        /// Imports of imports that are followed.
        const DEPTH: usize = 8;
        let module = self.definition(path, DEPTH).unwrap_or_default();
        &self.modules[&module].file
    }

    /// The module that defines what a path names, or that it is.
    fn definition(&self, path: &[String], depth: usize) -> Option<ModulePath> {
        let known = |length: &usize| self.modules.contains_key(&path[..*length]);
        let length = (0..=path.len()).rev().find(known)?;
        let (at, rest) = path.split_at(length);
        let module = &self.modules[at];
        let Some((name, rest)) = rest.split_first() else {
            return Some(at.to_vec());
        };
        if depth == 0 || module.items.contains(name) {
            return Some(at.to_vec());
        }
        let alias = module.aliases.get(name).cloned();
        let globs = module.globs.iter().map(|glob| {
            let name = std::slice::from_ref(name);
            [glob, name].concat()
        });
        for target in alias.into_iter().chain(globs) {
            let target = self.absolute(at, &target).filter(|to| to != path);
            let found = target.and_then(|to| self.definition(&[&to, rest].concat(), depth - 1));
            if found.is_some() {
                return found;
            }
        }
        Some(at.to_vec())
    }
}

impl Module {
    /// Notes the names that an import brings.
    fn import(&mut self, tree: &UseTree, before: &mut Vec<String>) {
        imports::leaves(tree, before, &mut |path, alias| match alias {
            Some(alias) => {
                self.aliases.insert(alias, path);
            }
            None => self.globs.push(path),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache;

    /// The arrows of a crate with these files.
    fn arrows(name: &str, files: &[(&str, &str)]) -> Vec<(String, String)> {
        let folder = std::env::temp_dir().join(format!("xtask-{name}-{}", std::process::id()));
        for (file, text) in files {
            let file = folder.join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        }
        let graph = Crate::read(&folder).unwrap().graph(&folder);
        cache::remove(&folder).unwrap();
        let text = |file: &PathBuf| file.display().to_string();
        let of = |(from, to): (&PathBuf, &BTreeSet<PathBuf>)| {
            to.iter()
                .map(|to| (text(from), text(to)))
                .collect::<Vec<_>>()
        };
        graph.iter().flat_map(of).collect()
    }

    fn is(arrows: &[(String, String)], expected: &[(&str, &str)]) {
        let arrows: Vec<_> = arrows
            .iter()
            .map(|(a, b)| (a.as_str(), b.as_str()))
            .collect();
        assert_eq!(arrows, expected);
    }

    #[test]
    fn imports_and_paths_in_code_and_macros_are_arrows() {
        let files = [
            (
                "main.rs",
                "mod a;\nmod b;\nmod c;\nmod d;\nfn f() { a::run() }\n",
            ),
            (
                "a.rs",
                "use crate::{b::{self, B}, c};\nuse std::fs;\nfn run() { fs::read() }\n",
            ),
            ("b.rs", "pub struct B;\nfn f() { super::c::run() }\n"),
            ("c.rs", "fn run() { println!(\"{}\", crate::d::D); }\n"),
            ("d.rs", "pub const D: u32 = 1;\n"),
        ];
        let expected = [
            ("a.rs", "b.rs"),
            ("a.rs", "c.rs"),
            ("b.rs", "c.rs"),
            ("c.rs", "d.rs"),
            ("main.rs", "a.rs"),
        ];
        is(&arrows("paths", &files), &expected);
    }

    #[test]
    fn arrow_goes_to_the_file_that_defines() {
        let files = [
            ("lib.rs", "mod p;\nmod q;\n"),
            (
                "p/mod.rs",
                "mod a;\nmod b;\npub use a::A;\npub use b::*;\npub struct P;\n",
            ),
            ("p/a.rs", "pub struct A;\n"),
            ("p/b.rs", "use super::A;\npub struct B;\n"),
            ("q.rs", "use crate::p::{A, B};\n"),
        ];
        let expected = [
            ("p/b.rs", "p/a.rs"),
            ("p/mod.rs", "p/a.rs"),
            ("p/mod.rs", "p/b.rs"),
            ("q.rs", "p/a.rs"),
            ("q.rs", "p/b.rs"),
        ];
        is(&arrows("defines", &files), &expected);
    }

    #[test]
    fn tests_and_modules_in_the_same_file_make_no_arrows() {
        let files = [
            ("lib.rs", "mod a;\nmod b;\n"),
            (
                "a.rs",
                "mod inner { pub fn f() {} }\nfn f() { inner::f() }\n",
            ),
            (
                "b.rs",
                "fn f() {}\n#[cfg(test)]\nmod tests { use super::*; use crate::a; }\n",
            ),
        ];
        is(&arrows("tests", &files), &[]);
    }

    #[test]
    fn missing_file_of_a_module_is_named() {
        let folder = std::env::temp_dir().join(format!("xtask-missing-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("lib.rs"), "mod gone;\n").unwrap();
        let error = Crate::read(&folder).err().unwrap().to_string();
        cache::remove(&folder).unwrap();
        assert!(
            error.contains("lib.rs: no file of its module gone"),
            "{error}"
        );
    }
}
