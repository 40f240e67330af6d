// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a guest can name is its own or nobody's: every address, every system register, every
//! call, every cache line, every register of the interrupt controller. A second guest beside this
//! one (group `neighbour`) must not notice.

mod addresses;
mod caches;
mod calls;
mod gic;
mod registers;
mod table;

use super::Test;
use crate::rt::env;
use platform::{
    GICC_BASE, GICC_SIZE, GICD_BASE, GICD_SIZE, GICR_BASE, GICR_STRIDE, UART_BASE, UART_SIZE,
};

pub const TESTS: &[Test] = &[
    ("registers_at_el1", registers::at_el1),
    ("registers_at_el0", registers::at_el0),
    ("system_instructions", registers::instructions),
    ("identity", registers::identity),
    ("every_owner_of_calls", calls::every_owner),
    ("reserved_bits_of_calls", calls::reserved_bits),
    ("immediates_of_calls", calls::immediates),
    ("set_way", caches::set_way),
    ("every_gic_register", gic::every_register),
    ("wild_sgis", gic::wild_sgis),
    ("cpu_interface", gic::cpu_interface),
    ("every_gib", addresses::every_gib),
    ("address_lines", addresses::address_lines),
    ("below_ram", addresses::below_ram),
    ("ram_of_the_board", addresses::ram_of_the_board),
    ("edges", addresses::edges),
    ("random_addresses", addresses::random_addresses),
    ("every_way", addresses::every_way),
    ("table_walks", addresses::table_walks),
    ("execute", addresses::execute),
    ("translate", addresses::translate),
];

/// Returns start and bytes of what the guest has: RAM and the virtual devices.
fn own() -> [(u64, u64); 4] {
    let env = env::get();
    let cpu_interface = if env.gicv3 {
        (GICR_BASE.0, GICR_STRIDE * env.vcpus as u64)
    } else {
        (GICC_BASE.0, GICC_SIZE)
    };
    [
        env.ram,
        (UART_BASE.0, UART_SIZE),
        (GICD_BASE.0, GICD_SIZE),
        cpu_interface,
    ]
}

/// Tells whether the guest has something at `address`.
fn is_own(address: u64) -> bool {
    let within = |&(start, size): &(u64, u64)| (start..start + size).contains(&address);
    own().iter().any(within)
}
