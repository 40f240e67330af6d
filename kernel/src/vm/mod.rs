// SPDX-License-Identifier: MIT OR Apache-2.0

//! Guests: what each one is made of. How one is built is in `create`, how its vCPUs run in
//! `vcpu`, how it starts and ends in `lifecycle`.
//!
//! Lock order within a guest: `life`, then `power`, `uart`, `watchdog`, `gic`, the vCPUs' `start`, then the
//! console; the TEE's lock alone or under `life`. No lock is held while a vCPU runs or while OP-TEE is called.

pub mod create;
pub mod devices;
pub mod dma;
mod images;
pub mod lifecycle;
mod moment;
mod rates;
pub mod vcpu;
mod watchdog;

use alloc::{boxed::Box, string::String, vec::Vec};
use platform::{GicVersion, VcpuId, VmId};
use sched::{Share, Visits};
use spin::{Mutex, Once};
use stage2::{GuestRam, Tables};
use vgic::{VcpuSet, Vgic};
use vpsci::Vpsci;
use vuart::{Received, Serial};

use crate::{
    arch::cpu,
    console, irq,
    tee::{NoTee, Tee},
};
use devices::Devices;
use images::Images;
use lifecycle::{Lifecycle, StopAction};
use rates::Rates;
use vcpu::{Start, State, Vcpu};
use watchdog::GuestWatchdog;

/// One guest. Everything that changes is behind a lock or atomic; a vCPU's registers live with
/// the core that serves it.
pub struct Vm {
    /// Its number in the manifest's order.
    pub id: VmId,
    /// Its name in the manifest.
    pub name: String,
    /// Its RAM.
    pub ram: GuestRam,
    /// Its stage-2 tables.
    pub tables: Tables,
    /// Its vCPUs.
    pub vcpus: Vec<Vcpu>,
    /// The power state of its vCPUs.
    pub power: Mutex<Vpsci>,
    /// Its interrupt controller.
    pub gic: Mutex<Vgic>,
    uart: Mutex<Serial>,
    /// Devices of the board that are its own.
    pub devices: Devices,
    /// Its OP-TEE, or why it has none.
    pub tee: Result<Tee, NoTee>,
    watchdog: Option<GuestWatchdog>,
    /// Whether it runs.
    pub life: Lifecycle,
    images: Images,
    gic_version: GicVersion,
    /// What the firmware has against speculation.
    pub workarounds: platform::Workarounds,
    counter_offset: u64,
    on_crash: StopAction,
    /// What each of its vCPUs may have of its core.
    pub share: Share,
    /// How long it may be in OP-TEE, if that is bounded.
    pub visits: Option<Mutex<Visits>>,
    rates: Rates,
}

static VMS: Once<Box<[Vm]>> = Once::new();

/// Returns all guests; none before they are created.
pub fn all() -> &'static [Vm] {
    VMS.get().map_or(&[], |vms| vms)
}

impl Vm {
    /// Returns the vCPUs that core number `core` serves.
    pub fn on_core(&self, core: usize) -> impl Iterator<Item = (&Self, VcpuId)> {
        (0..)
            .zip(&self.vcpus)
            .filter(move |(_, vcpu)| vcpu.core == core)
            .map(move |(index, _)| (self, VcpuId(index)))
    }

    /// Tells whether the guest's interrupt controller is a GICv3.
    pub fn has_gicv3(&self) -> bool {
        self.gic_version == GicVersion::V3
    }

    /// Returns the architecture of the guest's interrupt controller.
    pub fn gic_version(&self) -> GicVersion {
        self.gic_version
    }

    /// Tells whether the guest can cause SErrors of the board's: its own RAM never refuses it, a device may.
    pub fn may_cause_serrors(&self) -> bool {
        !self.devices.is_empty()
    }

    /// Tells whether OP-TEE has taken the guest.
    pub fn has_tee(&self) -> bool {
        self.tee.as_ref().is_ok_and(Tee::is_admitted)
    }

    /// Lets vCPU `id` start on its core, unless the guest of this `epoch` has been stopped by then.
    pub fn start_vcpu(&self, id: VcpuId, start: Start, epoch: u32) {
        if let Some(vcpu) = self.vcpus.get(usize::from(id.0)) {
            *vcpu.start.lock() = Some((start, epoch));
            vcpu.request_service();
            self.kick_core(id);
        }
    }

    /// Lets every vCPU's core look at what is asked of the vCPU.
    pub fn request_service(&self) {
        for (index, vcpu) in (0..).zip(&self.vcpus) {
            vcpu.request_service();
            self.kick_core(VcpuId(index));
        }
    }

