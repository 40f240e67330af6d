//! The generic timer (DDI 0487 D12).

use super::sysreg::{isb, read_sysreg, write_sysreg};

/// CNTPCT_EL0, in ticks of [`frequency`] Hz.
pub fn now() -> u64 {
    isb();
    read_sysreg!("cntpct_el0")
}

/// CNTFRQ_EL0 in Hz, as the firmware left it.
pub fn frequency() -> u64 {
    read_sysreg!("cntfrq_el0")
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
