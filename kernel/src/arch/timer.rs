// SPDX-License-Identifier: MIT OR Apache-2.0

//! The generic timer (DDI 0487 D12).

use core::sync::atomic::{AtomicU32, Ordering};

use super::barrier::isb;
use super::registers::*;

/// Returns CNTPCT_EL0, in ticks of [`frequency`] Hz.
pub fn now() -> u64 {
    isb();
    coarse()
}

/// Returns the same, but the counter may be read some instructions earlier or later.
#[inline]
pub fn coarse() -> u64 {
    CNTPCT_EL0.get()
}

/// What the board says instead of CNTFRQ_EL0, which only EL3 can write; 0: nothing.
static FREQUENCY: AtomicU32 = AtomicU32::new(0);

/// Makes [`frequency`] `hz`, whatever the firmware left in CNTFRQ_EL0.
pub fn set_frequency(hz: u32) {
    FREQUENCY.store(hz, Ordering::Relaxed);
}

/// Returns the ticks a second: what the board says, else CNTFRQ_EL0, as the firmware left it.
pub fn frequency() -> u64 {
    match FREQUENCY.load(Ordering::Relaxed) {
        0 => CNTFRQ_EL0.get(),
        hz => hz.into(),
    }
}

/// Returns CNTPCT in milliseconds.
pub fn milliseconds() -> u64 {
    now() / (frequency() / 1000).max(1)
}

/// Stops all timers of this core, as after reset: firmware may have left them on.
pub fn stop_all() {
    set_alarm(None);
    stop_guest_timers();
}

/// Stops both timers of the guest on this core.
pub fn stop_guest_timers() {
    CNTV_CTL_EL0.set(0);
    CNTP_CTL_EL0.set(0);
    isb();
}

/// Lets EL2's own timer on this core interrupt when CNTPCT reaches `deadline`, or not at all.
pub fn set_alarm(deadline: Option<u64>) {
    if let Some(deadline) = deadline {
        CNTHP_CVAL_EL2.set(deadline);
    }
    CNTHP_CTL_EL2.write(CNTHP_CTL_EL2::ENABLE.val(deadline.is_some().into()));
    isb();
}

/// Returns the interrupt line of this core's virtual timer: on, it has fired, and it is not masked.
pub fn virtual_line() -> bool {
    CNTV_CTL_EL0.matches_all(
        CNTV_CTL_EL0::ENABLE::SET + CNTV_CTL_EL0::ISTATUS::SET + CNTV_CTL_EL0::IMASK::CLEAR,
    )
}

/// Returns the interrupt line of this core's physical timer, likewise.
pub fn physical_line() -> bool {
    CNTP_CTL_EL0.matches_all(
        CNTP_CTL_EL0::ENABLE::SET + CNTP_CTL_EL0::ISTATUS::SET + CNTP_CTL_EL0::IMASK::CLEAR,
    )
}
