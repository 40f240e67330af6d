// SPDX-License-Identifier: MIT OR Apache-2.0

//! The guest's RAM, as a device reaches it.

use addr::Ipa;

/// Not all of the range is the guest's own RAM.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NotRam;

/// RAM of one guest, Normal and coherent between its cores and EL2. Nothing else is reachable through it: no device,
/// no other guest's page. The guest may write to it at any moment, so no reference to it can be lent; but the bytes
/// go from one guest to the other without a stop between, by [`Memory::copy`].
///
/// All addresses are checked at each call. Numbers are little-endian.
///
/// A driver and its device agree on who has which buffer by the indexes of the ring alone, so their order matters,
/// and [`Memory::load`], [`Memory::store`] and [`Memory::fence`] are the three barriers that a kernel has to give:
///
/// - `load` of the available index, before entries, descriptors and data are read: LDARH. It pairs with the barrier
///   by which the driver has moved the index after it had written those.
/// - `store` of the used index, after data and entries were written: STLRH. It pairs with the barrier behind the
///   driver's read of the index.
/// - `fence` between the used index and the driver's wish for interrupts, or between the wish for kicks and the
///   available index: DMB ISH, as on the driver's side between the two in the other order. Without it each side may
///   miss what the other has done, and both wait.
pub trait Memory {
    /// Tells whether all of `len` bytes from `at` on are the guest's RAM. The answer holds as long as the guest's
    /// queues run.
    fn is_ram(&self, at: Ipa, len: u64) -> bool;

    /// Reads a number at a multiple of 2 by one access. What is read or written through this trait later comes after
    /// it: load-acquire.
    fn load(&self, at: Ipa) -> Result<u16, NotRam>;

    /// Writes a number at a multiple of 2 by one access. What was read or written through this trait before comes
    /// before it: store-release.
    fn store(&self, at: Ipa, value: u16) -> Result<(), NotRam>;

    /// Orders all stores before it before all loads behind it.
    fn fence(&self);

    /// Reads two words at a multiple of 16, each once.
    fn read_words(&self, from: Ipa) -> Result<[u64; 2], NotRam>;

    /// Writes two half words at a multiple of 4.
    fn write_halves(&self, to: Ipa, halves: [u32; 2]) -> Result<(), NotRam>;

    /// Reads bytes, each once.
    fn read(&self, from: Ipa, bytes: &mut [u8]) -> Result<(), NotRam>;

    /// Writes bytes.
    fn write(&self, to: Ipa, bytes: &[u8]) -> Result<(), NotRam>;

    /// Copies `len` bytes from this guest's RAM to `at` in the RAM of another one or of the same. Where the two
    /// overlap, any mixture of the bytes there may arrive. If this fails, some may have been copied.
    ///
    /// Where frames are long, nearly all time is spent here. Neither address is aligned.
    fn copy(&self, from: Ipa, to: &Self, at: Ipa, len: u32) -> Result<(), NotRam>;
}
