// SPDX-License-Identifier: MIT OR Apache-2.0

//! Boards whose interrupts and frames are wired in ways of their own.
mod fixtures;

use addr::{Pa, PaRange};
use board::*;
use fixtures::{Node, node, qemu_virt, raspberry_pi_4};
use platform::{GicVersion, PHYSICAL_TIMER_INTID, VIRTUAL_TIMER_INTID};

fn read(tree: &Node) -> Result<Board, BoardError> {
    Board::from_tree(&tree.blob(), Pa(0x4a00_0000))
}

/// Returns virt with its timers' PPIs of these numbers, and the maintenance interrupt's: 16 less than the INTIDs.
fn wired(timers: [u32; 4], maintenance: u32) -> Node {
    let specifiers = timers.map(|number| [1, number, 4]).concat();
    qemu_virt()
        .with("timer", |node| node.cells("interrupts", &specifiers))
        .with("intc@8000000", |node| {
            node.cells("interrupts", &[1, maintenance, 4])
        })
}

#[test]
fn ppis_are_where_the_tree_has_them() {
    // Secure, physical, virtual, hypervisor, as Qualcomm wires them.
    let board = read(&wired([2, 3, 4, 1], 0)).unwrap();
    let ppis = board.ppis;
    let expected = Ppis {
        maintenance: 16,
        hypervisor: 17,
        virtual_: 20,
        physical: 19,
    };
    assert_eq!(ppis, expected);
    assert_eq!(ppis.guests(20), Some(VIRTUAL_TIMER_INTID));
    assert_eq!(ppis.guests(19), Some(PHYSICAL_TIMER_INTID));
    for other in [16, 17, 27, 30] {
        assert_eq!(ppis.guests(other), None, "{other}");
    }
    let bits = 1 << 16 | 1 << 17 | 1 << 19 | 1 << 20;
    assert_eq!(board.private_interrupts(), bits);
}

#[test]
fn a_guests_timer_may_have_the_number_of_its_other_one() {
    let ppis = read(&wired([13, 11, 14, 10], 9)).unwrap().ppis;
    assert_eq!(ppis.guests(30), Some(VIRTUAL_TIMER_INTID));
    assert_eq!(ppis.guests(27), Some(PHYSICAL_TIMER_INTID));
}

#[test]
fn two_private_interrupts_of_one_number_are_refused() {
    let error = |tree| read(&tree).unwrap_err();
    assert_eq!(
        error(wired([13, 14, 11, 9], 9)),
        BoardError::Ppi("GIC's maintenance interrupt", 25)
    );
    let spi = qemu_virt().with("intc@8000000", |node| node.cells("interrupts", &[0, 9, 4]));
    assert_eq!(
        error(spi).to_string(),
        "INTID 41 of the GIC's maintenance interrupt is not a PPI of its own: correct the interrupts of the timer's and \
         the GIC's nodes"
    );
}

#[test]
fn a_console_whose_interrupt_is_private_polls() {
    let tree = qemu_virt().with("pl011@9000000", |node| {
        node.cells("interrupts", &[1, 15, 4])
    });
    let board = read(&tree).unwrap();
    // Every core would serve it, and one core uses the console.
    assert_eq!(board.console.unwrap().interrupt, None);
    let own = read(&qemu_virt()).unwrap().private_interrupts();
    assert_eq!(board.private_interrupts(), own);
}

#[test]
fn optees_interrupt_may_be_private() {
    let tree = qemu_virt().with("firmware/optee", |node| {
        node.cells("interrupts", &[1, 15, 8])
    });
    let board = read(&tree).unwrap();
    assert_eq!(board.optee.unwrap().interrupt.unwrap().intid, 31);
    let bsa = 1 << 25 | 1 << 26 | 1 << 27 | 1 << 30;
    assert_eq!(board.private_interrupts(), bsa | 1 << 31);
    assert_eq!(read(&qemu_virt()).unwrap().private_interrupts(), bsa);
}

#[test]
fn qualcomms_gic_is_a_gicv2() {
    let tree = raspberry_pi_4().with("soc/interrupt-controller@40041000", |node| {
        node.text("compatible", "qcom,msm-qgic2")
    });
    assert_eq!(read(&tree).unwrap().gic.version(), GicVersion::V2);
}

const GIC: &str = "soc/interrupt-controller@40041000";

