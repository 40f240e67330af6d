// SPDX-License-Identifier: MIT OR Apache-2.0

//! The rules of DDI 0487, and every encoding of the decoded classes against its fields.

use super::*;
use proptest::prelude::*;

const WORD: u64 = 1 << 25;
const SS: u64 = 1 << 21;
const USER32: u64 = 0x10;
const THUMB: u64 = 0x30;

fn spsr_with_it(it: u64) -> u64 {
    THUMB | (it >> 2) << 10 | (it & 3) << 25
}

#[test]
fn an_a64_instruction_has_four_bytes_and_ends_its_step_and_branch_type() {
    let resume = skip(WORD, 0x1000, 0x3c5 | SS | 3 << 10 | 1 << 31);
    assert_eq!(
        resume,
        Resume {
            pc: 0x1004,
            spsr: 0x3c5 | 1 << 31
        }
    );
    assert_eq!(skip(0, u64::MAX - 3, 0x3c5).pc, 0);
}

#[test]
fn an_hvc_that_comes_again_is_stepped_again() {
    let before = Resume {
        pc: 0x1000,
        spsr: 0x3c5 | SS,
    };
    // It is executed, whose exception has SS = 0, then comes again.
    let after = skip_a64(before.pc, before.spsr);
    assert_eq!(before_hvc(after.pc, after.spsr), before);
}

#[test]
fn a_thumb_instruction_is_as_long_as_the_syndrome_says() {
    assert_eq!(skip(0, 0x1000, THUMB | SS).pc, 0x1002);
    assert_eq!(skip(WORD, 0x1000, THUMB).pc, 0x1004);
    assert_eq!(skip(WORD, 0x1000, USER32 | SS).spsr, USER32);
    assert_eq!(skip(WORD, 0xffff_fffc, USER32).pc, 0);
}

#[test]
fn an_it_block_goes_on_behind_the_instruction() {
    // ITTT EQ: 0000_0010 → 0000_0100 → 0000_1000 → outside.
    for (before, after) in [(0b0000_0010, 0b0000_0100), (0b0000_0100, 0b0000_1000)] {
        assert_eq!(skip(0, 0, spsr_with_it(before)).spsr, spsr_with_it(after));
    }
    assert_eq!(skip(0, 0, spsr_with_it(0b0000_1000)).spsr, THUMB);
    // ITE NE: the last bit of the condition changes, its first three stay.
    assert_eq!(
        skip(0, 0, spsr_with_it(0b0001_0100)).spsr,
        spsr_with_it(0b0000_1000)
    );
    assert_eq!(
        skip(0, 0, spsr_with_it(0b1010_1011)).spsr,
        spsr_with_it(0b1011_0110)
    );
    // A32 has no IT blocks.
    assert_eq!(skip(WORD, 0, USER32 | 3 << 10).spsr, USER32 | 3 << 10);
}

#[test]
fn a_condition_counts_where_the_syndrome_has_one() {
    const CV: u64 = 1 << 24;
    const Z: u64 = 1 << 30;
    let wfi = |condition: u64| 1 << 26 | CV | condition << 20;
    assert!(condition_holds(wfi(0), USER32 | Z));
    assert!(!condition_holds(wfi(0), USER32));
    assert!(condition_holds(wfi(1), USER32));
    assert!(condition_holds(wfi(0xe), USER32) && condition_holds(wfi(0xf), USER32));
    // From AArch64, and of a data abort, the bits mean something else.
    assert!(condition_holds(wfi(0), 0x3c5));
    assert!(condition_holds(0x24 << 26 | CV, USER32));
    // Without CV it is the IT block's.
    assert!(!condition_holds(1 << 26, spsr_with_it(0b0000_1000)));
    assert!(condition_holds(1 << 26, spsr_with_it(0b0001_1000)));
    assert!(condition_holds(1 << 26, THUMB));
    for class in [3, 4, 5, 6, 7, 8, 0xc, 0x13] {
        assert!(!condition_holds(class << 26 | CV, USER32), "{class:#x}");
    }
}

#[test]
fn every_condition_is_judged_by_the_flags() {
    for flags in 0..16u64 {
        let [v, c, z, n] = [0, 1, 2, 3].map(|bit| flags & 1 << bit != 0);
        let expected = [
            z,
            !z,
            c,
            !c,
            n,
            !n,
            v,
            !v,
            c && !z,
            !c || z,
            n == v,
            n != v,
            !z && n == v,
            z || n != v,
            true,
            true,
        ];
        for (condition, expected) in expected.into_iter().enumerate() {
            let esr = 1 << 26 | 1 << 24 | (condition as u64) << 20;
            let holds = condition_holds(esr, USER32 | flags << 28);
            assert_eq!(holds, expected, "condition {condition} of {flags:#b}");
        }
    }
}

