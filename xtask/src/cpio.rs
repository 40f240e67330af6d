// SPDX-License-Identifier: MIT OR Apache-2.0

//! Archives that Linux unpacks as its initial file system. The same members give the same bytes.

use manifest::host::Writer;

const FILE: u32 = 0o100_000;
const DIRECTORY: u32 = 0o040_000;
const SYMLINK: u32 = 0o120_000;

/// An archive being written.
pub struct Archive(Writer<Vec<u8>>);

impl Default for Archive {
    fn default() -> Self {
        Self(Writer::new(Vec::new()))
    }
}

impl Archive {
    /// Adds a folder. Parents go first.
    pub fn directory(&mut self, path: &str) {
        self.member(path, DIRECTORY | 0o755, &[]);
    }

    /// Adds a regular file with permissions `mode`.
    pub fn file(&mut self, path: &str, mode: u32, content: &[u8]) {
        self.member(path, FILE | mode, content);
    }

    /// Adds a symbolic link.
    pub fn symlink(&mut self, path: &str, target: &str) {
        self.member(path, SYMLINK | 0o777, target.as_bytes());
    }

    /// Returns the archive with its trailer.
    pub fn finish(self) -> Vec<u8> {
        self.0.finish().expect("memory can be written")
    }

    fn member(&mut self, name: &str, mode: u32, content: &[u8]) {
        let added = self.0.entry(name, mode, content);
        added.expect("cpio members end at 4 GiB");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_aligned_and_end_with_the_trailer() {
        let mut archive = Archive::default();
        archive.directory("d");
        archive.file("d/f", 0o755, b"abcde");
        archive.symlink("l", "d/f");
        let bytes = archive.finish();
        assert_eq!(bytes.len() % 4, 0);
        // Header of 110 bytes and name of 2 bytes, then the second member.
        assert_eq!(&bytes[..14], b"07070100000001");
        assert_eq!(&bytes[14..22], b"000041ed");
        assert_eq!(&bytes[112..126], b"07070100000002");
        assert_eq!(&bytes[126..134], b"000081ed");
        assert_eq!(&bytes[112 + 116..][..8], b"abcde\0\0\0");
        let trailer = bytes.len() - 124;
        assert_eq!(&bytes[trailer..trailer + 6], b"070701");
        assert!(bytes[trailer + 110..].starts_with(b"TRAILER!!!\0"));
    }
}
