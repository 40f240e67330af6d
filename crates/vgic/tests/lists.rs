// SPDX-License-Identifier: MIT OR Apache-2.0

//! Interrupts through the list registers, on a machine with 2 vCPUs.

mod machine;

use machine::{Core, Machine, vcpu};
use platform::GicVersion;
use vgic::{Frame, Lr, Lrs, Origin, State, VcpuSet, Vgic};

const UART: u32 = 33;
const EDGE: u32 = 34;
const TIMER: u32 = 27;
const BOTH: [GicVersion; 2] = [GicVersion::V2, GicVersion::V3];

/// Everything enabled, [`EDGE`] edge-triggered, all SPIs to vCPU 0.
fn ready(version: GicVersion, lrs: usize) -> Machine {
    let mut machine = Machine::new(version, 2, 96, lrs);
    machine.enable_all();
    machine.gicd(0xc08, 0b10 << 4);
    if version == GicVersion::V2 {
        for word in 8..24 {
            machine.gicd(0x800 + 4 * word, 0x0101_0101);
        }
    }
    machine
}

fn set_priority(machine: &mut Machine, intid: u32, priority: u8) {
    machine.write(0, Frame::Dist, 0x400 + u64::from(intid), 1, priority.into());
}

/// The registers keep EOIcount until they are filled again.
#[test]
fn ends_without_a_register_are_counted_once() {
    let mut machine = ready(GicVersion::V3, 1);
    for (spi, priority) in [(40, 0xa0), (41, 0x80), (42, 0x60)] {
        set_priority(&mut machine, spi, priority);
        machine.pulse(0, spi);
        assert_eq!(machine.acknowledge(0), Some((spi, 0)));
    }
    machine.prompt = false;
    machine.eoi(0, 42);
    machine.eoi(0, 41);
    machine.sync(0);
    machine.sync(0);
    machine.enter(0);
    assert_eq!(machine.read(0, Frame::Dist, 0x304, 4), 1 << (40 - 32));
}

#[test]
fn encodings_have_the_bits_of_the_architecture() {
    let software = Lr {
        intid: 0x21,
        priority: 0xa0,
        group1: true,
        state: State::Pending,
        origin: Origin::Software {
            eoi: true,
            source: 0,
        },
    };
    assert_eq!(software.to_ich(), 0x50a0_0200_0000_0021);
    assert_eq!(software.to_gich(), 0x5a08_0021);
    let hardware = Lr {
        intid: 27,
        priority: 0x80,
        group1: false,
        state: State::Active,
        origin: Origin::Hardware(30),
    };
    assert_eq!(hardware.to_ich(), 0xa080_001e_0000_001b);
    assert_eq!(hardware.to_gich(), 0xa800_781b);
    let sgi = Lr {
        intid: 3,
        priority: 0,
        group1: false,
        state: State::PendingActive,
        origin: Origin::Software {
            eoi: false,
            source: 5,
        },
    };
    assert_eq!(sgi.to_gich(), 0x3000_1403);
    // All ten bits of a physical INTID are there.
    let last = Lr {
        origin: Origin::Hardware(0x3ff),
        ..hardware
    };
    assert_eq!(last.to_gich(), 0xa80f_fc1b);
    for lr in [software, hardware, sgi, last] {
        assert_eq!(Lr::from_gich(lr.to_gich()), lr);
    }
    let untold = Lr {
        origin: Origin::Software {
            eoi: false,
            source: 0,
        },
        ..software
    };
    for lr in [software, hardware, untold] {
        assert_eq!(Lr::from_ich(lr.to_ich()), lr);
    }
    assert_eq!((Lr::FREE.to_ich(), Lr::FREE.to_gich()), (0, 0));
}

#[test]
fn nothing_pending_costs_nothing() {
    for version in BOTH {
        let mut machine = ready(version, 4);
        let before = machine.refreshes;
        machine.settle();
        assert_eq!(machine.refreshes, before);
        assert!(machine.cores[0].lrs.is_idle());
        assert!(!machine.vgic.needs_flush(vcpu(0)));
        assert_eq!(machine.cores[0].lrs.hcr(), Lrs::HCR_EN);
    }
}

