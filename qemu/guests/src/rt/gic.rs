// SPDX-License-Identifier: MIT OR Apache-2.0

//! Both generations of the GIC, register by register (IHI 0069H chapter 12, IHI 0048B chapter 4).

use super::{cpu, env, read32, write8, write32, write64};
use crate::{mrs, msr};
use core::sync::atomic::{AtomicU32, Ordering::SeqCst};
use platform::{GICC_BASE, GICD_BASE, GICR_BASE, GICR_STRIDE, INTIDS, UART_BASE, WATCHDOG_INTID};

/// GICD_CTLR.
pub const CTLR: u64 = 0x000;
/// GICD_TYPER.
pub const TYPER: u64 = 0x004;
const IGROUPR: u64 = 0x080;
const ISENABLER: u64 = 0x100;
const ICENABLER: u64 = 0x180;
const ISPENDR: u64 = 0x200;
const ICPENDR: u64 = 0x280;
const ISACTIVER: u64 = 0x300;
const ICACTIVER: u64 = 0x380;
const IPRIORITYR: u64 = 0x400;
const ITARGETSR: u64 = 0x800;
const ICFGR: u64 = 0xc00;
const SGIR: u64 = 0xf00;
const IROUTER: u64 = 0x6000;
const GICR_WAKER: u64 = 0x014;
const GICR_SGI_FRAME: u64 = 0x1_0000;
const GICC_CTLR: u64 = 0x00;
const GICC_PMR: u64 = 0x04;
const GICC_BPR: u64 = 0x08;
const GICC_IAR: u64 = 0x0c;
const GICC_EOIR: u64 = 0x10;
const GICC_RPR: u64 = 0x14;
const GICC_HPPIR: u64 = 0x18;

/// The INTID that says there is nothing to acknowledge.
pub const SPURIOUS: u32 = 1023;
/// The priority that [`init_distributor`] gives to every interrupt.
pub const PRIORITY: u8 = 0xa0;

static COUNTS: [[AtomicU32; INTIDS]; cpu::MAX] =
    [const { [const { AtomicU32::new(0) }; INTIDS] }; cpu::MAX];
static STRAY: AtomicU32 = AtomicU32::new(0);

fn is_v3() -> bool {
    env::get().gicv3
}

/// Returns the frame that holds `intid`'s registers for the calling vCPU.
fn frame(intid: u32) -> u64 {
    if is_v3() && intid < 32 {
        GICR_BASE.0 + GICR_STRIDE * cpu::me() as u64 + GICR_SGI_FRAME
    } else {
        GICD_BASE.0
    }
}

fn bit_register(register: u64, intid: u32) -> u64 {
    frame(intid) + register + u64::from(intid / 32) * 4
}

fn set_bit(register: u64, intid: u32) {
    write32(bit_register(register, intid), 1 << (intid % 32));
}

fn bit(register: u64, intid: u32) -> bool {
    read32(bit_register(register, intid)) & 1 << (intid % 32) != 0
}

/// Disables, ends and clears every SPI, then turns the distributor on. For the boot vCPU.
pub fn init_distributor() {
    write32(GICD_BASE.0 + CTLR, 0);
    for intid in (32..INTIDS as u32).step_by(32) {
        quiet(intid);
        write32(bit_register(IGROUPR, intid), groups());
    }
    for intid in 32..INTIDS as u32 {
        set_priority(intid, PRIORITY);
        route(intid, 0);
    }
    // v3: ARE and EnableGrp1. v2: Enable.
    write32(GICD_BASE.0 + CTLR, if is_v3() { 0x12 } else { 1 });
}

/// Returns the bits of IGROUPR. v3: all in group 1. v2: all in group 0.
fn groups() -> u32 {
    if is_v3() { u32::MAX } else { 0 }
}

fn quiet(first: u32) {
    for register in [ICENABLER, ICPENDR, ICACTIVER] {
        write32(bit_register(register, first), u32::MAX);
    }
}

/// Initializes the calling vCPU's own interrupts and interface.
pub fn init_cpu() {
    if is_v3() {
        let waker = GICR_BASE.0 + GICR_STRIDE * cpu::me() as u64 + GICR_WAKER;
        write32(waker, read32(waker) & !2);
        while read32(waker) & 4 != 0 {
            core::hint::spin_loop();
        }
        msr!("S3_0_C12_C12_5", 7); // ICC_SRE_EL1
        msr!("S3_0_C12_C12_3", 0); // ICC_BPR1_EL1
    } else {
        write32(GICC_BASE.0 + GICC_BPR, 0);
    }
    write32(bit_register(IGROUPR, 0), groups());
    quiet(0);
    for intid in 0..32 {
        set_priority(intid, PRIORITY);
    }
    for sgi in 0..16 {
        enable(sgi);
    }
    set_mask(0xf0);
    if is_v3() {
        msr!("S3_0_C12_C12_7", 1); // ICC_IGRPEN1_EL1
    } else {
        write32(GICC_BASE.0 + GICC_CTLR, 1);
    }
}

/// Enables `intid` (ISENABLER).
pub fn enable(intid: u32) {
    set_bit(ISENABLER, intid);
}

/// Disables `intid` (ICENABLER).
pub fn disable(intid: u32) {
    set_bit(ICENABLER, intid);
}

/// Tells whether `intid` is enabled.
pub fn is_enabled(intid: u32) -> bool {
    bit(ISENABLER, intid)
}

/// Makes `intid` pending (ISPENDR).
pub fn set_pending(intid: u32) {
    set_bit(ISPENDR, intid);
}

