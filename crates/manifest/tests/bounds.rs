// SPDX-License-Identifier: MIT OR Apache-2.0

//! How far each key may go: the last value that is accepted, and the first that is not.
use manifest::archive::{Archive, ArchiveProblem};
use manifest::host::compile;
use manifest::{Manifest, ManifestError};

/// A manifest of one guest with one key as given; the other keys are as usual.
fn with(key: &str, value: &str) -> String {
    let usual = [
        ("name", "\"a\""),
        ("vcpus", "1"),
        ("memory", "\"64MiB\""),
        ("kernel", "\"Image\""),
    ];
    let others = usual.iter().filter(|(name, _)| *name != key);
    let others: String = others
        .map(|(name, it)| format!("{name} = {it}\n"))
        .collect();
    format!("version = 1\n[[guest]]\n{others}{key} = {value}\n")
}

fn text(length: usize) -> String {
    format!("\"{}\"", "a".repeat(length))
}

fn uuids(count: usize) -> String {
    let one = |n| format!("\"8aaaf200-2450-11e4-abe2-{n:012x}\"");
    format!("[{}]", (0..count).map(one).collect::<Vec<_>>().join(", "))
}

#[test]
fn each_key_is_accepted_up_to_its_bounds_and_not_beyond() {
    let plain = |text: &str| text.to_owned();
    let bounds = [
        ("name", text(31), text(32)),
        ("vcpus", plain("8"), plain("9")),
        ("vcpus", plain("1"), plain("0")),
        ("cpus", plain("[31]"), plain("[32]")),
        ("slice", plain("\"100us\""), plain("\"99us\"")),
        ("slice", plain("\"1000ms\""), plain("\"1000001us\"")),
        ("priority", plain("255"), plain("256")),
        ("tee.visit", plain("\"100us\""), plain("\"99us\"")),
        ("tee.visit", plain("\"1s\""), plain("\"1000001us\"")),
        ("memory", plain("\"2MiB\""), plain("\"0MiB\"")),
        ("memory", plain("\"511GiB\""), plain("\"523266MiB\"")),
        ("kernel", text(255), text(256)),
        ("initrd", text(255), text(256)),
        ("bootargs", text(2047), text(2048)),
        (
            "devices",
            format!("[{}]", text(255)),
            format!("[{}]", text(256)),
        ),
        ("max-restarts", plain("1000000"), plain("1000001")),
        (
            "max-restart-delay",
            plain("\"1h\""),
            plain("\"3600000001us\""),
        ),
        ("watchdog.timeout", plain("\"1s\""), plain("\"999999us\"")),
        (
            "watchdog.timeout",
            plain("\"1h\""),
            plain("\"3600000001us\""),
        ),
        ("rates.traps", plain("100"), plain("99")),
        ("rates.kicks", plain("1000000000"), plain("1000000001")),
        ("rates.device-interrupts", plain("100"), plain("0")),
        ("tee.max-calls", plain("1"), plain("0")),
        ("tee.max-calls", plain("64"), plain("65")),
        ("tee.max-buffers", plain("1"), plain("0")),
        ("tee.max-buffers", plain("32768"), plain("32769")),
        ("tee.max-shared", plain("\"4KiB\""), plain("\"0KiB\"")),
        ("tee.max-shared", plain("\"8GiB\""), plain("\"8388612KiB\"")),
        ("tee.max-sessions", plain("1"), plain("0")),
        ("tee.max-sessions", plain("256"), plain("257")),
        ("tee.max-vms", plain("1"), plain("0")),
        ("tee.max-vms", plain("1000"), plain("1001")),
        ("tee.allow", uuids(64), uuids(65)),
        ("tee.deny", uuids(64), uuids(65)),
    ];
    for (key, last, beyond) in bounds {
        let manifest = |value: &str| match key {
            "watchdog.timeout" => with(key, value) + "watchdog.action = \"stop\"\n",
            _ => with(key, value),
        };
        compile(&manifest(&last)).unwrap_or_else(|error| panic!("{key} = {last}: {error}"));
        let error = compile(&manifest(&beyond)).unwrap_err();
        let rule = format!(": {key} must ");
        assert!(error.message.contains(&rule), "{key} = {beyond}: {error}");
    }
}

/// A member with a name of `length` bytes and its NUL, then the end of the archive.
fn named(length: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    for name in ["a".repeat(length), "TRAILER!!!".to_owned()] {
        bytes.extend(b"070701");
        for field in 0..13 {
            let value = if field == 11 { name.len() + 1 } else { 0 };
            bytes.extend(format!("{value:08x}").bytes());
        }
        bytes.extend(name.bytes());
        bytes.push(0);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
    }
    bytes
}

#[test]
fn a_members_name_has_4095_bytes_at_most() {
    assert!(Archive::new(&named(4095)).is_ok());
    let long = named(4096);
    let error = Archive::new(&long).unwrap_err();
    assert_eq!((error.at, error.problem), (0, ArchiveProblem::Name));
}

/// The blob's header (Devicetree Specification 5.2), word by word.
#[test]
fn a_blob_whose_header_contradicts_itself_is_damaged() {
    let good = compile(&with("vcpus", "1")).unwrap().blob;
    let length = good.len() as u32;
    let word = |at: usize| u32::from_be_bytes(good[at..at + 4].try_into().unwrap());
    let (strings, structs) = (word(32), word(36));
    let broken = [
        (0, 0xd00d_feee),
        (4, length + 1),
        (4, 39),
        (8, u32::MAX),
        (8, length - structs + 4),
        (12, u32::MAX),
        (12, length - strings + 1),
        (32, u32::MAX),
        (36, u32::MAX),
        (36, 0),
        (36, 12),
        (36, structs - 4),
    ];
    Manifest::parse(&good).unwrap();
    for (at, word) in broken {
        let mut blob = good.clone();
        blob[at..at + 4].copy_from_slice(&word.to_be_bytes());
        let read = Manifest::parse(&blob).map(|_| ());
        assert_eq!(read, Err(ManifestError::Damaged), "{word:#x} at {at}");
    }
}
