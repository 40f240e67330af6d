// SPDX-License-Identifier: MIT OR Apache-2.0

use super::*;
extern crate std;
use fdt::Fdt;
use proptest::prelude::*;
use std::string::ToString;
use std::vec;
use std::vec::Vec;

const DISK: Device = Device {
    name: "virtio_mmio",
    registers: &[(Ipa(0x0a00_3e00), 0x200)],
    interrupts: &[(79, true), (80, false)],
    clocks: &[],
    properties: &[("compatible", b"virtio,mmio\0"), ("dma-coherent", &[])],
    pci: None,
};
/// Parts of QEMU's.
const BRIDGE: Device = Device {
    name: "pcie",
    registers: &[(Ipa(0x40_1000_0000), 0x1000_0000)],
    interrupts: &[],
    clocks: &[],
    properties: &[],
    pci: Some(PciHost {
        buses: (0, 255),
        windows: &[
            PciWindow {
                space: 0x0100_0000,
                bus: 0,
                start: Ipa(0x3eff_0000),
                size: 0x1_0000,
            },
            PciWindow {
                space: 0x0200_0000,
                bus: 0x80_1000_0000,
                start: Ipa(0x1000_0000),
                size: 0x1_2eff_0000,
            },
        ],
        pins: &[
            PciPin {
                key: [0x800, 0, 0, 1],
                interrupt: (36, false),
            },
            PciPin {
                key: [0x1000, 0, 0, 2],
                interrupt: (40, true),
            },
        ],
        pin_mask: [0x1800, 0, 0, 7],
        coherent: true,
    }),
};
const RAM: (Ipa, u64) = (platform::RAM_BASE, 512 << 20);

fn guest() -> GuestTree<'static> {
    GuestTree {
        vcpus: 2,
        ram: &[RAM],
        bootargs: "console=ttyAMA0 quiet",
        initrd: Some((Ipa(0x4800_0000), Ipa(0x4870_1234))),
        gic: GicVersion::V3,
        conduit: Conduit::Smc,
        tee: Some(Tee {
            interrupt: Some(platform::OPTEE_INTID),
        }),
        devices: &[],
        watchdog: true,
        timer_frequency: None,
    }
}

/// Returns the bytes of a property of the tree built for `guest`.
fn property(guest: &GuestTree, path: &str, name: &str) -> Option<Vec<u8>> {
    property_of(build(guest).unwrap().bytes(), path, name)
}

fn property_of(blob: &[u8], path: &str, name: &str) -> Option<Vec<u8>> {
    let tree = Fdt::new_unaligned_fallible(blob).unwrap();
    let node = tree.find_node(path).unwrap()?;
    node.raw_property(name)
        .unwrap()
        .map(|property| property.value.to_vec())
}

fn cells(values: &[u32]) -> Option<Vec<u8>> {
    Some(
        values
            .iter()
            .flat_map(|value| value.to_be_bytes())
            .collect(),
    )
}

fn text(value: &str) -> Option<Vec<u8>> {
    Some([value.as_bytes(), b"\0"].concat())
}

#[test]
fn the_platform_is_where_the_address_map_says() {
    let guest = guest();
    let gic = "/interrupt-controller@8000000";
    assert_eq!(
        property(&guest, gic, "reg"),
        cells(&[0, 0x0800_0000, 0, 0x1_0000, 0, 0x080a_0000, 0, 0x4_0000])
    );
    assert_eq!(property(&guest, gic, "compatible"), text("arm,gic-v3"));
    assert_eq!(
        property(&guest, "/pl011@9000000", "reg"),
        cells(&[0, 0x0900_0000, 0, 0x1000])
    );
    assert_eq!(
        property(&guest, "/pl011@9000000", "interrupts"),
        cells(&[0, 1, 4])
    );
    assert_eq!(
        property(&guest, "/memory@40000000", "reg"),
        cells(&[0, 0x4000_0000, 0, 0x2000_0000])
    );
    assert_eq!(
        property(&guest, "/timer", "interrupts"),
        cells(&[1, 13, 4, 1, 14, 4, 1, 11, 4, 1, 10, 4])
    );
}

