// SPDX-License-Identifier: MIT OR Apache-2.0

//! Sequences that early Cortex-A53 get wrong (Arm, "Cortex-A53 MPCore Software Developers Errata Notice").

use super::Code;
use super::a64::Insn;

/// Finds erratum 835769: a 64-bit multiplication and accumulation directly after an access to memory,
/// of whose result it is independent. Returns the addresses of the multiplications.
pub fn erratum_835769(code: &Code) -> Vec<u64> {
    let found = code.sequences::<2>().filter(|(_, [access, multiply])| {
        access.accesses_memory() && multiply.accumulates() && !multiply.depends_on_load(*access)
    });
    found.map(|(address, _)| address + 4).collect()
}

/// Finds erratum 843419: an ADRP in one of the last two words of a page, an access to memory that leaves its
/// register alone, at most one instruction more, and an access with that register as base and a scaled
/// offset. Returns the addresses of the ADRPs. Stores of SIMD structures, which count too, are for
/// [`simd`](super::scan).
pub fn erratum_843419(code: &Code) -> Vec<u64> {
    let at_end = |address: u64| matches!(address & 0xfff, 0xff8 | 0xffc);
    let short = code
        .sequences::<3>()
        .filter(|(address, [first, second, last])| {
            at_end(*address) && is_843419(*first, *second, *last)
        })
        .map(|(address, _)| address);
    let long = code
        .sequences::<4>()
        .filter(|(address, [first, second, between, last])| {
            at_end(*address) && !between.is_branch() && is_843419(*first, *second, *last)
        })
        .map(|(address, _)| address);
    short.chain(long).collect()
}

fn is_843419(first: Insn, second: Insn, last: Insn) -> bool {
    let register = first.rt();
    first.is_adrp()
        && second.is_second_of_843419(register)
        && last.has_unsigned_offset()
        && last.rn() == register
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADRP_X0: u32 = 0x9000_0000;
    const LDR_X1_X2: u32 = 0xf940_0041;
    const LDR_X3_X0_8: u32 = 0xf940_0403;
    const ADD_X4: u32 = 0x9100_0484;

    fn is_found(at: u64, words: &[u32]) -> bool {
        erratum_843419(&Code::of(at, words)) == [at]
    }

    #[test]
    fn erratum_843419_is_found_in_both_lengths() {
        for at in [0xff8, 0x1_5ffc] {
            assert!(is_found(at, &[ADRP_X0, LDR_X1_X2, LDR_X3_X0_8]));
            assert!(is_found(at, &[ADRP_X0, LDR_X1_X2, ADD_X4, LDR_X3_X0_8]));
        }
        // str x1, [x2]; stp x1, x2, [sp, #-16]!; stxr w5, x1, [x2]; ldur x1, [x2, #-8]; ldr x1, LITERAL
        for second in [
            0xf900_0041,
            0xa9bf_0be1,
            0xc805_7c41,
            0xf85f_8041,
            0x5800_0001,
        ] {
            assert!(
                is_found(0xffc, &[ADRP_X0, second, LDR_X3_X0_8]),
                "{second:#x}"
            );
        }
        let str_w3_x0_8 = 0xb900_0803;
        assert!(is_found(0xffc, &[ADRP_X0, LDR_X1_X2, str_w3_x0_8]));
    }

    #[test]
    fn near_misses_of_erratum_843419_are_none() {
        let none = |at, words: &[u32]| assert!(!is_found(at, words), "{words:x?}");
        none(0xff4, &[ADRP_X0, LDR_X1_X2, LDR_X3_X0_8]);
        none(0x1000, &[ADRP_X0, LDR_X1_X2, LDR_X3_X0_8]);
        // The register is another by then: ldr x0, [x2]; str x1, [x0], #8.
        none(0xffc, &[ADRP_X0, 0xf940_0040, LDR_X3_X0_8]);
        none(0xffc, &[ADRP_X0, 0xf800_8401, LDR_X3_X0_8]);
        // No access between, or one of a kind that does no harm: ldp x1, x2, [sp].
        none(0xffc, &[ADRP_X0, ADD_X4, LDR_X3_X0_8]);
        none(0xffc, &[ADRP_X0, 0xa940_0be1, LDR_X3_X0_8]);
        // A branch between, two instructions between, or another base: b; ldr x3, [x1, #8].
        none(0xffc, &[ADRP_X0, LDR_X1_X2, 0x1400_0000, LDR_X3_X0_8]);
        none(0xffc, &[ADRP_X0, LDR_X1_X2, ADD_X4, ADD_X4, LDR_X3_X0_8]);
        none(0xffc, &[ADRP_X0, LDR_X1_X2, 0xf940_0423]);
        // adr x0
        none(0xffc, &[0x1000_0000, LDR_X1_X2, LDR_X3_X0_8]);
    }

    /// MADD X9, X3, X9, X10.
    const MADD: u32 = 0x9b09_2869;

    fn multiplies_after(words: &[u32]) -> bool {
        erratum_835769(&Code::of(0x1000, words)) == [0x1004]
    }

    #[test]
    fn erratum_835769_is_found_after_any_access() {
        // ldr x1, [x2]; str x10, [x2]; prfm; stp; ldp x1, x2, [sp]; ldadd; ldr q10, [x2]
        for access in [
            LDR_X1_X2,
            0xf900_004a,
            0xf980_0040,
            0xa9bf_0be1,
            0xa940_0be1,
            0xf821_004a,
            0x3dc0_004a,
        ] {
            assert!(multiplies_after(&[access, MADD]), "{access:#x}");
        }
        // madd with other sources; msub; umaddl; smsubl
        for multiply in [0x9b09_2869, 0x9b09_a869, 0x9ba9_2869, 0x9b29_a869] {
            assert!(multiplies_after(&[LDR_X1_X2, multiply]), "{multiply:#x}");
        }
    }

    #[test]
    fn near_misses_of_erratum_835769_are_none() {
        let none = |words: &[u32]| assert!(!multiplies_after(words), "{words:x?}");
        // It waits for what is loaded: into x10, its accumulator, by ldr, ldp, ldrsw, ldrsb, ldxr.
        for load in [
            0xf940_004a,
            0xa940_2beb,
            0xb980_004a,
            0x39c0_004a,
            0xc85f_7c4a,
        ] {
            none(&[load, MADD]);
        }
        // Into x3, a factor.
        none(&[0xf940_0043, MADD]);
        // mul, which accumulates nothing; madd of 32 bits; umulh.
        none(&[LDR_X1_X2, 0x9b09_7c69]);
        none(&[LDR_X1_X2, 0x1b09_2869]);
        none(&[LDR_X1_X2, 0x9bc9_7c69]);
        // An instruction between.
        none(&[LDR_X1_X2, 0xd503_201f, MADD]);
    }
}
