// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a guest did that needs EL2: one arm per exception class (DDI 0487 D19.2.37, ESR_EL2.EC).

mod instruction;
mod mmio;
mod services;
mod sysreg;
mod virtual_devices;

use crate::arch::guest::{Class, Syndrome};
use crate::vm::vcpu::{ExitAction, VcpuContext};

/// Handles the synchronous exception `syndrome` of the vCPU on this core.
pub fn handle(vcpu: &mut VcpuContext, syndrome: Syndrome) -> ExitAction {
    if syndrome.is_smc() {
        // It is trapped before it executes (D1.3.6); HVC has stepped past itself.
        vcpu.regs.skip_a64();
    } else if !syndrome.is_hvc() {
        return handle_other(vcpu, syndrome);
    }
    services::call(vcpu, syndrome.immediate())
}

/// Handles what is no call. A function of its own, so that calls to OP-TEE have the registers.
#[inline(never)]
fn handle_other(vcpu: &mut VcpuContext, syndrome: Syndrome) -> ExitAction {
    // Out of line, as each of those below: with frames of their own the others need none.
    if vcpu.regs.is_aarch32() && skips_aarch32(vcpu, syndrome) {
        return ExitAction::Run;
    }
    match syndrome.class() {
        Class::DataAbort => mmio::data_abort(vcpu, syndrome),
        Class::InstructionAbort => mmio::instruction_abort(vcpu, syndrome),
        Class::System => sysreg::access(vcpu, syndrome),
        // WFE lets others run, as it waits for one of them.
        Class::Wait => wait(vcpu, syndrome),
        Class::Fp => ExitAction::NeedFp,
        // What is left is a feature we hide or trap: to this guest it does not exist.
        Class::Other => undefined(vcpu, syndrome),
    }
}

/// Skips an AArch32 instruction that trapped although its condition does not hold. True if it was one.
#[inline(never)]
fn skips_aarch32(vcpu: &mut VcpuContext, syndrome: Syndrome) -> bool {
    let skips = !insn::condition_holds(syndrome.bits(), vcpu.regs.spsr);
    if skips {
        vcpu.regs.skip(syndrome);
    }
    skips
}

#[inline(never)]
fn wait(vcpu: &mut VcpuContext, syndrome: Syndrome) -> ExitAction {
    vcpu.regs.skip(syndrome);
    match syndrome.is_wfe() {
        true => ExitAction::Yield,
        false => ExitAction::Wait,
    }
}

/// Raises the exception of an instruction, the one that trapped with `syndrome`, that does not exist for this guest.
#[inline(never)]
fn undefined(vcpu: &mut VcpuContext, syndrome: Syndrome) -> ExitAction {
    vcpu.raise(insn::undefined_syndrome(syndrome.bits()), None);
    ExitAction::Run
}
