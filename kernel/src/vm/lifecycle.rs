// SPDX-License-Identifier: MIT OR Apache-2.0

//! Starting, stopping and restarting a guest.
//!
//! A stop is asked for by raising the guest's epoch and kicking its cores. Each vCPU leaves the
//! guest, and after the last one nothing of it runs, at EL1 or in the secure world: only then are
//! its OP-TEE client and its memory given up. That takes time, which is vCPU 0's: its core does it
//! in small steps, in turn with the other vCPUs that it serves.

use core::fmt;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use log::{debug, error, info};
use platform::VcpuId;
use restarts::{Limits, Restarts, STEADY, TooMany};
use spin::{Mutex, MutexGuard};

use super::{Vm, images, moment::Moment, vcpu::Start};
use crate::arch::{firmware, timer};
use crate::{console, heap, tee::Tee};

/// Most bytes of RAM that one step copies: the core's interrupts wait meanwhile. Copying from where the bundle has a
/// member, which is not aligned, takes two and a half instructions a byte.
const COPY_STEP: u64 = 4 << 10;
/// Most bytes that one step zeroes, in three and a half instructions for each line of a cache.
const SCRUB_STEP: u64 = 32 << 10;

/// Most visits to OP-TEE, one after another, without ending anything of what a stopped guest has begun
/// there. Each lasts for a slice at most; a call that needs more will never end.
const PATIENCE: u32 = 1000;

/// What becomes of a guest once it has stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopAction {
    /// It stays off.
    Off,
    /// It starts again as at boot.
    Restart,
}

impl fmt::Display for StopAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Off => "it stops",
            Self::Restart => "it restarts",
        })
    }
}

/// What a guest does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Its RAM is scrubbed, and OP-TEE does not know it.
    Off,
    /// Its RAM is scrubbed, OP-TEE may know it, and it starts at [`due`].
    Delayed,
    /// Its images are laid, as far as this many bytes.
    Preparing(u64),
    /// Its images are laid, and so many of its devices' streams may reach them.
    Opening(u32),
    /// It runs, or is paused.
    Running,
    /// So many of its vCPUs have still to leave it.
    Stopping(StopAction, usize),
    /// No vCPU is left: what it has begun in OP-TEE is ended. So much was left before the last step
    /// (the most there can be before the first), and so many steps have ended nothing.
    Leaving(StopAction, u32, u32),
    /// OP-TEE forgets it, or keeps its VM.
    Parting(StopAction),
    /// So many of its devices' streams don't reach its RAM any more. It stays here if their SMMU fails.
    Shutting(StopAction, u32),
    /// Nothing is left of it but its RAM, which is scrubbed as far as this many bytes. At boot it begins here: its RAM
    /// holds what firmware, boot loader or an earlier run of the board left there.
    Scrubbing(StopAction, u64),
}

/// A guest's state, and the numbers of stops asked for and of restarts so far.
///
/// Protocol: everything is written under the state's lock, or by vCPU 0's core while no vCPU runs. What vCPUs' cores read
/// without it (`epoch`, `paused`, `due`, `has_work`) is stored before the vCPUs are asked for service and kicked, and
/// loaded after that was taken: litmus/service.litmus. Forbidden: the request is taken, and the stop, the pause or
/// the work is not seen. `wait`, `inside` and `starts` are only read by who has learned the state under the lock, or
/// shown.
///
/// Protocol for RAM (litmus/scrub.litmus): a vCPU that leaves makes its guest's stores complete by a DSB, then says so
/// under the lock; once the last has, vCPU 0's core zeroes. Forbidden: what the guest stored is there after that.
pub struct Lifecycle {
    state: Mutex<State>,
    epoch: AtomicU32,
    paused: AtomicBool,
    has_work: AtomicBool,
    starts: AtomicU32,
    restarts: Mutex<Restarts>,
    /// How long the restart under way waits, in milliseconds.
    wait: AtomicU64,
    /// When a delayed guest starts. Written under the state's lock alone.
    due: Moment,
    /// Calls that were in the secure world when the last stop was asked for.
    inside: AtomicU32,
    /// When EL2 was entered, in ticks of CNTPCT.
    entered: u64,
}

