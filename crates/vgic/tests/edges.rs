// SPDX-License-Identifier: MIT OR Apache-2.0

//! Corners of the architecture that few guests come to.

mod machine;

use machine::{Machine, vcpu};
use platform::GicVersion;
use vgic::{Frame, Lr, Lrs, State, VcpuSet, Vgic};

const EDGE: u32 = 34;

fn ready(version: GicVersion) -> Machine {
    let mut machine = Machine::new(version, 2, 96, 4);
    machine.enable_all();
    machine.gicd(0xc08, 0b10 << 4);
    machine
}

/// No maintenance interrupt is needed for what the register can hold.
#[test]
fn an_edge_that_comes_again_waits_in_its_register() {
    let mut machine = ready(GicVersion::V3);
    machine.pulse(0, EDGE);
    machine.acknowledge(0);
    machine.pulse(0, EDGE);
    let fields = machine.cores[0].cpu.fields(0);
    assert_eq!(
        (fields.intid, fields.state, fields.eoi),
        (EDGE, 0b11, false)
    );
}

#[test]
fn an_edge_may_be_made_a_level_again() {
    for version in [GicVersion::V2, GicVersion::V3] {
        let mut machine = ready(version);
        assert_eq!(machine.read(0, Frame::Dist, 0xc08, 4), 0b10 << 4);
        machine.gicd(0xc08, 0b01 << 4);
        assert_eq!(machine.read(0, Frame::Dist, 0xc08, 4), 0);
    }
}

/// The first interrupt behind the SGIs is like the others.
#[test]
fn ppi_16_can_be_made_an_edge_and_pended_by_register() {
    for version in [GicVersion::V2, GicVersion::V3] {
        let mut machine = ready(version);
        machine.private(1, 0xc04, 0b10);
        assert_eq!(machine.read_private(1, 0xc04), 0b10);
        machine.private(1, 0x200, 1 << 16);
        assert_eq!(machine.read_private(1, 0x200), 1 << 16);
        assert_eq!(machine.acknowledge(1), Some((16, 0)));
    }
}

#[test]
fn an_input_of_an_edge_counts_when_it_rises_and_not_when_it_falls() {
    let mut machine = ready(GicVersion::V3);
    machine.set_level(0, EDGE, true);
    assert_eq!(machine.acknowledge(0), Some((EDGE, 0)));
    machine.eoi(0, EDGE);
    assert_eq!(
        machine.acknowledge(0),
        None,
        "it is high, and no edge comes"
    );
    machine.set_level(0, EDGE, false);
    assert_eq!(machine.acknowledge(0), None);
    machine.set_level(0, EDGE, true);
    assert_eq!(machine.acknowledge(0), Some((EDGE, 0)));
}

#[test]
fn sgis_have_no_input() {
    let mut machine = ready(GicVersion::V3);
    machine.pulse(1, 3);
    machine.set_level(1, 4, true);
    let taken = [0, 1].map(|n| machine.acknowledge(n));
    assert_eq!(taken, [None, None]);
    let kick = machine.vgic.hw_pending(vcpu(1), 5, 37);
    assert!(kick.is_empty());
    assert_eq!(machine.read_private(1, 0x200), 0);
}

#[test]
fn what_software_has_pended_is_not_withdrawn_with_the_line_of_a_device() {
    let mut vgic = Vgic::new(GicVersion::V3, 2, 96, 4);
    let _ = vgic.write(vcpu(0), Frame::Dist, 0x204, 4, 1 << 8);
    assert!(vgic.hw_withdraw(vcpu(0), 40).is_empty());
    assert_eq!(vgic.read(vcpu(0), Frame::Dist, 0x204, 4).0, 1 << 8);
}

#[test]
fn only_the_vcpu_that_has_an_interrupt_active_deactivates_it() {
    let mut vgic = Vgic::new(GicVersion::V3, 2, 96, 4);
    let active = |vgic: &Vgic| vgic.read(vcpu(0), Frame::Dist, 0x304, 4).0;
    let _ = vgic.write(vcpu(0), Frame::Dist, 0x304, 4, 1 << 8);
    let _ = vgic.deactivate(vcpu(1), 40);
    assert_eq!(active(&vgic), 1 << 8);
    let _ = vgic.deactivate(vcpu(0), 40);
    assert_eq!(active(&vgic), 0);
}

