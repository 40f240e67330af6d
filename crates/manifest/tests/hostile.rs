// SPDX-License-Identifier: MIT OR Apache-2.0

//! At EL2 nothing is believed: blobs that no compiler of ours wrote.
use manifest::host::compile;
use manifest::{Manifest, ManifestError, check};
use proptest::prelude::*;
use vm_fdt::FdtWriter;

const TEXT: &str = r#"
version = 1
[[guest]]
name = "linux"
vcpus = 2
cpus = [0, 2]
memory = "512MiB"
kernel = "Image"
initrd = "initrd"
devices = ["/uart@1", "i2c1"]
watchdog = { action = "restart", timeout = "30s" }
[guest.tee]
deny = ["8aaaf200-2450-11e4-abe2-0002a5d5c51b"]
[[guest]]
name = "b"
vcpus = 1
memory = "64MiB"
kernel = "Image"
"#;

/// Properties of a guest and of its tee, as bytes.
type Properties = Vec<(&'static str, Vec<u8>)>;

fn good() -> (Properties, Properties) {
    let guest = vec![
        ("vcpus", vec![0, 0, 0, 1]),
        ("exclusive", vec![0; 4]),
        ("slice", vec![0, 0, 1, 0]),
        ("priority", vec![0, 0, 0, 0]),
        ("memory", (64_u64 << 20).to_be_bytes().to_vec()),
        ("kernel", b"Image\0".to_vec()),
        ("bootargs", b"\0".to_vec()),
        ("conduit", b"smc\0".to_vec()),
        ("on-crash", b"stop\0".to_vec()),
        ("max-restart-delay", vec![0; 4]),
        ("direct-map", vec![0, 0, 0, 0]),
    ];
    let tee = vec![
        ("dialect", b"modern\0".to_vec()),
        ("notifications", vec![0, 0, 0, 1]),
        ("max-calls", vec![0, 0, 0, 4]),
        ("max-buffers", vec![0, 0, 0, 4]),
        ("max-shared", 4096_u64.to_be_bytes().to_vec()),
        ("max-sessions", vec![0, 0, 0, 4]),
        ("max-vms", vec![0, 0, 0, 4]),
        ("fresh", vec![0, 0, 0, 1]),
        ("owner", vec![0, 0, 0, 1]),
        ("rpmb", vec![0, 0, 0, 1]),
    ];
    (guest, tee)
}

fn write(name: &str, properties: &(Properties, Properties)) -> Vec<u8> {
    let mut tree = FdtWriter::new().unwrap();
    let root = tree.begin_node("").unwrap();
    tree.property_u32("version", 1).unwrap();
    write_guest(&mut tree, name, properties);
    tree.end_node(root).unwrap();
    tree.finish().unwrap()
}

fn write_guest(tree: &mut FdtWriter, name: &str, (guest, tee): &(Properties, Properties)) {
    let node = tree.begin_node(name).unwrap();
    guest
        .iter()
        .for_each(|(name, value)| tree.property(name, value).unwrap());
    let inner = tree.begin_node("tee").unwrap();
    tee.iter()
        .for_each(|(name, value)| tree.property(name, value).unwrap());
    tree.end_node(inner).unwrap();
    tree.end_node(node).unwrap();
}

fn set(properties: &mut Properties, name: &'static str, value: &[u8]) {
    properties.retain(|(known, _)| *known != name);
    properties.push((name, value.to_vec()));
}

/// The message for a guest with one property changed.
fn guest_with(name: &'static str, value: &[u8]) -> String {
    let mut properties = good();
    set(&mut properties.0, name, value);
    Manifest::parse(&write("a", &properties))
        .unwrap_err()
        .to_string()
}

fn tee_with(name: &'static str, value: &[u8]) -> String {
    let mut properties = good();
    set(&mut properties.1, name, value);
    Manifest::parse(&write("a", &properties))
        .unwrap_err()
        .to_string()
}

#[test]
fn a_blob_by_another_hand_is_read() {
    let blob = write("a", &good());
    let manifest = Manifest::parse(&blob).unwrap();
    assert_eq!(manifest.guests()[0].kernel, "Image");
    assert_eq!(manifest.guests()[0].tee.unwrap().max_shared, 4096);
}

#[test]
fn every_rule_is_applied_again() {
    assert_eq!(
        guest_with("vcpus", &[0, 0, 0, 9]),
        "guest a: vcpus must be from 1 to 8"
    );
    assert!(
        guest_with("memory", &[0, 0, 0, 0, 0, 0, 0x10, 0])
            .contains("memory must be a multiple of 2MiB")
    );
    assert!(guest_with("slice", &[0; 4]).contains("slice must be from 100us"));
    assert_eq!(
        guest_with("max-restarts", &1_000_001_u32.to_be_bytes()),
        "guest a: max-restarts must be from 0 to 1000000"
    );
    assert_eq!(
        guest_with("max-restart-delay", &[0xff; 4]),
        "guest a: max-restart-delay must be at most 1h"
    );
    assert!(guest_with("cpus", &[1, 2]).contains("cpus must have one core for each"));
    assert!(guest_with("devices", b"/a\0/a\0").contains("devices must not name a device twice"));
    assert!(guest_with("devices", b"/a\0\0").contains("devices must be paths or aliases"));
    assert!(tee_with("max-calls", &[0; 4]).contains("tee.max-calls must be from 1 to 64"));
    assert!(
        tee_with("max-shared", &[0xff; 8]).contains("tee.max-shared must be a multiple of 4KiB")
    );
    assert!(tee_with("max-sessions", &[0; 4]).contains("tee.max-sessions must be from 1 to 256"));
    assert!(tee_with("max-vms", &[0; 4]).contains("tee.max-vms must be from 1 to 1000"));
    assert!(tee_with("allow", &[0; 16 * 65]).contains("tee.allow must have at most 64 UUIDs"));
    let name = Manifest::parse(&write("UPPER", &good()))
        .unwrap_err()
        .to_string();
    assert!(name.contains("name must be 1 to 31"), "{name}");
    assert!(Manifest::parse(&write("a@0", &good())).is_err());
}

#[test]
fn values_of_the_wrong_form_are_refused() {
    let malformed = |key| format!("guest a: {key} is missing or malformed: make the bundle again");
    assert_eq!(guest_with("vcpus", &[1]), malformed("vcpus"));
    assert_eq!(guest_with("memory", &[0, 0, 0, 1]), malformed("memory"));
    assert_eq!(guest_with("kernel", b"Image"), malformed("kernel"));
    assert_eq!(guest_with("initrd", b"\xff\0"), malformed("initrd"));
    assert_eq!(guest_with("conduit", b"svc\0"), malformed("conduit"));
    assert_eq!(
        guest_with("direct-map", &[0, 0, 0, 2]),
        malformed("direct-map")
    );
    assert_eq!(guest_with("devices", b"/a"), malformed("devices"));
    assert_eq!(tee_with("dialect", b"\0"), malformed("dialect"));
    assert_eq!(
        tee_with("notifications", &[0, 0, 0, 2]),
        malformed("notifications")
    );
    assert_eq!(tee_with("deny", &[0; 17]), malformed("deny"));
    for key in 0..good().0.len() {
        let mut properties = good();
        let (name, _) = properties.0.remove(key);
        let blob = write("a", &properties);
        assert_eq!(
            Manifest::parse(&blob).unwrap_err(),
            ManifestError::Malformed("a", name)
        );
    }
}

#[test]
fn an_unknown_key_is_never_passed_over() {
    let message =
        |key| format!("guest a: unknown key {key}: make the bundle with this teevisor's own xtask");
    assert_eq!(guest_with("smmu", &[0, 0, 0, 1]), message("smmu"));
    assert_eq!(
        tee_with("max-threads", &[0, 0, 0, 1]),
        message("max-threads")
    );
    // A key in the place of a table is no table, nor is a table a key.
    assert_eq!(guest_with("tee", &[]), message("tee"));
    let tables = [("devices", &Properties::new())];
    assert_eq!(tables_with(&tables).unwrap_err(), message("devices"));
    let mut tree = FdtWriter::new().unwrap();
    let root = tree.begin_node("").unwrap();
    tree.property_u32("version", 1).unwrap();
    tree.property_u32("watchdog-core", 1).unwrap();
    tree.end_node(root).unwrap();
    let blob = tree.finish().unwrap();
    let error = Manifest::parse(&blob).unwrap_err().to_string();
    assert_eq!(
        error,
        "unknown key watchdog-core: make the bundle with this teevisor's own xtask"
    );
}

/// The error for a guest with these tables of these properties.
fn tables_with(tables: &[(&str, &Properties)]) -> Result<(), String> {
    let mut tree = FdtWriter::new().unwrap();
    let root = tree.begin_node("").unwrap();
    tree.property_u32("version", 1).unwrap();
    let guest = tree.begin_node("a").unwrap();
    for (name, value) in good().0 {
        tree.property(name, &value).unwrap();
    }
    for (name, properties) in tables {
        let node = tree.begin_node(name).unwrap();
        for (name, value) in *properties {
            tree.property(name, value).unwrap();
        }
        tree.end_node(node).unwrap();
    }
    tree.end_node(guest).unwrap();
    tree.end_node(root).unwrap();
    let blob = tree.finish().unwrap();
    let parsed = Manifest::parse(&blob).map(|_| ());
    parsed.map_err(|error| error.to_string())
}

#[test]
fn a_watchdog_is_read_like_the_tee() {
    let tee = good().1;
    let watchdog = |timeout: u32| {
        vec![
            ("action", b"restart\0".to_vec()),
            ("timeout", timeout.to_be_bytes().to_vec()),
        ]
    };
    let (good, late) = (watchdog(1_000_000), watchdog(3_600_000_001));
    assert_eq!(tables_with(&[("watchdog", &good), ("tee", &tee)]), Ok(()));
    let refused = |tables: &[(&str, &Properties)], why: &str| {
        let error = tables_with(tables).unwrap_err();
        assert!(error.starts_with(&format!("guest a: {why}")), "{error}");
    };
    refused(
        &[("watchdog", &late)],
        "watchdog.timeout must be from 1s to 1h",
    );
    refused(
        &[("watchdog", &good), ("watchdog", &good)],
        "watchdog is missing or malformed",
    );
    refused(&[("watchdog", &tee)], "unknown key dialect");
    refused(&[("watchdog", &Vec::new())], "action is missing");
    refused(&[("watchdog@0", &good)], "unknown key watchdog");
    refused(&[("watchcat", &good)], "unknown key watchcat");
}

#[test]
fn another_version_is_told_apart_from_damage() {
    let mut blob = compile(TEXT).unwrap().blob;
    let at = blob
        .windows(4)
        .position(|bytes| bytes == [0, 0, 0, 1])
        .unwrap();
    assert_eq!(
        Manifest::parse(&blob[..blob.len() - 1]),
        Err(ManifestError::Damaged)
    );
    assert_eq!(Manifest::parse(&[]), Err(ManifestError::Damaged));
    // The root's begin token comes first, its only property's value 20 bytes on.
    blob[at + 20 + 3] = 7;
    let error = Manifest::parse(&blob).unwrap_err();
    assert_eq!(error, ManifestError::Version(7));
    assert!(
        error
            .to_string()
            .contains("version 7, but this teevisor reads version 1")
    );
}

#[test]
fn too_many_guests_are_an_error() {
    let mut tree = FdtWriter::new().unwrap();
    let root = tree.begin_node("").unwrap();
    tree.property_u32("version", 1).unwrap();
    for number in 0..17 {
        let node = tree.begin_node(&format!("g{number}")).unwrap();
        good()
            .0
            .iter()
            .for_each(|(name, value)| tree.property(name, value).unwrap());
        tree.end_node(node).unwrap();
    }
    tree.end_node(root).unwrap();
    let blob = tree.finish().unwrap();
    assert_eq!(Manifest::parse(&blob), Err(ManifestError::TooManyGuests));
}

fn manifests() -> impl Strategy<Value = String> {
    let guest = (
        1u32..9,
        1u64..5000,
        "[a-zA-Z0-9/._]{1,60}",
        "[ -!#-\\[\\]-~]{0,80}",
        any::<[bool; 4]>(),
        1u32..65,
    );
    prop::collection::vec(guest, 1..8).prop_map(|guests| {
        let write = |(number, (vcpus, granules, kernel, bootargs, flags, calls))| {
            let [hvc, restart, tee, classic] = flags;
            format!(
                "[[guest]]\nname = \"g{number}\"\nvcpus = {vcpus}\nmemory = \"{}MiB\"\n\
                 kernel = \"{kernel}\"\nbootargs = \"{bootargs}\"\nconduit = \"{}\"\non-crash = \"{}\"\n\
                 tee = {{ enabled = {tee}, dialect = \"{}\", max-calls = {calls} }}\n",
                granules * 2,
                if hvc { "hvc" } else { "smc" },
                if restart { "restart" } else { "stop" },
                if classic { "classic" } else { "modern" },
            )
        };
        let guests: String = guests.into_iter().enumerate().map(write).collect();
        format!("version = 1\n{guests}")
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn what_compiles_is_read_as_written(text in manifests()) {
        let blob = compile(&text).unwrap().blob;
        let manifest = Manifest::parse(&blob).unwrap();
        let table: toml::Table = text.parse().unwrap();
        let written = table["guest"].as_array().unwrap();
        prop_assert_eq!(manifest.guests().len(), written.len());
        for (guest, written) in manifest.guests().iter().zip(written) {
            prop_assert_eq!(guest.name, written["name"].as_str().unwrap());
            prop_assert_eq!(i64::from(guest.vcpus), written["vcpus"].as_integer().unwrap());
            prop_assert_eq!(format!("{}MiB", guest.memory >> 20), written["memory"].as_str().unwrap());
            prop_assert_eq!(guest.kernel, written["kernel"].as_str().unwrap());
            prop_assert_eq!(guest.bootargs, written["bootargs"].as_str().unwrap());
            prop_assert_eq!(guest.tee.is_some(), written["tee"]["enabled"].as_bool().unwrap());
            if let Some(tee) = guest.tee {
                prop_assert_eq!(i64::from(tee.max_calls), written["tee"]["max-calls"].as_integer().unwrap());
            }
        }
    }

    #[test]
    fn damage_never_panics_and_never_breaks_a_rule(
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
        keep in any::<prop::sample::Index>(),
    ) {
        let mut blob = compile(TEXT).unwrap().blob;
        for (at, byte) in damage {
            let at = at.index(blob.len());
            blob[at] = byte;
        }
        let cut = &blob[..keep.index(blob.len())];
        for blob in [&blob[..], cut] {
            match Manifest::parse(blob) {
                Ok(manifest) => prop_assert!(check(manifest.guests()).is_ok()),
                Err(error) => prop_assert!(!error.to_string().is_empty()),
            }
        }
    }

    #[test]
    fn random_words_behind_a_sound_header_never_panic(
        body in prop::collection::vec(prop_oneof![0u32..10, any::<u32>()], 4..100),
        damage in any::<(prop::sample::Index, u32)>(),
    ) {
        let size = body.len() as u32 * 4 + 4;
        let mut header = [0xd00d_feed, 40 + 16 + size, 56, 56, 40, 17, 16, 0, size, size];
        let mut random = |damaged: bool| {
            if damaged {
                header[damage.0.index(10)] = damage.1;
            }
            let words = header.into_iter().chain([0; 4]).chain(body.iter().copied()).chain([9]);
            let blob: Vec<u8> = words.flat_map(u32::to_be_bytes).collect();
            let _ = Manifest::parse(&blob);
        };
        random(false);
        random(true);
    }

    #[test]
    fn random_text_never_panics_the_compiler(text in any::<String>(), value in "[ -~]{0,40}") {
        let _ = compile(&text);
        let _ = compile(&TEXT.replacen("512MiB", &value, 1));
        let _ = compile(&TEXT.replacen("vcpus = 2", &format!("vcpus = {value}"), 1));
    }
}

#[test]
fn h34_a_blob_by_another_hand_has_one_owner_of_the_rpmb_too() {
    let two = with_tees(&[1, 1]);
    let error = Manifest::parse(&two).unwrap_err().to_string();
    assert!(error.contains("guest b: tee.rpmb must be true for one guest at most: guest a has it"));
    Manifest::parse(&with_tees(&[1, 0])).unwrap();
}

/// Two guests, each with its `rpmb`.
fn with_tees(rpmb: &[u8; 2]) -> Vec<u8> {
    let mut tree = FdtWriter::new().unwrap();
    let root = tree.begin_node("").unwrap();
    tree.property_u32("version", 1).unwrap();
    for (name, rpmb) in ["a", "b"].into_iter().zip(rpmb) {
        let mut properties = good();
        set(&mut properties.1, "owner", &[0; 4]);
        set(&mut properties.1, "rpmb", &[0, 0, 0, *rpmb]);
        write_guest(&mut tree, name, &properties);
    }
    tree.end_node(root).unwrap();
    tree.finish().unwrap()
}
