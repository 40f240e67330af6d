// SPDX-License-Identifier: MIT OR Apache-2.0

//! A guest's watchdog: its place in time and among the guest's devices, and what it does to the
//! guest. How it counts is `vwatchdog`'s.

use core::sync::atomic::{AtomicBool, Ordering};

use platform::VcpuId;
use spin::Mutex;
use vwatchdog::{Frame, Watchdog};

use super::{
    Vm,
    lifecycle::{self, StopAction},
    moment::Moment,
    vcpu::Vcpu,
};
use crate::arch::timer;

/// A watchdog, and who has to know of it.
pub struct GuestWatchdog {
    watchdog: Mutex<Watchdog>,
    /// What becomes of the guest when it has expired.
    action: StopAction,
    /// The watchdog's deadline, to be read without the lock.
    ///
    /// Protocol (litmus/service.litmus): stored under the lock; if it is sooner, the core of vCPU 0 is asked for service,
    /// kicked, and loads it after that. Forbidden: the request is taken, and the alarm set by the later deadline.
    deadline: Moment,
    /// It has ended the guest's last run.
    ///
    /// Protocol: set before the stop is asked for, and read when the guest starts anew; between them the lock of the guest's
    /// state is released and taken. Forbidden: the guest has restarted for it, and it is not seen.
    has_expired: AtomicBool,
}

impl GuestWatchdog {
    /// Returns the guard of a guest that has not started. The watchdog runs from the guest's start on if
    /// there is a `timeout`, in ticks.
    pub fn new(timeout: Option<u64>, action: StopAction) -> Self {
        Self {
            watchdog: Mutex::new(Watchdog::new(timeout)),
            action,
            deadline: Moment::never(),
            has_expired: AtomicBool::new(false),
        }
    }
}

impl Vm {
    /// Returns when [`Self::check_watchdog`] is due, in ticks of CNTPCT. The core of vCPU 0 sees to it.
    pub fn watchdog_deadline(&self) -> Option<u64> {
        self.watchdog.as_ref()?.deadline.get()
    }

    /// Does what is due by the watchdog at the time `now` of CNTPCT.
    pub fn check_watchdog(&self, now: u64) {
        if self
            .watchdog_deadline()
            .is_some_and(|deadline| deadline <= now)
        {
            self.with_watchdog(&mut |_, _| ());
        }
    }

    /// Tells whether the guest has a watchdog.
    pub fn has_watchdog(&self) -> bool {
        self.watchdog.is_some()
    }

    /// Answers a guest's read in a frame of its watchdog.
    pub fn watchdog_read(&self, frame: Frame, offset: u64, size: u8) -> u64 {
        let mut value = 0;
        self.with_watchdog(&mut |watchdog, _| value = watchdog.read(frame, offset, size));
        value
    }

    /// Handles a guest's write in a frame of its watchdog.
    pub fn watchdog_write(&self, frame: Frame, offset: u64, size: u8, value: u64) {
        self.with_watchdog(&mut |watchdog, now| watchdog.write(frame, offset, size, value, now));
    }

    /// Sets the watchdog up for a guest that starts.
    pub fn start_watchdog(&self) {
        let expired = |guard: &GuestWatchdog| guard.has_expired.swap(false, Ordering::Relaxed);
        let restarted = self.watchdog.as_ref().is_some_and(expired);
        self.with_watchdog(&mut |watchdog, now| {
            watchdog.start(now, restarted);
            if self.life.is_paused() {
                watchdog.hold(now);
            }
        });
    }

    /// Stops the watchdog's time while the guest is paused.
    pub fn pause_watchdog(&self, paused: bool) {
        self.with_watchdog(&mut |watchdog, now| match paused {
            true => watchdog.hold(now),
            false => watchdog.resume(now),
        });
    }

    /// Turns the watchdog of a guest that has stopped off.
    pub fn stop_watchdog(&self) {
        self.with_watchdog(&mut |watchdog, _| watchdog.stop());
    }

    /// Lets `act` work on the watchdog, which has done what is due, at the time of the guest's own
    /// counter; then tells everybody.
    fn with_watchdog(&self, act: &mut dyn FnMut(&mut Watchdog, u64)) {
        let Some(guard) = &self.watchdog else {
            return;
        };
        let now = timer::now().saturating_sub(self.counter_offset);
        let mut watchdog = guard.watchdog.lock();
        let before = watchdog.level();
        let expired = watchdog.advance(now);
        act(&mut watchdog, now);
        let set = self.update_irq_line(platform::WATCHDOG_INTID, before, watchdog.level());
        let sooner = self.set_deadline(guard, watchdog.deadline());
        drop(watchdog);
        self.kick(set);
        if sooner {
            self.set_alarm_anew();
        }
        if expired {
            // Before the stop is asked for, as the start after it may come on another core at once.
            let before = guard.has_expired.swap(true, Ordering::Relaxed);
            let why = format_args!("its watchdog has expired");
            if !lifecycle::crash(self, guard.action, why) {
                guard.has_expired.store(before, Ordering::Relaxed);
            }
        }
    }

    /// Lets the core of vCPU 0 set its alarm anew, which it does between the runs of its vCPUs. The one that runs
    /// there may be another one of this guest.
    fn set_alarm_anew(&self) {
        let core = self.vcpus[0].core;
        let there = self.vcpus.iter().filter(|vcpu| vcpu.core == core);
        there.for_each(Vcpu::request_service);
        self.kick_core(VcpuId(0));
    }

    /// Lets the deadline, in ticks of the guest's own counter, be seen. Whether it is sooner than
    /// it was.
    fn set_deadline(&self, guard: &GuestWatchdog, deadline: Option<u64>) -> bool {
        let deadline = deadline.map(|at| at.saturating_add(self.counter_offset));
        guard.deadline.set(deadline)
    }
}
