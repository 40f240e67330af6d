// SPDX-License-Identifier: MIT OR Apache-2.0

//! Interrupts that come from outside the guest.

use crate::{FIRST_SPI, SGIS, VcpuSet, Vgic};
use platform::VcpuId;

impl Vgic {
    /// Sets the input of a level-sensitive PPI of `vcpu` or of an SPI (then `vcpu` says
    /// nothing). On one that the guest made edge-triggered, the rise is an edge.
    pub fn set_level(&mut self, vcpu: VcpuId, intid: u32, level: bool) -> VcpuSet {
        let Some(slot) = self.wired(vcpu, intid) else {
            return VcpuSet::EMPTY;
        };
        let Some(irq) = self.irqs.get_mut(slot) else {
            return VcpuSet::EMPTY;
        };
        if irq.line == level {
            return VcpuSet::EMPTY;
        }
        irq.line = level;
        if irq.edge {
            if !level || irq.latch {
                return VcpuSet::EMPTY;
            }
            irq.latch = true;
        } else if irq
            .resident
            .is_some_and(|r| r.told && (level || !r.state.is_pending()))
        {
            // It is sampled again when the guest is done with the one it has; but one that the
            // guest has not taken yet is withdrawn.
            return VcpuSet::EMPTY;
        }
        self.settle(slot)
    }

    /// An edge on a PPI of `vcpu` or on an SPI (then `vcpu` says nothing).
    pub fn pulse(&mut self, vcpu: VcpuId, intid: u32) -> VcpuSet {
        match self.wired(vcpu, intid) {
            Some(slot) => self.latch(slot),
            None => VcpuSet::EMPTY,
        }
    }

    /// The physical interrupt `pintid`, acknowledged and left active by EL2 (EOImode 1), is the
    /// guest's `intid`: a PPI of `vcpu` or an SPI (then `vcpu` says nothing). The guest's
    /// deactivation is going to be the physical one's, and until then it cannot fire again; a
    /// line that stays asserted then does.
    pub fn hw_pending(&mut self, vcpu: VcpuId, intid: u32, pintid: u32) -> VcpuSet {
        let Some(slot) = self.wired(vcpu, intid) else {
            return VcpuSet::EMPTY;
        };
        if let Some(irq) = self.irqs.get_mut(slot) {
            irq.owed = true;
            irq.pintid = pintid as u16;
        }
        if intid < FIRST_SPI
            && let Some(cpu) = self.cpus.get_mut(usize::from(vcpu.0))
        {
            cpu.physical |= 1 << intid;
        }
        self.latch(slot)
    }

    /// The line behind a physical interrupt dropped before the guest took it, such as a timer
    /// that was set anew: it is withdrawn and its physical interrupt released.
    pub fn hw_withdraw(&mut self, vcpu: VcpuId, intid: u32) -> VcpuSet {
        let Some(slot) = self.wired(vcpu, intid) else {
            return VcpuSet::EMPTY;
        };
        match self.irqs.get_mut(slot) {
            Some(irq) if irq.owed || irq.resident.is_some() => irq.clear_pending(),
            _ => return VcpuSet::EMPTY,
        }
        self.settle(slot) | self.spi_release(vcpu)
    }

    /// Makes an interrupt pending once; again before the guest takes it is nothing new.
    pub(crate) fn latch(&mut self, slot: usize) -> VcpuSet {
        match self.irqs.get_mut(slot) {
            Some(irq) if !irq.latch => irq.latch = true,
            _ => return VcpuSet::EMPTY,
        }
        self.settle(slot)
    }

    /// The index of an interrupt that has an input: SGIs have none.
    fn wired(&self, vcpu: VcpuId, intid: u32) -> Option<usize> {
        match intid {
            0..SGIS => None,
            SGIS..FIRST_SPI => self.slot(vcpu.0.into(), intid),
            _ => self.slot(0, intid),
        }
    }
}
