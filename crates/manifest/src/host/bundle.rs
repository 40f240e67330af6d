// SPDX-License-Identifier: MIT OR Apache-2.0

//! Manifest and files to bundle.

use super::images::{self, Files};
use super::{CompileError, Writer, compile, source};
use crate::MEMBER;
use std::{fmt, io};

/// Why there is no bundle.
#[derive(Debug)]
pub enum BundleError {
    /// The manifest is wrong, or does not go with its files.
    Manifest(CompileError),
    /// A file that it names cannot be read.
    Read(String, io::Error),
    /// The bundle cannot be written.
    Write(io::Error),
}

impl fmt::Display for BundleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Manifest(error) => error.fmt(f),
            Self::Read(file, error) => write!(f, "{file}, which the manifest names: {error}"),
            Self::Write(error) => write!(f, "writing the bundle: {error}"),
        }
    }
}

impl std::error::Error for BundleError {}

/// Writes the bundle of the manifest `text` to `to`; `read` gives the bytes of a file that
/// the manifest names. Nothing is written unless all files are there and fit their guests.
pub fn bundle<W: io::Write>(
    text: &str,
    mut read: impl FnMut(&str) -> io::Result<Vec<u8>>,
    to: W,
) -> Result<W, BundleError> {
    let compiled = compile(text).map_err(BundleError::Manifest)?;
    let mut files = Files::new();
    for file in &compiled.files {
        let data = read(file).map_err(|error| BundleError::Read(file.clone(), error))?;
        files.insert(file.clone(), data);
    }
    let source = source::parse(text).map_err(BundleError::Manifest)?;
    images::check(text, &source.guests(), &files).map_err(BundleError::Manifest)?;
    write(&compiled.blob, &compiled.files, &files, to).map_err(BundleError::Write)
}

fn write<W: io::Write>(blob: &[u8], order: &[String], files: &Files, to: W) -> io::Result<W> {
    let mut archive = Writer::new(to);
    archive.member(MEMBER, blob)?;
    for file in order {
        archive.member(file, &files[file])?;
    }
    archive.finish()
}