/// Returns the GICv2 of a Raspberry Pi 4 whose frames, below 0x4000_0000 on the bus, have these starts and sizes.
fn gicv2(frames: &[(u32, u32)]) -> Result<GicV2, BoardError> {
    let cells: Vec<u32> = frames
        .iter()
        .flat_map(|(start, size)| [0x4000_0000 + start, *size])
        .collect();
    let tree = raspberry_pi_4().with(GIC, |node| node.cells("reg", &cells));
    match read(&tree)?.gic {
        Gic::V2(gic) => Ok(gic),
        other => panic!("{other:?}"),
    }
}

/// Returns a physical range of the same frames.
fn at(start: u64, size: u64) -> PaRange {
    PaRange::new(Pa(0xff80_0000 + start), size).unwrap()
}

#[test]
fn frames_have_the_size_that_the_architecture_gives_them() {
    let whole = [
        at(0x1000, 0x1000),
        at(0x2000, 0x2000),
        at(0x4000, 0x1000),
        at(0x6000, 0x2000),
    ];
    let lists = [
        // Too little, as of Exynos and of Amlogic's S7.
        [
            (0x1000, 0x1000),
            (0x2000, 0x100),
            (0x4000, 0x1000),
            (0x6000, 0x1000),
        ],
        // Too much, as of RK3576.
        [
            (0x1000, 0x1_0000),
            (0x2000, 0x1_0000),
            (0x4000, 0x1_0000),
            (0x6000, 0x1_0000),
        ],
    ];
    for list in lists {
        let gic = gicv2(&list).unwrap();
        assert_eq!([gic.gicd, gic.gicc, gic.gich, gic.gicv], whole);
    }
}

#[test]
fn a_frame_that_would_take_a_neighbors_page_is_refused() {
    let frames = [
        (0x1000, 0x1000),
        (0x2000, 0x2000),
        (0x4000, 0x1000),
        (0x6000, 0x1000),
    ];
    let [gicd, gicc, gich, gicv] = frames.map(|(start, size)| [0x4000_0000 + start, size]);
    let neighbor = node("secure@40047000").cells("reg", &[0x4000_7000, 0x1000]);
    let tree = raspberry_pi_4()
        .with(GIC, |node| {
            node.cells("reg", &[gicd, gicc, gich, gicv].concat())
        })
        .with("soc", |soc| soc.child(neighbor));
    let error = BoardError::Property(NodeName::from("interrupt-controller").unwrap(), "reg");
    assert_eq!(read(&tree).unwrap_err(), error);
    let own = [
        (0x1000, 0x1000),
        (0x2000, 0x1000),
        (0x3000, 0x1000),
        (0x6000, 0x1000),
    ];
    assert_eq!(gicv2(&own).unwrap_err(), error);
    let unaligned = [
        (0x1000, 0x1000),
        (0x2000, 0x2000),
        (0x4000, 0x1000),
        (0x6800, 0x2000),
    ];
    assert_eq!(gicv2(&unaligned).unwrap_err(), error);
}

#[test]
fn two_frames_tell_where_the_others_are() {
    let small = gicv2(&[(0x1000, 0x1000), (0x2000, 0x2000)]).unwrap();
    assert_eq!(small.gich, at(0x4000, 0x1000));
    assert_eq!(small.gicv, at(0x6000, 0x2000));
    let large = gicv2(&[(0x1_0000, 0x1000), (0x2_0000, 0x1000)]).unwrap();
    assert_eq!(large.gich, at(0x4_0000, 0x1000));
    assert_eq!(large.gicv, at(0x6_0000, 0x2000));
    let elsewhere = gicv2(&[(0x1000, 0x1000), (0x5000, 0x2000)]).unwrap_err();
    assert_eq!(
        elsewhere.to_string(),
        "node interrupt-controller: reg does not have GICH and GICV: add these frames if the GIC has the virtualization \
         extension"
    );
}

#[test]
fn frames_that_are_not_listed_are_no_other_devices() {
    let beside = |at: u32| {
        let neighbor = node("serial@40040000").cells("reg", &[at, 0x1000]);
        let frames = [0x4000_1000, 0x1000, 0x4000_2000, 0x2000];
        let tree = raspberry_pi_4()
            .with(GIC, |node| node.cells("reg", &frames))
            .with("soc", |soc| soc.child(neighbor));
        read(&tree).map(|_| ())
    };
    let node = NodeName::from("interrupt-controller").unwrap();
    for taken in [0x4000_4000, 0x4000_6000, 0x4000_7000] {
        assert_eq!(beside(taken), Err(BoardError::NoVirtualization(node)));
    }
    assert_eq!(beside(0x4000_5000), Ok(()));
    assert_eq!(beside(0x4000_8000), Ok(()));
}