impl Lifecycle {
    /// Returns a guest that has not started. EL2 was entered at `entered`, in ticks of CNTPCT.
    pub fn new(limits: Limits, entered: u64) -> Self {
        Self {
            state: Mutex::new(State::Off),
            epoch: AtomicU32::new(0),
            paused: AtomicBool::new(false),
            has_work: AtomicBool::new(false),
            starts: AtomicU32::new(0),
            restarts: Mutex::new(Restarts::new(limits)),
            wait: AtomicU64::new(0),
            due: Moment::never(),
            inside: AtomicU32::new(0),
            entered,
        }
    }

    /// Changes each time the guest must be left.
    #[inline]
    pub fn epoch(&self) -> u32 {
        self.epoch.load(Ordering::Acquire)
    }

    /// Tells whether its vCPUs stand still.
    pub fn is_paused(&self) -> bool {
        self.paused.load(Ordering::Acquire)
    }

    /// Tells whether [`advance`] has something to do.
    pub fn has_work(&self) -> bool {
        self.has_work.load(Ordering::Acquire)
    }

    /// Returns what the guest does.
    pub fn state(&self) -> State {
        *self.state.lock()
    }

    /// Tells whether nothing of the guest runs.
    pub fn is_off(&self) -> bool {
        self.state() == State::Off
    }

    /// Returns when [`start_if_due`] has something to do, in ticks of CNTPCT.
    pub fn due(&self) -> Option<u64> {
        self.due.get()
    }

    /// Returns how often the guest was started anew.
    pub fn restarts(&self) -> u32 {
        self.starts.load(Ordering::Relaxed).saturating_sub(1)
    }
}

/// Lets the guest start for the first time, once its core serves vCPUs.
pub fn start_first(vm: &Vm) {
    let state = vm.life.state.lock();
    begin_work(vm, state, State::Scrubbing(StopAction::Restart, 0));
}

/// Lets a guest start that is off or waits to restart. False if it is neither.
pub fn start(vm: &Vm) -> bool {
    let state = vm.life.state.lock();
    let still = matches!(*state, State::Off | State::Delayed);
    if still {
        vm.life.restarts.lock().forget();
        begin_work(vm, state, State::Preparing(0));
    }
    still
}

/// Lets a guest that waits to restart do so if its time has come at `now`, in ticks of CNTPCT. Only
/// the core of vCPU 0 calls it.
pub fn start_if_due(vm: &Vm, now: u64) {
    if vm.life.due().is_none_or(|due| due > now) {
        return;
    }
    let state = vm.life.state.lock();
    if *state == State::Delayed {
        begin_work(vm, state, State::Preparing(0));
    }
}

/// Starts the guest anew, as the operator wants it: whatever it did before, it is not in a row. False if
/// it is off, or about to stop or to start.
pub fn reset(vm: &Vm) -> bool {
    if vm.life.state() == State::Delayed {
        return start(vm);
    }
    let restart = |vm: &Vm| {
        vm.life.restarts.lock().forget();
        vm.life.wait.store(0, Ordering::Relaxed);
        StopAction::Restart
    };
    begin_stop(vm, restart).is_some()
}

/// Turns the guest off, as the operator wants it. False if it is off, or about to stop or to start.
pub fn turn_off(vm: &Vm) -> bool {
    let state = vm.life.state.lock();
    if *state == State::Delayed {
        begin_work(vm, state, State::Parting(StopAction::Off));
        return true;
    }
    drop(state);
    stop(vm, StopAction::Off).is_some()
}

/// Asks for the guest to be stopped; a stop under way goes on as it was asked for. Returns what becomes
/// of the guest, nothing if it is not running.
pub fn stop(vm: &Vm, after: StopAction) -> Option<StopAction> {
    begin_stop(vm, |vm| match after {
        StopAction::Restart => may_restart(vm),
        StopAction::Off => StopAction::Off,
    })
}

fn begin_stop(vm: &Vm, decide: impl FnOnce(&Vm) -> StopAction) -> Option<StopAction> {
    let mut state = vm.life.state.lock();
    if *state != State::Running {
        return None;
    }
    if let Ok(tee) = &vm.tee {
        let inside = tee.report().usage.inside;
        vm.life.inside.store(inside, Ordering::Relaxed);
    }
    let after = decide(vm);
    *state = State::Stopping(after, vm.vcpus.len());
    vm.life.epoch.fetch_add(1, Ordering::Release);
    drop(state);
    vm.request_service();
    Some(after)
}

