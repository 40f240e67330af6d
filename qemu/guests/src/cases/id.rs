// SPDX-License-Identifier: MIT OR Apache-2.0

//! Identification registers, and that what they hide is absent.

use super::{Test, needs_hypervisor};
use crate::outcome::Outcome;
use crate::rt::{cpu, env, sysreg::Sysreg, trap};
use crate::{ensure, ensure_eq, mrs, msr};

pub const TESTS: &[Test] = &[
    ("hidden_fields", hidden_fields),
    ("reserved_are_zero", reserved_are_zero),
    ("usable", usable),
    ("same_on_every_vcpu", same_on_every_vcpu),
    ("read_only", read_only),
    ("hidden_registers", hidden_registers),
    ("higher_levels", higher_levels),
    ("implementation_defined", implementation_defined),
    ("debug_registers", debug_registers),
];

const fn id(crm: u32, op2: u32) -> Sysreg {
    Sysreg(3, 0, 0, crm, op2)
}

const PFR0: Sysreg = id(4, 0);
const PFR1: Sysreg = id(4, 1);
const DFR0: Sysreg = id(5, 0);
const ISAR1: Sysreg = id(6, 1);
const ISAR2: Sysreg = id(6, 2);
const MMFR0: Sysreg = id(7, 0);
const MMFR1: Sysreg = id(7, 1);
const MMFR2: Sysreg = id(7, 2);

fn field(register: Sysreg, shift: u32) -> Result<u64, trap::Exception> {
    register.read().map(|value| value >> shift & 0xf)
}

fn hidden_fields() -> Outcome {
    needs_hypervisor()?;
    for (register, shift, name) in [
        (PFR0, 8, "EL2"),
        (PFR0, 28, "RAS"),
        (PFR0, 32, "SVE"),
        (PFR0, 40, "MPAM"),
        (PFR0, 44, "AMU"),
        (PFR0, 52, "RME"),
        (PFR1, 8, "MTE"),
        (PFR1, 24, "SME"),
        (PFR1, 36, "NMI"),
        (DFR0, 4, "TraceVer"),
        (DFR0, 8, "PMUVer"),
        (DFR0, 32, "PMSVer"),
        (DFR0, 40, "TraceFilt"),
        (DFR0, 44, "TraceBuffer"),
        (DFR0, 52, "BRBE"),
        (ISAR1, 56, "XS"),
        (ISAR1, 60, "LS64"),
        (ISAR2, 0, "WFxT"),
        (ISAR2, 16, "MOPS"),
        (MMFR0, 56, "FGT"),
        (MMFR0, 60, "ECV"),
        (MMFR1, 8, "VH"),
        (MMFR1, 16, "LO"),
        (MMFR1, 40, "HCX"),
        (MMFR2, 24, "NV"),
    ] {
        let value = field(register, shift);
        ensure!(matches!(value, Ok(0)), "{name} is {value:x?}");
    }
    let el1 = field(PFR0, 4);
    ensure!(matches!(el1, Ok(1)), "EL1 is {el1:x?}, not AArch64 alone");
    let debug = field(DFR0, 0);
    ensure!(
        matches!(debug, Ok(6)),
        "DebugVer is {debug:x?}, not Armv8.0"
    );
    let gic = field(PFR0, 24);
    ensure!(
        matches!(gic, Ok(gic) if gic == u64::from(env::get().gicv3)),
        "GIC is {gic:x?}"
    );
    Ok(())
}

/// Reads SVE's, SME's and all encodings that have no register yet.
fn reserved_are_zero() -> Outcome {
    needs_hypervisor()?;
    for (crm, op2) in [
        (3, 3),
        (3, 7),
        (4, 2),
        (4, 3),
        (4, 4),
        (4, 5),
        (4, 6),
        (4, 7),
        (5, 2),
        (5, 3),
        (5, 4),
    ]
    .into_iter()
    .chain([
        (5, 5),
        (5, 6),
        (5, 7),
        (6, 3),
        (6, 7),
        (7, 3),
        (7, 4),
        (7, 5),
        (7, 6),
        (7, 7),
    ]) {
        let value = id(crm, op2).read();
        ensure!(matches!(value, Ok(0)), "S3_0_C0_C{crm}_{op2}: {value:x?}");
    }
    Ok(())
}

