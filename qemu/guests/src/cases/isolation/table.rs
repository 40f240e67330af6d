// SPDX-License-Identifier: MIT OR Apache-2.0

//! Which system registers and instructions a guest has (DDI 0487 D18.1, IHI 0069H 12.2).

use crate::rt::env;
use crate::rt::sysreg::Sysreg;
use core::ops::RangeInclusive;

/// What becomes of MRS and MSR.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    /// Both are UNDEFINED.
    None,
    /// MRS works.
    Read,
    /// MSR works.
    Write,
    /// Both work.
    Both,
    /// UNDEFINED or, where the core has no trap for it, zero whatever is written.
    NoneOrZero,
    /// UNDEFINED or, where the core has no trap for it, unchanged whatever is written.
    NoneOrConstant,
    /// UNDEFINED or, where the core has no trap for it, the vCPU's own.
    NoneOrOwn,
}

/// When an entry holds; else its registers are UNDEFINED.
#[derive(Clone, Copy)]
enum When {
    Always,
    /// The guest has a GICv3.
    Gicv3,
    /// One of these bits of this identification register, as the guest sees it, is not 0.
    Feature(Sysreg, u64),
    /// There is a breakpoint (watchpoint) of number CRm: the shift of their number in
    /// ID_AA64DFR0_EL1.
    Numbered(u32),
}

struct Entry(
    u32,
    u32,
    u32,
    RangeInclusive<u32>,
    RangeInclusive<u32>,
    Access,
    When,
);

const PFR0: Sysreg = Sysreg(3, 0, 0, 4, 0);
const PFR1: Sysreg = Sysreg(3, 0, 0, 4, 1);
const DFR0: Sysreg = Sysreg(3, 0, 0, 5, 0);
const ISAR0: Sysreg = Sysreg(3, 0, 0, 6, 0);
const ISAR1: Sysreg = Sysreg(3, 0, 0, 6, 1);
const MMFR1: Sysreg = Sysreg(3, 0, 0, 7, 1);
const MMFR2: Sysreg = Sysreg(3, 0, 0, 7, 2);

use Access::{Both, NoneOrConstant, NoneOrOwn, NoneOrZero, Read, Write};
use When::{Always, Feature, Gicv3, Numbered};

