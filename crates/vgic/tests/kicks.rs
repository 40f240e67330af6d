// SPDX-License-Identifier: MIT OR Apache-2.0

//! Who is told of what: a vCPU that is not told sleeps on its interrupt, and one that is told for
//! nothing loses its core's time to a neighbor's writes.

mod machine;

use machine::{Machine, vcpu};
use platform::GicVersion;
use vgic::{Frame, VcpuSet, Vgic};

const BOTH: [GicVersion; 2] = [GicVersion::V2, GicVersion::V3];
const SPI: u64 = 40;
/// GICD_ICFGR2, where its field begins at bit 16.
const CONFIG: u64 = 0xc08;
const SPI_BIT: u64 = 1 << (SPI - 32);

/// Groups on, and an SPI that is enabled, an edge, and vCPU 1's.
fn ready(version: GicVersion) -> Vgic {
    let mut vgic = Vgic::new(version, 2, 96, 4);
    let mut write = |offset, size, value| vgic.write(vcpu(0), Frame::Dist, offset, size, value);
    let _ = write(0, 4, 3);
    let _ = match version {
        GicVersion::V2 => write(0x800 + SPI, 1, 0b10),
        GicVersion::V3 => write(0x6000 + 8 * SPI, 8, 1),
    };
    let _ = write(CONFIG, 4, 0b10 << 16) | write(0x100 + 4, 4, SPI_BIT);
    vgic
}

/// A guest once made its neighbor's core take an interrupt by each of these writes.
#[test]
fn writing_what_is_there_already_kicks_nobody() {
    for version in BOTH {
        let mut vgic = ready(version);
        let mut write = |offset, size, value| vgic.write(vcpu(0), Frame::Dist, offset, size, value);
        let _ = write(0x400 + SPI, 1, 0xa0);
        assert!(write(0x200 + 4, 4, SPI_BIT) != VcpuSet::EMPTY);
        assert_eq!(write(0x400 + SPI, 1, 0xa0), VcpuSet::EMPTY, "priority");
        assert_eq!(write(0x400 + SPI, 1, 0xa7), VcpuSet::EMPTY, "its low bits");
        assert_eq!(write(CONFIG, 4, 0b10 << 16), VcpuSet::EMPTY);
        assert_eq!(write(CONFIG, 4, 0b11 << 16), VcpuSet::EMPTY);
        assert_eq!(write(0x200 + 4, 4, SPI_BIT), VcpuSet::EMPTY, "pending");
        let same = match version {
            GicVersion::V2 => write(0x800 + SPI, 1, 0b10),
            GicVersion::V3 => write(0x6000 + 8 * SPI, 8, 1),
        };
        assert_eq!(same, VcpuSet::EMPTY, "target");
    }
}

/// GICD_SPENDSGIR and GICD_CPENDSGIR are a GICv2's: a redistributor has nothing there.
#[test]
fn v3_has_no_registers_for_the_sources_of_sgis() {
    let mut vgic = ready(GicVersion::V3);
    let redist = Frame::Redist(vcpu(1));
    let _ = vgic.write(vcpu(1), redist, 0x1_0100, 4, !0);
    assert!(!vgic.sgi1r(vcpu(0), 9 << 24 | 0b10).is_empty());
    for offset in [0x1_0f10, 0x1_0f20] {
        let kick = vgic.write(vcpu(0), redist, offset + 9, 1, 0b01);
        assert_eq!(kick, VcpuSet::EMPTY, "{offset:#x}");
        assert_eq!(vgic.read(vcpu(0), redist, offset + 9, 1).0, 0);
    }
}

#[test]
fn whoever_holds_an_interrupt_that_a_register_makes_active_is_told() {
    let mut vgic = ready(GicVersion::V3);
    let set_active = |vgic: &mut Vgic| vgic.write(vcpu(0), Frame::Dist, 0x304, 4, SPI_BIT);
    assert_eq!(set_active(&mut vgic), VcpuSet::one(vcpu(1)));
    assert!(vgic.needs_flush(vcpu(1)));
    // Without a target it is the first vCPU's: the number behind the last is no vCPU's.
    let mut vgic = ready(GicVersion::V3);
    let _ = vgic.write(vcpu(0), Frame::Dist, 0x6000 + 8 * SPI, 8, 2);
    assert_eq!(set_active(&mut vgic), VcpuSet::one(vcpu(0)));
}

#[test]
fn an_interrupt_alone_is_enough_to_enter_anew_and_so_is_a_deactivation() {
    let mut vgic = ready(GicVersion::V3);
    assert!(!vgic.needs_flush(vcpu(1)));
    let _ = vgic.pulse(vcpu(0), SPI as u32);
    assert!(vgic.needs_flush(vcpu(1)) && !vgic.needs_flush(vcpu(0)));
    let mut vgic = ready(GicVersion::V3);
    let _ = vgic.hw_pending(vcpu(1), 27, 27) | vgic.hw_withdraw(vcpu(1), 27);
    assert!(vgic.needs_flush(vcpu(1)) && !vgic.needs_flush(vcpu(0)));
}

#[test]
fn a_line_that_drops_under_its_handler_kicks_nobody() {
    for version in BOTH {
        let mut machine = Machine::new(version, 1, 96, 4);
        machine.enable_all();
        machine.set_level(0, 33, true);
        machine.acknowledge(0);
        // A refresh with the line still high: the register tells when the handler ends.
        machine.write(0, Frame::Dist, 0x204, 4, 0);
        assert_eq!(machine.vgic.set_level(vcpu(0), 33, false), VcpuSet::EMPTY);
        machine.eoi(0, 33);
        assert_eq!(machine.acknowledge(0), None);
    }
}

#[test]
fn a_priority_that_is_read_is_as_old_as_its_last_write() {
    let mut machine = Machine::new(GicVersion::V3, 2, 96, 4);
    machine.enable_all();
    machine.pulse(0, 33);
    let (_, whom) = machine.vgic.read(vcpu(1), Frame::Dist, 0x420, 4);
    assert_eq!(whom, VcpuSet::EMPTY, "no list register knows better");
}
