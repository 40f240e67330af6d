// SPDX-License-Identifier: MIT OR Apache-2.0

//! Trapped MRS and MSR (DDI 0487 D19.2.37, "ISS encoding for an exception from MSR, MRS").

use idregs::Encoding;

use crate::arch::guest::{Syndrome, SystemAccess};
use crate::arch::identification;
use crate::vm::vcpu::{ExitAction, VcpuContext};

const REVIDR_EL1: (u8, u8, u8, u8, u8) = (3, 0, 0, 0, 6);
const AIDR_EL1: (u8, u8, u8, u8, u8) = (3, 1, 0, 0, 7);
const ACTLR_EL1: (u8, u8, u8, u8, u8) = (3, 0, 1, 0, 1);
const ICC_SGI1R_EL1: (u8, u8, u8, u8, u8) = (3, 0, 12, 11, 5);
const ICC_ASGI1R_EL1: (u8, u8, u8, u8, u8) = (3, 0, 12, 11, 6);
const ICC_SGI0R_EL1: (u8, u8, u8, u8, u8) = (3, 0, 12, 11, 7);
const ICC_DIR_EL1: (u8, u8, u8, u8, u8) = (3, 0, 12, 11, 1);
const ICC_SRE_EL1: (u8, u8, u8, u8, u8) = (3, 0, 12, 12, 5);

/// Emulates the access, or tells the guest that the register does not exist.
#[inline(never)]
pub fn access(vcpu: &mut VcpuContext, syndrome: Syndrome) -> ExitAction {
    let access = syndrome.system_access();
    // The most frequent by far, so it goes first.
    if access.name() == ICC_SGI1R_EL1
        && !access.is_read()
        && vcpu.vm.has_gicv3()
        && !vcpu.regs.is_at_el0()
    {
        vcpu.regs.skip_a64();
        vcpu.send_sgi(vcpu.regs.get(access.register()));
        return ExitAction::Run;
    }
    rare_access(vcpu, syndrome)
}

#[inline(never)]
fn rare_access(vcpu: &mut VcpuContext, syndrome: Syndrome) -> ExitAction {
    let access = syndrome.system_access();
    // EL0 has no business with any register that traps to EL2.
    let done = !vcpu.regs.is_at_el0()
        && match access.is_read() {
            true => read(vcpu, access)
                .map(|value| vcpu.regs.set(access.register(), value))
                .is_some(),
            false => write(vcpu, access),
        };
    if !done {
        return super::undefined(vcpu, syndrome);
    }
    vcpu.regs.skip(syndrome);
    ExitAction::Run
}

fn read(vcpu: &mut VcpuContext, access: SystemAccess) -> Option<u64> {
    match access.name() {
        (2, op1, crn, crm, op2) => vcpu.debug().read(op1, crn, crm, op2),
        // These trap with SMIDR_EL1, which SME's absence hides; they name errata.
        REVIDR_EL1 => Some(identification::revidr()),
        AIDR_EL1 => Some(identification::aidr()),
        (3, op1, crn, crm, op2) if crn == 0 => {
            let encoding = Encoding { op1, crn, crm, op2 };
            idregs::guest_value(encoding, vcpu.vm.gic_version(), identification::read)
        }
        ACTLR_EL1 => Some(0),
        // SRE, DFB and DIB read as one: the guest's interface is the system registers.
        ICC_SRE_EL1 if vcpu.vm.has_gicv3() => Some(7),
        _ => None,
    }
}

fn write(vcpu: &mut VcpuContext, access: SystemAccess) -> bool {
    let value = vcpu.regs.get(access.register());
    match access.name() {
        (2, op1, crn, crm, op2) => vcpu.debug().write(op1, crn, crm, op2, value),
        ACTLR_EL1 => true,
        ICC_SRE_EL1 => vcpu.vm.has_gicv3(),
        ICC_ASGI1R_EL1 | ICC_SGI0R_EL1 if vcpu.vm.has_gicv3() => {
            vcpu.send_sgi_group0(value);
            true
        }
        ICC_DIR_EL1 if vcpu.vm.has_gicv3() => {
            vcpu.deactivate(value as u32 & 0xff_ffff);
            true
        }
        _ => false,
    }
}