#[test]
fn an_edge_is_taken_once() {
    for version in BOTH {
        let mut machine = ready(version, 4);
        machine.pulse(0, EDGE);
        machine.pulse(0, EDGE);
        assert_eq!(machine.acknowledge(0), Some((EDGE, 0)));
        machine.eoi(0, EDGE);
        assert_eq!(machine.acknowledge(0), None);
    }
}

#[test]
fn an_edge_during_its_handler_comes_after_it() {
    for version in BOTH {
        let mut machine = ready(version, 4);
        machine.pulse(0, EDGE);
        machine.acknowledge(0);
        machine.pulse(0, EDGE);
        assert_eq!(machine.acknowledge(0), None, "not while it is active");
        machine.eoi(0, EDGE);
        assert_eq!(machine.acknowledge(0), Some((EDGE, 0)));
        machine.eoi(0, EDGE);
        assert_eq!(machine.acknowledge(0), None);
    }
}

#[test]
fn a_level_is_sampled_again_when_its_handler_ends() {
    for version in BOTH {
        for split in [false, true] {
            let mut machine = ready(version, 4);
            machine.cores[0].cpu.split_eoi = split;
            let end = |machine: &mut Machine| {
                machine.eoi(0, UART);
                if split {
                    assert_eq!(machine.acknowledge(0), None, "still active");
                    machine.dir(0, UART);
                }
            };
            machine.set_level(0, UART, true);
            assert_eq!(machine.acknowledge(0), Some((UART, 0)));
            end(&mut machine);
            assert_eq!(machine.acknowledge(0), Some((UART, 0)), "still asserted");
            machine.set_level(0, UART, false);
            end(&mut machine);
            assert_eq!(machine.acknowledge(0), None);
        }
    }
}

#[test]
fn a_level_that_drops_before_it_is_taken_is_withdrawn() {
    let mut machine = ready(GicVersion::V3, 4);
    machine.set_level(0, UART, true);
    machine.set_level(0, UART, false);
    assert_eq!(machine.acknowledge(0), None);
}

#[test]
fn the_timer_fires_again_while_it_is_asserted() {
    for version in BOTH {
        let mut machine = ready(version, 4);
        machine.physical(1, TIMER, true);
        for _ in 0..3 {
            assert_eq!(machine.acknowledge(1), Some((TIMER, 0)));
            assert!(machine.physical_active(1, TIMER));
            assert_eq!(machine.acknowledge(1), None);
            machine.eoi(1, TIMER);
        }
        machine.acknowledge(1);
        machine.physical(1, TIMER, false);
        machine.eoi(1, TIMER);
        assert!(!machine.physical_active(1, TIMER));
        assert_eq!(machine.acknowledge(1), None);
    }
}

#[test]
fn a_timer_set_anew_before_it_was_taken_is_withdrawn() {
    let mut machine = ready(GicVersion::V3, 4);
    machine.physical(0, TIMER, true);
    assert!(machine.physical_active(0, TIMER));
    machine.physical(0, TIMER, false);
    assert!(!machine.physical_active(0, TIMER));
    assert_eq!(machine.acknowledge(0), None);
}

#[test]
fn clearing_a_hardware_interrupt_by_register_frees_the_physical_one() {
    for offset in [0x280, 0x380] {
        let mut machine = ready(GicVersion::V3, 4);
        machine.physical(0, TIMER, true);
        if offset == 0x380 {
            machine.acknowledge(0);
        }
        machine.cores[0].ppis.get_mut(&TIMER).unwrap().line = false;
        machine.gicr(0, offset, 1 << TIMER);
        assert!(!machine.physical_active(0, TIMER), "{offset:#x}");
        machine.cores[0].cpu.running.clear();
        assert_eq!(machine.acknowledge(0), None);
    }
}

