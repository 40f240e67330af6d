// SPDX-License-Identifier: MIT OR Apache-2.0

//! The register map: what it reads, what Linux does with it at boot, and that nothing a guest
//! can write breaks it.

mod machine;

use machine::{Machine, vcpu};
use platform::GicVersion;
use proptest::{collection::vec, prelude::*};
use vgic::{Frame, Lr, Lrs, VcpuSet, Vgic};

fn read(vgic: &Vgic, frame: Frame, offset: u64, size: u8) -> u64 {
    vgic.read(vcpu(0), frame, offset, size).0
}

#[test]
fn v3_describes_itself() {
    for (vcpus, intids, lines) in [(1, 64, 1), (2, 96, 2), (8, 1020, 31), (8, 5000, 31)] {
        let vgic = Vgic::new(GicVersion::V3, vcpus, intids, 4);
        let typer = read(&vgic, Frame::Dist, 4, 4);
        assert_eq!(typer & 0x1f, lines);
        assert_eq!(typer >> 19 & 0x1f, 9, "10 bits of INTID");
        assert_ne!(typer & 1 << 25, 0, "No1N: an SPI has one target");
        assert_eq!(
            typer & (1 << 17 | 1 << 16 | 1 << 10 | 1 << 8),
            0,
            "LPIS, MBIS, SecurityExtn, ESPI"
        );
        assert_eq!(read(&vgic, Frame::Dist, 0, 4), 0x50, "ARE and DS");
        assert_eq!(read(&vgic, Frame::Dist, 0xffe8, 4) & 0xf0, 0x30);
        assert_eq!(
            read(&vgic, Frame::Dist, 0xfe8, 4),
            0,
            "a GICv2 has it there"
        );
        assert_eq!(read(&vgic, Frame::Dist, 8, 4) & 0xfff, 0x43b);
        for n in 0..vcpus {
            let frame = Frame::Redist(vcpu(n));
            let typer = read(&vgic, frame, 8, 8);
            assert_eq!(typer >> 32, n as u64, "affinity");
            assert_eq!(typer >> 8 & 0xffff, n as u64, "processor number");
            assert_eq!(typer & 1 << 4 != 0, n + 1 == vcpus, "last");
            assert_eq!(typer & 0xf, 0, "no LPIs");
            assert_eq!(read(&vgic, frame, 8, 4), typer & 0xffff_ffff);
            assert_eq!(read(&vgic, frame, 12, 4), typer >> 32);
            assert_eq!(read(&vgic, frame, 4, 4) & 0xfff, 0x43b);
            assert_eq!(read(&vgic, frame, 0xffe8, 4) & 0xf0, 0x30);
            assert_eq!(read(&vgic, frame, 0, 4), 0);
        }
        assert_eq!(read(&vgic, Frame::Redist(vcpu(vcpus)), 8, 8), 0);
    }
}

#[test]
fn v2_describes_itself() {
    for vcpus in [1, 2, 8] {
        let mut vgic = Vgic::new(GicVersion::V2, vcpus, 96, 4);
        assert_eq!(read(&vgic, Frame::Dist, 0, 4), 0);
        assert_eq!(read(&vgic, Frame::Dist, 4, 4), (vcpus as u64 - 1) << 5 | 2);
        assert_eq!(read(&vgic, Frame::Dist, 0xfe8, 4) & 0xf0, 0x20);
        assert_eq!(
            read(&vgic, Frame::Dist, 0xffe8, 4),
            0,
            "a GICv3 has it there"
        );
        assert_eq!(read(&vgic, Frame::Redist(vcpu(0)), 8, 8), 0);
        let _ = vgic.write(vcpu(0), Frame::Redist(vcpu(0)), 0x1_0100, 4, !0);
        assert_eq!(read(&vgic, Frame::Dist, 0x100, 4), 0xffff, "SGIs alone");
    }
}

#[test]
fn a_redistributor_sleeps_and_wakes_as_told() {
    let mut vgic = Vgic::new(GicVersion::V3, 2, 96, 4);
    let frame = Frame::Redist(vcpu(1));
    assert_eq!(read(&vgic, frame, 0x14, 4), 0);
    let _ = vgic.write(vcpu(0), frame, 0x14, 4, !0);
    assert_eq!(read(&vgic, frame, 0x14, 4), 0b110);
    assert_eq!(read(&vgic, Frame::Redist(vcpu(0)), 0x14, 4), 0);
    let _ = vgic.write(vcpu(0), frame, 0x14, 4, 0);
    assert_eq!(read(&vgic, frame, 0x14, 4), 0);
}

