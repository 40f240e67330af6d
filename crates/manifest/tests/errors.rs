// SPDX-License-Identifier: MIT OR Apache-2.0

//! What users are told, and where.
use manifest::host::{BundleError, bundle, compile};
use manifest::{Guest, Manifest, Tee};

const BASE: &str = r#"version = 1

[[guest]]
name = "a"
vcpus = 1
cpus = [0]
memory = "64MiB"
kernel = "Image"
initrd = "initrd"
bootargs = "quiet"

[guest.tee]
max-calls = 4
"#;

/// The error after `from` is replaced by `to` in a manifest that was good.
fn after(from: &str, to: &str) -> String {
    assert!(BASE.contains(from), "{from}");
    compile(&BASE.replacen(from, to, 1))
        .unwrap_err()
        .to_string()
}

#[test]
fn the_base_is_good() {
    compile(BASE).unwrap();
}

#[test]
fn an_unknown_key_is_refused_with_its_line() {
    let error = after("vcpus = 1", "vcpus = 1\ncores = 2");
    assert!(
        error.starts_with("manifest, line 6: unknown field `cores`, expected one of "),
        "{error}"
    );
    assert!(
        error.contains("`vcpus`") && error.ends_with("\n  cores = 2"),
        "{error}"
    );
    let error = after("max-calls", "max_calls");
    assert!(
        error.starts_with("manifest, line 13: unknown field `max_calls`"),
        "{error}"
    );
    let error = after("version = 1", "version = 1\nguests = 3");
    assert!(
        error.starts_with("manifest, line 2: unknown field `guests`"),
        "{error}"
    );
}

#[test]
fn a_missing_key_is_named() {
    for key in ["name", "vcpus", "memory", "kernel"] {
        let line = BASE.lines().find(|line| line.starts_with(key)).unwrap();
        let error = after(&format!("{line}\n"), "");
        assert!(
            error.starts_with("manifest, line 3: missing field"),
            "{error}"
        );
        assert!(error.contains(key), "{error}");
    }
    assert!(after("version = 1", "").contains("missing field `version`"));
}

