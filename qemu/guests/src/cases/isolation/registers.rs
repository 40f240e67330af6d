// SPDX-License-Identifier: MIT OR Apache-2.0

//! Every encoding of MRS, MSR, SYS and SYSL: a register or an instruction that a guest has
//! ([`super::table`]), or UNDEFINED.

use super::table::{Access, access};
use crate::cases::needs_hypervisor;
use crate::outcome::Outcome;
use crate::rt::sysreg::{self, Sysreg};
use crate::rt::tee::Page;
use crate::rt::trap::{self, Exception};
use crate::rt::{cpu, env};
use crate::{ensure, ensure_eq, msr};

/// Returns all encodings of one op0.
fn encodings(op0: u32) -> impl Iterator<Item = Sysreg> {
    (0..1 << 14).map(move |n| Sysreg(op0, n >> 11, n >> 7 & 0xf, n >> 3 & 0xf, n & 7))
}

/// Runs `each` for all `registers` without interrupts: reads acknowledge them.
fn for_all(
    mut registers: impl Iterator<Item = Sysreg>,
    each: impl FnMut(Sysreg) -> Outcome,
) -> Outcome {
    needs_hypervisor()?;
    // FPEN, ZEN, SMEN: the guest's own traps would come before the hypervisor's.
    msr!("cpacr_el1", 3 << 20 | 3 << 16 | 3 << 24);
    cpu::without_irqs(|| registers.try_for_each(each))
}

/// Class 0; with FEAT_IDST, a trapped access for the identification registers (CRn = 0).
fn is_undefined(register: Sysreg, exception: Exception) -> bool {
    exception.is_undefined() || register.2 == 0 && exception.class() == trap::EC_SYSTEM_REGISTER
}

fn is_done<T>(register: Sysreg, result: &Result<T, Exception>) -> Result<bool, Exception> {
    match result {
        Ok(_) => Ok(true),
        Err(e) if is_undefined(register, *e) => Ok(false),
        Err(e) => Err(*e),
    }
}

/// Executes MRS and MSR at EL1. What can be read is written back.
pub fn at_el1() -> Outcome {
    for_all(encodings(2).chain(encodings(3)), |register| {
        let read = register.read();
        let wanted = access(register);
        if matches!(wanted, Access::NoneOrZero | Access::NoneOrConstant) {
            return stays(register);
        }
        let write = register.write(read.unwrap_or(0));
        let done = (is_done(register, &read), is_done(register, &write));
        let right = match wanted {
            Access::Read => done == (Ok(true), Ok(false)),
            Access::Write => done == (Ok(false), Ok(true)),
            Access::Both => done == (Ok(true), Ok(true)),
            Access::NoneOrOwn => done.0.is_ok() && done.1.is_ok(),
            _ => done == (Ok(false), Ok(false)),
        };
        ensure!(right, "{register:?} is {wanted:?}: {done:x?}");
        read.map_or(Ok(()), |value| tells_nothing(register, value))
    })
}

/// Checks that a register that is not the guest's, and that no trap hides, keeps what it holds.
fn stays(register: Sysreg) -> Outcome {
    let Ok(before) = register.read() else {
        return Ok(());
    };
    if access(register) == Access::NoneOrZero {
        ensure_eq!(before, 0, register_name(register));
    }
    // Read-only or not.
    let _ = register.write(!before);
    let after = register.read().unwrap_or(before);
    ensure!(
        after == before,
        "{register:?} became {after:#x} from {before:#x}"
    );
    Ok(())
}

fn register_name(register: Sysreg) -> crate::outcome::Text {
    crate::outcome::Text::new(format_args!("{register:?}"))
}

/// Checks that no register holds an address of the board's RAM that is not in this guest's;
/// counters, PSTATE and identification take any value.
fn tells_nothing(register: Sysreg, value: u64) -> Outcome {
    const BOARD: core::ops::Range<u64> = 0x4000_0000..0xc000_0000;
    let (start, size) = env::get().ram;
    let is_foreign = BOARD.contains(&value) && !(start..start + size).contains(&value);
    ensure!(
        matches!(register.2, 0 | 4 | 14) || !is_foreign,
        "{register:?} is {value:#x}"
    );
    Ok(())
}

/// Executes MRS and MSR at EL0: UNDEFINED, trapped to the guest's own EL1, or a register that EL1
/// has too.
pub fn at_el0() -> Outcome {
    for_all(encodings(2).chain(encodings(3)), |register| {
        for (write, taken) in [
            (false, sysreg::run_at_el0(register.mrs())),
            (true, sysreg::run_at_el0(register.msr())),
        ] {
            let may = match access(register) {
                Access::Read | Access::NoneOrZero => !write,
                Access::Both | Access::NoneOrOwn => true,
                _ => false,
            };
            let right = taken.is_some_and(|e| match e.class() {
                trap::EC_SVC => register.1 == 3 && may,
                class => class == trap::EC_UNKNOWN || class == trap::EC_SYSTEM_REGISTER,
            });
            ensure!(right, "{register:?}, write {write}: {taken:x?}");
        }
        Ok(())
    })
}

/// Executes SYS and SYSL at EL1: cache, TLB and address translation of EL1's own, no EL2's. The
/// operand is the address of a page that may be cleaned, invalidated and zeroed.
pub fn instructions() -> Outcome {
    for_all(encodings(1), |register| {
        let operand = match register {
            // By set and way: the first.
            Sysreg(_, 0, 7, 6 | 10 | 14, 2) => 0,
            _ => Page::shared(0).address(),
        };
        let done = is_done(register, &register.write(operand));
        let has = access(register) == Access::Write;
        ensure!(done == Ok(has), "SYS {register:?}: {done:x?}, not {has}");
        let read = register.read();
        let undefined = read.is_err_and(|e| e.is_undefined());
        ensure!(undefined, "SYSL {register:?}: {read:x?}");
        Ok(())
    })
}

/// Checks that what the registers say of the vCPU is the virtual machine's.
pub fn identity() -> Outcome {
    needs_hypervisor()?;
    const ACTLR: Sysreg = Sysreg(3, 0, 1, 0, 1);
    const MPIDR: Sysreg = Sysreg(3, 0, 0, 0, 5);
    ensure_eq!(MPIDR.read().ok(), Some(1 << 31), "MPIDR_EL1 of vCPU 0");
    let _ = ACTLR.write(u64::MAX);
    ensure_eq!(ACTLR.read().ok(), Some(0), "ACTLR_EL1");
    Ok(())
}
