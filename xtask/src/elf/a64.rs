// SPDX-License-Identifier: MIT OR Apache-2.0

//! A64 instructions, as far as the scans look at them (DDI 0487 C4.1).

use std::fmt;

/// Number of the zero register, or of the stack pointer.
pub const ZERO: u32 = 31;

/// An instruction by its encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Insn(pub u32);

impl Insn {
    /// DSB SY.
    pub const DSB_SY: Self = Self(0xd503_3f9f);

    fn has(self, mask: u32, value: u32) -> bool {
        self.0 & mask == value
    }

    fn field(self, low: u32) -> u32 {
        self.0 >> low & 0x1f
    }

    /// Returns Rt, or Rd.
    pub fn rt(self) -> u32 {
        self.field(0)
    }

    /// Returns Rn: the base register of a load or store.
    pub fn rn(self) -> u32 {
        self.field(5)
    }

    fn ra_or_rt2(self) -> u32 {
        self.field(10)
    }

    fn rm(self) -> u32 {
        self.field(16)
    }

    /// Tells whether it is ADRP.
    pub fn is_adrp(self) -> bool {
        self.has(0x9f00_0000, 0x9000_0000)
    }

    /// Tells whether it may go on elsewhere: a branch of any kind, or an exception.
    pub fn is_branch(self) -> bool {
        let (immediate, register) = (0x7c00_0000, 0xfe00_0000);
        self.has(immediate, 0x1400_0000)
            || self.has(0x7c00_0000, 0x3400_0000)
            || self.has(register, 0x5400_0000)
            || self.has(register, 0xd600_0000)
            || self.has(0xff00_0000, 0xd400_0000)
    }

    /// Tells whether it is of the class of loads, stores and prefetches.
    pub fn accesses_memory(self) -> bool {
        self.has(0x0a00_0000, 0x0800_0000)
    }

    /// Tells whether it uses the registers of FP and SIMD, memory or not.
    pub fn is_simd(self) -> bool {
        self.has(0x0e00_0000, 0x0e00_0000) || self.has(0x0e00_0000, 0x0c00_0000)
    }

    fn is_pair(self) -> bool {
        self.has(0x3800_0000, 0x2800_0000)
    }

    fn is_exclusive(self) -> bool {
        self.has(0x3f00_0000, 0x0800_0000)
    }

    fn is_literal(self) -> bool {
        self.has(0x3b00_0000, 0x1800_0000)
    }

    /// Tells whether it is a load or store of one register with a scaled immediate offset.
    pub fn has_unsigned_offset(self) -> bool {
        self.has(0x3b00_0000, 0x3900_0000)
    }

    fn has_unscaled_or_indexed_offset(self) -> bool {
        self.has(0x3b20_0000, 0x3800_0000)
    }

    fn has_register_offset(self) -> bool {
        self.has(0x3b20_0c00, 0x3820_0800)
    }

    /// Tells whether it is a load or store of one register, neither exclusive nor literal nor atomic.
    fn is_single(self) -> bool {
        self.has_unsigned_offset()
            || self.has_unscaled_or_indexed_offset()
            || self.has_register_offset()
    }

    /// Tells whether it writes a general register that it loads, Rt at least.
    fn loads(self) -> bool {
        const PREFETCH: u32 = 0b1110;
        let size_and_opc = self.0 >> 30 << 2 | self.0 >> 22 & 0b11;
        if self.has(0x0400_0000, 0x0400_0000) {
            false
        } else if self.is_pair() || self.is_exclusive() {
            self.0 & 1 << 22 != 0
        } else if self.is_literal() {
            self.0 >> 30 != 0b11
        } else {
            self.is_single() && size_and_opc & 0b11 != 0 && size_and_opc != PREFETCH
        }
    }

    /// Tells whether it may write memory.
    pub fn may_store(self) -> bool {
        self.accesses_memory() && !self.loads()
    }

    /// Tells whether this load gives the register `n` its value.
    fn loads_register(self, n: u32) -> bool {
        // Exclusive loads of one register have 31 as Rt2.
        let second = (self.is_pair() || self.is_exclusive()) && self.ra_or_rt2() == n;
        self.loads() && n != ZERO && (self.rt() == n || second)
    }

    fn writes_back(self) -> bool {
        let single = self.has(0x3b20_0400, 0x3800_0400);
        let pair = self.has(0x3a80_0000, 0x2880_0000);
        single || pair
    }

    /// Tells whether this access to memory writes the register `n`.
    fn access_writes(self, n: u32) -> bool {
        let status = self.is_exclusive() && !self.loads() && self.rm() == n;
        self.loads_register(n) || status || self.writes_back() && self.rn() == n
    }

    /// Tells whether it multiplies and accumulates into 64 bits: MADD, MSUB, SMADDL, SMSUBL, UMADDL,
    /// UMSUBL, but for those that accumulate nothing.
    pub fn accumulates(self) -> bool {
        let operation = self.0 >> 21 & 0b111;
        self.has(0xff00_0000, 0x9b00_0000)
            && matches!(operation, 0b000 | 0b001 | 0b101)
            && self.ra_or_rt2() != ZERO
    }

    /// Tells whether this multiplication and accumulation waits for what `access` has loaded.
    pub fn depends_on_load(self, access: Self) -> bool {
        [self.rn(), self.rm(), self.ra_or_rt2()]
            .iter()
            .any(|&source| access.loads_register(source))
    }

    /// Tells whether it can be the second instruction of erratum 843419, after an ADRP of `register`.
    pub fn is_second_of_843419(self, register: u32) -> bool {
        let store_pair = self.is_pair() && self.0 & 1 << 22 == 0;
        let kind = self.is_exclusive() || self.is_literal() || self.is_single() || store_pair;
        kind && !self.access_writes(register)
    }

