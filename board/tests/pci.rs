// SPDX-License-Identifier: MIT OR Apache-2.0

//! PCI host bridges that a guest can be given.
mod fixtures;

use addr::{Pa, PaRange};
use board::*;
use fixtures::{Node, node, qemu_virt_smmu};
use proptest::prelude::*;

const AT: Pa = Pa(0x4a00_0000);
const BRIDGE: &str = "/pcie@10000000";
/// The end of a guest's addresses on cores with 39 bits of them or more.
const END: Pa = Pa(1 << 39);

fn range(start: u64, size: u64) -> PaRange {
    PaRange::new(Pa(start), size).unwrap()
}

/// Makes `change` to the bridge's node.
fn changed(change: impl FnOnce(Node) -> Node) -> Node {
    qemu_virt_smmu().with("pcie@10000000", change)
}

fn look<T>(tree: &Node, name: &str, act: impl FnOnce(Device) -> T) -> Result<T, DeviceError> {
    let blob = tree.blob();
    let board = Board::from_tree(&blob, AT).unwrap();
    board.device(&blob, name).map(act)
}

fn host(tree: &Node) -> Result<PciHost, DeviceError> {
    look(tree, BRIDGE, |device| device.pci.unwrap())
}

fn refused(change: impl FnOnce(Node) -> Node) -> DeviceError {
    host(&changed(change)).unwrap_err()
}

#[test]
fn qemus_bridge_is_read_whole() {
    let window = |space, bus, size| PciWindow {
        space,
        bus,
        cpu: range(if bus == 0 { 0x3eff_0000 } else { bus }, size),
    };
    let windows = [
        window(0x0100_0000, 0, 0x1_0000),
        window(0x0200_0000, 0x1000_0000, 0x2eff_0000),
        window(0x0300_0000, 0x80_0000_0000, 0x80_0000_0000),
    ];
    let ecam = range(0x40_1000_0000, 0x1000_0000);
    look(&qemu_virt_smmu(), BRIDGE, |device| {
        let mut all = vec![ecam];
        all.extend(windows.map(|window| window.cpu));
        assert_eq!(device.registers[..], all);
        assert_eq!(device.pages()[..], all);
        let intids: Vec<_> = device.interrupts.iter().map(|i| i.intid).collect();
        assert_eq!(intids, [35, 36, 37, 38]);
        assert!(matches!(device.dma, Dma::Behind(_)));
        let streams = Streams {
            smmu: 0,
            first: 0,
            count: 0x1_0000,
        };
        assert_eq!(device.streams[..], [streams]);
        assert_eq!((device.neighbours, device.clocks.len()), (0, 0));
        let host = device.pci.unwrap();
        assert_eq!(
            (host.ecam, host.buses, host.coherent),
            (ecam, (0, 255), true)
        );
        assert_eq!(host.windows[..], windows);
        assert_eq!(host.pin_mask, [0x1800, 0, 0, 7]);
        assert_eq!(host.pins.len(), 16);
        let pin = |slot: u32, pin, intid| PciPin {
            key: [slot << 11, 0, 0, pin],
            interrupt: Interrupt { intid, edge: false },
        };
        assert_eq!(host.pins[0], pin(0, 1, 35));
        assert_eq!(host.pins[6], pin(1, 3, 38));
        assert_eq!(host.pins[15], pin(3, 4, 37));
    })
    .unwrap();
    assert!(look(&qemu_virt_smmu(), "/smmuv3@9050000", |_| ()).is_err());
}

#[test]
fn what_lies_beyond_the_guests_addresses_is_left_out() {
    let cut = |end: Pa| {
        look(&qemu_virt_smmu(), BRIDGE, |mut device| {
            let lost = device.cut(end)?;
            let windows = device.pci.as_ref().unwrap().windows.clone();
            let cpu: Vec<_> = windows.iter().map(|window| window.cpu).collect();
            assert_eq!(device.registers[1..], cpu);
            Ok::<_, DeviceError>((lost, cpu))
        })
        .unwrap()
    };
    let (io, low) = (
        range(0x3eff_0000, 0x1_0000),
        range(0x1000_0000, 0x2eff_0000),
    );
    assert_eq!(cut(END), Ok((1, vec![io, low])));
    assert_eq!(cut(Pa(1 << 48)).unwrap().0, 0);
    let half = range(0x80_0000_0000, 0x40_0000_0000);
    assert_eq!(cut(Pa(0xc0_0000_0000)), Ok((1, vec![io, low, half])));
    let least = Ok((1, vec![io, low]));
    assert_eq!(cut(Pa(0x40_2000_0000)), least);
    // ECAM is needed whole.
    let error = cut(Pa(0x40_1fff_0000)).unwrap_err();
    let text = "it is a PCI host bridge whose ECAM, or all 32-bit memory, lies beyond the guest address space";
    assert_eq!(error.to_string(), text);
    let high = |node: Node| {
        let ranges = [0x0200_0000, 0, 0x1000_0000, 0x80, 0x1000_0000, 0, 0x1000];
        node.cells("ranges", &ranges)
    };
    let high = look(&changed(high), BRIDGE, |mut device| device.cut(END)).unwrap();
    assert_eq!(high, Err(error));
    let uncut = look(&qemu_virt_smmu(), "/smmuv3@9050000", |_| ());
    assert!(uncut.is_err());
}

