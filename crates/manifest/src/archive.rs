// SPDX-License-Identifier: MIT OR Apache-2.0

//! Reading a cpio archive of the "newc" format, as the bundle is.
//!
//! The format (Linux Documentation/driver-api/early-userspace/buffer-format.rst): for each
//! member a header of 110 ASCII bytes, the name with its NUL, padding to 4 bytes, the data,
//! padding to 4 bytes; a member named `TRAILER!!!` ends it.

use core::fmt;

const HEADER: usize = 110;
const MAGIC: &[u8] = b"070701";
/// The name of the member that ends an archive.
pub(crate) const TRAILER: &str = "TRAILER!!!";
/// The name of members that only fill up to the next page.
pub(crate) const PADDING: &str = ".padding";
/// Where the eight hexadecimal digits of c_filesize are.
const FILE_SIZE: usize = 6 + 6 * 8;
/// Where those of c_namesize are.
const NAME_SIZE: usize = 6 + 11 * 8;
/// Most bytes of a name, with its NUL.
const MAX_NAME: usize = 4096;

/// An archive whose every header was checked.
#[derive(Clone, Copy, Debug)]
pub struct Archive<'a> {
    bytes: &'a [u8],
}

/// A file in an archive.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Member<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its bytes.
    pub data: &'a [u8],
}

/// What is wrong with an archive, and where.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ArchiveError<'a> {
    /// The byte at which the broken member's header is.
    pub at: usize,
    /// What is wrong.
    pub problem: ArchiveProblem<'a>,
}

/// What is wrong with a member of an archive.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ArchiveProblem<'a> {
    /// There are no more bytes, but the end mark has not come.
    NoTrailer,
    /// The header does not start with 070701.
    Magic,
    /// It starts as gzip, xz, zstd or LZ4 do.
    Compressed,
    /// The header is cut off, or a size in it is not hexadecimal.
    Header,
    /// The name is cut off, empty, too long, without its NUL or not UTF-8.
    Name,
    /// The data of the named member is cut off.
    Data {
        /// The member.
        name: &'a str,
        /// Bytes that the header announces.
        wanted: usize,
        /// Bytes that are there.
        left: usize,
    },
}

impl fmt::Display for ArchiveError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "byte {}: ", self.at)?;
        match self.problem {
            ArchiveProblem::NoTrailer => {
                f.write_str("it ends without its end mark: it was cut off")
            }
            ArchiveProblem::Magic => {
                f.write_str("not a cpio newc header: make it with xtask bundle")
            }
            ArchiveProblem::Compressed => f.write_str("compressed: give it uncompressed"),
            ArchiveProblem::Header => f.write_str("the member's header is cut off or damaged"),
            ArchiveProblem::Name => f.write_str("the member's name is cut off or damaged"),
            ArchiveProblem::Data { name, wanted, left } => {
                write!(
                    f,
                    "member {name} is cut off: {left} of {wanted} bytes are there"
                )
            }
        }
    }
}

impl core::error::Error for ArchiveError<'_> {}

impl<'a> Archive<'a> {
    /// Checks every member up to the end mark; bytes behind it are ignored.
    pub fn new(bytes: &'a [u8]) -> Result<Self, ArchiveError<'a>> {
        let mut at = 0;
        loop {
            let (member, next) =
                member(bytes, at).map_err(|problem| ArchiveError { at, problem })?;
            if member.name == TRAILER {
                return Ok(Self { bytes });
            }
            at = next;
        }
    }

    /// Returns the members in order.
    pub fn members(&self) -> impl Iterator<Item = Member<'a>> + use<'a> {
        let (bytes, mut at) = (self.bytes, 0);
        core::iter::from_fn(move || {
            let (member, next) = member(bytes, at).ok()?;
            at = next;
            (member.name != TRAILER).then_some(member)
        })
    }

    /// Returns the bytes of the first member called `name`.
    pub fn find(&self, name: &str) -> Option<&'a [u8]> {
        self.members()
            .find(|member| member.name == name)
            .map(|member| member.data)
    }
}

/// Returns the member whose header is at byte `at`, and where the next header is.
fn member(bytes: &[u8], at: usize) -> Result<(Member<'_>, usize), ArchiveProblem<'_>> {
    let rest = bytes
        .get(at..)
        .filter(|rest| !rest.is_empty())
        .ok_or(ArchiveProblem::NoTrailer)?;
    check_magic(rest)?;
    let size = field(rest, FILE_SIZE).ok_or(ArchiveProblem::Header)?;
    let name_size = field(rest, NAME_SIZE).ok_or(ArchiveProblem::Header)?;
    let name = name(rest, name_size).ok_or(ArchiveProblem::Name)?;
    let start = align(HEADER + name_size);
    let data = rest.get(start..).unwrap_or_default();
    let cut = ArchiveProblem::Data {
        name,
        wanted: size,
        left: data.len(),
    };
    let data = data.get(..size).ok_or(cut)?;
    // The last member's padding may be missing; the next look says so if more had to come.
    Ok((Member { name, data }, at + align(start + size)))
}

fn check_magic(rest: &[u8]) -> Result<(), ArchiveProblem<'static>> {
    let compressed: [&[u8]; 4] = [
        b"\x1f\x8b",
        b"\xfd7zXZ",
        b"\x28\xb5\x2f\xfd",
        b"\x02\x21\x4c\x18",
    ];
    if rest.starts_with(MAGIC) {
        Ok(())
    } else if compressed.iter().any(|magic| rest.starts_with(magic)) {
        Err(ArchiveProblem::Compressed)
    } else {
        Err(ArchiveProblem::Magic)
    }
}

/// Returns the number in the eight hexadecimal digits at `at` of a header that is all there.
fn field(header: &[u8], at: usize) -> Option<usize> {
    let digits = header.get(..HEADER)?.get(at..at + 8)?;
    digits.iter().try_fold(0, |value, digit| {
        Some(value << 4 | char::from(*digit).to_digit(16)? as usize)
    })
}

fn name(rest: &[u8], size: usize) -> Option<&str> {
    let bytes = rest.get(HEADER..)?.get(..size)?;
    let name = bytes
        .strip_suffix(&[0])
        .filter(|name| !name.is_empty() && size <= MAX_NAME)?;
    core::str::from_utf8(name)
        .ok()
        .filter(|name| !name.contains('\0'))
}

fn align(size: usize) -> usize {
    size.next_multiple_of(4)
}