#[test]
fn another_vcpu_clears_a_hardware_ppi_on_its_own_core() {
    let mut machine = ready(GicVersion::V3, 4);
    machine.physical(1, TIMER, true);
    machine.cores[1].ppis.get_mut(&TIMER).unwrap().line = false;
    machine.write(0, Frame::Redist(vcpu(1)), 0x1_0280, 4, 1 << TIMER);
    assert!(!machine.physical_active(1, TIMER));
    assert_eq!(machine.acknowledge(1), None);
}

#[test]
fn a_disabled_timer_stays_masked_and_fires_when_enabled_if_still_asserted() {
    let mut machine = ready(GicVersion::V3, 4);
    machine.gicr(0, 0x180, 1 << TIMER);
    machine.physical(0, TIMER, true);
    assert!(machine.physical_active(0, TIMER));
    assert_eq!(machine.acknowledge(0), None);
    machine.gicr(0, 0x100, 1 << TIMER);
    assert_eq!(machine.acknowledge(0), Some((TIMER, 0)));
    machine.eoi(0, TIMER);
    machine.gicr(0, 0x180, 1 << TIMER);
    assert!(machine.physical_active(0, TIMER));
    // Its line drops, and nobody tells.
    machine.cores[0].ppis.get_mut(&TIMER).unwrap().line = false;
    machine.gicr(0, 0x100, 1 << TIMER);
    assert!(!machine.physical_active(0, TIMER));
    assert_eq!(machine.acknowledge(0), None);
}

/// Nobody would tell of it again, as a level's line does.
#[test]
fn a_devices_edge_that_came_while_it_was_disabled_is_kept() {
    for version in BOTH {
        let mut machine = ready(version, 4);
        machine.gicd(0x184, 1 << (EDGE - 32));
        machine.physical(0, EDGE, true);
        assert_eq!(machine.acknowledge(0), None);
        machine.spis.get_mut(&EDGE).unwrap().line = false;
        machine.gicd(0x104, 1 << (EDGE - 32));
        assert_eq!(machine.acknowledge(0), Some((EDGE, 0)), "{version:?}");
    }
}

/// The next vCPU of the core must not find what it held, nor an interface that is on.
#[test]
fn vacated_registers_are_free_and_the_interface_off() {
    let mut machine = ready(GicVersion::V3, 4);
    machine.pulse(0, EDGE);
    let Core { lrs, cpu, .. } = &mut machine.cores[0];
    assert_ne!(lrs.hcr() & Lrs::HCR_EN, 0);
    lrs.save(cpu.hcr, |lr| Lr::from_ich(cpu.lr[lr]));
    let _ = machine.vgic.sync(vcpu(0), lrs);
    lrs.vacate();
    assert_eq!(lrs.hcr(), 0);
    assert_eq!(lrs.to_load(), [Lr::FREE]);
}

#[test]
fn software_may_pend_a_hardware_interrupt_at_any_time() {
    for edge in [false, true] {
        let mut machine = ready(GicVersion::V3, 4);
        machine.gicr(0, 0xc04, if edge { 0b10 << (2 * (TIMER - 16)) } else { 0 });
        machine.gicr(0, 0x200, 1 << TIMER);
        assert_eq!(machine.acknowledge(0), Some((TIMER, 0)));
        machine.physical(0, TIMER, true);
        machine.eoi(0, TIMER);
        assert_eq!(machine.acknowledge(0), Some((TIMER, 0)), "the physical one");
        machine.gicr(0, 0x200, 1 << TIMER);
        machine.cores[0].ppis.get_mut(&TIMER).unwrap().line = false;
        assert!(machine.physical_active(0, TIMER));
        machine.eoi(0, TIMER);
        assert_eq!(machine.acknowledge(0), Some((TIMER, 0)), "software's again");
        machine.eoi(0, TIMER);
        assert!(!machine.physical_active(0, TIMER));
        assert_eq!(machine.acknowledge(0), None);
    }
}

