// SPDX-License-Identifier: MIT OR Apache-2.0

//! Access to device registers.

use core::ops::Deref;

/// A device's registers as `T` names them (tock-registers' `register_structs!`), mapped as Device
/// memory in EL2's tables.
pub struct Registers<T: 'static>(*const T);

impl<T> Registers<T> {
    /// Returns the registers at `base`.
    ///
    /// # Safety
    /// They are a device's, EL2 owns the device, and it is mapped whenever it is used. `T` is made of
    /// registers alone, where the device has them.
    pub const unsafe fn new(base: u64) -> Self {
        Self(base as *const T)
    }
}

impl<T> Clone for Registers<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Registers<T> {}

impl<T> Deref for Registers<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: the promise of `new`'s caller.
        unsafe { &*self.0 }
    }
}

// SAFETY: any core may use the device, and each use of a register is one access to it. A driver
// keeps other cores away from several that belong together.
unsafe impl<T> Send for Registers<T> {}
// SAFETY: as for `Send`.
unsafe impl<T> Sync for Registers<T> {}

/// A device's register frame, mapped as Device memory in EL2's tables.
#[derive(Clone, Copy, Debug)]
pub struct Mmio {
    base: u64,
    size: u64,
}

impl Mmio {
    /// Returns the frame at `base`, `size` bytes.
    ///
    /// # Safety
    /// The frame is a device's, EL2 owns the device, and it is mapped whenever it is used.
    pub const unsafe fn new(base: u64, size: u64) -> Self {
        Self { base, size }
    }

    /// Reads the register at `offset` bytes, which is as wide as `T`.
    pub fn read<T: Into<u64>>(&self, offset: u64) -> T {
        debug_assert!(offset + size_of::<T>() as u64 <= self.size);
        // SAFETY: inside the frame that `new`'s caller vouched for.
        unsafe { ((self.base + offset) as *const T).read_volatile() }
    }

    /// Writes the register at `offset` bytes, which is as wide as `T`.
    pub fn write<T: Into<u64>>(&self, offset: u64, value: T) {
        debug_assert!(offset + size_of::<T>() as u64 <= self.size);
        // SAFETY: inside the frame that `new`'s caller vouched for.
        unsafe { ((self.base + offset) as *mut T).write_volatile(value) }
    }
}
