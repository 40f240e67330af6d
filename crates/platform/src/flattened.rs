// SPDX-License-Identifier: MIT OR Apache-2.0

//! The header of a flattened device tree (Devicetree Specification 0.4, 5.2).
//!
//! The `fdt` crate adds and indexes with the header's offsets unchecked: whoever reads an untrusted
//! tree asks here first.

/// Bytes of the header.
const HEADER_SIZE: usize = 40;
/// Smallest structure block: BEGIN_NODE, an empty name, END_NODE, END.
const MIN_STRUCTS: usize = 16;
/// The token that ends the structure block (specification 5.4.1).
const FDT_END: usize = 9;
/// Largest tree that the arm64 Linux boot protocol allows.
const MAX_SIZE: usize = 2 << 20;

/// Returns the big-endian word at byte `at`, or `None` if the blob ends before.
pub fn word(blob: &[u8], at: usize) -> Option<usize> {
    let bytes = blob.get(at..)?.first_chunk()?;
    usize::try_from(u32::from_be_bytes(*bytes)).ok()
}

/// Returns the bytes of the whole tree by its first eight bytes, or `None` if that is no tree.
///
/// For finding out how much to map at the address the firmware gave.
pub fn total_size(start: &[u8]) -> Option<usize> {
    let size = word(start, 4)?;
    let sane = (HEADER_SIZE..=MAX_SIZE).contains(&size);
    (word(start, 0)? == 0xd00d_feed && sane).then_some(size)
}

/// Returns where the memory reservation block begins (specification 5.3).
pub fn reservations(blob: &[u8]) -> Option<usize> {
    word(blob, 16)
}

/// Tells whether the offsets and sizes in the header of `blob`, a tree of [`total_size`] bytes, lie
/// inside it, and the structure block ends where the header says.
pub fn has_sound_header(blob: &[u8]) -> bool {
    let end = |offset, size: Option<usize>| {
        let end = word(blob, offset)?.checked_add(size?)?;
        (end <= blob.len()).then_some(end)
    };
    let (structs, strings) = (word(blob, 36), word(blob, 32));
    let versions = word(blob, 20).zip(word(blob, 24));
    let last = end(8, structs).and_then(|end| word(blob, end.checked_sub(4)?));
    versions.is_some_and(|(version, oldest)| version >= 17 && oldest <= 17)
        && structs.is_some_and(|size| size >= MIN_STRUCTS && size.is_multiple_of(4))
        && last == Some(FDT_END)
        && end(12, strings).is_some()
        && end(16, Some(16)).is_some()
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use std::vec::Vec;

    fn tree() -> Vec<u8> {
        let mut tree = vm_fdt::FdtWriter::new().unwrap();
        let root = tree.begin_node("").unwrap();
        tree.property_u32("version", 1).unwrap();
        tree.end_node(root).unwrap();
        tree.finish().unwrap()
    }

    #[test]
    fn the_size_is_that_of_a_tree_alone() {
        let blob = tree();
        assert_eq!(total_size(&blob[..8]), Some(blob.len()));
        assert_eq!(total_size(&blob[..7]), None);
        assert_eq!(total_size(&[0; 8]), None);
        let mut huge = blob.clone();
        huge[4..8].copy_from_slice(&(MAX_SIZE as u32 + 1).to_be_bytes());
        assert_eq!(total_size(&huge), None);
    }

    #[test]
    fn reservations_begin_where_the_header_says() {
        let mut blob = tree();
        blob[16..20].copy_from_slice(&0x1234u32.to_be_bytes());
        assert_eq!(reservations(&blob), Some(0x1234));
        assert_eq!(reservations(&blob[..19]), None);
    }

    #[test]
    fn each_word_of_a_header_is_judged() {
        let blob = tree();
        assert!(has_sound_header(&blob));
        // off_dt_struct, off_dt_strings, off_mem_rsvmap, version, last_comp_version,
        // size_dt_strings, size_dt_struct.
        let bad = [
            (8, 0x1000),
            (12, 0x1000),
            (16, 0x1000),
            (20, 16),
            (24, 18),
            (32, 0x1000),
        ];
        let sizes = [(36, 0x1000), (36, 12), (36, 17), (36, 20)];
        for (at, value) in bad.into_iter().chain(sizes) {
            let mut blob = blob.clone();
            blob[at..at + 4].copy_from_slice(&u32::to_be_bytes(value));
            assert!(!has_sound_header(&blob), "word at {at}: {value:#x}");
        }
        assert!(!has_sound_header(&blob[..blob.len() - 1]));
        assert!(!has_sound_header(&[]));
    }
}