#[test]
fn each_vcpu_has_private_interrupts_of_its_own() {
    for version in [GicVersion::V2, GicVersion::V3] {
        let mut machine = Machine::new(version, 2, 96, 4);
        machine.private(1, 0x180, !0);
        machine.private(0, 0x180, !0);
        machine.private(1, 0x100, 1 << 27);
        machine.private(1, 0x418, 0xff << 24);
        machine.private(1, 0xc04, 0b10 << 22);
        assert_eq!(machine.read_private(1, 0x100), 1 << 27);
        assert_eq!(machine.read_private(1, 0x418), 0xf8 << 24, "5 bits");
        assert_eq!(machine.read_private(1, 0xc04), 0b10 << 22);
        for offset in [0x100, 0x418, 0xc04] {
            assert_eq!(machine.read_private(0, offset), 0);
        }
        machine.private(0, 0xc00, 0);
        assert_eq!(
            machine.read_private(0, 0xc00),
            0xaaaa_aaaa,
            "SGIs are edges"
        );
    }
}

#[test]
fn v3_has_private_interrupts_and_targets_in_no_distributor_register() {
    let mut vgic = Vgic::new(GicVersion::V3, 2, 1020, 4);
    for word in [
        0x80, 0x100, 0x200, 0x300, 0x400, 0xc00, 0x800, 0x820, 0xf00, 0xf20,
    ] {
        assert!(vgic.write(vcpu(0), Frame::Dist, word, 4, !0).is_empty());
        assert_eq!(read(&vgic, Frame::Dist, word, 4), 0, "{word:#x}");
    }
    let redist = Frame::Redist(vcpu(0));
    for word in [0x1_0084, 0x1_0104, 0x1_0420, 0x1_0c08, 0x1_0800, 0x1_6100] {
        let _ = vgic.write(vcpu(0), redist, word, 4, !0);
        assert_eq!(read(&vgic, redist, word, 4), 0, "{word:#x}");
    }
}

#[test]
fn the_last_word_stops_at_the_special_intids() {
    let mut vgic = Vgic::new(GicVersion::V3, 1, 1020, 4);
    let _ = vgic.write(vcpu(0), Frame::Dist, 0x17c, 4, !0);
    assert_eq!(read(&vgic, Frame::Dist, 0x17c, 4), 0x0fff_ffff);
    let _ = vgic.write(vcpu(0), Frame::Dist, 0x7fd8, 8, 1);
    assert_eq!(read(&vgic, Frame::Dist, 0x7fd8, 8), 1);
    let _ = vgic.write(vcpu(0), Frame::Dist, 0x7fe0, 8, 1);
    assert_eq!(read(&vgic, Frame::Dist, 0x7fe0, 8), 0);
}

#[test]
fn routes_are_read_and_written_whole_or_by_halves() {
    let mut vgic = Vgic::new(GicVersion::V3, 2, 96, 4);
    let at = 0x6000 + 8 * 40;
    let _ = vgic.write(vcpu(0), Frame::Dist, at, 8, 0xff_8012_3401);
    assert_eq!(
        read(&vgic, Frame::Dist, at, 8),
        0x12_3401,
        "no Aff3, no routing mode"
    );
    let _ = vgic.write(vcpu(0), Frame::Dist, at, 4, 1);
    let _ = vgic.write(vcpu(0), Frame::Dist, at + 4, 4, 0xff);
    assert_eq!(read(&vgic, Frame::Dist, at, 4), 1);
    assert_eq!(read(&vgic, Frame::Dist, at + 4, 4), 0);
    for (offset, size) in [(at + 2, 2), (at, 1), (at + 4, 8), (at + 1, 4)] {
        let _ = vgic.write(vcpu(0), Frame::Dist, offset, size, 0);
        assert_eq!(read(&vgic, Frame::Dist, offset, size), 0);
    }
    assert_eq!(read(&vgic, Frame::Dist, at, 8), 1);
}

