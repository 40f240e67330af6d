// SPDX-License-Identifier: MIT OR Apache-2.0

//! The board's UART: the driver, and its registers in EL2's tables.

use core::sync::atomic::{AtomicBool, Ordering};

use addr::{PAGE_SIZE, PaRange};
use platform::AccessWidth;
use uart::{Driver, Frame};

use crate::arch::mmio::Mmio;

/// Looks at a UART without room before it counts as standing still: longer than any byte takes.
const PATIENCE: u32 = 1_000_000;
/// The last byte found no room that long.
///
/// Protocol: a hint; who writes to the UART holds the console's lock, or is the last to run.
static STALLED: AtomicBool = AtomicBool::new(false);

/// Returns what is to be mapped of a console. A UART's registers begin it: what else the tree may count to them is not needed.
pub fn registers(console: &board::Console) -> PaRange {
    PaRange {
        size: console.registers.size.min(PAGE_SIZE),
        ..console.registers
    }
}

/// The registers. What the tree puts outside the pages that are mapped, or where no register can be, is not there: it
/// reads as zero.
pub struct Registers {
    mmio: Mmio,
    /// Where they begin, and the last byte of the pages.
    base: u64,
    last: u64,
}

impl Registers {
    /// Returns the registers of `console`.
    ///
    /// # Safety
    /// [`registers`] of it are mapped as a device and EL2 owns them.
    pub unsafe fn new(console: &board::Console) -> Self {
        let range = registers(console);
        let base = range.start.0;
        let last = (range.end().0 - 1) | (PAGE_SIZE - 1);
        // SAFETY: the caller's promise; tables map whole pages.
        let mmio = unsafe { Mmio::new(base, last - base + 1) };
        Self { mmio, base, last }
    }

    fn has(&self, offset: u64, width: AccessWidth) -> bool {
        let end = self.base.checked_add(offset + width.bytes() - 1);
        end.is_some_and(|end| end <= self.last)
            && (self.base + offset).is_multiple_of(width.bytes())
    }
}

impl Frame for Registers {
    fn read(&self, offset: u64, width: AccessWidth) -> u32 {
        if !self.has(offset, width) {
            return 0;
        }
        match width {
            AccessWidth::Byte => self.mmio.read::<u8>(offset).into(),
            AccessWidth::Half => self.mmio.read::<u16>(offset).into(),
            AccessWidth::Word => self.mmio.read(offset),
        }
    }

    fn write(&self, offset: u64, width: AccessWidth, value: u32) {
        if !self.has(offset, width) {
            return;
        }
        match width {
            AccessWidth::Byte => self.mmio.write(offset, value as u8),
            AccessWidth::Half => self.mmio.write(offset, value as u16),
            AccessWidth::Word => self.mmio.write(offset, value),
        }
    }
}

/// The driver of the board's console.
pub struct Uart<'f>(uart::Uart<'f>);

impl<'f> Uart<'f> {
    /// Returns the driver of `console`, which is turned on. Its registers are `frame`.
    pub fn new(console: &board::Console, frame: &'f Registers) -> Self {
        Self(uart::Uart::new(console.kind, console.layout, frame))
    }

    /// Returns what drives it.
    pub fn driver(&self) -> &dyn Driver {
        self.0.driver()
    }

    /// Sends a byte if there is room for it.
    pub fn send(&self, byte: u8) -> bool {
        #[cfg(feature = "slow-uart")]
        if !super::slow::take_room() {
            return false;
        }
        self.driver().send(byte)
    }

    /// Sends a byte and waits for room, but not for a UART that stands still: then it is lost.
    pub fn send_now(&self, byte: u8) {
        let patience = match STALLED.load(Ordering::Relaxed) {
            true => 1,
            false => PATIENCE,
        };
        let sent = (0..patience).any(|_| {
            core::hint::spin_loop();
            self.send(byte)
        });
        STALLED.store(!sent, Ordering::Relaxed);
    }
}
