// SPDX-License-Identifier: MIT OR Apache-2.0

//! The interrupt controller: which physical interrupts come, and what has come. Whom it is for is `interrupts.rs`'s.

mod gicd;
mod gich;
mod gicv2;
mod gicv3;
pub mod virtual_interface;

use core::sync::atomic::{AtomicBool, Ordering};

use alloc::boxed::Box;
use board::{Board, Ppis};
use platform::FIRST_SPI;
use safe_mmio::field;
use spin::Once;
use tock_registers::interfaces::Readable;
use tock_registers::registers::ReadOnly;

use crate::arch::{cpu, gic_cpu_interface, mmio::Registers, timer};
use gich::Gich;
use gicv2::GicV2;
use gicv3::GicV3;
use virtual_interface::VirtualInterface;

/// The SGI that makes a core look at its requests.
///
/// Protocol (litmus/kick.litmus; litmus/merged.litmus for two senders of which one SGI is left): who asks stores what it
/// asks for; DSB; sends ([`kick`]). Who is asked reads IAR; DSB ([`take`]); loads what is asked. Forbidden: the kick is
/// taken, and what was asked before it is not seen. A DMB would not do: neither register is memory. The reading of
/// IAR and the DSB are assembly that the compiler keeps in order, and it moves no access across the DSB.
///
/// A core looks with its interrupts masked, and WFI ends by an interrupt that is masked, too: a kick that comes
/// between the look and the wait stays pending.
const KICK: u32 = 0;
/// Priority of every other physical interrupt, which arm-gic gives them on GICv3.
const DEFAULT_PRIORITY: u8 = arm_gic::gicv3::HIGHEST_NS_PRIORITY;
/// Priority of kicks, the least urgent: when one is taken, nothing but other cores' kicks was pending, and a guest that
/// kicks a core all the time keeps no other interrupt from it. A step that every GIC has: the top four bits are there in
/// each, as Non-secure state sees them (IHI 0069H 4.8, IHI 0048B 3.3).
const KICK_PRIORITY: u8 = DEFAULT_PRIORITY + 0x10;
/// An acknowledged interrupt: what IAR returned.
#[derive(Clone, Copy, Debug)]
struct Acknowledged {
    /// What EOIR and DIR want back: for an SGI of a GICv2 with the core that sent it.
    value: u32,
    intid: u32,
}

enum Driver {
    V2(GicV2),
    V3(Box<GicV3>),
}

/// The board's interrupt controller and the interrupts that EL2 wants from it.
struct Controller {
    driver: Driver,
    gich: Option<Registers<Gich>>,
    ppis: Ppis,
    /// What each core enables of its private interrupts: bit n is INTID n.
    private: u32,
    console: Option<u32>,
    optee: Option<u32>,
}

static CONTROLLER: Once<Controller> = Once::new();

macro_rules! each {
    ($self:expr, $gic:ident => $call:expr) => {
        match &$self.driver {
            Driver::V2($gic) => $call,
            Driver::V3($gic) => $call,
        }
    };
}

/// Sets the distributor up, and corrects the frames of a GICv2 that repeat.
///
/// # Safety
/// The GIC's frames are mapped as devices and EL2 owns them.
pub unsafe fn init(board: &mut Board) {
    if let board::Gic::V2(gic) = &mut board.gic {
        // SAFETY: the caller's promise: it is mapped, and reading it has no effect.
        gic.find_aliases(|at| unsafe { Registers::<ReadOnly<u32>>::new(at.0) }.get());
    }
    let controller = CONTROLLER.call_once(|| Controller {
        // SAFETY: the caller's promise.
        driver: unsafe { driver(&board.gic) },
        gich: match &board.gic {
            // SAFETY: the caller's promise.
            board::Gic::V2(gic) => Some(unsafe { Registers::new(gic.gich.start.0) }),
            board::Gic::V3(_) => None,
        },
        ppis: board.ppis,
        private: board.private_interrupts() | 1 << KICK,
        console: board
            .console
            .and_then(|console| console.interrupt)
            .map(|i| i.intid),
        optee: board
            .optee
            .and_then(|optee| optee.interrupt)
            .map(|i| i.intid),
    });
    each!(controller, gic => gic.init());
}

/// # Safety
/// As for [`init`].
unsafe fn driver(gic: &board::Gic) -> Driver {
    // SAFETY: the caller's promise.
    unsafe {
        match gic {
            board::Gic::V2(gic) => Driver::V2(GicV2::new(gic.gicd, gic.gicc)),
            board::Gic::V3(gic) => Driver::V3(Box::new(GicV3::new(gic.clone()))),
        }
    }
}

fn controller() -> &'static Controller {
    CONTROLLER.get().expect("interrupts are set up at boot")
}

/// Turns interrupts on for this core, number `index`. False if the GIC doesn't know the core.
pub fn init_core(index: usize) -> bool {
    let Controller {
        driver, private, ..
    } = controller();
    if let Driver::V3(_) = driver {
        gic_cpu_interface::use_registers();
    }
    // Nothing is enabled before what firmware left in the list registers is gone.
    virtual_interface().reset();
    match driver {
        Driver::V2(gic) => {
            gic.init_core(index, *private);
            true
        }
        Driver::V3(gic) => gic.init_core(index, *private),
    }
}

/// Routes EL2's own SPIs to this core, number `index`. Private interrupts are on already.
pub fn enable_shared(index: usize, board: &Board) {
    let own = [
        board.console.and_then(|c| c.interrupt),
        board.optee.and_then(|o| o.interrupt),
    ];
    let spis = own.into_iter().flatten().filter(|i| i.intid >= FIRST_SPI);
    for interrupt in spis {
        route_spi(interrupt.intid, index, interrupt.edge);
        enable_spi(interrupt.intid);
    }
}