#[test]
fn byte_registers_take_bytes_and_words_and_others_words_alone() {
    let mut vgic = Vgic::new(GicVersion::V2, 2, 96, 4);
    let _ = vgic.write(vcpu(0), Frame::Dist, 0x422, 1, 0x47);
    assert_eq!(read(&vgic, Frame::Dist, 0x420, 4), 0x40_0000);
    assert_eq!(read(&vgic, Frame::Dist, 0x422, 1), 0x40);
    let _ = vgic.write(vcpu(0), Frame::Dist, 0x821, 1, 0xff);
    assert_eq!(
        read(&vgic, Frame::Dist, 0x820, 4),
        0x300,
        "the vCPUs there are"
    );
    for size in [2, 8] {
        let _ = vgic.write(vcpu(0), Frame::Dist, 0x420, size, 0);
        assert_eq!(read(&vgic, Frame::Dist, 0x420, size), 0);
    }
    assert_eq!(read(&vgic, Frame::Dist, 0x420, 4), 0x40_0000);
    for size in [1, 2, 8] {
        let _ = vgic.write(vcpu(0), Frame::Dist, 0x104, size, !0);
        let _ = vgic.write(vcpu(0), Frame::Dist, 0, size, !0);
    }
    assert_eq!(read(&vgic, Frame::Dist, 0x104, 4), 0);
    assert_eq!(read(&vgic, Frame::Dist, 0, 4), 0);
}

#[test]
fn v2_targets_of_private_interrupts_show_the_reader() {
    let vgic = Vgic::new(GicVersion::V2, 3, 96, 4);
    for n in 0..3 {
        for offset in (0x800..0x820).step_by(4) {
            let (word, _) = vgic.read(vcpu(n), Frame::Dist, offset, 4);
            assert_eq!(word, 0x0101_0101 << n);
        }
    }
    let alone = Vgic::new(GicVersion::V2, 1, 96, 4);
    assert_eq!(read(&alone, Frame::Dist, 0x800, 4), 0);
    assert_eq!(read(&alone, Frame::Dist, 0x820, 4), 0);
}

#[test]
fn a_lone_vcpu_gets_each_spi_whatever_is_written_to_its_targets() {
    let mut machine = Machine::new(GicVersion::V2, 1, 96, 4);
    machine.enable_all();
    for targets in [0xffff_ffff, 0] {
        machine.gicd(0x820, targets);
        assert_eq!(machine.read(0, Frame::Dist, 0x820, 4), 0);
        machine.pulse(0, 34);
        assert_eq!(machine.acknowledge(0), Some((34, 0)));
        machine.eoi(0, 34);
    }
}

#[test]
fn v2_targets_of_private_interrupts_can_not_be_set() {
    let mut machine = Machine::new(GicVersion::V2, 2, 96, 4);
    machine.enable_all();
    machine.write(1, Frame::Dist, 0x800 + 27, 1, 0b01);
    machine.set_level(1, 27, true);
    assert_eq!(machine.acknowledge(0), None);
    assert_eq!(machine.acknowledge(1), Some((27, 0)));
}

#[test]
fn v3_spis_go_where_their_route_says_and_not_where_v2_targets_would() {
    let mut machine = Machine::new(GicVersion::V3, 2, 96, 4);
    machine.enable_all();
    machine.write(0, Frame::Dist, 0x800 + 34, 1, 0b10);
    assert_eq!(machine.read(0, Frame::Dist, 0x6000 + 8 * 34, 8), 0);
    machine.pulse(0, 34);
    assert_eq!(machine.acknowledge(0), Some((34, 0)));
}

#[test]
fn v2_has_no_routes() {
    let mut vgic = Vgic::new(GicVersion::V2, 2, 96, 4);
    let _ = vgic.write(vcpu(0), Frame::Dist, 0x800 + 34, 1, 0b10);
    let _ = vgic.write(vcpu(0), Frame::Dist, 0x6000 + 8 * 34, 8, 1);
    assert_eq!(read(&vgic, Frame::Dist, 0x6000 + 8 * 34, 8), 0);
    assert_eq!(read(&vgic, Frame::Dist, 0x800 + 34, 1), 0b10);
}

#[test]
fn v2_spis_have_no_target_until_they_are_given_one() {
    let mut machine = Machine::new(GicVersion::V2, 2, 96, 4);
    machine.enable_all();
    machine.pulse(0, 34);
    let taken = [0, 1].map(|n| machine.acknowledge(n));
    assert_eq!(taken, [None, None]);
    machine.write(0, Frame::Dist, 0x800 + 34, 1, 0b10);
    assert_eq!(machine.acknowledge(1), Some((34, 0)));
}

/// The index of what such a vCPU's interrupts were is that of the first SPIs.
#[test]
fn redistributors_that_are_not_there_take_no_writes() {
    let mut vgic = Vgic::new(GicVersion::V3, 2, 96, 4);
    let _ = vgic.write(vcpu(0), Frame::Redist(vcpu(2)), 0x1_0100, 4, !0);
    assert_eq!(read(&vgic, Frame::Dist, 0x104, 4), 0);
}

