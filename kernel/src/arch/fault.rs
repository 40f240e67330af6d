// SPDX-License-Identifier: MIT OR Apache-2.0

//! Exceptions that EL2 itself takes: always a bug, never a guest's doing.

/// Entered from the vectors on the emergency stack, with interrupts masked.
#[unsafe(no_mangle)]
extern "C" fn el2_exception(vector: u64, esr: u64, elr: u64, far: u64) -> ! {
    panic!("exception at EL2: vector {vector}, ESR {esr:#x}, ELR {elr:#x}, FAR {far:#x}");
}