    /// Tells whether it is `MRS Xt, ICC_IAR0_EL1` or `MRS Xt, ICC_IAR1_EL1`.
    pub fn acknowledges(self) -> bool {
        self.has(0xffff_ffe0, 0xd538_c800) || self.has(0xffff_ffe0, 0xd538_cc00)
    }

    /// Returns the system register that it writes, if it is MSR of a general register.
    pub fn writes_register(self) -> Option<SystemRegister> {
        let part = |low: u32, bits: u32| (self.0 >> low & ((1 << bits) - 1)) as u8;
        self.has(0xfff0_0000, 0xd510_0000).then(|| SystemRegister {
            op0: 2 + part(19, 1),
            op1: part(16, 3),
            crn: part(12, 4),
            crm: part(8, 4),
            op2: part(5, 3),
        })
    }

    fn calls(self) -> bool {
        self.has(0xfc00_0000, 0x9400_0000) || self.has(0xffff_fc1f, 0xd63f_0000)
    }

    /// Tells whether the general register `n` may be another after it. Registers that it writes beside its first
    /// one don't count.
    pub fn changes(self, n: u32) -> bool {
        let other = self.may_store() || self.is_branch() || self.writes_register().is_some();
        self.calls() || self.rt() == n && !other
    }

    /// Tells whether it moves 0 to the general register `n`.
    pub fn clears(self, n: u32) -> bool {
        [0xaa1f_03e0, 0xd280_0000, 0x2a1f_03e0, 0x5280_0000].contains(&(self.0 & !0x1f))
            && self.rt() == n
    }

    /// Tells whether it is `MSR ICC_SGI1R_EL1, Xt`.
    pub fn sends_sgi(self) -> bool {
        self.has(0xffff_ffe0, 0xd518_cba0)
    }

    /// Tells whether it is `STR Wt, [Xn, #offset]`.
    pub fn stores_word_at(self, offset: u32) -> bool {
        self.has(0xffff_fc00, 0xb900_0000 | (offset / 4) << 10)
    }

    /// Tells whether it is `LDR Wt, [Xn, #offset]`.
    pub fn loads_word_at(self, offset: u32) -> bool {
        self.has(0xffff_fc00, 0xb940_0000 | (offset / 4) << 10)
    }

    /// Tells whether it is LDP or STP of Q2n and Q2n+1 at 32 n bytes, as a vCPU's are kept.
    pub fn keeps_vectors(self) -> bool {
        let pair = self.rt();
        let kind = self.has(0xffa0_0000, 0xad00_0000);
        let offset = self.0 >> 15 & 0x7f;
        kind && pair.is_multiple_of(2) && self.ra_or_rt2() == pair + 1 && offset == pair
    }
}

/// A system register by its encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SystemRegister {
    /// 2 or 3.
    pub op0: u8,
    /// 4 for most registers of EL2.
    pub op1: u8,
    /// CRn.
    pub crn: u8,
    /// CRm.
    pub crm: u8,
    /// op2.
    pub op2: u8,
}

impl fmt::Display for SystemRegister {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            op0,
            op1,
            crn,
            crm,
            op2,
        } = self;
        write!(f, "S{op0}_{op1}_C{crn}_C{crm}_{op2}")
    }
}

/// Returns `B` from one address to another, or `None` if it is too far.
pub fn branch(from: u64, to: u64) -> Option<Insn> {
    let words = (to as i64 - from as i64) / 4;
    let fits = (-(1 << 25)..1 << 25).contains(&words);
    fits.then_some(Insn(0x1400_0000 | words as u32 & 0x03ff_ffff))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn branches_reach_in_both_directions() {
        assert_eq!(branch(0x1000, 0x1008), Some(Insn(0x1400_0002)));
        assert_eq!(branch(0x1008, 0x1000), Some(Insn(0x17ff_fffe)));
        assert_eq!(branch(0, 1 << 27), None);
    }

    #[test]
    fn written_system_registers_have_their_encoding() {
        let written = |word| Insn(word).writes_register().map(|r| r.to_string());
        // msr hcr_el2, x1; msr tpidr_el2, xzr; msr dbgbvr1_el1, x0
        assert_eq!(written(0xd51c_1101).as_deref(), Some("S3_4_C1_C1_0"));
        assert_eq!(written(0xd51c_d05f).as_deref(), Some("S3_4_C13_C0_2"));
        assert_eq!(written(0xd510_0180).as_deref(), Some("S2_0_C0_C1_4"));
        // mrs x8, icc_iar1_el1; msr daifset, #15; tlbi vmalle1; nop
        for other in [0xd538_cc08, 0xd503_4fdf, 0xd508_871f, 0xd503_201f] {
            assert_eq!(written(other), None, "{other:#x}");
        }
    }

    #[test]
    fn every_kind_of_branch_is_one() {
        // b; cbz; tbz; b.ne; ret; blr x8; hvc #0
        for word in [
            0x1400_0000,
            0xb400_0004,
            0x3618_0004,
            0x5400_0101,
            0xd65f_03c0,
            0xd63f_0100,
            0xd400_0002,
        ] {
            assert!(Insn(word).is_branch(), "{word:#x}");
        }
        // add x4, x4, #1; ldr x1, [x2]; nop; adrp x0
        for word in [0x9100_0484, 0xf940_0041, 0xd503_201f, 0x9000_0000] {
            assert!(!Insn(word).is_branch(), "{word:#x}");
        }
    }
}
