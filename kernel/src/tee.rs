//! OP-TEE for guests (temporary: none until the mediator is wired in).
use addr::VmId;
use crate::vm::vcpu::{Flow, VcpuContext};
/// x
#[derive(Clone, Copy)]
pub struct Optee;
/// x
pub struct Tee;
impl Tee {
    pub fn new(_: VmId, _: &str, _: &manifest::Tee<'static>, _: Option<&Optee>, _: usize) -> Option<Self> { None }
    pub fn notifies(&self) -> bool { false }
    pub fn wants_notifications(&self) -> bool { false }
    pub fn create(&self) {}
    pub fn destroy(&self) {}
}
pub fn call(vcpu: &mut VcpuContext) -> Flow {
    vcpu.regs.x[0] = 0xffff_ffff;
    Flow::Run
}
pub fn probe(_: &board::Board) -> Option<Optee> { None }
