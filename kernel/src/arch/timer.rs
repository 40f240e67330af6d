// SPDX-License-Identifier: MIT OR Apache-2.0

//! The generic timer (DDI 0487 D12).
//!
//! Protocol: what is static here is stored by the first core, before others start or look at the guests.

use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

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

/// What the board says, or CNTFRQ_EL0 of the first core: only EL3 can write that, core by core.
static FREQUENCY: AtomicU32 = AtomicU32::new(0);
/// Some core's CNTFRQ_EL0 says otherwise.
static IS_HIDDEN: AtomicBool = AtomicBool::new(false);

/// Returns CNTFRQ_EL0 of this core, as the firmware left it.
pub fn own_frequency() -> u32 {
    CNTFRQ_EL0.get() as u32
}

/// Makes [`frequency`] `hz` on all cores.
pub fn set_frequency(hz: u32) {
    FREQUENCY.store(hz, Ordering::Relaxed);
}

/// Has guests told the frequency: they can't go by CNTFRQ_EL0 of each core.
pub fn tell_guests() {
    IS_HIDDEN.store(true, Ordering::Relaxed);
}

/// Returns what guests must be told of the frequency.
pub fn guests_frequency() -> Option<u32> {
    let hz = FREQUENCY.load(Ordering::Relaxed);
    IS_HIDDEN.load(Ordering::Relaxed).then_some(hz)
}

/// Returns the ticks a second.
pub fn frequency() -> u64 {
    FREQUENCY.load(Ordering::Relaxed).into()
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

/// Returns when EL2's own timer on this core interrupts, if it does.
pub fn alarm() -> Option<u64> {
    let is_on = CNTHP_CTL_EL2.is_set(CNTHP_CTL_EL2::ENABLE);
    is_on.then(|| CNTHP_CVAL_EL2.get())
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