/// A GIC whose registers repeat every `period` bytes, as `find_aliases` sees it.
fn look(mut gic: GicV2, period: u64) -> GicV2 {
    let mapped: Vec<_> = Gic::V2(gic.clone()).mapped_frames().collect();
    gic.find_aliases(|register| {
        let inside = |frame: &PaRange| frame.start <= register && register < frame.end();
        assert!(mapped.iter().any(inside), "{register} is not mapped");
        let offset = register.0 & 0x1_ffff;
        let page = offset / period;
        if page == 0 && offset % 0x1000 == 0xfc {
            0x0202_143b
        } else {
            0
        }
    });
    gic
}

#[test]
fn interfaces_that_repeat_are_used_where_their_pages_meet() {
    // As of MT7622.
    let frames = [
        (0x1_0000, 0x1000),
        (0x2_0000, 0x1000),
        (0x4_0000, 0x2000),
        (0x6_0000, 0x2000),
    ];
    let gic = gicv2(&frames).unwrap();
    assert_eq!(gic.gicc, at(0x2_0000, 0x2000));
    let once = look(gic.clone(), 0x1000);
    assert_eq!((once.gicc, once.gicv), (gic.gicc, gic.gicv));
    let repeated = look(gic, 0x1_0000);
    assert_eq!(repeated.gicc, at(0x2_f000, 0x2000));
    assert_eq!(repeated.gicv, at(0x6_f000, 0x2000));
}

#[test]
fn nothing_is_looked_for_where_another_device_is() {
    // As of virt: behind GICC, GICv2m.
    let gic = gicv2(&[
        (0x1_0000, 0x1000),
        (0x2_0000, 0x1_0000),
        (0x3_0000, 0x1_0000),
        (0x6_1000, 0x2000),
    ])
    .unwrap();
    assert_eq!(look(gic.clone(), 0x1_0000), gic);
    assert_eq!(Gic::V2(gic).mapped_frames().count(), 3);
}

#[test]
fn what_there_is_instead_of_a_gic_is_named() {
    let other = |name: &str, compatible: &str| {
        node(name)
            .text("compatible", compatible)
            .bytes("interrupt-controller", &[])
    };
    let tree = qemu_virt()
        .drop("/intc@8000000")
        .child(other("aic@1", "apple,aic"))
        .child(other("aic@2", "apple,aic"))
        .child(other("pins", "apple,pinctrl").bytes("gpio-controller", &[]))
        .child(other("l1", "brcm,bcm2836-l1-intc"));
    assert_eq!(
        read(&tree).unwrap_err().to_string(),
        "no GICv2 or GICv3 node is enabled, but apple,aic, brcm,bcm2836-l1-intc: this board is not supported"
    );
}

fn gicv3(change: impl FnOnce(Node) -> Node) -> GicV3 {
    match read(&qemu_virt().with("intc@8000000", change)).unwrap().gic {
        Gic::V3(gic) => gic,
        other => panic!("{other:?}"),
    }
}

#[test]
fn redistributors_have_the_boards_stride() {
    let stride = |cells: &[u32]| gicv3(|node| node.cells("redistributor-stride", cells));
    let plain = gicv3(|node| node);
    assert_eq!(
        (plain.stride(false), plain.stride(true)),
        (0x2_0000, 0x4_0000)
    );
    // As of Hip05; and what can't be one.
    let wide = stride(&[0, 0x3_0000]);
    assert_eq!(
        (wide.stride(false), wide.stride(true)),
        (0x3_0000, 0x3_0000)
    );
    for odd in [0, 0x1_0000, 0x2_8000] {
        assert_eq!(stride(&[0, odd]).stride(false), 0x2_0000, "{odd:#x}");
    }
}

#[test]
fn a_stride_beyond_each_region_is_refused() {
    let wide = |cells: &[u32]| {
        let change = |node: Node| node.cells("redistributor-stride", cells);
        read(&qemu_virt().with("intc@8000000", change)).map(|_| ())
    };
    let error = BoardError::Property(NodeName::from("intc").unwrap(), "redistributor-stride");
    assert_eq!(wide(&[0, 0xf6_0000]), Ok(()));
    assert_eq!(wide(&[0, 0xf7_0000]), Err(error));
    assert_eq!(wide(&[0xffff_ffff, 0xffff_0000]), Err(error));
}

