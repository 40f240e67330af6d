// SPDX-License-Identifier: MIT OR Apache-2.0

//! The physical GICv3 (IHI 0069H), as EL2 uses it in Non-secure state.

use core::ptr::{NonNull, null_mut};
use core::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

use addr::PaRange;
use arm_gic::gicv3::registers::{Gicd, GicdCtlr, GicrCtlr, GicrSgi};
use arm_gic::gicv3::{GicDistributor, GicRedistributor};
use arm_gic::{IntId, Trigger};
use boot::MAX_CORES;
use safe_mmio::{UniqueMmioPointer, field, field_shared};
use spin::{Mutex, MutexGuard};

use crate::arch::{cpu, gic_cpu_interface as cpu_interface};

use super::{Acknowledged, KICK, KICK_PRIORITY, gicd};

/// Distributor, and each core's redistributor once the core has found it.
pub struct GicV3 {
    distributor: Mutex<UniqueMmioPointer<'static, Gicd>>,
    frames: board::GicV3,
    /// Protocol: each core's is its own.
    redistributors: [AtomicPtr<GicrSgi>; MAX_CORES],
    /// Protocol: a core writes its own; others read it once [`crate::smp`] has seen the core come up.
    affinities: [AtomicU64; MAX_CORES],
    /// What sends the kick SGI to each core.
    ///
    /// Protocol: as for `affinities`.
    kicks: [AtomicU64; MAX_CORES],
}

impl GicV3 {
    /// Returns the GIC with these frames.
    ///
    /// # Safety
    /// The distributor's frame and the regions of redistributors are mapped as devices, EL2 owns
    /// them, and nothing else uses them.
    pub unsafe fn new(frames: board::GicV3) -> Self {
        // SAFETY: the caller's promise.
        let distributor = unsafe {
            UniqueMmioPointer::new(NonNull::new_unchecked(frames.gicd.start.0 as *mut Gicd))
        };
        Self {
            distributor: Mutex::new(distributor),
            frames,
            redistributors: [const { AtomicPtr::new(null_mut()) }; MAX_CORES],
            affinities: [const { AtomicU64::new(0) }; MAX_CORES],
            kicks: [const { AtomicU64::new(0) }; MAX_CORES],
        }
    }

    /// Puts every Non-secure SPI in group 1, disabled, with nothing pending or active.
    #[cold]
    pub fn init(&self) {
        self.with_distributor(|distributor| {
            // As Non-secure state sees GICD_CTLR: EnableGrp1 and EnableGrp1A.
            let groups = GicdCtlr::EnableGrp0 | GicdCtlr::EnableGrp1NS;
            distributor.modify_control(groups, false);
            distributor.enable_all_interrupts(false);
            distributor.wait_for_pending_write();
            // As Non-secure state sees it, what arm-gic calls ARE_S is ARE_NS.
            distributor.configure_default_settings();
        });
        let mut distributor = self.distributor.lock();
        let spis = 1..field_shared!(*distributor, typer).read().num_spis() as usize / 32 + 1;
        gicd::fill(field!(*distributor, icpendr), spis.clone(), u32::MAX);
        gicd::fill(field!(*distributor, icactiver), spis, u32::MAX);
    }

    fn with_distributor<T>(&self, act: impl FnOnce(&mut GicDistributor<'_>) -> T) -> T {
        act(&mut GicDistributor::new(self.distributor.lock().reborrow()))
    }

    /// Wakes this core's redistributor, enables its `private` interrupts and turns its CPU interface on, whose
    /// registers are [in use](cpu_interface::use_registers). False if there is no redistributor for it.
    #[cold]
    pub fn init_core(&self, index: usize, private: u32) -> bool {
        let affinity = cpu::mpidr();
        let Some(found) = self.find(affinity) else {
            return false;
        };
        self.redistributors[index].store(found.as_ptr(), Ordering::Relaxed);
        self.affinities[index].store(affinity, Ordering::Release);
        let kick = cpu_interface::sgi(KICK, affinity);
        self.kicks[index].store(kick, Ordering::Release);
        if let Some(mut frames) = self.redistributor(index) {
            init_redistributor(&mut frames, private);
        }
        cpu_interface::init();
        true
    }

    fn find(&self, affinity: u64) -> Option<NonNull<GicrSgi>> {
        self.frames
            .gicr
            .iter()
            .find_map(|region| find_in(region, &self.frames, affinity))
    }

    /// Returns the redistributor of core number `index`, which is this one.
    fn redistributor(&self, index: usize) -> Option<UniqueMmioPointer<'_, GicrSgi>> {
        let frames = NonNull::new(self.redistributors[index].load(Ordering::Relaxed))?;
        // SAFETY: `init_core` found it in a region that `new`'s caller vouched for. Its core alone
        // uses it, but for GICR_TYPER, which others only read and which never changes.
        Some(unsafe { UniqueMmioPointer::new(frames) })
    }

