// SPDX-License-Identifier: MIT OR Apache-2.0

//! HVC and SMC: both conduits answer alike (SMCCC, DEN0028).

use addr::Ipa;
use vpsci::{
    Outcome,
    smccc::{Function, Owner},
};

use crate::arch::{firmware, guest::GuestRegs};
use crate::vm::{
    lifecycle::{self, StopAction},
    vcpu::{ExitAction, Start, VcpuContext},
};

/// The call in the vCPU's registers, made with the immediate `imm16`.
pub fn call(vcpu: &mut VcpuContext, imm16: u16) -> ExitAction {
    let function = Function::new(vcpu.regs.x[0]);
    if imm16 != 0 {
        return answer(&mut vcpu.regs, function.not_supported());
    }
    if function.owner() == Owner::TrustedOs {
        return trusted_os(vcpu, function);
    }
    let [x0, x1, x2, x3, ..] = vcpu.regs.x;
    let ram = &vcpu.vm.ram;
    let outcome = vcpu
        .vm
        .power
        .lock()
        .call(vcpu.id, [x0, x1, x2, x3], |ipa: Ipa| {
            ram.locate(ipa).is_some()
        });
    act(vcpu, outcome)
}

/// A call to OP-TEE, which its mediator answers if the guest has one.
fn trusted_os(vcpu: &mut VcpuContext, function: Function) -> ExitAction {
    let vm = vcpu.vm;
    let (Ok(tee), Some(regs)) = (&vm.tee, vcpu.regs.x.first_chunk()) else {
        return answer(&mut vcpu.regs, function.not_supported());
    };
    let results = tee.call(&vm.name, vcpu.id, regs, &vm.ram);
    vcpu.regs.x[..4].copy_from_slice(&results);
    ExitAction::Run
}

/// Puts `x0` into the guest's x0; the other registers keep the caller's values.
fn answer(regs: &mut GuestRegs, x0: u64) -> ExitAction {
    regs.x[0] = x0;
    ExitAction::Run
}

fn act(vcpu: &mut VcpuContext, outcome: Outcome) -> ExitAction {
    match outcome {
        Outcome::Return(x0) => answer(&mut vcpu.regs, x0),
        Outcome::Firmware(_) => forward(&vcpu.regs),
        Outcome::Standby => {
            answer(&mut vcpu.regs, 0);
            ExitAction::Wait
        }
        Outcome::PowerDownSuspend { entry, context_id } => {
            vcpu.resume_at(Start {
                entry: entry.0,
                context: context_id,
            });
            ExitAction::Wait
        }
        Outcome::CpuOn {
            target,
            entry,
            context_id,
        } => {
            vcpu.vm.start_vcpu(
                target,
                Start {
                    entry: entry.0,
                    context: context_id,
                },
                vcpu.epoch(),
            );
            answer(&mut vcpu.regs, 0)
        }
        Outcome::CpuOff => ExitAction::PowerOff,
        Outcome::SystemOff => stop(vcpu, StopAction::Off),
        Outcome::SystemReset => stop(vcpu, StopAction::Restart),
    }
}

fn stop(vcpu: &VcpuContext, after: StopAction) -> ExitAction {
    lifecycle::stop(vcpu.vm, after);
    ExitAction::Run
}

/// A workaround call that the firmware has: its effect is on this core, all registers stay.
fn forward(regs: &GuestRegs) -> ExitAction {
    let mut args = [0; 8];
    args.iter_mut()
        .zip(regs.x)
        .for_each(|(arg, x)| *arg = x as u32);
    firmware::smc32(&args);
    ExitAction::Run
}