#[test]
fn a_gicv2_has_a_cpu_interface() {
    let guest = GuestTree {
        gic: GicVersion::V2,
        ..guest()
    };
    let gic = "/interrupt-controller@8000000";
    assert_eq!(
        property(&guest, gic, "reg"),
        cells(&[0, 0x0800_0000, 0, 0x1_0000, 0, 0x0801_0000, 0, 0x2000])
    );
    assert_eq!(
        property(&guest, gic, "compatible"),
        text("arm,cortex-a15-gic")
    );
}

#[test]
fn the_watchdog_is_there_only_if_given() {
    let node = "/watchdog@8200000";
    assert_eq!(
        property(&guest(), node, "compatible"),
        text("arm,sbsa-gwdt")
    );
    assert_eq!(
        property(&guest(), node, "reg"),
        cells(&[0, 0x0820_0000, 0, 0x1000, 0, 0x0821_0000, 0, 0x1000])
    );
    assert_eq!(property(&guest(), node, "interrupts"), cells(&[0, 3, 4]));
    let without = GuestTree {
        watchdog: false,
        ..guest()
    };
    assert_eq!(property(&without, node, "compatible"), None);
}

#[test]
fn the_tee_is_there_only_if_given() {
    let guest = guest();
    assert_eq!(
        property(&guest, "/firmware/optee", "compatible"),
        text("linaro,optee-tz")
    );
    assert_eq!(property(&guest, "/firmware/optee", "method"), text("smc"));
    assert_eq!(
        property(&guest, "/firmware/optee", "interrupts"),
        cells(&[0, 2, 1])
    );
    let silent = GuestTree {
        tee: Some(Tee { interrupt: None }),
        ..guest
    };
    assert_eq!(property(&silent, "/firmware/optee", "interrupts"), None);
    let without = GuestTree { tee: None, ..guest };
    assert_eq!(property(&without, "/firmware", "compatible"), None);
    assert_eq!(property(&without, "/firmware/optee", "compatible"), None);
}

#[test]
fn both_calls_use_the_conduit() {
    let guest = GuestTree {
        conduit: Conduit::Hvc,
        ..guest()
    };
    assert_eq!(property(&guest, "/psci", "method"), text("hvc"));
    assert_eq!(property(&guest, "/firmware/optee", "method"), text("hvc"));
}

#[test]
fn chosen_holds_what_the_guest_starts_with() {
    let guest = guest();
    let chosen = |name| property(&guest, "/chosen", name);
    assert_eq!(chosen("bootargs"), text("console=ttyAMA0 quiet"));
    assert_eq!(chosen("stdout-path"), text("/pl011@9000000"));
    assert_eq!(chosen("linux,initrd-start"), cells(&[0, 0x4800_0000]));
    assert_eq!(chosen("linux,initrd-end"), cells(&[0, 0x4870_1234]));
    let plain = GuestTree {
        initrd: None,
        ..guest
    };
    assert_eq!(property(&plain, "/chosen", "linux,initrd-start"), None);
}

/// Returns the tree as a start lays it.
fn started(guest: &GuestTree, seed: &[u8; 64], has_tee: bool) -> Vec<u8> {
    let template = build(guest).unwrap();
    let mut blob = template.bytes().to_vec();
    for (at, bytes) in template.patches(seed, has_tee) {
        blob[at..at + bytes.len()].copy_from_slice(bytes);
    }
    blob
}

fn seed() -> [u8; 64] {
    core::array::from_fn(|n| 0x80 + n as u8)
}

