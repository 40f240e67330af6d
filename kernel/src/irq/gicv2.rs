//! The physical GICv2 (IHI 0048B), with or without the security extension.

use core::sync::atomic::{AtomicU8, Ordering};

use addr::PaRange;
use boot::MAX_CORES;
use tock_registers::interfaces::{Readable, Writeable};
use tock_registers::registers::{ReadOnly, ReadWrite, WriteOnly};
use tock_registers::{register_bitfields, register_structs};

use crate::arch::mmio::{Mmio, Registers};

use super::{Acknowledged, DEFAULT_PRIORITY, KICK, PRIVATE_ENABLED, gicd};

const GICD_ITARGETSR: u64 = 0x800;
const GICD_SGIR: u64 = 0xf00;
/// GICD_TYPER.SecurityExtn.
const SECURITY_EXTENSION: u32 = 1 << 10;
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
        (0x0014 => _reserved),
        (0x1000 => deactivate: WriteOnly<u32>),
        (0x1004 => @END),
    }
}

/// Distributor and banked CPU interface.
pub struct GicV2 {
    distributor: Mmio,
    cpu_interface: Registers<Gicc>,
    /// The GIC's own number of each core, as a target mask.
    masks: [AtomicU8; MAX_CORES],
}

impl GicV2 {
    /// The GIC whose frames are mapped and owned by EL2.
    ///
    /// # Safety
    /// As for [`Registers::new`], for both frames.
    pub unsafe fn new(distributor: PaRange, cpu_interface: PaRange) -> Self {
        // SAFETY: the caller's promise.
        unsafe {
            Self {
                distributor: Mmio::new(distributor.start.0, distributor.size),
                cpu_interface: Registers::new(cpu_interface.start.0),
                masks: [const { AtomicU8::new(0) }; MAX_CORES],
            }
        }
    }

    /// The IGROUPR value that makes an interrupt ours: with the security extension all that
    /// Non-secure state can touch is group 1 already; without, group 0 is what GICC_CTLR enables.
    fn group(&self) -> u32 {
        match self.distributor.read32(gicd::TYPER) & SECURITY_EXTENSION {
            0 => 0,
            _ => u32::MAX,
        }
    }

    /// Every Non-secure SPI disabled.
    pub fn init(&self) {
        let d = &self.distributor;
        d.write32(gicd::CTLR, 0);
        let words = u64::from(d.read32(gicd::TYPER) & 0x1f);
        for word in 1..=words {
            d.write32(gicd::ICENABLER + 4 * word, u32::MAX);
            d.write32(gicd::IGROUPR + 4 * word, self.group());
        }
        for word in 8..(words + 1) * 8 {
            d.write32(
                gicd::IPRIORITYR + 4 * word,
                u32::from_ne_bytes([DEFAULT_PRIORITY; 4]),
            );
        }
        d.write32(gicd::CTLR, 1);
    }

    /// Turns this core's banked interrupts and CPU interface on.
    pub fn init_core(&self, index: usize) {
        let d = &self.distributor;
        d.write32(gicd::ICENABLER, 0xffff_0000);
        d.write32(gicd::IGROUPR, self.group());
        for word in 0..8 {
            d.write32(
                gicd::IPRIORITYR + 4 * word,
                u32::from_ne_bytes([DEFAULT_PRIORITY; 4]),
            );
        }
        d.write32(gicd::ISENABLER, PRIVATE_ENABLED);
        // The banked ITARGETSR0 reads as this core's own mask; it is 0 on a single core.
        let mask = (d.read32(GICD_ITARGETSR) & 0xff) as u8;
        self.masks[index].store(mask.max(1), Ordering::Release);
        let c = &self.cpu_interface;
        c.priority_mask.write(PriorityMask::PRIORITY::SET);
        c.binary_point.set(0);
        c.control
            .write(Control::ENABLE::SET + Control::EOI_MODE::SET);
    }

    /// Targets the SPI `intid` at core `core`.
    pub fn route_spi(&self, intid: u32, core: usize, edge: bool) {
        let d = &self.distributor;
        let n = u64::from(intid);
        gicd::set_trigger(d, intid, edge);
        d.write8(GICD_ITARGETSR + n, self.masks[core].load(Ordering::Acquire));
    }

    /// The distributor.
    pub fn distributor(&self) -> &Mmio {
        &self.distributor
    }

    /// Makes private interrupts of this core active: bit n is INTID n.
    pub fn set_active(&self, intids: u32) {
        self.distributor.write32(gicd::ISACTIVER, intids);
    }

    /// Interrupts core `core` with the kick SGI.
    pub fn kick(&self, core: usize) {
        let mask = u32::from(self.masks[core].load(Ordering::Acquire));
        // NSATT: with the security extension, Non-secure writes ignore it.
        crate::arch::barrier::dsb();
        self.distributor.write32(GICD_SGIR, mask << 16 | KICK);
    }

    /// Acknowledges the most urgent pending interrupt.
    pub fn acknowledge(&self) -> Option<Acknowledged> {
        let value = self.cpu_interface.acknowledge.extract();
        (value.read(Acknowledge::INTID) < FIRST_SPECIAL).then_some(Acknowledged(value.get()))
    }

    /// Drops the running priority; the interrupt stays active.
    pub fn drop_priority(&self, interrupt: Acknowledged) {
        self.cpu_interface.end_of_interrupt.set(interrupt.0);
    }

    /// Deactivates an interrupt whose priority was dropped. For an SGI, `intid` holds the source
    /// core in bits 12:10 as GICC_IAR gave it.
    pub fn deactivate(&self, intid: u32) {
        self.cpu_interface.deactivate.set(intid);
    }
}
