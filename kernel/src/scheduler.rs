// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a core does for ever: it serves the vCPUs that are fixed to it in turn.
//!
//! Whose turn it is, the crate `sched` decides. A vCPU whose turn is over stays on the core, in
//! the registers, until another one needs them: a core with a single vCPU never switches.

use ::sched::{Turns, sooner};
use ::serror::Severity;
use alloc::vec::Vec;
use log::warn;
use platform::VcpuId;

use crate::arch::{
    cpu,
    guest::{self, fp, serror},
    timer,
};
use crate::vm::{
    self, Vm, lifecycle,
    vcpu::{ExitAction, VcpuContext},
};
use crate::{console, heap, interrupts, iommu, vcpu_loop};

/// One core and its vCPUs.
struct Core {
    vcpus: Vec<VcpuContext>,
    turns: Turns,
    /// Whose registers the core has.
    present: Option<usize>,
    /// Whose FP registers the core has.
    fp_owner: Option<usize>,
}

/// Serves core number `index` for ever, once the guests exist.
pub fn serve(index: usize) -> ! {
    let mut core = Core::new(index);
    heap::leave();
    loop {
        core.check_deadlines();
        if core.service_requests() {
            // Making a vCPU new takes a while: interrupts may have come.
            core.serve_interrupts();
        }
        match core.choose() {
            Some(next) if core.vcpus[next].has_work() => core.work(next),
            Some(next) => core.run(next),
            None => core.idle(),
        }
    }
}

/// Returns the bytes of heap that [`serve`] takes at most on account of a guest with `vcpus` vCPUs.
pub const fn heap_needed(vcpus: usize) -> u64 {
    // They stand in two pieces for each core, which the heap rounds up to powers of two.
    (2 * (vcpus * size_of::<VcpuContext>() + Turns::heap_bytes(vcpus))) as u64
}

impl Core {
    // Not inlined: what it builds would fill the stack of the loop that every call goes through.
    #[inline(never)]
    fn new(index: usize) -> Self {
        let assigned = || vm::all().iter().flat_map(|vm| vm.on_core(index));
        let count = assigned().count();
        // Of its final size at once: growing would leave more of the heap in use.
        let mut vcpus = Vec::with_capacity(count);
        vcpus.extend(assigned().map(|(vm, id)| VcpuContext::new(vm, id, count > 1)));
        let shares = assigned().map(|(vm, _)| vm.share);
        let turns = Turns::new(count, shares, timer::now());
        for (index, vcpu) in vcpus.iter_mut().enumerate() {
            vcpu.is_outranked = turns.is_outranked(index);
        }
        Self {
            vcpus,
            turns,
            present: None,
            fp_owner: None,
        }
    }

    /// Carries out what was asked of the vCPUs: to start or to leave their guest. True if anything
    /// was.
    fn service_requests(&mut self) -> bool {
        let mut any = false;
        for index in 0..self.vcpus.len() {
            if !self.vcpus[index].wants_service() {
                continue;
            }
            any = true;
            if self.vcpus[index].take_service_request() {
                self.power_off(index);
                lifecycle::vcpu_left(self.vcpus[index].vm);
            }
            self.vcpus[index].start_if_asked();
        }
        any
    }

    /// Returns whose turn it is.
    fn choose(&mut self) -> Option<usize> {
        let now = timer::now();
        let before = self.turns.current();
        let vcpus = &self.vcpus;
        let chosen = self.turns.choose(now, |index| vcpus[index].can_run(now));
        if chosen != before {
            if let Some(index) = before {
                let time = self.turns.total(index);
                vcpus[index].vcpu().stop_clock(time);
            }
            if let Some(index) = chosen {
                let time = self.turns.total(index);
                vcpus[index].vcpu().start_clock(now - time);
            }
        }
        chosen
    }

    /// Lets vCPU number `index` of this core run.
    fn run(&mut self, index: usize) {
        self.bring(index);
        self.set_alarm();
        let flow = loop {
            match vcpu_loop::run(&mut self.vcpus[index]) {
                ExitAction::NeedFp => self.give_fp(index),
                flow => break flow,
            }
        };
        match flow {
            ExitAction::PowerOff => {
                lifecycle::vcpu_turned_off(self.vcpus[index].vm);
                self.power_off(index);
            }
            ExitAction::Wait => self.vcpus[index].set_waiting(),
            ExitAction::Yield => {
                self.turns.end_now();
                self.vcpus[index].set_ready();
            }
            ExitAction::Run | ExitAction::Leave | ExitAction::NeedFp => {
                self.vcpus[index].set_ready()
            }
        }
    }