/// Makes `intid` not pending (ICPENDR).
pub fn clear_pending(intid: u32) {
    set_bit(ICPENDR, intid);
}

/// Tells whether `intid` is pending.
pub fn is_pending(intid: u32) -> bool {
    bit(ISPENDR, intid)
}

/// Makes `intid` active (ISACTIVER).
pub fn set_active(intid: u32) {
    set_bit(ISACTIVER, intid);
}

/// Makes `intid` inactive (ICACTIVER).
pub fn clear_active(intid: u32) {
    set_bit(ICACTIVER, intid);
}

/// Tells whether `intid` is active.
pub fn is_active(intid: u32) -> bool {
    bit(ISACTIVER, intid)
}

/// Sets the priority of `intid` (IPRIORITYR).
pub fn set_priority(intid: u32, priority: u8) {
    let address = frame(intid) + IPRIORITYR + u64::from(intid);
    write8(address, priority);
}

/// Returns the priority of `intid`.
pub fn priority(intid: u32) -> u8 {
    let word = read32(frame(intid) + IPRIORITYR + u64::from(intid & !3));
    word.to_le_bytes()[intid as usize % 4]
}

/// Makes `intid` edge-triggered or level-sensitive (ICFGR).
pub fn set_edge(intid: u32, edge: bool) {
    let address = frame(intid) + ICFGR + u64::from(intid / 16) * 4;
    let bit = 2 << (intid % 16 * 2);
    let value = read32(address);
    write32(address, if edge { value | bit } else { value & !bit });
}

/// Tells whether `intid` is edge-triggered.
pub fn is_edge(intid: u32) -> bool {
    let value = read32(frame(intid) + ICFGR + u64::from(intid / 16) * 4);
    value & 2 << (intid % 16 * 2) != 0
}

/// Sends an SPI to `target` alone.
pub fn route(spi: u32, target: usize) {
    if is_v3() {
        let address = GICD_BASE.0 + IROUTER + u64::from(spi) * 8;
        write64(address, target as u64);
    } else {
        let address = GICD_BASE.0 + ITARGETSR + u64::from(spi);
        write8(address, 1 << target);
    }
}

/// Sends SGI `id` to each vCPU in `targets`.
pub fn send_sgi(id: u32, targets: u16) {
    if is_v3() {
        // SAFETY: a barrier, so that the target sees what was written before the SGI.
        unsafe { core::arch::asm!("dsb ishst") };
        msr!("S3_0_C12_C11_5", u64::from(id) << 24 | u64::from(targets)); // ICC_SGI1R_EL1
    } else {
        // SAFETY: as above.
        unsafe { core::arch::asm!("dsb ishst") };
        write32(GICD_BASE.0 + SGIR, u32::from(targets & 0xff) << 16 | id);
    }
}

/// Sets ICC_PMR_EL1 or GICC_PMR: only higher priorities (lower numbers) than `mask` are signaled.
pub fn set_mask(mask: u8) {
    if is_v3() {
        msr!("S3_0_C4_C6_0", u64::from(mask));
    } else {
        write32(GICC_BASE.0 + GICC_PMR, u32::from(mask));
    }
}

/// Returns the running priority.
pub fn running_priority() -> u8 {
    if is_v3() {
        mrs!("S3_0_C12_C11_3") as u8
    } else {
        read32(GICC_BASE.0 + GICC_RPR) as u8
    }
}

/// Returns the highest-priority pending INTID, not acknowledged.
pub fn highest_pending() -> u32 {
    let value = if is_v3() {
        mrs!("S3_0_C12_C12_2") as u32
    } else {
        read32(GICC_BASE.0 + GICC_HPPIR)
    };
    value & 0x3ff
}

/// Acknowledges an interrupt. Returns the value to give to [`end`]; its low 10 bits are the INTID.
pub fn acknowledge() -> u32 {
    if is_v3() {
        mrs!("S3_0_C12_C12_0") as u32
    } else {
        read32(GICC_BASE.0 + GICC_IAR)
    }
}

/// Ends an acknowledged interrupt: priority drop and deactivation.
pub fn end(iar: u32) {
    if is_v3() {
        msr!("S3_0_C12_C12_1", u64::from(iar));
    } else {
        write32(GICC_BASE.0 + GICC_EOIR, iar);
    }
}

/// Takes one interrupt. A source that stays asserted is silenced, so that one event counts once.
pub fn on_irq() {
    let iar = acknowledge();
    let intid = iar & 0x3ff;
    if intid == SPURIOUS {
        STRAY.fetch_add(1, SeqCst);
        return;
    }
    match intid {
        27 => msr!("cntv_ctl_el0", mrs!("cntv_ctl_el0") | 2),
        30 => msr!("cntp_ctl_el0", mrs!("cntp_ctl_el0") | 2),
        33 => write32(UART_BASE.0 + 0x38, 0), // UARTIMSC
        WATCHDOG_INTID => disable(intid),
        _ => {}
    }
    if let Some(count) = COUNTS[cpu::me()].get(intid as usize) {
        count.fetch_add(1, SeqCst);
    } else {
        STRAY.fetch_add(1, SeqCst);
    }
    end(iar);
}

/// Tells how often `cpu` took `intid`.
pub fn taken(cpu: usize, intid: u32) -> u32 {
    COUNTS[cpu][intid as usize].load(SeqCst)
}

/// Interrupts that were spurious or of no INTID that the platform has.
pub fn strays() -> u32 {
    STRAY.load(SeqCst)
}
