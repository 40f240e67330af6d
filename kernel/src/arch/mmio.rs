//! Access to device registers.

/// A device's register frame, mapped as Device memory in EL2's tables.
#[derive(Clone, Copy, Debug)]
pub struct Mmio {
    base: u64,
    size: u64,
}

macro_rules! access {
    ($read:ident, $write:ident, $type:ty) => {
        /// Reads the register at `offset` bytes.
        #[inline]
        pub fn $read(&self, offset: u64) -> $type {
            debug_assert!(offset + size_of::<$type>() as u64 <= self.size);
            // SAFETY: inside the frame that `new`'s caller vouched for.
            unsafe { ((self.base + offset) as *const $type).read_volatile() }
        }

        /// Writes the register at `offset` bytes.
        #[inline]
        pub fn $write(&self, offset: u64, value: $type) {
            debug_assert!(offset + size_of::<$type>() as u64 <= self.size);
            // SAFETY: inside the frame that `new`'s caller vouched for.
            unsafe { ((self.base + offset) as *mut $type).write_volatile(value) }
        }
    };
}

impl Mmio {
    /// The frame at `base`, `size` bytes.
    ///
    /// # Safety
    /// The frame is a device's, EL2 owns the device, and it is mapped whenever it is used.
    pub const unsafe fn new(base: u64, size: u64) -> Self {
        Self { base, size }
    }

    access!(read32, write32, u32);
    access!(read64, write64, u64);

    /// Writes one byte at `offset`.
    pub fn write8(&self, offset: u64, value: u8) {
        debug_assert!(offset < self.size);
        // SAFETY: inside the frame that `new`'s caller vouched for.
        unsafe { ((self.base + offset) as *mut u8).write_volatile(value) }
    }
}