/// Checks what no guest can do without.
fn usable() -> Outcome {
    for (register, shift, name) in [(PFR0, 0, "EL0"), (PFR0, 4, "EL1"), (DFR0, 0, "DebugVer")] {
        let value = field(register, shift);
        ensure!(matches!(value, Ok(1..)), "{name} is {value:x?}");
    }
    let granule = field(MMFR0, 28);
    ensure!(matches!(granule, Ok(0 | 1)), "TGran4 is {granule:x?}");
    ensure!(mrs!("midr_el1") != 0, "MIDR_EL1 is 0");
    ensure!(mrs!("ctr_el0") >> 31 & 1 == 1, "CTR_EL0 bit 31 is RES1");
    Ok(())
}

fn checksum(_: u64) -> u64 {
    let registers = (1..8).flat_map(|crm| (0..8).map(move |op2| id(crm, op2)));
    registers
        .chain([Sysreg(3, 0, 0, 0, 0)])
        .fold(0, |sum: u64, register| {
            sum.rotate_left(7) ^ register.read().unwrap_or(0xdead)
        })
}

fn same_on_every_vcpu() -> Outcome {
    super::needs_second_vcpu()?;
    ensure!(cpu::start_all(), "not all vCPUs are on");
    for cpu in 1..env::get().vcpus {
        ensure_eq!(cpu::run_on(cpu, checksum, 0), Some(checksum(0)), "checksum");
    }
    Ok(())
}

fn read_only() -> Outcome {
    for register in [id(4, 0), id(5, 0), id(7, 7), id(0, 0)] {
        is_undefined(register, "", register.write(0).err())?;
    }
    Ok(())
}

fn is_undefined(register: Sysreg, name: &str, exception: Option<trap::Exception>) -> Outcome {
    let right = exception.is_some_and(|e| e.is_undefined());
    ensure!(right, "{name} {register:?}: {exception:x?}, not UNDEFINED");
    Ok(())
}

/// Registers of features that the ID registers deny.
fn hidden_registers() -> Outcome {
    needs_hypervisor()?;
    // FPEN, ZEN, SMEN: the guest's own traps would come before the hypervisor's.
    msr!("cpacr_el1", 3 << 20 | 3 << 16 | 3 << 24);
    for (register, name) in [
        (Sysreg(3, 3, 9, 12, 0), "PMCR_EL0"),
        (Sysreg(3, 3, 9, 13, 0), "PMCCNTR_EL0"),
        (Sysreg(3, 3, 9, 14, 0), "PMUSERENR_EL0"),
        (Sysreg(3, 0, 9, 14, 1), "PMINTENSET_EL1"),
        (Sysreg(3, 3, 14, 15, 7), "PMCCFILTR_EL0"),
        (Sysreg(3, 0, 1, 2, 0), "ZCR_EL1"),
        (Sysreg(3, 0, 1, 2, 6), "SMCR_EL1"),
        (Sysreg(3, 3, 4, 2, 2), "SVCR"),
        (Sysreg(3, 0, 9, 9, 0), "PMSCR_EL1"),
        (Sysreg(3, 0, 9, 10, 0), "PMBLIMITR_EL1"),
        (Sysreg(3, 0, 9, 11, 0), "TRBLIMITR_EL1"),
        (Sysreg(3, 0, 1, 2, 1), "TRFCR_EL1"),
        (Sysreg(3, 3, 13, 2, 0), "AMCR_EL0"),
        (Sysreg(3, 0, 10, 5, 0), "MPAM1_EL1"),
        (Sysreg(3, 0, 10, 4, 4), "MPAMIDR_EL1"),
        (Sysreg(3, 0, 5, 3, 0), "ERRIDR_EL1"),
        (Sysreg(3, 0, 5, 3, 1), "ERRSELR_EL1"),
        (Sysreg(3, 0, 5, 4, 2), "ERXSTATUS_EL1"),
        (Sysreg(3, 0, 10, 4, 7), "LORID_EL1"),
        (Sysreg(3, 0, 10, 4, 0), "LORSA_EL1"),
        (Sysreg(3, 0, 1, 0, 5), "RGSR_EL1"),
        (Sysreg(3, 0, 1, 0, 6), "GCR_EL1"),
        (Sysreg(3, 0, 5, 6, 0), "TFSR_EL1"),
        (Sysreg(3, 0, 13, 0, 7), "SCXTNUM_EL1"),
        (Sysreg(3, 0, 2, 0, 3), "TCR2_EL1"),
        (Sysreg(3, 0, 1, 0, 3), "SCTLR2_EL1"),
        (Sysreg(3, 0, 10, 2, 3), "PIR_EL1"),
        (Sysreg(3, 0, 2, 5, 0), "GCSCR_EL1"),
        (Sysreg(2, 1, 9, 0, 0), "BRBCR_EL1"),
        (Sysreg(2, 1, 0, 0, 1), "TRCTRACEIDR"),
    ] {
        is_undefined(register, name, register.read().err())?;
    }
    Ok(())
}