/// IHI 0048B.b 4.3.15 and 4.3.16: words and, for sources, bytes.
#[test]
fn sgir_takes_words_alone() {
    let mut vgic = Vgic::new(GicVersion::V2, 2, 96, 4);
    let _ = vgic.write(vcpu(0), Frame::Dist, 0, 4, 3);
    for size in [1, 2, 8] {
        let kick = vgic.write(vcpu(0), Frame::Dist, 0xf00, size, 0b10 << 16 | 3);
        assert!(kick.is_empty(), "{size}");
        assert_eq!(read(&vgic, Frame::Dist, 0xf20, 4), 0);
    }
}

/// What Linux's GICv3 driver does to the distributor and then on each CPU.
fn boot_v3(machine: &mut Machine, vcpus: usize) {
    let typer = machine.read(0, Frame::Dist, 4, 4);
    let lines = ((typer & 0x1f) + 1) * 32;
    assert_eq!(machine.read(0, Frame::Dist, 0xffe8, 4) & 0xf0, 0x30);
    machine.gicd(0, 0);
    for n in (32..lines).step_by(32) {
        machine.gicd(0x80 + n / 8, !0);
    }
    for n in (32..lines).step_by(16) {
        machine.gicd(0xc00 + n / 4, 0);
    }
    for n in (32..lines).step_by(4) {
        machine.gicd(0x400 + n, 0xa0a0_a0a0);
    }
    for n in (32..lines).step_by(32) {
        machine.gicd(0x380 + n / 8, !0);
        machine.gicd(0x180 + n / 8, !0);
    }
    machine.gicd(0, 0x13);
    assert_eq!(
        machine.read(0, Frame::Dist, 0, 4),
        0x53,
        "on, and no write pending"
    );
    for n in 32..lines {
        machine.write(0, Frame::Dist, 0x6000 + 8 * n, 8, 0);
    }
    for n in 0..vcpus {
        boot_v3_cpu(machine, n, vcpus);
    }
}

fn boot_v3_cpu(machine: &mut Machine, n: usize, vcpus: usize) {
    let own = (0..vcpus)
        .find(|&m| machine.read(n, Frame::Redist(vcpu(m)), 8, 8) >> 32 == n as u64)
        .expect("a redistributor with this affinity");
    let frame = Frame::Redist(vcpu(own));
    let waker = machine.read(n, frame, 0x14, 4);
    machine.write(n, frame, 0x14, 4, waker & !0b10);
    assert_eq!(machine.read(n, frame, 0x14, 4) & 0b100, 0, "awake");
    machine.gicr(n, 0x80, !0);
    machine.gicr(n, 0x380, !0);
    machine.gicr(n, 0x180, !0);
    for offset in (0x400..0x420).step_by(4) {
        machine.gicr(n, offset, 0xa0a0_a0a0);
    }
    assert_eq!(machine.read(n, frame, 0, 4) & 1 << 3, 0, "no write pending");
}

#[test]
fn linux_boots_on_v3() {
    for vcpus in [1, 2, 8] {
        let mut machine = Machine::new(GicVersion::V3, vcpus, 96, 4);
        boot_v3(&mut machine, vcpus);
        for n in 0..vcpus {
            machine.gicr(n, 0x100, 0xff);
            let config = machine.read_private(n, 0xc04);
            machine.gicr(n, 0xc04, config);
            assert_eq!(machine.read_private(n, 0xc04), config);
            machine.gicr(n, 0x100, 1 << 27);
            assert_eq!(machine.read_private(n, 0x100), 1 << 27 | 0xff);
            machine.physical(n, 27, true);
            assert_eq!(machine.acknowledge(n), Some((27, 0)));
            machine.physical(n, 27, false);
            machine.eoi(n, 27);
            let fields = machine.cores[n].cpu.fields(0);
            assert_eq!((fields.priority, fields.group1), (0xa0, true));
        }
        use_devices(&mut machine, vcpus, 0);
    }
}