#[test]
fn broken_rules_are_shown_with_their_line() {
    let cases = [
        (
            "name = \"a\"",
            "name = \"A\"",
            4,
            "guest A: name must be 1 to 31 of a-z, 0-9 and -, a letter first",
        ),
        (
            "name = \"a\"",
            "name = \"\"",
            4,
            "name must be 1 to 31 of a-z, 0-9 and -, a letter first",
        ),
        (
            "vcpus = 1",
            "vcpus = 0",
            5,
            "guest a: vcpus must be from 1 to 8",
        ),
        (
            "vcpus = 1",
            "vcpus = 9",
            5,
            "guest a: vcpus must be from 1 to 8",
        ),
        (
            "cpus = [0]",
            "cpus = [0, 1]",
            6,
            "guest a: cpus must have one core for each of the vcpus, or be left out",
        ),
        (
            "cpus = [0]",
            "cpus = [32]",
            6,
            "guest a: cpus must be from 0 to 31",
        ),
        (
            "vcpus = 1\ncpus = [0]",
            "vcpus = 2\nexclusive = true\ncpus = [3, 3]",
            7,
            "guest a: cpus must not name a core twice in an exclusive guest",
        ),
        (
            "vcpus = 1",
            "vcpus = 1\nslice = \"99us\"",
            6,
            "guest a: slice must be from 100us to 1000ms",
        ),
        (
            "vcpus = 1",
            "vcpus = 1\nmax-restarts = 1000001",
            6,
            "guest a: max-restarts must be from 0 to 1000000",
        ),
        (
            "64MiB",
            "63MiB",
            7,
            "guest a: memory must be a multiple of 2MiB, at least 2MiB and at most 511GiB",
        ),
        (
            "64MiB",
            "0MiB",
            7,
            "guest a: memory must be a multiple of 2MiB, at least 2MiB and at most 511GiB",
        ),
        (
            "64MiB",
            "512GiB",
            7,
            "guest a: memory must be a multiple of 2MiB, at least 2MiB and at most 511GiB",
        ),
        (
            "\"Image\"",
            "\"\"",
            8,
            "guest a: kernel must be the path of a file, at most 255 bytes",
        ),
        (
            "\"Image\"",
            "\"manifest.dtb\"",
            8,
            "guest a: kernel must be the path of a file, at most 255 bytes",
        ),
        (
            "\"initrd\"",
            "\"a\\u0000\"",
            9,
            "guest a: initrd must be the path of a file, at most 255 bytes",
        ),
        (
            "\"quiet\"",
            "\"a\\nb\"",
            10,
            "guest a: bootargs must be one line of at most 2047 bytes",
        ),
        (
            "bootargs = \"quiet\"",
            "devices = [\"/a b\"]",
            10,
            "guest a: devices must be paths or aliases of the board's device tree, at most 255 bytes each",
        ),
        (
            "bootargs = \"quiet\"",
            "devices = [\"/uart@1\", \"i2c1\", \"/uart@1\"]",
            10,
            "guest a: devices must not name a device twice",
        ),
        (
            "bootargs = \"quiet\"",
            "devices = [\"/uart@1\"]\nno-dma = [\"/uart@2\"]",
            11,
            "guest a: no-dma must name devices as its devices does, and no others",
        ),
        (
            "bootargs = \"quiet\"",
            "watchdog = { action = \"stop\", timeout = \"999ms\" }",
            10,
            "guest a: watchdog.timeout must be from 1s to 1h",
        ),
        (
            "max-calls = 4",
            "max-calls = 0",
            13,
            "guest a: tee.max-calls must be from 1 to 64",
        ),
        (
            "max-calls = 4",
            "max-buffers = 32769",
            13,
            "guest a: tee.max-buffers must be from 1 to 32768",
        ),
        (
            "max-calls = 4",
            "max-shared = \"1KiB\"",
            13,
            "guest a: tee.max-shared must be a multiple of 4KiB, at least 4KiB and at most 8GiB",
        ),
        (
            "max-calls = 4",
            "max-sessions = 257",
            13,
            "guest a: tee.max-sessions must be from 1 to 256",
        ),
        (
            "max-calls = 4",
            "max-vms = 0",
            13,
            "guest a: tee.max-vms must be from 1 to 1000",
        ),
    ];
    for (from, to, line, message) in cases {
        let error = after(from, to);
        let shown = BASE
            .replacen(from, to, 1)
            .lines()
            .nth(line - 1)
            .unwrap()
            .to_owned();
        assert_eq!(
            error,
            format!("manifest, line {line}: {message}\n  {shown}")
        );
    }
}

/// The line and the message of a guest with these keys, behind one that is promised 60 % of core 0.
fn beside_a_budget(keys: &str) -> Result<(), (usize, String)> {
    let first = BASE.replacen(
        "cpus = [0]",
        "cpus = [0]\nbudget = \"6ms\"\nperiod = \"10ms\"",
        1,
    );
    let second =
        format!("[[guest]]\nname = \"b\"\nvcpus = 1\nmemory = \"2MiB\"\nkernel = \"k\"\n{keys}");
    let compiled = compile(&format!("{first}{second}"));
    compiled
        .map(|_| ())
        .map_err(|error| (error.line, error.message))
}

#[test]
fn budgets_on_a_core_are_at_most_its_time() {
    let with = |core: u8, budget: &str| {
        let keys = format!("cpus = [{core}]\nperiod = \"50ms\"\nbudget = \"{budget}\"\n");
        beside_a_budget(&keys)
    };
    assert_eq!(with(0, "20ms"), Ok(()));
    assert_eq!(with(1, "50ms"), Ok(()));
    let (line, message) = with(0, "20001us").unwrap_err();
    assert_eq!(line, 23);
    assert!(
        message.starts_with("guest b: budget must be less, or period longer"),
        "{message}"
    );
    let twice = "budget = \"3ms\"\nperiod = \"5ms\"\n";
    let shared = BASE.replacen("vcpus = 1", "vcpus = 2", 1).replacen(
        "cpus = [0]",
        &format!("cpus = [1, 1]\n{twice}"),
        1,
    );
    assert_eq!(compile(&shared).unwrap_err().line, 7);
    let thirds = "budget = \"1ms\"\nperiod = \"3ms\"\n";
    let exact = BASE.replacen("vcpus = 1", "vcpus = 3", 1).replacen(
        "cpus = [0]",
        &format!("cpus = [1, 1, 1]\n{thirds}"),
        1,
    );
    compile(&exact).unwrap();
}