    /// Interrupts the core of vCPU `id`, unless that is this one, which looks by itself.
    pub fn kick_core(&self, id: VcpuId) {
        let vcpu = self.vcpus.get(usize::from(id.0));
        if vcpu.is_some_and(Vcpu::interrupt_core) {
            self.count_kick();
        }
    }

    /// Counts an interrupt of another core for the guest's vCPU that runs on this one. If there is none, it was EL2's.
    fn count_kick(&self) {
        let here = cpu::current();
        let runs = |vcpu: &&Vcpu| vcpu.core == here && vcpu.state() == State::Running;
        if let Some(vcpu) = self.vcpus.iter().find(runs) {
            vcpu.count_kick();
        }
    }

    /// Makes the vCPUs in `set` look at their interrupts again.
    #[inline(never)]
    pub fn kick(&self, set: VcpuSet) {
        self.kick_counted(set, || self.count_kick());
    }

    /// Does the same for a caller that knows whose doing it is: `count` counts an interrupt of another core.
    #[inline(always)]
    pub fn kick_counted(&self, set: VcpuSet, count: impl Fn()) {
        for id in set.iter() {
            let vcpu = self.vcpus.get(usize::from(id.0));
            if vcpu.is_some_and(|vcpu| vcpu.mark_interrupts_changed() && vcpu.interrupt_core()) {
                count();
            }
        }
    }

    /// Changes something at the interrupt controller's inputs, and kicks whom `act` says.
    pub fn signal(&self, act: impl FnOnce(&mut Vgic) -> VcpuSet) {
        let set = act(&mut self.gic.lock());
        self.kick(set);
    }

    /// Handles a guest's write to its UART.
    pub fn uart_write(&self, offset: u64, size: u8, value: u64) {
        let byte = self.with_uart(|uart| uart.write(offset, size, value));
        if byte.is_some_and(|byte| console::guest_output(self.id.0, byte)) {
            self.count_kick();
        }
    }

    /// Answers a guest's read of its UART.
    pub fn uart_read(&self, offset: u64, size: u8) -> u32 {
        self.with_uart(|uart| uart.read(offset, size))
    }

    /// Takes a byte typed at the console for this guest.
    pub fn uart_receive(&self, byte: u8) -> Received {
        self.with_uart(|uart| uart.receive(byte))
    }

    /// Tells whether a typed byte would be lost, as the guest reads none.
    pub fn uart_is_full(&self) -> bool {
        self.uart.lock().is_full()
    }

    /// Lets `act` work on the UART, and carries a change of its interrupt line to the GIC while
    /// no other change can come between.
    fn with_uart<T>(&self, act: impl FnOnce(&mut Serial) -> T) -> T {
        let mut uart = self.uart.lock();
        let before = uart.level();
        let result = act(&mut uart);
        let set = self.update_irq_line(platform::UART_INTID, before, uart.level());
        drop(uart);
        self.kick(set);
        result
    }

    /// Carries the line of an SPI to the interrupt controller if its level is not as `before`.
    fn update_irq_line(&self, intid: u32, before: bool, level: bool) -> VcpuSet {
        match level == before {
            true => VcpuSet::EMPTY,
            false => self.gic.lock().set_level(VcpuId(0), intid, level),
        }
    }

    /// Tells the guest that OP-TEE has notified, if it asked for that.
    pub fn notify_from_tee(&self) {
        if self.tee.as_ref().is_ok_and(Tee::wants_notifications) {
            self.signal(|gic| gic.pulse(VcpuId(0), platform::OPTEE_INTID));
        }
    }

    /// Lets the guest's devices interrupt again if it is time for that at `now`. Only the core of vCPU 0 calls it.
    pub fn resume_devices(&self, now: u64) {
        let is_due = self.devices.due().is_some_and(|due| due <= now);
        if is_due {
            // The last one before a stop may have come behind it.
            self.devices
                .resume(self.life.state() == lifecycle::State::Running);
        }
    }

    /// Resets every virtual device to its state at power-on, and stops the board's. No core runs the guest.
    fn reset_devices(&self) {
        self.devices.stop();
        let mut gic = self.gic.lock();
        gic.reset();
        // Its PPIs were made inactive when its vCPUs left their cores. One that is active here
        // now is another guest's.
        while let Some(intid) = gic.take_deactivation(VcpuId(0)) {
            if intid >= platform::FIRST_SPI {
                irq::deactivate(intid);
            }
        }
        drop(gic);
        self.uart.lock().reset();
        self.stop_watchdog();
        *self.power.lock() = Vpsci::new(self.vcpus.len() as u8);
    }
}
