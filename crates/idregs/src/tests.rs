// SPDX-License-Identifier: MIT OR Apache-2.0

//! Tables for the rules, properties for the promise that nothing else passes.

extern crate std;

use super::*;
use proptest::prelude::*;

const fn encoding((crm, op2): (u8, u8)) -> Encoding {
    Encoding {
        op1: 0,
        crn: 0,
        crm,
        op2,
    }
}

/// Returns what a guest reads from `reg` if every register of the host is `host`.
fn shown(reg: Reg, host: u64) -> u64 {
    let host = |asked| match asked {
        // Keeps AArch32 in sight whatever `host` is.
        Reg::IdAa64Pfr0 if reg != Reg::IdAa64Pfr0 => 0x12,
        _ => host,
    };
    guest_value(encoding(reg.crm_op2()), GicVersion::V3, host).unwrap()
}

fn nibble(value: u64, shift: u32) -> u64 {
    value >> shift & 0xf
}

#[test]
fn hides_what_el2_does_not_virtualize() {
    let all = 0x1111_1111_1111_1111;
    for (reg, shift, name) in [
        (Reg::IdAa64Pfr0, 8, "EL2"),
        (Reg::IdAa64Pfr0, 28, "RAS"),
        (Reg::IdAa64Pfr0, 32, "SVE"),
        (Reg::IdAa64Pfr0, 36, "SEL2"),
        (Reg::IdAa64Pfr0, 40, "MPAM"),
        (Reg::IdAa64Pfr0, 44, "AMU"),
        (Reg::IdAa64Pfr0, 52, "RME"),
        (Reg::IdAa64Pfr1, 8, "MTE"),
        (Reg::IdAa64Pfr1, 24, "SME"),
        (Reg::IdAa64Pfr1, 36, "NMI"),
        (Reg::IdAa64Pfr1, 44, "GCS"),
        (Reg::IdAa64Pfr1, 48, "THE"),
        (Reg::IdAa64Dfr0, 4, "TraceVer"),
        (Reg::IdAa64Dfr0, 8, "PMUVer"),
        (Reg::IdAa64Dfr0, 32, "PMSVer"),
        (Reg::IdAa64Dfr0, 40, "TraceFilt"),
        (Reg::IdAa64Dfr0, 44, "TraceBuffer"),
        (Reg::IdAa64Dfr0, 52, "BRBE"),
        (Reg::IdAa64Isar0, 24, "TME"),
        (Reg::IdAa64Isar1, 56, "XS"),
        (Reg::IdAa64Isar1, 60, "LS64"),
        (Reg::IdAa64Isar2, 0, "WFxT"),
        (Reg::IdAa64Isar2, 16, "MOPS"),
        (Reg::IdAa64Mmfr0, 56, "FGT"),
        (Reg::IdAa64Mmfr0, 60, "ECV"),
        (Reg::IdAa64Mmfr1, 8, "VH"),
        (Reg::IdAa64Mmfr1, 16, "LO"),
        (Reg::IdAa64Mmfr1, 40, "HCX"),
        (Reg::IdAa64Mmfr2, 24, "NV"),
        (Reg::IdDfr0, 24, "PerfMon"),
        (Reg::IdPfr0, 20, "AMU"),
        (Reg::IdPfr0, 28, "RAS"),
        (Reg::IdPfr1, 12, "Virtualization"),
    ] {
        assert_eq!(nibble(shown(reg, all), shift), 0, "{name}");
    }
}

#[test]
fn keeps_what_belongs_to_the_guest() {
    let all = 0x1111_1111_1111_1111;
    for (reg, shift, name) in [
        (Reg::IdAa64Pfr0, 12, "EL3"),
        (Reg::IdAa64Pfr0, 16, "FP"),
        (Reg::IdAa64Pfr0, 24, "GIC"),
        (Reg::IdAa64Pfr0, 56, "CSV2"),
        (Reg::IdAa64Pfr0, 60, "CSV3"),
        (Reg::IdAa64Pfr1, 0, "BT"),
        (Reg::IdAa64Pfr1, 4, "SSBS"),
        (Reg::IdAa64Isar0, 4, "AES"),
        (Reg::IdAa64Isar0, 16, "CRC32"),
        (Reg::IdAa64Isar0, 20, "Atomic"),
        (Reg::IdAa64Isar0, 56, "TLB"),
        (Reg::IdAa64Isar1, 4, "APA"),
        (Reg::IdAa64Isar1, 8, "API"),
        (Reg::IdAa64Isar1, 36, "SB"),
        (Reg::IdAa64Mmfr1, 0, "HAFDBS"),
        (Reg::IdAa64Mmfr1, 20, "PAN"),
        (Reg::IdAa64Mmfr2, 4, "UAO"),
        (Reg::IdAa64Mmfr2, 60, "E0PD"),
    ] {
        assert_eq!(nibble(shown(reg, all), shift), 1, "{name}");
    }
}

