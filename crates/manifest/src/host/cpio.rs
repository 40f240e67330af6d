// SPDX-License-Identifier: MIT OR Apache-2.0

//! Writing the archive that [`crate::archive`] reads, and those that Linux unpacks: cpio(5), "new
//! ASCII".

use crate::archive::{PADDING, TRAILER};
use std::io::{self, Write};

/// Alignment of a member's data, so that copying it at EL2 is aligned on both sides.
const PAGE: u64 = 4096;
const HEADER: u64 = 110;
/// A regular file that everybody may read.
const FILE: u32 = 0o100_644;
const DIRECTORY: u32 = 0o040_000;

/// Writes a cpio newc archive.
///
/// Owners and times are zero, so that equal members make equal archives.
pub struct Writer<W> {
    to: W,
    at: u64,
    members: u32,
}

impl<W: Write> Writer<W> {
    /// Returns an archive that begins where `to` stands.
    pub fn new(to: W) -> Self {
        Self {
            to,
            at: 0,
            members: 0,
        }
    }

    /// Adds a file whose data lies on a multiple of 4 KiB. Its name has no NUL; its data is less than
    /// 4 GiB.
    pub fn member(&mut self, name: &str, data: &[u8]) -> io::Result<()> {
        self.align_data_of(name)?;
        self.entry(name, FILE, data)
    }

    /// Adds what `mode`, as of stat(2), says, right behind what was added before.
    pub fn entry(&mut self, name: &str, mode: u32, data: &[u8]) -> io::Result<()> {
        let size = u32::try_from(data.len());
        let size = size.map_err(|_| {
            io::Error::new(io::ErrorKind::FileTooLarge, "4 GiB is too large for cpio")
        })?;
        self.members += 1;
        let (ino, namesize) = (self.members, name.len() + 1);
        let links = if mode & DIRECTORY == DIRECTORY { 2 } else { 1 };
        let head = format!(
            "070701{ino:08x}{mode:08x}{:016x}{links:08x}{:08x}{size:08x}{:032x}{namesize:08x}{:08x}{name}\0",
            0, 0, 0, 0
        );
        self.write(head.as_bytes())?;
        self.write(data)
    }

    /// Ends the archive.
    pub fn finish(mut self) -> io::Result<W> {
        self.entry(TRAILER, FILE, &[])?;
        Ok(self.to)
    }

    /// Adds a padding member if the data of a member `name`, coming next, would lie askew.
    fn align_data_of(&mut self, name: &str) -> io::Result<()> {
        if data_offset(self.at, name).is_multiple_of(PAGE) {
            return Ok(());
        }
        let unpadded = data_offset(data_offset(self.at, PADDING), name);
        let missing = unpadded.next_multiple_of(PAGE) - unpadded;
        self.entry(PADDING, FILE, &vec![0; missing as usize])
    }

    /// Writes and pads to 4 bytes.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.to.write_all(bytes)?;
        self.at += bytes.len() as u64;
        let padding = self.at.next_multiple_of(4) - self.at;
        self.to.write_all(&[0; 3][..padding as usize])?;
        self.at += padding;
        Ok(())
    }
}

/// Returns where the data of a member `name` begins whose header is at `at`.
fn data_offset(at: u64, name: &str) -> u64 {
    (at + HEADER + name.len() as u64 + 1).next_multiple_of(4)
}