/// Whatever the hardware's registers say: only what was put there is taken out of them.
#[test]
fn a_register_gives_back_no_interrupt_of_another_vcpus_register() {
    let mut vgic = Vgic::new(GicVersion::V3, 2, 96, 4);
    let mut lrs = [Lrs::new(), Lrs::new()];
    let _ = vgic.write(vcpu(0), Frame::Dist, 0, 4, 3);
    let _ = vgic.write(vcpu(0), Frame::Dist, 0x104, 4, !0);
    let _ = vgic.write(vcpu(0), Frame::Redist(vcpu(1)), 0x1_0100, 4, !0);
    let _ = vgic.pulse(vcpu(0), EDGE) | vgic.sgi1r(vcpu(0), 3 << 24 | 0b10);
    for (n, lrs) in lrs.iter_mut().enumerate() {
        vgic.flush(vcpu(n), lrs);
        assert_eq!(lrs.used(), 1);
    }
    let done = Lr {
        state: State::Inactive,
        ..lrs[0].to_load()[0]
    };
    lrs[1].save(1, |_| done);
    let _ = vgic.sync(vcpu(1), &mut lrs[1]);
    let (pending, whom) = vgic.read(vcpu(1), Frame::Dist, 0x204, 4);
    assert_eq!((pending, whom), (1 << (EDGE - 32), VcpuSet::one(vcpu(0))));
}

/// Such as a timer that is a shared interrupt of the machine's.
#[test]
fn an_spi_behind_a_ppi_is_none_of_the_cores_own() {
    let mut vgic = Vgic::new(GicVersion::V3, 1, 96, 4);
    let _ = vgic.hw_pending(vcpu(0), 27, 31) | vgic.hw_pending(vcpu(0), 28, 32);
    assert_eq!(vgic.active_ppis(vcpu(0)), 1 << 31);
}

/// IHI 0048B.b 4.3.7: GICD_SPENDSGIR and GICD_CPENDSGIR are for them.
#[test]
fn v2_pending_bits_of_sgis_are_read_only() {
    let mut machine = ready(GicVersion::V2);
    machine.private(1, 0x200, 0xffff);
    assert_eq!(machine.read_private(1, 0x200), 0);
    assert_eq!(machine.acknowledge(1), None);
    machine.write(1, Frame::Dist, 0xf20 + 9, 1, 0b01);
    machine.private(1, 0x280, 0xffff);
    assert_eq!(machine.read_private(1, 0x200), 1 << 9);
    assert_eq!(machine.acknowledge(1), Some((9, 0)));
    assert!(!machine.vgic.needs_flush(vcpu(1)));
}

#[test]
fn an_sgi_that_is_pending_already_kicks_nobody() {
    let mut v2 = Vgic::new(GicVersion::V2, 2, 96, 4);
    let mut v3 = Vgic::new(GicVersion::V3, 2, 96, 4);
    let _ = v2.write(vcpu(0), Frame::Dist, 0, 4, 3);
    let _ = v3.write(vcpu(0), Frame::Dist, 0, 4, 3);
    let _ = v3.write(vcpu(1), Frame::Redist(vcpu(1)), 0x1_0100, 4, 1 << 3);
    let mut v2_sgi = || v2.write(vcpu(0), Frame::Dist, 0xf00, 4, 0b10 << 16 | 3);
    assert_eq!(v2_sgi(), VcpuSet::one(vcpu(1)));
    assert_eq!(v2_sgi(), VcpuSet::EMPTY);
    let mut v3_sgi = || v3.sgi1r(vcpu(0), 3 << 24 | 0b10);
    assert_eq!(v3_sgi(), VcpuSet::one(vcpu(1)));
    assert_eq!(v3_sgi(), VcpuSet::EMPTY);
}

#[test]
fn sets_of_vcpus_are_joined() {
    let (one, both) = (VcpuSet::one(vcpu(1)), VcpuSet::from_bits(0b11));
    assert_eq!(one | both, both);
    let mut joined = one;
    joined |= both;
    assert_eq!(joined, both);
    assert_eq!(both.without(vcpu(0)), one);
    assert_eq!(one.without(vcpu(0)), one);
    let listed: Vec<_> = VcpuSet::from_bits(0x81).iter().collect();
    assert_eq!(listed, [vcpu(0), vcpu(7)]);
    assert!(VcpuSet::one(vcpu(8)).is_empty() && !VcpuSet::from_bits(0xff).contains(vcpu(8)));
}
