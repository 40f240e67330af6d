//! Trapped MRS and MSR (DDI 0487 D19.2.37, "ISS encoding for an exception from MSR, MRS").

use idregs::Encoding;

use crate::arch::identification;
use crate::vm::vcpu::{Flow, VcpuContext};

/// A trapped access, decoded.
#[derive(Clone, Copy)]
struct Access {
    /// op0, op1, CRn, CRm, op2.
    name: (u8, u8, u8, u8, u8),
    /// The general register.
    rt: usize,
    read: bool,
}

impl Access {
    fn decode(esr: u64) -> Self {
        let field = |shift: u32, bits: u32| (esr >> shift & ((1 << bits) - 1)) as u8;
        Self {
            name: (
                field(20, 2),
                field(14, 3),
                field(10, 4),
                field(1, 4),
                field(17, 3),
            ),
            rt: field(5, 5).into(),
            read: esr & 1 != 0,
        }
    }
}

const REVIDR_EL1: (u8, u8, u8, u8, u8) = (3, 0, 0, 0, 6);
const AIDR_EL1: (u8, u8, u8, u8, u8) = (3, 1, 0, 0, 7);
const ACTLR_EL1: (u8, u8, u8, u8, u8) = (3, 0, 1, 0, 1);
const ICC_SGI1R_EL1: (u8, u8, u8, u8, u8) = (3, 0, 12, 11, 5);
const ICC_ASGI1R_EL1: (u8, u8, u8, u8, u8) = (3, 0, 12, 11, 6);
const ICC_SGI0R_EL1: (u8, u8, u8, u8, u8) = (3, 0, 12, 11, 7);
const ICC_DIR_EL1: (u8, u8, u8, u8, u8) = (3, 0, 12, 11, 1);
const ICC_SRE_EL1: (u8, u8, u8, u8, u8) = (3, 0, 12, 12, 5);

/// Emulates the access, or tells the guest that the register does not exist.
pub fn access(vcpu: &mut VcpuContext, esr: u64) -> Flow {
    let access = Access::decode(esr);
    // EL0 has no business with any register that traps to EL2.
    let from_el0 = vcpu.regs.spsr & 0xf == 0;
    let done = !from_el0
        && match access.read {
            true => read(vcpu, access)
                .map(|value| vcpu.regs.set(access.rt, value))
                .is_some(),
            false => write(vcpu, access),
        };
    if !done {
        return super::undefined(vcpu, esr);
    }
    vcpu.regs.skip(esr);
    Flow::Run
}

fn read(vcpu: &mut VcpuContext, access: Access) -> Option<u64> {
    match access.name {
        (2, op1, crn, crm, op2) => vcpu.debug().read(op1, crn, crm, op2),
        // These trap with SMIDR_EL1, which SME's absence hides; they name errata.
        REVIDR_EL1 => Some(identification::revidr()),
        AIDR_EL1 => Some(identification::aidr()),
        (3, op1, crn, crm, op2) if crn == 0 => {
            let encoding = Encoding { op1, crn, crm, op2 };
            idregs::guest_value(encoding, vcpu.vm.virtual_gic(), identification::read)
        }
        ACTLR_EL1 => Some(0),
        // SRE, DFB and DIB read as one: the guest's interface is the system registers.
        ICC_SRE_EL1 if vcpu.vm.has_gicv3() => Some(7),
        _ => None,
    }
}

fn write(vcpu: &mut VcpuContext, access: Access) -> bool {
    let value = vcpu.regs.get(access.rt);
    match access.name {
        (2, op1, crn, crm, op2) => vcpu.debug().write(op1, crn, crm, op2, value),
        ACTLR_EL1 => true,
        ICC_SRE_EL1 => vcpu.vm.has_gicv3(),
        ICC_SGI1R_EL1 if vcpu.vm.has_gicv3() => {
            vcpu.send_sgi(value);
            true
        }
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
