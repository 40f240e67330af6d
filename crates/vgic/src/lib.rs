// SPDX-License-Identifier: MIT OR Apache-2.0

//! A guest's interrupt controller: a GICv3 (IHI 0069H) or GICv2 (IHI 0048B.b) whose distributor
//! and redistributors are this model and whose CPU interface is the hardware's virtual one.
//!
//! The guest's accesses to the distributor and redistributors trap and come to
//! [`Vgic::read`] and [`Vgic::write`]; its acknowledge, EOI and deactivation do not trap: the
//! hardware does them on the list registers. The kernel owns those; [`Vgic::flush`] says what
//! to put there before the guest runs and [`Vgic::sync`] takes back what the guest left.
//!
//! What may change a vCPU's list registers returns a [`VcpuSet`]: every vCPU in it must go
//! through `sync` and `flush` before it runs guest code again, so those that run elsewhere are
//! kicked. A vCPU outside the set needs neither: its list registers may stay loaded across
//! any number of exits, and the lock around this value is not taken.
//!
//! The guest sees one security state (GICD_CTLR.DS = 1), 32 priorities, no LPIs, no extended
//! INTID ranges, and affinities in which Aff0 is the vCPU's number and the rest is zero.
//!
//! Two things it cannot tell, as no hypervisor can. A guest that keeps more interrupts active
//! than there are list registers, and ends them out of order with EOImode 1 on hardware that
//! cannot trap that (a GICv2, or no ICH_VTR_EL2.TDS), has the most urgent one ended first. And
//! a register that shows the state of an interrupt in another running vCPU's list registers
//! shows it as of that vCPU's last `flush`; see [`Vgic::read`].
//!
//! Allocates in [`Vgic::new`] alone.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod banks;
mod cpuif;
mod inputs;
mod irq;
mod lr;
mod mmio;
mod set;
mod sgi;

use alloc::{boxed::Box, vec::Vec};
use irq::{Irq, NOBODY};
use platform::{FIRST_SPI, GicVersion, MAX_VCPUS, VcpuId};
use set::IntidSet;

pub use lr::{Lr, Lrs, Origin, Registers, State};
pub use mmio::Frame;
pub use set::VcpuSet;

/// One past the last SGI.
const SGIS: u32 = 16;
/// One past the last INTID of an SPI; 1020–1023 are special.
const MAX_INTIDS: usize = 1020;

/// A guest's whole interrupt controller.
#[derive(Debug)]
pub struct Vgic {
    version: GicVersion,
    vcpus: usize,
    intids: u32,
    lrs: usize,
    /// GICD_CTLR.EnableGrp0 and EnableGrp1.
    groups: [bool; 2],
    /// 32 for each vCPU, then the SPIs.
    irqs: Box<[Irq]>,
    cpus: Box<[Cpu]>,
    /// SPIs whose physical interrupt some core has to deactivate.
    release: IntidSet,
}

/// What belongs to one vCPU beside its private interrupts.
#[derive(Debug)]
struct Cpu {
    /// Interrupts that want a list register: active here, or to be delivered here. Those that are in one are in the set
    /// if something has changed since.
    work: IntidSet,
    /// PPIs (bit n: INTID n) whose physical interrupt this vCPU's core has to deactivate.
    release: u32,
    /// PPIs that a physical interrupt has ever stood behind: no other is [owed](Irq::owed) one.
    physical: u32,
    /// GICR_WAKER.ProcessorSleep.
    asleep: bool,
}

impl Vgic {
    /// Bytes of heap that [`new`](Self::new) takes at most, if the heap rounds each block up to a power
    /// of two.
    pub const fn heap_bytes(vcpus: usize, intids: usize) -> usize {
        let irqs = (vcpus * FIRST_SPI as usize + intids) * size_of::<Irq>();
        let sets = (vcpus + 1) * (intids.div_ceil(32) * size_of::<u32>()).next_power_of_two();
        irqs.next_power_of_two() + (vcpus * size_of::<Cpu>()).next_power_of_two() + sets
    }

    /// The controller of a guest with `vcpus` vCPUs (1 to 8) and the INTIDs below `intids` (64
    /// to 1020, rounded up to a multiple of 32), on a machine with `lrs` list registers (1 to 16),
    /// in its reset state. Numbers outside these ranges count as the nearest in them.
    pub fn new(version: GicVersion, vcpus: usize, intids: usize, lrs: usize) -> Self {
        let vcpus = vcpus.clamp(1, MAX_VCPUS);
        let words = intids.clamp(64, MAX_INTIDS).div_ceil(32);
        let intids = (words * 32).min(MAX_INTIDS);
        let irqs = vcpus * FIRST_SPI as usize + intids - FIRST_SPI as usize;
        let cpu = || Cpu {
            work: IntidSet::new(words),
            release: 0,
            physical: 0,
            asleep: false,
        };
        let mut vgic = Self {
            version,
            vcpus,
            intids: intids as u32,
            lrs: lrs.clamp(1, Lrs::MAX),
            groups: [false; 2],
            irqs: (0..irqs)
                .map(|_| Irq::new(false, false, false, NOBODY))
                .collect(),
            cpus: (0..vcpus).map(|_| cpu()).collect::<Vec<_>>().into(),
            release: IntidSet::new(words),
        };
        vgic.reset();
        vgic
    }

