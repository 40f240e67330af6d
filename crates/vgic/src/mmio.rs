// SPDX-License-Identifier: MIT OR Apache-2.0

//! The guest's accesses to the distributor and redistributor frames.
//!
//! Offsets that are no register, and sizes that a register does not take, read as zero and
//! ignore writes.

use crate::{
    FIRST_SPI, GicVersion, VcpuSet, Vgic,
    banks::{self, Access, Span},
};
use platform::VcpuId;

/// A block of registers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Frame {
    /// The distributor: GICD_*.
    Dist,
    /// Both 64 KiB frames of the redistributor of this vCPU, RD_base first: GICR_*.
    Redist(VcpuId),
}

const CTLR: u64 = 0x0000;
const IIDR_GICR: u64 = 0x0004;
const TYPER: u64 = 0x0004;
const IIDR: u64 = 0x0008;
const SGIR: u64 = 0x0f00;
const PIDR2_V2: u64 = 0x0fe8;
const IROUTER: u64 = 0x6000;
const PIDR2: u64 = 0xffe8;

const GICR_TYPER: u64 = 0x0008;
const GICR_TYPER_HIGH: u64 = 0x000c;
const GICR_WAKER: u64 = 0x0014;
/// The second frame of a redistributor (IHI 0069H 12.10, SGI_base).
const SGI_BASE: u64 = 0x1_0000;

/// The implementer is Arm (JEP106 0x43b), of no product that a driver might know errata of.
const IIDR_VALUE: u64 = 0x5400_043b;
/// GICD_CTLR.ARE and DS: affinity routing and one security state are all there is.
const CTLR_V3_FIXED: u64 = 1 << 4 | 1 << 6;
/// GICD_TYPER.No1N: no SPI goes to whichever vCPU is free.
const TYPER_NO1N: u64 = 1 << 25;
/// GICD_TYPER.IDbits: INTIDs have 10 bits.
const TYPER_ID_BITS: u64 = 9 << 19;
const WAKER_PROCESSOR_SLEEP: u64 = 1 << 1;
const WAKER_CHILDREN_ASLEEP: u64 = 1 << 2;

impl Frame {
    /// Tells whether the register at `offset` tells of what the guest has done in its list registers, or changes that:
    /// only then need the vCPU be synced before the access.
    #[inline]
    pub fn is_state(self, offset: u64) -> bool {
        let offset = match self {
            Self::Dist => Some(offset),
            Self::Redist(_) => offset.checked_sub(SGI_BASE),
        };
        offset.is_some_and(banks::is_state)
    }
}

impl Vgic {
    /// The guest's `vcpu`, synced if the register [is one of state](Frame::is_state), reads `size` bytes at `offset` of a frame.
    ///
    /// The vCPUs of the set hold in their list registers part of what was asked, so that the
    /// value is as old as their last [`flush`](Self::flush). Sync them before the guest asks
    /// again, for it may be waiting in a loop for that to change.
    pub fn read(&self, vcpu: VcpuId, frame: Frame, offset: u64, size: u8) -> (u64, VcpuSet) {
        let stale = VcpuSet::EMPTY;
        let access = Access { offset, size };
        match frame {
            Frame::Dist => match self.dist_register(access) {
                Some(value) => (value, stale),
                None => self.read_irqs(self.dist_span(vcpu), access),
            },
            Frame::Redist(of) => match self.redist_register(of, access) {
                Some(value) => (value, stale),
                None => self.read_irqs(private_span(of), access.from(SGI_BASE)),
            },
        }
    }

    /// The guest's `vcpu`, synced if the register [is one of state](Frame::is_state), writes the low `size` bytes of `value` at `offset` of a frame.
    #[inline]
    pub fn write(
        &mut self,
        vcpu: VcpuId,
        frame: Frame,
        offset: u64,
        size: u8,
        value: u64,
    ) -> VcpuSet {
        if self.version == GicVersion::V2 && frame == Frame::Dist && (offset, size) == (SGIR, 4) {
            return self.sgir(vcpu, value as u32);
        }
        self.write_rarely(vcpu, frame, offset, size, value)
    }

    /// Handles all but a GICv2's SGIs, which are the most by far.
    #[inline(never)]
    fn write_rarely(
        &mut self,
        vcpu: VcpuId,
        frame: Frame,
        offset: u64,
        size: u8,
        value: u64,
    ) -> VcpuSet {
        let access = Access { offset, size };
        let kick = match frame {
            Frame::Dist => self.write_dist(vcpu, access, value),
            Frame::Redist(_) if self.version == GicVersion::V2 => VcpuSet::EMPTY,
            Frame::Redist(of) if access.is_word(GICR_WAKER) => self.write_waker(of, value),
            Frame::Redist(of) => {
                self.write_irqs(private_span(of), access.from(SGI_BASE), value as u32)
            }
        };
        kick | self.spi_release(vcpu)
    }

    fn write_dist(&mut self, vcpu: VcpuId, access: Access, value: u64) -> VcpuSet {
        match (self.version, access.offset) {
            (_, CTLR) if access.size == 4 => self.set_groups(value),
            (GicVersion::V3, IROUTER..) => self.set_route(access, value),
            _ => self.write_irqs(self.dist_span(vcpu), access, value as u32),
        }
    }

