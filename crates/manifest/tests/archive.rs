// SPDX-License-Identifier: MIT OR Apache-2.0

//! Archives: ours, others', and broken ones.
use manifest::archive::{Archive, ArchiveError, ArchiveProblem, Member};
use manifest::host::Writer;
use proptest::prelude::*;

fn archive(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new());
    for (name, data) in members {
        writer.member(name, data).unwrap();
    }
    writer.finish().unwrap()
}

/// A member as cpio(1) writes it, with no alignment of ours.
fn plain(name: &str, data: &[u8]) -> Vec<u8> {
    let mut bytes = b"070701".to_vec();
    let fields = [
        1,
        0o100644,
        0,
        0,
        1,
        0,
        data.len(),
        0,
        0,
        0,
        0,
        name.len() + 1,
        0,
    ];
    fields
        .iter()
        .for_each(|field| bytes.extend(format!("{field:08X}").bytes()));
    for part in [name.as_bytes(), data] {
        bytes.extend(part);
        if part == name.as_bytes() {
            bytes.push(0);
        }
        bytes.resize(bytes.len().next_multiple_of(4), 0);
    }
    bytes
}

fn problem(bytes: &[u8]) -> (usize, ArchiveProblem<'_>) {
    let ArchiveError { at, problem } = Archive::new(bytes).unwrap_err();
    (at, problem)
}

#[test]
fn members_are_found_by_name() {
    let bytes = archive(&[("a", b"first"), ("dir/b", b""), ("a", b"second")]);
    let archive = Archive::new(&bytes).unwrap();
    assert_eq!(archive.find("a"), Some(&b"first"[..]));
    assert_eq!(archive.find("dir/b"), Some(&b""[..]));
    assert_eq!(archive.find("b"), None);
    assert_eq!(archive.find("TRAILER!!!"), None);
}

#[test]
fn other_writers_are_understood() {
    let bytes = [
        plain("x", b"12345"),
        plain("y", b"678"),
        plain("TRAILER!!!", b""),
    ]
    .concat();
    let archive = Archive::new(&bytes).unwrap();
    let members: Vec<_> = archive.members().collect();
    assert_eq!(
        members,
        [
            Member {
                name: "x",
                data: b"12345"
            },
            Member {
                name: "y",
                data: b"678"
            }
        ]
    );
}

#[test]
fn bytes_behind_the_trailer_are_ignored() {
    let mut bytes = archive(&[("a", b"1")]);
    bytes.extend([0xff; 512]);
    assert_eq!(Archive::new(&bytes).unwrap().find("a"), Some(&b"1"[..]));
}

#[test]
fn every_error_names_what_is_wrong_and_where() {
    let bytes = [plain("abc", b"12345"), plain("TRAILER!!!", b"")].concat();
    let second = plain("abc", b"12345").len();
    assert_eq!(problem(&[]), (0, ArchiveProblem::NoTrailer));
    assert_eq!(
        problem(&bytes[..second]),
        (second, ArchiveProblem::NoTrailer)
    );
    assert_eq!(problem(&bytes[..60]), (0, ArchiveProblem::Header));
    assert_eq!(problem(&bytes[..112]), (0, ArchiveProblem::Name));
    let cut = ArchiveProblem::Data {
        name: "abc",
        wanted: 5,
        left: 3,
    };
    assert_eq!(problem(&bytes[..119]), (0, cut));
    assert_eq!(problem(b"hello, world"), (0, ArchiveProblem::Magic));
    assert_eq!(problem(b"\x1f\x8b\x08\0"), (0, ArchiveProblem::Compressed));
    let mut damaged = bytes.clone();
    damaged[second] = b'1';
    assert_eq!(problem(&damaged), (second, ArchiveProblem::Magic));
    let mut damaged = bytes.clone();
    damaged[6 + 6 * 8] = b'g';
    assert_eq!(problem(&damaged), (0, ArchiveProblem::Header));
    let mut damaged = bytes.clone();
    damaged[113] = b'x';
    assert_eq!(problem(&damaged), (0, ArchiveProblem::Name));
}