#[test]
fn each_start_has_its_seeds() {
    let blob = started(&guest(), &seed(), true);
    let chosen = |name| property_of(&blob, "/chosen", name);
    assert_eq!(chosen("rng-seed"), Some(seed().to_vec()));
    assert_eq!(chosen("kaslr-seed"), Some(seed()[56..].to_vec()));
    assert_eq!(chosen("bootargs"), text("console=ttyAMA0 quiet"));
}

#[test]
fn a_start_without_optee_has_no_node_of_it_and_all_others() {
    for interrupt in [None, Some(platform::OPTEE_INTID)] {
        let guest = GuestTree {
            tee: Some(Tee { interrupt }),
            devices: &[DISK],
            ..guest()
        };
        let names = |blob: &[u8]| -> Vec<_> {
            let tree = Fdt::new_unaligned_fallible(blob).unwrap();
            let root = tree.find_node("/").unwrap().unwrap();
            let nodes = root.children().unwrap().iter();
            nodes
                .map(|node| node.unwrap().name().unwrap().name.to_string())
                .collect()
        };
        let with = started(&guest, &seed(), true);
        let without = started(&guest, &seed(), false);
        assert!(property_of(&with, "/firmware/optee", "method").is_some());
        assert_eq!(property_of(&without, "/firmware/optee", "method"), None);
        let mut expected = names(&with);
        expected.retain(|name| name != "firmware");
        assert_eq!(names(&without), expected);
        // One that never has OP-TEE has nothing to hide.
        let never = GuestTree { tee: None, ..guest };
        assert_eq!(build(&never).unwrap().patches(&seed(), false).count(), 2);
    }
}

#[test]
fn a_device_of_the_board_is_the_guests() {
    let guest = GuestTree {
        devices: &[DISK],
        ..guest()
    };
    let disk = |name| property(&guest, "/virtio_mmio@a003e00", name);
    assert_eq!(disk("compatible"), text("virtio,mmio"));
    assert_eq!(disk("dma-coherent"), Some(vec![]));
    assert_eq!(disk("reg"), cells(&[0, 0x0a00_3e00, 0, 0x200]));
    assert_eq!(disk("interrupts"), cells(&[0, 47, 1, 0, 48, 4]));
    let silent = Device {
        interrupts: &[],
        ..DISK
    };
    let guest = GuestTree {
        devices: &[silent],
        ..guest
    };
    assert_eq!(property(&guest, "/virtio_mmio@a003e00", "interrupts"), None);
}

#[test]
fn a_pci_host_bridge_is_the_guests() {
    let built = |host: PciHost, name: &str| {
        let bridge = Device {
            pci: Some(host),
            ..BRIDGE
        };
        let guest = GuestTree {
            devices: &[bridge],
            ..guest()
        };
        property(&guest, "/pcie@4010000000", name)
    };
    let host = BRIDGE.pci.unwrap();
    let value = |name| built(host, name);
    assert_eq!(value("compatible"), text("pci-host-ecam-generic"));
    assert_eq!(value("device_type"), text("pci"));
    assert_eq!(value("reg"), cells(&[0x40, 0x1000_0000, 0, 0x1000_0000]));
    assert_eq!(value("bus-range"), cells(&[0, 255]));
    assert_eq!(value("#address-cells"), cells(&[3]));
    assert_eq!(value("#size-cells"), cells(&[2]));
    let windows = [
        [0x0100_0000, 0, 0, 0, 0x3eff_0000, 0, 0x1_0000],
        [
            0x0200_0000,
            0x80,
            0x1000_0000,
            0,
            0x1000_0000,
            1,
            0x2eff_0000,
        ],
    ];
    assert_eq!(value("ranges"), cells(windows.as_flattened()));
    // The parent has no unit address, and its specifiers have three cells: SPIs 4 and 8.
    let gic = property(&guest(), "/interrupt-controller@8000000", "phandle").unwrap();
    let gic = u32::from_be_bytes(gic.try_into().unwrap());
    let pins = [
        [0x800, 0, 0, 1, gic, 0, 4, 4],
        [0x1000, 0, 0, 2, gic, 0, 8, 1],
    ];
    assert_eq!(value("interrupt-map"), cells(pins.as_flattened()));
    assert_eq!(value("interrupt-map-mask"), cells(&[0x1800, 0, 0, 7]));
    assert_eq!(value("#interrupt-cells"), cells(&[1]));
    assert_eq!(value("dma-coherent"), Some(vec![]));
    for absent in ["interrupts", "msi-map", "msi-parent", "iommu-map", "clocks"] {
        assert_eq!(value(absent), None, "{absent}");
    }
    let coherent = false;
    let other = PciHost { coherent, ..host };
    assert_eq!(built(other, "dma-coherent"), None);
    let unwired = PciHost { pins: &[], ..host };
    for absent in ["interrupt-map", "interrupt-map-mask", "#interrupt-cells"] {
        assert_eq!(built(unwired, absent), None, "{absent}");
    }
    assert_eq!(built(unwired, "dma-coherent"), Some(vec![]));
}

