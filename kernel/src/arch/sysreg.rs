//! Access to system registers by name.

/// Reads the system register `$name` (an assembler name or `S<op0>_<op1>_C<n>_C<m>_<op2>`).
///
/// Only for registers whose read has no side effect, at EL2, on a CPU that has them.
macro_rules! read_sysreg {
    ($name:expr) => {{
        let value: u64;
        // SAFETY: reading the register has no effect on memory or on the flow of control.
        unsafe {
            core::arch::asm!(
                concat!("mrs {}, ", $name),
                out(reg) value,
                options(nomem, nostack, preserves_flags)
            );
        }
        value
    }};
}

/// Writes the system register `$name`. The expansion is `unsafe` to use: the caller says why the
/// value is safe.
macro_rules! write_sysreg {
    ($name:expr, $value:expr) => {{
        let value: u64 = $value;
        core::arch::asm!(
            concat!("msr ", $name, ", {}"),
            in(reg) value,
            options(nostack, preserves_flags)
        );
    }};
}

pub(crate) use {read_sysreg, write_sysreg};

/// Waits until earlier writes to system registers are in effect.
pub fn isb() {
    // SAFETY: a barrier.
    unsafe { core::arch::asm!("isb", options(nostack, preserves_flags)) }
}

/// Waits until earlier memory accesses and maintenance are complete.
pub fn dsb() {
    // SAFETY: a barrier.
    unsafe { core::arch::asm!("dsb sy", options(nostack, preserves_flags)) }
}
