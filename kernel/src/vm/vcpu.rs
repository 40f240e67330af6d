//! A vCPU on its core.

use core::sync::atomic::{AtomicBool, Ordering};

use addr::{VcpuId, platform};
use spin::Mutex;
use vgic::{Frame, Lrs, VcpuSet, Vgic};
use vwatchdog::Lockup;

use super::{Vm, lifecycle};
use crate::arch::{
    cpu,
    guest::{self, Exit, GuestRegs, Identity},
    timer,
};
use crate::irq::{self, virt::VirtualInterface};
use crate::trap;

/// Where a vCPU begins, with the MMU off.
#[derive(Clone, Copy, Debug)]
pub struct Start {
    /// The first instruction's IPA.
    pub entry: u64,
    /// Its x0.
    pub context: u64,
}

/// What others may ask of a vCPU. Its registers belong to the core that runs it.
pub struct Vcpu {
    /// The number of the core that runs it.
    pub core: usize,
    /// Set to let the vCPU, which is off, start.
    pub start: Mutex<Option<Start>>,
    interrupts_changed: AtomicBool,
}

impl Vcpu {
    /// A vCPU for core number `core`, off.
    pub fn new(core: usize) -> Self {
        Self {
            core,
            start: Mutex::new(None),
            interrupts_changed: AtomicBool::new(false),
        }
    }

    /// Its list registers must be filled again before it goes on.
    pub fn mark_interrupts_changed(&self) {
        self.interrupts_changed.store(true, Ordering::Release);
    }
}

/// What a handled exit means for the vCPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// It goes on.
    Run,
    /// It has turned itself off.
    PowerOff,
}

/// A vCPU while it is on.
pub struct VcpuContext {
    /// Its guest.
    pub vm: &'static Vm,
    /// Its number.
    pub id: VcpuId,
    /// Its registers while it does not run.
    pub regs: GuestRegs,
    interface: VirtualInterface,
    lrs: Lrs,
    lockup: Lockup,
}

/// Runs the vCPU `id` of `vm` on this core for ever, each time it is started.
pub fn serve(vm: &'static Vm, id: VcpuId) -> ! {
    let mut epoch = 0;
    loop {
        match wait_for_start(vm, id, &mut epoch) {
            Some(start) => VcpuContext::new(vm, id, start).run(epoch),
            None => lifecycle::left(vm),
        }
    }
}

/// Waits until the vCPU is started, or (`None`) until the guest is asked to stop.
fn wait_for_start(vm: &Vm, id: VcpuId, epoch: &mut u32) -> Option<Start> {
    loop {
        let now = vm.life.epoch();
        if now != *epoch {
            *epoch = now;
            return None;
        }
        if let Some(start) = vm.vcpus[usize::from(id.0)].start.lock().take() {
            return Some(start);
        }
        cpu::wait_for_interrupt();
        irq::service(None);
    }
}

impl VcpuContext {
    fn new(vm: &'static Vm, id: VcpuId, start: Start) -> Self {
        Self {
            vm,
            id,
            regs: GuestRegs::start(start.entry, start.context),
            interface: irq::virtual_interface(),
            lrs: Lrs::new(),
            lockup: Lockup::default(),
        }
    }