    /// Routes the SPI `intid` to core `core`. One that the GIC does not have goes nowhere.
    #[cold]
    pub fn route_spi(&self, intid: u32, core: usize, edge: bool) {
        let Ok(intid) = IntId::try_from(intid) else {
            return;
        };
        let trigger = if edge { Trigger::Edge } else { Trigger::Level };
        let affinity = self.affinities[core].load(Ordering::Acquire);
        let _ = self.with_distributor(|distributor| {
            distributor.set_trigger(intid, trigger)?;
            distributor.set_routing(intid, Some(affinity))
        });
    }

    /// Returns the distributor, for one core at a time.
    pub fn distributor(&self) -> MutexGuard<'_, UniqueMmioPointer<'static, Gicd>> {
        self.distributor.lock()
    }

    /// Makes private interrupts of this core, number `index`, active: bit n is INTID n.
    pub fn set_active(&self, index: usize, intids: u32) {
        if let Some(mut frames) = self.redistributor(index) {
            let mut sgi = field!(frames, sgi);
            gicd::activate(field!(sgi, isactiver), intids);
        }
    }

    /// Disables a private interrupt of this core, number `index`.
    pub fn disable_private(&self, index: usize, intid: u32) {
        if let Some(mut frames) = self.redistributor(index) {
            let mut sgi = field!(frames, sgi);
            gicd::write_bit(field!(sgi, icenabler), intid);
        }
    }

    /// Interrupts core `core` with the kick SGI.
    pub fn kick(&self, core: usize) {
        cpu_interface::send_sgi(self.kicks[core].load(Ordering::Acquire));
    }

    /// Acknowledges the most urgent pending interrupt.
    pub fn acknowledge(&self) -> Option<Acknowledged> {
        cpu_interface::acknowledge().map(|intid| Acknowledged {
            value: intid,
            intid,
        })
    }

    /// Drops the running priority; the interrupt stays active.
    pub fn drop_priority(&self, interrupt: Acknowledged) {
        cpu_interface::drop_priority(interrupt.intid);
    }

    /// Deactivates an interrupt whose priority was dropped.
    pub fn deactivate(&self, intid: u32) {
        cpu_interface::deactivate(intid);
    }
}

fn init_redistributor(frames: &mut UniqueMmioPointer<'_, GicrSgi>, private: u32) {
    let mut redistributor = GicRedistributor::new(frames.reborrow());
    // The error is that it is awake already.
    let _ = redistributor.mark_core_awake();
    redistributor.configure_default_settings();
    redistributor
        .set_interrupt_priority(IntId::sgi(KICK), KICK_PRIORITY)
        .expect("every redistributor has SGIs");
    stop_lpis(frames);
    let mut sgi = field!(*frames, sgi);
    gicd::fill(field!(sgi, icpendr), 0..1, u32::MAX);
    gicd::fill(field!(sgi, icactiver), 0..1, u32::MAX);
    gicd::fill(field!(sgi, isenabler), 0..1, private);
}

/// Turns LPIs off. With them on, the redistributor writes their pending bits to memory that whoever
/// ran before had, and a guest has now.
fn stop_lpis(frames: &mut UniqueMmioPointer<'_, GicrSgi>) {
    let mut gicr = field!(*frames, gicr);
    let mut control = field!(gicr, ctlr);
    let found = control.read();
    if !found.contains(GicrCtlr::EnableLPIs) {
        return;
    }
    control.write(found - GicrCtlr::EnableLPIs);
    if control.read().contains(GicrCtlr::EnableLPIs) {
        log::warn!(
            "core {}: LPIs were turned on before and can't be turned off: the GIC goes on writing to memory",
            cpu::current()
        );
    }
}

fn find_in(region: &PaRange, gic: &board::GicV3, affinity: u64) -> Option<NonNull<GicrSgi>> {
    const SIZE: u64 = size_of::<GicrSgi>() as u64;
    let mut base = region.start;
    while base.checked_add(SIZE)? <= region.end() {
        let frames = NonNull::new(base.0 as *mut GicrSgi)?;
        // SAFETY: inside a region that `GicV3::new`'s caller vouched for. GICR_TYPER never changes,
        // so its core may use the rest meanwhile.
        let redistributor = GicRedistributor::new(unsafe { UniqueMmioPointer::new(frames) });
        let typer = redistributor.typer();
        if typer.core_mpidr() == affinity {
            return Some(frames);
        }
        if typer.last_redistributor() {
            return None;
        }
        base = base.checked_add(gic.stride(typer.virtual_lpis_supported()))?;
    }
    None
}
