//! Trapped MRS and MSR (DDI 0487 D19.2.37, "ISS encoding for an exception from MSR, MRS").

use idregs::{Encoding, Reg};

use crate::arch::sysreg::read_sysreg;
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
        return super::undefined(vcpu);
    }
    vcpu.regs.advance();
    Flow::Run
}

fn read(vcpu: &mut VcpuContext, access: Access) -> Option<u64> {
    match access.name {
        (2, op1, crn, crm, op2) => vcpu.debug().read(op1, crn, crm, op2),
        // These trap with SMIDR_EL1, which SME's absence hides; they name errata.
        REVIDR_EL1 => Some(read_sysreg!("revidr_el1")),
        AIDR_EL1 => Some(read_sysreg!("S3_1_C0_C0_7")),
        (3, op1, crn, crm, op2) if crn == 0 => {
            let encoding = Encoding { op1, crn, crm, op2 };
            idregs::guest_value(encoding, vcpu.vm.virtual_gic(), host_value)
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

/// The identification register of this core.
fn host_value(register: Reg) -> u64 {
    macro_rules! read {
        ($($variant:ident = $name:literal),* $(,)?) => {
            match register { $( Reg::$variant => read_sysreg!($name), )* }
        };
    }
    read!(
        IdPfr0 = "S3_0_C0_C1_0",
        IdPfr1 = "S3_0_C0_C1_1",
        IdDfr0 = "S3_0_C0_C1_2",
        IdIsar0 = "S3_0_C0_C2_0",
        IdIsar1 = "S3_0_C0_C2_1",
        IdIsar2 = "S3_0_C0_C2_2",
        IdIsar3 = "S3_0_C0_C2_3",
        IdIsar4 = "S3_0_C0_C2_4",
        IdIsar5 = "S3_0_C0_C2_5",
        IdIsar6 = "S3_0_C0_C2_7",
        Mvfr0 = "S3_0_C0_C3_0",
        Mvfr1 = "S3_0_C0_C3_1",
        Mvfr2 = "S3_0_C0_C3_2",
        IdPfr2 = "S3_0_C0_C3_4",
        IdAa64Pfr0 = "S3_0_C0_C4_0",
        IdAa64Pfr1 = "S3_0_C0_C4_1",
        IdAa64Dfr0 = "S3_0_C0_C5_0",
        IdAa64Isar0 = "S3_0_C0_C6_0",
        IdAa64Isar1 = "S3_0_C0_C6_1",
        IdAa64Isar2 = "S3_0_C0_C6_2",
        IdAa64Mmfr0 = "S3_0_C0_C7_0",
        IdAa64Mmfr1 = "S3_0_C0_C7_1",
        IdAa64Mmfr2 = "S3_0_C0_C7_2",
    )
}