/// Two devices share a clock; each names its own in its own order.
#[test]
fn fixed_clocks_of_devices_come_along() {
    let fast = Device {
        name: "fast",
        clocks: &[48_000_000, 1_000_000],
        ..DISK
    };
    let slow = Device {
        name: "slow",
        clocks: &[1_000_000],
        ..DISK
    };
    let guest = GuestTree {
        devices: &[fast, slow],
        ..guest()
    };
    let clock = |path| property(&guest, path, "phandle").unwrap();
    let [high, low] = ["/clock-48000000", "/clock-1000000"].map(clock);
    assert_eq!(
        property(&guest, "/clock-48000000", "clock-frequency"),
        cells(&[48_000_000])
    );
    assert_eq!(
        property(&guest, "/fast@a003e00", "clocks"),
        Some([high.clone(), low.clone()].concat())
    );
    assert_eq!(
        property(&guest, "/slow@a003e00", "clocks"),
        Some(low.clone())
    );
    assert!(high != low && low != clock("/apb-pclk"));
    let disk = GuestTree {
        devices: &[DISK],
        ..guest
    };
    assert_eq!(property(&disk, "/virtio_mmio@a003e00", "clocks"), None);
}

#[test]
fn a_wrong_timer_frequency_is_overridden() {
    assert_eq!(property(&guest(), "/timer", "clock-frequency"), None);
    let guest = GuestTree {
        timer_frequency: Some(62_500_000),
        ..guest()
    };
    assert_eq!(
        property(&guest, "/timer", "clock-frequency"),
        cells(&[62_500_000])
    );
}

#[test]
fn every_vcpu_is_started_by_psci() {
    let guest = GuestTree {
        vcpus: 8,
        ..guest()
    };
    for number in 0..8 {
        let cpu = std::format!("/cpus/cpu@{number}");
        assert_eq!(property(&guest, &cpu, "reg"), cells(&[number]));
        assert_eq!(property(&guest, &cpu, "enable-method"), text("psci"));
    }
    assert_eq!(property(&guest, "/cpus/cpu@8", "reg"), None);
}

#[test]
fn phandles_lead_to_their_nodes() {
    let guest = guest();
    let phandle = property(&guest, "/interrupt-controller@8000000", "phandle");
    assert_eq!(property(&guest, "/", "interrupt-parent"), phandle);
    let clock = property(&guest, "/apb-pclk", "phandle").unwrap();
    assert_eq!(
        property(&guest, "/pl011@9000000", "clocks"),
        Some(clock.repeat(2))
    );
}

