// SPDX-License-Identifier: MIT OR Apache-2.0

//! Why a guest trapped: ESR_EL2 by its fields (DDI 0487 D19.2.37).

use tock_registers::{LocalRegisterCopy, register_bitfields};

use super::super::registers::{ESR_EL2, Readable};

register_bitfields! {u64,
    /// The ISS of HVC and SMC.
    Call [
        IMM16 OFFSET(0) NUMBITS(16) [],
    ],
    /// The ISS of WFI, WFE, WFIT and WFET.
    Wait [
        /// TI[0]: it waits for an event.
        EVENT OFFSET(0) NUMBITS(1) [],
    ],
    /// The ISS of MSR, MRS and system instructions.
    System [
        OP0 OFFSET(20) NUMBITS(2) [],
        OP2 OFFSET(17) NUMBITS(3) [],
        OP1 OFFSET(14) NUMBITS(3) [],
        CRN OFFSET(10) NUMBITS(4) [],
        RT OFFSET(5) NUMBITS(5) [],
        CRM OFFSET(1) NUMBITS(4) [],
        READ OFFSET(0) NUMBITS(1) [],
    ],
    /// The ISS of a data abort; an instruction abort's has some of it.
    DataAbort [
        /// The fields up to SF say what the instruction does.
        ISV OFFSET(24) NUMBITS(1) [],
        /// Log2 of the bytes accessed.
        SAS OFFSET(22) NUMBITS(2) [],
        SSE OFFSET(21) NUMBITS(1) [],
        SRT OFFSET(16) NUMBITS(5) [],
        SF OFFSET(15) NUMBITS(1) [],
        FNV OFFSET(10) NUMBITS(1) [],
        CM OFFSET(8) NUMBITS(1) [],
        S1PTW OFFSET(7) NUMBITS(1) [],
        WNR OFFSET(6) NUMBITS(1) [],
        DFSC OFFSET(0) NUMBITS(6) [
            SynchronousExternal = 0x10,
            /// On the walk, at level 1.
            SynchronousExternalOnWalk = 0x15,
        ],
        /// The kind of fault, without its level.
        KIND OFFSET(2) NUMBITS(4) [
            Translation = 1,
            AccessFlag = 2,
            Permission = 3,
        ],
    ],
}

/// Why a guest trapped, if not for an SMC or HVC: as far as EL2 tells reasons apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// A WFI or WFE.
    Wait,
    /// A use of the FP and SIMD registers.
    Fp,
    /// An MSR, MRS or system instruction from AArch64.
    System,
    /// An instruction abort.
    InstructionAbort,
    /// A data abort.
    DataAbort,
    /// Any other.
    Other,
}

/// ESR_EL2.EC of each.
mod class {
    use super::ESR_EL2::EC::Value;

    pub const WAIT: u64 = Value::TrappedWFIorWFE as u64;
    pub const FP: u64 = Value::TrappedFP as u64;
    pub const SYSTEM: u64 = Value::TrappedMsrMrs as u64;
    pub const INSTRUCTION_ABORT: u64 = Value::InstrAbortLowerEL as u64;
    pub const DATA_ABORT: u64 = Value::DataAbortLowerEL as u64;
}

/// ESR_EL2 of a synchronous exception.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Syndrome(u64);

impl Syndrome {
    /// Returns the syndrome of the last exception that this core took.
    #[inline]
    pub fn read() -> Self {
        Self(ESR_EL2.get())
    }

    /// Returns the whole register.
    pub fn bits(self) -> u64 {
        self.0
    }

    /// Returns whether it is an SMC from AArch64. Guests are here for that most often, and this is a
    /// comparison, while [`Self::class`] takes some.
    #[inline]
    pub fn is_smc(self) -> bool {
        ESR_EL2::EC::SMC64.matches_all(self.0)
    }

    /// Returns whether it is an HVC from AArch64.
    #[inline]
    pub fn is_hvc(self) -> bool {
        ESR_EL2::EC::HVC64.matches_all(self.0)
    }

