// SPDX-License-Identifier: MIT OR Apache-2.0

//! Between the model and the list registers.

use crate::{
    Cpu, FIRST_SPI, Lr, Lrs, Registers, VcpuSet, Vgic,
    irq::{Irq, NOBODY},
    set::bits,
};
use platform::VcpuId;

/// Which interrupts get a list register, the best first: the most urgent pending one, so that
/// there is always one to take; then the active ones, which the guest is going to deactivate;
/// then the rest. Within a class the more urgent, then the lower INTID.
struct Picks {
    keys: [u32; Lrs::MAX],
    len: usize,
    room: usize,
    left_active: bool,
    left_pending: bool,
}

const FIRST: u32 = 0;
const ACTIVE: u32 = 1 << 24;
const WAITING: u32 = 2 << 24;

const fn key(class: u32, irq: &Irq, intid: u32) -> u32 {
    class | (irq.priority as u32) << 16 | intid
}

impl Picks {
    const fn new(room: usize) -> Self {
        Self {
            keys: [0; Lrs::MAX],
            len: 0,
            room,
            left_active: false,
            left_pending: false,
        }
    }

    /// Inserts in order; what falls off the end is left.
    fn offer(&mut self, mut key: u32) {
        for held in &mut self.keys[..self.len] {
            if key < *held {
                core::mem::swap(&mut key, held);
            }
        }
        if self.len < self.room {
            self.keys[self.len] = key;
            self.len += 1;
        } else if key >= WAITING {
            self.left_pending = true;
        } else {
            self.left_active = true;
        }
    }
}

impl Vgic {
    /// Whether the vCPU has anything for [`flush`](Self::flush) that its list registers do not
    /// hold yet.
    pub fn needs_flush(&self, vcpu: VcpuId) -> bool {
        let work = |cpu: &Cpu| !cpu.work.is_empty() || cpu.release != 0;
        self.cpu(vcpu).is_some_and(work) || !self.release.is_empty()
    }

    /// Whether an interrupt waits to be delivered to the vCPU, which ends a WFI. Exact only
    /// between [`sync`](Self::sync) and [`flush`](Self::flush).
    pub fn has_pending(&self, vcpu: VcpuId) -> bool {
        let waits = |intid| {
            self.slot(vcpu.0.into(), intid)
                .and_then(|slot| self.irqs.get(slot))
                .is_some_and(|irq| !irq.active)
        };
        self.cpu(vcpu).is_some_and(|cpu| cpu.work.iter().any(waits))
    }

    /// Takes back what the guest left in the list registers of `vcpu`, which the kernel has
    /// just [saved](Lrs::save); they are free then. Returns the *other* vCPUs that this made
    /// work for, such as the new target of an interrupt that was moved.
    pub fn sync(&mut self, vcpu: VcpuId, lrs: &mut Lrs) -> VcpuSet {
        let mut kick = VcpuSet::EMPTY;
        // Until the next flush nothing is saved again: the hardware keeps the count, too.
        lrs.hcr = 0;
        for _ in 0..core::mem::take(&mut lrs.eoi_count) {
            kick |= self.deactivate_evicted(vcpu);
        }
        for lr in &mut lrs.regs[..core::mem::take(&mut lrs.used)] {
            kick |= self.unload(vcpu, core::mem::replace(lr, Lr::FREE));
        }
        kick.without(vcpu)
    }

    fn unload(&mut self, vcpu: VcpuId, lr: Lr) -> VcpuSet {
        let intid = u32::from(lr.intid);
        let by_source = self.is_v2_sgi(intid);
        let Some(slot) = self.slot(vcpu.0.into(), intid) else {
            return VcpuSet::EMPTY;
        };
        match self.irqs.get_mut(slot) {
            Some(irq) if irq.owner == vcpu.0 => irq.unload(lr, by_source),
            _ => return VcpuSet::EMPTY,
        }
        self.settle(slot)
    }

    /// The guest has ended an interrupt that had no list register. With EOImode 0 it ends them
    /// in the reverse order of taking them, so it was the most urgent of those that are left.
    fn deactivate_evicted(&mut self, vcpu: VcpuId) -> VcpuSet {
        let vcpu_index = usize::from(vcpu.0);
        let Some(cpu) = self.cpus.get(vcpu_index) else {
            return VcpuSet::EMPTY;
        };
        let active = |intid| {
            let irq = self.irqs.get(self.slot(vcpu_index, intid)?)?;
            (irq.active && irq.resident.is_none()).then(|| key(ACTIVE, irq, intid))
        };
        match cpu.work.iter().filter_map(active).min() {
            Some(key) => self.deactivate(vcpu, key & 0xffff),
            None => VcpuSet::EMPTY,
        }
    }

