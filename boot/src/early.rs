// SPDX-License-Identifier: MIT OR Apache-2.0

//! A UART whose place is known when the image is built, for what happens before a device tree can tell: the feature
//! `early-console`, which `cargo xtask build --early-console` chooses. In a usual build there is none.

use core::fmt::{self, Write};

use addr::PaRange;

#[cfg(not(feature = "early-console"))]
mod uart {
    pub const BLOCKS: usize = 0;

    pub fn put(_: u8) {}

    pub fn registers() -> Option<super::PaRange> {
        None
    }
}

#[cfg(feature = "early-console")]
mod uart {
    use addr::{Pa, PaRange};
    use core::arch::global_asm;

    pub const BLOCKS: usize = 1;

    /// Reads a number that xtask has put into the environment.
    const fn number(text: &str) -> u64 {
        match u64::from_str_radix(text, 10) {
            Ok(number) => number,
            Err(_) => panic!("a decimal number"),
        }
    }

    const DATA: u64 = number(env!(
        "TEEVISOR_EARLY_DATA",
        "build it by `cargo xtask build`"
    ));
    const STATUS: u64 = number(env!("TEEVISOR_EARLY_STATUS"));
    const MASK: u64 = number(env!("TEEVISOR_EARLY_MASK"));
    const READY: u64 = number(env!("TEEVISOR_EARLY_READY"));
    const IS_BYTE_WIDE: u64 = number(env!("TEEVISOR_EARLY_IS_BYTE_WIDE"));

    // w1 = a byte. A UART that never has room keeps nobody: then it is lost. Clobbers x1-x4.
    global_asm!(
        ".section .text.boot, \"ax\"",
        ".global early_put",
        "early_put:",
        "    ldr     x2, ={STATUS}",
        "    mov     x4, #0x100000",
        "1:  sub     x4, x4, #1",
        "    cbz     x4, 2f",
        ".if {IS_BYTE_WIDE}",
        "    ldrb    w3, [x2]",
        ".else",
        "    ldr     w3, [x2]",
        ".endif",
        "    and     w3, w3, #{MASK}",
        "    cmp     w3, #{READY}",
        "    b.ne    1b",
        "    ldr     x2, ={DATA}",
        ".if {IS_BYTE_WIDE}",
        "    strb    w1, [x2]",
        ".else",
        "    str     w1, [x2]",
        ".endif",
        "2:  ret",
        "early_block:",
        "    ldr     x3, ={DATA}",
        "    ret",
        STATUS = const STATUS,
        DATA = const DATA,
        MASK = const MASK,
        READY = const READY,
        IS_BYTE_WIDE = const IS_BYTE_WIDE,
    );

    pub fn put(byte: u8) {
        unsafe extern "C" {
            fn early_put(unused: u64, byte: u64);
        }
        // SAFETY: it keeps to the C calling convention, and the UART is mapped for as long as it is used.
        unsafe { early_put(0, byte.into()) }
    }

    pub fn registers() -> Option<PaRange> {
        let first = if DATA < STATUS { DATA } else { STATUS };
        PaRange::new(Pa(first), DATA.abs_diff(STATUS) + 4)
    }
}

/// Blocks that the early tables map for it.
pub(crate) const BLOCKS: usize = uart::BLOCKS;

/// Sends a byte.
pub fn put(byte: u8) {
    uart::put(byte);
}

/// Writes a line. In an image without such a console that costs nothing.
pub fn write_line(line: fmt::Arguments<'_>) {
    if registers().is_some() {
        // It takes every byte.
        let _ = write!(Writer, "{line}\r\n");
    }
}

struct Writer;

impl Write for Writer {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.bytes().for_each(put);
        Ok(())
    }
}

/// Returns its registers, for EL2's tables.
pub fn registers() -> Option<PaRange> {
    uart::registers()
}