    /// Returns the exception class. Not by `EC::Value`, whose conversion also looks whether there
    /// is such a class, which every trap would pay for.
    #[inline]
    pub fn class(self) -> Class {
        match ESR_EL2::EC.read(self.0) {
            class::WAIT => Class::Wait,
            class::FP => Class::Fp,
            class::SYSTEM => Class::System,
            class::INSTRUCTION_ABORT => Class::InstructionAbort,
            class::DATA_ABORT => Class::DataAbort,
            _ => Class::Other,
        }
    }

    /// Returns the immediate of an HVC or SMC.
    #[inline]
    pub fn immediate(self) -> u16 {
        Call::IMM16.read(self.0) as u16
    }

    /// Returns whether what waits is a WFE; else it is a WFI.
    pub fn is_wfe(self) -> bool {
        Wait::EVENT.is_set(self.0)
    }

    /// Returns what an MSR or MRS accesses.
    pub fn system_access(self) -> SystemAccess {
        SystemAccess(LocalRegisterCopy::new(self.0))
    }

    /// Returns what was aborted.
    pub fn abort(self) -> Abort {
        Abort(LocalRegisterCopy::new(self.0))
    }
}

/// A trapped MSR or MRS.
#[derive(Clone, Copy)]
pub struct SystemAccess(LocalRegisterCopy<u64, System::Register>);

impl SystemAccess {
    /// Returns op0, op1, CRn, CRm and op2 of the system register.
    pub fn name(self) -> (u8, u8, u8, u8, u8) {
        let field = |field| self.0.read(field) as u8;
        (
            field(System::OP0),
            field(System::OP1),
            field(System::CRN),
            field(System::CRM),
            field(System::OP2),
        )
    }

    /// Returns the number of the general register.
    pub fn register(self) -> usize {
        self.0.read(System::RT) as usize
    }

    /// Returns whether it is an MRS.
    pub fn is_read(self) -> bool {
        self.0.is_set(System::READ)
    }
}

/// An aborted access.
#[derive(Clone, Copy)]
pub struct Abort(LocalRegisterCopy<u64, DataAbort::Register>);

impl Abort {
    /// Returns whether the syndrome says which access it is: the four that follow.
    pub fn has_syndrome(self) -> bool {
        self.0.is_set(DataAbort::ISV)
    }

    /// Returns how many bytes are accessed: 1, 2, 4 or 8.
    pub fn size(self) -> u8 {
        1 << self.0.read(DataAbort::SAS)
    }

    /// Returns whether what is loaded is extended by its sign.
    pub fn sign_extends(self) -> bool {
        self.0.is_set(DataAbort::SSE)
    }

    /// Returns the number of the general register.
    pub fn register(self) -> usize {
        self.0.read(DataAbort::SRT) as usize
    }

    /// Returns whether all 64 bits of that register are meant.
    pub fn is_64_bit(self) -> bool {
        self.0.is_set(DataAbort::SF)
    }

    /// Returns whether a cache maintenance instruction is what was aborted.
    pub fn is_cache_maintenance(self) -> bool {
        self.0.is_set(DataAbort::CM)
    }

    /// Returns whether a walk of the guest's own tables is.
    pub fn is_table_walk(self) -> bool {
        self.0.is_set(DataAbort::S1PTW)
    }

    /// Returns whether it is a store.
    pub fn is_write(self) -> bool {
        self.0.is_set(DataAbort::WNR)
    }

    /// Returns whether it is a translation, access flag or permission fault: HPFAR_EL2 is valid.
    pub fn is_stage2_fault(self) -> bool {
        use DataAbort::KIND;
        let kinds = [KIND::Translation, KIND::AccessFlag, KIND::Permission];
        self.0.matches_any(&kinds)
    }

    /// Returns the syndrome of the same access if nothing answers at its address.
    pub fn as_external(self) -> u64 {
        const KEPT: u64 = ESR_EL2::EC.val(0).mask()
            | ESR_EL2::IL::SET.mask()
            | DataAbort::FNV::SET.mask()
            | DataAbort::CM::SET.mask()
            | DataAbort::WNR::SET.mask();
        let status = match self.is_table_walk() {
            true => DataAbort::DFSC::SynchronousExternalOnWalk,
            false => DataAbort::DFSC::SynchronousExternal,
        };
        status.modify(self.0.get() & KEPT)
    }
}
