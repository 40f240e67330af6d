//! Archives in the "new ASCII" cpio format (cpio(5), magic 070701), which Linux unpacks as
//! its initial file system. The same members give the same bytes.

const FILE: u32 = 0o100_000;
const DIRECTORY: u32 = 0o040_000;
const SYMLINK: u32 = 0o120_000;

/// An archive being written.
#[derive(Default)]
pub struct Archive {
    bytes: Vec<u8>,
    members: u32,
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

    /// The archive with its trailer.
    pub fn finish(mut self) -> Vec<u8> {
        self.member("TRAILER!!!", 0, &[]);
        self.bytes
    }

    fn member(&mut self, name: &str, mode: u32, content: &[u8]) {
        self.members += 1;
        let links = if mode & DIRECTORY == DIRECTORY { 2 } else { 1 };
        let size = u32::try_from(content.len()).expect("cpio members end at 4 GiB");
        let name_size = name.len() as u32 + 1;
        let fields = [
            self.members,
            mode,
            0,
            0,
            links,
            0,
            size,
            0,
            0,
            0,
            0,
            name_size,
            0,
        ];
        self.bytes.extend(b"070701");
        for field in fields {
            self.bytes.extend(format!("{field:08X}").bytes());
        }
        self.bytes.extend(name.bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend(content);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
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
        assert_eq!(&bytes[14..22], b"000041ED");
        assert_eq!(&bytes[112..126], b"07070100000002");
        assert_eq!(&bytes[126..134], b"000081ED");
        assert_eq!(&bytes[112 + 116..][..8], b"abcde\0\0\0");
        let trailer = bytes.len() - 124;
        assert_eq!(&bytes[trailer..trailer + 6], b"070701");
        assert!(bytes[trailer + 110..].starts_with(b"TRAILER!!!\0"));
    }
}