#[test]
fn ecam_has_a_mebibyte_for_each_bus() {
    let ecam = |buses: Option<[u32; 2]>, size: u32| {
        let change = |node: Node| {
            let node = node.cells("reg", &[0x40, 0x1000_0000, 0, size]);
            match buses {
                Some(buses) => node.cells("bus-range", &buses),
                None => node.without("bus-range"),
            }
        };
        host(&changed(change)).map(|host| (host.ecam.size >> 20, host.buses))
    };
    assert_eq!(ecam(Some([0, 15]), 0x100_0000), Ok((16, (0, 15))));
    // The first bus is where ECAM begins; what is behind the last one's is not the bridge's.
    assert_eq!(ecam(Some([8, 15]), 0x100_0000), Ok((8, (8, 15))));
    assert_eq!(ecam(None, 0x100_0000), Ok((16, (0, 15))));
    assert_eq!(ecam(None, 0x2000_0000), Ok((256, (0, 255))));
    let error = ecam(Some([0, 16]), 0x100_0000);
    let text =
        "it is a PCI host bridge whose bus-range is damaged, or reg is not ECAM for all of it";
    assert_eq!(error.unwrap_err().to_string(), text);
    for buses in [[1, 0], [0, 256]] {
        assert_eq!(ecam(Some(buses), 0x1000_0000), error);
    }
    assert_eq!(ecam(None, 0xf_ffff), error);
    assert_eq!(refused(|node| node.without("reg")), error.unwrap_err());
    let odd = refused(|node| node.cells("reg", &[0x40, 0x1000_0800, 0, 0x1000_0000]));
    assert!(matches!(odd, DeviceError::Bridge(_)));
}

#[test]
fn other_bridges_are_refused_with_what_they_lack() {
    let designware = refused(|node| node.text("compatible", "snps,dw-pcie"));
    assert_eq!(designware, DeviceError::NotEcam);
    assert_eq!(
        designware.to_string(),
        "it is a PCI host bridge without plain ECAM (pci-host-ecam-generic), which a guest can't drive without what it \
         is made of beside: clocks, resets, a PHY"
    );
    let vendors =
        |node: Node| node.bytes("compatible", b"arm,juno-r1-pcie\0pci-host-ecam-generic\0");
    assert!(host(&changed(vendors)).is_ok());
    for (name, value) in [("#address-cells", 2), ("#size-cells", 1)] {
        let error = refused(|node| node.cells(name, &[value]));
        assert!(error.to_string().contains("3 and 2"));
    }
    let bus = changed(|node| node.without("device_type"));
    assert_eq!(look(&bus, BRIDGE, |_| ()), Err(DeviceError::Bus));
}

