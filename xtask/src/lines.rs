// SPDX-License-Identifier: MIT OR Apache-2.0

//! Lines of code: neither empty, nor comment, nor test.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

/// Lines of code in the Rust files below a folder; files and folders named `tests` are tests.
pub fn of_folder(dir: &Path) -> Result<usize> {
    let mut total = 0;
    for entry in fs::read_dir(dir).with_context(|| format!("{}", dir.display()))? {
        let path = entry?.path();
        let is_test = path.file_stem().is_some_and(|stem| stem == "tests");
        if is_test {
            continue;
        }
        if path.is_dir() {
            total += of_folder(&path)?;
        } else if path.extension().is_some_and(|e| e == "rs" || e == "s") {
            total += of_source(&fs::read_to_string(&path)?);
        }
    }
    Ok(total)
}

/// Lines of code in a source that rustfmt has formatted.
pub fn of_source(text: &str) -> usize {
    let mut count = 0;
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let line_trimmed = line.trim();
        if line_trimmed == "#[cfg(test)]" {
            skip_item(line, &mut lines);
        } else if !line_trimmed.is_empty() && !line_trimmed.starts_with("//") {
            count += 1;
        }
    }
    count
}

/// Passes over the item that an attribute belongs to: to its semicolon, or to the brace that
/// closes it at the attribute's indentation.
fn skip_item<'a>(attribute: &str, lines: &mut impl Iterator<Item = &'a str>) {
    let indentation = &attribute[..attribute.len() - attribute.trim_start().len()];
    let closing = format!("{indentation}}}");
    for line in lines {
        let one_line = line.ends_with(';') || line.ends_with("{}") || line.ends_with("},");
        let own_level = line.starts_with(indentation)
            && !line[indentation.len()..].starts_with(char::is_whitespace);
        if line == closing || (own_level && one_line) {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_empty_lines_are_not_code() {
        assert_eq!(
            of_source("//! Module.\n\n/// Doc.\nfn f() {\n    // why\n    g();\n}\n"),
            3
        );
    }

    #[test]
    fn tests_are_not_code_and_what_follows_them_is() {
        let text = "fn f() {}\n#[cfg(test)]\nmod tests {\n    fn g() {\n    }\n    use x;\n}\nfn h() {}\n\
                    #[cfg(test)]\nmod other;\nfn i() {}\n#[cfg(test)]\nextern crate std;\nuse a;\n";
        assert_eq!(of_source(text), 4);
    }

    #[test]
    fn indented_test_item_ends_at_its_own_brace() {
        let text = "impl A {\n    #[cfg(test)]\n    fn t() {\n        if x {\n        }\n    }\n    fn f() {}\n}\n";
        assert_eq!(of_source(text), 3);
    }
}
