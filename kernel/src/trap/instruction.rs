// SPDX-License-Identifier: MIT OR Apache-2.0

//! Accesses to virtual devices that the core does not describe: the instruction itself says what it does.

use addr::Ipa;
use insn::{Access, Base};

use super::virtual_devices::{Registers, find};
use crate::arch::guest;
use crate::memory;
use crate::vm::vcpu::VcpuContext;

/// Does an access whose abort has no syndrome (ISV = 0) as the instruction itself says it: the one
/// that faulted at `ipa`, base writeback included. False, and nothing is done, if
/// the instruction can't be read, is none of those decoded, or does not explain the fault.
#[inline(never)]
pub fn emulate(vcpu: &mut VcpuContext, ipa: Ipa, write: bool) -> bool {
    let Some(access) = instruction(vcpu).and_then(Access::decode) else {
        return false;
    };
    let base = base(vcpu, access.base);
    let far = guest::fault_address();
    let Some(address) = access.explains(base, far, write) else {
        return false;
    };
    // All elements lie in the page that faulted.
    let first = Ipa(ipa.0 & !0xfff | address & 0xfff);
    let Some(devices) = devices(vcpu, first, &access) else {
        return false;
    };
    perform(vcpu, &access, devices);
    if let Some(amount) = access.writeback {
        set_base(vcpu, access.base, base.wrapping_add_signed(amount));
    }
    true
}

/// Returns the A64 instruction at the program counter, read once.
fn instruction(vcpu: &VcpuContext) -> Option<u32> {
    let regs = &vcpu.regs;
    if regs.is_aarch32() || regs.pc & 3 != 0 {
        return None;
    }
    let ipa = guest::translate(regs.pc, regs.spsr)?;
    let mut word = [0];
    memory::read_pieces(&vcpu.vm.ram, Ipa(ipa.0 & !7), &mut word)
        .then(|| (word[0] >> (8 * (ipa.0 & 4))) as u32)
}

/// Returns what the elements are in. `None` if one of them is in nothing.
fn devices(
    vcpu: &VcpuContext,
    first: Ipa,
    access: &Access,
) -> Option<(Registers, Option<Registers>)> {
    let second = match access.second {
        Some(_) => Some(find(vcpu.vm, Ipa(first.0 + u64::from(access.size)))?),
        None => None,
    };
    Some((find(vcpu.vm, first)?, second))
}

/// Moves the elements, the first one first. A pair's registers change when both are read.
fn perform(
    vcpu: &mut VcpuContext,
    access: &Access,
    (first, second): (Registers, Option<Registers>),
) {
    let moves = [Some((access.first, first)), access.second.zip(second)];
    let mut loaded = [None; 2];
    for (slot, (register, registers)) in loaded.iter_mut().zip(moves.into_iter().flatten()) {
        if access.is_store() {
            let value = vcpu.regs.get(register);
            registers.write(vcpu, access.size, value);
        } else {
            let value = registers.read(vcpu, access.size);
            *slot = Some((register, access.extend(value)));
        }
    }
    for (register, value) in loaded.into_iter().flatten() {
        vcpu.regs.set(register, value);
    }
}

fn base(vcpu: &VcpuContext, base: Base) -> u64 {
    match base {
        Base::General(register) => vcpu.regs.get(register),
        Base::StackPointer => guest::stack_pointer(vcpu.regs.spsr),
    }
}

fn set_base(vcpu: &mut VcpuContext, base: Base, value: u64) {
    match base {
        Base::General(register) => vcpu.regs.set(register, value),
        Base::StackPointer => guest::set_stack_pointer(vcpu.regs.spsr, value),
    }
}