#[test]
fn budgets_and_periods_come_together() {
    let cases = [
        (
            "budget = \"2ms\"\n",
            21,
            "guest b: budget must have a period beside it",
        ),
        (
            "period = \"2ms\"\n",
            21,
            "guest b: period must have a budget beside it",
        ),
        (
            "budget = \"2ms\"\nperiod = \"1ms\"\n",
            21,
            "guest b: budget must be from 100us to its period",
        ),
        (
            "budget = \"99us\"\nperiod = \"1ms\"\n",
            21,
            "guest b: budget must be from 100us to its period",
        ),
        (
            "budget = \"2ms\"\nperiod = \"2s\"\n",
            22,
            "guest b: period must be from 100us to 1000ms",
        ),
        (
            "exclusive = true\ncpus = [1]\npriority = 3\n",
            23,
            "guest b: priority must be left out in an exclusive guest, whose vCPUs have their cores alone",
        ),
        (
            "exclusive = true\ncpus = [1]\nperiod = \"1ms\"\nbudget = \"1ms\"\n",
            24,
            "guest b: budget must be left out in an exclusive guest, whose vCPUs have their cores alone",
        ),
        (
            "tee = { budget = \"1ms\" }\n",
            21,
            "guest b: tee.budget must have a period beside it",
        ),
        (
            "tee = { budget = \"3ms\", period = \"2ms\" }\n",
            21,
            "guest b: tee.budget must be from 100us to its period",
        ),
    ];
    for (keys, line, message) in cases {
        assert_eq!(beside_a_budget(keys), Err((line, message.to_owned())));
    }
}

#[test]
fn an_exclusive_guest_keeps_its_cores_from_later_ones() {
    let first = BASE.replacen("cpus = [0]", "cpus = [0]\nexclusive = true", 1);
    let second = |core: u8| {
        let more = format!(
            "[[guest]]\nname = \"b\"\nvcpus = 1\ncpus = [{core}]\nmemory = \"2MiB\"\nkernel = \"k\"\n"
        );
        compile(&format!("{first}{more}")).map_err(|error| error.to_string())
    };
    assert!(second(1).is_ok());
    assert_eq!(
        second(0).unwrap_err(),
        "manifest, line 18: guest b: cpus has a core that is another guest's already, and one of the \
         two is exclusive\n  cpus = [0]"
    );
}

#[test]
fn a_name_has_31_letters_and_a_file_none_of_the_bundles_own_names() {
    let named = |length| BASE.replacen("\"a\"", &format!("\"{}\"", "a".repeat(length)), 1);
    assert!(compile(&named(31)).is_ok());
    let error = compile(&named(32)).unwrap_err().to_string();
    assert!(error.contains("name must be 1 to 31 of"), "{error}");
    for key in ["kernel = \"Image\"", "initrd = \"initrd\""] {
        for reserved in [".padding", "TRAILER!!!"] {
            let name = key.split(' ').next().unwrap();
            let error = after(key, &format!("{name} = \"{reserved}\""));
            let message = format!("{name} must be the path of a file, at most 255 bytes");
            assert!(error.contains(&message), "{reserved}: {error}");
        }
    }
}

#[test]
fn two_guests_may_not_share_a_name_or_an_exclusive_core() {
    let second = |name: &str, core: u8, exclusive: bool| {
        let more = format!(
            "[[guest]]\nname = \"{name}\"\nvcpus = 1\nexclusive = {exclusive}\ncpus = [{core}]\n\
             memory = \"2MiB\"\nkernel = \"k\"\n"
        );
        compile(&format!("{BASE}{more}")).map_err(|error| error.to_string())
    };
    assert!(second("b", 1, true).is_ok());
    assert!(second("b", 0, false).is_ok());
    assert_eq!(
        second("a", 1, false).unwrap_err(),
        "manifest, line 15: guest a: name is another guest's already\n  name = \"a\""
    );
    assert_eq!(
        second("b", 0, true).unwrap_err(),
        "manifest, line 18: guest b: cpus has a core that is another guest's already, and one of the \
         two is exclusive\n  cpus = [0]"
    );
}