/// Sends the SPI `intid`, which stays disabled, to core number `core`. At boot alone: registers
/// are read and written back.
pub fn route_spi(intid: u32, core: usize, edge: bool) {
    each!(controller(), gic => gic.route_spi(intid, core, edge));
}

/// Enables the SPI `intid`, with nothing pending from before.
pub fn enable_spi(intid: u32) {
    each!(controller(), gic => {
        let mut distributor = gic.distributor();
        gicd::write_bit(field!(*distributor, icpendr), intid);
        gicd::write_bit(field!(*distributor, icactiver), intid);
    });
    resume_spi(intid);
}

/// Lets the SPI `intid` come again that was disabled for a while: if it has become pending meanwhile, at once.
pub fn resume_spi(intid: u32) {
    each!(controller(), gic => {
        let mut distributor = gic.distributor();
        gicd::write_bit(field!(*distributor, isenabler), intid);
    });
}

/// Disables the SPI `intid`, or on a GICv2 a private interrupt of this core.
pub fn disable_spi(intid: u32) {
    each!(controller(), gic => {
        let mut distributor = gic.distributor();
        gicd::write_bit(field!(*distributor, icenabler), intid);
    });
}

/// Disables an interrupt that is nobody's, and says so: its level would come back for ever.
#[cold]
pub fn reject(intid: u32) {
    log::warn!("interrupt {intid} is nobody's: it is disabled");
    match &controller().driver {
        Driver::V3(gic) if intid < FIRST_SPI => gic.disable_private(cpu::current(), intid),
        // LPIs and the extended ranges have no bit there: EL2 has enabled none.
        _ => disable_spi(intid),
    }
}

/// Makes core number `core` look at its requests.
#[inline]
pub fn kick(core: usize) {
    each!(controller(), gic => gic.kick(core));
}

/// Whether the board has come to its end.
///
/// Protocol: it is asked for by a [`KICK`].
static HALTED: AtomicBool = AtomicBool::new(false);

/// Stops all other cores for good: EL2 has failed, and what it holds half-done and locked is not to be met. A core that
/// waits for one of the locks, interrupts masked, has stopped already.
pub fn halt_others() {
    HALTED.store(true, Ordering::Release);
    if let Some(controller) = CONTROLLER.get() {
        let others = (0..boot::MAX_CORES).filter(|&core| core != cpu::current());
        others.for_each(|core| each!(controller, gic => gic.kick(core)));
    }
}

/// Returns the INTIDs that guests' virtual and physical timers have here.
pub fn guest_timers() -> [u32; 2] {
    let ppis = &controller().ppis;
    [ppis.virtual_, ppis.physical]
}

/// Returns the list registers of this core.
pub fn virtual_interface() -> VirtualInterface {
    match controller().gich {
        Some(gich) => VirtualInterface::V2(gich),
        None => VirtualInterface::V3,
    }
}

/// Makes private interrupts of this core active: bit n is INTID n.
pub fn set_active(intids: u32) {
    match &controller().driver {
        Driver::V2(gic) => gic.set_active(intids),
        Driver::V3(gic) => gic.set_active(cpu::current(), intids),
    }
}

/// Deactivates an interrupt of this core that a guest will not end any more.
pub fn deactivate(intid: u32) {
    each!(controller(), gic => gic.deactivate(intid));
}

/// Deactivates private interrupts of this core: bit n is INTID n.
pub fn deactivate_private(mut intids: u32) {
    while intids != 0 {
        deactivate(intids.trailing_zeros());
        intids &= intids - 1;
    }
}

/// An interrupt that this core has taken. What is not said to be deactivated stays active until [`deactivate`].
#[derive(Clone, Copy, Debug)]
pub enum Taken {
    /// Another core wants this one to look at what is asked of it. It is deactivated, and nothing but further kicks was
    /// pending when it was taken.
    Kick,
    /// EL2's timer has gone off. It is off, and deactivated.
    Alarm,
    /// A list register needs attention, by this INTID.
    Maintenance(u32),
    /// The guest's timer has fired.
    GuestTimer {
        /// The INTID that it has here.
        physical: u32,
        /// And the guest's.
        virtual_: u32,
    },
    /// The console's UART, by this INTID.
    Console(u32),
    /// OP-TEE's notification, by this INTID.
    Optee(u32),
    /// Another INTID: a device's, or one that nobody waits for.
    Other(u32),
}

/// Takes the most urgent pending interrupt of this core, if there is one.
#[inline]
pub fn take() -> Option<Taken> {
    let controller = controller();
    let interrupt = each!(controller, gic => {
        let interrupt = gic.acknowledge()?;
        gic.drop_priority(interrupt);
        if interrupt.intid == KICK {
            if HALTED.load(Ordering::Acquire) {
                cpu::park();
            }
            gic.deactivate(interrupt.value);
            return Some(Taken::Kick);
        }
        interrupt
    });
    let intid = interrupt.intid;
    let ppis = &controller.ppis;
    if let Some(virtual_) = ppis.guests(intid) {
        return Some(Taken::GuestTimer {
            physical: intid,
            virtual_,
        });
    }
    Some(match intid {
        _ if intid == ppis.maintenance => Taken::Maintenance(intid),
        _ if intid == ppis.hypervisor => {
            timer::set_alarm(None);
            deactivate(intid);
            Taken::Alarm
        }
        _ if Some(intid) == controller.console => Taken::Console(intid),
        _ if Some(intid) == controller.optee => Taken::Optee(intid),
        _ => Taken::Other(intid),
    })
}
