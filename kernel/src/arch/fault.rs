// SPDX-License-Identifier: MIT OR Apache-2.0

//! Exceptions that EL2 itself takes: always a bug, never a guest's doing.

use boot::early;

use super::registers::*;

/// Entered from the vectors on the emergency stack, with interrupts masked.
#[unsafe(no_mangle)]
extern "C" fn el2_exception(vector: u64, esr: u64, elr: u64, far: u64) -> ! {
    boot::stage::failed([esr, elr, far]);
    if !SCTLR_EL2.is_set(SCTLR_EL2::M) {
        // There are no locks without caches.
        early::write_line(format_args!(
            "\r\nexception before the MMU is on: ESR {esr:#x}, ELR {elr:#x}, FAR {far:#x}"
        ));
        super::cpu::park();
    }
    panic!("exception at EL2: vector {vector}, ESR {esr:#x}, ELR {elr:#x}, FAR {far:#x}");
}