    /// Does the work that a guest without a running vCPU needs, in the turn of its first vCPU.
    fn work(&mut self, index: usize) {
        self.set_alarm();
        let vcpu = &self.vcpus[index];
        let (vm, is_outranked) = (vcpu.vm, vcpu.is_outranked);
        while lifecycle::advance(vm) && !self.serve_interrupts() && !is_outranked {}
    }

    /// Waits until an interrupt comes, or until a vCPU's timer ends its wait.
    fn idle(&mut self) {
        self.set_alarm();
        cpu::wait_for_interrupt();
        self.serve_serror();
        self.serve_interrupts();
    }

    /// Takes an SError that has ended the wait: of what the vCPU on this core has begun, else of nobody's.
    #[inline(never)]
    fn serve_serror(&mut self) {
        let Some(error) = serror::pending() else {
            return;
        };
        match self.present {
            Some(present) => {
                self.vcpus[present].take_serror(&error);
            }
            None if error.severity() == Severity::Uncontainable => {
                panic!(
                    "SError whose damage nobody knows, ESR {:#x}",
                    error.syndrome
                )
            }
            None => warn!("SError while no guest ran here: ESR {:#x}", error.syndrome),
        }
    }

    /// Handles the core's interrupts. True if the alarm has gone off.
    fn serve_interrupts(&mut self) -> bool {
        let present = self.present.map(|index| &mut self.vcpus[index]);
        interrupts::serve(present)
    }

    /// Lets the core choose anew when the current turn is over or somebody comes who takes the core, and look at
    /// its deadlines.
    fn set_alarm(&self) {
        let wants = |index: usize| self.vcpus[index].wants_at();
        let choice = self.turns.next_choice(wants);
        timer::set_alarm(sooner(choice, self.deadline()));
    }

    /// Returns the guests whose watchdogs and restarts this core sees to: those whose first vCPU it serves.
    fn watched(&self) -> impl Iterator<Item = &'static Vm> {
        let first = self.vcpus.iter().filter(|vcpu| vcpu.id == VcpuId(0));
        first.map(|vcpu| vcpu.vm)
    }

    /// Returns when this core has something to do whoever's turn it is: for a watchdog, a restart, the console or an SMMU.
    fn deadline(&self) -> Option<u64> {
        // A loop: iterators that hold iterators are moved about, by a hundred instructions and more.
        let smmus = iommu::look_at().filter(|_| console::is_housekeeping());
        let mut first = sooner(console::look_at(), smmus);
        for vm in self.watched() {
            first = sooner(first, vm.watchdog_deadline());
            first = sooner(first, vm.life.due());
            first = sooner(first, vm.devices.due());
        }
        first
    }

    /// Does what is due for them.
    fn check_deadlines(&self) {
        let now = timer::now();
        self.watched().for_each(|vm| {
            vm.check_watchdog(now);
            lifecycle::start_if_due(vm, now);
            vm.resume_devices(now);
        });
        if iommu::look_at().is_some() && console::is_housekeeping() {
            vm::dma::report(now);
        }
    }

    /// Brings vCPU number `index` to the core, and whoever was there off it.
    fn bring(&mut self, index: usize) {
        if self.present == Some(index) {
            return;
        }
        self.clear();
        let vcpu = &mut self.vcpus[index];
        vcpu.enter_core();
        fp::set_trap(self.fp_owner != Some(index));
        let vm = vcpu.vm;
        if self.vcpus.iter().filter(|vcpu| vcpu.vm.id == vm.id).count() > 1 {
            guest::invalidate_own_tlb();
        }
        self.present = Some(index);
    }

    /// Takes whoever is on the core off it.
    fn clear(&mut self) {
        if let Some(present) = self.present.take() {
            self.vcpus[present].leave_core();
        }
    }

    /// Gives the FP registers to vCPU number `index`, which is on the core.
    fn give_fp(&mut self, index: usize) {
        fp::set_trap(false);
        if let Some(owner) = self.fp_owner.replace(index) {
            self.vcpus[owner].fp.save();
        }
        self.vcpus[index].fp.load();
    }

    fn power_off(&mut self, index: usize) {
        if self.present == Some(index) {
            self.clear();
        }
        if self.fp_owner == Some(index) {
            self.fp_owner = None;
        }
        self.vcpus[index].power_off();
    }
}