    /// The guest deactivates `intid` by a trapped write to ICC_DIR_EL1 (see
    /// [`Lrs::HCR_TDIR`]), between [`sync`](Self::sync) and [`flush`](Self::flush).
    pub fn deactivate(&mut self, vcpu: VcpuId, intid: u32) -> VcpuSet {
        let Some(slot) = self.slot(vcpu.0.into(), intid) else {
            return VcpuSet::EMPTY;
        };
        match self.irqs.get_mut(slot) {
            Some(irq) if irq.active && irq.owner == vcpu.0 => irq.clear_active(),
            _ => return VcpuSet::EMPTY,
        }
        self.settle(slot)
    }

    /// Chooses what the list registers of `vcpu` hold while it runs next. They must be synced.
    ///
    /// After it, load [`Lrs::to_load`] and [`Lrs::hcr`], and deactivate what
    /// [`take_deactivation`](Self::take_deactivation) names.
    pub fn flush(&mut self, vcpu: VcpuId, lrs: &mut Lrs) {
        debug_assert_eq!(lrs.used, 0, "flush without sync");
        lrs.hcr = Lrs::HCR_EN;
        if let Some(only) = self.cpu(vcpu).and_then(|cpu| cpu.work.single()) {
            self.load_next(vcpu, only, lrs);
        } else if self.cpu(vcpu).is_some_and(|cpu| !cpu.work.is_empty()) {
            self.load_best(vcpu, lrs);
        }
        lrs.load = lrs.held.max(lrs.used);
        lrs.held = lrs.used;
    }

    /// Chooses among several.
    #[inline(never)]
    fn load_best(&mut self, vcpu: VcpuId, lrs: &mut Lrs) {
        let picks = self.pick(vcpu);
        for &key in &picks.keys[..picks.len] {
            self.load_next(vcpu, key & 0xffff, lrs);
        }
        if picks.left_pending {
            lrs.hcr |= Lrs::HCR_NPIE;
        }
        if picks.left_active {
            lrs.hcr |= Lrs::HCR_LRENPIE | Lrs::HCR_TDIR;
        }
    }

    fn load_next(&mut self, vcpu: VcpuId, intid: u32, lrs: &mut Lrs) {
        if self.load(vcpu, intid, lrs, lrs.used) {
            lrs.used += 1;
        }
    }

    /// Puts the only interrupt of `vcpu` that asks for anything, one to be delivered, into a list register while the others
    /// stay as they are, not synced: in the one that it has or in the next that is free. That is written, and nothing else
    /// is to be loaded. Or `None`, and it takes `sync` and `flush`, which end alike for the guest.
    #[inline(always)]
    pub fn insert(&mut self, vcpu: VcpuId, lrs: &mut Lrs, hardware: &impl Registers) -> Option<()> {
        if !lrs.hold_all() || !self.spi_release(vcpu).is_empty() {
            return None;
        }
        let index = usize::from(vcpu.0);
        let cpu = self.cpu(vcpu).filter(|cpu| cpu.release == 0)?;
        let intid = cpu.work.single()?;
        let (groups, by_source) = (self.groups, self.is_v2_sgi(intid));
        let slot = self.slot(index, intid)?;
        let cpu = self.cpus.get_mut(index)?;
        let irq = self.irqs.get_mut(slot)?;
        if irq.active || irq.target != vcpu.0 || !irq.is_deliverable(groups) {
            return None;
        }
        let n = if irq.resident.is_some() {
            let n = lrs.position(intid)?;
            irq.unload(hardware.read(n), by_source);
            n
        } else if lrs.used < self.lrs {
            lrs.used += 1;
            lrs.held = lrs.used;
            lrs.used - 1
        } else {
            return None;
        };
        let register = lrs.regs.get_mut(n)?;
        // Nothing has changed since it is in the register, as in `load`.
        irq.listed = NOBODY;
        cpu.work.remove(intid);
        let lr = irq.load(intid, vcpu.0, groups, by_source);
        *register = lr;
        hardware.write(n, lr);
        Some(())
    }