#[test]
fn an_undefined_instruction_keeps_its_length() {
    assert_eq!(undefined_syndrome(0x18 << 26 | WORD | 0x1234), WORD);
    assert_eq!(undefined_syndrome(3 << 26 | 0x1234), 0);
    assert_eq!((instruction_length(0), instruction_length(WORD)), (2, 4));
}

/// What `aarch64-linux-gnu-as` makes of the text, and what it means.
#[test]
fn known_instructions_are_decoded() {
    use Direction::*;
    let access = |base, offset, writeback, size, direction, first, second| {
        Some(Access {
            base,
            offset,
            writeback,
            size,
            direction,
            first,
            second,
        })
    };
    let x = Base::General;
    for (text, code, expected) in [
        (
            "str w1, [x0], #4",
            0xb800_4401,
            access(x(0), 0, Some(4), 4, Store, 1, None),
        ),
        (
            "ldr x2, [x3, #-8]!",
            0xf85f_8c62,
            access(x(3), -8, Some(-8), 8, Load, 2, None),
        ),
        (
            "ldrsb w4, [x5], #1",
            0x38c0_14a4,
            access(x(5), 0, Some(1), 1, LoadSigned(4), 4, None),
        ),
        (
            "ldrsw x6, [x7], #4",
            0xb880_44e6,
            access(x(7), 0, Some(4), 4, LoadSigned(8), 6, None),
        ),
        (
            "strb wzr, [sp], #1",
            0x3800_17ff,
            access(Base::StackPointer, 0, Some(1), 1, Store, 31, None),
        ),
        (
            "stp w1, w2, [x0]",
            0x2900_0801,
            access(x(0), 0, None, 4, Store, 1, Some(2)),
        ),
        (
            "ldp x1, x2, [x0, #16]!",
            0xa9c1_0801,
            access(x(0), 16, Some(16), 8, Load, 1, Some(2)),
        ),
        (
            "ldpsw x1, x2, [x0], #-8",
            0x68ff_0801,
            access(x(0), 0, Some(-8), 4, LoadSigned(8), 1, Some(2)),
        ),
        (
            "ldnp w1, w2, [x0, #8]",
            0x2841_0801,
            access(x(0), 8, None, 4, Load, 1, Some(2)),
        ),
        ("ldr w1, [x0]", 0xb940_0001, None),
        ("ldur w1, [x0]", 0xb840_0001, None),
        ("ldtr w1, [x0]", 0xb840_0801, None),
        ("ldxr w1, [x0]", 0x885f_7c01, None),
        ("ldadd w1, w2, [x0]", 0xb821_0002, None),
        ("ldraa x1, [x0, #8]!", 0xf820_1c01, None),
        ("ldr q0, [x0], #16", 0x3cc1_0400, None),
        ("ldp q0, q1, [x0]", 0xad40_0400, None),
        ("stgp x0, x1, [x2], #16", 0x6880_8440, None),
        ("ldr x0, [x0], #8", 0xf840_8400, None),
        ("ldp x1, x1, [x0]", 0xa940_0401, None),
    ] {
        assert_eq!(Access::decode(code), expected, "{text}");
    }
}

/// Returns the fields of "Load/store register pair" and "Load/store register (immediate post- and
/// pre-indexed)", independent of the decoder's masks. `None`: not of these, or unallocated.
fn by_the_manual(code: u32) -> Option<(u8, bool, Option<usize>, i64, bool, bool)> {
    let bits = |high: u32, low: u32| code >> low & (u32::MAX >> (31 - (high - low)));
    let extend = |value: u32, width: u32| {
        let value = i64::from(value);
        value
            - if value >> (width - 1) != 0 {
                1 << width
            } else {
                0
            }
    };
    if bits(26, 26) != 0 {
        return None;
    }
    if bits(29, 27) == 0b101 {
        let (opc, kind, load) = (bits(31, 30), bits(25, 23), bits(22, 22) != 0);
        let known = opc == 0b00 || opc == 0b10 || opc == 0b01 && load && kind != 0;
        if !known || kind > 3 {
            return None;
        }
        let size = if opc == 0b10 { 8 } else { 4 };
        let offset = extend(bits(21, 15), 7) * i64::from(size);
        let (post, pre) = (kind == 1, kind == 3);
        return Some((size, load, Some(bits(14, 10) as usize), offset, post, pre));
    }
    let indexed = bits(11, 10) == 0b01 || bits(11, 10) == 0b11;
    if bits(29, 27) != 0b111 || bits(25, 24) != 0 || bits(21, 21) != 0 || !indexed {
        return None;
    }
    let (size, opc) = (bits(31, 30), bits(23, 22));
    if size == 3 && opc >= 2 || size == 2 && opc == 3 {
        return None;
    }
    let (post, pre) = (bits(11, 10) == 1, bits(11, 10) == 3);
    Some((
        1 << size,
        opc != 0,
        None,
        extend(bits(20, 12), 9),
        post,
        pre,
    ))
}

