// SPDX-License-Identifier: MIT OR Apache-2.0

//! System registers by number: the instruction is made at run time.

use super::{cpu, trap};
use core::arch::asm;
use core::cell::UnsafeCell;

/// A system register's encoding: op0 (2 or 3), op1, CRn, CRm, op2. With op0 = 1 it is a system
/// instruction's, which [`Sysreg::write`] executes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sysreg(pub u32, pub u32, pub u32, pub u32, pub u32);

const MSR: u32 = 0xd500_0000;
const MRS: u32 = 0xd520_0000;
const RET: u32 = 0xd65f_03c0;
const SVC: u32 = 0xd400_0001;

/// Room for two instructions of each vCPU, a cache line apart.
#[repr(C, align(64))]
struct Code(UnsafeCell<[u32; 16]>);

// SAFETY: each vCPU uses its own.
unsafe impl Sync for Code {}

static CODE: [Code; cpu::MAX] = [const { Code(UnsafeCell::new([0; 16])) }; cpu::MAX];

impl Sysreg {
    fn instruction(self, base: u32) -> u32 {
        base | self.0 << 19 | self.1 << 16 | self.2 << 12 | self.3 << 8 | self.4 << 5
    }

    /// Returns the code of an MRS of the register to x0, or SYSL.
    pub fn mrs(self) -> u32 {
        self.instruction(MRS)
    }

    /// Returns the code of an MSR of x0 to the register, or SYS.
    pub fn msr(self) -> u32 {
        self.instruction(MSR)
    }

    /// Executes MRS. Returns the value, or the exception that the guest took.
    pub fn read(self) -> Result<u64, trap::Exception> {
        run(self.mrs(), 0)
    }

    /// Executes MSR of `value`.
    pub fn write(self, value: u64) -> Result<(), trap::Exception> {
        run(self.msr(), value).map(|_| ())
    }
}

/// Puts `instruction` and `last` where this vCPU can execute them.
fn make(instruction: u32, last: u32) -> *mut [u32; 16] {
    let code = CODE[cpu::me()].0.get();
    // SAFETY: this vCPU's own buffer, made visible to its instruction fetches before it is called.
    unsafe {
        (*code)[0] = instruction;
        (*code)[1] = last;
        asm!("dc cvau, {0}", "dsb ish", "ic ivau, {0}", "dsb ish", "isb", in(reg) code);
    }
    code
}

/// Runs `instruction` with x0 = `argument`; its x0.
pub fn run(instruction: u32, argument: u64) -> Result<u64, trap::Exception> {
    let code = make(instruction, RET);
    // SAFETY: a function, by the instruction behind.
    let function =
        unsafe { core::mem::transmute::<*mut [u32; 16], extern "C" fn(u64) -> u64>(code) };
    let mut value = 0;
    match trap::catch(|| value = function(argument)) {
        None => Ok(value),
        Some(exception) => Err(exception),
    }
}

/// Runs `instruction` at EL0. Its exception, or that of the SVC behind it.
pub fn run_at_el0(instruction: u32) -> Option<trap::Exception> {
    trap::run_at_el0(make(instruction, SVC) as u64, false)
}
