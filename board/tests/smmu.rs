// SPDX-License-Identifier: MIT OR Apache-2.0

//! Which SMMUs there are, and what is behind them.
mod fixtures;

use addr::{Pa, PaRange};
use board::*;
use fixtures::{Node, node, qemu_virt, smmu};
use proptest::prelude::*;

const AT: Pa = Pa(0x4a00_0000);
const DEVICE: &str = "/disk@b000000";
const BRIDGE: &str = "pcie@b000100";
const SMMU: &str = "smmuv3@9050000";

fn range(start: u64, size: u64) -> PaRange {
    PaRange::new(Pa(start), size).unwrap()
}

/// Returns virt with two SMMUs and a device, and what `change` makes of the device.
fn with_device(change: impl FnOnce(Node) -> Node) -> Node {
    let device = node("disk@b000000")
        .text("compatible", "vendor,disk")
        .cells("reg", &[0, 0x0b00_0000, 0, 0x100]);
    let second = smmu(0x0908_0000, 0x91).without("interrupts");
    qemu_virt()
        .child(smmu(0x0905_0000, 0x81))
        .child(second)
        .child(change(device))
}

fn boards(tree: &Node) -> Board {
    Board::from_tree(&tree.blob(), AT).unwrap()
}

fn look<T>(tree: &Node, name: &str, act: impl FnOnce(Device) -> T) -> Result<T, DeviceError> {
    let blob = tree.blob();
    let board = Board::from_tree(&blob, AT).unwrap();
    board.device(&blob, name).map(act)
}

fn run(smmu: usize, first: u32, count: u32) -> Streams {
    Streams { smmu, first, count }
}

/// Returns what is known of the DMA in the device's page, and the streams.
fn masters(tree: &Node) -> (Dma, Vec<Streams>) {
    look(tree, DEVICE, |device| (device.dma, device.streams.to_vec())).unwrap()
}