#[test]
fn messages_tell_the_remedy() {
    let cut = plain("Image", &[0; 100]);
    let message = Archive::new(&cut[..200]).unwrap_err().to_string();
    assert_eq!(
        message,
        "byte 0: member Image is cut off: 84 of 100 bytes are there"
    );
    let message = Archive::new(b"\xfd7zXZ\0").unwrap_err().to_string();
    assert_eq!(message, "byte 0: compressed: give it uncompressed");
}

#[test]
fn sizes_near_the_limit_of_their_field_are_only_too_large() {
    let mut bytes = plain("abc", b"12345");
    bytes[6 + 6 * 8..][..8].copy_from_slice(b"ffffffff");
    let wanted = 0xffff_ffff;
    assert_eq!(
        problem(&bytes),
        (
            0,
            ArchiveProblem::Data {
                name: "abc",
                wanted,
                left: 8
            }
        )
    );
    bytes[6 + 11 * 8..][..8].copy_from_slice(b"ffffffff");
    assert_eq!(problem(&bytes), (0, ArchiveProblem::Name));
}

/// Linux takes entries with several links and one inode for one file.
#[test]
fn entries_have_inodes_of_their_own_and_directories_two_links() {
    let mut writer = Writer::new(Vec::new());
    writer.entry("a", 0o040_755, b"").unwrap();
    writer.entry("b", 0o100_755, b"").unwrap();
    let bytes = writer.finish().unwrap();
    // The magic, thirteen fields of eight digits, and a name of one letter with its NUL.
    let size = 6 + 13 * 8 + 2;
    let field = |entry: usize, field: usize| {
        let digits = &bytes[entry * size + 6 + field * 8..][..8];
        u32::from_str_radix(std::str::from_utf8(digits).unwrap(), 16).unwrap()
    };
    let (ino, mode, links) = (0, 1, 4);
    assert_eq!([field(0, mode), field(1, mode)], [0o040_755, 0o100_755]);
    assert_eq!([field(0, links), field(1, links)], [2, 1]);
    assert_ne!(field(0, ino), field(1, ino));
}

fn members() -> impl Strategy<Value = Vec<(String, Vec<u8>)>> {
    let member = ("[a-z/]{1,40}", prop::collection::vec(any::<u8>(), 0..9000));
    prop::collection::vec(member, 0..6)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_written_is_read(members in members()) {
        let list: Vec<_> = members.iter().map(|(name, data)| (name.as_str(), data.as_slice())).collect();
        let bytes = archive(&list);
        let read = Archive::new(&bytes).unwrap();
        let real: Vec<_> = read.members().filter(|member| member.name != ".padding").collect();
        let start = bytes.as_ptr() as usize;
        for (member, (name, data)) in real.iter().zip(&list) {
            prop_assert_eq!((&member.name, &member.data), (name, data));
            prop_assert_eq!((member.data.as_ptr() as usize - start) % 4096, 0);
        }
        prop_assert_eq!(real.len(), list.len());
    }

    #[test]
    fn a_cut_anywhere_is_noticed(members in members(), cut in any::<prop::sample::Index>()) {
        let list: Vec<_> = members.iter().map(|(name, data)| (name.as_str(), data.as_slice())).collect();
        let bytes = archive(&list);
        // The last three bytes are padding of the trailer's name, which is not missed.
        let kept = cut.index(bytes.len() - 3);
        prop_assert!(Archive::new(&bytes[..kept]).is_err());
    }

    #[test]
    fn damage_never_panics(
        members in members(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20),
    ) {
        let list: Vec<_> = members.iter().map(|(name, data)| (name.as_str(), data.as_slice())).collect();
        let mut bytes = archive(&list);
        for (at, byte) in damage {
            let at = at.index(bytes.len().min(400));
            bytes[at] = byte;
        }
        match Archive::new(&bytes) {
            Ok(archive) => {
                archive.members().count();
            }
            Err(error) => prop_assert!(error.at < bytes.len() + 4 && !error.to_string().is_empty()),
        }
    }

    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        let _ = Archive::new(&[b"070701", &bytes[..]].concat());
        let _ = Archive::new(&bytes);
    }
}
