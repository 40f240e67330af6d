// SPDX-License-Identifier: MIT OR Apache-2.0

//! The host's side: TOML to blob, files to bundle.

mod bundle;
mod cpio;
pub mod groups;
mod images;
mod source;
mod writer;

pub use bundle::{BundleError, bundle};
pub use cpio::Writer;
pub use source::CompileError;

use crate::Guest;

/// A manifest compiled.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Compiled {
    /// What [`crate::Manifest::parse`] reads.
    pub blob: Vec<u8>,
    /// The files that it names, each once, in the order in which they come up.
    pub files: Vec<String>,
}

/// Compiles a manifest, checked by the rules that EL2 applies.
pub fn compile(text: &str) -> Result<Compiled, CompileError> {
    let source = source::parse(text)?;
    let guests = source.guests();
    crate::check(&guests).map_err(|problem| CompileError::of_rule(text, &problem))?;
    crate::check_housekeeping(source.housekeeping_core, &guests)
        .map_err(|problem| CompileError::of_top(text, &problem))?;
    Ok(Compiled {
        blob: writer::blob(&guests, &source.top()),
        files: files(&guests),
    })
}

fn files(guests: &[Guest]) -> Vec<String> {
    let mut files: Vec<String> = Vec::new();
    for file in guests
        .iter()
        .flat_map(|guest| [Some(guest.kernel), guest.initrd])
        .flatten()
    {
        if !files.iter().any(|known| known == file) {
            files.push(file.to_owned());
        }
    }
    files
}