/// Returns what becomes of a guest that is to restart: it does so only as often as it may.
fn may_restart(vm: &Vm) -> StopAction {
    match vm.life.restarts.lock().next(timer::milliseconds()) {
        Ok(wait) => {
            vm.life.wait.store(wait, Ordering::Relaxed);
            StopAction::Restart
        }
        Err(TooMany(times)) => {
            info!(
                "{}: it has restarted {times} times in a row, each within {} s of its start, and `max-restarts` \
                 allows no more: it stays off",
                vm.name,
                STEADY / 1000
            );
            StopAction::Off
        }
    }
}

/// Stops a guest that is lost, as [`stop`] does: `why` says how. The vCPU on this core has not left it
/// yet, so the line comes before those of its end.
pub fn crash(vm: &Vm, after: StopAction, why: fmt::Arguments<'_>) -> bool {
    let ends = stop(vm, after);
    if let Some(after) = ends {
        info!("{}: {why}: {after}", vm.name);
    }
    ends.is_some()
}

/// Lets the guest's vCPUs stand still, wherever they are, or go on. Its time goes on. False if it does not run, or
/// does so already.
pub fn pause(vm: &Vm, paused: bool) -> bool {
    // Under the lock: a guest that a stop meets meanwhile would start again paused.
    let state = vm.life.state.lock();
    let changes =
        *state == State::Running && vm.life.paused.swap(paused, Ordering::AcqRel) != paused;
    drop(state);
    if changes {
        vm.pause_watchdog(vm.life.is_paused());
        vm.request_service();
    }
    changes
}

/// Notes that a vCPU has left the guest after a stop was asked for.
pub fn vcpu_left(vm: &Vm) {
    let mut state = vm.life.state.lock();
    match *state {
        State::Stopping(after, 1) => begin_work(vm, state, State::Leaving(after, u32::MAX, 0)),
        State::Stopping(after, more) => *state = State::Stopping(after, more - 1),
        _ => {}
    }
}

/// Notes that a vCPU is about to be off. With the last one, the guest can't go on.
pub fn vcpu_turned_off(vm: &Vm) {
    if vm.power.lock().powered() == 0 {
        let why = format_args!("crashed: its last vCPU has turned itself off");
        crash(vm, vm.on_crash, why);
    }
}

fn begin_work(vm: &Vm, mut state: MutexGuard<'_, State>, work: State) {
    *state = work;
    vm.life.due.set(None);
    vm.life.has_work.store(true, Ordering::Release);
    drop(state);
    vm.vcpus[0].request_service();
    vm.kick_core(VcpuId(0));
}

/// Takes the guest one step further from stopped to off or started. False if nothing is left to
/// do. Only the core of vCPU 0 calls it.
pub fn advance(vm: &Vm) -> bool {
    let before = vm.life.state();
    let next = match before {
        State::Leaving(after, left, idle) => leave_tee(vm, after, left, idle),
        State::Parting(after) => part(vm, after),
        State::Shutting(after, done) => shut(vm, after, done),
        State::Scrubbing(after, done) => scrub(vm, after, done),
        State::Preparing(done) => prepare(vm, done),
        State::Opening(done) => open(vm, done),
        State::Off | State::Delayed | State::Running | State::Stopping(..) => before,
    };
    let mut state = vm.life.state.lock();
    if next == before {
        // Others may have begun a new work meanwhile.
        let idle = *state == before;
        vm.life.has_work.store(!idle, Ordering::Release);
        return !idle;
    }
    if !matches!(
        next,
        State::Preparing(1..)
            | State::Opening(_)
            | State::Shutting(_, 1..)
            | State::Scrubbing(_, 1..)
            | State::Leaving(..)
    ) {
        debug!("{}: {before:?}, then {next:?}", vm.name);
    }
    *state = next;
    let wait = vm.life.wait.load(Ordering::Relaxed);
    if next == State::Delayed {
        // Under the lock: who ends the wait takes it back.
        let due = timer::now() + wait * timer::frequency() / 1000;
        vm.life.due.set(Some(due));
    }
    let epoch = vm.life.epoch();
    drop(state);
    match next {
        State::Running => launch(vm, epoch),
        State::Delayed => info!("{}: restarts in {wait} ms", vm.name),
        State::Off => {
            // Only now is it true for who reads it.
            info!("{}: off", vm.name);
            power_off_if_last();
        }
        _ => {}
    }
    true
}