/// What Linux's GICv2 driver does to the distributor and then on each CPU.
fn boot_v2(machine: &mut Machine, vcpus: usize) {
    let mut mask = 0;
    for offset in (0x800..0x820).step_by(4) {
        let word = machine.read(0, Frame::Dist, offset, 4) as u32;
        mask |= word | word >> 16 | word >> 8 | word >> 24;
    }
    assert!(vcpus == 1 || mask & 0xff == 1, "its own interface");
    let lines = ((machine.read(0, Frame::Dist, 4, 4) & 0x1f) + 1) * 32;
    machine.gicd(0, 0);
    for n in (32..lines).step_by(4) {
        machine.gicd(0x800 + n, (mask & 0xff) * 0x0101_0101);
        machine.gicd(0x400 + n, 0xa0a0_a0a0);
    }
    for n in (32..lines).step_by(16) {
        machine.gicd(0xc00 + n / 4, 0);
    }
    for n in (32..lines).step_by(32) {
        machine.gicd(0x380 + n / 8, !0);
        machine.gicd(0x180 + n / 8, !0);
    }
    machine.gicd(0, 1);
    for n in 0..vcpus {
        machine.private(n, 0x380, !0);
        machine.private(n, 0x180, 0xffff_0000);
        machine.private(n, 0x100, 0x0000_ffff);
        for offset in (0x400..0x420).step_by(4) {
            machine.private(n, offset, 0xa0a0_a0a0);
        }
    }
}

#[test]
fn linux_boots_on_v2() {
    for vcpus in [1, 2, 8] {
        let mut machine = Machine::new(GicVersion::V2, vcpus, 96, 4);
        boot_v2(&mut machine, vcpus);
        for n in 0..vcpus {
            machine.private(n, 0x100, 1 << 27);
            machine.physical(n, 27, true);
            assert_eq!(machine.acknowledge(n), Some((27, 0)));
            machine.physical(n, 27, false);
            machine.eoi(n, 27);
            let fields = machine.cores[n].cpu.fields(0);
            assert_eq!((fields.priority, fields.group1), (0xa0, false));
        }
        let last = vcpus - 1;
        use_devices(&mut machine, vcpus, last as u8);
    }
}

/// The UART, OP-TEE's notification and IPIs from the last vCPU to all.
fn use_devices(machine: &mut Machine, vcpus: usize, source: u8) {
    let config = machine.read(0, Frame::Dist, 0xc08, 4) as u32 | 0b10 << 4;
    machine.gicd(0xc08, config);
    assert_eq!(machine.read(0, Frame::Dist, 0xc08, 4) as u32, config);
    machine.gicd(0x104, 0b110);
    machine.set_level(0, 33, true);
    machine.pulse(0, 34);
    assert_eq!(machine.acknowledge(0), Some((33, 0)));
    machine.set_level(0, 33, false);
    machine.eoi(0, 33);
    assert_eq!(machine.acknowledge(0), Some((34, 0)));
    machine.eoi(0, 34);
    machine.sgi(vcpus - 1, 0xff, 1);
    for n in 0..vcpus {
        assert_eq!(machine.acknowledge(n), Some((1, source)));
        machine.eoi_from(n, 1, source);
        assert_eq!(machine.acknowledge(n), None);
    }
}

#[test]
fn every_offset_reads_the_same_twice_and_zero_where_the_map_has_nothing() {
    for version in [GicVersion::V2, GicVersion::V3] {
        for value in [0, !0, 0x0123_4567_89ab_cdef] {
            let mut vgic = Vgic::new(version, 2, 96, 4);
            for f in [Frame::Dist, Frame::Redist(vcpu(1))] {
                every_offset(&mut vgic, f, value);
            }
        }
    }
}

fn every_offset(vgic: &mut Vgic, f: Frame, value: u64) {
    for size in [1, 2, 4, 8] {
        for offset in (0..0x2_0000).step_by(usize::from(size)) {
            let _ = vgic.write(vcpu(1), f, offset, size, value);
            let once = vgic.read(vcpu(1), f, offset, size);
            assert_eq!(once, vgic.read(vcpu(1), f, offset, size));
            assert!(size == 8 || once.0 >> (8 * size) == 0, "{offset:#x}");
            let nothing = (0xd00..0xf10).contains(&(offset & 0xffff));
            assert!(!nothing || once.0 == 0, "{offset:#x}");
        }
    }
}

/// Anything that a guest or the kernel can do.
#[derive(Clone, Debug)]
enum Wild {
    Read(u8, Option<u8>, u64, u8),
    Write(u8, Option<u8>, u64, u8, u64),
    Sgi(u8, u64),
    Level(u8, u32, bool),
    Hardware(u8, u32, u32),
    Withdraw(u8, u32),
    Deactivate(u8, u32),
    Run(u8, u32, Vec<u64>),
    Reset,
}

