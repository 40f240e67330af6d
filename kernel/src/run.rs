// SPDX-License-Identifier: MIT OR Apache-2.0

//! The innermost loop of a core: its vCPU runs, what it exits for is handled, interrupts are served.

use crate::arch::guest::{self, Exit};
use crate::irq::{self, Taken};
use crate::vm::{
    self, devices,
    vcpu::{ExitAction, VcpuContext},
};
use crate::{console, trap};

/// Most interrupts that one visit handles: what is left comes again at once.
const VISIT: usize = 16;

/// Lets `vcpu`, which is on this core, run until the core has to do something else; never [`ExitAction::Run`].
pub fn run(vcpu: &mut VcpuContext) -> ExitAction {
    vcpu.set_running();
    loop {
        if !vcpu.may_enter() {
            return ExitAction::Leave;
        }
        let flow = match guest::run(&mut vcpu.regs) {
            Exit::Sync(syndrome) => {
                log::trace!(
                    "{}, vCPU {}: ESR {:#x} at {:#x}",
                    vcpu.vm.name,
                    vcpu.id.0,
                    syndrome.bits(),
                    vcpu.regs.pc
                );
                trap::handle(vcpu, syndrome)
            }
            Exit::Interrupt if serve_interrupts(Some(vcpu)) => ExitAction::Leave,
            Exit::Interrupt => ExitAction::Run,
            Exit::SError => {
                guest::pend_serror();
                ExitAction::Run
            }
        };
        if flow != ExitAction::Run {
            return flow;
        }
    }
}

/// Handles pending interrupts of this core, which `vcpu` is on. True if the core has to look at
/// what it does next: its alarm has gone off.
pub fn serve_interrupts(mut vcpu: Option<&mut VcpuContext>) -> bool {
    let mut alarm = false;
    let mut typed = None;
    for _ in 0..VISIT {
        let Some(taken) = irq::take() else {
            break;
        };
        match (taken, vcpu.as_deref_mut()) {
            (Taken::Kick, _) => {}
            (Taken::Alarm, _) => alarm = true,
            // The guest's own end of interrupt will deactivate it.
            (Taken::GuestTimer(intid), Some(vcpu)) => vcpu.timer_fired(intid),
            (Taken::GuestTimer(intid), None) => irq::deactivate(intid),
            (Taken::Maintenance, vcpu) => {
                if let Some(vcpu) = vcpu {
                    vcpu.refresh_interrupts();
                }
                irq::deactivate(irq::MAINTENANCE);
            }
            // Its level stays until the UART is read below.
            (Taken::Console(intid), _) => typed = Some(intid),
            (Taken::Optee(intid), _) => {
                vm::all().iter().for_each(vm::Vm::notify_from_tee);
                irq::deactivate(intid);
            }
            // So will the guest's own end of a device's interrupt.
            (Taken::Other(intid), _) => {
                if !devices::fired(intid) {
                    irq::deactivate(intid);
                }
            }
        }
    }
    // Once for each visit: whatever else is pending comes in between.
    if typed.is_some() || console::wants_visit() {
        alarm |= console::visit();
    }
    if let Some(intid) = typed {
        irq::deactivate(intid);
    }
    alarm
}