fn leave_tee(vm: &Vm, after: StopAction, before: u32, idle: u32) -> State {
    let Ok(tee) = &vm.tee else {
        return State::Parting(after);
    };
    if before == u32::MAX {
        show_calls(vm, tee);
    }
    let left = tee.wind_down(idle);
    if left == 0 {
        return State::Parting(after);
    }
    let idle = if left < before { 0 } else { idle + 1 };
    if idle < PATIENCE {
        // The least there was: a call that ends a thing is one more while it waits.
        return State::Leaving(after, left.min(before), idle);
    }
    info!("{}: OP-TEE does not end its calls", vm.name);
    State::Parting(after)
}

fn part(vm: &Vm, after: StopAction) -> State {
    if let Ok(tee) = &vm.tee
        && !(after == StopAction::Restart && tee.keep())
    {
        tee.destroy(&vm.name);
    }
    State::Shutting(after, 0)
}

/// Keeps the guest's devices from its RAM, before that is zeroed: what they wrote later would be there in its next life.
#[inline(never)]
fn shut(vm: &Vm, after: StopAction, done: u32) -> State {
    match vm.devices.masters.shut(done) {
        Ok(0) => State::Scrubbing(after, 0),
        Ok(more) => State::Shutting(after, done + more),
        Err(error) => {
            error!(
                "{}: {error}: its devices may write to its RAM, so it does not start again",
                vm.name
            );
            // Nothing is left to do, and nobody can start it from here.
            State::Shutting(after, done)
        }
    }
}

fn scrub(vm: &Vm, after: StopAction, done: u64) -> State {
    if done == 0 {
        vm.reset_devices();
        vm.life.paused.store(false, Ordering::Release);
    }
    if done < vm.ram.size() {
        return State::Scrubbing(after, done + images::scrub(vm, done, SCRUB_STEP));
    }
    match after {
        StopAction::Restart if vm.life.wait.load(Ordering::Relaxed) > 0 => State::Delayed,
        StopAction::Restart => State::Preparing(0),
        StopAction::Off => State::Off,
    }
}

/// Says what the guest's calls were doing when it was stopped. Those that were in the secure world
/// have ended since, or wait at the guest like the others.
fn show_calls(vm: &Vm, tee: &Tee) {
    let usage = tee.report().usage;
    let inside = vm.life.inside.load(Ordering::Relaxed);
    if inside + usage.calls > 0 {
        info!(
            "{}: stopped with {inside} calls inside OP-TEE, {} suspended in RPC, {} half-way through a list",
            vm.name, usage.rpcs, usage.half_way
        );
    }
}

fn prepare(vm: &Vm, done: u64) -> State {
    if done == 0
        && let Ok(tee) = &vm.tee
        && !tee.is_admitted()
    {
        tee.create(&vm.name);
    }
    match images::lay_out(vm, done, COPY_STEP) {
        Ok(0) => open(vm, 0),
        Ok(more) => State::Preparing(done + more),
        Err(error) => {
            error!("{}: {error}", vm.name);
            State::Off
        }
    }
}

/// Lets the guest's devices reach its RAM.
#[inline(never)]
fn open(vm: &Vm, done: u32) -> State {
    match vm.devices.masters.open(done) {
        Ok(0) => State::Running,
        Ok(more) => State::Opening(done + more),
        Err(error) => {
            error!("{}: {error}", vm.name);
            State::Shutting(StopAction::Off, 0)
        }
    }
}

/// Lets the first vCPU go, unless the guest of this `epoch` is stopped again before.
fn launch(vm: &Vm, epoch: u32) {
    match vm.life.starts.fetch_add(1, Ordering::Relaxed) {
        0 => info!(
            "{}: started {} ticks after EL2's entry",
            vm.name,
            timer::now() - vm.life.entered
        ),
        _ => info!("{}: restarted", vm.name),
    }
    vm.life.restarts.lock().started(timer::milliseconds());
    vm.devices.start();
    vm.start_watchdog();
    vm.start_vcpu(
        VcpuId(0),
        Start {
            entry: vm.images.entry.0,
            context: vm.images.tree.0,
        },
        epoch,
    );
}

/// Powers the board off when no guest runs any more.
fn power_off_if_last() {
    if super::all().iter().all(|vm| vm.life.is_off()) {
        if let late @ 1.. = heap::late_allocations() {
            error!("EL2 has allocated {late} times while guests ran");
        }
        info!("all guests are off: powering the board off");
        console::flush();
        firmware::system_off();
        error!("the firmware cannot power the board off");
    }
}
