// SPDX-License-Identifier: MIT OR Apache-2.0

//! System registers by their names in the Arm ARM: those of aarch64-cpu, and here the ones that it
//! lacks.
//!
//! A register's fields are in the module of its name. Writing one is safe to the compiler, and so
//! this module is `arch`'s own: who writes a register that decides what memory a core reaches, or
//! where it goes on, does so in an `unsafe fn` that says why it may.
//!
//! Neither reads nor writes order accesses to memory: where that matters there are the barriers of
//! [`super::barrier`].

pub use aarch64_cpu::registers::*;
pub use controls::Cptr;
use tock_registers::register_bitfields;

register_bitfields! {u64,
    /// CTR_EL0.
    pub Ctr [
        /// Log2 of the words in the smallest data cache line.
        DminLine OFFSET(16) NUMBITS(4) [],
    ],
    /// DCZID_EL0.
    pub Dczid [
        /// DC ZVA is prohibited.
        DZP OFFSET(4) NUMBITS(1) [],
        /// Log2 of the words in its block.
        BS OFFSET(0) NUMBITS(4) [],
    ],
    /// DISR_EL1.
    pub Disr [
        /// An ESB has deferred an SError.
        A OFFSET(31) NUMBITS(1) [],
    ],
    /// ISR_EL1.
    pub Isr [
        /// An SError is pending.
        A OFFSET(8) NUMBITS(1) [],
    ],
    /// PMCR_EL0.
    pub Pmcr [
        /// Number of event counters.
        N OFFSET(11) NUMBITS(5) [],
    ],
    /// PSTATE as SPSR_EL2 and SPSR_EL1 keep it (DDI 0487 C5.2.19), with fields that aarch64-cpu's
    /// lack.
    pub Pstate [
        NZCV OFFSET(28) NUMBITS(4) [],
        DIT OFFSET(24) NUMBITS(1) [],
        PAN OFFSET(22) NUMBITS(1) [],
        SSBS OFFSET(12) NUMBITS(1) [],
        DAIF OFFSET(6) NUMBITS(4) [],
        /// M[4].
        AARCH32 OFFSET(4) NUMBITS(1) [],
        /// M[3:0], in AArch64 state. EL0 in AArch32 state, too, is 0.
        M OFFSET(0) NUMBITS(4) [
            EL0t = 0b0000,
            EL1t = 0b0100,
            EL1h = 0b0101,
        ],
    ],
    /// SCTLR_EL1's fields that aarch64-cpu lacks.
    pub Sctlr [
        /// SSBS after an exception.
        DSSBS OFFSET(44) NUMBITS(1) [],
        /// An exception does not set PAN.
        SPAN OFFSET(23) NUMBITS(1) [],
    ],
    /// OSLSR_EL1.
    pub Oslsr [
        /// OSLM[1]: the OS lock is there.
        OSLM1 OFFSET(3) NUMBITS(1) [],
        /// It is locked.
        OSLK OFFSET(1) NUMBITS(1) [],
    ],
    /// ID_AA64PFR0_EL1's fields that aarch64-cpu lacks.
    pub Pfr0 [
        AMU OFFSET(44) NUMBITS(4) [],
        MPAM OFFSET(40) NUMBITS(4) [],
        RAS OFFSET(28) NUMBITS(4) [],
    ],
    /// ID_AA64PFR1_EL1's.
    pub Pfr1 [
        SME OFFSET(24) NUMBITS(4) [],
        SSBS OFFSET(4) NUMBITS(4) [],
    ],
    /// ID_AA64MMFR0_EL1's.
    pub Mmfr0 [
        FGT OFFSET(56) NUMBITS(4) [],
    ],
    /// ID_AA64MMFR1_EL1's.
    pub Mmfr1 [
        HCX OFFSET(40) NUMBITS(4) [],
    ],
    /// MPAMIDR_EL1 (DDI 0598).
    pub Mpamidr [
        /// MPAMHCR_EL2 is there.
        HAS_HCR OFFSET(17) NUMBITS(1) [],
    ],
    /// ID_AA64ISAR1_EL1.
    pub Isar1 [
        /// GPI and GPA: generic authentication.
        GENERIC OFFSET(24) NUMBITS(8) [],
        /// API and APA: address authentication.
        ADDRESS OFFSET(4) NUMBITS(8) [],
    ],
    /// ID_AA64ISAR2_EL1.
    pub Isar2 [
        /// APA3 and GPA3: authentication by QARMA3.
        BY_QARMA3 OFFSET(8) NUMBITS(8) [],
    ],
    /// ICH_VTR_EL2 (IHI 0069H 12.4), with a field that aarch64-cpu lacks.
    pub IchVtr [
        /// Number of preemption bits, minus one.
        PREbits OFFSET(26) NUMBITS(3) [],
        /// ICH_HCR_EL2.TDIR is there.
        TDS OFFSET(19) NUMBITS(1) [],
        /// Number of list registers, minus one.
        ListRegs OFFSET(0) NUMBITS(5) [],
    ],
}