#[test]
fn windows_that_cannot_be_given_are_refused() {
    let window =
        |space: u32, at: [u32; 2], size: u32| [space, 0, 0x1000_0000, at[0], at[1], 0, size];
    let memory = window(0x0200_0000, [0, 0x1000_0000], 0x1000);
    let with = |others: &[[u32; 7]]| {
        let ranges = [&[memory], others].concat();
        host(&changed(|node| node.cells("ranges", ranges.as_flattened())))
            .map(|host| host.windows.len())
    };
    assert_eq!(with(&[]), Ok(1));
    assert_eq!(with(&[memory; MAX_WINDOWS - 1]), Ok(MAX_WINDOWS));
    let damaged = with(&[memory; MAX_WINDOWS]);
    assert!(matches!(damaged, Err(DeviceError::Bridge(_))));
    for odd in [
        [0x1000_0800, 0x1000],
        [0x1000_0000, 0x800],
        [0x1000_0000, 0],
    ] {
        assert_eq!(with(&[window(0x0200_0000, [0, odd[0]], odd[1])]), damaged);
    }
    assert_eq!(
        with(&[window(0x0200_0000, [u32::MAX, 0xffff_f000], 0x1000)]),
        damaged
    );
    // What is no memory or I/O space is none of the guest's.
    assert_eq!(with(&[window(0, [0, 0x0800_0000], 0x1000)]), Ok(1));
    assert_eq!(
        refused(|node| node.cells("ranges", &memory[..6])),
        damaged.unwrap_err()
    );
    assert!(matches!(
        refused(|node| node.without("ranges")),
        DeviceError::Bridge(_)
    ));
    let at = |at: u32| with(&[window(0x0200_0000, [0, at], 0x1000)]).unwrap_err();
    assert_eq!(at(0x5000_0000), DeviceError::Memory);
    assert_eq!(at(0x0e10_0000), DeviceError::Memory);
    assert_eq!(
        at(0x0800_0000),
        DeviceError::Hypervisor("interrupt controller")
    );
    assert_eq!(at(0x0900_0000), DeviceError::Hypervisor("console"));
    assert_eq!(at(0x0906_0000), DeviceError::Hypervisor("IOMMU"));
    assert!(matches!(at(0x0904_0000), DeviceError::SecureNeighbour(_)));
    let in_ram = refused(|node| node.cells("reg", &[0, 0x5000_0000, 0, 0x1000_0000]));
    assert_eq!(in_ram, DeviceError::Memory);
}

/// A bus between has addresses of its own.
#[test]
fn windows_are_translated_by_the_buses_above() {
    let tree = qemu_virt_smmu();
    let bridge = tree.clone().at("pcie@10000000").clone();
    let bridge = bridge.cells("reg", &[0x1000_0000, 0x1000_0000]).cells(
        "ranges",
        &[0x0200_0000, 0, 0x4000_0000, 0x2000_0000, 0, 0x1000],
    );
    let soc = node("soc")
        .cells("#address-cells", &[1])
        .cells("#size-cells", &[1])
        .cells("ranges", &[0x1000_0000, 0x40, 0x1000_0000, 0x4000_0000])
        .child(bridge);
    let tree = tree.drop("/pcie@10000000").child(soc);
    let host = look(&tree, "/soc/pcie@10000000", |device| device.pci.unwrap()).unwrap();
    assert_eq!(host.ecam, range(0x40_1000_0000, 0x1000_0000));
    let window = PciWindow {
        space: 0x0200_0000,
        bus: 0x4000_0000,
        cpu: range(0x40_2000_0000, 0x1000),
    };
    assert_eq!(host.windows[..], [window]);
}

#[test]
fn pins_that_lead_elsewhere_than_to_spis_are_refused() {
    let pin = |slot: u32, number: u32| [slot << 11, 0, 0, 1, 0x8005, 0, 0, 0, number, 4];
    let pins = |list: &[[u32; 10]]| {
        host(&changed(|node| {
            node.cells("interrupt-map", list.as_flattened())
        }))
        .map(|host| host.pins.len())
    };
    let many: Vec<_> = (0..MAX_PINS as u32 + 1)
        .map(|slot| pin(slot, slot % 8 + 20))
        .collect();
    assert_eq!(pins(&many[..MAX_PINS]), Ok(MAX_PINS));
    let bad = Err(DeviceError::Interrupts);
    assert_eq!(pins(&many), bad);
    let nine: Vec<_> = (0..9).map(|slot| pin(slot, slot + 20)).collect();
    assert_eq!(pins(&nine[..8]), Ok(8));
    assert_eq!(pins(&nine), bad);
    let change = |at: usize, cell: u32| {
        let mut one = pin(0, 20);
        one[at] = cell;
        pins(&[pin(1, 21), one])
    };
    assert_eq!(change(4, 0x8006), bad);
    assert_eq!(change(7, 1), bad);
    assert_eq!(change(8, 988), bad);
    // What the hypervisor uses.
    assert_eq!(change(8, 74), Err(DeviceError::OwnInterrupt(106)));
    assert_eq!(change(8, 1), Err(DeviceError::OwnInterrupt(33)));
    let damaged: [fn(Node) -> Node; 4] = [
        |node| node.cells("interrupt-map", &[0, 0, 0, 1, 0x8005, 0, 0, 0, 20]),
        |node| node.cells("interrupt-map-mask", &[0x1800, 0, 0]),
        |node| node.cells("#interrupt-cells", &[2]),
        |node| node.without("#interrupt-cells"),
    ];
    for change in damaged {
        assert_eq!(refused(change), DeviceError::Interrupts);
    }
    let none = host(&changed(|node| node.without("interrupt-map"))).unwrap();
    assert!(none.pins.is_empty());
}

