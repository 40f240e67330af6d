// SPDX-License-Identifier: MIT OR Apache-2.0

//! The allow list: every register and field that a guest may see.
//!
//! Fields and their values are those of DDI 0487 (issue L.a), D24.2, under the register's name.
//! A remark stands where a field is left out, or capped, for a reason that its feature does not
//! explain by itself. In general a field is left out if its feature adds state that EL2 does not
//! switch, needs an enable bit at EL2, or has no meaning without an EL2 of the guest's own.

use crate::Field;

/// ID_AA64PFR0_EL1.GIC: the ICC_* registers of GICv3.
pub(crate) const GIC: Field = Field::upto(24, 1);

macro_rules! registers {
    ($($(#[$doc:meta])* $name:ident = ($crm:literal, $op2:literal): [$($field:expr),* $(,)?];)*) => {
        /// An identification register of which a guest may see something.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum Reg {
            $($(#[$doc])* $name,)*
        }

        impl Reg {
            /// All of them, in the order of their encodings.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// Finds the register at op0 = 3, op1 = 0, CRn = 0 and these, if a guest may see any of
            /// it.
            pub const fn new(crm: u8, op2: u8) -> Option<Self> {
                match (crm, op2) {
                    $(($crm, $op2) => Some(Self::$name),)*
                    _ => None,
                }
            }

            /// Returns CRm and op2.
            pub const fn crm_op2(self) -> (u8, u8) {
                match self {
                    $(Self::$name => ($crm, $op2),)*
                }
            }

            /// Returns the fields that a guest may see.
            pub const fn fields(self) -> &'static [Field] {
                match self {
                    $(Self::$name => const { &[$($field),*] },)*
                }
            }
        }
    };
}

impl Reg {
    /// Tells whether this register describes AArch32.
    pub const fn is_aarch32(self) -> bool {
        self.crm_op2().0 <= 3
    }
}

use Field as F;

registers! {
    // AArch32 exists at EL0 at most, so what tells only of an AArch32 EL1 is left out: all of
    // ID_MMFR*, most of ID_PFR1, exception returns, SMC and the interrupt masks.
    /// ID_PFR0_EL1: A32, T32, Jazelle (trivial), CSV2, DIT.
    IdPfr0 = (1, 0): [F::upto(0, 1), F::upto(4, 3), F::upto(8, 1), F::upto(16, 1), F::upto(24, 1)];
    /// ID_PFR1_EL1: the generic timer.
    IdPfr1 = (1, 1): [F::upto(16, 1)];
    /// ID_DFR0_EL1: CopDbg, at Armv8.0 as ID_AA64DFR0_EL1; no trace, no PMU.
    IdDfr0 = (1, 2): [F::upto(0, 6)];
    /// ID_ISAR0_EL1: bit count, bit field, compare and branch, BKPT, divide.
    IdIsar0 = (2, 0): [
        F::upto(4, 1), F::upto(8, 1), F::upto(12, 1), F::upto(20, 1), F::upto(24, 2),
    ];
    /// ID_ISAR1_EL1: SETEND, extend, IT, immediates, interworking, Jazelle.
    IdIsar1 = (2, 1): [
        F::upto(0, 1), F::upto(12, 2), F::upto(16, 1), F::upto(20, 1), F::upto(24, 3),
        F::upto(28, 1),
    ];
    /// ID_ISAR2_EL1: load/store, memory hints, multi-access, multiplications, PSR, reversal.
    IdIsar2 = (2, 2): [
        F::upto(0, 2), F::upto(4, 4), F::upto(8, 2), F::upto(12, 2), F::upto(16, 3),
        F::upto(20, 2), F::upto(24, 1), F::upto(28, 2),
    ];
    /// ID_ISAR3_EL1: saturation, SIMD, SVC, exclusives, table branch, T32 copy, NOP.
    IdIsar3 = (2, 3): [
        F::upto(0, 1), F::upto(4, 3), F::upto(8, 1), F::upto(12, 2), F::upto(16, 1),
        F::upto(20, 1), F::upto(24, 1),
    ];
    /// ID_ISAR4_EL1: unprivileged access, shifts, writeback, barriers, exclusives.
    IdIsar4 = (2, 4): [
        F::upto(0, 2), F::upto(4, 4), F::upto(8, 1), F::upto(16, 1), F::upto(20, 3),
    ];
    /// ID_ISAR5_EL1: SEVL, AES, SHA1, SHA2, CRC32, RDM, VCMA.
    IdIsar5 = (2, 5): [
        F::upto(0, 1), F::upto(4, 2), F::upto(8, 1), F::upto(12, 1), F::upto(16, 1),
        F::upto(24, 1), F::upto(28, 1),
    ];
    /// ID_ISAR6_EL1: JSCVT, DP, FHM, SB, SPECRES, BF16, I8MM.
    IdIsar6 = (2, 7): [
        F::upto(0, 1), F::upto(4, 1), F::upto(8, 1), F::upto(12, 1), F::upto(16, 1),
        F::upto(20, 1), F::upto(24, 1),
    ];
    /// MVFR0_EL1: the AArch32 view of FP and Advanced SIMD, as in MVFR1 and MVFR2.
    Mvfr0 = (3, 0): [
        F::upto(0, 2), F::upto(4, 2), F::upto(8, 2), F::upto(12, 1), F::upto(16, 1),
        F::upto(20, 1), F::upto(24, 1), F::upto(28, 1),
    ];
    /// MVFR1_EL1.
    Mvfr1 = (3, 1): [
        F::upto(0, 1), F::upto(4, 1), F::upto(8, 1), F::upto(12, 1), F::upto(16, 1),
        F::upto(20, 2), F::upto(24, 3), F::upto(28, 1),
    ];
    /// MVFR2_EL1.
    Mvfr2 = (3, 2): [F::upto(0, 3), F::upto(4, 4)];
    /// ID_PFR2_EL1: CSV3, SSBS.
    IdPfr2 = (3, 4): [F::upto(0, 1), F::upto(4, 1)];

    /// ID_AA64PFR0_EL1.
    IdAa64Pfr0 = (4, 0): [
        F::upto(0, 2),    // EL0: AArch32 stays
        F::upto(4, 1),    // EL1: AArch64 alone, HCR_EL2.RW is fixed
                          // EL2: none
        F::upto(12, 1),   // EL3: PSCI and OP-TEE answer SMC, which needs one; AArch64 alone
        F::signed(16, 1), // FP
        F::signed(20, 1), // AdvSIMD
        GIC,
        // RAS: the error records are the machine's, and reading or clearing them would reach
        // through to other guests. ESB stays what it is without RAS, a hint.
        // SVE, SEL2, MPAM, AMU: state that is not switched. RME: of EL3.
        F::upto(48, 1),   // DIT
        F::upto(56, 1),   // CSV2: 2 and up add SCXTNUM_EL0 and SCXTNUM_EL1
        F::upto(60, 1),   // CSV3
    ];
    /// ID_AA64PFR1_EL1.
    IdAa64Pfr1 = (4, 1): [
        F::upto(0, 1),    // BT
        F::upto(4, 2),    // SSBS
                          // MTE, SME, NMI, GCS, THE, PFAR, DF2: state or enables at EL2
        F::upto(32, 1),   // CSV2_frac: 2 adds SCXTNUM as above
    ];
    /// ID_AA64DFR0_EL1.
    IdAa64Dfr0 = (5, 0): [
        F::upto(0, 6),    // DebugVer: Armv8.0; later ones belong to EL2 or to external debug
                          // TraceVer, PMUVer, PMSVer, TraceFilt, TraceBuffer, MTPMU, BRBE: none
        F::upto(12, 15),  // BRPs, WRPs, CTX_CMPs: numbers less one of real registers
        F::upto(20, 15),
        F::upto(28, 15),
        F::signed(36, 0), // DoubleLock: 0 is implemented
    ];
    /// ID_AA64ISAR0_EL1.
    IdAa64Isar0 = (6, 0): [
        F::upto(4, 2),    // AES, PMULL
        F::upto(8, 1),    // SHA1
        F::upto(12, 2),   // SHA2, SHA512
        F::upto(16, 1),   // CRC32
        F::upto(20, 2),   // Atomic: LSE, not LSE128
                          // TME: transactions abort on every exception to EL2
        F::upto(28, 1),   // RDM
        F::upto(32, 1),   // SHA3
        F::upto(36, 1),   // SM3
        F::upto(40, 1),   // SM4
        F::upto(44, 1),   // DP
        F::upto(48, 1),   // FHM
        F::upto(52, 2),   // TS: FlagM, FlagM2
        F::upto(56, 2),   // TLB: outer shareable and range
        F::upto(60, 1),   // RNDR
    ];
    /// ID_AA64ISAR1_EL1.
    IdAa64Isar1 = (6, 1): [
        F::upto(0, 2),    // DPB
        F::upto(4, 5),    // APA
        F::upto(8, 5),    // API
        F::upto(12, 1),   // JSCVT
        F::upto(16, 1),   // FCMA
        F::upto(20, 2),   // LRCPC
        F::upto(24, 1),   // GPA
        F::upto(28, 1),   // GPI
        F::upto(32, 1),   // FRINTTS
        F::upto(36, 1),   // SB
        F::upto(40, 1),   // SPECRES
        F::upto(44, 1),   // BF16
        F::upto(48, 1),   // DGH
        F::upto(52, 1),   // I8MM
                          // XS, LS64: enables in HCRX_EL2
    ];
    /// ID_AA64ISAR2_EL1.
    IdAa64Isar2 = (6, 2): [
                          // WFxT: a trapped WFIT would need its timeout emulated
        F::upto(4, 1),    // RPRES
        F::upto(8, 1),    // GPA3
        F::upto(12, 5),   // APA3
                          // MOPS: enable in HCRX_EL2
        F::upto(20, 1),   // BC
        F::upto(24, 1),   // PAC_frac
        F::upto(28, 1),   // CLRBHB
        F::upto(52, 1),   // CSSC
    ];
    /// ID_AA64MMFR0_EL1.
    IdAa64Mmfr0 = (7, 0): [
        F::upto(0, 5),    // PARange: 48 bits at most, as stage 2 has no 52-bit descriptors
        F::upto(4, 2),    // ASIDBits
        F::upto(8, 1),    // BigEnd
        F::upto(12, 1),   // SNSMem
        F::upto(16, 1),   // BigEndEL0
        F::upto(20, 1),   // TGran16, without 52 bits
        F::signed(24, 0), // TGran64
        F::signed(28, 0), // TGran4, without 52 bits
                          // TGran*_2, FGT, ECV: of an EL2. ExS: not looked at
    ];
    /// ID_AA64MMFR1_EL1.
    IdAa64Mmfr1 = (7, 1): [
        F::upto(0, 2),    // HAFDBS: access flag and dirty state
                          // VMIDBits, VH, XNX, TWED, HCX: of an EL2. LO: a register set of EL1
        F::upto(12, 2),   // HPDS
        F::upto(20, 3),   // PAN
        F::upto(24, 1),   // SpecSEI
        F::upto(36, 2),   // ETS
        F::upto(44, 1),   // AFP
        F::upto(48, 1),   // nTLBPA
                          // TIDCP1: mixes with HCR_EL2.TIDCP. CMOW: enable in HCRX_EL2
        F::upto(60, 1),   // ECBHB
    ];
    /// ID_AA64MMFR2_EL1.
    IdAa64Mmfr2 = (7, 2): [
        F::upto(0, 1),    // CnP
        F::upto(4, 1),    // UAO
        F::upto(8, 1),    // LSM
                          // IESB: of RAS
        F::upto(16, 1),   // VARange: 52-bit virtual addresses with 64 KiB pages
        F::upto(20, 1),   // CCIDX: must match the untrapped CCSIDR_EL1
                          // NV, FWB, EVT: of an EL2
        F::upto(28, 1),   // ST
        F::upto(32, 1),   // AT
        F::upto(36, 1),   // IDS
        F::upto(48, 1),   // TTL
                          // BBM: a TLB conflict abort may be taken to EL2
        F::upto(60, 1),   // E0PD
    ];
}
