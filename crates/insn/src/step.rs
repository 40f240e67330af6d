// SPDX-License-Identifier: MIT OR Apache-2.0

//! Stepping over a trapped instruction.

/// ESR_ELx.IL: the instruction has 32 bits.
const IL: u64 = 1 << 25;
/// SPSR.M[4]: the exception came from AArch32.
const AARCH32: u64 = 1 << 4;
/// SPSR.T: the instruction set is T32.
const T32: u64 = 1 << 5;
/// SPSR.SS: the next instruction may be executed before a software step exception.
const SS: u64 = 1 << 21;
/// SPSR.BTYPE, in AArch64 state.
const BTYPE: u64 = 3 << 10;
/// SPSR.IT in AArch32 state: IT[7:2] and IT[1:0].
const IT: u64 = 0x3f << 10 | 3 << 25;

/// Where a vCPU goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resume {
    /// The address of the next instruction.
    pub pc: u64,
    /// The PSTATE that it finds.
    pub spsr: u64,
}

/// Returns the length in bytes of the instruction that caused the exception `esr`.
pub fn instruction_length(esr: u64) -> u64 {
    if esr & IL == 0 { 2 } else { 4 }
}

/// Returns the syndrome of an UNDEFINED instruction as long as the one of `esr`.
pub fn undefined_syndrome(esr: u64) -> u64 {
    esr & IL
}

/// Returns the state behind the instruction of AArch64 at `pc`, as if it had been executed: a
/// pending software step is due.
#[inline]
pub fn skip_a64(pc: u64, spsr: u64) -> Resume {
    Resume {
        pc: pc.wrapping_add(4),
        spsr: spsr & !(SS | BTYPE),
    }
}

/// Returns the state before the HVC that has been executed in front of `pc`: it comes once more, and the software step
/// that it has ended begins anew. Where nobody steps, SS counts for nothing.
pub fn before_hvc(pc: u64, spsr: u64) -> Resume {
    Resume {
        pc: pc.wrapping_sub(4),
        spsr: spsr | SS,
    }
}

/// Returns the state behind the instruction at `pc` that trapped with `esr`, as if it had been
/// executed: a pending software step is due, and an IT block is one instruction further.
#[inline]
pub fn skip(esr: u64, pc: u64, spsr: u64) -> Resume {
    if spsr & AARCH32 == 0 {
        return skip_a64(pc, spsr);
    }
    let length = instruction_length(esr) as u32;
    let spsr = if spsr & T32 == 0 {
        spsr
    } else {
        with_it(spsr, advanced(it(spsr)))
    };
    Resume {
        pc: (pc as u32).wrapping_add(length).into(),
        spsr: spsr & !SS,
    }
}

/// Tells whether a trapped instruction would have been executed: AArch32 instructions may trap
/// even if their condition fails (DDI 0487 D1.3.5, "Conditional instructions").
#[inline]
pub fn condition_holds(esr: u64, spsr: u64) -> bool {
    spsr & AARCH32 == 0 || !has_condition(esr) || is_met(condition(esr, spsr), spsr)
}

/// Tells whether the exception is of a conditional instruction: WFx, the accesses of coprocessors
/// 10, 11, 14 and 15, and SMC from AArch32.
fn has_condition(esr: u64) -> bool {
    matches!(esr >> 26 & 0x3f, 0x01 | 0x03..=0x08 | 0x0c | 0x13)
}

/// Returns the condition: ISS.COND if ISS.CV says that it is there, else that of the IT block.
fn condition(esr: u64, spsr: u64) -> u64 {
    const ALWAYS: u64 = 0xe;
    const CV: u64 = 1 << 24;
    if esr & CV != 0 {
        return esr >> 20 & 0xf;
    }
    match it(spsr) {
        0 => ALWAYS,
        it => it >> 4,
    }
}

/// Evaluates ConditionHolds() of DDI 0487.
fn is_met(condition: u64, spsr: u64) -> bool {
    let flag = |bit: u32| spsr & 1 << bit != 0;
    let (n, z, c, v) = (flag(31), flag(30), flag(29), flag(28));
    let met = match condition >> 1 {
        0 => z,
        1 => c,
        2 => n,
        3 => v,
        4 => c && !z,
        5 => n == v,
        6 => n == v && !z,
        _ => return true,
    };
    met != (condition & 1 != 0)
}

/// Returns ITSTATE.
fn it(spsr: u64) -> u64 {
    (spsr >> 10 & 0x3f) << 2 | spsr >> 25 & 3
}

fn with_it(spsr: u64, it: u64) -> u64 {
    spsr & !IT | (it >> 2) << 10 | (it & 3) << 25
}

/// Evaluates ITAdvance() of DDI 0487.
fn advanced(it: u64) -> u64 {
    match it & 7 {
        0 => 0,
        _ => it & 0xe0 | it << 1 & 0x1f,
    }
}