#[test]
fn a_device_goes_to_one_guest() {
    let first = BASE.replacen("bootargs", "devices = [\"/uart@1\"]\nbootargs", 1);
    let second = |device: &str| {
        let more = format!(
            "[[guest]]\nname = \"b\"\nvcpus = 1\ndevices = [\"{device}\"]\nmemory = \"2MiB\"\nkernel = \"k\"\n"
        );
        compile(&format!("{first}{more}")).map_err(|error| error.to_string())
    };
    assert!(second("/uart@2").is_ok());
    assert_eq!(
        second("/uart@1").unwrap_err(),
        "manifest, line 18: guest b: devices has a device that is another guest's already\n  devices = [\"/uart@1\"]"
    );
}

#[test]
fn a_list_of_devices_says_how_they_are_named() {
    for wrong in ["\"\"", "\"a\\u0000b\"", "\"/uart@1\", \"\""] {
        let error = after("bootargs = \"quiet\"", &format!("devices = [{wrong}]"));
        assert!(
            error.starts_with(
                "manifest, line 10: devices and no-dma must name nodes of the board's device tree"
            ),
            "{error}"
        );
    }
    let many: Vec<_> = (0..17).map(|n| format!("\"/uart@{n}\"")).collect();
    let list = |count: usize| format!("devices = [{}]", many[..count].join(", "));
    assert!(after("bootargs = \"quiet\"", &list(17)).contains("must have at most 16 devices"));
    compile(&BASE.replacen("bootargs = \"quiet\"", &list(16), 1)).unwrap();
}

#[test]
fn sizes_and_uuids_say_how_they_are_written() {
    let error = after("64MiB", "64MB");
    assert!(
        error.starts_with(
            "manifest, line 7: \"64MB\" is no size: write a number and KiB, MiB or GiB"
        ),
        "{error}"
    );
    for wrong in ["64", "", "MiB", "-1MiB", "99999999999GiB", "1.5GiB"] {
        assert!(after("64MiB", wrong).contains("is no size"), "{wrong}");
    }
    let uuid = |text: &str| after("max-calls = 4", &format!("deny = [\"{text}\"]"));
    for wrong in [
        "",
        "8aaaf200-2450-11e4-abe2-0002a5d5c51",
        "8aaaf200245011e4abe20002a5d5c51b",
        "+aaaf200-2450-11e4-abe2-0002a5d5c51b",
    ] {
        assert!(uuid(wrong).contains("is no UUID: write it as"), "{wrong}");
    }
}

#[test]
fn an_unknown_group_is_named_and_the_known_ones_listed() {
    let error = after("max-calls = 4", "deny = [\"boards\"]");
    let said = "manifest, line 13: \"boards\" is no group of trusted applications: \
                there are \"board\", \"hardware\", \"storage\", \"diagnostics\"";
    assert!(error.starts_with(said), "{error}");
}

#[test]
fn times_say_how_they_are_written() {
    let with = |timeout: &str| {
        let table = format!("watchdog = {{ action = \"stop\", timeout = \"{timeout}\" }}");
        BASE.replacen("bootargs = \"quiet\"", &table, 1)
    };
    for right in ["1000000us", "1000ms", "1s", "90 s", "5min", "1h"] {
        compile(&with(right)).unwrap();
    }
    for wrong in [
        "30",
        "",
        "s",
        "-1s",
        "1.5s",
        "1m",
        "9999999999s",
        "2h",
        "1day",
    ] {
        let error = compile(&with(wrong)).unwrap_err().to_string();
        assert!(
            error.starts_with(&format!(
                "manifest, line 10: {wrong:?} is no time of at most 1h: write a number and us, ms, s, min or h"
            )),
            "{error}"
        );
    }
}

#[test]
fn a_watchdog_needs_an_action() {
    let error = after("bootargs = \"quiet\"", "watchdog = { timeout = \"30s\" }");
    assert!(
        error.starts_with("manifest, line 10: missing field `action`"),
        "{error}"
    );
    let error = after("bootargs = \"quiet\"", "watchdog = { action = \"off\" }");
    assert!(error.contains("expected `stop` or `restart`"), "{error}");
    let error = after(
        "bootargs = \"quiet\"",
        "watchdog = { action = \"stop\", window = 1 }",
    );
    assert!(
        error.contains("unknown field `window`, expected `action` or `timeout`"),
        "{error}"
    );
}

