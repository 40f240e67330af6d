//! The small runtime under the tests: one module for each piece of the virtual platform.

pub mod call;
pub mod console;
pub mod cpu;
pub mod entry;
pub mod env;
pub mod gic;
pub mod random;
pub mod sysreg;
pub mod time;
pub mod trap;

/// Reads a system register, by its name or as `S<op0>_<op1>_C<n>_C<m>_<op2>`.
#[macro_export]
macro_rules! mrs {
    ($name:literal) => {{
        let value: u64;
        // SAFETY: the registers that the tests read have no side effects on memory; one that is
        // UNDEFINED takes the guest's own vector.
        unsafe { core::arch::asm!(concat!("mrs {}, ", $name), out(reg) value) };
        value
    }};
}

/// Writes a system register, and synchronizes.
#[macro_export]
macro_rules! msr {
    ($name:literal, $value:expr) => {{
        let value: u64 = $value;
        // SAFETY: the tests write interrupt and timer registers and the masks, none of which
        // changes how this program's memory is seen.
        unsafe { core::arch::asm!(concat!("msr ", $name, ", {}"), "isb", in(reg) value) };
    }};
}

/// Reads a device register.
pub fn read32(address: u64) -> u32 {
    // SAFETY: every caller passes an address of the platform's devices, which are mapped as device
    // memory and never alias a Rust object.
    unsafe { (address as *const u32).read_volatile() }
}

/// Writes a device register.
pub fn write32(address: u64, value: u32) {
    // SAFETY: as for `read32`.
    unsafe { (address as *mut u32).write_volatile(value) };
}