fn higher_levels() -> Outcome {
    for (register, name) in [
        (Sysreg(3, 4, 1, 1, 0), "HCR_EL2"),
        (Sysreg(3, 4, 1, 0, 0), "SCTLR_EL2"),
        (Sysreg(3, 4, 2, 1, 0), "VTTBR_EL2"),
        (Sysreg(3, 4, 12, 11, 0), "ICH_HCR_EL2"),
        (Sysreg(3, 4, 14, 0, 3), "CNTVOFF_EL2"),
        (Sysreg(3, 5, 1, 0, 0), "SCTLR_EL12"),
        (Sysreg(3, 6, 1, 1, 0), "SCR_EL3"),
        (Sysreg(3, 6, 1, 0, 0), "SCTLR_EL3"),
    ] {
        is_undefined(register, name, register.read().err())?;
        is_undefined(register, name, register.write(0).err())?;
    }
    Ok(())
}

/// Tries CPUACTLR and friends, where a write could change the machine: UNDEFINED, or (as an
/// emulator that does not know HCR_EL2.TIDCP may have it) without effect.
fn implementation_defined() -> Outcome {
    needs_hypervisor()?;
    for (op1, crm, op2) in [
        (0, 0, 0),
        (0, 1, 0),
        (1, 0, 0),
        (1, 2, 0),
        (1, 2, 1),
        (3, 0, 0),
    ] {
        let register = Sysreg(3, op1, 15, crm, op2);
        if let Ok(before) = register.read() {
            let _ = register.write(!before);
            let after = register.read().unwrap_or(0);
            ensure!(
                before == after,
                "{register:?} became {after:#x} from {before:#x}"
            );
        }
    }
    Ok(())
}

/// Goes Linux's way at boot: unlock, then clear every breakpoint and watchpoint.
fn debug_registers() -> Outcome {
    let dfr0 = DFR0.read().unwrap_or(0);
    let (breakpoints, watchpoints) = (dfr0 >> 12 & 0xf, dfr0 >> 20 & 0xf);
    let unlock = Sysreg(2, 0, 1, 0, 4).write(0);
    ensure!(unlock.is_ok(), "OSLAR_EL1: {unlock:x?}");
    let mdscr = Sysreg(2, 0, 0, 2, 2).read();
    ensure!(mdscr.is_ok(), "MDSCR_EL1: {mdscr:x?}");
    for (count, control) in [(breakpoints, 5), (watchpoints, 7)] {
        for n in 0..=count as u32 {
            for op2 in [control - 1, control] {
                let wrote = Sysreg(2, 0, 0, n, op2).write(0);
                ensure!(wrote.is_ok(), "S2_0_C0_C{n}_{op2}: {wrote:x?}");
            }
        }
    }
    Ok(())
}