#[test]
fn a_level_is_never_pending_and_active_in_a_register() {
    let mut machine = ready(GicVersion::V3, 4);
    machine.set_level(0, UART, true);
    machine.acknowledge(0);
    // A refresh with the line still high.
    machine.write(0, Frame::Dist, 0x104, 4, 0);
    let fields = machine.cores[0].cpu.fields(0);
    assert_eq!((fields.intid, fields.state, fields.eoi), (UART, 0b10, true));
    machine.set_level(0, UART, false);
    machine.write(0, Frame::Dist, 0x104, 4, 0);
    assert!(!machine.cores[0].cpu.fields(0).eoi, "nothing to look at");
}

#[test]
fn making_an_active_interrupt_active_keeps_it_where_it_is() {
    let mut machine = ready(GicVersion::V3, 4);
    machine.pulse(0, EDGE);
    machine.acknowledge(0);
    machine.write(1, Frame::Dist, 0x6000 + 8 * 34, 8, 1);
    machine.write(1, Frame::Dist, 0x304, 4, 1 << (EDGE - 32));
    machine.eoi(0, EDGE);
    assert_eq!(machine.read(1, Frame::Dist, 0x304, 4), 0);
}

#[test]
fn whoever_frees_a_physical_spi_is_told_to_deactivate_it() {
    let (a, b) = (vcpu(0), vcpu(1));
    let mut vgic = Vgic::new(GicVersion::V3, 2, 96, 4);
    assert!(vgic.hw_pending(a, 40, 72).is_empty(), "not enabled");
    assert_eq!(
        vgic.write(b, Frame::Dist, 0x284, 4, 1 << 8),
        VcpuSet::one(b)
    );
    assert!(vgic.needs_flush(b));
    assert_eq!(vgic.take_deactivation(b), Some(72));
    assert!(vgic.hw_pending(a, 40, 72).is_empty());
    assert_eq!(vgic.hw_withdraw(b, 40), VcpuSet::one(b));
    assert_eq!(vgic.take_deactivation(b), Some(72));
    assert_eq!(vgic.take_deactivation(b), None);
}

#[test]
fn registers_that_empty_are_written_once() {
    let mut machine = ready(GicVersion::V3, 4);
    machine.thorough = true;
    for intid in 40..43 {
        machine.set_level(0, intid, true);
    }
    assert_eq!(machine.cores[0].lrs.to_load().len(), 3);
    assert_eq!(machine.cores[0].lrs.used(), 3);
    machine.gicd(0x184, u32::MAX);
    assert_eq!(machine.cores[0].lrs.used(), 0);
    assert!((0..4).all(|n| machine.cores[0].cpu.lr[n] == 0));
    machine.gicd(0x184, u32::MAX);
    assert!(machine.cores[0].lrs.to_load().is_empty());
}

#[test]
fn a_single_interrupt_goes_beside_the_others() {
    for version in BOTH {
        let mut machine = ready(version, 2);
        let before = machine.inserted;
        machine.pulse(0, EDGE);
        assert_eq!(machine.acknowledge(0), Some((EDGE, 0)));
        machine.set_level(0, UART, true);
        machine.eoi(0, EDGE);
        // Where it was before: the other one stays.
        machine.pulse(0, EDGE);
        assert_eq!(machine.inserted, before + 3);
        assert_eq!(machine.cores[0].lrs.used(), 2);
        // There is no third register; the one that it ended in is free by then.
        assert_eq!(machine.acknowledge(0), Some((UART, 0)));
        machine.set_level(0, 40, true);
        assert_eq!(machine.inserted, before + 3);
        for (intid, then) in [(UART, EDGE), (EDGE, 40)] {
            machine.set_level(0, UART, false);
            machine.eoi(0, intid);
            assert_eq!(machine.acknowledge(0), Some((then, 0)));
        }
    }
}

