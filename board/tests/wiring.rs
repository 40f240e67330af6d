// SPDX-License-Identifier: MIT OR Apache-2.0

//! Boards whose interrupts and frames are wired in ways of their own.
mod fixtures;

use addr::Pa;
use board::*;
use fixtures::{Node, qemu_virt, raspberry_pi_4};
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