fn is_behind(tree: &Node) -> bool {
    match masters(tree).0 {
        Dma::Behind(_) => true,
        Dma::Yes(_) => false,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_smmu_is_read_as_its_node_has_it() {
    let board = boards(&with_device(|node| node));
    let at = |smmu: &Smmu| smmu.registers;
    let all: Vec<_> = board.smmus.iter().map(at).collect();
    assert_eq!(
        all,
        [range(0x0905_0000, 0x2_0000), range(0x0908_0000, 0x2_0000)]
    );
    let interrupt = |intid| Some(Interrupt { intid, edge: true });
    let smmu = board.smmus[0];
    assert_eq!((smmu.events, smmu.errors), (interrupt(106), interrupt(109)));
    assert!(smmu.coherent);
    assert!(board.frames().any(|frame| frame == smmu.registers));
    assert!(boards(&qemu_virt()).smmus.is_empty());
}

/// Returns what is read of the first SMMU as `change` makes it, which is left out if another is first.
fn changed(change: impl FnOnce(Node) -> Node) -> Option<Smmu> {
    let board = boards(&with_device(|node| node).with(SMMU, change));
    let first = board.smmus.first().copied();
    first.filter(|smmu| smmu.registers.start != Pa(0x0908_0000))
}

#[test]
fn an_smmus_interrupts_are_found_by_name() {
    let interrupts = |change: fn(Node) -> Node| {
        let smmu = changed(change).unwrap();
        let intid = |interrupt: Option<Interrupt>| interrupt.map(|interrupt| interrupt.intid);
        (intid(smmu.events), intid(smmu.errors))
    };
    let combined = interrupts(|node| {
        node.text("interrupt-names", "combined")
            .cells("interrupts", &[0, 9, 4])
    });
    assert_eq!(combined, (Some(41), Some(41)));
    assert_eq!(
        interrupts(|node| node.without("interrupt-names")),
        (None, None)
    );
    assert_eq!(interrupts(|node| node.without("interrupts")), (None, None));
    let other_order = interrupts(|node| {
        node.bytes("interrupt-names", b"gerror\0eventq\0")
            .cells("interrupts", &[0, 9, 4, 0, 10, 4])
    });
    assert_eq!(other_order, (Some(42), Some(41)));
    // A private one would come to whatever core takes it first.
    let private = interrupts(|node| {
        node.bytes("interrupt-names", b"gerror\0eventq\0")
            .cells("interrupts", &[0, 9, 4, 1, 5, 4])
    });
    assert_eq!(private, (None, Some(41)));
}

#[test]
fn only_the_normal_worlds_own_smmus_count() {
    assert!(changed(|node| node).is_some());
    let incoherent = changed(|node| node.without("dma-coherent")).unwrap();
    assert!(!incoherent.coherent);
    let unlike: [fn(Node) -> Node; 7] = [
        |node| node.text("status", "disabled"),
        |node| node.text("secure-status", "okay"),
        |node| node.text("compatible", "arm,mmu-500"),
        |node| node.cells("#iommu-cells", &[2]),
        |node| node.without("#iommu-cells"),
        |node| node.without("phandle"),
        |node| node.cells("reg", &[0, 0x0905_0000, 0, 0x1_0000]),
    ];
    for (index, change) in unlike.into_iter().enumerate() {
        assert!(changed(change).is_none(), "{index}");
    }
}

#[test]
fn a_ninth_smmu_is_none() {
    let tree = (3..10).fold(with_device(|node| node), |tree, n| {
        tree.child(smmu(0x0c00_0000 + 0x10_0000 * n, 0x90 + n))
    });
    assert_eq!(boards(&tree).smmus.len(), MAX_SMMUS);
    let behind = |phandle: u32| {
        let change = |node: Node| node.cells("iommus", &[phandle, 1]);
        is_behind(&tree.clone().with("disk@b000000", change))
    };
    assert!(behind(0x98));
    assert!(!behind(0x99));
}

#[test]
fn an_smmu_is_the_hypervisors() {
    let own = Err(DeviceError::Hypervisor("IOMMU"));
    let tree = with_device(|node| node);
    assert_eq!(look(&tree, "/smmuv3@9050000", |_| ()), own);
    for at in [0x0905_0000, 0x0906_fffc] {
        let inside = with_device(|node| node.cells("reg", &[0, at, 0, 4]));
        assert_eq!(look(&inside, DEVICE, |_| ()), own, "{at:#x}");
    }
    let behind = with_device(|node| node.cells("reg", &[0, 0x0907_0000, 0, 4]));
    assert_eq!(look(&behind, DEVICE, |_| ()), Ok(()));
    // Of one that is not listed, too.
    let foreign = tree.with(SMMU, |node| node.text("compatible", "arm,mmu-500"));
    assert_eq!(look(&foreign, "/smmuv3@9050000", |_| ()), own);
    for (number, taken) in [(74, true), (77, true), (75, false)] {
        let tree = with_device(|node| node.cells("interrupts", &[0, number, 1]));
        let expected = match taken {
            true => Err(DeviceError::OwnInterrupt(number + 32)),
            false => Ok(()),
        };
        assert_eq!(look(&tree, DEVICE, |_| ()), expected);
    }
}

#[test]
fn a_device_is_behind_smmus_if_all_that_it_names_are_listed() {
    let behind = |iommus: &[u32]| masters(&with_device(|node| node.cells("iommus", iommus)));
    let (dma, streams) = behind(&[0x81, 0x500]);
    assert!(matches!(dma, Dma::Behind(name) if &*name == "disk"));
    assert_eq!(streams, [run(0, 0x500, 1)]);
    let (dma, streams) = behind(&[0x81, 7, 0x91, 8, 0x81, 8, 0x81, u32::MAX]);
    assert!(matches!(dma, Dma::Behind(_)));
    assert_eq!(streams, [run(1, 8, 1), run(0, 7, 2), run(0, u32::MAX, 1)]);
    let others: [&[u32]; 5] = [&[], &[0x81], &[0x83, 1], &[0x8005, 1], &[0x81, 1, 0x83, 2]];
    for iommus in others {
        assert!(matches!(behind(iommus).0, Dma::Yes(_)), "{iommus:x?}");
    }
    assert_eq!(behind(&[0x81, 1, 0x83, 2, 0x81, 3]).1, [run(0, 1, 1)]);
    let v2 = with_device(|node| node.cells("iommus", &[0x81, 1]))
        .with(SMMU, |node| node.text("compatible", "arm,mmu-500"));
    assert_eq!(masters(&v2), (Dma::Yes(arrayvec_name("disk")), vec![]));
    // What the driver of a virtio device does not agree to goes past an SMMU.
    let virtio = with_device(|node| {
        node.text("compatible", "virtio,mmio")
            .cells("iommus", &[0x81, 1])
    });
    assert!(!is_behind(&virtio));
}

fn arrayvec_name(name: &str) -> NodeName {
    NodeName::from(name).unwrap()
}

#[test]
fn the_worst_in_a_page_decides() {
    let beside = |compatible: &str, change: fn(Node) -> Node| {
        let other = node("other@b000800")
            .text("compatible", compatible)
            .cells("reg", &[0, 0x0b00_0800, 0, 4]);
        masters(&with_device(|node| node.cells("iommus", &[0x81, 5])).child(change(other)))
    };
    let (dma, streams) = beside("arm,pl061", |node| node);
    assert!(matches!(dma, Dma::Behind(name) if &*name == "disk"));
    assert_eq!(streams, [run(0, 5, 1)]);
    let (dma, streams) = beside("vendor,card", |node| node.cells("iommus", &[0x81, 6]));
    assert!(matches!(dma, Dma::Behind(_)));
    assert_eq!(streams, [run(0, 5, 2)]);
    let (dma, streams) = beside("vendor,card", |node| node);
    assert!(matches!(dma, Dma::Unknown(name) if &*name == "other"));
    assert_eq!(streams, [run(0, 5, 1)]);
    let (dma, _) = beside("vendor,card", |node| node.bytes("dma-coherent", &[]));
    assert!(matches!(dma, Dma::Yes(name) if &*name == "other"));
    // The device first or not.
    let first = node("a@b000800")
        .bytes("dma-coherent", &[])
        .cells("reg", &[0, 0x0b00_0800, 0, 4]);
    let mut tree = with_device(|node| node.cells("iommus", &[0x81, 5]));
    tree.children.insert(0, first);
    assert!(matches!(masters(&tree).0, Dma::Yes(name) if &*name == "a"));
}

#[test]
fn more_runs_of_streams_than_there_is_room_for_are_refused() {
    let apart = |count: u32| {
        let iommus: Vec<u32> = (0..count).flat_map(|n| [0x81, 2 * n]).collect();
        look(
            &with_device(|node| node.cells("iommus", &iommus)),
            DEVICE,
            |_| (),
        )
    };
    assert_eq!(apart(MAX_STREAMS as u32), Ok(()));
    let error = apart(MAX_STREAMS as u32 + 1).unwrap_err();
    assert!(matches!(error, DeviceError::TooMany(_, MAX_STREAMS)));
}

/// Returns a tree with a PCI host bridge in the device's page.
fn with_bridge(change: impl FnOnce(Node) -> Node) -> Node {
    let bridge = node(BRIDGE)
        .text("device_type", "pci")
        .bytes("dma-coherent", &[])
        .cells("reg", &[0, 0x0b00_0100, 0, 4])
        .cells("bus-range", &[0, 0xff])
        .cells("iommu-map", &[0, 0x81, 0, 0x1_0000]);
    with_device(|node| node.text("compatible", "arm,pl061")).child(change(bridge))
}

#[test]
fn a_bridge_is_behind_smmus_if_all_its_functions_are() {
    let (dma, streams) = masters(&with_bridge(|node| node));
    assert!(matches!(dma, Dma::Behind(name) if &*name == "pcie"));
    assert_eq!(streams, [run(0, 0, 0x1_0000)]);
    let map = |cells: &[u32]| masters(&with_bridge(|node| node.cells("iommu-map", cells)));
    let halves = [0, 0x81, 0x2_0000, 0x8000, 0x8000, 0x81, 0x2_8000, 0x8000];
    let (dma, streams) = map(&halves);
    assert!(matches!(dma, Dma::Behind(_)));
    assert_eq!(streams, [run(0, 0x2_0000, 0x1_0000)]);
    let two = [0x8000, 0x91, 0, 0x8000, 0, 0x81, 0, 0x8000];
    let (dma, streams) = map(&two);
    assert!(matches!(dma, Dma::Behind(_)));
    assert_eq!(streams, [run(1, 0, 0x8000), run(0, 0, 0x8000)]);
    let lacking: [&[u32]; 9] = [
        &[],
        &[0, 0x81, 0, 0xffff],
        &[1, 0x81, 0, 0xffff],
        &[0, 0x81, 0, 0x7fff, 0x8000, 0x81, 0x8000, 0x8000],
        &[0, 0x83, 0, 0x1_0000],
        &[0, 0x81, 0, 0x1_0000, 0],
        &[0, 0x81, 0, 0x1_0000, 0, 0x83, 0, 1],
        &[0, 0x81, u32::MAX, 0x1_0000],
        &[0, 0x81, 0, 0],
    ];
    for cells in lacking {
        assert!(matches!(map(cells).0, Dma::Yes(_)), "{cells:x?}");
    }
    let unlike: [fn(Node) -> Node; 4] = [
        |node| node.without("iommu-map"),
        |node| node.without("iommu-map").cells("iommus", &[0x81, 1]),
        |node| node.cells("iommus", &[0x83, 1]),
        |node| node.text("device_type", "network"),
    ];
    for change in unlike {
        assert!(!is_behind(&with_bridge(change)));
    }
    assert!(is_behind(&with_bridge(
        |node| node.cells("iommus", &[0x91, 1])
    )));
}

#[test]
fn buses_that_a_bridge_does_not_have_need_no_streams() {
    let bridge = |range: &[u32], map: [u32; 4]| {
        is_behind(&with_bridge(|node| {
            node.cells("bus-range", range).cells("iommu-map", &map)
        }))
    };
    assert!(bridge(&[2, 3], [0x200, 0x81, 0, 0x200]));
    assert!(!bridge(&[2, 3], [0x201, 0x81, 0, 0x200]));
    assert!(!bridge(&[2, 3], [0x200, 0x81, 0, 0x1ff]));
    assert!(!bridge(&[3, 2], [0, 0x81, 0, 0x1_0000]));
    assert!(!bridge(&[0, 256], [0, 0x81, 0, 0x1_0000]));
    assert!(!bridge(&[0], [0, 0x81, 0, 0x1_0000]));
    let all = with_bridge(|node| node.without("bus-range"));
    assert!(is_behind(&all));
    let less = all.with(BRIDGE, |node| {
        node.cells("iommu-map", &[0, 0x81, 0, 0xff00])
    });
    assert!(!is_behind(&less));
}

#[test]
fn a_stream_is_given_to_one_guest_alone() {
    let other = |iommus: &[u32]| {
        node("card@b010000")
            .cells("reg", &[0, 0x0b01_0000, 0, 4])
            .cells("iommus", iommus)
    };
    let give = |guest: usize, iommus: &[u32]| {
        let blob = with_device(|node| node.cells("iommus", &[0x81, 4, 0x81, 5]))
            .child(other(iommus))
            .blob();
        let board = Board::from_tree(&blob, AT).unwrap();
        let mut given = AssignedDevices::default();
        let device = |name| board.device(&blob, name).unwrap();
        given.give(3, &device(DEVICE)).unwrap();
        given.give(guest, &device("/card@b010000")).map(|_| ())
    };
    let error = give(1, &[0x81, 5]).unwrap_err();
    assert_eq!(error, DeviceError::GivenStream(3, 5));
    let text = "guest number 3 has a device with the same stream id, 0x5, in its SMMU";
    assert_eq!(error.to_string(), text);
    assert_eq!(give(3, &[0x81, 5]), Ok(()));
    assert_eq!(give(1, &[0x91, 5]), Ok(()));
    assert_eq!(give(1, &[0x81, 6, 0x81, 3]), Ok(()));
    // Though what it does is not known, what it names is.
    assert_eq!(
        give(1, &[0x81, 4, 0x83, 1]),
        Err(DeviceError::GivenStream(3, 4))
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn a_bridge_is_covered_as_each_function_of_its_buses_is(
        first in 0_u32..4,
        buses in 0_u32..4,
        drop in 0_u32..12,
        mask in prop::option::of(Just(())),
        entries in prop::collection::vec((0_u32..9, 0_u32..9, -1_i32..2), 1..5),
    ) {
        let last = first + buses;
        let mask = mask.map(|()| 0xffff << drop & 0xffff);
        let entries: Vec<_> = entries
            .iter()
            .map(|(start, count, odd)| (start * 0x100, (count * 0x100).saturating_add_signed(*odd)))
            .collect();
        let cells: Vec<u32> = entries
            .iter()
            .flat_map(|(start, count)| [*start, 0x81, *start, *count])
            .collect();
        let tree = with_bridge(|node| {
            let node = node.cells("bus-range", &[first, last]).cells("iommu-map", &cells);
            mask.map_or(node.clone(), |mask| node.cells("iommu-map-mask", &[mask]))
        });
        let mapped = |function: u32| {
            let function = function & mask.unwrap_or(u32::MAX);
            entries.iter().any(|(start, count)| (*start..start + count).contains(&function))
        };
        let whole = entries.iter().all(|(_, count)| *count > 0);
        let expected = whole && (first << 8..(last + 1) << 8).all(mapped);
        prop_assert_eq!(is_behind(&tree), expected);
    }

    #[test]
    fn damaged_maps_never_panic(
        iommus in prop::collection::vec(any::<u32>(), 0..9),
        map in prop::collection::vec(prop_oneof![Just(0x81), Just(0), any::<u32>()], 0..99),
        rest in any::<[u32; 3]>(),
    ) {
        let tree = with_bridge(|node| {
            node.cells("iommus", &iommus)
                .cells("iommu-map", &map)
                .cells("bus-range", &rest[..2])
                .cells("iommu-map-mask", &rest[2..])
        });
        if let Ok(streams) = look(&tree, DEVICE, |device| device.streams.clone()) {
            for (index, run) in streams.iter().enumerate() {
                prop_assert!(run.smmu < 2 && run.count > 0 && run.end() <= 1 << 32);
                prop_assert!(streams[..index].iter().all(|other| !other.overlaps(run)));
            }
        }
    }
}