    /// The interrupts that the distributor's registers speak of: a GICv2 banks the private ones
    /// there, a GICv3 with affinity routing has them in the redistributors alone.
    fn dist_span(&self, vcpu: VcpuId) -> Span {
        let first = match self.version {
            GicVersion::V2 => 0,
            GicVersion::V3 => FIRST_SPI,
        };
        Span {
            vcpu,
            intids: first..self.intids,
        }
    }

    fn dist_register(&self, access: Access) -> Option<u64> {
        let v3 = self.version == GicVersion::V3;
        match (access.offset, access.size) {
            (CTLR, 4) => Some(self.ctlr()),
            (TYPER, 4) => Some(self.typer()),
            (IIDR, 4) => Some(IIDR_VALUE),
            (PIDR2_V2, 4) if !v3 => Some(0x2b),
            (PIDR2, 4) if v3 => Some(0x3b),
            (IROUTER.., _) if v3 => Some(self.route(access)),
            _ => None,
        }
    }

    /// GICD_CTLR (IHI 0069H 12.9.4; IHI 0048B.b 4.3.1).
    fn ctlr(&self) -> u64 {
        let fixed = match self.version {
            GicVersion::V2 => 0,
            GicVersion::V3 => CTLR_V3_FIXED,
        };
        fixed | u64::from(self.groups[0]) | u64::from(self.groups[1]) << 1
    }

    fn set_groups(&mut self, value: u64) -> VcpuSet {
        let groups = [value & 1 != 0, value & 2 != 0];
        if groups == self.groups {
            return VcpuSet::EMPTY;
        }
        self.groups = groups;
        let slots = 0..self.irqs.len();
        slots.fold(VcpuSet::EMPTY, |kick, slot| kick | self.settle(slot))
    }

    /// GICD_TYPER (IHI 0069H 12.9.38; IHI 0048B.b 4.3.2).
    fn typer(&self) -> u64 {
        let lines = u64::from(self.intids.div_ceil(32)) - 1;
        lines
            | match self.version {
                GicVersion::V2 => (self.vcpus as u64 - 1) << 5,
                GicVersion::V3 => TYPER_NO1N | TYPER_ID_BITS,
            }
    }

    fn redist_register(&self, of: VcpuId, access: Access) -> Option<u64> {
        if self.version != GicVersion::V3 || usize::from(of.0) >= self.vcpus {
            return Some(0);
        }
        let typer = self.redist_typer(of);
        match (access.offset, access.size) {
            (IIDR_GICR, 4) => Some(IIDR_VALUE),
            (GICR_TYPER, 8) => Some(typer),
            (GICR_TYPER, 4) => Some(typer & 0xffff_ffff),
            (GICR_TYPER_HIGH, 4) => Some(typer >> 32),
            (GICR_WAKER, 4) => Some(self.waker(of)),
            (PIDR2, 4) => Some(0x3b),
            _ => None,
        }
    }

    /// GICR_TYPER (IHI 0069H 12.11): affinity, processor number and whether it is the last.
    fn redist_typer(&self, of: VcpuId) -> u64 {
        let number = u64::from(of.0);
        let last = usize::from(of.0) + 1 == self.vcpus;
        number << 32 | number << 8 | u64::from(last) << 4
    }

    /// GICR_WAKER (IHI 0069H 12.11): asleep and awake as asked, at once.
    fn waker(&self, of: VcpuId) -> u64 {
        match self.cpu(of) {
            Some(cpu) if cpu.asleep => WAKER_PROCESSOR_SLEEP | WAKER_CHILDREN_ASLEEP,
            _ => 0,
        }
    }

    fn write_waker(&mut self, of: VcpuId, value: u64) -> VcpuSet {
        if let Some(cpu) = self.cpus.get_mut(usize::from(of.0)) {
            cpu.asleep = value & WAKER_PROCESSOR_SLEEP != 0;
        }
        VcpuSet::EMPTY
    }

    /// GICD_IROUTER\<n\> (IHI 0069H 12.9.22), whole or by halves. Aff3 and the routing mode are
    /// always zero.
    fn route(&self, access: Access) -> u64 {
        let irq = self.routed(access).and_then(|slot| self.irqs.get(slot));
        irq.map_or(0, |irq| irq.route.into())
    }

    fn set_route(&mut self, access: Access, value: u64) -> VcpuSet {
        let Some(slot) = self.routed(access) else {
            return VcpuSet::EMPTY;
        };
        let route = value as u32 & 0xff_ffff;
        let target = self.target_of_route(route);
        match self.irqs.get_mut(slot) {
            Some(irq) if irq.route != route => {
                irq.route = route;
                irq.target = target;
            }
            _ => return VcpuSet::EMPTY,
        }
        self.settle(slot)
    }

    /// The interrupt that an access to GICD_IROUTER speaks of; `None` for the upper half, in which
    /// nothing can be set.
    fn routed(&self, access: Access) -> Option<usize> {
        let at = access.offset.checked_sub(IROUTER)?;
        if !at.is_multiple_of(8) || !matches!(access.size, 4 | 8) {
            return None;
        }
        let intid = u32::try_from(at / 8).ok()?;
        self.slot(0, intid).filter(|_| intid >= FIRST_SPI)
    }
}

/// The interrupts that the registers of a redistributor speak of.
fn private_span(of: VcpuId) -> Span {
    Span {
        vcpu: of,
        intids: 0..FIRST_SPI,
    }
}
