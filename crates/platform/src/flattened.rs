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

/// Tells whether no name of a node or of a property in `blob`, which [has a sound header](has_sound_header), is longer than
/// 255 bytes, as far as its structure block makes sense.
///
/// Who looks for a name reads each one to its end, again and again.
pub fn has_short_names(blob: &[u8]) -> bool {
    let block = |offset| blob.get(word(blob, offset)?..);
    let (Some(structs), Some(strings)) = (block(8), block(12)) else {
        return true;
    };
    let mut at = 0;
    while let Some(step) = name_of(structs, at, strings) {
        let Some(bytes) = step else {
            return false;
        };
        at += bytes;
    }
    true
}

/// Returns the bytes of the token at `at` and what belongs to it, or `None` within if its name is too long; `None` at the end.
fn name_of(structs: &[u8], at: usize, strings: &[u8]) -> Option<Option<usize>> {
    const LONGEST: usize = 255;
    let length = |name: &[u8]| name.iter().take(LONGEST + 1).position(|&byte| byte == 0);
    match word(structs, at)? {
        1 => {
            let name = length(structs.get(at + 4..)?);
            Some(name.map(|bytes| 4 + (bytes + 1).next_multiple_of(4)))
        }
        3 => {
            let (size, name) = (word(structs, at + 4)?, word(structs, at + 8)?);
            let end = size.checked_next_multiple_of(4)?.checked_add(12)?;
            Some(length(strings.get(name..)?).map(|_| end))
        }
        2 | 4 => Some(Some(4)),
        _ => None,
    }
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

    /// Returns what `has_short_names` looks at: the offsets of both blocks, and the blocks.
    fn blocks(structs: &[u8], strings: &[u8]) -> Vec<u8> {
        let mut blob = std::vec![0; 16];
        blob[11] = 16;
        blob[12..].copy_from_slice(&(16 + structs.len() as u32).to_be_bytes());
        blob.extend(structs.iter().chain(strings));
        blob
    }

    #[test]
    fn names_of_up_to_255_bytes_are_short() {
        let node = |bytes: usize| {
            let name = [&[0, 0, 0, 1][..], &std::vec![b'n'; bytes], &[0; 4]].concat();
            has_short_names(&blocks(&name, &[]))
        };
        assert!(node(1) && node(255));
        assert!(!node(256) && !node(100_000));
        // Behind a node, a property of 5 bytes whose name is at 2, and one that has no end.
        let property = |bytes: usize, size: u8| {
            let head = [
                0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, size, 0, 0, 0, 2,
            ];
            let end = [[0; 8], [0, 0, 0, 3, 0xff, 0xff, 0xff, 0xff]].concat();
            let names = [&std::vec![b'p'; 2 + bytes][..], &[0]].concat();
            has_short_names(&blocks(&[&head[..], &end].concat(), &names))
        };
        assert!(property(255, 5) && property(255, 200));
        assert!(!property(256, 5));
        assert!(has_short_names(&tree()));
        assert!(has_short_names(&[]));
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