#[test]
fn a_policy_has_one_list() {
    let one = "\"8aaaf200-2450-11e4-abe2-0002a5d5c51b\"";
    let error = after("max-calls = 4", &format!("allow = [{one}]\ndeny = [{one}]"));
    assert!(
        error.contains("line 14: guest a: tee.deny must be left out beside allow"),
        "{error}"
    );
}

#[test]
fn an_empty_list_of_what_is_allowed_is_no_list() {
    let error = after("max-calls = 4", "allow = []");
    assert!(
        error.starts_with("manifest, line 13: allow must name a UUID: leave it out to allow all"),
        "{error}"
    );
    compile(&BASE.replacen("max-calls = 4", "deny = []", 1)).unwrap();
}

#[test]
fn wrong_types_and_choices_name_the_line() {
    assert!(after("vcpus = 1", "vcpus = \"1\"").starts_with("manifest, line 5: invalid type"));
    assert!(after("vcpus = 1", "vcpus = -1").starts_with("manifest, line 5: invalid value"));
    let error = after("bootargs", "conduit = \"svc\"\nbootargs");
    assert!(
        error.starts_with("manifest, line 10: unknown variant `svc`, expected `smc` or `hvc`"),
        "{error}"
    );
    let error = after("bootargs", "on-crash = \"ignore\"\nbootargs");
    assert!(error.contains("expected `stop` or `restart`"), "{error}");
    assert!(after("bootargs", "bootargs = = 1").starts_with("manifest, line 10: "));
}

#[test]
fn another_version_and_no_guest_are_refused() {
    assert_eq!(
        after("version = 1", "version = 2"),
        "manifest, line 1: version must be 1\n  version = 2"
    );
    let error = compile("version = 1\n").unwrap_err().to_string();
    assert!(
        error.starts_with("manifest, line 1: [[guest]] must be there 1 to 16 times"),
        "{error}"
    );
    let many: String = (0..17)
        .map(|n| {
            format!("[[guest]]\nname = \"g{n}\"\nvcpus = 1\nmemory = \"2MiB\"\nkernel = \"k\"\n")
        })
        .collect();
    let error = compile(&format!("version = 1\n{many}"))
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("[[guest]] must be there 1 to 16 times"),
        "{error}"
    );
}

/// An arm64 Image header that claims `size` bytes, in a file of `length`.
fn image(size: u64, length: usize) -> Vec<u8> {
    let mut image = vec![0; length];
    image[16..24].copy_from_slice(&size.to_le_bytes());
    image[56..60].copy_from_slice(b"ARM\x64");
    image
}

fn bundled(kernel: &[u8], initrd: usize) -> String {
    let read = |name: &str| {
        Ok(if name == "Image" {
            kernel.to_vec()
        } else {
            vec![0; initrd]
        })
    };
    bundle(BASE, read, Vec::new()).map_or_else(|error| error.to_string(), |_| "bundled".into())
}

#[test]
fn guests_need_an_image_and_room_for_it() {
    const MIB: u64 = 1 << 20;
    assert_eq!(bundled(&image(0, 64), 100), "bundled");
    let room = 62 * MIB - 4096;
    assert_eq!(bundled(&image(room, 64), 0), "bundled");
    let memory = "manifest, line 7: guest a: memory must be at least 66MiB for its kernel and initrd\n  memory = \"64MiB\"";
    assert_eq!(bundled(&image(room, 64), 1), memory);
    assert_eq!(bundled(&image(0, 1000), room as usize), memory);
    assert!(bundled(&image(u64::MAX, 64), 1).contains("memory must be at least"));
    let mut far = image(room, 64);
    far[8..16].copy_from_slice(&u64::MAX.to_le_bytes());
    assert!(bundled(&far, 0).contains("uncompressed arm64 Image"));
}