#[test]
fn what_cannot_be_a_guest_is_refused() {
    let wrong = [
        (
            GuestTree {
                vcpus: 0,
                ..guest()
            },
            Error::Vcpus,
        ),
        (
            GuestTree {
                vcpus: 9,
                ..guest()
            },
            Error::Vcpus,
        ),
        (
            GuestTree {
                ram: &[],
                ..guest()
            },
            Error::Ram,
        ),
        (
            GuestTree {
                ram: &[RAM, (Ipa(0), 0)],
                ..guest()
            },
            Error::Ram,
        ),
        (
            GuestTree {
                ram: &[(Ipa(u64::MAX), 2)],
                ..guest()
            },
            Error::Ram,
        ),
        (
            GuestTree {
                tee: Some(Tee {
                    interrupt: Some(31),
                }),
                ..guest()
            },
            Error::Interrupt,
        ),
        (
            GuestTree {
                tee: Some(Tee {
                    interrupt: Some(96),
                }),
                ..guest()
            },
            Error::Interrupt,
        ),
        (
            GuestTree {
                devices: &[Device {
                    interrupts: &[(31, true)],
                    ..DISK
                }],
                ..guest()
            },
            Error::Interrupt,
        ),
        (
            GuestTree {
                devices: &[Device {
                    pci: Some(PciHost {
                        pins: &[PciPin {
                            key: [0; 4],
                            interrupt: (96, false),
                        }],
                        ..BRIDGE.pci.unwrap()
                    }),
                    ..BRIDGE
                }],
                ..guest()
            },
            Error::Interrupt,
        ),
        (
            GuestTree {
                devices: &[Device {
                    registers: &[],
                    ..DISK
                }],
                ..guest()
            },
            Error::Device,
        ),
        (
            GuestTree {
                bootargs: "a\0b",
                ..guest()
            },
            Error::Bootargs,
        ),
    ];
    for (guest, error) in wrong {
        assert_eq!(build(&guest), Err(error), "{error}");
    }
}

/// The device tree compiler knows of mistakes that a parser does not: units, cells, references.
#[test]
fn dtc_has_nothing_to_warn_of() {
    use std::io::Write;
    use std::process::{Command, Stdio};
    for (gic, has_tee) in [(GicVersion::V2, true), (GicVersion::V3, false)] {
        let mut dtc = Command::new("dtc");
        dtc.args(["-I", "dtb", "-O", "dtb", "-o", "/dev/null", "-"]);
        let Ok(mut dtc) = dtc.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn() else {
            std::eprintln!("dtc is not installed: nothing was checked");
            return;
        };
        let tree = GuestTree {
            gic,
            devices: &[
                Device {
                    clocks: &[2, 1],
                    ..DISK
                },
                BRIDGE,
            ],
            timer_frequency: Some(1),
            ..guest()
        };
        let blob = started(&tree, &seed(), has_tee);
        dtc.stdin.take().unwrap().write_all(&blob).unwrap();
        let output = dtc.wait_with_output().unwrap();
        let messages = std::string::String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && messages.is_empty(), "{messages}");
    }
}

proptest! {
    #[test]
    fn any_guest_has_a_tree_or_an_error(
        vcpus in any::<u8>(),
        ram in prop::collection::vec((any::<u64>(), any::<u64>()), 0..5),
        bootargs in any::<std::string::String>(),
        interrupt in any::<Option<u32>>(),
        v3 in any::<bool>(),
    ) {
        let ram: Vec<_> = ram.into_iter().map(|(start, size)| (Ipa(start), size)).collect();
        let gic = if v3 { GicVersion::V3 } else { GicVersion::V2 };
        let tee = Some(Tee { interrupt });
        let guest = GuestTree { vcpus, ram: &ram, bootargs: &bootargs, gic, tee, ..guest() };
        match build(&guest) {
            Ok(template) => {
                let tree = Fdt::new_unaligned_fallible(template.bytes()).unwrap();
                let memory = tree.root().unwrap().memory().unwrap();
                prop_assert!(memory.reg().unwrap().iter::<u64, u64>().next().is_some());
            }
            Err(error) => prop_assert!(error != Error::Writer, "{}", error.to_string()),
        }
    }
}