/// op0, op1, CRn, CRm, op2; the first entry that matches counts.
#[rustfmt::skip]
const REGISTERS: &[Entry] = &[
    // Debug: breakpoints and watchpoints, MDSCR, OSLAR, OSLSR.
    Entry(2, 0, 0, 0..=15, 4..=5, Both, Numbered(12)),
    Entry(2, 0, 0, 0..=15, 6..=7, Both, Numbered(20)),
    Entry(2, 0, 0, 2..=2, 2..=2, Both, Always),
    Entry(2, 0, 1, 0..=0, 4..=4, Write, Always),
    Entry(2, 0, 1, 1..=1, 4..=4, Read, Always),
    // What is for an external debugger: MDCCINT, OSDTRRX, OSDTRTX, OSECCR, MDRAR, OSDLR, DBGPRCR,
    // DBGCLAIMSET, DBGCLAIMCLR, DBGAUTHSTATUS, MDCCSR, DBGDTR, DBGDTRTX.
    Entry(2, 0, 0, 2..=2, 0..=0, NoneOrZero, Always),
    Entry(2, 0, 0, 0..=0, 2..=2, NoneOrZero, Always),
    Entry(2, 0, 0, 3..=3, 2..=2, NoneOrZero, Always),
    Entry(2, 0, 0, 6..=6, 2..=2, NoneOrZero, Always),
    Entry(2, 0, 1, 0..=0, 0..=0, NoneOrZero, Always),
    Entry(2, 0, 1, 3..=3, 4..=4, NoneOrOwn, Always),
    Entry(2, 0, 1, 4..=4, 4..=4, NoneOrZero, Always),
    Entry(2, 0, 7, 8..=9, 6..=6, NoneOrZero, Always),
    Entry(2, 0, 7, 14..=14, 6..=6, NoneOrZero, Always),
    Entry(2, 3, 0, 1..=1, 0..=0, NoneOrZero, Always),
    Entry(2, 3, 0, 4..=5, 0..=0, NoneOrZero, Always),
    // Identification: MIDR, MPIDR, REVIDR, all of the ID space, CCSIDR, CLIDR, AIDR, CSSELR, CTR,
    // DCZID.
    Entry(3, 0, 0, 0..=0, 0..=0, Read, Always),
    Entry(3, 0, 0, 0..=0, 5..=6, Read, Always),
    Entry(3, 0, 0, 1..=7, 0..=7, Read, Always),
    Entry(3, 1, 0, 0..=0, 0..=1, Read, Always),
    Entry(3, 1, 0, 0..=0, 2..=2, Read, Feature(MMFR2, 0xf << 20)),
    Entry(3, 1, 0, 0..=0, 7..=7, Read, Always),
    Entry(3, 2, 0, 0..=0, 0..=0, Both, Always),
    Entry(3, 3, 0, 0..=0, 1..=1, Read, Always),
    Entry(3, 3, 0, 0..=0, 7..=7, Read, Always),
    // SCTLR, ACTLR (zero, see `registers`), CPACR.
    Entry(3, 0, 1, 0..=0, 0..=2, Both, Always),
    // SMPRI: SME is hidden, and only fine-grained traps hold this.
    Entry(3, 0, 1, 2..=2, 4..=4, NoneOrZero, Always),
    // TTBR0, TTBR1, TCR; keys.
    Entry(3, 0, 2, 0..=0, 0..=2, Both, Always),
    Entry(3, 0, 2, 1..=2, 0..=3, Both, Feature(ISAR1, 0xff00_0ff0)),
    Entry(3, 0, 2, 3..=3, 0..=1, Both, Feature(ISAR1, 0xff00_0000)),
    // RNDR, RNDRRS.
    Entry(3, 3, 2, 4..=4, 0..=1, Read, Feature(ISAR0, 0xf << 60)),
    // SPSR, ELR, SP_EL0, SPSel, CurrentEL, PAN, UAO, PMR.
    Entry(3, 0, 4, 0..=0, 0..=1, Both, Always),
    Entry(3, 0, 4, 1..=1, 0..=0, Both, Always),
    Entry(3, 0, 4, 2..=2, 0..=0, Both, Always),
    Entry(3, 0, 4, 2..=2, 2..=2, Read, Always),
    Entry(3, 0, 4, 2..=2, 3..=3, Both, Feature(MMFR1, 0xf << 20)),
    Entry(3, 0, 4, 2..=2, 4..=4, Both, Feature(MMFR2, 0xf << 4)),
    Entry(3, 0, 4, 6..=6, 0..=0, Both, Gicv3),
    // NZCV, DAIF, DIT, SSBS, FPCR, FPSR.
    Entry(3, 3, 4, 2..=2, 0..=1, Both, Always),
    Entry(3, 3, 4, 2..=2, 5..=5, Both, Feature(PFR0, 0xf << 48)),
    Entry(3, 3, 4, 2..=2, 6..=6, Both, Feature(PFR1, 0xe << 4)),
    Entry(3, 3, 4, 4..=4, 0..=1, Both, Always),
    // AFSR0, AFSR1, ESR, FAR, PAR, MAIR, AMAIR.
    Entry(3, 0, 5, 1..=1, 0..=1, Both, Always),
    Entry(3, 0, 5, 2..=2, 0..=0, Both, Always),
    Entry(3, 0, 6, 0..=0, 0..=0, Both, Always),
    Entry(3, 0, 7, 4..=4, 0..=0, Both, Always),
    Entry(3, 0, 10, 2..=3, 0..=0, Both, Always),
    // VBAR, ISR; DISR is the hypervisor's VDISR_EL2 where the core has RAS.
    Entry(3, 0, 12, 0..=0, 0..=0, Both, Always),
    Entry(3, 0, 12, 1..=1, 0..=0, Read, Always),
    Entry(3, 0, 12, 1..=1, 1..=1, NoneOrOwn, Always),
    // ICC_IAR0, EOIR0, HPPIR0, BPR0, AP0R, AP1R, DIR, RPR, SGI1R, ASGI1R, SGI0R, IAR1, EOIR1,
    // HPPIR1, BPR1, CTLR, SRE, IGRPEN0, IGRPEN1. How many AP registers there are depends on the core.
    Entry(3, 0, 12, 8..=8, 0..=0, Read, Gicv3),
    Entry(3, 0, 12, 8..=8, 1..=1, Write, Gicv3),
    Entry(3, 0, 12, 8..=8, 2..=2, Read, Gicv3),
    Entry(3, 0, 12, 8..=8, 3..=4, Both, Gicv3),
    Entry(3, 0, 12, 8..=8, 5..=7, NoneOrOwn, Gicv3),
    Entry(3, 0, 12, 9..=9, 0..=0, Both, Gicv3),
    Entry(3, 0, 12, 9..=9, 1..=3, NoneOrOwn, Gicv3),
    Entry(3, 0, 12, 11..=11, 1..=1, Write, Gicv3),
    Entry(3, 0, 12, 11..=11, 3..=3, Read, Gicv3),
    Entry(3, 0, 12, 11..=11, 5..=7, Write, Gicv3),
    Entry(3, 0, 12, 12..=12, 0..=0, Read, Gicv3),
    Entry(3, 0, 12, 12..=12, 1..=1, Write, Gicv3),
    Entry(3, 0, 12, 12..=12, 2..=2, Read, Gicv3),
    Entry(3, 0, 12, 12..=12, 3..=7, Both, Gicv3),
    // CONTEXTIDR, TPIDR_EL1, TPIDR_EL0, TPIDRRO. TPIDR2: as SMPRI.
    Entry(3, 0, 13, 0..=0, 1..=1, Both, Always),
    Entry(3, 0, 13, 0..=0, 4..=4, Both, Always),
    Entry(3, 3, 13, 0..=0, 2..=3, Both, Always),
    Entry(3, 3, 13, 0..=0, 5..=5, NoneOrOwn, Always),
    // CNTKCTL, CNTFRQ, CNTPCT, CNTVCT, their self-synchronized forms, CNTP, CNTV.
    Entry(3, 0, 14, 1..=1, 0..=0, Both, Always),
    Entry(3, 3, 14, 0..=0, 0..=2, Read, Always),
    Entry(3, 3, 14, 0..=0, 5..=6, NoneOrOwn, Always),
    Entry(3, 3, 14, 2..=3, 0..=2, Both, Always),
    // IMPLEMENTATION DEFINED: HCR_EL2.TIDCP traps them, which QEMU 7.2 does not know.
    Entry(3, 0, 11, 0..=15, 0..=7, NoneOrConstant, Always),
    Entry(3, 1, 11, 0..=15, 0..=7, NoneOrConstant, Always),
    Entry(3, 2, 11, 0..=15, 0..=7, NoneOrConstant, Always),
    Entry(3, 3, 11, 0..=15, 0..=7, NoneOrConstant, Always),
    Entry(3, 0, 15, 0..=15, 0..=7, NoneOrConstant, Always),
    Entry(3, 1, 15, 0..=15, 0..=7, NoneOrConstant, Always),
    Entry(3, 2, 15, 0..=15, 0..=7, NoneOrConstant, Always),
    Entry(3, 3, 15, 0..=15, 0..=7, NoneOrConstant, Always),
];

