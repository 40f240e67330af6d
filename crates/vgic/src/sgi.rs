// SPDX-License-Identifier: MIT OR Apache-2.0

//! Software-generated interrupts.

use crate::{VcpuSet, Vgic, set};
use platform::{GicVersion, VcpuId};

impl Vgic {
    /// The guest writes ICC_SGI1R_EL1 (IHI 0069H 12.2). With one security state it reaches
    /// SGIs of both groups.
    pub fn sgi1r(&mut self, vcpu: VcpuId, value: u64) -> VcpuSet {
        self.sgi_v3(vcpu, value, true)
    }

    /// The guest writes ICC_SGI0R_EL1 or ICC_ASGI1R_EL1, which reach SGIs of group 0 alone.
    pub fn sgi0r(&mut self, vcpu: VcpuId, value: u64) -> VcpuSet {
        self.sgi_v3(vcpu, value, false)
    }

    fn sgi_v3(&mut self, vcpu: VcpuId, value: u64, group1: bool) -> VcpuSet {
        if self.version != GicVersion::V3 {
            return VcpuSet::EMPTY;
        }
        let mut kick = VcpuSet::EMPTY;
        for target in set::bits(self.targets_v3(vcpu, value)) {
            kick |= self.latch_sgi(target as usize, (value >> 24) as u32 & 0xf, group1);
        }
        kick
    }

    /// Makes an SGI of `vcpu` pending if it is in group 0, or either group is reached.
    #[inline(always)]
    fn latch_sgi(&mut self, vcpu: usize, sgi: u32, group1: bool) -> VcpuSet {
        let Some(slot) = self.slot(vcpu, sgi) else {
            return VcpuSet::EMPTY;
        };
        match self.irqs.get_mut(slot) {
            Some(irq) if !irq.latch && (group1 || !irq.group1) => irq.latch = true,
            _ => return VcpuSet::EMPTY,
        }
        self.settle_at(slot, vcpu, sgi)
    }

    /// One bit for each vCPU that an ICC_SGI*R value names.
    fn targets_v3(&self, vcpu: VcpuId, value: u64) -> u32 {
        const IRM: u64 = 1 << 40;
        /// Aff3, RS, Aff2 and Aff1: no vCPU has anything but zero there.
        const ELSEWHERE: u64 = 0xff << 48 | 0xf << 44 | 0xff << 32 | 0xff << 16;
        if value & IRM != 0 {
            self.all() & !u32::from(VcpuSet::one(vcpu).bits())
        } else if value & ELSEWHERE != 0 {
            0
        } else {
            value as u32 & 0xffff & self.all()
        }
    }

    /// One bit for each vCPU.
    pub(crate) const fn all(&self) -> u32 {
        (1 << self.vcpus) - 1
    }

    /// The guest writes GICD_SGIR (IHI 0048B.b 4.3.15).
    #[inline(never)]
    pub(crate) fn sgir(&mut self, vcpu: VcpuId, value: u32) -> VcpuSet {
        let own = u32::from(VcpuSet::one(vcpu).bits());
        let targets = match value >> 24 & 0b11 {
            0b00 => value >> 16 & self.all(),
            0b01 => self.all() & !own,
            0b10 => own,
            _ => 0,
        };
        let mut kick = VcpuSet::EMPTY;
        for target in set::bits(targets) {
            kick |= self.add_sources(target as usize, value & 0xf, VcpuSet::one(vcpu).bits());
        }
        kick
    }

    /// Makes a GICv2 SGI of `vcpu` pending from more sources.
    #[inline(always)]
    pub(crate) fn add_sources(&mut self, vcpu: usize, sgi: u32, sources: u8) -> VcpuSet {
        let Some(slot) = self.slot(vcpu, sgi) else {
            return VcpuSet::EMPTY;
        };
        match self.irqs.get_mut(slot) {
            Some(irq) if irq.sources | sources != irq.sources => irq.sources |= sources,
            _ => return VcpuSet::EMPTY,
        }
        self.settle_at(slot, vcpu, sgi)
    }
}
