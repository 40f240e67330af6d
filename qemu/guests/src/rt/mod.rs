// SPDX-License-Identifier: MIT OR Apache-2.0

//! The small runtime under the tests: one module for each piece of the virtual platform.

pub mod call;
pub mod console;
pub mod cpu;
pub mod entry;
pub mod env;
pub mod gic;
pub mod random;
pub mod sysreg;
pub mod tee;
pub mod time;
pub mod trap;
pub mod window;

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

macro_rules! device_access {
    ($read:ident, $write:ident, $type:ty, $load:literal, $store:literal) => {
        /// Reads a device register of this width.
        pub fn $read(address: u64) -> $type {
            let value: u64;
            // SAFETY: every caller passes an address of the platform's devices, which are mapped
            // as device memory and never alias a Rust object.
            unsafe { core::arch::asm!($load, out(reg) value, in(reg) address, options(nostack)) };
            value as $type
        }

        /// Writes a device register of this width.
        pub fn $write(address: u64, value: $type) {
            let value = u64::from(value);
            // SAFETY: as for the read.
            unsafe { core::arch::asm!($store, in(reg) value, in(reg) address, options(nostack)) };
        }
    };
}
// By asm, as a compiler is free to use an access with writeback, which no hypervisor can emulate
// from the syndrome (DDI 0487, ESR_EL2, ISV).
device_access!(read8, write8, u8, "ldrb {0:w}, [{1}]", "strb {0:w}, [{1}]");
device_access!(
    read16,
    write16,
    u16,
    "ldrh {0:w}, [{1}]",
    "strh {0:w}, [{1}]"
);
device_access!(read32, write32, u32, "ldr {0:w}, [{1}]", "str {0:w}, [{1}]");
device_access!(read64, write64, u64, "ldr {0}, [{1}]", "str {0}, [{1}]");
