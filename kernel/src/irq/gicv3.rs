//! The physical GICv3 (IHI 0069H), as EL2 uses it in Non-secure state.

use core::sync::atomic::{AtomicU64, Ordering};

use addr::PaRange;
use arrayvec::ArrayVec;
use boot::MAX_CORES;

use crate::arch::{cpu, gic_cpu_interface as cpu_interface, mmio::Mmio};

use super::{Acknowledged, DEFAULT_PRIORITY, KICK, PRIVATE_ENABLED, gicd};

/// ARE_NS, EnableGrp1A and EnableGrp1 as Non-secure state sees GICD_CTLR.
const GICD_ENABLE: u32 = 1 << 4 | 1 << 1 | 1;
const GICD_RWP: u32 = 1 << 31;
const GICD_IROUTER: u64 = 0x6000;

mod gicr {
    pub const TYPER: u64 = 0x8;
    pub const WAKER: u64 = 0x14;
    pub const SGI_FRAME: u64 = 0x1_0000;
    pub const LAST: u64 = 1 << 4;
    pub const VLPIS: u64 = 1 << 1;
}

/// Distributor, and each core's redistributor once the core has found it.
pub struct GicV3 {
    distributor: Mmio,
    regions: ArrayVec<PaRange, 4>,
    redistributors: [AtomicU64; MAX_CORES],
    affinities: [AtomicU64; MAX_CORES],
}

impl GicV3 {
    /// The GIC whose frames are mapped and owned by EL2.
    ///
    /// # Safety
    /// As for [`Mmio::new`], for the distributor and all regions.
    pub unsafe fn new(distributor: PaRange, regions: ArrayVec<PaRange, 4>) -> Self {
        Self {
            // SAFETY: the caller's promise.
            distributor: unsafe { Mmio::new(distributor.start.0, distributor.size) },
            regions,
            redistributors: [const { AtomicU64::new(0) }; MAX_CORES],
            affinities: [const { AtomicU64::new(0) }; MAX_CORES],
        }
    }

    /// Every Non-secure SPI in group 1, disabled.
    pub fn init(&self) {
        let d = &self.distributor;
        d.write32(gicd::CTLR, 0);
        self.wait();
        let words = u64::from(d.read32(gicd::TYPER) & 0x1f);
        for word in 1..=words {
            d.write32(gicd::ICENABLER + 4 * word, u32::MAX);
            d.write32(gicd::IGROUPR + 4 * word, u32::MAX);
        }
        for word in 8..(words + 1) * 8 {
            d.write32(
                gicd::IPRIORITYR + 4 * word,
                u32::from_ne_bytes([DEFAULT_PRIORITY; 4]),
            );
        }
        d.write32(gicd::CTLR, GICD_ENABLE);
        self.wait();
    }

    fn wait(&self) {
        while self.distributor.read32(gicd::CTLR) & GICD_RWP != 0 {
            core::hint::spin_loop();
        }
    }

    /// Wakes this core's redistributor and turns its CPU interface on. False if there is no
    /// redistributor for it.
    pub fn init_core(&self, index: usize) -> bool {
        let affinity = cpu::mpidr();
        let Some(base) = self.find(affinity) else {
            return false;
        };
        self.redistributors[index].store(base, Ordering::Relaxed);
        self.affinities[index].store(affinity, Ordering::Release);
        // SAFETY: part of a region that `new`'s caller vouched for.
        let r = unsafe { Mmio::new(base, 2 * gicr::SGI_FRAME) };
        wake(&r);
        r.write32(gicr::SGI_FRAME + gicd::ICENABLER, u32::MAX);
        r.write32(gicr::SGI_FRAME + gicd::IGROUPR, u32::MAX);
        for word in 0..8 {
            let priorities = u32::from_ne_bytes([DEFAULT_PRIORITY; 4]);
            r.write32(gicr::SGI_FRAME + gicd::IPRIORITYR + 4 * word, priorities);
        }
        r.write32(gicr::SGI_FRAME + gicd::ISENABLER, PRIVATE_ENABLED);
        cpu_interface::init();
        true
    }

    fn find(&self, affinity: u64) -> Option<u64> {
        let wanted = (affinity >> 8 & 0xff00_0000) | (affinity & 0xff_ffff);
        self.regions
            .iter()
            .find_map(|region| find_in(region, wanted))
    }

    /// Routes the SPI `intid` to core `core`.
    pub fn route_spi(&self, intid: u32, core: usize, edge: bool) {
        let d = &self.distributor;
        let n = u64::from(intid);
        gicd::set_trigger(d, intid, edge);
        d.write64(
            GICD_IROUTER + 8 * n,
            self.affinities[core].load(Ordering::Acquire),
        );
    }

    /// The distributor.
    pub fn distributor(&self) -> &Mmio {
        &self.distributor
    }

    /// Makes private interrupts of this core, number `index`, active: bit n is INTID n.
    pub fn set_active(&self, index: usize, intids: u32) {
        let base = self.redistributors[index].load(Ordering::Relaxed);
        // SAFETY: `init_core` found this redistributor.
        let r = unsafe { Mmio::new(base, 2 * gicr::SGI_FRAME) };
        r.write32(gicr::SGI_FRAME + gicd::ISACTIVER, intids);
    }

    /// Interrupts core `core` with the kick SGI.
    pub fn kick(&self, core: usize) {
        let affinity = self.affinities[core].load(Ordering::Acquire);
        cpu_interface::send_sgi(KICK, affinity);
    }

    /// Acknowledges the most urgent pending interrupt.
    pub fn acknowledge(&self) -> Option<Acknowledged> {
        cpu_interface::acknowledge().map(Acknowledged)
    }

    /// Drops the running priority; the interrupt stays active.
    pub fn drop_priority(&self, interrupt: Acknowledged) {
        cpu_interface::drop_priority(interrupt.0);
    }

    /// Deactivates an interrupt whose priority was dropped.
    pub fn deactivate(&self, intid: u32) {
        cpu_interface::deactivate(intid);
    }
}

fn wake(redistributor: &Mmio) {
    let awake = redistributor.read32(gicr::WAKER) & !2;
    redistributor.write32(gicr::WAKER, awake);
    while redistributor.read32(gicr::WAKER) & 4 != 0 {
        core::hint::spin_loop();
    }
}

fn find_in(region: &PaRange, wanted: u64) -> Option<u64> {
    let mut base = region.start.0;
    while base + 2 * gicr::SGI_FRAME <= region.end().0 {
        // SAFETY: inside a region that `GicV3::new`'s caller vouched for.
        let typer = unsafe { Mmio::new(base, gicr::SGI_FRAME) }.read64(gicr::TYPER);
        if typer >> 32 == wanted {
            return Some(base);
        }
        if typer & gicr::LAST != 0 {
            return None;
        }
        // GICv4 adds two frames for virtual LPIs.
        base += if typer & gicr::VLPIS != 0 { 4 } else { 2 } * gicr::SGI_FRAME;
    }
    None
}
