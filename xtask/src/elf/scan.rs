// SPDX-License-Identifier: MIT OR Apache-2.0

//! What may not be among the hypervisor's instructions, whatever compiler and linker made of the sources. QEMU
//! shows none of it.

use std::path::Path;

use anyhow::{Result, ensure};

use super::a64::Insn;
use super::lines::{self, Place};
use super::{Code, errata, registers};

/// A register of GICv2 whose accesses the debug information tells from others at the same offset.
struct Gicv2Register {
    name: &'static str,
    /// Its type in the driver, which all functions that access it have in their names.
    type_name: &'static str,
    is_access: fn(Insn) -> bool,
    is_ordered: fn(&Code, u64) -> bool,
    broken: &'static str,
}

const GICV2: [Gicv2Register; 2] = [
    Gicv2Register {
        name: "GICC_IAR",
        type_name: "gicv2::Acknowledge::Register",
        // IHI 0048B 4.4.
        is_access: |insn| insn.loads_word_at(0xc),
        is_ordered: is_ordered_behind,
        broken: "is read without DSB SY before the next load or branch: call barrier::dsb() directly after it",
    },
    Gicv2Register {
        name: "GICD_SGIR",
        type_name: "gicv2::Sgi::Register",
        // The driver has it at its own address.
        is_access: |insn| insn.stores_word_at(0),
        is_ordered: is_ordered_before,
        broken: "is written without DSB SY behind the last store or branch: call barrier::dsb() directly \
                 before it",
    },
];

/// A rule: what breaks it, and what to do then.
struct Rule {
    broken: &'static str,
    remedy: &'static str,
    find: fn(&Code) -> Vec<u64>,
}

const RULES: [Rule; 5] = [
    Rule {
        broken: "Cortex-A53 erratum 835769",
        remedy: "move the multiplication out of line, as xtask/src/elf/veneers.rs does",
        find: errata::erratum_835769,
    },
    Rule {
        broken: "Cortex-A53 erratum 843419",
        remedy: "link with --fix-cortex-a53-843419, as kernel/build.rs does",
        find: errata::erratum_843419,
    },
    Rule {
        broken: "an interrupt is acknowledged without DSB SY before the next load or branch",
        remedy: "call barrier::dsb() directly after the read of ICC_IAR1_EL1",
        find: |code| unordered(code, Insn::acknowledges, is_ordered_behind),
    },
    Rule {
        broken: "an SGI is sent without DSB SY behind the last store or branch",
        remedy: "call barrier::dsb() directly before the write of ICC_SGI1R_EL1",
        find: |code| unordered(code, Insn::sends_sgi, is_ordered_before),
    },
    Rule {
        broken: "a register of FP or SIMD is used, which is a guest's",
        remedy: "build for aarch64-unknown-none-softfloat; only guest::fp keeps vCPUs' registers",
        find: simd,
    },
];

/// Looks for all of it in the hypervisor's ELF.
pub fn check(elf: &Path) -> Result<String> {
    let code = Code::read(elf)?;
    for (name, is_there) in [
        (
            "read of ICC_IAR1_EL1",
            Insn::acknowledges as fn(Insn) -> bool,
        ),
        ("write of ICC_SGI1R_EL1", Insn::sends_sgi),
    ] {
        ensure!(
            code.iter().any(|(_, insn)| is_there(insn)),
            "no {name}: say in xtask/src/elf/scan.rs how that is done now"
        );
    }
    let mut broken = Vec::new();
    for rule in &RULES {
        let found = (rule.find)(&code);
        for (address, place) in found.iter().zip(lines::of(elf, &found)?) {
            let Rule {
                broken: what,
                remedy,
                ..
            } = rule;
            broken.push(format!("{address:#x} ({place}): {what}: {remedy}"));
        }
    }
    for register in &GICV2 {
        broken.extend(unordered_gicv2(elf, &code, register)?);
    }
    broken.extend(registers::check(elf, &code)?);
    ensure!(broken.is_empty(), "{}", broken.join("\n        "));
    Ok(format!("{} instructions", code.len()))
}