#[test]
fn the_more_urgent_goes_first_and_preempts() {
    for version in BOTH {
        let mut machine = ready(version, 2);
        for (intid, priority) in [(40, 0xa0), (41, 0x20), (42, 0x60), (43, 0x40)] {
            set_priority(&mut machine, intid, priority);
        }
        machine.gicd(0xc08, 0xaaaa_aaaa);
        machine.pulse(0, 40);
        assert_eq!(machine.acknowledge(0), Some((40, 0)));
        for intid in [42, 43, 41] {
            machine.pulse(0, intid);
        }
        assert_eq!(machine.acknowledge(0), Some((41, 0)));
        assert_eq!(machine.acknowledge(0), None, "0x40 does not preempt 0x20");
        machine.eoi(0, 41);
        for intid in [43, 42] {
            assert_eq!(machine.acknowledge(0), Some((intid, 0)));
            machine.eoi(0, intid);
        }
        machine.eoi(0, 40);
        assert_eq!(machine.acknowledge(0), None);
    }
}

#[test]
fn more_pending_than_registers_all_arrive_in_order() {
    for version in BOTH {
        for lrs in 1..=4 {
            let mut machine = ready(version, lrs);
            for intid in (40..60).rev() {
                machine.set_level(0, intid, true);
            }
            for intid in 40..60 {
                assert_eq!(machine.acknowledge(0), Some((intid, 0)));
                machine.set_level(0, intid, false);
                machine.eoi(0, intid);
            }
            assert_eq!(machine.acknowledge(0), None);
            assert!(machine.cores[0].lrs.hcr() & Lrs::HCR_NPIE == 0);
        }
    }
}

#[test]
fn more_active_than_registers_all_end() {
    for version in BOTH {
        for (lrs, split) in [(1, false), (2, false), (4, false), (1, true), (2, true)] {
            // A GICv2 cannot trap the deactivation that says which of the evicted ended.
            if split && version == GicVersion::V2 {
                continue;
            }
            let mut machine = ready(version, lrs);
            machine.cores[0].cpu.split_eoi = split;
            let nested: Vec<u32> = (40..52).collect();
            for (n, &intid) in nested.iter().enumerate() {
                set_priority(&mut machine, intid, 0xe0 - 8 * n as u8);
                machine.set_level(0, intid, true);
                assert_eq!(machine.acknowledge(0), Some((intid, 0)));
                machine.set_level(0, intid, false);
            }
            for &intid in nested.iter().rev() {
                machine.eoi(0, intid);
            }
            if split {
                for &intid in &nested {
                    machine.dir(0, intid);
                }
            }
            let word = machine.read(0, Frame::Dist, 0x304, 4);
            assert_eq!(word, 0, "{version:?} {lrs}");
            assert!(machine.cores[0].lrs.is_idle());
        }
    }
}

#[test]
fn disabling_pulls_a_pending_interrupt_out_of_the_other_vcpu() {
    for version in BOTH {
        let mut machine = ready(version, 4);
        machine.prompt = false;
        machine.pulse(0, EDGE);
        machine.enter(0);
        assert!(machine.cores[0].cpu.signalled().is_some());
        machine.write(1, Frame::Dist, 0x184, 4, 1 << (EDGE - 32));
        assert!(machine.cores[0].dirty, "kicked");
        machine.enter(0);
        assert_eq!(machine.acknowledge(0), None);
        machine.write(1, Frame::Dist, 0x104, 4, 1 << (EDGE - 32));
        machine.enter(0);
        assert_eq!(machine.acknowledge(0), Some((EDGE, 0)));
    }
}

#[test]
fn a_pending_spi_moves_to_its_new_target() {
    for version in BOTH {
        let mut machine = ready(version, 4);
        machine.pulse(0, EDGE);
        assert!(machine.cores[0].cpu.signalled().is_some());
        match version {
            GicVersion::V3 => machine.write(0, Frame::Dist, 0x6000 + 8 * 34, 8, 1),
            GicVersion::V2 => machine.write(0, Frame::Dist, 0x800 + 34, 1, 0b10),
        }
        assert_eq!(machine.acknowledge(0), None);
        assert_eq!(machine.acknowledge(1), Some((EDGE, 0)));
        machine.pulse(0, EDGE);
        machine.eoi(1, EDGE);
        assert_eq!(machine.acknowledge(1), Some((EDGE, 0)));
    }
}

