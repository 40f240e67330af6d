//! The generic timer (DDI 0487 D12).

use core::sync::atomic::{AtomicU32, Ordering};

use super::sysreg::{isb, read_sysreg, write_sysreg};

/// CNTPCT_EL0, in ticks of [`frequency`] Hz.
pub fn now() -> u64 {
    isb();
    coarse()
}

/// The same, but the counter may be read some instructions earlier or later.
#[inline]
pub fn coarse() -> u64 {
    read_sysreg!("cntpct_el0")
}

/// What the board says instead of CNTFRQ_EL0, which only EL3 can write; 0: nothing.
static FREQUENCY: AtomicU32 = AtomicU32::new(0);

/// Makes [`frequency`] `hz`, whatever the firmware left in CNTFRQ_EL0.
pub fn set_frequency(hz: u32) {
    FREQUENCY.store(hz, Ordering::Relaxed);
}

/// Ticks a second: what the board says, else CNTFRQ_EL0, as the firmware left it.
pub fn frequency() -> u64 {
    match FREQUENCY.load(Ordering::Relaxed) {
        0 => read_sysreg!("cntfrq_el0"),
        hz => hz.into(),
    }
}

/// Stops both timers of the guest on this core.
pub fn stop_guest_timers() {
    // SAFETY: the guest that owned the timers does not run on this core any more.
    unsafe {
        write_sysreg!("cntv_ctl_el0", 0);
        write_sysreg!("cntp_ctl_el0", 0);
    }
    isb();
}

/// EL2's own timer on this core interrupts when CNTPCT reaches `deadline`, or not at all.
pub fn set_alarm(deadline: Option<u64>) {
    // SAFETY: EL2's timer, which nothing else uses.
    unsafe {
        if let Some(deadline) = deadline {
            write_sysreg!("cnthp_cval_el2", deadline);
        }
        write_sysreg!("cnthp_ctl_el2", u64::from(deadline.is_some()));
    }
    isb();
}

/// Whether a timer with this CTL asserts its interrupt: ENABLE and ISTATUS without IMASK.
fn line(ctl: u64) -> bool {
    ctl & 7 == 5
}

/// The interrupt line of this core's virtual timer.
pub fn virtual_line() -> bool {
    line(read_sysreg!("cntv_ctl_el0"))
}

/// The interrupt line of this core's physical timer.
pub fn physical_line() -> bool {
    line(read_sysreg!("cntp_ctl_el0"))
}