    /// Back to the state a guest starts with. Every vCPU must be out of the guest and synced.
    ///
    /// Physical interrupts that the guest had not finished are left for
    /// [`take_deactivation`](Self::take_deactivation) of each vCPU; input lines are low.
    pub fn reset(&mut self) {
        self.groups = [false; 2];
        for cpu in &mut self.cpus {
            cpu.work.clear();
            cpu.asleep = false;
        }
        for slot in 0..self.irqs.len() {
            let (vcpu, intid) = self.place(slot);
            let fresh = self.fresh(vcpu, intid);
            let Some(old) = self.irqs.get_mut(slot) else {
                continue;
            };
            let (owed, pintid) = (old.owed, old.pintid);
            *old = fresh;
            if owed {
                old.pintid = pintid;
                let _ = self.release(vcpu, intid);
            }
        }
    }

    /// An interrupt after reset. SGIs are edges by definition; a GICv2 has them enabled and all
    /// in group 0, a GICv3 starts all in group 1, where a guest that takes itself for
    /// non-secure expects them.
    fn fresh(&self, vcpu: usize, intid: u32) -> Irq {
        let sgi = intid < SGIS;
        let v3 = self.version == GicVersion::V3;
        let target = match intid {
            0..FIRST_SPI => vcpu as u8,
            _ if v3 || self.vcpus == 1 => 0,
            _ => NOBODY,
        };
        Irq::new(sgi, v3, sgi && !v3, target)
    }

    /// The index of an interrupt; `None` if there is none such.
    fn slot(&self, vcpu: usize, intid: u32) -> Option<usize> {
        if intid < FIRST_SPI {
            (vcpu < self.vcpus).then(|| vcpu * FIRST_SPI as usize + intid as usize)
        } else {
            let spis = (self.vcpus - 1) * FIRST_SPI as usize;
            (intid < self.intids).then(|| spis + intid as usize)
        }
    }

    /// The vCPU (0 for an SPI) and INTID of an index.
    fn place(&self, slot: usize) -> (usize, u32) {
        let private = self.vcpus * FIRST_SPI as usize;
        if slot < private {
            (slot / FIRST_SPI as usize, slot as u32 % FIRST_SPI)
        } else {
            (0, (slot - private) as u32 + FIRST_SPI)
        }
    }

    fn cpu(&self, vcpu: VcpuId) -> Option<&Cpu> {
        self.cpus.get(usize::from(vcpu.0))
    }

    /// Whether every source of this interrupt is an interrupt of its own (IHI 0048B.b 4.3.17,
    /// GICD_SPENDSGIR).
    fn is_v2_sgi(&self, intid: u32) -> bool {
        self.version == GicVersion::V2 && intid < SGIS
    }

    /// Leaves the deactivation of the physical interrupt to the core of `vcpu`, or to whichever
    /// comes first for an SPI. Returns who has to be told.
    fn release(&mut self, vcpu: usize, intid: u32) -> VcpuSet {
        if intid >= FIRST_SPI {
            self.release.insert(intid);
            return VcpuSet::EMPTY;
        }
        if let Some(cpu) = self.cpus.get_mut(vcpu) {
            cpu.release |= 1 << intid;
        }
        VcpuSet::one(VcpuId(vcpu as u8))
    }

    /// `vcpu`, if some SPI's physical interrupt waits to be deactivated.
    fn spi_release(&self, vcpu: VcpuId) -> VcpuSet {
        if self.release.is_empty() || self.cpu(vcpu).is_none() {
            return VcpuSet::EMPTY;
        }
        VcpuSet::one(vcpu)
    }

    /// To be called after any change to an interrupt: settles what is owed to the physical GIC
    /// and in whose work set the interrupt is. Returns the vCPUs for which that means work.
    fn settle(&mut self, slot: usize) -> VcpuSet {
        let (home, intid) = self.place(slot);
        self.settle_at(slot, home, intid)
    }

    /// [`settle`](Self::settle) where the [place](Self::place) of `slot` is known, as that of an SGI is.
    #[inline(always)]
    fn settle_at(&mut self, slot: usize, home: usize, intid: u32) -> VcpuSet {
        let Some(irq) = self.irqs.get_mut(slot) else {
            return VcpuSet::EMPTY;
        };
        let mut kick = VcpuSet::EMPTY;
        let wanted_by = if irq.resident.is_some() || irq.active {
            irq.owner
        } else if irq.is_deliverable(self.groups) {
            irq.target
        } else {
            NOBODY
        };
        let listed = core::mem::replace(&mut irq.listed, wanted_by);
        let is_abandoned = irq.is_abandoned();
        if is_abandoned {
            irq.owed = false;
        }
        if listed != wanted_by
            && let Some(cpu) = self.cpus.get_mut(usize::from(listed))
        {
            cpu.work.remove(intid);
        }
        if let Some(cpu) = self.cpus.get_mut(usize::from(wanted_by)) {
            cpu.work.insert(intid);
            kick |= VcpuSet::one(VcpuId(wanted_by));
        }
        if is_abandoned {
            kick |= self.release(home, intid);
        }
        kick
    }
}