#[test]
fn an_spi_that_moves_while_active_pends_on_the_new_target_when_it_ends() {
    let mut machine = ready(GicVersion::V3, 4);
    machine.pulse(0, EDGE);
    machine.acknowledge(0);
    machine.write(1, Frame::Dist, 0x6000 + 8 * 34, 8, 1);
    machine.pulse(0, EDGE);
    assert_eq!(machine.acknowledge(1), None);
    machine.eoi(0, EDGE);
    assert_eq!(machine.acknowledge(0), None);
    assert_eq!(machine.acknowledge(1), Some((EDGE, 0)));
}

#[test]
fn an_spi_without_a_target_waits_for_one() {
    let mut machine = ready(GicVersion::V3, 4);
    machine.write(0, Frame::Dist, 0x6000 + 8 * 34, 8, 0x100);
    machine.pulse(0, EDGE);
    assert_eq!(
        (machine.acknowledge(0), machine.acknowledge(1)),
        (None, None)
    );
    machine.write(0, Frame::Dist, 0x6000 + 8 * 34, 8, 0);
    assert_eq!(machine.acknowledge(0), Some((EDGE, 0)));
}

#[test]
fn clearing_the_active_state_ends_an_interrupt_on_the_other_vcpu() {
    for version in BOTH {
        let mut machine = ready(version, 4);
        machine.pulse(0, EDGE);
        machine.acknowledge(0);
        machine.write(1, Frame::Dist, 0x384, 4, 1 << (EDGE - 32));
        assert_eq!(machine.read(1, Frame::Dist, 0x304, 4), 0);
        machine.cores[0].cpu.running.clear();
        machine.pulse(0, EDGE);
        assert_eq!(machine.acknowledge(0), Some((EDGE, 0)));
    }
}

#[test]
fn setting_the_active_state_holds_an_interrupt_back() {
    for version in BOTH {
        let mut machine = ready(version, 4);
        machine.write(1, Frame::Dist, 0x304, 4, 1 << (EDGE - 32));
        machine.pulse(0, EDGE);
        assert_eq!(machine.acknowledge(0), None);
        machine.write(1, Frame::Dist, 0x384, 4, 1 << (EDGE - 32));
        assert_eq!(machine.acknowledge(0), Some((EDGE, 0)));
    }
}

#[test]
fn reading_the_state_of_an_interrupt_elsewhere_says_whom_to_ask() {
    let mut machine = ready(GicVersion::V3, 4);
    machine.pulse(0, EDGE);
    machine.acknowledge(0);
    let (_, stale) = machine.vgic.read(vcpu(1), Frame::Dist, 0x304, 4);
    assert_eq!(stale, VcpuSet::one(vcpu(0)));
    assert_eq!(machine.read(1, Frame::Dist, 0x304, 4), 1 << (EDGE - 32));
    machine.eoi(0, EDGE);
    assert_eq!(machine.read(1, Frame::Dist, 0x304, 4), 0);
}

/// Reads of all other registers touch no list register.
#[test]
fn what_list_registers_change_is_known() {
    for version in [GicVersion::V2, GicVersion::V3] {
        let mut machine = ready(version, 4);
        let mut changed = 0;
        let frames = [Frame::Dist, Frame::Redist(vcpu(0))];
        let registers = frames.map(|frame| (0..0x2_0000).step_by(4).map(move |at| (frame, at)));
        for (frame, at) in registers.into_iter().flatten() {
            machine.sgi(0, 1, 5);
            machine.pulse(0, EDGE);
            machine.enter(0);
            let first = machine.acknowledge(0).unwrap().0;
            let (stale, _) = machine.vgic.read(vcpu(0), frame, at, 4);
            let synced = machine.read(0, frame, at, 4);
            changed += u32::from(stale != synced);
            assert!(stale == synced || frame.is_state(at), "{frame:?} {at:#x}");
            machine.eoi(0, first);
            while let Some((intid, _)) = machine.acknowledge(0) {
                machine.eoi(0, intid);
            }
        }
        assert!(changed > 2, "{changed} of {version:?}");
    }
}

