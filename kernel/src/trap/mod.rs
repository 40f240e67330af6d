//! What a guest did that needs EL2: one arm per exception class (DDI 0487 D19.2.37, ESR_EL2.EC).

mod mmio;
mod smccc;
mod sysreg;

use crate::vm::vcpu::{Flow, VcpuContext};

/// Exception classes that can come from a guest under our trap controls.
mod class {
    pub const WFX: u64 = 0x01;
    pub const FP: u64 = 0x07;
    pub const HVC64: u64 = 0x16;
    pub const SMC64: u64 = 0x17;
    pub const SYSTEM_REGISTER: u64 = 0x18;
    pub const INSTRUCTION_ABORT: u64 = 0x20;
    pub const DATA_ABORT: u64 = 0x24;
}

/// Handles the synchronous exception `esr` of the vCPU on this core.
pub fn handle(vcpu: &mut VcpuContext, esr: u64) -> Flow {
    if !insn::condition_holds(esr, vcpu.regs.spsr) {
        vcpu.regs.skip(esr);
        return Flow::Run;
    }
    match esr >> 26 & 0x3f {
        // HVC has stepped past itself; SMC is trapped before it executes (D1.3.6).
        class::HVC64 => smccc::call(vcpu, esr as u16),
        class::SMC64 => {
            vcpu.regs.skip(esr);
            smccc::call(vcpu, esr as u16)
        }
        class::DATA_ABORT => mmio::data_abort(vcpu, esr),
        class::INSTRUCTION_ABORT => mmio::instruction_abort(vcpu, esr),
        class::SYSTEM_REGISTER => sysreg::access(vcpu, esr),
        // ISS.TI: WFE lets others run, as it waits for one of them.
        class::WFX => {
            vcpu.regs.skip(esr);
            if esr & 1 == 0 {
                Flow::Wait
            } else {
                Flow::Yield
            }
        }
        class::FP => Flow::NeedFp,
        // What is left is a feature we hide or trap: to this guest it does not exist.
        _ => undefined(vcpu, esr),
    }
}

/// The instruction that trapped with `esr` does not exist for this guest.
fn undefined(vcpu: &mut VcpuContext, esr: u64) -> Flow {
    vcpu.raise(insn::undefined_syndrome(esr), None);
    Flow::Run
}
