//! The physical GICv3 (IHI 0069H), as EL2 uses it in Non-secure state.

use core::sync::atomic::{AtomicU64, Ordering};

use addr::PaRange;
use arrayvec::ArrayVec;
use boot::MAX_CORES;

use crate::arch::{
    cpu,
    mmio::Mmio,
    sysreg::{isb, read_sysreg, write_sysreg},
};

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
        init_cpu_interface();
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
        let target = 1 << (affinity & 0xf);
        let range = affinity >> 4 & 0xf;
        let value = (affinity & 0xff_0000_0000) << 16
            | (affinity & 0xff_0000) << 16
            | range << 44
            | u64::from(KICK) << 24
            | (affinity & 0xff00) << 8
            | target;
        crate::arch::sysreg::dsb();
        // SAFETY: an SGI that EL2 handles.
        unsafe { write_sysreg!("icc_sgi1r_el1", value) };
        isb();
    }

    /// Acknowledges the most urgent pending interrupt.
    pub fn acknowledge(&self) -> Option<Acknowledged> {
        let value = read_sysreg!("icc_iar1_el1") as u32;
        // 1020–1023 mean that there is none for us.
        (value & 0xff_ffff < 1020).then_some(Acknowledged(value))
    }

    /// Drops the running priority; the interrupt stays active.
    pub fn drop_priority(&self, interrupt: Acknowledged) {
        // SAFETY: ends what was acknowledged.
        unsafe { write_sysreg!("icc_eoir1_el1", u64::from(interrupt.0)) };
    }

    /// Deactivates an interrupt whose priority was dropped.
    pub fn deactivate(&self, intid: u32) {
        // SAFETY: EL2 or its guest has handled the interrupt.
        unsafe { write_sysreg!("icc_dir_el1", u64::from(intid)) };
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

/// EOI only drops the priority, so that an interrupt handed to a guest stays active until the
/// guest ends it.
fn init_cpu_interface() {
    const EOI_MODE: u64 = 1 << 1;
    // SAFETY: EL2's own CPU interface, and state that only the guest sees. SRE without Enable:
    // ICC_SRE_EL1 traps, so no guest turns its system register interface off.
    unsafe {
        write_sysreg!("icc_sre_el2", 7);
        isb();
        write_sysreg!("icc_sre_el1", 7);
        write_sysreg!("icc_pmr_el1", 0xff);
        write_sysreg!("icc_bpr1_el1", 0);
        write_sysreg!("icc_ctlr_el1", EOI_MODE);
        write_sysreg!("icc_igrpen1_el1", 1);
    }
    isb();
}
