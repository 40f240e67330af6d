// SPDX-License-Identifier: MIT OR Apache-2.0

//! The registers of EL2 that the image writes, and what its first instructions write to them. A new register is
//! found here, so that its value gets its place in crates/controls/tests/golden.rs.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;

use super::a64::{self, SystemRegister};
use super::{Code, constant, lines};

/// Name, op1 (all have op0 = 3), CRn, CRm, op2 (DDI 0487 D18.3, IHI 0069H 12.4).
type Known = (&'static str, u8, u8, u8, u8);

/// Controls, whose values crates/controls/tests/golden.rs compares.
const COMPARED: &[Known] = &[
    ("SCTLR_EL2", 4, 1, 0, 0),
    ("HCR_EL2", 4, 1, 1, 0),
    ("MDCR_EL2", 4, 1, 1, 1),
    ("CPTR_EL2", 4, 1, 1, 2),
    ("TCR_EL2", 4, 2, 0, 2),
    ("VTTBR_EL2", 4, 2, 1, 0),
    ("VTCR_EL2", 4, 2, 1, 2),
    ("MAIR_EL2", 4, 10, 2, 0),
    ("MPAM2_EL2", 4, 10, 5, 0),
    ("ICH_HCR_EL2", 4, 12, 11, 0),
    ("CNTHCTL_EL2", 4, 14, 1, 0),
];

/// Controls that are 0 and nothing else: no trap of theirs is on.
const ZERO: &[Known] = &[
    ("HSTR_EL2", 4, 1, 1, 3),
    ("HFGRTR_EL2", 4, 1, 1, 4),
    ("HFGWTR_EL2", 4, 1, 1, 5),
    ("HFGITR_EL2", 4, 1, 1, 6),
    ("HCRX_EL2", 4, 1, 2, 2),
    ("SCTLR2_EL2", 4, 1, 0, 3),
    ("TCR2_EL2", 4, 2, 0, 3),
    ("GCSCR_EL2", 4, 2, 5, 0),
    ("HDFGRTR2_EL2", 4, 3, 1, 0),
    ("HDFGWTR2_EL2", 4, 3, 1, 1),
    ("HFGRTR2_EL2", 4, 3, 1, 2),
    ("HFGWTR2_EL2", 4, 3, 1, 3),
    ("HAFGRTR_EL2", 4, 3, 1, 6),
    ("HFGITR2_EL2", 4, 3, 1, 7),
    ("MPAMHCR_EL2", 4, 10, 4, 0),
    ("HDFGRTR_EL2", 4, 3, 1, 4),
    ("HDFGWTR_EL2", 4, 3, 1, 5),
];

/// What is of a core, or of the vCPU that it runs.
const OWN: &[Known] = &[
    ("VPIDR_EL2", 4, 0, 0, 0),
    ("VMPIDR_EL2", 4, 0, 0, 5),
    ("TTBR0_EL2", 4, 2, 0, 0),
    ("SPSR_EL2", 4, 4, 0, 0),
    ("ELR_EL2", 4, 4, 0, 1),
    ("SP_EL1", 4, 4, 1, 0),
    ("VSESR_EL2", 4, 5, 2, 3),
    ("VBAR_EL2", 4, 12, 0, 0),
    ("VDISR_EL2", 4, 12, 1, 1),
    ("ICC_SRE_EL2", 4, 12, 9, 5),
    ("ICH_VMCR_EL2", 4, 12, 11, 7),
    ("TPIDR_EL2", 4, 13, 0, 2),
    ("CNTVOFF_EL2", 4, 14, 0, 3),
    ("CNTHP_CTL_EL2", 4, 14, 2, 1),
    ("CNTHP_CVAL_EL2", 4, 14, 2, 2),
];

/// Tells whether it is a list register or an active priority register (crates/vgic/tests/lists.rs).
fn is_of_vgic(r: &SystemRegister) -> bool {
    let active = matches!(r.crm, 8 | 9) && r.op2 < 4;
    (r.op0, r.op1, r.crn) == (3, 4, 12) && (active || matches!(r.crm, 12 | 13))
}

/// The constants of boot/src/entry.s: block descriptors (DDI 0487 D8.3.1) and registers (D19.2).
// Each field has its line, also where it is 0.
#[allow(clippy::identity_op)]
const EARLY: [(&str, u64); 8] = [
    (
        "TABLE",
        1 // valid
            | 1 << 1 // a table
            | 0 << 59, // PXNTable, UXNTable, APTable, NSTable: nothing restricted
    ),
    (
        "IMAGE_BLOCK",
        1 // valid
            | 0 << 1 // a block
            | 0 << 2 // AttrIndx: Normal write-back
            | 1 << 6 // AP[1]: RES1
            | 0 << 7 // AP[2]: read and write
            | 0b11 << 8 // SH: inner shareable
            | 1 << 10 // AF
            | 0 << 54, // XN: executed
    ),
    (
        "TREE_BLOCK",
        1 // valid
            | 0 << 1 // a block
            | 0 << 2 // AttrIndx: Normal write-back
            | 1 << 6 // AP[1]: RES1
            | 1 << 7 // AP[2]: read only
            | 0b11 << 8 // SH: inner shareable
            | 1 << 10 // AF
            | 1 << 54, // XN
    ),
    (
        "HCR",
        1 << 31 // RW
            | 0 << 27 // TGE
            | 0 << 34, // E2H
    ),
    (
        "MAIR",
        0xff // Attr0: Normal, write-back, allocate
            | 0x04 << 8, // Attr1: Device-nGnRE
    ),
    ("SCTLR_OFF", SCTLR_RES1),
    (
        "SCTLR_ON",
        SCTLR_RES1
            | 1 // M
            | 0 << 1 // A
            | 1 << 2 // C
            | 0 << 3 // SA
            | 1 << 12 // I
            | 0 << 19 // WXN: the image is one block, written and executed
            | 0 << 25, // EE: little-endian
    ),
    (
        "TCR",
        16 // T0SZ: 48 bits
            | 0b01 << 8 // IRGN0: write-back, allocate
            | 0b01 << 10 // ORGN0: write-back, allocate
            | 0b11 << 12 // SH0: inner shareable
            | 0b00 << 14 // TG0: 4 KiB
            | 0 << 16 // PS: added at run time
            | 1 << 23 // RES1
            | 1 << 31, // RES1
    ),
];

/// Bits 4, 5, 11, 16, 18, 22, 23, 28 and 29 of SCTLR_EL2.
const SCTLR_RES1: u64 = 0b11 << 4 | 1 << 11 | 1 << 16 | 1 << 18 | 0b11 << 22 | 0b11 << 28;

/// Finds registers that no table has, names in the tables that are not written any more, and early constants that
/// are not as they should be.
pub fn check(elf: &Path, code: &Code) -> Result<Vec<String>> {
    let mut wrong = wrong_constants(|name| constant(elf, name))?;
    let written = written(code);
    let (unknown, stale) = compare(&written);
    let places = lines::of(elf, &unknown.iter().map(|r| written[r]).collect::<Vec<_>>())?;
    for (register, place) in unknown.iter().zip(places) {
        wrong.push(format!(
            "{register} is written ({place}): compare its value in crates/controls/tests/golden.rs, and \
             name it in xtask/src/elf/registers.rs"
        ));
    }
    let nonzero = nonzero(code);
    for place in lines::of(elf, &nonzero)? {
        wrong.push(format!(
            "a register is written that is to be 0 ({place}), perhaps with another value: if that is meant, \
             compare it in crates/controls/tests/golden.rs, and name it there in xtask/src/elf/registers.rs"
        ));
    }
    wrong.extend(stale.iter().map(|name| {
        format!("{name} is not written any more: remove it from xtask/src/elf/registers.rs")
    }));
    Ok(wrong)
}

/// Returns the registers of EL2 that are written, each with an instruction that does.
fn written(code: &Code) -> BTreeMap<SystemRegister, u64> {
    let writes = code
        .iter()
        .filter_map(|(address, insn)| Some((insn.writes_register()?, address)));
    writes
        .filter(|(register, _)| matches!(register.op1, 4 | 5) && !is_of_vgic(register))
        .collect()
}

/// Returns the instructions that may write something else than 0 to a register of [`ZERO`].
fn nonzero(code: &Code) -> Vec<u64> {
    let is_zero = |register| ZERO.iter().any(|one| register_of(one) == register);
    let writes = code
        .iter()
        .filter(|(_, insn)| insn.writes_register().is_some_and(is_zero));
    let wrong = writes.filter(|(address, insn)| {
        let from = insn.rt();
        let last = code.before(*address).find(|insn| insn.changes(from));
        from != a64::ZERO && !last.is_some_and(|last| last.clears(from))
    });
    wrong.map(|(address, _)| address).collect()
}

fn register_of(&(_, op1, crn, crm, op2): &Known) -> SystemRegister {
    SystemRegister {
        op0: 3,
        op1,
        crn,
        crm,
        op2,
    }
}

/// Returns the written registers without a name, and the names that are not written.
fn compare(written: &BTreeMap<SystemRegister, u64>) -> (Vec<SystemRegister>, Vec<&'static str>) {
    let all = || [COMPARED, ZERO, OWN].into_iter().flatten();
    let is_known = |register: &SystemRegister| all().any(|one| register_of(one) == *register);
    let unknown = written.keys().filter(|r| !is_known(r)).copied().collect();
    let stale = all().filter(|one| !written.contains_key(&register_of(one)));
    (unknown, stale.map(|one| one.0).collect())
}

fn wrong_constants(mut value: impl FnMut(&str) -> Result<Option<u64>>) -> Result<Vec<String>> {
    let mut wrong = Vec::new();
    for (name, expected) in EARLY {
        let found = value(name)?;
        if found != Some(expected) {
            let found = found.map_or("missing".into(), |found| format!("{found:#x}"));
            wrong.push(format!(
                "{name} of boot/src/entry.s is {found}, not {expected:#x} as xtask/src/elf/registers.rs has it by \
                 the Arm ARM"
            ));
        }
    }
    Ok(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MSR_HCR_EL2: u32 = 0xd51c_1101;
    const MSR_ICH_LR0_EL2: u32 = 0xd51c_cc00;
    const MSR_ICH_AP1R3_EL2: u32 = 0xd51c_c960;
    const MSR_TTBR0_EL1: u32 = 0xd518_2000;

    #[test]
    fn registers_that_no_table_has_are_found() {
        let words = [
            MSR_HCR_EL2,
            MSR_ICH_LR0_EL2,
            MSR_ICH_AP1R3_EL2,
            MSR_TTBR0_EL1,
        ];
        let (unknown, stale) = compare(&written(&Code::of(0, &words)));
        assert!(unknown.is_empty(), "{unknown:?}");
        assert!(!stale.contains(&"HCR_EL2") && stale.contains(&"VTCR_EL2"));
        // msr s3_4_c1_c2_3, x0
        let (unknown, _) = compare(&written(&Code::of(0, &[0xd51c_1260, MSR_HCR_EL2])));
        assert_eq!(unknown.len(), 1);
        assert_eq!(unknown[0].to_string(), "S3_4_C1_C2_3");
    }

    #[test]
    fn registers_that_are_to_be_zero_are_written_from_zero() {
        let found = |words: &[u32]| !nonzero(&Code::of(0, words)).is_empty();
        let (hfgrtr_x8, hfgwtr_x8, hstr_xzr) = (0xd51c_1188, 0xd51c_11a8, 0xd51c_117f);
        let (mov_x8_xzr, movz_w8_0) = (0xaa1f_03e8, 0x5280_0008);
        assert!(!found(&[hstr_xzr]));
        assert!(!found(&[mov_x8_xzr, hfgrtr_x8, hfgwtr_x8]));
        // str x8, [x2]; b.eq, whose offset ends in 8
        assert!(!found(&[movz_w8_0, 0xf900_0048, 0x5400_0108, hfgrtr_x8]));
        // mov x9, xzr; mov x8, #3; ldr x8, [x2]; bl; nothing
        assert!(found(&[0xaa1f_03e9, hfgrtr_x8]));
        assert!(found(&[mov_x8_xzr, 0xd280_0068, hfgrtr_x8]));
        assert!(found(&[mov_x8_xzr, 0xf940_0048, hfgrtr_x8]));
        assert!(found(&[mov_x8_xzr, 0x9400_0002, hfgrtr_x8]));
        assert!(found(&[hfgrtr_x8]));
        // hcr_el2 may be anything here.
        assert!(!found(&[MSR_HCR_EL2]));
    }

    #[test]
    fn early_constants_are_compared() {
        let right = |name: &str| {
            let found = EARLY.iter().find(|one| one.0 == name);
            Ok(found.map(|one| one.1))
        };
        assert!(wrong_constants(right).unwrap().is_empty());
        let flipped = |name: &str| right(name).map(|v| v.map(|v| v ^ 1 << 8));
        assert_eq!(wrong_constants(flipped).unwrap().len(), EARLY.len());
        assert_eq!(wrong_constants(|_| Ok(None)).unwrap().len(), EARLY.len());
    }
}