#[test]
fn switching_a_group_off_silences_it() {
    for (version, group) in [(GicVersion::V2, 1), (GicVersion::V3, 2)] {
        let mut machine = ready(version, 4);
        machine.pulse(0, EDGE);
        machine.gicd(0, 3 & !group);
        assert_eq!(machine.acknowledge(0), None);
        machine.gicd(0, group);
        assert_eq!(machine.acknowledge(0), Some((EDGE, 0)));
    }
}

#[test]
fn sgis_reach_the_vcpus_they_name() {
    let mut machine = ready(GicVersion::V3, 4);
    machine.sgi(0, 0b11, 5);
    for n in 0..2 {
        assert_eq!(machine.acknowledge(n), Some((5, 0)));
        machine.eoi(n, 5);
    }
    let all_but_self = machine.vgic.sgi1r(vcpu(1), 1 << 40 | 6 << 24);
    assert_eq!(all_but_self, VcpuSet::one(vcpu(0)));
    for elsewhere in [1 << 16, 1 << 32, 1 << 44, 1 << 48] {
        assert!(machine.vgic.sgi1r(vcpu(0), elsewhere | 0b11).is_empty());
    }
    assert!(
        machine.vgic.sgi1r(vcpu(0), 0xfffc).is_empty(),
        "no such vCPU"
    );
    assert!(machine.vgic.sgi0r(vcpu(0), 0b11).is_empty(), "group 1");
    machine.gicr(1, 0x80, !1);
    assert_eq!(machine.vgic.sgi0r(vcpu(0), 0b11), VcpuSet::one(vcpu(1)));
}

#[test]
fn v2_sgis_keep_their_sources_apart() {
    for lrs in [1, 4] {
        let mut machine = Machine::new(GicVersion::V2, 4, 96, lrs);
        machine.enable_all();
        for sender in [2, 0, 3, 2] {
            machine.sgi(sender, 0b10, 7);
        }
        let word = machine.read(1, Frame::Dist, 0xf20 + 4, 4);
        assert_eq!(word, 0b1101 << 24);
        for source in [0, 2, 3] {
            assert_eq!(machine.acknowledge(1), Some((7, source)));
            machine.eoi_from(1, 7, source);
        }
        assert_eq!(machine.acknowledge(1), None);
    }
}

#[test]
fn v2_sgi_filters_and_pending_registers() {
    let mut machine = Machine::new(GicVersion::V2, 3, 96, 4);
    machine.enable_all();
    machine.write(1, Frame::Dist, 0xf00, 4, 1 << 24 | 0xff << 16 | 3);
    let taken: Vec<_> = (0..3).map(|n| machine.acknowledge(n)).collect();
    assert_eq!(taken, [Some((3, 1)), None, Some((3, 1))]);
    machine.write(1, Frame::Dist, 0xf00, 4, 2 << 24 | 4);
    assert_eq!(machine.acknowledge(1), Some((4, 1)));
    machine.write(1, Frame::Dist, 0xf00, 4, 3 << 24 | 0xff << 16 | 5);
    machine
        .cores
        .iter_mut()
        .for_each(|core| core.cpu.running.clear());
    assert_eq!(machine.acknowledge(0), None, "reserved filter");

    machine.write(2, Frame::Dist, 0xf20 + 9, 1, 0b101);
    machine.write(2, Frame::Dist, 0xf10 + 9, 1, 0b001);
    assert_eq!(machine.read(2, Frame::Dist, 0xf20 + 9, 1), 0b100);
    assert_eq!(machine.read(0, Frame::Dist, 0xf20 + 9, 1), 0, "banked");
    assert_eq!(machine.acknowledge(2), Some((9, 2)));
}