/// Finds the accesses to a register of the GIC that accesses to memory may overtake.
fn unordered(
    code: &Code,
    is_access: impl Fn(Insn) -> bool,
    is_ordered: impl Fn(&Code, u64) -> bool,
) -> Vec<u64> {
    let accesses = code.iter().filter(|(_, insn)| is_access(*insn));
    accesses
        .map(|(address, _)| address)
        .filter(|&address| !is_ordered(code, address))
        .collect()
}

/// Tells whether DSB SY comes behind an instruction before any load, store or branch.
fn is_ordered_behind(code: &Code, address: u64) -> bool {
    let stops = |insn: &Insn| *insn == Insn::DSB_SY || insn.accesses_memory() || insn.is_branch();
    code.from(address + 4).find(stops) == Some(Insn::DSB_SY)
}

/// Tells whether DSB SY comes before an instruction and behind any store or branch.
fn is_ordered_before(code: &Code, address: u64) -> bool {
    let before = code.iter().rev().skip_while(|(at, _)| *at >= address);
    let stops = |insn: &Insn| *insn == Insn::DSB_SY || insn.may_store() || insn.is_branch();
    before.map(|(_, insn)| insn).find(stops) == Some(Insn::DSB_SY)
}

/// Finds them for a register of GICv2.
fn unordered_gicv2(elf: &Path, code: &Code, register: &Gicv2Register) -> Result<Vec<String>> {
    let alike = code.iter().filter(|(_, insn)| (register.is_access)(*insn));
    let alike: Vec<u64> = alike.map(|(address, _)| address).collect();
    let places = lines::of(elf, &alike)?;
    let accesses: Vec<(u64, Place)> = alike
        .into_iter()
        .zip(places)
        .filter(|(_, place)| place.names(register.type_name))
        .collect();
    let Gicv2Register {
        name,
        type_name,
        broken,
        ..
    } = register;
    ensure!(
        !accesses.is_empty(),
        "no access to a register of type {type_name}: say in xtask/src/elf/scan.rs how {name} is used now"
    );
    let unordered = accesses
        .into_iter()
        .filter(|(at, _)| !(register.is_ordered)(code, *at));
    Ok(unordered
        .map(|(at, place)| format!("{at:#x} ({place}): {name} {broken}"))
        .collect())
}