    fn vcpu(&self) -> &'static Vcpu {
        &self.vm.vcpus[usize::from(self.id.0)]
    }

    /// Runs until the vCPU turns itself off or a stop newer than `epoch` is asked for.
    fn run(mut self, epoch: u32) {
        self.enter_core();
        while self.vm.life.epoch() == epoch {
            if self
                .vcpu()
                .interrupts_changed
                .swap(false, Ordering::Acquire)
            {
                self.refresh_interrupts();
            }
            let flow = match guest::run(&mut self.regs) {
                Exit::Sync(esr) => trap::handle(&mut self, esr),
                Exit::Interrupt => {
                    irq::service(Some(&mut self));
                    Flow::Run
                }
                Exit::SError => {
                    guest::pend_serror();
                    Flow::Run
                }
            };
            if flow == Flow::PowerOff {
                break;
            }
        }
        self.leave_core();
        if self.vm.power.lock().powered() == 0 {
            let why = format_args!("crashed: its last vCPU has turned itself off");
            lifecycle::lost(self.vm, self.vm.on_crash, why);
        }
    }

    fn enter_core(&mut self) {
        let identity = Identity {
            vm: self.vm.id,
            mpidr: idregs::vmpidr(self.id),
            stage2: self.vm.tables.root(),
            counter_offset: self.vm.counter_offset,
        };
        // SAFETY: the guest's tables map its own RAM and its virtual GIC's CPU interface, and
        // live as long as the guest.
        unsafe { guest::load(&identity) };
        self.interface.reset();
        self.vm.power.lock().on_started(self.id);
        self.vcpu().mark_interrupts_changed();
    }

    fn leave_core(&mut self) {
        guest::unload();
        self.with_gic(|gic, id| {
            gic.power_off(id);
            ((), VcpuSet::EMPTY)
        });
        self.interface.reset();
        // What the guest has not ended would stay active on this core for ever.
        self.deactivate_due();
    }

    /// Begins anew at `start`, as after a power-down suspend.
    pub fn restart(&mut self, start: Start) {
        self.leave_core();
        self.regs = GuestRegs::start(start.entry, start.context);
        self.lrs = Lrs::new();
        self.enter_core();
    }

    /// Makes the vCPU take a synchronous exception. If it can't, the guest has crashed.
    pub fn raise(&mut self, esr: u64, far: Option<u64>) {
        let pc = self.regs.pc;
        guest::raise(&mut self.regs, esr, far);
        if self.lockup.raised(pc, self.regs.pc) {
            let id = self.id.0;
            let why = format_args!(
                "crashed: vCPU {id} can take no exception, its vector faults: pc {pc:#x}, ESR {esr:#x}"
            );
            lifecycle::lost(self.vm, self.vm.on_crash, why);
        }
    }

    /// Lets `act` work on the interrupt controller's model while it holds all that this vCPU's
    /// list registers held. The vCPUs that `act` made work for are kicked.
    fn with_model<T>(&mut self, act: impl FnOnce(&mut Vgic, &mut Lrs) -> (T, VcpuSet)) -> T {
        if !self.lrs.is_idle() {
            self.interface.save(&mut self.lrs);
        }
        let mut gic = self.vm.gic.lock();
        let moved = gic.sync(self.id, &mut self.lrs) | withdraw_timers(&mut gic, self.id);
        let (result, changed) = act(&mut gic, &mut self.lrs);
        drop(gic);
        self.vm.kick(moved | changed);
        result
    }

    /// The same; the list registers are filled again before the vCPU goes on.
    fn with_gic<T>(&mut self, act: impl FnOnce(&mut Vgic, VcpuId) -> (T, VcpuSet)) -> T {
        let id = self.id;
        self.vcpu().mark_interrupts_changed();
        self.with_model(|gic, _| act(gic, id))
    }

    /// Fills the list registers anew with what the model chooses.
    pub fn refresh_interrupts(&mut self) {
        let id = self.id;
        self.with_model(|gic, lrs| {
            gic.flush(id, lrs);
            ((), VcpuSet::EMPTY)
        });
        self.deactivate_due();
        self.interface.load(&self.lrs);
    }

    /// Deactivates the physical interrupts of this core that the guest is done with.
    fn deactivate_due(&self) {
        while let Some(intid) = self.vm.gic.lock().take_deactivation(self.id) {
            irq::deactivate(intid);
        }
    }

    /// Waits until this vCPU has a virtual interrupt to take or its core a physical one.
    pub fn wait_for_interrupt(&mut self) {
        if !self.with_gic(|gic, id| (gic.has_pending(id), VcpuSet::EMPTY)) {
            cpu::wait_for_interrupt();
        }
    }

    /// One of this vCPU's timers has fired.
    pub fn timer_fired(&mut self, intid: u32) {
        self.vm.signal(|gic| gic.hw_pending(self.id, intid, intid));
    }

    /// A write of ICC_SGI1R_EL1.
    pub fn send_sgi(&mut self, value: u64) {
        self.vm.signal(|gic| gic.sgi1r(self.id, value));
    }

    /// A write of ICC_SGI0R_EL1 or ICC_ASGI1R_EL1.
    pub fn send_sgi_group0(&mut self, value: u64) {
        self.vm.signal(|gic| gic.sgi0r(self.id, value));
    }

    /// The guest's write of ICC_DIR_EL1 for an interrupt without a list register.
    pub fn deactivate(&mut self, intid: u32) {
        self.with_gic(|gic, id| ((), gic.deactivate(id, intid)));
    }

    /// A read of the interrupt controller's registers.
    pub fn gic_read(&mut self, frame: Frame, offset: u64, size: u8) -> u64 {
        self.with_gic(|gic, id| gic.read(id, frame, offset, size))
    }

    /// A write of the interrupt controller's registers.
    pub fn gic_write(&mut self, frame: Frame, offset: u64, size: u8, value: u64) {
        self.with_gic(|gic, id| ((), gic.write(id, frame, offset, size, value)));
    }
}

/// A timer that the guest has stopped or set anew before it took the interrupt: the line is low
/// and the interrupt no longer pending.
fn withdraw_timers(gic: &mut Vgic, id: VcpuId) -> VcpuSet {
    let lines = [
        (platform::VIRTUAL_TIMER_INTID, timer::virtual_line()),
        (platform::PHYSICAL_TIMER_INTID, timer::physical_line()),
    ];
    let low = lines.into_iter().filter(|(_, line)| !line);
    low.fold(VcpuSet::EMPTY, |set, (intid, _)| {
        set | gic.hw_withdraw(id, intid)
    })
}
