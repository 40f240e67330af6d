// SPDX-License-Identifier: MIT OR Apache-2.0

//! A vCPU: what others may ask of it, and its state, which belongs to its core.

use core::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering, fence};

use ::serror::{SError, Severity};
use platform::VcpuId;
use spin::Mutex;
use vgic::{Frame, Lrs, VcpuSet, Vgic};
use vwatchdog::Lockup;

use super::{
    Vm, lifecycle,
    rates::{Bounds, Costs},
};
use crate::arch::{
    cpu,
    guest::{self, CpuState, GuestRegs, Identity, debug::Debug, fp::FpState, serror},
    timer,
};
use crate::irq::{
    self,
    virtual_interface::{CpuInterface, VirtualInterface},
};

/// Where a vCPU begins, with the MMU off.
#[derive(Clone, Copy, Debug)]
pub struct Start {
    /// The first instruction's IPA.
    pub entry: u64,
    /// Its x0.
    pub context: u64,
}

/// What a vCPU does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum State {
    /// It is turned off.
    Off,
    /// It waits for its turn.
    Ready,
    /// It is on its core.
    Running,
    /// It waits for an interrupt.
    Waiting,
}

/// What is asked of a vCPU by other cores, as bits.
mod request {
    /// Its list registers must be filled again before it goes on.
    pub const INTERRUPTS: u32 = 1 << 0;
    /// Something came that may end its waiting.
    pub const WAKE: u32 = 1 << 1;
    /// Its core's scheduler must look at it: it is to start, to stop or to pause.
    pub const SERVICE: u32 = 1 << 2;
    /// It may have done something too often: its core asks itself to look at that.
    pub const RATES: u32 = 1 << 3;
}

/// What others see of a vCPU. Its registers belong to the core that runs it.
pub struct Vcpu {
    /// The number of the core that runs it.
    pub core: usize,
    /// Set to let the vCPU, which is off, start; with the epoch of the guest that wants it to. A
    /// stop may come before the vCPU's core sees this: then nothing starts.
    pub start: Mutex<Option<(Start, u32)>>,
    /// What is asked of it: [`request`].
    ///
    /// Protocol for [`request::INTERRUPTS`] and [`request::WAKE`] (litmus/wake.litmus): who asks changes the model under its
    /// lock; sets the bits; DMB; loads `state`, and kicks only a core that would not look by itself. The vCPU's core
    /// stores `state`; DMB; loads the bits. Forbidden: the old state is seen, and the bits are not.
    ///
    /// Protocol for [`request::SERVICE`] (litmus/service.litmus): who asks stores what is to be looked at (`start`, the
    /// guest's epoch, a deadline); sets the bit with Release; kicks. The vCPU's core clears the bit with Acquire, then
    /// looks. Forbidden: the bit is cleared, and what it was set for is not seen.
    requests: AtomicU32,
    /// Protocol: as `requests`. Stored by the vCPU's core alone.
    state: AtomicU8,
    /// Physical SErrors that came while it ran, up to so many.
    serrors: AtomicU16,
    /// What it has cost others.
    pub costs: Costs,
    /// The time that it has had of its core, in ticks; while it has the core, [`HAS_CORE`] and what that lacks to the
    /// system counter.
    ///
    /// Protocol: stored by the vCPU's core alone, and shown.
    clock: AtomicU64,
}

/// A bit of a vCPU's clock: it goes.
const HAS_CORE: u64 = 1 << 63;

impl Vcpu {
    /// Returns a vCPU for core number `core`, off.
    pub fn new(core: usize) -> Self {
        Self {
            core,
            start: Mutex::new(None),
            requests: AtomicU32::new(0),
            state: AtomicU8::new(State::Off as u8),
            serrors: AtomicU16::new(0),
            costs: Costs::new(),
            clock: AtomicU64::new(0),
        }
    }

    /// Notes that it has its core from now on; `offset` is the system counter less the time that it has had before.
    pub fn start_clock(&self, offset: u64) {
        self.clock.store(offset | HAS_CORE, Ordering::Relaxed);
    }

    /// Notes that it has its core no longer, and had so much time of it in all.
    pub fn stop_clock(&self, time: u64) {
        self.clock.store(time & !HAS_CORE, Ordering::Relaxed);
    }

