// SPDX-License-Identifier: MIT OR Apache-2.0

//! Whatever the bytes, the answer is a board or an error.
mod fixtures;

use addr::Pa;
use board::{Board, BoardError, console};
use fixtures::{node, qemu_virt, qemu_virt_smmu, raspberry_pi_4};
use proptest::prelude::*;

fn read_all(blob: &[u8]) {
    if let Ok(board) = Board::from_tree(blob, Pa(0x4000_0000)) {
        let _ = board.device(blob, "/pcie@10000000");
    }
    let _ = console(blob);
}

fn put(blob: &mut [u8], at: usize, word: u32) {
    blob[at..at + 4].copy_from_slice(&word.to_be_bytes());
}

fn get(blob: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(blob[at..at + 4].try_into().unwrap())
}

fn error(blob: &[u8]) -> BoardError {
    Board::from_tree(blob, Pa(0)).unwrap_err()
}

#[test]
fn a_header_that_contradicts_itself_is_refused() {
    let blob = qemu_virt().blob();
    assert_eq!(error(&[]), BoardError::NotATree);
    assert_eq!(error(&blob[..blob.len() - 1]), BoardError::Header);
    let length = blob.len() as u32;
    let (structs, strings) = (get(&blob, 36), get(&blob, 32));
    let broken = [
        (8, u32::MAX), // off_dt_struct
        (8, length - structs + 4),
        (12, u32::MAX), // off_dt_strings
        (12, length - strings + 1),
        (16, length - 8), // off_mem_rsvmap
        (20, 16),         // version
        (24, 18),         // last_comp_version
        (32, u32::MAX),   // size_dt_strings
        (36, u32::MAX),   // size_dt_struct
        (36, 0),
        (36, structs - 4),
        (36, structs - 2),
    ];
    for (at, word) in broken {
        let mut blob = blob.clone();
        put(&mut blob, at, word);
        assert_eq!(error(&blob), BoardError::Header, "{word:#x} at {at}");
        read_all(&blob);
    }
}

#[test]
fn bytes_behind_the_tree_are_ignored() {
    let mut blob = qemu_virt().blob();
    let length = blob.len() as u64;
    blob.extend([0xff; 100]);
    assert_eq!(
        Board::from_tree(&blob, Pa(0x1000)).unwrap().tree.size,
        length
    );
}

#[test]
fn a_structure_block_of_no_operations_is_refused() {
    let mut blob = qemu_virt().blob();
    let (start, size) = (get(&blob, 8) as usize, get(&blob, 36) as usize);
    for at in (start..start + size).step_by(4) {
        put(&mut blob, at, 4);
    }
    read_all(&blob);
    put(&mut blob, start + size - 4, 1);
    read_all(&blob);
    put(&mut blob, start + size - 4, 9);
    assert!(Board::from_tree(&blob, Pa(0)).is_err());
}

#[test]
fn deep_nesting_does_not_deepen_the_stack() {
    let deep = |levels| (0..levels).fold(node("leaf"), |child, _| node("n").child(child));
    let tree = qemu_virt().child(deep(60));
    assert!(Board::from_tree(&tree.blob(), Pa(0x1000)).is_ok());
}

#[test]
fn a_long_name_is_refused_before_anything_is_looked_for() {
    let name = [&[0, 0, 0, 1][..], &[b'n'; 100_000]].concat();
    let mut blob = qemu_virt().child(node("last").bytes("name", &name)).blob();
    let value = blob
        .windows(8)
        .position(|bytes| bytes == &name[..8])
        .unwrap();
    // Without its head, the property's value is the token of a node and its name.
    for word in 1..=3 {
        put(&mut blob, value - 4 * word, 4);
    }
    assert_eq!(error(&blob), BoardError::LongName);
    assert_eq!(console(&blob), None);
}

#[test]
fn a_break_in_the_structure_is_named() {
    let mut blob = qemu_virt().blob();
    let at = blob
        .windows(8)
        .position(|bytes| bytes == b"cpu-map\0")
        .unwrap();
    put(&mut blob, at - 4, 0x77);
    assert_eq!(
        error(&blob).to_string(),
        "the device tree is damaged in node /: load it again, whole"
    );
}

fn blobs() -> impl Strategy<Value = Vec<u8>> {
    let reserved: &[_] = &[(0x4000_0000, 0x1000)];
    prop::sample::select(vec![
        qemu_virt().blob_with(reserved),
        raspberry_pi_4().blob(),
        qemu_virt_smmu().blob(),
    ])
}

/// Words that mean something somewhere: tokens, cell counts, lengths.
fn words() -> impl Strategy<Value = u32> {
    prop_oneof![
        prop::sample::select(vec![
            0,
            1,
            2,
            3,
            4,
            9,
            8,
            12,
            0x7fff_ffff,
            0x8000_0000,
            u32::MAX
        ]),
        any::<u32>(),
    ]
}

/// An entry of no cells would come for ever.
#[test]
fn buses_without_cells_have_no_registers() {
    let bus = |name: &str| {
        node(name)
            .cells("#address-cells", &[0])
            .cells("#size-cells", &[0])
    };
    let odd = node("odd").cells("reg", &[1, 2]);
    let inner = node("inner")
        .cells("ranges", &[])
        .child(node("device@5").cells("reg", &[0, 5, 1]));
    let outer = bus("outer").cells("ranges", &[1, 2]).child(inner);
    let tree = qemu_virt()
        .child(bus("bus").child(odd))
        .child(bus("top").child(outer));
    read_all(&tree.blob());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn damaged_words_never_panic(
        mut blob in blobs(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), words()), 1..8),
    ) {
        for (at, word) in changes {
            let at = at.index(blob.len() / 4) * 4;
            put(&mut blob, at, word);
        }
        read_all(&blob);
    }

    #[test]
    fn damaged_bytes_never_panic(
        mut blob in blobs(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..40),
        keep in any::<prop::sample::Index>(),
    ) {
        for (at, byte) in changes {
            let at = 40 + at.index(blob.len() - 40);
            blob[at] = byte;
        }
        read_all(&blob);
        read_all(&blob[..keep.index(blob.len())]);
    }

    #[test]
    fn random_bytes_behind_a_sound_header_never_panic(
        body in prop::collection::vec(words(), 4..200),
    ) {
        let mut blob: Vec<u8> = Vec::new();
        let size = body.len() as u32 * 4 + 4;
        let header = [0xd00d_feed, 40 + 16 + size, 56, 56, 40, 17, 16, 0, size, size];
        for word in header.into_iter().chain([0; 4]).chain(body).chain([9]) {
            blob.extend(word.to_be_bytes());
        }
        read_all(&blob);
    }
}
