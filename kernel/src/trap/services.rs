// SPDX-License-Identifier: MIT OR Apache-2.0

//! HVC and SMC: the services that a guest can call, by either conduit alike (SMCCC, DEN0028).

use ::sched::Visits;
use addr::Ipa;
use spin::Mutex;
use vpsci::{
    Outcome, Vpsci,
    smccc::{self, Function, Owner},
};

use crate::arch::{firmware, guest::GuestRegs, timer};
use crate::vm::{
    lifecycle::{self, StopAction},
    vcpu::{ExitAction, Start, VcpuContext},
};

/// A service: calls that belong together, and who answers them.
trait Service {
    /// Tells whether a call is its own.
    fn owns(function: Function) -> bool;

    /// Answers such a call, whose registers are the vCPU's.
    fn call(vcpu: &mut VcpuContext, function: Function) -> ExitAction;
}

/// Answers the call in the vCPU's registers, made with the immediate `imm16`.
pub fn call(vcpu: &mut VcpuContext, imm16: u16) -> ExitAction {
    let function = Function::new(vcpu.regs.x[0]);
    // Which services there are, those that are called most at the front; no two own the same call.
    // They are types and no table of functions, and only OP-TEE's is inlined: fifteen instructions
    // of each of its calls.
    macro_rules! find {
        ($($service:ty),*) => {
            $(if <$service>::owns(function) {
                return <$service>::call(vcpu, function);
            })*
        };
    }
    if imm16 == 0 {
        find!(TrustedOs, Psci, Architecture);
    }
    answer(&mut vcpu.regs, function.not_supported())
}

/// OP-TEE, whose mediator answers if the guest has one.
struct TrustedOs;

impl Service for TrustedOs {
    fn owns(function: Function) -> bool {
        function.owner() == Owner::TrustedOs
    }

    fn call(vcpu: &mut VcpuContext, function: Function) -> ExitAction {
        match &vcpu.vm.visits {
            None => call_tee(vcpu, function),
            Some(visits) => visit_tee(vcpu, function, visits),
        }
    }
}

#[inline(always)]
fn call_tee(vcpu: &mut VcpuContext, function: Function) -> ExitAction {
    let vm = vcpu.vm;
    let (Ok(tee), Some(regs)) = (&vm.tee, vcpu.regs.x.first_chunk()) else {
        return answer(&mut vcpu.regs, function.not_supported());
    };
    let results = tee.call(&vm.name, vcpu.id, regs, &vm.ram);
    vcpu.regs.x[..4].copy_from_slice(&results.map(u64::from));
    ExitAction::Run
}

/// Makes a call of a guest whose time in OP-TEE is bounded: the alarm ends it, and with it the turn. If nothing is
/// left of the budget, the guest makes the call again in the next period.
#[inline(never)]
fn visit_tee(vcpu: &mut VcpuContext, function: Function, visits: &Mutex<Visits>) -> ExitAction {
    let from = timer::now();
    let end = match visits.lock().begin(from) {
        Ok(end) => end,
        Err(when) => {
            vcpu.repeat_call_at(when);
            return ExitAction::Leave;
        }
    };
    let alarm = timer::alarm();
    timer::set_alarm(alarm.into_iter().chain([end]).min());
    let flow = call_tee(vcpu, function);
    let to = timer::now();
    visits.lock().end(from, to);
    if to >= end {
        return ExitAction::Yield;
    }
    timer::set_alarm(alarm);
    flow
}

/// The power of the guest's vCPUs.
struct Psci;

impl Service for Psci {
    fn owns(function: Function) -> bool {
        Vpsci::owns(function)
    }

    #[inline(never)]
    fn call(vcpu: &mut VcpuContext, _: Function) -> ExitAction {
        let [x0, x1, ..] = vcpu.regs.x;
        match Vpsci::constant(x0, x1) {
            Some(x0) => answer(&mut vcpu.regs, x0),
            None => call_power(vcpu),
        }
    }
}

/// Makes a call that asks for the vCPUs' power or changes it.
#[inline(never)]
fn call_power(vcpu: &mut VcpuContext) -> ExitAction {
    let [x0, x1, x2, x3, ..] = vcpu.regs.x;
    let vm = vcpu.vm;
    let is_ram = |ipa: Ipa| vm.ram.locate(ipa).is_some();
    let outcome = vm.power.lock().call(vcpu.id, [x0, x1, x2, x3], is_ram);
    act(vcpu, outcome)
}

/// The Arm Architecture Calls.
struct Architecture;

impl Service for Architecture {
    fn owns(function: Function) -> bool {
        smccc::owns(function)
    }

    #[inline(never)]
    fn call(vcpu: &mut VcpuContext, function: Function) -> ExitAction {
        match smccc::call(function, vcpu.regs.x[1], &vcpu.vm.workarounds) {
            Outcome::Return(x0) => answer(&mut vcpu.regs, x0),
            outcome => act(vcpu, outcome),
        }
    }
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

/// Forwards a workaround call that the firmware has: its effect is on this core, all registers stay.
fn forward(regs: &GuestRegs) -> ExitAction {
    let mut args = [0; 8];
    args.iter_mut()
        .zip(regs.x)
        .for_each(|(arg, x)| *arg = x as u32);
    firmware::smc32(&args);
    ExitAction::Run
}
