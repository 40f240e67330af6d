// SPDX-License-Identifier: MIT OR Apache-2.0

//! Writing banks of the distributor's registers, which GICv2 and GICv3 have alike (IHI 0069H 12.9,
//! IHI 0048B 4.3).

use core::ops::Range;

use safe_mmio::{UniqueMmioPointer, fields::ReadPureWrite};

use crate::arch::barrier;

/// Registers with some bits for each interrupt.
type Bank<'a, const N: usize> = UniqueMmioPointer<'a, [ReadPureWrite<u32>; N]>;

/// Writes `value` to those registers of the bank that are in `range`.
pub fn fill<const N: usize>(mut bank: Bank<'_, N>, range: Range<usize>, value: u32) {
    for mut register in bank.get_range(range).into_iter().flatten() {
        register.write(value);
    }
}

/// Writes the one bit of `intid`, in a bank where zeros change nothing.
pub fn write_bit<const N: usize>(mut bank: Bank<'_, N>, intid: u32) {
    if let Some(mut register) = bank.get(intid as usize / 32) {
        register.write(1 << (intid % 32));
    }
}

/// Makes the private interrupts in `intids` active, by the bank of ISACTIVER; they are when it returns. The write alone
/// may be on its way still, and the read waits for it.
pub fn activate<const N: usize>(mut bank: Bank<'_, N>, intids: u32) {
    if let Some(mut register) = bank.get(0) {
        register.write(intids);
        let _ = register.read();
    }
    barrier::dsb();
}
