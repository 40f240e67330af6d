// SPDX-License-Identifier: MIT OR Apache-2.0

//! Which devices a guest can be given, and why not.
mod fixtures;

use addr::{Pa, PaRange};
use board::*;
use fixtures::{Node, node, qemu_virt, raspberry_pi_4};
use proptest::prelude::*;

const AT: Pa = Pa(0x4a00_0000);
const DISK: &str = "/virtio_mmio@a003e00";

fn range(start: u64, size: u64) -> PaRange {
    PaRange::new(Pa(start), size).unwrap()
}

/// Builds QEMU's transports 24 to 31: one page.
fn with_virtio() -> Node {
    (24..32).fold(qemu_virt(), |tree, n| {
        let at = 0x0a00_0000 + 0x200 * n;
        tree.child(
            node(&format!("virtio_mmio@{at:x}"))
                .text("compatible", "virtio,mmio")
                .bytes("dma-coherent", &[])
                .cells("reg", &[0, at, 0, 0x200])
                .cells("interrupts", &[0, 16 + n, 1]),
        )
    })
}

/// Makes `change` to the disk's node.
fn changed(change: impl FnOnce(Node) -> Node) -> Node {
    with_virtio().with("virtio_mmio@a003e00", change)
}

fn look<T>(tree: &Node, name: &str, act: impl FnOnce(Device) -> T) -> Result<T, DeviceError> {
    let blob = tree.blob();
    let board = Board::from_tree(&blob, AT).unwrap();
    board.device(&blob, name).map(act)
}

fn refused(tree: &Node, name: &str) -> DeviceError {
    look(tree, name, |_| ()).unwrap_err()
}

#[test]
fn a_device_is_found_with_its_page() {
    look(&with_virtio(), DISK, |device| {
        assert_eq!(device.name(), "virtio_mmio");
        assert_eq!(device.registers[..], [range(0x0a00_3e00, 0x200)]);
        assert_eq!(device.pages()[..], [range(0x0a00_3000, 0x1000)]);
        let edge = Interrupt {
            intid: 79,
            edge: true,
        };
        assert_eq!(device.interrupts[..], [edge]);
        assert_eq!(device.neighbours, 7);
        let transports: Vec<_> = (0..8).map(|n| Pa(0x0a00_3000 + 0x200 * n)).collect();
        assert_eq!(device.virtio[..], transports);
        assert!(matches!(device.dma, Dma::Yes(_)));
        let names: Vec<_> = device.properties().map(|(name, _)| name).collect();
        assert_eq!(names, ["compatible", "dma-coherent"]);
    })
    .unwrap();
}

#[test]
fn a_device_may_be_named_by_an_alias() {
    let alias = node("aliases").text("disk", DISK);
    let tree = with_virtio().child(alias);
    let registers = look(&tree, "disk", |device| device.registers.clone()).unwrap();
    assert_eq!(registers[..], [range(0x0a00_3e00, 0x200)]);
    assert_eq!(refused(&tree, "tape"), DeviceError::NoNode);
}

#[test]
fn half_a_name_is_none() {
    for name in ["/virtio_mmio", "/virtio_mmio@a004000", "", "/soc/x@1"] {
        assert_eq!(refused(&with_virtio(), name), DeviceError::NoNode, "{name}");
    }
}

#[test]
fn bus_addresses_are_translated() {
    let timer = node("timer@7e003000")
        .text("compatible", "brcm,bcm2835-system-timer")
        .cells("reg", &[0x7e00_3000, 0x1000])
        .cells("interrupts", &[0, 64, 4, 0, 65, 4]);
    let tree = raspberry_pi_4().with("soc", |soc| soc.child(timer));
    look(&tree, "/soc/timer@7e003000", |device| {
        assert_eq!(device.registers[..], [range(0xfe00_3000, 0x1000)]);
        let intids: Vec<_> = device
            .interrupts
            .iter()
            .map(|i| (i.intid, i.edge))
            .collect();
        assert_eq!(intids, [(96, false), (97, false)]);
        assert_eq!(device.neighbours, 0);
        assert!(matches!(device.dma, Dma::Unknown(name) if &*name == "timer"));
    })
    .unwrap();
}

#[test]
fn what_refers_to_other_nodes_stays_behind() {
    let tree = changed(|node| {
        node.cells("clocks", &[1])
            .text("clock-names", "apb_pclk")
            .cells("pinctrl-0", &[2])
            .cells("vmmc-supply", &[3])
            .cells("cs-gpios", &[4, 5, 6])
            .cells("phandle", &[9])
            .cells("#address-cells", &[1])
            .text("status", "okay")
            .cells("reg-shift", &[2])
            .text("label", "disk")
    });
    let names = look(&tree, DISK, |device| {
        device
            .properties()
            .map(|(name, _)| name.to_owned())
            .collect::<Vec<_>>()
    });
    assert_eq!(
        names.unwrap(),
        ["compatible", "dma-coherent", "reg-shift", "label"]
    );
}

