// SPDX-License-Identifier: MIT OR Apache-2.0

//! The virtual platform: the same for every guest, whatever the board.
//!
//! The guest's device tree says all of this too; a guest should read it there.

use addr::Ipa;

/// Most vCPUs a guest may have.
pub const MAX_VCPUS: usize = 8;

/// Start of guest RAM.
pub const RAM_BASE: Ipa = Ipa(0x4000_0000);

/// GICv3 or GICv2 distributor, [`GICD_SIZE`] bytes.
pub const GICD_BASE: Ipa = Ipa(0x0800_0000);
/// Bytes of the distributor's frame.
pub const GICD_SIZE: u64 = 0x1_0000;
/// GICv2 CPU interface, [`GICC_SIZE`] bytes.
pub const GICC_BASE: Ipa = Ipa(0x0801_0000);
/// Bytes of the GICv2 CPU interface.
pub const GICC_SIZE: u64 = 0x2000;
/// GICv3 redistributors, one of [`GICR_STRIDE`] bytes for each vCPU in order.
pub const GICR_BASE: Ipa = Ipa(0x080a_0000);
/// Bytes of one redistributor: the RD and SGI frames, 64 KiB each.
pub const GICR_STRIDE: u64 = 0x2_0000;

/// Generic Watchdog's control frame, [`WATCHDOG_SIZE`] bytes, if the guest has one.
pub const WATCHDOG_CONTROL_BASE: Ipa = Ipa(0x0820_0000);
/// The watchdog's refresh frame, in a 64 KiB page of its own.
pub const WATCHDOG_REFRESH_BASE: Ipa = Ipa(0x0821_0000);
/// Bytes of each frame of the watchdog.
pub const WATCHDOG_SIZE: u64 = 0x1000;

/// PL011 UART, one page.
pub const UART_BASE: Ipa = Ipa(0x0900_0000);
/// Bytes of the UART's frame.
pub const UART_SIZE: u64 = 0x1000;

/// Where the platform's own devices begin: neither RAM nor a device of the board lies from here
/// up to [`DEVICES_END`].
pub const DEVICES_BASE: Ipa = GICD_BASE;
/// One past the last byte of the platform's own devices.
pub const DEVICES_END: Ipa = Ipa(UART_BASE.0 + UART_SIZE);

/// First INTID that is not private to a core: the first SPI.
pub const FIRST_SPI: u32 = 32;
/// INTID of the EL1 virtual timer's PPI.
pub const VIRTUAL_TIMER_INTID: u32 = 27;
/// INTID of the EL1 physical timer's PPI.
pub const PHYSICAL_TIMER_INTID: u32 = 30;
/// INTID of the UART's SPI, level-sensitive.
pub const UART_INTID: u32 = 33;
/// INTID of OP-TEE's asynchronous notification SPI, edge-triggered.
pub const OPTEE_INTID: u32 = 34;
/// INTID of the watchdog's first signal WS0, an SPI, level-sensitive.
pub const WATCHDOG_INTID: u32 = 35;
/// The last SPI that is the virtual platform's own: devices of the board have others.
pub const LAST_OWN_SPI: u32 = WATCHDOG_INTID;
/// Interrupt ids the virtual distributor implements: SGIs, PPIs and SPIs 32..=95.
pub const INTIDS: usize = 96;
