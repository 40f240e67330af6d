// SPDX-License-Identifier: MIT OR Apache-2.0

//! Time by the virtual counter. Nothing here knows of wall time: an emulator may be slow.

use super::{cpu, env};
use crate::{mrs, msr};

/// Returns the virtual counter.
pub fn now() -> u64 {
    msr_barrier();
    mrs!("cntvct_el0")
}

/// Ticks a second: what the device tree says, else CNTFRQ_EL0.
pub fn frequency() -> u64 {
    env::get().frequency.unwrap_or_else(|| mrs!("cntfrq_el0"))
}

/// Ticks in so many milliseconds.
pub fn ticks(milliseconds: u64) -> u64 {
    frequency() * milliseconds / 1000
}

/// Waits for `done`, at most for a time that only a hang exceeds. Whether it came.
pub fn eventually(mut done: impl FnMut() -> bool) -> bool {
    let limit = now() + ticks(20_000);
    loop {
        if done() {
            return true;
        }
        if now() > limit {
            return false;
        }
        cpu::relax();
    }
}

/// Lets so many milliseconds pass.
pub fn pause(milliseconds: u64) {
    repeat(milliseconds, cpu::relax);
}

/// Does `step` again and again for so many milliseconds.
pub fn repeat(milliseconds: u64, mut step: impl FnMut()) {
    let end = now() + ticks(milliseconds);
    while now() < end {
        step();
    }
}

fn msr_barrier() {
    // SAFETY: a barrier, which keeps the counter from being read early.
    unsafe { core::arch::asm!("isb", options(nostack, preserves_flags)) };
}

/// The EL1 timers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Timer {
    /// CNTV_*, INTID 27.
    Virtual,
    /// CNTP_*, INTID 30.
    Physical,
}

impl Timer {
    /// Starts the timer: its condition holds once its counter reaches `deadline`.
    pub fn start(self, deadline: u64) {
        self.arm(deadline, 1);
    }

    /// Stops it. The compare value stays: QEMU 7.2 hangs for ever on one near 2^64 while the
    /// timer is enabled and CNTVOFF_EL2 is not 0.
    pub fn stop(self) {
        match self {
            Self::Virtual => msr!("cntv_ctl_el0", 0),
            Self::Physical => msr!("cntp_ctl_el0", 0),
        }
    }

    /// Writes its compare value, then its control register.
    pub fn arm(self, deadline: u64, control: u64) {
        match self {
            Self::Virtual => {
                msr!("cntv_cval_el0", deadline);
                msr!("cntv_ctl_el0", control);
            }
            Self::Physical => {
                msr!("cntp_cval_el0", deadline);
                msr!("cntp_ctl_el0", control);
            }
        }
    }

    /// Returns the control register: ENABLE, IMASK, ISTATUS.
    pub fn control(self) -> u64 {
        match self {
            Self::Virtual => mrs!("cntv_ctl_el0"),
            Self::Physical => mrs!("cntp_ctl_el0"),
        }
    }

    /// Returns the timer's counter.
    pub fn counter(self) -> u64 {
        msr_barrier();
        match self {
            Self::Virtual => mrs!("cntvct_el0"),
            Self::Physical => mrs!("cntpct_el0"),
        }
    }
}
