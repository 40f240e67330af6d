// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a source names: its imports, and the paths that stand in its code.

use syn::visit::{self, Visit};
use syn::{Attribute, Item, ItemUse, Macro, Meta, UseTree};

/// Every path of two names or more that stands outside tests and inner modules.
pub fn paths(items: &[Item]) -> Vec<Vec<String>> {
    let mut paths = Paths::default();
    let own = |item: &&Item| !matches!(item, Item::Mod(_));
    items.iter().filter(own).for_each(|i| paths.visit_item(i));
    paths.0
}

#[derive(Default)]
struct Paths(Vec<Vec<String>>);

impl<'a> Visit<'a> for Paths {
    fn visit_item(&mut self, item: &'a Item) {
        if !is_test(item) {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_use(&mut self, import: &'a ItemUse) {
        leaves(&import.tree, &mut Vec::new(), &mut |path, _| {
            self.0.push(path);
        });
    }

    fn visit_path(&mut self, path: &'a syn::Path) {
        let names: Vec<String> = path.segments.iter().map(|s| s.ident.to_string()).collect();
        if names.len() > 1 && path.leading_colon.is_none() {
            self.0.push(names);
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &'a Macro) {
        self.0.extend(in_tokens(&call.tokens.to_string()));
        visit::visit_macro(self, call);
    }
}

/// Calls `each` with every path that an import names, and the name that it gets here: none for all
/// of a module's names.
pub fn leaves(
    tree: &UseTree,
    before: &mut Vec<String>,
    each: &mut impl FnMut(Vec<String>, Option<String>),
) {
    let mut leaf = |name: &syn::Ident, alias: &syn::Ident| {
        let own = name == "self";
        let alias = match before.last() {
            Some(module) if own && name == alias => module.clone(),
            _ => alias.to_string(),
        };
        let name = (!own).then(|| name.to_string());
        each(before.iter().cloned().chain(name).collect(), Some(alias));
    };
    match tree {
        UseTree::Name(name) => leaf(&name.ident, &name.ident),
        UseTree::Rename(rename) => leaf(&rename.ident, &rename.rename),
        UseTree::Glob(_) => each(before.clone(), None),
        UseTree::Group(group) => group.items.iter().for_each(|t| leaves(t, before, each)),
        UseTree::Path(path) => {
            before.push(path.ident.to_string());
            leaves(&path.tree, before, each);
            before.pop();
        }
    }
}

/// The paths in a macro's arguments.
fn in_tokens(text: &str) -> Vec<Vec<String>> {
    let mut paths = Vec::new();
    let text = text.replace(" :: ", "::").replace(":: ", "::");
    let is_path = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    for word in text.split(|c| !is_path(c)) {
        let names: Vec<String> = word.split("::").map(str::to_owned).collect();
        if names.len() > 1 && !names[0].is_empty() {
            paths.push(names);
        }
    }
    paths
}

/// Whether an item is there for tests only.
pub fn is_test(item: &Item) -> bool {
    attributes(item).iter().any(|attribute| {
        let Meta::List(list) = &attribute.meta else {
            return false;
        };
        list.path.is_ident("cfg") && list.tokens.to_string() == "test"
    })
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::ExternCrate(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

/// The name of what an item defines.
pub fn name(item: &Item) -> Option<String> {
    let name = match item {
        Item::Const(item) => &item.ident,
        Item::Enum(item) => &item.ident,
        Item::Fn(item) => &item.sig.ident,
        Item::Macro(item) => item.ident.as_ref()?,
        Item::Static(item) => &item.ident,
        Item::Struct(item) => &item.ident,
        Item::Trait(item) => &item.ident,
        Item::Type(item) => &item.ident,
        Item::Union(item) => &item.ident,
        _ => return None,
    };
    Some(name.to_string())
}