#[test]
fn a_pins_address_is_kept_as_far_as_it_is_compared() {
    let keys = |mask: Option<[u32; 4]>| {
        let change = |node: Node| {
            let node = node.cells("interrupt-map", &[0xf800, 1, 2, 9, 0x8005, 0, 0, 0, 3, 1]);
            match mask {
                Some(mask) => node.cells("interrupt-map-mask", &mask),
                None => node.without("interrupt-map-mask"),
            }
        };
        let host = host(&changed(change)).unwrap();
        assert!(host.pins[0].interrupt.edge);
        (host.pins[0].key, host.pin_mask)
    };
    assert_eq!(
        keys(Some([0x1800, 0, 0, 7])),
        ([0x1800, 0, 0, 1], [0x1800, 0, 0, 7])
    );
    assert_eq!(keys(None), ([0xf800, 1, 2, 9], [u32::MAX; 4]));
}

#[test]
fn what_is_in_a_window_goes_with_the_bridge() {
    let inside = node("flash@20000000")
        .text("compatible", "vendor,flash")
        .cells("reg", &[0, 0x2000_0000, 0, 0x1000])
        .cells("interrupts", &[0, 40, 4]);
    let blob = qemu_virt_smmu().child(inside).blob();
    let board = Board::from_tree(&blob, AT).unwrap();
    let bridge = board.device(&blob, BRIDGE).unwrap();
    let flash = board.device(&blob, "/flash@20000000").unwrap();
    assert_eq!(bridge.neighbours, 1);
    assert!(matches!(bridge.dma, Dma::Unknown(name) if &*name == "flash"));
    let mut given = AssignedDevices::default();
    assert_eq!(given.give(2, &bridge).unwrap()[..], bridge.pages()[..]);
    assert_eq!(given.give(2, &flash).unwrap()[..], []);
    let mut given = AssignedDevices::default();
    given.give(2, &bridge).unwrap();
    assert_eq!(given.give(1, &flash), Err(DeviceError::Given(2)));
    // The other way round, the window comes in pieces.
    let mut given = AssignedDevices::default();
    given.give(2, &flash).unwrap();
    assert_eq!(given.give(2, &bridge).unwrap().len(), 5);
}

#[test]
fn a_bridge_that_no_smmu_holds_is_known_to_master_the_bus() {
    let dma =
        |change: fn(Node) -> Node| look(&changed(change), BRIDGE, |device| device.dma).unwrap();
    let unheld: [fn(Node) -> Node; 3] = [
        |node| node.without("iommu-map"),
        |node| node.without("iommu-map").without("dma-coherent"),
        |node| node.cells("iommu-map", &[8, 0x8006, 8, 0xfff8]),
    ];
    for change in unheld {
        assert!(matches!(dma(change), Dma::Yes(_)));
    }
    let coherent = |change: fn(Node) -> Node| host(&changed(change)).unwrap().coherent;
    assert!(!coherent(|node| node.without("dma-coherent")));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn a_damaged_bridge_is_given_within_bounds_or_refused(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        end in 32_u32..49,
    ) {
        let good = qemu_virt_smmu().blob();
        let board = Board::from_tree(&good, AT).unwrap();
        let mut blob = good.clone();
        let start = good.windows(6).position(|bytes| bytes == b"pcie@1").unwrap();
        for (at, byte) in changes {
            let at = start + at.index(1200);
            blob[at] = byte;
        }
        let end = Pa(1 << end);
        let Ok(mut device) = board.device(&blob, BRIDGE) else {
            return Ok(());
        };
        for pages in device.pages() {
            prop_assert!(board.memory.iter().all(|memory| !memory.overlaps(&pages)));
            prop_assert!(board.frames().all(|frame| !frame.overlaps(&pages)));
        }
        if device.pci.is_some() && device.cut(end).is_ok() {
            let host = device.pci.as_ref().unwrap();
            prop_assert!(device.pages()[..] == device.registers[..]);
            prop_assert!(device.pages().iter().all(|pages| pages.end() <= end));
            let buses = u64::from(host.buses.1 - host.buses.0) + 1;
            prop_assert_eq!(host.ecam.size, buses << 20);
            for pin in &host.pins {
                let known = device.interrupts.iter().any(|other| other.intid == pin.interrupt.intid);
                prop_assert!(known && pin.interrupt.intid >= 32);
            }
        }
    }
}