#[test]
fn caps_at_the_value_that_was_looked_at() {
    for (reg, shift, host, guest) in [
        (Reg::IdAa64Pfr0, 4, 2, 1),   // EL1: AArch64 alone
        (Reg::IdAa64Pfr0, 0, 2, 2),   // EL0: AArch32 too
        (Reg::IdAa64Pfr0, 24, 3, 1),  // GICv4.1
        (Reg::IdAa64Pfr0, 56, 2, 1),  // CSV2_2
        (Reg::IdAa64Dfr0, 0, 9, 6),   // Debugv8p4
        (Reg::IdAa64Dfr0, 12, 5, 5),  // six breakpoints
        (Reg::IdAa64Dfr0, 8, 0xf, 0), // an implementation defined PMU
        (Reg::IdAa64Isar0, 20, 3, 2), // LSE128
        (Reg::IdAa64Mmfr0, 0, 6, 5),  // 52-bit addresses
        (Reg::IdAa64Mmfr0, 20, 2, 1), // LPA2
    ] {
        assert_eq!(
            nibble(shown(reg, host << shift), shift),
            guest,
            "{reg:?}[{shift}]"
        );
    }
}

#[test]
fn signed_fields_keep_their_absence() {
    for (reg, shift) in [
        (Reg::IdAa64Pfr0, 16),
        (Reg::IdAa64Pfr0, 20),
        (Reg::IdAa64Dfr0, 36),
        (Reg::IdAa64Mmfr0, 24),
        (Reg::IdAa64Mmfr0, 28),
    ] {
        assert_eq!(
            nibble(shown(reg, 0xf << shift), shift),
            0xf,
            "{reg:?}[{shift}]"
        );
        assert_eq!(nibble(shown(reg, 0), shift), 0, "{reg:?}[{shift}]");
    }
    // FEAT_LPA2 comes down to plain 4 KiB pages.
    assert_eq!(nibble(shown(Reg::IdAa64Mmfr0, 1 << 28), 28), 0);
}

#[test]
fn a_guest_with_gicv2_has_no_system_register_interface() {
    let pfr0 = |gic| guest_value(encoding((4, 0)), gic, |_| 1 << 24 | 0x11).unwrap();
    assert_eq!(pfr0(GicVersion::V2), 0x11);
    assert_eq!(pfr0(GicVersion::V3), 1 << 24 | 0x11);
}

#[test]
fn aarch32_registers_are_zero_without_aarch32() {
    for reg in Reg::ALL.iter().filter(|reg| reg.is_aarch32()) {
        let host = |asked| {
            if asked == Reg::IdAa64Pfr0 {
                0x11
            } else {
                u64::MAX
            }
        };
        let value = guest_value(encoding(reg.crm_op2()), GicVersion::V3, host);
        assert_eq!(value, Some(0), "{reg:?}");
    }
}

#[test]
fn the_rest_of_the_space_is_zero_and_never_read_from_the_host() {
    for (crm, op2) in (1..8).flat_map(|crm| (0..8).map(move |op2| (crm, op2))) {
        if Reg::new(crm, op2).is_none() {
            let host = |reg: Reg| -> u64 { panic!("{reg:?} was read") };
            assert_eq!(
                guest_value(encoding((crm, op2)), GicVersion::V3, host),
                Some(0)
            );
        }
    }
}

