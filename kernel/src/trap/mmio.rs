// SPDX-License-Identifier: MIT OR Apache-2.0

//! Stage-2 aborts: accesses to the virtual platform's devices, and to nothing at all.

use addr::Ipa;

use super::instruction;
use super::virtual_devices::{Registers, find, mask};
use crate::arch::guest::{self, Abort, Syndrome};
use crate::vm::vcpu::{ExitAction, VcpuContext};

/// Handles a load, store or cache maintenance instruction that stage 2 does not map.
#[inline(never)]
pub fn data_abort(vcpu: &mut VcpuContext, syndrome: Syndrome) -> ExitAction {
    let abort = syndrome.abort();
    if !abort.is_stage2_fault() || abort.is_table_walk() {
        return external_abort(vcpu, abort);
    }
    let ipa = Ipa(guest::fault_page().0 | (guest::fault_address() & 0xfff));
    match find(vcpu.vm, ipa) {
        // There is no cache line that could hold a device or nothing.
        _ if abort.is_cache_maintenance() => {}
        Some(registers) if abort.has_syndrome() => emulate(vcpu, registers, abort),
        Some(_) if instruction::emulate(vcpu, ipa, abort.is_write()) => {}
        _ => return external_abort(vcpu, abort),
    }
    vcpu.regs.skip(syndrome);
    ExitAction::Run
}

fn emulate(vcpu: &mut VcpuContext, registers: Registers, abort: Abort) {
    if abort.is_write() {
        let value = vcpu.regs.get(abort.register());
        registers.write(vcpu, abort.size(), value);
    } else {
        let value = registers.read(vcpu, abort.size());
        vcpu.regs.set(abort.register(), extend(value, abort));
    }
}

/// Returns the loaded value as the instruction wants it in its register.
fn extend(value: u64, abort: Abort) -> u64 {
    let unused = 64 - 8 * u32::from(abort.size());
    let value = value & mask(abort.size());
    if !abort.sign_extends() {
        return value;
    }
    let wide = ((value << unused) as i64 >> unused) as u64;
    if abort.is_64_bit() {
        wide
    } else {
        wide & 0xffff_ffff
    }
}

/// Handles an instruction fetch from where there is no RAM.
pub fn instruction_abort(vcpu: &mut VcpuContext, syndrome: Syndrome) -> ExitAction {
    external_abort(vcpu, syndrome.abort())
}

/// Raises a synchronous external abort, as a bus does when nothing answers at the address.
#[inline(never)]
fn external_abort(vcpu: &mut VcpuContext, abort: Abort) -> ExitAction {
    // The class is that of an abort from a lower exception level; `raise` corrects it for EL1.
    vcpu.raise(abort.as_external(), Some(guest::fault_address()));
    ExitAction::Run
}
