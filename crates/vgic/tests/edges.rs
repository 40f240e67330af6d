// SPDX-License-Identifier: MIT OR Apache-2.0

//! Corners of the architecture that few guests come to.

mod machine;

use machine::{Machine, vcpu};
use platform::GicVersion;
use vgic::{Frame, VcpuSet, Vgic};

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
