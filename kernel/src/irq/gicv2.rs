// SPDX-License-Identifier: MIT OR Apache-2.0

//! The physical GICv2 (IHI 0048B), with or without the security extension.

use core::ptr::NonNull;
use core::sync::atomic::{AtomicU8, Ordering};

use addr::PaRange;
use arm_gic::Trigger;
use arm_gic::gicv2::registers::{Gicd, GicdCtlr};
use boot::MAX_CORES;
use safe_mmio::{UniqueMmioPointer, field, field_shared};
use spin::{Mutex, MutexGuard};
use tock_registers::interfaces::{Readable, Writeable};
use tock_registers::registers::{ReadOnly, ReadWrite, WriteOnly};
use tock_registers::{register_bitfields, register_structs};

use crate::arch::{barrier, mmio::Registers};

use super::{Acknowledged, DEFAULT_PRIORITY, KICK, KICK_PRIORITY, gicd};

/// GICD_IPRIORITYR of four interrupts.
const PRIORITIES: u32 = u32::from_ne_bytes([DEFAULT_PRIORITY; 4]);
/// GICD_IPRIORITYR0, which has the kick's.
const FIRST_PRIORITIES: u32 = {
    let mut priorities = [DEFAULT_PRIORITY; 4];
    priorities[KICK as usize] = KICK_PRIORITY;
    u32::from_le_bytes(priorities)
};
/// INTIDs from here on say that there is no interrupt.
const FIRST_SPECIAL: u32 = 1020;

register_bitfields! {u32,
    /// GICC_CTLR.
    Control [
        /// EOI only drops the priority.
        EOI_MODE OFFSET(9) NUMBITS(1) [],
        ENABLE OFFSET(0) NUMBITS(1) [],
    ],
    /// GICC_PMR.
    PriorityMask [
        /// Interrupts of a higher priority get through.
        PRIORITY OFFSET(0) NUMBITS(8) [],
    ],
    /// GICC_IAR.
    Acknowledge [
        /// The core that sent it, if it is an SGI.
        CPUID OFFSET(10) NUMBITS(3) [],
        INTID OFFSET(0) NUMBITS(10) [],
    ],
}

register_structs! {
    /// The frame of the CPU interface, which each core has for itself (4.4).
    Gicc {
        (0x0000 => control: ReadWrite<u32, Control::Register>),
        (0x0004 => priority_mask: ReadWrite<u32, PriorityMask::Register>),
        (0x0008 => binary_point: ReadWrite<u32>),
        (0x000c => acknowledge: ReadOnly<u32, Acknowledge::Register>),
        (0x0010 => end_of_interrupt: WriteOnly<u32>),
        (0x0014 => _reserved0),
        /// GICC_APRn.
        (0x00d0 => active_priorities: [ReadWrite<u32>; 4]),
        (0x00e0 => _reserved1),
        (0x1000 => deactivate: WriteOnly<u32>),
        (0x1004 => @END),
    }
}

register_bitfields! {u32,
    /// GICD_SGIR. NSATT stays 0: with the security extension, Non-secure writes ignore it.
    Sgi [
        TARGETS OFFSET(16) NUMBITS(8) [],
        INTID OFFSET(0) NUMBITS(4) [],
    ],
}

register_structs! {
    /// The registers of SGIs, apart from the rest of the distributor: who sends one waits for no lock,
    /// as it may be what a core that failed does last.
    Sgis {
        /// GICD_SGIR.
        (0x00 => send: WriteOnly<u32, Sgi::Register>),
        (0x04 => _reserved),
        /// GICD_CPENDSGIRn, this core's own: a bit for each sender of each SGI.
        (0x10 => clear_pending: [WriteOnly<u32>; 4]),
        (0x20 => @END),
    }
}

/// Distributor and banked CPU interface.
pub struct GicV2 {
    distributor: Mutex<UniqueMmioPointer<'static, Gicd>>,
    sgis: Registers<Sgis>,
    cpu_interface: Registers<Gicc>,
    /// The GIC's own number of each core, as a target mask.
    ///
    /// Protocol: a core writes its own; others read it once [`crate::smp`] has seen the core come up.
    masks: [AtomicU8; MAX_CORES],
}

impl GicV2 {
    /// Returns the GIC with these frames, none of them at address 0.
    ///
    /// # Safety
    /// Both frames are mapped as devices, EL2 owns them, and nothing else uses them.
    pub unsafe fn new(distributor: PaRange, cpu_interface: PaRange) -> Self {
        let sgis = distributor.start.0 + core::mem::offset_of!(Gicd, sgir) as u64;
        let distributor = distributor.start.0 as *mut Gicd;
        // SAFETY: the caller's promise; SGIs are not touched through `distributor`.
        unsafe {
            Self {
                distributor: Mutex::new(UniqueMmioPointer::new(NonNull::new_unchecked(
                    distributor,
                ))),
                sgis: Registers::new(sgis),
                cpu_interface: Registers::new(cpu_interface.start.0),
                masks: [const { AtomicU8::new(0) }; MAX_CORES],
            }
        }
    }

    /// Disables every Non-secure SPI, with nothing pending or active.
    #[cold]
    pub fn init(&self) {
        let mut distributor = self.distributor.lock();
        let d = &mut *distributor;
        field!(*d, ctlr).write(GicdCtlr::empty());
        let interrupts = field_shared!(*d, typer).read().num_irqs() as usize;
        let (group, words) = (group(d), interrupts / 32);
        gicd::fill(field!(*d, icenabler), 1..words, u32::MAX);
        gicd::fill(field!(*d, icpendr), 1..words, u32::MAX);
        gicd::fill(field!(*d, icactiver), 1..words, u32::MAX);
        gicd::fill(field!(*d, igroupr), 1..words, group);
        gicd::fill(field!(*d, ipriorityr), 8..words * 8, PRIORITIES);
        // As Non-secure state sees it, that is group 1.
        field!(*d, ctlr).write(GicdCtlr::EnableGrp0);
    }

