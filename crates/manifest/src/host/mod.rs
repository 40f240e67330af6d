//! The host's side: TOML to blob, files to bundle.

mod bundle;
mod cpio;
mod source;
mod writer;

pub use bundle::{BundleError, bundle};
pub use cpio::Writer;
pub use source::CompileError;

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
    let guests: Vec<_> = source.guests().collect();
    crate::check(&guests).map_err(|problem| CompileError::at_key(text, &problem))?;
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
    Ok(Compiled {
        blob: writer::blob(&guests),
        files,
    })
}
