// SPDX-License-Identifier: MIT OR Apache-2.0

//! docs/manifest.md says what the code does.
use manifest::host::compile;
use manifest::host::groups::{GROUPS, SHARED};
use manifest::{Dialect, Manifest, Policy};
use platform::Conduit;

const DOCS: &str = include_str!("../../../docs/manifest.md");

#[test]
fn the_example_compiles() {
    let example = DOCS
        .split("```")
        .find_map(|part| part.strip_prefix("toml\n"))
        .unwrap();
    let blob = compile(example).unwrap().blob;
    assert_eq!(Manifest::parse(&blob).unwrap().guests().len(), 2);
}

/// The row of a key in a table of the reference.
fn row(key: &str) -> &'static str {
    let start = format!("| `{key}` |");
    DOCS.lines()
        .find(|line| line.starts_with(&start))
        .unwrap_or_else(|| panic!("{key} has no row"))
}

#[test]
fn every_key_has_a_row() {
    let tables = [
        "?\n",
        "[[guest]]\n?",
        "[[guest]]\ntee = { ? }",
        "[[guest]]\nwatchdog = { ? }",
    ];
    for table in tables {
        let text = format!("version = 1\n{}", table.replace('?', "no-such-key = 1"));
        let error = compile(&text).unwrap_err().message;
        let keys: Vec<_> = error.split('`').skip(3).step_by(2).collect();
        assert!(keys.len() > 1, "{error}");
        for key in keys {
            row(if key == "guest" { "[[guest]]" } else { key });
        }
    }
}

/// The table of groups in the reference: a row for each application.
#[test]
fn every_application_of_a_group_has_a_row() {
    for shared in SHARED {
        let uuid = format!("{:032x}", shared.uuid);
        let (a, rest) = uuid.split_at(8);
        let [b, c, d, e] = [&rest[..4], &rest[4..8], &rest[8..12], &rest[12..]];
        let group = format!("{:?}", shared.kind).to_lowercase();
        let name = shared.name;
        let row = format!(
            "| `{name}` | `{a}-{b}-{c}-{d}-{e}` | `{group}` | {} |",
            shared.can
        );
        assert!(DOCS.contains(&row), "the reference lacks\n{row}");
    }
    for group in GROUPS {
        assert!(DOCS.contains(&format!("| `\"{}\"` |", group.name)));
    }
}

#[test]
fn defaults_are_as_documented() {
    let text =
        "version = 1\n[[guest]]\nname = \"a\"\nvcpus = 1\nmemory = \"2MiB\"\nkernel = \"k\"\n";
    let blob = compile(text).unwrap().blob;
    let manifest = Manifest::parse(&blob).unwrap();
    let guest = manifest.guests()[0];
    assert_eq!(manifest.housekeeping_core(), None);
    let default = |key: &str, value: &str| {
        assert!(row(key).ends_with(&format!("| {value} |")), "{}", row(key));
    };
    assert_eq!(
        (guest.conduit, guest.on_crash),
        (Conduit::Smc, Policy::Stop)
    );
    default("conduit", "`\"smc\"`");
    default("on-crash", "`\"stop\"`");
    assert_eq!(
        (guest.max_restarts, guest.max_restart_delay),
        (None, 1_000_000)
    );
    default("max-restarts", "no limit");
    default("max-restart-delay", "`\"1s\"`");
    assert_eq!(
        (guest.cpus, guest.initrd, guest.bootargs),
        (&[][..], None, "")
    );
    assert_eq!((guest.direct_map, guest.devices.iter().count()), (false, 0));
    default("direct-map", "`false`");
    default("devices", "none");
    assert_eq!(guest.no_dma.iter().count(), 0);
    default("no-dma", "none");
    assert_eq!((guest.exclusive, guest.slice), (false, 5_000));
    default("exclusive", "`false`");
    default("slice", "`\"5ms\"`");
    assert_eq!(
        (guest.priority, guest.budget, guest.period),
        (0, None, None)
    );
    default("priority", "0");
    default("budget", "no limit");
    default("period", "no limit");
    assert_eq!(guest.watchdog, None);
    default("watchdog", "no watchdog");
    assert_eq!(guest.rates, None);
    default("rates", "no bounds");
    let tee = guest.tee.expect("a guest has a TEE by default");
    default("enabled", "`true`");
    assert_eq!((tee.dialect, tee.notifications), (Dialect::Modern, true));
    default("dialect", "`\"modern\"`");
    default("notifications", "`true`");
    default("max-calls", &tee.max_calls.to_string());
    default("max-buffers", &tee.max_buffers.to_string());
    default("max-shared", &format!("`\"{}MiB\"`", tee.max_shared >> 20));
    assert!(tee.owner, "a guest that is alone has OP-TEE");
    default("owner", "`true` if no other guest has a TEE");
    assert!(tee.rpmb, "a guest that is alone has the RPMB");
    default("rpmb", "`true` if no other guest has a TEE");
    default("max-sessions", &tee.max_sessions.to_string());
    default("max-vms", &tee.max_vms.to_string());
    assert_eq!((tee.visit, tee.budget, tee.period), (None, None, None));
    default("visit", "no limit");
    assert!(!tee.fresh);
    default("fresh", "`false`");
    assert!(tee.allow.is_empty() && tee.deny.is_empty());
}
