// SPDX-License-Identifier: MIT OR Apache-2.0

//! The innermost loop of a core: its vCPU runs, what it exits for is handled, interrupts are served.

use crate::arch::guest::{self, Exit, serror};
use crate::vm::vcpu::{ExitAction, VcpuContext};
use crate::{interrupts, trap};

/// Lets `vcpu`, which is on this core, run until the core has to do something else; never [`ExitAction::Run`].
pub fn run(vcpu: &mut VcpuContext) -> ExitAction {
    vcpu.set_running();
    loop {
        if !vcpu.may_enter() {
            return ExitAction::Leave;
        }
        let flow = match guest::run(&mut vcpu.regs) {
            Exit::Sync(syndrome) => {
                vcpu.count_trap();
                log::trace!(
                    "{}, vCPU {}: ESR {:#x} at {:#x}",
                    vcpu.vm.name,
                    vcpu.id.0,
                    syndrome.bits(),
                    vcpu.regs.pc
                );
                trap::handle(vcpu, syndrome)
            }
            Exit::Interrupt if interrupts::serve(Some(vcpu)) => ExitAction::Leave,
            Exit::Interrupt => ExitAction::Run,
            Exit::SError(syndrome) => vcpu.take_serror(&serror::with(syndrome)),
        };
        if flow != ExitAction::Run {
            return flow;
        }
    }
}