/// A clock that cannot be changed is a number, and comes along; one that is driven does not, nor
/// does any beside it.
#[test]
fn fixed_clocks_come_along() {
    let clock = |name: &str, phandle, hz| {
        node(name)
            .text("compatible", "fixed-clock")
            .cells("#clock-cells", &[0])
            .cells("clock-frequency", &[hz])
            .cells("phandle", &[phandle])
    };
    let driven = node("clock-controller")
        .text("compatible", "vendor,clocks")
        .cells("#clock-cells", &[1])
        .cells("phandle", &[0x72]);
    let clocks = |cells: &[u32]| {
        let tree = changed(|node| node.cells("clocks", cells).text("clock-names", "apb_pclk"))
            .child(clock("slow", 0x70, 32_768))
            .child(clock("fast", 0x71, 24_000_000))
            .child(driven.clone());
        look(&tree, DISK, |device| {
            let named = device.properties().any(|(name, _)| name == "clock-names");
            assert_eq!(named, !device.clocks.is_empty());
            device.clocks.to_vec()
        })
        .unwrap()
    };
    assert_eq!(
        clocks(&[0x71, 0x70, 0x71]),
        [24_000_000, 32_768, 24_000_000]
    );
    assert_eq!(clocks(&[0x70, 0x72, 1]), [0; 0]);
    assert_eq!(clocks(&[0x70, 0x99]), [0; 0]);
    assert_eq!(clocks(&[0x70; MAX_CLOCKS]), [32_768; MAX_CLOCKS]);
    assert_eq!(clocks(&[0x70; MAX_CLOCKS + 1]), [0; 0]);
    assert_eq!(clocks(&[]), [0; 0]);
}

#[test]
fn the_secure_worlds_is_refused() {
    assert_eq!(refused(&qemu_virt(), "/pl011@9040000"), DeviceError::Secure);
    let disabled = changed(|node| node.text("status", "disabled"));
    assert_eq!(refused(&disabled, DISK), DeviceError::Disabled);
    let both = changed(|node| node.text("secure-status", "okay"));
    assert_eq!(refused(&both, DISK), DeviceError::Secure);
    let neighbour = with_virtio().with("virtio_mmio@a003000", |node| {
        node.text("status", "disabled")
            .text("secure-status", "okay")
    });
    assert_eq!(
        refused(&neighbour, DISK).to_string(),
        "it shares 4 KiB of registers with virtio_mmio, which is the secure world's"
    );
}

#[test]
fn the_hypervisors_is_refused() {
    let own = DeviceError::Hypervisor;
    let tree = with_virtio();
    assert_eq!(refused(&tree, "/pl011@9000000"), own("console"));
    assert_eq!(refused(&tree, "/intc@8000000"), own("interrupt controller"));
    let its = |node: Node| node.bytes("msi-controller", &[]);
    let tree = tree.with("intc@8000000/its@8080000", its);
    let its = refused(&tree, "/intc@8000000/its@8080000");
    assert_eq!(its, own("interrupt controller"));
    let in_gic = changed(|node| node.cells("reg", &[0, 0x080b_0000, 0, 4]));
    assert_eq!(refused(&in_gic, DISK), own("interrupt controller"));
    let beside = changed(|node| node.cells("reg", &[0, 0x0900_0ff8, 0, 8]));
    assert_eq!(refused(&beside, DISK), own("console"));
    let iommu = changed(|node| node.cells("#iommu-cells", &[1]));
    assert_eq!(refused(&iommu, DISK), own("IOMMU"));
    let optees = changed(|node| node.cells("interrupts", &[0, 187, 1]));
    assert_eq!(refused(&optees, DISK), DeviceError::OwnInterrupt(219));
    assert_eq!(refused(&qemu_virt(), "/timer"), DeviceError::NoRegisters);
    assert_eq!(refused(&qemu_virt(), "/psci"), DeviceError::NoRegisters);
    let optee = refused(&qemu_virt(), "/firmware/optee");
    assert_eq!(optee, DeviceError::NoRegisters);
}

#[test]
fn memory_is_refused() {
    assert_eq!(
        refused(&qemu_virt(), "/memory@40000000"),
        DeviceError::Memory
    );
    let core = "/reserved-memory/optee_core@e100000";
    assert_eq!(refused(&qemu_virt(), core), DeviceError::Memory);
    for at in [0x0e10_0000, 0x0eff_fffc, 0x4200_0000, 0xbfff_fffc] {
        let inside = changed(|node| node.cells("reg", &[0, at, 0, 4]));
        assert_eq!(refused(&inside, DISK), DeviceError::Memory, "{at:#x}");
    }
    let second = changed(|node| node.cells("reg", &[0, 0x0a00_3e00, 0, 4, 0, 0x5000_0000, 0, 4]));
    assert_eq!(refused(&second, DISK), DeviceError::Memory);
}