#[test]
fn reset_leaves_nothing_but_what_the_physical_gic_is_owed() {
    let mut machine = ready(GicVersion::V3, 4);
    machine.physical(1, TIMER, true);
    machine.physical(0, 50, true);
    machine.pulse(0, EDGE);
    machine.write(1, Frame::Redist(vcpu(1)), 0x14, 4, 0b10);
    for n in 0..2 {
        let Core { lrs, cpu, .. } = &mut machine.cores[n];
        lrs.save(cpu.hcr, |lr| Lr::from_ich(cpu.lr[lr]));
        let _ = machine.vgic.sync(vcpu(n), lrs);
    }
    machine.vgic.reset();
    assert_eq!(machine.vgic.take_deactivation(vcpu(0)), Some(50));
    assert_eq!(machine.vgic.take_deactivation(vcpu(0)), None);
    assert_eq!(machine.vgic.take_deactivation(vcpu(1)), Some(TIMER));
    assert_eq!(machine.vgic.take_deactivation(vcpu(1)), None);
    let mut fresh = Vgic::new(GicVersion::V3, 2, 96, 4);
    for offset in (0..0x2_0000).step_by(4) {
        assert_eq!(
            machine.vgic.read(vcpu(0), Frame::Dist, offset, 4),
            fresh.read(vcpu(0), Frame::Dist, offset, 4)
        );
        let redist = Frame::Redist(vcpu(1));
        assert_eq!(
            machine.vgic.read(vcpu(1), redist, offset, 4),
            fresh.read(vcpu(1), redist, offset, 4)
        );
    }
    let _ = fresh.write(vcpu(0), Frame::Dist, 0, 4, 3);
    assert!(!machine.vgic.needs_flush(vcpu(0)));
}

#[test]
fn a_vcpu_that_is_turned_off_leaves_no_physical_interrupt_active() {
    for taken in [false, true] {
        let mut machine = ready(GicVersion::V3, 4);
        machine.physical(1, TIMER, true);
        machine.physical(1, 30, true);
        if taken {
            machine.acknowledge(1);
        }
        let Core { lrs, cpu, .. } = &mut machine.cores[1];
        lrs.save(cpu.hcr, |lr| Lr::from_ich(cpu.lr[lr]));
        let _ = machine.vgic.sync(vcpu(1), lrs);
        machine.vgic.power_off(vcpu(1));
        assert_eq!(machine.vgic.take_deactivation(vcpu(1)), Some(TIMER));
        assert_eq!(machine.vgic.take_deactivation(vcpu(1)), Some(30));
        assert_eq!(machine.vgic.take_deactivation(vcpu(1)), None);
        assert_eq!(machine.vgic.active_ppis(vcpu(1)), 0);
        assert!(!machine.vgic.has_pending(vcpu(1)));
        let active = machine.read_private(1, 0x300);
        assert_eq!(active, u32::from(taken) << TIMER);
        // It comes back, and the timer is still asserted.
        for intid in [TIMER, 30] {
            machine.cores[1].ppis.get_mut(&intid).unwrap().active = false;
        }
        machine.cores[1].cpu.running.clear();
        machine.gicr(1, 0x380, !0);
        machine.settle();
        assert_eq!(machine.acknowledge(1), Some((TIMER, 0)));
        assert!(machine.physical_active(1, TIMER));
    }
}

#[test]
fn a_vcpu_that_leaves_its_core_tells_its_active_ppis() {
    let mut machine = ready(GicVersion::V3, 4);
    machine.physical(0, TIMER, true);
    machine.acknowledge(0);
    let Core { lrs, cpu, .. } = &mut machine.cores[0];
    lrs.save(cpu.hcr, |lr| Lr::from_ich(cpu.lr[lr]));
    let _ = machine.vgic.sync(vcpu(0), lrs);
    assert_eq!(machine.vgic.active_ppis(vcpu(0)), 1 << TIMER);
    assert_eq!(machine.vgic.active_ppis(vcpu(1)), 0);
    assert!(!machine.vgic.has_pending(vcpu(0)), "active, not pending");
    let _ = machine.vgic.pulse(vcpu(0), EDGE);
    assert!(machine.vgic.has_pending(vcpu(0)));
}
