// SPDX-License-Identifier: MIT OR Apache-2.0

//! What may not be among the hypervisor's instructions, whatever compiler and linker made of the sources. QEMU
//! shows none of it.

use std::path::Path;

use anyhow::{Result, ensure};

use super::a64::Insn;
use super::lines::{self, Place};
use super::{Code, errata, registers};

/// Bytes from GICC's base to GICC_IAR (IHI 0048B 4.4).
const GICC_IAR: u32 = 0xc;
/// The type of the register in the driver of GICv2, which all functions that read it have in their names.
const GICC_IAR_TYPE: &str = "gicv2::Acknowledge::Register";

/// A rule: what breaks it, and what to do then.
struct Rule {
    broken: &'static str,
    remedy: &'static str,
    find: fn(&Code) -> Vec<u64>,
}

const RULES: [Rule; 4] = [
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
        find: |code| unordered(code, Insn::acknowledges),
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
    ensure!(
        code.iter().any(|(_, insn)| insn.acknowledges()),
        "no read of ICC_IAR1_EL1: say in xtask/src/elf/scan.rs how interrupts are acknowledged now"
    );
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
    for place in unordered_gicc(elf, &code)? {
        broken.push(format!(
            "{place}: GICC_IAR is read without DSB SY before the next load or branch: \
             call barrier::dsb() directly after it"
        ));
    }
    broken.extend(registers::check(elf, &code)?);
    ensure!(broken.is_empty(), "{}", broken.join("\n        "));
    Ok(format!("{} instructions", code.len()))
}

/// Finds the reads of an acknowledge register that other loads may overtake: DSB SY comes before any load,
/// store or branch.
fn unordered(code: &Code, is_read: impl Fn(Insn) -> bool) -> Vec<u64> {
    let reads = code.iter().filter(|(_, insn)| is_read(*insn));
    reads
        .map(|(address, _)| address)
        .filter(|&address| !is_ordered(code, address))
        .collect()
}

fn is_ordered(code: &Code, read: u64) -> bool {
    let stops = |insn: &Insn| *insn == Insn::DSB_SY || insn.accesses_memory() || insn.is_branch();
    code.from(read + 4).find(stops) == Some(Insn::DSB_SY)
}

/// Finds the reads of GICC_IAR likewise: loads at its offset that the debug information has in its driver.
fn unordered_gicc(elf: &Path, code: &Code) -> Result<Vec<String>> {
    let loads = code.iter().filter(|(_, insn)| insn.loads_word_at(GICC_IAR));
    let loads: Vec<u64> = loads.map(|(address, _)| address).collect();
    let places = lines::of(elf, &loads)?;
    let reads: Vec<(u64, Place)> = loads
        .into_iter()
        .zip(places)
        .filter(|(_, place)| place.names(GICC_IAR_TYPE))
        .collect();
    ensure!(
        !reads.is_empty(),
        "no load of a register of type {GICC_IAR_TYPE}: say in xtask/src/elf/scan.rs how GICC_IAR is read now"
    );
    let unordered = reads.into_iter().filter(|(at, _)| !is_ordered(code, *at));
    Ok(unordered
        .map(|(at, place)| format!("{at:#x} ({place})"))
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
        unordered(&Code::of(0x1000, words), Insn::acknowledges)
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
    fn gicc_iar_is_read_by_a_load_at_its_offset() {
        assert!(Insn(0xb940_0d09).loads_word_at(GICC_IAR));
        // ldr x9, [x8, #24]; ldr w3, [x0, #8]
        assert!(!Insn(0xf940_0d09).loads_word_at(GICC_IAR));
        assert!(!Insn(0xb940_0803).loads_word_at(GICC_IAR));
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