#[test]
fn what_cannot_be_understood_is_refused() {
    let ppi = changed(|node| node.cells("interrupts", &[1, 7, 4]));
    assert_eq!(refused(&ppi, DISK), DeviceError::Interrupts);
    let foreign = changed(|node| node.cells("interrupt-parent", &[7]));
    assert_eq!(refused(&foreign, DISK), DeviceError::Interrupts);
    let mixed = changed(|node| node.cells("interrupts-extended", &[0x8005, 0, 5, 4, 7, 1]));
    assert_eq!(refused(&mixed, DISK), DeviceError::Interrupts);
    let nine: Vec<u32> = (40..49).flat_map(|n| [0, n, 4]).collect();
    let many = changed(|node| node.cells("interrupts", &nine));
    assert_eq!(refused(&many, DISK), DeviceError::Interrupts);
    let cut = changed(|node| node.cells("reg", &[0, 0x0a00_3e00, 0]));
    assert_eq!(refused(&cut, DISK), DeviceError::Registers);
    let nothing = changed(|node| node.without("reg"));
    assert_eq!(refused(&nothing, DISK), DeviceError::NoRegisters);
    let unreachable = node("far@1").cells("reg", &[1, 4]);
    let tree = raspberry_pi_4().with("soc", |soc| soc.child(unreachable));
    assert_eq!(refused(&tree, "/soc/far@1"), DeviceError::Registers);
    assert_eq!(refused(&raspberry_pi_4(), "/soc"), DeviceError::Bus);
}

/// Returns what is given of the devices of `tree`, each to the guest of a number.
fn given(tree: &Node, wanted: &[(usize, &str)]) -> Result<Vec<PaRange>, DeviceError> {
    let blob = tree.blob();
    let board = Board::from_tree(&blob, AT).unwrap();
    let mut given = AssignedDevices::default();
    let mut pages = vec![];
    for (guest, name) in wanted {
        let device = board.device(&blob, name)?;
        pages.extend(given.give(*guest, &device)?);
    }
    Ok(pages)
}

#[test]
fn nothing_is_given_twice() {
    let tree = with_virtio();
    let neighbour = "/virtio_mmio@a003c00";
    let page = range(0x0a00_3000, 0x1000);
    assert_eq!(given(&tree, &[(0, DISK), (0, neighbour)]), Ok(vec![page]));
    let error = given(&tree, &[(0, DISK), (1, DISK)]).unwrap_err();
    assert_eq!(error, DeviceError::GivenInterrupt(0, 79));
    let error = given(&tree, &[(3, DISK), (1, neighbour)]).unwrap_err();
    assert_eq!(error, DeviceError::Given(3));
    assert_eq!(
        error.to_string(),
        "guest number 3 has it, or a device in the same 4 KiB of registers"
    );
}

#[test]
fn overlapping_pages_are_given_once() {
    let device = |name: &str, start: u32, size: u32| node(name).cells("reg", &[0, start, 0, size]);
    let tree = qemu_virt()
        .child(device("a@1", 0x0b00_1800, 0x1000))
        .child(device("b@2", 0x0b00_0000, 0x6000));
    let pages = given(&tree, &[(0, "/a@1"), (0, "/b@2"), (0, "/a@1")]).unwrap();
    let expected = [
        range(0x0b00_1000, 0x2000),
        range(0x0b00_0000, 0x1000),
        range(0x0b00_3000, 0x3000),
    ];
    assert_eq!(pages, expected);
    let error = given(&tree, &[(0, "/a@1"), (1, "/b@2")]).unwrap_err();
    assert_eq!(error, DeviceError::Given(0));
    // What ends within pages that were given ends there.
    let pages = given(&tree, &[(0, "/b@2"), (0, "/a@1")]).unwrap();
    assert_eq!(pages, [range(0x0b00_0000, 0x6000)]);
    let tree = tree.child(device("c@3", 0x0aff_f000, 0x2000));
    let pages = given(&tree, &[(0, "/b@2"), (0, "/c@3")]).unwrap();
    assert_eq!(
        pages,
        [range(0x0b00_0000, 0x6000), range(0x0aff_f000, 0x1000)]
    );
}

proptest! {
    #[test]
    fn a_damaged_tree_gives_a_device_or_an_error(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20),
    ) {
        let good = with_virtio().blob();
        let board = Board::from_tree(&good, AT).unwrap();
        let mut blob = good.clone();
        for (at, byte) in changes {
            let at = at.index(blob.len());
            blob[at] = byte;
        }
        if let Ok(device) = board.device(&blob, DISK) {
            let _ = AssignedDevices::default().give(0, &device);
            for pages in device.pages() {
                prop_assert!(board.memory.iter().all(|memory| !memory.overlaps(&pages)));
                prop_assert!(board.gic.frames().all(|frame| !frame.overlaps(&pages)));
            }
            let _ = device.properties().count();
        }
    }
}
