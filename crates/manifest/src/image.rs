// SPDX-License-Identifier: MIT OR Apache-2.0

//! An arm64 kernel Image and the RAM that a guest needs for it: the same rule when a bundle is
//! made and when EL2 lays it out.

/// Room at the top of a guest's RAM for its device tree, in bytes; Linux wants the tree inside
/// one 2 MiB block.
pub const TREE_ROOM: u64 = 2 << 20;
/// What aligning the initrd may cost.
const INITRD_ALIGNMENT: u64 = 4096;

/// What the header of an arm64 Image says (Linux, Documentation/arch/arm64/booting.rst).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Image {
    /// Bytes from the start of RAM to the image.
    pub text_offset: u64,
    /// Bytes that the image takes there, at least those of the file.
    pub size: u64,
}

impl Image {
    /// Reads the header. `None` if there is none, or if it names more than the address space.
    pub fn parse(kernel: &[u8]) -> Option<Self> {
        let word = |at: usize| Some(u64::from_le_bytes(*kernel.get(at..)?.first_chunk()?));
        if kernel.get(56..60)? != b"ARM\x64" {
            return None;
        }
        let text_offset: u64 = word(8)?;
        let size = word(16)?.max(kernel.len() as u64);
        text_offset.checked_add(size)?;
        Some(Self { text_offset, size })
    }

    /// Returns the bytes of RAM for the image, an initrd of `initrd` bytes and the device tree.
    pub fn ram_needed(&self, initrd: u64) -> u64 {
        (self.text_offset + self.size)
            .saturating_add(initrd)
            .saturating_add(TREE_ROOM + INITRD_ALIGNMENT)
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use std::vec::Vec;

    fn header(text_offset: u64, size: u64) -> Vec<u8> {
        let mut kernel = std::vec![0; 64];
        kernel[8..16].copy_from_slice(&text_offset.to_le_bytes());
        kernel[16..24].copy_from_slice(&size.to_le_bytes());
        kernel[56..60].copy_from_slice(b"ARM\x64");
        kernel
    }

    #[test]
    fn a_header_counts_at_least_its_file() {
        let image = Image::parse(&header(0x8_0000, 0)).unwrap();
        assert_eq!((image.text_offset, image.size), (0x8_0000, 64));
        assert_eq!(
            image.ram_needed(4096),
            0x8_0000 + 64 + 4096 + TREE_ROOM + 4096
        );
    }

    #[test]
    fn what_is_no_image_or_wraps_is_refused() {
        assert_eq!(Image::parse(&[]), None);
        assert_eq!(Image::parse(&[0; 64]), None);
        assert_eq!(Image::parse(&header(1, u64::MAX)), None);
        let largest = Image::parse(&header(0, u64::MAX)).unwrap();
        assert_eq!(largest.ram_needed(u64::MAX), u64::MAX);
    }
}