    /// Turns this core's CPU interface on, and of its banked interrupts those in `private`.
    #[cold]
    pub fn init_core(&self, index: usize, private: u32) {
        self.sgis
            .clear_pending
            .iter()
            .for_each(|all| all.set(u32::MAX));
        let mask = init_banked(&mut self.distributor.lock(), private);
        self.masks[index].store(mask, Ordering::Release);
        let c = &self.cpu_interface;
        // What was being handled before is not: its priority would keep all others away.
        c.active_priorities.iter().for_each(|all| all.set(0));
        c.priority_mask.write(PriorityMask::PRIORITY::SET);
        c.binary_point.set(0);
        c.control
            .write(Control::ENABLE::SET + Control::EOI_MODE::SET);
    }

    /// Targets the SPI `intid` at core `core`.
    #[cold]
    pub fn route_spi(&self, intid: u32, core: usize, edge: bool) {
        let mask = self.masks[core].load(Ordering::Acquire);
        let mut distributor = self.distributor.lock();
        let d = &mut *distributor;
        set_trigger(d, intid, if edge { Trigger::Edge } else { Trigger::Level });
        set_targets(d, intid, mask);
    }

    /// Returns the distributor, for one core at a time.
    pub fn distributor(&self) -> MutexGuard<'_, UniqueMmioPointer<'static, Gicd>> {
        self.distributor.lock()
    }

    /// Makes private interrupts of this core active: bit n is INTID n.
    pub fn set_active(&self, intids: u32) {
        let mut distributor = self.distributor.lock();
        gicd::activate(field!(*distributor, isactiver), intids);
    }

    /// Interrupts core `core` with the kick SGI.
    pub fn kick(&self, core: usize) {
        let mask = self.masks[core].load(Ordering::Acquire);
        barrier::dsb();
        self.sgis
            .send
            .write(Sgi::TARGETS.val(mask.into()) + Sgi::INTID.val(KICK));
    }

    /// Acknowledges the most urgent pending interrupt.
    pub fn acknowledge(&self) -> Option<Acknowledged> {
        let value = self.cpu_interface.acknowledge.extract();
        // It is no LDAR: what the sender wrote before could be read from before it.
        barrier::dsb();
        let intid = value.read(Acknowledge::INTID);
        let value = value.get();
        (intid < FIRST_SPECIAL).then_some(Acknowledged { value, intid })
    }

    /// Drops the running priority; the interrupt stays active.
    pub fn drop_priority(&self, interrupt: Acknowledged) {
        self.cpu_interface.end_of_interrupt.set(interrupt.value);
    }

    /// Deactivates an interrupt whose priority was dropped. For an SGI, `intid` holds the source
    /// core in bits 12:10 as GICC_IAR gave it.
    pub fn deactivate(&self, intid: u32) {
        self.cpu_interface.deactivate.set(intid);
    }
}

/// Returns the IGROUPR value that makes an interrupt ours: with the security extension all that
/// Non-secure state can touch is group 1 already; without, group 0 is what GICC_CTLR enables.
fn group(distributor: &UniqueMmioPointer<'_, Gicd>) -> u32 {
    match field_shared!(*distributor, typer)
        .read()
        .has_security_extension()
    {
        true => u32::MAX,
        false => 0,
    }
}

/// Enables this core's `private` interrupts, and returns the mask that targets it.
fn init_banked(d: &mut UniqueMmioPointer<'_, Gicd>, private: u32) -> u8 {
    let group = group(d);
    gicd::fill(field!(*d, icenabler), 0..1, 0xffff_0000);
    gicd::fill(field!(*d, icpendr), 0..1, 0xffff_0000);
    gicd::fill(field!(*d, icactiver), 0..1, u32::MAX);
    gicd::fill(field!(*d, igroupr), 0..1, group);
    gicd::fill(field!(*d, ipriorityr), 0..1, FIRST_PRIORITIES);
    gicd::fill(field!(*d, ipriorityr), 1..8, PRIORITIES);
    gicd::fill(field!(*d, isenabler), 0..1, private);
    // The banked ITARGETSR0 reads as this core's own mask; it is 0 on a single core.
    let targets = field!(*d, itargetsr)
        .get(0)
        // SAFETY: the register is read without an effect.
        .map_or(0, |mut register| unsafe { register.read_unsafe() });
    (targets as u8).max(1)
}

fn set_trigger(d: &mut UniqueMmioPointer<'_, Gicd>, intid: u32, trigger: Trigger) {
    let bit = 2 << (2 * (intid % 16));
    if let Some(mut register) = field!(*d, icfgr).get(intid as usize / 16) {
        register.modify(|old| match trigger {
            Trigger::Edge => old | bit,
            Trigger::Level => old & !bit,
        });
    }
}

fn set_targets(d: &mut UniqueMmioPointer<'_, Gicd>, intid: u32, mask: u8) {
    let shift = 8 * (intid % 4);
    if let Some(mut register) = field!(*d, itargetsr).get(intid as usize / 4) {
        // SAFETY: the register says where interrupts go that EL2 owns, and nothing else.
        unsafe {
            let others = register.read_unsafe() & !(0xff << shift);
            register.write_unsafe(others | u32::from(mask) << shift);
        }
    }
}
