// SPDX-License-Identifier: MIT OR Apache-2.0

//! Cases at the edge of what is read, and of what a guest may be given.
mod fixtures;

use addr::{Pa, PaRange};
use board::*;
use fixtures::{Node, node, qemu_virt, raspberry_pi_4};
use platform::Conduit;

const AT: Pa = Pa(0x4a00_0000);
const DEVICE: &str = "/timer@b000000";

fn range(start: u64, size: u64) -> PaRange {
    PaRange::new(Pa(start), size).unwrap()
}

fn read(tree: &Node) -> Board {
    Board::from_tree(&tree.blob(), AT).unwrap()
}

/// Returns a board with a plain device, and what `change` makes of its node.
fn with_device(change: impl FnOnce(Node) -> Node) -> Node {
    let device = node("timer@b000000")
        .text("compatible", "vendor,timer")
        .cells("reg", &[0, 0x0b00_0000, 0, 0x1000])
        .cells("interrupts", &[0, 40, 4]);
    qemu_virt().child(change(device))
}

fn look<T>(tree: &Node, name: &str, act: impl FnOnce(Device) -> T) -> Result<T, DeviceError> {
    let blob = tree.blob();
    let board = Board::from_tree(&blob, AT).unwrap();
    board.device(&blob, name).map(act)
}

#[test]
fn the_first_spi_is_one() {
    let tree = with_device(|node| node.cells("interrupts", &[0, 0, 4]));
    let intid = look(&tree, DEVICE, |device| device.interrupts[0].intid);
    assert_eq!(intid, Ok(32));
}

#[test]
fn there_are_sixteen_ppis() {
    let optee = |number| {
        let tree = qemu_virt().with("firmware/optee", |node| {
            node.cells("interrupts", &[1, number, 8])
        });
        let interrupt = read(&tree).optee.unwrap().interrupt;
        interrupt.map(|interrupt| interrupt.intid)
    };
    assert_eq!(optee(15), Some(31));
    assert_eq!(optee(16), None);
}

#[test]
fn a_clock_is_fixed_only_if_it_says_so_and_has_no_selector() {
    let clock = |compatible: &str, cells| {
        node("clock")
            .text("compatible", compatible)
            .cells("#clock-cells", &[cells])
            .cells("clock-frequency", &[1000])
            .cells("phandle", &[0x70])
    };
    let clocks = |clock: Node| {
        let tree = with_device(|node| node.cells("clocks", &[0x70])).child(clock);
        look(&tree, DEVICE, |device| device.clocks.to_vec()).unwrap()
    };
    assert_eq!(clocks(clock("fixed-clock", 0)), [1000]);
    assert_eq!(clocks(clock("vendor,pll", 0)), [0; 0]);
    assert_eq!(clocks(clock("fixed-clock", 1)), [0; 0]);
}

#[test]
fn a_device_does_dma_unless_it_is_of_a_kind_that_does_none() {
    let dma = |change: fn(Node) -> Node| look(&with_device(change), DEVICE, |d| d.dma).unwrap();
    assert!(matches!(dma(|node| node), Dma::Unknown(_)));
    assert_eq!(dma(|node| node.text("compatible", "arm,pl031")), Dma::No);
    let signs: [fn(Node) -> Node; 4] = [
        |node| node.text("compatible", "virtio,mmio"),
        |node| node.bytes("dma-coherent", &[]),
        |node| node.bytes("dma-noncoherent", &[]),
        |node| {
            node.text("compatible", "arm,pl031")
                .cells("iommus", &[5, 1])
        },
    ];
    for sign in signs {
        assert!(matches!(dma(sign), Dma::Yes(_)));
    }
}

/// A guest that is given a page can make any device in it write to memory.
#[test]
fn a_device_does_the_dma_of_what_is_in_its_pages() {
    let beside = |kind: &str, sign: &str| {
        let other = node("other@b000800")
            .text("compatible", kind)
            .cells("reg", &[0, 0x0b00_0800, 0, 0x100]);
        let other = if sign.is_empty() {
            other
        } else {
            other.bytes(sign, &[])
        };
        let tree = with_device(|node| node.text("compatible", "arm,pl031")).child(other);
        look(&tree, DEVICE, |device| device.dma).unwrap()
    };
    assert_eq!(beside("arm,pl061", ""), Dma::No);
    assert!(matches!(beside("vendor,engine", ""), Dma::Unknown(name) if &*name == "other"));
    assert!(matches!(beside("arm,pl061", "dma-coherent"), Dma::Yes(name) if &*name == "other"));
}

/// The frames of a GICv2 as they are used are two pages of each 128 KiB.
#[test]
fn what_lies_in_the_interrupt_controllers_aliases_is_its_own() {
    let device = node("odd@40111000").cells("reg", &[0x4011_1000, 0x1000]);
    let frames = [0x4000_0000, 0x1_0000, 0x4010_0000, 0x2_0000];
    let others = [0x4020_0000, 0x2_0000, 0x4030_0000, 0x2_0000];
    let tree = raspberry_pi_4()
        .with("soc/interrupt-controller@40041000", |node| {
            node.cells("reg", &[frames, others].concat())
        })
        .with("soc", |soc| soc.child(device));
    let own = DeviceError::Hypervisor("interrupt controller");
    let pages = read(&tree).gic.frames().collect::<Vec<_>>();
    assert!(
        !pages
            .iter()
            .any(|frame| frame.overlaps(&range(0xff91_1000, 0x1000)))
    );
    assert_eq!(look(&tree, "/soc/odd@40111000", |_| ()), Err(own));
}

#[test]
fn a_frame_too_small_for_aliases_is_taken_as_it_is() {
    let tree = raspberry_pi_4().with("soc/interrupt-controller@40041000", |node| {
        let frames = [0x4000_0000, 0x1_0000, 0x4010_0000, 0x1_f000];
        let others = [0x4020_0000, 0x2_0000, 0x4030_0000, 0x2000];
        node.cells("reg", &[frames, others].concat())
    });
    let Gic::V2(gic) = read(&tree).gic else {
        panic!("GICv2 expected");
    };
    assert_eq!(gic.gicc, range(0xff90_0000, 0x2000));
    assert_eq!(gic.gicv, range(0xffb0_0000, 0x2000));
}

#[test]
fn firmware_may_be_called_by_hvc() {
    let tree = qemu_virt()
        .with("psci", |node| node.text("method", "hvc"))
        .with("firmware/optee", |node| node.text("method", "hvc"));
    let board = read(&tree);
    assert_eq!(board.psci.unwrap().conduit, Conduit::Hvc);
    assert_eq!(board.optee.unwrap().conduit, Conduit::Hvc);
}

#[test]
fn one_guest_may_have_two_devices_with_one_interrupt() {
    let other = node("timer@b010000")
        .cells("reg", &[0, 0x0b01_0000, 0, 0x1000])
        .cells("interrupts", &[0, 40, 4]);
    let blob = with_device(|node| node).child(other).blob();
    let board = Board::from_tree(&blob, AT).unwrap();
    let first = board.device(&blob, DEVICE).unwrap();
    let second = board.device(&blob, "/timer@b010000").unwrap();
    let mut given = AssignedDevices::default();
    assert_eq!(given.give(0, &first).unwrap()[..], first.pages()[..]);
    assert_eq!(given.give(0, &second).unwrap()[..], second.pages()[..]);
    let taken = given.give(1, &second).unwrap_err();
    assert_eq!(taken, DeviceError::GivenInterrupt(0, 72));
}