/// SYS instructions, op0 = 1, that the guest may execute at EL1.
#[rustfmt::skip]
const INSTRUCTIONS: &[Entry] = &[
    // IC IALLUIS, IALLU, IVAU.
    Entry(1, 0, 7, 1..=1, 0..=0, Write, Always),
    Entry(1, 0, 7, 5..=5, 0..=0, Write, Always),
    Entry(1, 3, 7, 5..=5, 1..=1, Write, Always),
    // DC IVAC, ISW, CSW, CISW, ZVA, CVAC, CVAU, CIVAC, CVAP, CVADP.
    Entry(1, 0, 7, 6..=6, 1..=2, Write, Always),
    Entry(1, 0, 7, 10..=10, 2..=2, Write, Always),
    Entry(1, 0, 7, 14..=14, 2..=2, Write, Always),
    Entry(1, 3, 7, 4..=4, 1..=1, Write, Always),
    Entry(1, 3, 7, 10..=11, 1..=1, Write, Always),
    Entry(1, 3, 7, 14..=14, 1..=1, Write, Always),
    Entry(1, 3, 7, 12..=12, 1..=1, Write, Feature(ISAR1, 0xf)),
    Entry(1, 3, 7, 13..=13, 1..=1, Write, Feature(ISAR1, 0xe)),
    // AT S1E1R, S1E1W, S1E0R, S1E0W, S1E1RP, S1E1WP.
    Entry(1, 0, 7, 8..=8, 0..=3, Write, Always),
    Entry(1, 0, 7, 9..=9, 0..=1, Write, Feature(MMFR1, 0xe << 20)),
    // CFP, DVP, CPP RCTX.
    Entry(1, 3, 7, 3..=3, 4..=5, Write, Feature(ISAR1, 0xf << 40)),
    Entry(1, 3, 7, 3..=3, 7..=7, Write, Feature(ISAR1, 0xf << 40)),
    // TLBI VMALLE1, VAE1, ASIDE1, VAAE1, VALE1, VAALE1, also inner shareable; then outer
    // shareable, and by range.
    Entry(1, 0, 8, 3..=3, 0..=3, Write, Always),
    Entry(1, 0, 8, 3..=3, 5..=5, Write, Always),
    Entry(1, 0, 8, 3..=3, 7..=7, Write, Always),
    Entry(1, 0, 8, 7..=7, 0..=3, Write, Always),
    Entry(1, 0, 8, 7..=7, 5..=5, Write, Always),
    Entry(1, 0, 8, 7..=7, 7..=7, Write, Always),
    Entry(1, 0, 8, 1..=1, 0..=3, Write, Feature(ISAR0, 0xf << 56)),
    Entry(1, 0, 8, 1..=1, 5..=5, Write, Feature(ISAR0, 0xf << 56)),
    Entry(1, 0, 8, 1..=1, 7..=7, Write, Feature(ISAR0, 0xf << 56)),
    Entry(1, 0, 8, 2..=2, 1..=1, Write, Feature(ISAR0, 0xe << 56)),
    Entry(1, 0, 8, 2..=2, 3..=3, Write, Feature(ISAR0, 0xe << 56)),
    Entry(1, 0, 8, 2..=2, 5..=5, Write, Feature(ISAR0, 0xe << 56)),
    Entry(1, 0, 8, 2..=2, 7..=7, Write, Feature(ISAR0, 0xe << 56)),
    Entry(1, 0, 8, 5..=6, 1..=1, Write, Feature(ISAR0, 0xe << 56)),
    Entry(1, 0, 8, 5..=6, 3..=3, Write, Feature(ISAR0, 0xe << 56)),
    Entry(1, 0, 8, 5..=6, 5..=5, Write, Feature(ISAR0, 0xe << 56)),
    Entry(1, 0, 8, 5..=6, 7..=7, Write, Feature(ISAR0, 0xe << 56)),
];

impl Entry {
    fn names(&self, register: Sysreg) -> bool {
        let Sysreg(op0, op1, crn, crm, op2) = register;
        (self.0, self.1, self.2) == (op0, op1, crn)
            && self.3.contains(&crm)
            && self.4.contains(&op2)
    }
}

impl When {
    fn holds(self, register: Sysreg) -> bool {
        let value = |id: Sysreg| id.read().unwrap_or(0);
        match self {
            Always => true,
            Gicv3 => env::get().gicv3,
            Feature(id, bits) => value(id) & bits != 0,
            Numbered(shift) => u64::from(register.3) <= value(DFR0) >> shift & 0xf,
        }
    }
}

/// Returns what the guest may do with `register`; with op0 = 1, whether it has the instruction.
pub fn access(register: Sysreg) -> Access {
    let table = if register.0 == 1 {
        INSTRUCTIONS
    } else {
        REGISTERS
    };
    let entry = table.iter().find(|entry| entry.names(register));
    entry
        .filter(|entry| entry.6.holds(register))
        .map_or(Access::None, |entry| entry.5)
}