/// Declares registers that are only read.
macro_rules! declare_read_only {
    ($($(#[$doc:meta])* $name:ident $(: $fields:ident)? = $asm:literal),* $(,)?) => {$(
        $(#[$doc])*
        #[allow(non_camel_case_types, clippy::upper_case_acronyms)]
        pub struct $name;

        impl Readable for $name {
            type T = u64;
            type R = declare_read_only!(@fields $($fields)?);

            #[inline]
            fn get(&self) -> u64 {
                let value: u64;
                // SAFETY: reading one of these registers has no effect on memory or on the flow of
                // control.
                unsafe {
                    core::arch::asm!(
                        concat!("mrs {}, ", $asm),
                        out(reg) value,
                        options(nomem, nostack, preserves_flags)
                    );
                }
                value
            }
        }
    )*};
    (@fields) => { () };
    (@fields $fields:ident) => { $fields::Register };
}

/// Declares registers that are read and written.
macro_rules! declare {
    ($($(#[$doc:meta])* $name:ident $(: $fields:ident)? = $asm:literal),* $(,)?) => {$(
        declare_read_only!($(#[$doc])* $name $(: $fields)? = $asm);

        impl Writeable for $name {
            type T = u64;
            type R = declare_read_only!(@fields $($fields)?);

            #[inline]
            fn set(&self, value: u64) {
                // SAFETY: as for the registers of aarch64-cpu, see the module's documentation.
                unsafe {
                    core::arch::asm!(
                        concat!("msr ", $asm, ", {}"),
                        in(reg) value,
                        options(nostack, preserves_flags)
                    );
                }
            }
        }
    )*};
}

declare_read_only!(
    /// Auxiliary ID.
    AIDR_EL1 = "S3_1_C0_C0_7",
    /// Revision ID.
    REVIDR_EL1 = "revidr_el1",
    /// Cache type.
    CTR_EL0: Ctr = "ctr_el0",
    /// Block of DC ZVA.
    DCZID_EL0: Dczid = "dczid_el0",
    /// What there is of MPAM.
    MPAMIDR: Mpamidr = "S3_0_C10_C4_4",
    /// Pending interrupts; at EL2 the physical ones.
    ISR: Isr = "isr_el1",
    /// Performance monitors' control, of which the number of counters is read.
    PMCR_EL0: Pmcr = "pmcr_el0",
    /// Type of the virtual GIC CPU interface.
    ICH_VTR: IchVtr = "ich_vtr_el2",
    /// ID_AA64PFR0_EL1, by the fields that aarch64-cpu lacks; likewise the next five.
    PFR0: Pfr0 = "id_aa64pfr0_el1",
    PFR1: Pfr1 = "id_aa64pfr1_el1",
    MMFR0: Mmfr0 = "id_aa64mmfr0_el1",
    MMFR1: Mmfr1 = "id_aa64mmfr1_el1",
    ISAR1: Isar1 = "id_aa64isar1_el1",
    ISAR2: Isar2 = "S3_0_C0_C6_2",
    ID_PFR0_EL1 = "S3_0_C0_C1_0",
    ID_PFR1_EL1 = "S3_0_C0_C1_1",
    ID_DFR0_EL1 = "S3_0_C0_C1_2",
    ID_ISAR0_EL1 = "S3_0_C0_C2_0",
    ID_ISAR1_EL1 = "S3_0_C0_C2_1",
    ID_ISAR2_EL1 = "S3_0_C0_C2_2",
    ID_ISAR3_EL1 = "S3_0_C0_C2_3",
    ID_ISAR4_EL1 = "S3_0_C0_C2_4",
    ID_ISAR5_EL1 = "S3_0_C0_C2_5",
    ID_ISAR6_EL1 = "S3_0_C0_C2_7",
    MVFR0_EL1 = "S3_0_C0_C3_0",
    MVFR1_EL1 = "S3_0_C0_C3_1",
    MVFR2_EL1 = "S3_0_C0_C3_2",
    ID_PFR2_EL1 = "S3_0_C0_C3_4",
    ID_AA64ISAR2_EL1 = "S3_0_C0_C6_2",
);

declare!(
    /// Active priorities of group 1 (IHI 0069H 12.2).
    ICC_AP1R0_EL1 = "S3_0_C12_C9_0",
    /// Active priorities of group 1.
    ICC_AP1R1_EL1 = "S3_0_C12_C9_1",
    /// Active priorities of group 1.
    ICC_AP1R2_EL1 = "S3_0_C12_C9_2",
    /// Active priorities of group 1.
    ICC_AP1R3_EL1 = "S3_0_C12_C9_3",
    /// Architectural feature traps, by the fields that it has with HCR_EL2.E2H = 0.
    CPTR: Cptr = "cptr_el2",
    /// EL2's own physical timer: its compare value.
    CNTHP_CVAL_EL2 = "cnthp_cval_el2",
    /// Hypervisor system traps, of AArch32.
    HSTR_EL2 = "hstr_el2",
    /// MIDR_EL1 as EL1 reads it.
    VPIDR_EL2 = "vpidr_el2",
    /// What an ESB instruction of EL1 has found (FEAT_RAS).
    VDISR_EL2 = "S3_4_C12_C1_1",
    /// The syndrome of EL1's virtual SError (FEAT_RAS).
    VSESR_EL2 = "S3_4_C5_C2_3",
    /// What an ESB instruction of EL2 has found (FEAT_RAS).
    DISR_EL1: Disr = "S3_0_C12_C1_1",
    /// FEAT_SME's thread id.
    TPIDR2_EL0 = "S3_3_C13_C0_5",
    /// FP control.
    FPCR = "S3_3_C4_C4_0",
    /// FP status.
    FPSR = "S3_3_C4_C4_1",
    /// Features that are off without it (FEAT_HCX).
    HCRX_EL2 = "S3_4_C1_C2_2",
    /// Fine-grained traps of the activity monitors.
    HAFGRTR_EL2 = "S3_4_C3_C1_6",
    /// FEAT_FGT2's further fine-grained traps: debug registers, read.
    HDFGRTR2_EL2 = "S3_4_C3_C1_0",
    /// Debug registers, written.
    HDFGWTR2_EL2 = "S3_4_C3_C1_1",
    /// Registers, read.
    HFGRTR2_EL2 = "S3_4_C3_C1_2",
    /// Registers, written.
    HFGWTR2_EL2 = "S3_4_C3_C1_3",
    /// Instructions.
    HFGITR2_EL2 = "S3_4_C3_C1_7",
    /// FEAT_MPAM's virtual partitions.
    MPAMHCR_EL2 = "S3_4_C10_C4_0",
    /// The partition of EL1.
    MPAM1_EL1 = "S3_0_C10_C5_0",
    /// The partition of EL0.
    MPAM0_EL1 = "S3_0_C10_C5_1",
    /// FEAT_MPAM's controls of EL2.
    MPAM2_EL2 = "S3_4_C10_C5_0",
);

declare!(
    DBGBVR0_EL1 = "S2_0_C0_C0_4",
    DBGBVR1_EL1 = "S2_0_C0_C1_4",
    DBGBVR2_EL1 = "S2_0_C0_C2_4",
    DBGBVR3_EL1 = "S2_0_C0_C3_4",
    DBGBVR4_EL1 = "S2_0_C0_C4_4",
    DBGBVR5_EL1 = "S2_0_C0_C5_4",
    DBGBVR6_EL1 = "S2_0_C0_C6_4",
    DBGBVR7_EL1 = "S2_0_C0_C7_4",
    DBGBVR8_EL1 = "S2_0_C0_C8_4",
    DBGBVR9_EL1 = "S2_0_C0_C9_4",
    DBGBVR10_EL1 = "S2_0_C0_C10_4",
    DBGBVR11_EL1 = "S2_0_C0_C11_4",
    DBGBVR12_EL1 = "S2_0_C0_C12_4",
    DBGBVR13_EL1 = "S2_0_C0_C13_4",
    DBGBVR14_EL1 = "S2_0_C0_C14_4",
    DBGBVR15_EL1 = "S2_0_C0_C15_4",
    DBGBCR0_EL1 = "S2_0_C0_C0_5",
    DBGBCR1_EL1 = "S2_0_C0_C1_5",
    DBGBCR2_EL1 = "S2_0_C0_C2_5",
    DBGBCR3_EL1 = "S2_0_C0_C3_5",
    DBGBCR4_EL1 = "S2_0_C0_C4_5",
    DBGBCR5_EL1 = "S2_0_C0_C5_5",
    DBGBCR6_EL1 = "S2_0_C0_C6_5",
    DBGBCR7_EL1 = "S2_0_C0_C7_5",
    DBGBCR8_EL1 = "S2_0_C0_C8_5",
    DBGBCR9_EL1 = "S2_0_C0_C9_5",
    DBGBCR10_EL1 = "S2_0_C0_C10_5",
    DBGBCR11_EL1 = "S2_0_C0_C11_5",
    DBGBCR12_EL1 = "S2_0_C0_C12_5",
    DBGBCR13_EL1 = "S2_0_C0_C13_5",
    DBGBCR14_EL1 = "S2_0_C0_C14_5",
    DBGBCR15_EL1 = "S2_0_C0_C15_5",
    DBGWVR0_EL1 = "S2_0_C0_C0_6",
    DBGWVR1_EL1 = "S2_0_C0_C1_6",
    DBGWVR2_EL1 = "S2_0_C0_C2_6",
    DBGWVR3_EL1 = "S2_0_C0_C3_6",
    DBGWVR4_EL1 = "S2_0_C0_C4_6",
    DBGWVR5_EL1 = "S2_0_C0_C5_6",
    DBGWVR6_EL1 = "S2_0_C0_C6_6",
    DBGWVR7_EL1 = "S2_0_C0_C7_6",
    DBGWVR8_EL1 = "S2_0_C0_C8_6",
    DBGWVR9_EL1 = "S2_0_C0_C9_6",
    DBGWVR10_EL1 = "S2_0_C0_C10_6",
    DBGWVR11_EL1 = "S2_0_C0_C11_6",
    DBGWVR12_EL1 = "S2_0_C0_C12_6",
    DBGWVR13_EL1 = "S2_0_C0_C13_6",
    DBGWVR14_EL1 = "S2_0_C0_C14_6",
    DBGWVR15_EL1 = "S2_0_C0_C15_6",
    DBGWCR0_EL1 = "S2_0_C0_C0_7",
    DBGWCR1_EL1 = "S2_0_C0_C1_7",
    DBGWCR2_EL1 = "S2_0_C0_C2_7",
    DBGWCR3_EL1 = "S2_0_C0_C3_7",
    DBGWCR4_EL1 = "S2_0_C0_C4_7",
    DBGWCR5_EL1 = "S2_0_C0_C5_7",
    DBGWCR6_EL1 = "S2_0_C0_C6_7",
    DBGWCR7_EL1 = "S2_0_C0_C7_7",
    DBGWCR8_EL1 = "S2_0_C0_C8_7",
    DBGWCR9_EL1 = "S2_0_C0_C9_7",
    DBGWCR10_EL1 = "S2_0_C0_C10_7",
    DBGWCR11_EL1 = "S2_0_C0_C11_7",
    DBGWCR12_EL1 = "S2_0_C0_C12_7",
    DBGWCR13_EL1 = "S2_0_C0_C13_7",
    DBGWCR14_EL1 = "S2_0_C0_C14_7",
    DBGWCR15_EL1 = "S2_0_C0_C15_7",
);

// FEAT_PAuth's keys, by their encodings: the names in aarch64-cpu need an assembler that knows the
// feature.
declare!(
    APIAKEYLO_EL1 = "S3_0_C2_C1_0",
    APIAKEYHI_EL1 = "S3_0_C2_C1_1",
    APIBKEYLO_EL1 = "S3_0_C2_C1_2",
    APIBKEYHI_EL1 = "S3_0_C2_C1_3",
    APDAKEYLO_EL1 = "S3_0_C2_C2_0",
    APDAKEYHI_EL1 = "S3_0_C2_C2_1",
    APDBKEYLO_EL1 = "S3_0_C2_C2_2",
    APDBKEYHI_EL1 = "S3_0_C2_C2_3",
    APGAKEYLO_EL1 = "S3_0_C2_C3_0",
    APGAKEYHI_EL1 = "S3_0_C2_C3_1",
);
