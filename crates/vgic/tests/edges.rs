//! Corners of the architecture that few guests come to.

mod machine;

use machine::{Machine, vcpu};
use vgic::{Frame, Version};

const EDGE: u32 = 34;

fn ready(version: Version) -> Machine {
    let mut machine = Machine::new(version, 2, 96, 4);
    machine.enable_all();
    machine.gicd(0xc08, 0b10 << 4);
    machine
}

/// No maintenance interrupt is needed for what the register can hold.
#[test]
fn an_edge_that_comes_again_waits_in_its_register() {
    let mut machine = ready(Version::V3);
    machine.pulse(0, EDGE);
    machine.acknowledge(0);
    machine.pulse(0, EDGE);
    let fields = machine.cores[0].cpu.fields(0);
    assert_eq!(
        (fields.intid, fields.state, fields.eoi),
        (EDGE, 0b11, false)
    );
}

/// IHI 0048B.b 4.3.7: GICD_SPENDSGIR and GICD_CPENDSGIR are for them.
#[test]
fn v2_pending_bits_of_sgis_are_read_only() {
    let mut machine = ready(Version::V2);
    machine.private(1, 0x200, 0xffff);
    assert_eq!(machine.read_private(1, 0x200), 0);
    assert_eq!(machine.acknowledge(1), None);
    machine.write(1, Frame::Dist, 0xf20 + 9, 1, 0b01);
    machine.private(1, 0x280, 0xffff);
    assert_eq!(machine.read_private(1, 0x200), 1 << 9);
    assert_eq!(machine.acknowledge(1), Some((9, 0)));
    assert!(!machine.vgic.needs_flush(vcpu(1)));
}