#[test]
fn surplus_regions_of_redistributors_are_left_alone() {
    let region = |n: u32| [0, 0x0800_0000 + n * 0x10_0000, 0, 0x2_0000];
    let reg: Vec<u32> = (0..8).flat_map(region).collect();
    let gic = gicv3(|node| {
        node.cells("#redistributor-regions", &[7])
            .cells("reg", &reg)
    });
    assert_eq!(gic.gicr.len(), MAX_GICR_REGIONS);
    assert_eq!(gic.gicr[3].start, Pa(0x0840_0000));
}

/// As Arm's FVPs have it: devices' interrupts are numbered on the motherboard, whose bus maps them to the GIC's.
fn motherboard(map: &[u32]) -> Node {
    let uart = node("serial@90000")
        .text("compatible", "arm,pl011")
        .cells("reg", &[0x9_0000, 0x1000])
        .cells("interrupts", &[5]);
    let inner = node("iofpga-bus")
        .cells("#address-cells", &[1])
        .cells("#size-cells", &[1])
        .cells("ranges", &[0, 0, 0x1c00_0000, 0x20_0000])
        .child(uart);
    let bus = node("bus@8000000")
        .cells("#address-cells", &[2])
        .cells("#size-cells", &[1])
        .bytes("ranges", &[])
        .cells("#interrupt-cells", &[1])
        .cells("interrupt-map-mask", &[0, 0, 63])
        .cells("interrupt-map", map)
        .child(inner);
    qemu_virt()
        .with("chosen", |node| {
            node.text("stdout-path", "/bus@8000000/iofpga-bus/serial@90000")
        })
        .child(bus)
}

fn console_interrupt(tree: &Node) -> Option<u32> {
    let console = read(tree).unwrap().console.unwrap();
    assert_eq!(console.registers.start, Pa(0x1c09_0000));
    console.interrupt.map(|interrupt| interrupt.intid)
}

#[test]
fn interrupts_go_through_the_map_of_a_bus() {
    // Of the GIC: its phandle, a unit address of two cells, a specifier.
    let entry = |from, phandle, to| [0, 0, from, phandle, 0, 0, 0, to, 4];
    let others = [entry(4, 0x8005, 40), entry(6, 0x8005, 60)].concat();
    let map = [&others[..], &entry(5, 0x8005, 50)].concat();
    assert_eq!(console_interrupt(&motherboard(&map)), Some(82));
    assert_eq!(console_interrupt(&motherboard(&others)), None);
    // Behind an entry of another controller, whose length is not known.
    let foreign = [entry(1, 0x99, 7), entry(5, 0x8005, 50)].concat();
    assert_eq!(console_interrupt(&motherboard(&foreign)), None);
    // A bit that is not compared, and an address that is, of another bus.
    let masked = motherboard(&map).with("bus@8000000", |node| {
        node.cells("interrupt-map-mask", &[0, 0, 3])
    });
    assert_eq!(console_interrupt(&masked), Some(82));
    let addressed = motherboard(&map).with("bus@8000000", |node| {
        node.cells("interrupt-map-mask", &[1, 0, 63])
    });
    assert_eq!(console_interrupt(&addressed), None);
    // The device's own parent comes first: there, one cell is no specifier.
    let direct = motherboard(&map).with("bus@8000000/iofpga-bus", |node| {
        node.cells("interrupt-parent", &[0x8005])
    });
    assert_eq!(console_interrupt(&direct), None);
}

#[test]
fn interrupts_go_through_controllers_that_forward_them() {
    let through = |compatible: &str, parent: u32| {
        let forwarder = node("gpc@303a0000")
            .text("compatible", compatible)
            .cells("reg", &[0, 0x303a_0000, 0, 0x1000])
            .bytes("interrupt-controller", &[])
            .cells("#interrupt-cells", &[3])
            .cells("interrupt-parent", &[parent])
            .cells("phandle", &[0x77]);
        let tree = qemu_virt().child(forwarder).with("pl011@9000000", |node| {
            node.cells("interrupt-parent", &[0x77])
        });
        let interrupt = read(&tree).unwrap().console.unwrap().interrupt;
        interrupt.map(|interrupt| interrupt.intid)
    };
    assert_eq!(through("fsl,imx8mq-gpc", 0x8005), Some(33));
    assert_eq!(through("fsl,imx8mq-gpc", 0x99), None);
    assert_eq!(through("mediatek,mt6577-sysirq", 0x8005), None);
}
