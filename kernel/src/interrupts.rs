// SPDX-License-Identifier: MIT OR Apache-2.0

//! Hands physical interrupts on: to the guest on this core, to the guest whose device it is, to the console, to whom
//! OP-TEE notifies.

use crate::console;
use crate::irq::{self, Taken};
use crate::vm::{
    self,
    devices::{self, Fired},
    vcpu::VcpuContext,
};

/// Most interrupts that one visit handles: what is left comes again at once.
const VISIT: usize = 16;

/// Handles pending interrupts of this core, which `vcpu` is on. True if the core has to look at
/// what it does next: its alarm has gone off, or who takes the core from `vcpu` may have been woken.
pub fn serve(vcpu: Option<&mut VcpuContext>) -> bool {
    let first = irq::take();
    match first {
        // All that there is for now, as a rule: what comes behind it comes again.
        Some(Taken::Kick) if !console::wants_visit() => vcpu.is_some_and(|vcpu| vcpu.is_outranked),
        _ => serve_all(vcpu, first),
    }
}

/// Handles the interrupt that was taken `first` and those that are pending behind it, and visits the console.
#[inline(never)]
fn serve_all(mut vcpu: Option<&mut VcpuContext>, first: Option<Taken>) -> bool {
    let is_outranked = vcpu.as_ref().is_some_and(|vcpu| vcpu.is_outranked);
    let mut alarm = false;
    let mut typed = None;
    let mut next = first;
    let mut left = VISIT;
    while let Some(taken) = next {
        match (taken, vcpu.as_deref_mut()) {
            (Taken::Kick, _) => {
                alarm |= is_outranked;
                break;
            }
            (Taken::Alarm, _) => alarm = true,
            // The guest's own end of interrupt will deactivate it.
            (Taken::GuestTimer { physical, virtual_ }, Some(vcpu)) => {
                vcpu.timer_fired(virtual_, physical);
            }
            (Taken::GuestTimer { physical, .. }, None) => irq::deactivate(physical),
            (Taken::Maintenance(intid), vcpu) => {
                if let Some(vcpu) = vcpu {
                    vcpu.refresh_interrupts();
                }
                irq::deactivate(intid);
            }
            // Its level stays until the UART is read below.
            (Taken::Console(intid), _) => typed = Some(intid),
            (Taken::Optee(intid), _) => {
                vm::all().iter().for_each(vm::Vm::notify_from_tee);
                irq::deactivate(intid);
                alarm |= is_outranked;
            }
            // So will the guest's own end of a device's interrupt.
            (Taken::Other(intid), _) => {
                let fired = devices::fired(intid);
                if fired == Fired::Nobodys {
                    irq::reject(intid);
                    irq::deactivate(intid);
                }
                // A vCPU that has the core alone might not leave it before the devices may go on.
                alarm |= is_outranked | (fired == Fired::Last);
            }
        }
        left -= 1;
        next = if left > 0 { irq::take() } else { None };
    }
    // Once for each visit: whatever else is pending comes in between.
    if typed.is_some() || console::wants_visit() {
        alarm |= console::visit() | is_outranked;
    }
    if let Some(intid) = typed {
        irq::deactivate(intid);
    }
    alarm
}