    /// Returns the time that it has had of its core until `now`, in ticks.
    pub fn time(&self, now: u64) -> u64 {
        match self.clock.load(Ordering::Relaxed) {
            clock if clock & HAS_CORE != 0 => now.saturating_sub(clock & !HAS_CORE),
            clock => clock,
        }
    }

    /// Notes that an interrupt has come for the vCPU or gone. True if its core must be kicked: if it runs there, or
    /// may end its wait, and nobody has asked for that already. Else it will look by itself.
    pub fn mark_interrupts_changed(&self) -> bool {
        let asked = request::INTERRUPTS | request::WAKE;
        let before = self.requests.fetch_or(asked, Ordering::SeqCst);
        // Against `set_state`: either it sees the request or we see its new state.
        fence(Ordering::SeqCst);
        match self.state() {
            State::Running => before & request::INTERRUPTS == 0,
            State::Waiting => before & request::WAKE == 0,
            State::Off | State::Ready => false,
        }
    }

    /// Interrupts its core. False if that is this one, which looks by itself.
    #[inline]
    pub fn interrupt_core(&self) -> bool {
        let is_other = self.core != cpu::current();
        if is_other {
            irq::kick(self.core);
        }
        is_other
    }

    /// Lets its core's scheduler look at it, once the core is kicked.
    pub fn request_service(&self) {
        self.request(request::SERVICE);
    }

    /// Notes that it, which runs on this core, has interrupted another one.
    pub fn count_kick(&self) {
        if self.costs.count_kick() {
            self.request(request::RATES);
        }
    }

    /// Returns how many physical SErrors have come while it ran; as many as fit if there were more.
    pub fn serrors(&self) -> u16 {
        self.serrors.load(Ordering::Relaxed)
    }

    /// Returns what it does, as of a moment ago.
    pub fn state(&self) -> State {
        match self.state.load(Ordering::Relaxed) {
            1 => State::Ready,
            2 => State::Running,
            3 => State::Waiting,
            _ => State::Off,
        }
    }

    fn request(&self, what: u32) {
        self.requests.fetch_or(what, Ordering::Release);
    }

    /// Tells whether any of `what` is asked; it is no longer, then.
    fn take(&self, what: u32) -> bool {
        self.is_asked(what) && self.requests.fetch_and(!what, Ordering::AcqRel) & what != 0
    }

    /// Tells whether any of `what` is asked. Nearly always nothing is: a load is cheaper than an exchange.
    fn is_asked(&self, what: u32) -> bool {
        self.requests.load(Ordering::Acquire) & what != 0
    }

    /// Sets what it does. What was asked before is seen behind this: [`Self::mark_interrupts_changed`].
    fn set_state(&self, state: State) {
        self.state.store(state as u8, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }
}

/// What a handled exit means for the vCPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitAction {
    /// It goes on.
    Run,
    /// Its core has something to look at.
    Leave,
    /// It spins: others may have the rest of its turn.
    Yield,
    /// It waits for an interrupt.
    Wait,
    /// It needs the FP registers, which another vCPU has.
    NeedFp,
    /// It has turned itself off.
    PowerOff,
}

/// A vCPU as its core's scheduler has it.
pub struct VcpuContext {
    /// Its guest.
    pub vm: &'static Vm,
    /// Its number.
    pub id: VcpuId,
    shared: &'static Vcpu,
    bounds: Bounds,
    /// Its general registers while it does not run.
    pub regs: GuestRegs,
    /// Its FP registers while it does not have them.
    pub fp: FpState,
    /// A vCPU with a higher priority is on its core: it leaves for whatever may have woken that.
    pub is_outranked: bool,
    state: CpuState,
    cpu_interface: CpuInterface,
    interface: VirtualInterface,
    lrs: Lrs,
    lockup: Lockup,
    shares_core: bool,
    /// The stop that it has left the guest for, as a number: [`super::lifecycle::Lifecycle::epoch`].
    epoch: u32,
    /// Where it goes on after its wait, if not behind it.
    resume: Option<Start>,
    /// While it is off its core: when a timer ends its wait.
    deadline: Option<u64>,
}