fn simd(code: &Code) -> Vec<u64> {
    let uses = code
        .iter()
        .filter(|(_, insn)| insn.is_simd() && !insn.keeps_vectors());
    uses.map(|(address, _)| address).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MRS_IAR1: u32 = 0xd538_cc08;
    const MRS_IAR0: u32 = 0xd538_c808;
    const AND: u32 = 0x1200_5d14;
    const DSB_SY: u32 = 0xd503_3f9f;
    const LDR_X1_X2: u32 = 0xf940_0041;

    fn unordered_reads(words: &[u32]) -> Vec<u64> {
        unordered(
            &Code::of(0x1000, words),
            Insn::acknowledges,
            is_ordered_behind,
        )
    }

    #[test]
    fn an_acknowledge_is_ordered_by_dsb() {
        for read in [MRS_IAR0, MRS_IAR1] {
            assert!(unordered_reads(&[read, DSB_SY]).is_empty());
            assert!(unordered_reads(&[read, AND, DSB_SY, LDR_X1_X2]).is_empty());
        }
        // Other registers are of no interest: mrs x8, icc_hppir1_el1.
        assert!(unordered_reads(&[0xd538_cc48, LDR_X1_X2]).is_empty());
    }

    #[test]
    fn an_acknowledge_without_it_is_found() {
        // A load before it; dmb sy, dsb ishst, isb in its place; cbz before it; nothing behind.
        for words in [
            &[MRS_IAR1, LDR_X1_X2, DSB_SY][..],
            &[MRS_IAR0, LDR_X1_X2, DSB_SY],
            &[MRS_IAR1, 0xd503_3fbf, LDR_X1_X2],
            &[MRS_IAR1, 0xd503_3a9f, LDR_X1_X2],
            &[MRS_IAR1, 0xd503_3fdf, LDR_X1_X2],
            &[MRS_IAR1, 0xb400_0004, DSB_SY],
            &[MRS_IAR1, AND],
        ] {
            assert_eq!(unordered_reads(words), [0x1000], "{words:x?}");
        }
    }

    #[test]
    fn an_sgi_is_ordered_by_dsb() {
        const MSR_SGI1R: u32 = 0xd518_cba8;
        let unordered_sgis =
            |words: &[u32]| unordered(&Code::of(0x1000, words), Insn::sends_sgi, is_ordered_before);
        assert!(unordered_sgis(&[LDR_X1_X2, DSB_SY, AND, MSR_SGI1R]).is_empty());
        assert!(unordered_sgis(&[DSB_SY, LDR_X1_X2, MSR_SGI1R]).is_empty());
        // str x1, [x2], or cbz behind it; dmb sy in its place; nothing before. msr icc_asgi1r_el1 is another register.
        assert_eq!(unordered_sgis(&[DSB_SY, 0xf900_0041, MSR_SGI1R]), [0x1008]);
        assert_eq!(unordered_sgis(&[DSB_SY, 0xb400_0004, MSR_SGI1R]), [0x1008]);
        assert_eq!(
            unordered_sgis(&[LDR_X1_X2, 0xd503_3fbf, MSR_SGI1R]),
            [0x1008]
        );
        assert_eq!(unordered_sgis(&[MSR_SGI1R, DSB_SY]), [0x1000]);
        assert!(unordered_sgis(&[LDR_X1_X2, 0xd518_cbc8]).is_empty());
    }

    #[test]
    fn registers_of_gicv2_are_accessed_at_their_offsets() {
        let [iar, sgir] = GICV2.map(|register| register.is_access);
        assert!(iar(Insn(0xb940_0d09)));
        // ldr x9, [x8, #24]; ldr w3, [x0, #8]
        assert!(!iar(Insn(0xf940_0d09)));
        assert!(!iar(Insn(0xb940_0803)));
        // str w9, [x8]; str x9, [x8]; str w9, [x8, #4]; ldr w9, [x8]
        assert!(sgir(Insn(0xb900_0109)));
        assert!(!sgir(Insn(0xf900_0109)));
        assert!(!sgir(Insn(0xb900_0509)));
        assert!(!sgir(Insn(0xb940_0109)));
    }

    #[test]
    fn registers_of_simd_are_kept_for_vcpus_alone() {
        let uses = |word| simd(&Code::of(0, &[word])) == [0];
        // stp q0, q1, [x0]; stp q2, q3, [x0, #32]; ldp q30, q31, [x0, #480]
        for kept in [0xad00_0400, 0xad01_0c02, 0xad4f_7c1e] {
            assert!(!uses(kept), "{kept:#x}");
        }
        // ldp q0, q1, [x0, #32]; fmov x0, d0; ldr q10, [x2]; movi v0.2d, #0; ldr d1, LITERAL
        for used in [
            0xad41_0400,
            0x9e66_0000,
            0x3dc0_004a,
            0x6f00_e400,
            0x5c00_0001,
        ] {
            assert!(uses(used), "{used:#x}");
        }
        // madd; ldr x1, [x2]; msr hcr_el2, x1; umulh; stp x1, x2, [sp, #-16]!
        for general in [
            0x9b09_2869,
            LDR_X1_X2,
            0xd51c_1101,
            0x9bc9_7c69,
            0xa9bf_0be1,
        ] {
            assert!(!uses(general), "{general:#x}");
        }
    }
}
