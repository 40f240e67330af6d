// SPDX-License-Identifier: MIT OR Apache-2.0

//! EL2's own translation: its registers, and the attributes of its pages and blocks.

use aarch64_cpu::registers::{MAIR_EL2, SCTLR_EL2, TCR_EL2};
use aarch64_paging::descriptor::El23Attributes as Attr;

/// SCTLR_EL2: MMU, caches, stack alignment check, write-implies-execute-never, and the RES1 bits.
pub const SCTLR: u64 = {
    const RES1: u64 = 0x30c5_0830;
    RES1 | SCTLR_EL2::M::Enable.value
        | SCTLR_EL2::C::Cacheable.value
        | SCTLR_EL2::I::Cacheable.value
        | SCTLR_EL2::SA::Enable.value
        | SCTLR_EL2::WXN::Enable.value
};

/// MAIR_EL2: attribute 0 = Normal write-back, 1 = Device-nGnRE, as in boot's early tables.
pub const MAIR: u64 = MAIR_EL2::Attr0_Normal_Outer::WriteBack_NonTransient_ReadWriteAlloc.value
    | MAIR_EL2::Attr0_Normal_Inner::WriteBack_NonTransient_ReadWriteAlloc.value
    | MAIR_EL2::Attr1_Device::nonGathering_nonReordering_EarlyWriteAck.value;

/// TCR_EL2 without PS: 48-bit addresses, write-back inner-shareable walks, 4 KiB granule; bits 31 and 23 are
/// RES1.
pub const TCR: u64 = {
    const RES1: u64 = 1 << 31 | 1 << 23;
    RES1 | TCR_EL2::T0SZ.val(16).value
        | TCR_EL2::IRGN0::WriteBack_ReadAlloc_WriteAlloc_Cacheable.value
        | TCR_EL2::ORGN0::WriteBack_ReadAlloc_WriteAlloc_Cacheable.value
        | TCR_EL2::SH0::Inner.value
        | TCR_EL2::TG0::KiB_4.value
};

// USER_RES1 is AP[1], RES1 in a regime with one exception level.
const COMMON: Attr = Attr::VALID.union(Attr::ACCESSED).union(Attr::USER_RES1);
const NORMAL: Attr = COMMON
    .union(Attr::ATTRIBUTE_INDEX_0)
    .union(Attr::INNER_SHAREABLE);
/// Cacheable, read only, executed.
pub const CODE: Attr = NORMAL.union(Attr::READ_ONLY);
/// Cacheable, read only, never executed.
pub const CONSTANTS: Attr = CODE.union(Attr::XN);
/// Cacheable, read and write, never executed.
pub const DATA: Attr = NORMAL.union(Attr::XN);
/// A device's registers.
pub const DEVICE: Attr = COMMON.union(Attr::ATTRIBUTE_INDEX_1).union(Attr::XN);
