// SPDX-License-Identifier: MIT OR Apache-2.0

//! TOML → blob → reader.
use manifest::archive::Archive;
use manifest::host::{bundle, compile};
use manifest::{Devices, Dialect, Guest, MEMBER, Manifest, Policy, Rates, Tee, Watchdog};
use platform::Conduit;

const FULL: &str = r#"
version = 1
[[guest]]
name = "linux"
vcpus = 2
cpus = [0, 2]
exclusive = true
slice = "200us"
memory = "512MiB"
kernel = "out/Image"
initrd = "out/initrd.gz"
bootargs = "console=ttyAMA0"
conduit = "hvc"
on-crash = "restart"
max-restarts = 7
max-restart-delay = "3s"
direct-map = true
devices = ["/virtio_mmio@a003e00", "i2c1"]
no-dma = ["i2c1"]
watchdog = { action = "stop", timeout = "2min" }
rates = { traps = 200000, kicks = 3000, device-interrupts = 100 }
[guest.tee]
dialect = "classic"
notifications = false
max-calls = 3
max-buffers = 7
max-shared = "1GiB"
max-sessions = 9
max-vms = 5
visit = "300us"
budget = "400us"
period = "50ms"
fresh = true
owner = false
rpmb = true
allow = ["8aaaf200-2450-11e4-abe2-0002a5d5c51b"]

[[guest]]
name = "bare-1"
vcpus = 1
memory = "64 MiB"
kernel = "out/Image"
priority = 255
budget = "2ms"
period = "10ms"
watchdog = { action = "restart" }
tee = { enabled = false }
"#;

const UUID: [[u8; 16]; 1] = [[
    0x8a, 0xaa, 0xf2, 0x00, 0x24, 0x50, 0x11, 0xe4, 0xab, 0xe2, 0x00, 0x02, 0xa5, 0xd5, 0xc5, 0x1b,
]];

#[test]
fn every_key_arrives() {
    let compiled = compile(FULL).unwrap();
    assert_eq!(compiled.files, ["out/Image", "out/initrd.gz"]);
    let manifest = Manifest::parse(&compiled.blob).unwrap();
    let linux = Guest {
        name: "linux",
        vcpus: 2,
        cpus: &[0, 2],
        exclusive: true,
        slice: 200,
        priority: 0,
        budget: None,
        period: None,
        memory: 512 << 20,
        kernel: "out/Image",
        initrd: Some("out/initrd.gz"),
        bootargs: "console=ttyAMA0",
        conduit: Conduit::Hvc,
        on_crash: Policy::Restart,
        max_restarts: Some(7),
        max_restart_delay: 3_000_000,
        watchdog: Some(Watchdog {
            action: Policy::Stop,
            timeout: Some(120_000_000),
        }),
        direct_map: true,
        devices: Devices::new("/virtio_mmio@a003e00\0i2c1"),
        no_dma: Devices::new("i2c1"),
        rates: Some(Rates {
            traps: Some(200_000),
            kicks: Some(3000),
            device_interrupts: Some(100),
        }),
        tee: Some(Tee {
            dialect: Dialect::Classic,
            notifications: false,
            max_calls: 3,
            max_buffers: 7,
            max_shared: 1 << 30,
            max_sessions: 9,
            max_vms: 5,
            visit: Some(300),
            budget: Some(400),
            period: Some(50_000),
            fresh: true,
            owner: false,
            rpmb: true,
            allow: &UUID,
            deny: &[],
        }),
    };
    let bare = Guest {
        name: "bare-1",
        vcpus: 1,
        cpus: &[],
        exclusive: false,
        slice: 5_000,
        priority: 255,
        budget: Some(2_000),
        period: Some(10_000),
        memory: 64 << 20,
        initrd: None,
        bootargs: "",
        conduit: Conduit::Smc,
        on_crash: Policy::Stop,
        max_restarts: None,
        max_restart_delay: 1_000_000,
        watchdog: Some(Watchdog {
            action: Policy::Restart,
            timeout: None,
        }),
        direct_map: false,
        devices: Devices::default(),
        no_dma: Devices::default(),
        rates: None,
        tee: None,
        ..linux
    };
    assert_eq!(manifest.guests(), [linux, bare]);
    let names: Vec<_> = linux.devices.iter().collect();
    assert_eq!(names, ["/virtio_mmio@a003e00", "i2c1"]);
    assert_eq!(bare.devices.iter().count(), 0);
}

/// A file with an arm64 Image header that says nothing of its size.
fn file(name: &str) -> Vec<u8> {
    let mut bytes = name.repeat(1000).into_bytes();
    bytes[..64].fill(0);
    bytes[56..60].copy_from_slice(b"ARM\x64");
    bytes
}

#[test]
fn a_bundle_holds_the_manifest_first_and_each_file_once() {
    let read = |name: &str| Ok(file(name));
    let bytes = bundle(FULL, read, Vec::new()).unwrap();
    let archive = Archive::new(&bytes).unwrap();
    let names: Vec<_> = archive
        .members()
        .map(|m| m.name)
        .filter(|n| *n != ".padding")
        .collect();
    assert_eq!(names, [MEMBER, "out/Image", "out/initrd.gz"]);
    assert_eq!(archive.find("out/Image").unwrap(), file("out/Image"));
    Manifest::parse(archive.find(MEMBER).unwrap()).unwrap();
    for member in archive.members().filter(|m| m.name != ".padding") {
        assert_eq!(
            (member.data.as_ptr() as usize - bytes.as_ptr() as usize) % 4096,
            0
        );
    }
}

/// The first guest's list of what it may not open.
fn denied(list: &str) -> Vec<[u8; 16]> {
    let text = format!(
        "version = 1\n[[guest]]\nname = \"a\"\nvcpus = 1\nmemory = \"2MiB\"\nkernel = \"k\"\n\
         tee = {{ deny = [{list}] }}"
    );
    let blob = compile(&text).unwrap().blob;
    let manifest = Manifest::parse(&blob).unwrap();
    manifest.guests()[0].tee.unwrap().deny.to_vec()
}

#[test]
fn h34_a_group_stands_for_its_uuids() {
    const SCMI: u128 = 0xa8cf_e406_d4f5_4a2e_9f8d_a25d_c754_c099;
    const BSEC: u128 = 0x94cf_71ad_80e6_40b5_a7c6_3dc5_01eb_2803;
    let board = denied("\"board\"");
    for uuid in [SCMI, BSEC] {
        assert!(board.contains(&uuid.to_be_bytes()), "{uuid:x}");
    }
    assert_eq!(board.len(), manifest::host::groups::SHARED.len());
    let parts = denied("\"hardware\", \"storage\", \"diagnostics\"");
    assert_eq!(parts, board);
}

#[test]
fn groups_and_uuids_go_together_and_each_comes_up_once() {
    let scmi = "\"a8cfe406-d4f5-4a2e-9f8d-a25dc754c099\"";
    let other = "\"8aaaf200-2450-11e4-abe2-0002a5d5c51b\"";
    let board = denied("\"board\"");
    assert_eq!(denied(&format!("{scmi}, \"board\"")).len(), board.len());
    let more = denied(&format!("\"board\", {other}, {other}"));
    assert_eq!(more.len(), board.len() + 1);
    assert_eq!(more.last(), Some(&UUID[0]));
}