#[test]
fn other_kernels_say_what_they_are() {
    let start = "manifest, line 8: guest a: kernel must be an uncompressed arm64 Image, but ";
    let cases: [(&[u8], &str); 4] = [
        (b"\x1f\x8b\x08", "it is compressed with gzip: unpack it"),
        (
            b"\x7fELF\x02",
            "it is an ELF file: take arch/arm64/boot/Image",
        ),
        (
            b"MZ\0\0zimg",
            "it is a compressed EFI image: take arch/arm64/boot/Image",
        ),
        (b"", "it lacks that header"),
    ];
    for (kernel, why) in cases {
        assert_eq!(
            bundled(kernel, 0),
            format!("{start}{why}\n  kernel = \"Image\"")
        );
    }
}

#[test]
fn a_missing_file_is_named_and_nothing_is_written() {
    let read = |name: &str| match name {
        "Image" => Ok(image(0, 64)),
        _ => Err(std::io::ErrorKind::NotFound.into()),
    };
    let mut out = Vec::new();
    let error = bundle(BASE, read, &mut out).unwrap_err();
    assert!(matches!(&error, BundleError::Read(name, _) if name == "initrd"));
    assert!(
        error
            .to_string()
            .starts_with("initrd, which the manifest names: ")
    );
    assert!(out.is_empty());
}

/// A manifest of guests whose `[guest.tee]` has these keys.
fn guests(tables: &[&str]) -> String {
    let guest = |(n, tee): (usize, &&str)| {
        format!(
            "[[guest]]\nname = \"g{n}\"\nvcpus = 1\nmemory = \"2MiB\"\nkernel = \"k\"\n\
             tee = {{ {tee} }}\n"
        )
    };
    let guests: String = tables.iter().enumerate().map(guest).collect();
    format!("version = 1\n{guests}")
}

/// What there is one of, and who has it.
const OWNED: [(&str, Owns); 2] = [("rpmb", |tee| tee.rpmb), ("owner", |tee| tee.owner)];

type Owns = fn(&Tee<'_>) -> bool;

#[test]
fn h34_what_there_is_one_of_is_one_guest_s_and_the_error_names_both() {
    for (key, _) in OWNED {
        let yes = format!("{key} = true");
        let both = compile(&guests(&[&yes, "", &yes])).unwrap_err();
        let said =
            format!("guest g2: tee.{key} must be true for one guest at most: guest g0 has it");
        assert_eq!((both.line, both.message), (19, said));
    }
}

#[test]
fn h34_what_there_is_one_of_is_given_or_that_of_a_guest_alone() {
    for (key, owns) in OWNED {
        let owners = |tables: &[&str]| -> Vec<bool> {
            let blob = compile(&guests(tables)).unwrap().blob;
            let manifest = Manifest::parse(&blob).unwrap();
            let has = |guest: &Guest| guest.tee.as_ref().is_some_and(owns);
            manifest.guests().iter().map(has).collect()
        };
        let yes: &str = &format!("{key} = true");
        let no: &str = &format!("{key} = false");
        let off_yes: &str = &format!("enabled = false, {yes}");
        assert_eq!(owners(&[""]), [true]);
        assert_eq!(owners(&[no]), [false]);
        assert_eq!(owners(&["", ""]), [false, false]);
        assert_eq!(owners(&["enabled = false", ""]), [false, true]);
        assert_eq!(owners(&["", yes]), [false, true]);
        assert_eq!(owners(&[off_yes, ""]), [false, true]);
    }
}

#[test]
fn the_housekeeping_core_is_no_exclusive_guests() {
    let manifest = |core: &str| {
        format!(
            "version = 1\nhousekeeping-core = {core}\n[[guest]]\nname = \"a\"\nvcpus = 1\n\
             exclusive = true\ncpus = [2]\nmemory = \"2MiB\"\nkernel = \"k\"\n"
        )
    };
    for core in [0, 1, 31] {
        let blob = compile(&manifest(&core.to_string())).unwrap().blob;
        let parsed = Manifest::parse(&blob).unwrap();
        assert_eq!(parsed.housekeeping_core(), Some(core));
    }
    let error = compile(&manifest("2")).unwrap_err();
    assert_eq!(error.line, 2);
    assert!(error.message.contains("an exclusive guest"), "{error}");
    let error = compile(&manifest("32")).unwrap_err();
    assert_eq!(error.message, "housekeeping-core must be from 0 to 31");
}
