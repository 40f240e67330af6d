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