fn wild() -> impl Strategy<Value = Wild> {
    let n = || prop_oneof![20 => 0..4_u8, 1 => any::<u8>()];
    let frame = || prop::option::of(n());
    let offset = || {
        prop_oneof![
            8 => 0..0x1000_u64,
            4 => 0x1_0000..0x1_1000_u64,
            2 => 0x6000..0x8000_u64,
            1 => 0..0x2_0000_u64,
            1 => any::<u64>(),
        ]
    };
    let size = || prop_oneof![Just(1_u8), Just(2), Just(4), Just(4), Just(8), any::<u8>()];
    let value = || prop_oneof![any::<u64>(), Just(0), Just(!0)];
    let intid = || prop_oneof![10 => 0..100_u32, 1 => any::<u32>()];
    prop_oneof![
        3 => (n(), frame(), offset(), size()).prop_map(|(n, f, o, s)| Wild::Read(n, f, o, s)),
        10 => (n(), frame(), offset(), size(), value())
            .prop_map(|(n, f, o, s, v)| Wild::Write(n, f, o, s, v)),
        2 => (n(), value()).prop_map(|(n, v)| Wild::Sgi(n, v)),
        2 => (n(), intid(), any::<bool>()).prop_map(|(n, i, l)| Wild::Level(n, i, l)),
        2 => (n(), intid(), any::<u32>()).prop_map(|(n, i, p)| Wild::Hardware(n, i, p)),
        1 => (n(), intid()).prop_map(|(n, i)| Wild::Withdraw(n, i)),
        1 => (n(), intid()).prop_map(|(n, i)| Wild::Deactivate(n, i)),
        6 => (n(), any::<u32>(), vec(any::<u64>(), 16)).prop_map(|(n, h, r)| Wild::Run(n, h, r)),
        1 => Just(Wild::Reset),
    ]
}

fn frame(of: Option<u8>) -> Frame {
    of.map_or(Frame::Dist, |n| Frame::Redist(platform::VcpuId(n)))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_breaks_it(v2: bool, lrs in 1..17_usize, ops in vec(wild(), 1..200)) {
        let version = if v2 { GicVersion::V2 } else { GicVersion::V3 };
        let mut vgic = Vgic::new(version, 3, 96, lrs);
        let mut banks: Vec<Lrs> = (0..256).map(|_| Lrs::new()).collect();
        for op in ops {
            let kick = match op {
                Wild::Read(n, f, offset, size) => {
                    vgic.read(platform::VcpuId(n), frame(f), offset, size).1
                }
                Wild::Write(n, f, offset, size, value) => {
                    vgic.write(platform::VcpuId(n), frame(f), offset, size, value)
                }
                Wild::Sgi(n, value) => {
                    vgic.sgi1r(platform::VcpuId(n), value) | vgic.sgi0r(platform::VcpuId(n), !value)
                }
                Wild::Level(n, intid, level) => vgic.set_level(platform::VcpuId(n), intid, level),
                Wild::Hardware(n, intid, pintid) => {
                    vgic.hw_pending(platform::VcpuId(n), intid, pintid)
                }
                Wild::Withdraw(n, intid) => vgic.hw_withdraw(platform::VcpuId(n), intid),
                Wild::Deactivate(n, intid) => vgic.deactivate(platform::VcpuId(n), intid),
                Wild::Run(n, hcr, noise) => run(&mut vgic, n, &mut banks[usize::from(n)], hcr, &noise),
                Wild::Reset => {
                    for n in 0..3 {
                        let _ = vgic.sync(platform::VcpuId(n), &mut banks[usize::from(n)]);
                    }
                    vgic.reset();
                    VcpuSet::EMPTY
                }
            };
            prop_assert_eq!(kick.bits() & !0b111, 0, "no such vCPU");
        }
    }
}

/// A vCPU enters, and the hardware answers with noise in the state bits.
fn run(vgic: &mut Vgic, n: u8, lrs: &mut Lrs, hcr: u32, noise: &[u64]) -> VcpuSet {
    let held: Vec<Lr> = lrs.to_load().to_vec();
    lrs.save(hcr, |i| {
        let value = held[i].to_ich();
        Lr::from_ich(value & !(0b11 << 62) | noise[i] & (0b11 << 62))
    });
    let kick = vgic.sync(platform::VcpuId(n), lrs);
    vgic.flush(platform::VcpuId(n), lrs);
    assert!(lrs.used() <= Lrs::MAX);
    while vgic.take_deactivation(platform::VcpuId(n)).is_some() {}
    kick
}