#[test]
fn other_registers_are_not_answered() {
    let midr = encoding((0, 0));
    let beyond = encoding((8, 0));
    let op1 = Encoding {
        op1: 1,
        ..encoding((4, 0))
    };
    let crn = Encoding {
        crn: 1,
        ..encoding((4, 0))
    };
    for other in [midr, beyond, op1, crn] {
        assert_eq!(guest_value(other, GicVersion::V3, |_| u64::MAX), None);
    }
}

#[test]
fn registers_and_encodings_agree() {
    for &reg in Reg::ALL {
        let (crm, op2) = reg.crm_op2();
        assert_eq!(Reg::new(crm, op2), Some(reg));
        let overlap = reg.fields().iter().fold(0, |seen, field| {
            assert_eq!(seen & field.mask(), 0, "{reg:?} names a field twice");
            seen | field.mask()
        });
        assert_ne!(overlap, 0);
    }
}

/// The values of the cores that guests boot on, from their reference manuals.
#[test]
fn known_cores() {
    // Cortex-A57 (DDI 0488, 4.3): AArch32 everywhere, crypto, PMUv3.
    assert_eq!(shown(Reg::IdAa64Pfr0, 0x0000_2222), 0x0000_1012);
    assert_eq!(shown(Reg::IdAa64Dfr0, 0x1030_5106), 0x1030_5006);
    assert_eq!(shown(Reg::IdAa64Isar0, 0x0001_1120), 0x0001_1120);
    assert_eq!(shown(Reg::IdAa64Mmfr0, 0x0000_1124), 0x0000_1124);
    // Cortex-A76 (100798, B2): RAS and LORegions go, CSV2, CSV3, PAN and DP stay.
    assert_eq!(
        shown(Reg::IdAa64Pfr0, 0x1100_0000_1111_1112),
        0x1100_0000_0111_1012
    );
    assert_eq!(shown(Reg::IdAa64Mmfr1, 0x1021_2122), 0x0020_2002);
    assert_eq!(
        shown(Reg::IdAa64Isar0, 0x0000_1000_1021_1120),
        0x0000_1000_1021_1120
    );
}

#[test]
fn vmpidr_names_the_vcpu() {
    assert_eq!(vmpidr(VcpuId(0)), 0x8000_0000);
    assert_eq!(vmpidr(VcpuId(7)), 0x8000_0007);
}

fn signed(value: u64) -> i64 {
    if value & 8 == 0 {
        value as i64
    } else {
        value as i64 - 16
    }
}

proptest! {
    #[test]
    fn nothing_outside_the_allow_list_is_ever_set(host: u64, index in 0..Reg::ALL.len()) {
        let reg = Reg::ALL[index];
        let allowed = reg.fields().iter().fold(0, |mask, field| mask | field.mask());
        prop_assert_eq!(shown(reg, host) & !allowed, 0);
    }

    #[test]
    fn a_field_is_never_more_than_the_hosts(host: u64, index in 0..Reg::ALL.len()) {
        // The signed fields of the architecture, written down a second time.
        const SIGNED: [(Reg, u32); 5] = [
            (Reg::IdAa64Pfr0, 16),
            (Reg::IdAa64Pfr0, 20),
            (Reg::IdAa64Dfr0, 36),
            (Reg::IdAa64Mmfr0, 24),
            (Reg::IdAa64Mmfr0, 28),
        ];
        let reg = Reg::ALL[index];
        let guest = shown(reg, host);
        for shift in (0..64).step_by(4) {
            let (guest, host) = (nibble(guest, shift), nibble(host, shift));
            if SIGNED.contains(&(reg, shift)) {
                prop_assert!(signed(guest) <= signed(host));
            } else {
                prop_assert!(guest <= host);
            }
        }
    }

    #[test]
    fn filtering_twice_changes_nothing(host: u64, index in 0..Reg::ALL.len()) {
        let reg = Reg::ALL[index];
        let once = shown(reg, host);
        prop_assert_eq!(shown(reg, once), once);
    }

    #[test]
    fn every_encoding_is_answered(op1 in 0..8u8, crn in 0..16u8, crm in 0..16u8, op2 in 0..8u8, host: u64) {
        let encoding = Encoding { op1, crn, crm, op2 };
        let value = guest_value(encoding, GicVersion::V2, |_| host);
        prop_assert_eq!(value.is_some(), encoding.is_id_space());
    }
}