    fn pick(&self, vcpu: VcpuId) -> Picks {
        let mut picks = Picks::new(self.lrs);
        let Some(cpu) = self.cpu(vcpu) else {
            return picks;
        };
        let irq = |intid| self.irqs.get(self.slot(vcpu.0.into(), intid)?);
        let pending = |intid| {
            let irq = irq(intid)?;
            (!irq.active).then(|| key(WAITING, irq, intid))
        };
        let first = cpu.work.iter().filter_map(pending).min();
        for intid in cpu.work.iter() {
            let Some(irq) = irq(intid) else { continue };
            let class = if irq.active {
                ACTIVE
            } else if first == Some(key(WAITING, irq, intid)) {
                FIRST
            } else {
                WAITING
            };
            picks.offer(key(class, irq, intid));
        }
        picks
    }

    /// False if there is no such interrupt or register.
    fn load(&mut self, vcpu: VcpuId, intid: u32, lrs: &mut Lrs, n: usize) -> bool {
        let (groups, by_source) = (self.groups, self.is_v2_sgi(intid));
        let slot = self.slot(vcpu.0.into(), intid);
        let (Some(irq), Some(register), Some(cpu)) = (
            slot.and_then(|slot| self.irqs.get_mut(slot)),
            lrs.regs.get_mut(n),
            self.cpus.get_mut(usize::from(vcpu.0)),
        ) else {
            return false;
        };
        // Nothing has changed since it is in the register.
        irq.listed = NOBODY;
        cpu.work.remove(intid);
        *register = irq.load(intid, vcpu.0, groups, by_source);
        true
    }

    /// The next physical INTID that the core of `vcpu` must deactivate, since no deactivation
    /// by the guest will. PPIs are that core's own; an SPI goes to whoever asks first.
    #[inline]
    pub fn take_deactivation(&mut self, vcpu: VcpuId) -> Option<u32> {
        if self.release.is_empty() && self.cpu(vcpu)?.release == 0 {
            return None;
        }
        self.next_deactivation(vcpu)
    }

    fn next_deactivation(&mut self, vcpu: VcpuId) -> Option<u32> {
        let index = usize::from(vcpu.0);
        let cpu = self.cpus.get_mut(index)?;
        let private = bits(cpu.release).next();
        let intid = private.or_else(|| self.release.iter().next())?;
        if private.is_some() {
            cpu.release &= cpu.release.wrapping_sub(1);
        } else {
            self.release.remove(intid);
        }
        let slot = self.slot(index, intid)?;
        self.irqs.get(slot).map(|irq| irq.pintid.into())
    }

    /// The vCPU is turned off, synced, and leaves its core for as long as it likes: what the core's
    /// physical PPIs are owed becomes [due](Self::take_deactivation) now. A timer that is still
    /// asserted fires anew when the vCPU is back; what was active stays so for the guest.
    pub fn power_off(&mut self, vcpu: VcpuId) {
        for intid in bits(self.physical_ppis(vcpu)) {
            let Some(slot) = self.slot(vcpu.0.into(), intid) else {
                return;
            };
            match self.irqs.get_mut(slot) {
                Some(irq) if irq.owed => {
                    irq.owed = false;
                    irq.latch &= irq.edge;
                }
                _ => continue,
            }
            // The vCPU is not running: nobody is to be kicked.
            let _ = self.release(vcpu.0.into(), intid) | self.settle(slot);
        }
    }

    fn physical_ppis(&self, vcpu: VcpuId) -> u32 {
        self.cpu(vcpu).map_or(0, |cpu| cpu.physical)
    }

    /// The physical PPIs (bit n: INTID n) that are active on behalf of `vcpu`, which must be
    /// synced. A kernel that moves the vCPU off its core deactivates them there and makes them
    /// active again (GICR_ISACTIVER0) where it runs next.
    pub fn active_ppis(&self, vcpu: VcpuId) -> u32 {
        bits(self.physical_ppis(vcpu))
            .filter_map(|intid| self.irqs.get(self.slot(vcpu.0.into(), intid)?))
            .filter(|irq| irq.owed && irq.pintid < FIRST_SPI as u16)
            .fold(0, |ppis, irq| ppis | 1 << irq.pintid)
    }
}