fn agrees(code: u32) {
    let (t, n) = ((code & 31) as usize, (code >> 5 & 31) as usize);
    let expected = by_the_manual(code).filter(|&(_, load, second, _, post, pre)| {
        let overlap = (post || pre) && n != 31 && (t == n || second == Some(n));
        !(overlap || load && second == Some(t))
    });
    let found = Access::decode(code).map(|a| {
        assert_eq!(a.first, t);
        assert_eq!(
            a.base,
            if n == 31 {
                Base::StackPointer
            } else {
                Base::General(n)
            }
        );
        let post = a.writeback.is_some() && a.writeback != Some(a.offset) || a.is_post(code);
        let pre = a.writeback.is_some() && !post;
        let offset = a.writeback.unwrap_or(a.offset);
        (a.size, !a.is_store(), a.second, offset, post, pre)
    });
    assert_eq!(found, expected, "{code:#010x}");
}

impl Access {
    /// Tells whether it is post-indexed: a post-indexed access by zero looks like a pre-indexed
    /// one.
    fn is_post(&self, code: u32) -> bool {
        self.writeback == Some(0) && by_the_manual(code).is_some_and(|fields| fields.4)
    }
}

/// All values of the fields that choose what is done, with few registers and immediates.
#[test]
fn every_opcode_of_the_classes_is_decoded_as_the_manual_has_it() {
    for opcode in 0..1u32 << 12 {
        for low in 0..4u32 {
            for registers in [0x0041, 0x0000, 0x03e5, 0x001f, 0x0021, 0x03ff] {
                agrees(opcode << 20 | 0x000f_8000 | low << 10 | registers);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn any_word_is_decoded_as_the_manual_has_it(code: u32, class in 0..3u8) {
        agrees(match class {
            0 => code,
            1 => code & !0x3e00_0000 | 0x2800_0000,
            _ => code & !0x3f20_0400 | 0x3800_0400,
        });
    }

    #[test]
    fn an_access_explains_only_faults_of_its_own_bytes(code: u32, base: u64, far: u64) {
        let code = code & !0x3e00_0000 | 0x2800_0000;
        if let Some(access) = Access::decode(code) {
            if let Some(address) = access.explains(base, far, access.is_store()) {
                let len = u64::from(access.size) * access.elements();
                prop_assert!(far.wrapping_sub(address) & (u64::MAX >> 8) < len);
            }
            prop_assert_eq!(access.explains(base, far, !access.is_store()), None);
        }
    }
}

#[test]
fn a_fault_is_explained_by_its_own_access_alone() {
    let pair = Access::decode(0x2900_0801).unwrap(); // stp w1, w2, [x0]
    for (base, far, expected) in [
        (0x1000, 0x1000, Some(0x1000)),
        (0x1000, 0x1004, Some(0x1000)),
        (0x1000, 0x1002, None),
        (0x1000, 0x1008, None),
        (0x1000, 0xffc, None),
        (0x1002, 0x1002, None),
        // Its second element is in the next page.
        (0x1ffc, 0x1ffc, None),
        (0x1ff8, 0x1ffc, Some(0x1ff8)),
        // A tag in the top byte.
        (0x5a00_0000_0000_1000, 0x1000, Some(0x5a00_0000_0000_1000)),
    ] {
        assert_eq!(
            pair.explains(base, far, true),
            expected,
            "{base:#x} {far:#x}"
        );
    }
    let pre = Access::decode(0xf85f_8c62).unwrap(); // ldr x2, [x3, #-8]!
    assert_eq!(pre.explains(0x1008, 0x1000, false), Some(0x1000));
    assert_eq!(pre.explains(0x1000, 0x1000, false), None);
    assert_eq!(
        pre.explains(0, 0xff_ffff_ffff_fff8, false),
        Some(u64::MAX - 7)
    );
}

#[test]
fn loads_are_extended_as_their_registers_want() {
    let load = |code| Access::decode(code).unwrap();
    let ldrsb_w = load(0x38c0_14a4);
    assert_eq!(ldrsb_w.extend(0x1234_5680), 0xffff_ff80);
    assert_eq!(ldrsb_w.extend(0x7f), 0x7f);
    let ldrsw_x = load(0xb880_44e6);
    assert_eq!(ldrsw_x.extend(0x8000_0000), 0xffff_ffff_8000_0000);
    let ldp_w = load(0x2841_0801);
    assert_eq!(ldp_w.extend(0xffff_ffff_8000_0000), 0x8000_0000);
    let ldr_x = load(0xf85f_8c62);
    assert_eq!(ldr_x.extend(u64::MAX), u64::MAX);
}