impl VcpuContext {
    /// Returns the vCPU `id` of `vm`, off.
    pub fn new(vm: &'static Vm, id: VcpuId, shares_core: bool) -> Self {
        let shared = &vm.vcpus[usize::from(id.0)];
        Self {
            vm,
            id,
            shared,
            bounds: Bounds::new(&vm.rates, &shared.costs),
            regs: GuestRegs::start(0, 0),
            fp: FpState::reset(),
            is_outranked: false,
            state: CpuState::reset(),
            cpu_interface: CpuInterface::default(),
            interface: irq::virtual_interface(),
            lrs: Lrs::new(),
            lockup: Lockup::default(),
            shares_core,
            epoch: 0,
            resume: None,
            deadline: None,
        }
    }

    /// Returns what others see of it.
    pub fn vcpu(&self) -> &'static Vcpu {
        self.shared
    }

    /// Tells whether the scheduler has to look at it.
    pub fn wants_service(&self) -> bool {
        self.vcpu().is_asked(request::SERVICE | request::RATES)
    }

    /// Returns the stop that it has noticed last: what it asks for is asked by the guest before the next.
    pub fn epoch(&self) -> u32 {
        self.epoch
    }

    /// Takes note of what was asked. True if the guest is to be left.
    pub fn take_service_request(&mut self) -> bool {
        if self.vcpu().take(request::RATES) {
            self.bounds.look(&self.shared.costs);
        }
        self.vcpu().take(request::SERVICE);
        let epoch = self.vm.life.epoch();
        let is_left = core::mem::replace(&mut self.epoch, epoch) != epoch;
        if is_left {
            // The guest's next life waits for nothing that this one did.
            self.bounds.release();
        }
        is_left
    }

    /// Tells whether it can run at `now`, or has work to do for its guest.
    pub fn can_run(&self, now: u64) -> bool {
        if self.has_work() {
            return true;
        }
        !self.vm.life.is_paused()
            && self.bounds.until() <= now
            && match self.vcpu().state() {
                State::Off => false,
                State::Ready | State::Running => true,
                State::Waiting => {
                    self.vcpu().is_asked(request::WAKE)
                        || self.deadline.is_some_and(|deadline| deadline <= now)
                }
            }
    }

    /// Lets it make the call that it has come with again, once it is that time.
    pub fn repeat_call_at(&mut self, when: u64) {
        self.regs.pc = self.regs.pc.wrapping_sub(4);
        self.bounds.hold(when);
    }

    /// Tells whether its guest is to be ended or started anew, which is done in the time of vCPU 0.
    pub fn has_work(&self) -> bool {
        self.id == VcpuId(0) && self.vm.life.has_work()
    }

    /// Returns when it, which can't run, can by itself: its wait ends, or it has waited for what it did too often.
    fn wakes_at(&self) -> Option<u64> {
        let ready = match self.vcpu().state() {
            _ if self.vm.life.is_paused() => None,
            State::Off => None,
            State::Ready | State::Running => Some(0),
            State::Waiting if self.vcpu().is_asked(request::WAKE) => Some(0),
            State::Waiting => self.deadline,
        };
        ready.map(|at| at.max(self.bounds.until()))
    }

    /// Returns from when on it can run or has work to do, if that is known.
    pub fn wants_at(&self) -> Option<u64> {
        match self.has_work() {
            true => Some(0),
            false => self.wakes_at(),
        }
    }

    /// Begins to run on its core.
    pub fn set_running(&mut self) {
        self.vcpu().set_state(State::Running);
        if let Some(start) = self.resume.take() {
            self.reset_to(start);
        }
    }

    /// Does what is asked of it before it enters the guest. False if its core has to look at it first.
    #[inline(always)]
    pub fn may_enter(&mut self) -> bool {
        let vcpu = self.vcpu();
        // What is asked behind this look has kicked the core, and the entry ends by that.
        let asked = vcpu.requests.load(Ordering::Acquire);
        if asked & (request::SERVICE | request::RATES) != 0 {
            return false;
        }
        if asked & request::INTERRUPTS != 0 {
            vcpu.requests
                .fetch_and(!request::INTERRUPTS, Ordering::AcqRel);
            self.fill_as_asked();
        }
        true
    }

    /// Notes that it has come to EL2 by itself.
    #[inline(always)]
    pub fn count_trap(&self) {
        if self.shared.costs.count_trap() >= self.bounds.trap_limit() {
            self.shared.request(request::RATES);
        }
    }

    /// Ends its turn while it could go on.
    pub fn set_ready(&self) {
        self.vcpu().set_state(State::Ready);
    }

    /// Waits, unless there is an interrupt or a virtual SError for it already (DDI 0487 D1.6.2, WFI wake-up
    /// events). It is on its core.
    pub fn set_waiting(&mut self) {
        self.vcpu().take(request::WAKE);
        let pending = self.with_gic(Vgic::has_pending);
        let state = if pending || serror::is_pending() {
            State::Ready
        } else {
            State::Waiting
        };
        self.vcpu().set_state(state);
    }

    /// Lets it begin at `start` when it wakes again, as after a power-down suspend.
    pub fn resume_at(&mut self, start: Start) {
        self.resume = Some(start);
    }

    /// Starts it, which is off and off its core, if that was asked for.
    pub fn start_if_asked(&mut self) {
        if self.vcpu().state() != State::Off {
            return;
        }
        let Some((start, epoch)) = self.vcpu().start.lock().take() else {
            return;
        };
        if epoch != self.epoch {
            return;
        }
        log::debug!(
            "{}, vCPU {}: on at {:#x}",
            self.vm.name,
            self.id.0,
            start.entry
        );
        self.fresh(start);
        self.set_ready();
        self.vm.power.lock().on_started(self.id);
    }

    /// Turns it off. It is off its core.
    pub fn power_off(&mut self) {
        log::debug!("{}, vCPU {}: off", self.vm.name, self.id.0);
        self.vcpu().set_state(State::Off);
        self.resume = None;
        self.vm.gic.lock().power_off(self.id);
    }

    /// Sets its registers as after reset. It is off its core. Not inlined: it would fill the stack of the loop that
    /// every call goes through.
    #[inline(never)]
    fn fresh(&mut self, start: Start) {
        self.regs = GuestRegs::start(start.entry, start.context);
        self.fp = FpState::reset();
        self.state = CpuState::reset();
        self.cpu_interface = CpuInterface::default();
        self.lrs = Lrs::new();
        self.lockup = Lockup::default();
        self.deadline = None;
    }

    /// Begins anew on its core.
    #[cold]
    #[inline(never)]
    fn reset_to(&mut self, start: Start) {
        self.leave_core();
        self.vm.gic.lock().power_off(self.id);
        self.fresh(start);
        self.enter_core();
    }

    /// Brings it to this core.
    pub fn enter_core(&mut self) {
        self.activate_ppis();
        let identity = Identity {
            vm: self.vm.id,
            mpidr: idregs::vmpidr(self.id),
            stage2: self.vm.tables.root(),
            counter_offset: self.vm.counter_offset,
            shares_core: self.shares_core,
        };
        // SAFETY: the guest's tables map its own RAM and its virtual GIC's CPU interface, and
        // live as long as the guest.
        unsafe { self.state.load(&identity) };
        cpu::check_serrors(self.vm.may_cause_serrors());
        self.deadline = None;
        self.interface.enter(&self.cpu_interface);
        self.vcpu().request(request::INTERRUPTS);
    }

    /// Makes the PPIs active on this core that the guest handles: a timer of its that is loaded after that does not
    /// interrupt once more.
    fn activate_ppis(&self) {
        let mut gic = self.vm.gic.lock();
        // Its PPIs were made inactive here when it left.
        while let Some(intid) = gic.take_deactivation(self.id) {
            if intid >= platform::FIRST_SPI {
                irq::deactivate(intid);
            }
        }
        let active = gic.active_ppis(self.id);
        drop(gic);
        if active != 0 {
            irq::set_active(active);
        }
    }

    /// Takes it off this core, which may then serve another one.
    pub fn leave_core(&mut self) {
        // Before the registers, which also keep a virtual one.
        if let Some(error) = serror::pending() {
            self.take_serror(&error);
        }
        let active = self.with_gic(Vgic::active_ppis);
        self.lrs.vacate();
        self.interface.load(&self.lrs);
        self.interface.leave(&mut self.cpu_interface);
        self.state.save();
        // With its timers stopped: one that has fired would interrupt who comes next.
        deactivate_due(&mut self.vm.gic.lock(), self.id);
        irq::deactivate_private(active);
        let owed = irq::guest_timers().map(|intid| active & 1 << intid != 0);
        self.deadline = self.state.timer_deadline(self.vm.counter_offset, owed);
    }

    /// Takes into the model, for this vCPU, what the guest has done in the list registers and at its timers. Returns
    /// who else has to look at that.
    fn take_back(&mut self, gic: &mut Vgic) -> VcpuSet {
        let mut changed = VcpuSet::EMPTY;
        if !self.lrs.is_idle() {
            self.interface.save(&mut self.lrs);
            changed = gic.sync(self.id, &mut self.lrs);
        }
        changed | withdraw_timers(gic, self.id)
    }

    /// Fills the list registers, which were [taken back](Self::take_back), with what the model chooses, and deactivates the
    /// physical interrupts that the guest is done with.
    fn fill(&mut self, gic: &mut Vgic) {
        gic.flush(self.id, &mut self.lrs);
        self.interface.load(&self.lrs);
        deactivate_due(gic, self.id);
    }

    /// Makes the vCPUs in `set` look at their interrupts again, on account of this one if it runs.
    fn kick(&self, set: VcpuSet) {
        self.vm.kick_counted(set, || {
            if self.shared.state() == State::Running {
                self.shared.count_kick();
            }
        });
    }

    /// Lets `act` look at the model while it holds all that the guest has done; the list registers are filled before the
    /// vCPU goes on.
    fn with_gic<T>(&mut self, act: impl FnOnce(&Vgic, VcpuId) -> T) -> T {
        let (vm, id) = (self.vm, self.id);
        self.vcpu().request(request::INTERRUPTS);
        let mut gic = vm.gic.lock();
        let moved = self.take_back(&mut gic);
        let result = act(&gic, id);
        drop(gic);
        self.kick(moved);
        result
    }

    /// Puts into the list registers what was asked for, whatever is asked for by now: the guest is entered with what they
    /// hold then. What came meanwhile has kicked this core.
    #[inline(never)]
    fn fill_as_asked(&mut self) {
        let (vm, id) = (self.vm, self.id);
        let mut gic = vm.gic.lock();
        let moved = self.update(&mut gic).without(id);
        drop(gic);
        if !moved.is_empty() {
            self.kick(moved);
        }
    }

    /// Fills the list registers anew with what the model chooses.
    pub fn refresh_interrupts(&mut self) {
        self.change_state(|_, _| ((), VcpuSet::EMPTY));
    }

    /// Puts into the list registers what is new in the model for this vCPU. Returns who else has to look at that.
    #[inline(always)]
    fn update(&mut self, gic: &mut Vgic) -> VcpuSet {
        match gic.insert(self.id, &mut self.lrs, &self.interface) {
            Some(()) => VcpuSet::EMPTY,
            None => self.choose_anew(gic),
        }
    }

    /// Does that where it is not the only thing to do.
    #[inline(never)]
    fn update_now(&mut self, gic: &mut Vgic) -> VcpuSet {
        self.update(gic)
    }

    /// Fills the list registers anew. Returns who else has to look at what the guest has done in them.
    #[inline(never)]
    fn choose_anew(&mut self, gic: &mut Vgic) -> VcpuSet {
        let moved = self.take_back(gic);
        self.fill(gic);
        moved
    }

    /// Lets `act` change the model while it holds all that the guest has done, and fills the list registers anew with what that
    /// chooses then.
    fn change_state<T>(&mut self, act: impl FnOnce(&mut Vgic, VcpuId) -> (T, VcpuSet)) -> T {
        let (vm, id) = (self.vm, self.id);
        let mut gic = vm.gic.lock();
        let moved = self.take_back(&mut gic);
        let (result, changed) = act(&mut gic, id);
        self.fill(&mut gic);
        drop(gic);
        self.kick((moved | changed).without(id));
        result
    }

    /// Lets `act` change the model, whatever the guest has done. The list registers are left alone if that means no work
    /// for this vCPU.
    fn change(&mut self, act: impl FnOnce(&mut Vgic, VcpuId) -> VcpuSet) {
        let (vm, id) = (self.vm, self.id);
        let mut gic = vm.gic.lock();
        let mut changed = act(&mut gic, id);
        // If it was asked for they are going to be filled; so it is while the vCPU waits, which the kick ends.
        if changed.contains(id) && !self.vcpu().is_asked(request::INTERRUPTS) {
            changed = (changed | self.update_now(&mut gic)).without(id);
        }
        drop(gic);
        self.kick(changed);
    }

    /// Handles that one of this vCPU's timers has fired, the guest's INTID `intid` by the board's `physical`.
    pub fn timer_fired(&mut self, intid: u32, physical: u32) {
        self.change(|gic, id| gic.hw_pending(id, intid, physical));
    }

    /// Handles a write of ICC_SGI1R_EL1.
    #[inline(always)]
    pub fn send_sgi(&mut self, value: u64) {
        self.change(|gic, id| gic.sgi1r(id, value));
    }

    /// Handles a write of ICC_SGI0R_EL1 or ICC_ASGI1R_EL1.
    pub fn send_sgi_group0(&mut self, value: u64) {
        self.change(|gic, id| gic.sgi0r(id, value));
    }

    /// Handles the guest's write of ICC_DIR_EL1 for an interrupt without a list register.
    pub fn deactivate(&mut self, intid: u32) {
        self.change_state(|gic, id| ((), gic.deactivate(id, intid)));
    }

    /// Answers a read of the interrupt controller's registers.
    pub fn gic_read(&mut self, frame: Frame, offset: u64, size: u8) -> u64 {
        if !frame.is_state(offset) {
            return self.vm.gic.lock().read(self.id, frame, offset, size).0;
        }
        self.change_state(|gic, id| gic.read(id, frame, offset, size))
    }

    /// Handles a write of the interrupt controller's registers.
    pub fn gic_write(&mut self, frame: Frame, offset: u64, size: u8, value: u64) {
        if frame.is_state(offset) {
            return self.write_gic_state(frame, offset, size, value);
        }
        self.change(|gic, id| gic.write(id, frame, offset, size, value));
    }

    /// Handles such a write that needs what the guest has done in its list registers, or changes that.
    #[inline(never)]
    fn write_gic_state(&mut self, frame: Frame, offset: u64, size: u8, value: u64) {
        self.change_state(|gic, id| ((), gic.write(id, frame, offset, size, value)));
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
            lifecycle::crash(self.vm, self.vm.on_crash, why);
        }
    }

    /// Handles an SError that this vCPU, which is on its core, is to answer for.
    #[cold]
    #[inline(never)]
    pub fn take_serror(&mut self, error: &SError) -> ExitAction {
        let syndrome = error.syndrome;
        let vm = self.vm;
        // Only its own core counts.
        let count = self.vcpu().serrors().saturating_add(1);
        self.vcpu().serrors.store(count, Ordering::Relaxed);
        if count.is_power_of_two() {
            log::warn!(
                "{}, vCPU {}: SError, number {count}: ESR {syndrome:#x}",
                vm.name,
                self.id.0
            );
        }
        match error.severity() {
            Severity::Harmless => {}
            Severity::Contained if serror::is_pending() => {
                let why = format_args!(
                    "crashed: it does not take its SErrors, the newest with ESR {syndrome:#x}"
                );
                lifecycle::crash(vm, vm.on_crash, why);
            }
            Severity::Contained => {
                serror::pend(error);
                // It may be waiting, which this ends.
                self.vcpu().request(request::WAKE);
            }
            Severity::Uncontainable => panic!(
                "SError whose damage nobody knows, ESR {syndrome:#x}, while {} ran: the board's memory can't be trusted",
                vm.name
            ),
        }
        ExitAction::Run
    }

    /// Returns its debug registers.
    pub fn debug(&mut self) -> &mut Debug {
        self.state.debug()
    }
}

/// Deactivates the physical interrupts of this core that the guest is done with.
fn deactivate_due(gic: &mut Vgic, id: VcpuId) {
    while let Some(intid) = gic.take_deactivation(id) {
        irq::deactivate(intid);
    }
}

/// Returns a timer that the guest has stopped or set anew before it took the interrupt: the line is low
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
