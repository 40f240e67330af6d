// SPDX-License-Identifier: MIT OR Apache-2.0

//! EL2's own stage-1 tables: everything identity-mapped, nothing both writable and executable.

use core::sync::atomic::{AtomicU64, Ordering};

use aarch64_paging::{
    Mapping,
    descriptor::{El23Attributes as Attr, PhysicalAddress},
    idmap::IdTranslation,
    paging::{Constraints, El2, MemoryRegion},
};
use addr::PaRange;
use boot::Layout;

use super::registers::*;

/// Returns SCTLR_EL2 as EL2 runs: MMU, caches, stack alignment check, write-implies-execute-never, and the
/// RES1 bits (DDI 0487 D19.2.122).
fn sctlr() -> u64 {
    const RES1: u64 = 0x30c5_0830;
    let on = SCTLR_EL2::M::Enable
        + SCTLR_EL2::C::Cacheable
        + SCTLR_EL2::I::Cacheable
        + SCTLR_EL2::SA::Enable
        + SCTLR_EL2::WXN::Enable;
    RES1 | on.value
}

/// Returns MAIR_EL2: attribute 0 = Normal write-back, 1 = Device-nGnRE, as in boot's early tables.
fn mair() -> u64 {
    let memory = MAIR_EL2::Attr0_Normal_Outer::WriteBack_NonTransient_ReadWriteAlloc
        + MAIR_EL2::Attr0_Normal_Inner::WriteBack_NonTransient_ReadWriteAlloc
        + MAIR_EL2::Attr1_Device::nonGathering_nonReordering_EarlyWriteAck;
    memory.value
}

/// Returns TCR_EL2: 48-bit addresses, write-back inner-shareable walks, 4 KiB granule; bits 31 and 23 are RES1.
/// `enable_mmu` adds PS: as much of physical memory as the core can address.
fn tcr() -> u64 {
    const RES1: u64 = 1 << 31 | 1 << 23;
    let fields = TCR_EL2::T0SZ.val(16)
        + TCR_EL2::IRGN0::WriteBack_ReadAlloc_WriteAlloc_Cacheable
        + TCR_EL2::ORGN0::WriteBack_ReadAlloc_WriteAlloc_Cacheable
        + TCR_EL2::SH0::Inner
        + TCR_EL2::TG0::KiB_4;
    RES1 | fields.value
}

/// 48-bit addresses: walks start at level 0.
const ROOT_LEVEL: usize = 0;

// USER_RES1 is AP[1], RES1 in a regime with one exception level.
const COMMON: Attr = Attr::VALID.union(Attr::ACCESSED).union(Attr::USER_RES1);
const NORMAL: Attr = COMMON
    .union(Attr::ATTRIBUTE_INDEX_0)
    .union(Attr::INNER_SHAREABLE);
const CODE: Attr = NORMAL.union(Attr::READ_ONLY);
const CONSTANTS: Attr = CODE.union(Attr::XN);
const DATA: Attr = NORMAL.union(Attr::XN);
const DEVICE: Attr = COMMON.union(Attr::ATTRIBUTE_INDEX_1).union(Attr::XN);

/// What a memory range is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Cacheable, read and write, never executed.
    Ram,
    /// Cacheable, read only: the device tree and the bundle.
    Constant,
    /// A device's registers.
    Device,
}

/// One past the last address that they map.
///
/// Protocol: this and `PA_RANGE` are stored by the first core, before others start or look at the guests.
static END: AtomicU64 = AtomicU64::new(0);
/// The least PARange (ID_AA64MMFR0_EL1) of the cores that run guests.
static PA_RANGE: AtomicU64 = AtomicU64::new(u64::MAX);

/// Returns this core's PARange.
pub fn own_pa_range() -> u64 {
    ID_AA64MMFR0_EL1.read(ID_AA64MMFR0_EL1::PARange)
}

/// Tells whether this core can address all that EL2 maps.
pub fn reaches_all() -> bool {
    END.load(Ordering::Relaxed) <= 1 << stage2::pa_bits(own_pa_range())
}

/// Notes that a core with this PARange runs guests. Only before there are any.
pub fn limit(pa_range: u64) {
    PA_RANGE.fetch_min(pa_range, Ordering::Relaxed);
}

/// Returns the PARange that all cores have which run guests.
#[inline]
pub fn pa_range() -> u64 {
    PA_RANGE.load(Ordering::Relaxed)
}

/// The tables of EL2, shared by all cores.
pub struct Tables(Mapping<IdTranslation<Attr>, El2>);

/// A range that the tables can't hold: it overlaps another kind or lies beyond what the core can address.
#[derive(Clone, Copy, Debug)]
pub struct CannotMap(pub PaRange);

impl Tables {
    /// Tables that map this image: code, constants, data, the post code, and each stack above its guard page.
    pub fn of_image(layout: &Layout) -> Self {
        let mut tables = Self(Mapping::new(IdTranslation::new(), ROOT_LEVEL, El2));
        tables.map_raw(layout.start, layout.text_end, CODE);
        tables.map_raw(layout.text_end, layout.rodata_end, CONSTANTS);
        tables.map_raw(layout.rodata_end, layout.data_end, DATA);
        let post_code = layout.start + boot::stage::POST_CODE;
        tables.map_raw(post_code, post_code + addr::PAGE_SIZE, DATA);
        for core in 0..boot::MAX_CORES {
            let (low, top) = layout.stack(core);
            tables.map_raw(low, top, DATA);
        }
        tables
    }

    /// Tells whether this core and the tables can address the range.
    pub fn spans(range: &PaRange) -> bool {
        range.end().0 <= 1 << stage2::pa_bits(own_pa_range())
    }

    fn map_raw(&mut self, start: u64, end: u64, attributes: Attr) {
        self.try_map(start, end, attributes)
            .expect("the image fits in 48 bits");
    }

    fn try_map(
        &mut self,
        start: u64,
        end: u64,
        attributes: Attr,
    ) -> Result<(), aarch64_paging::MapError> {
        END.fetch_max(end, Ordering::Relaxed);
        self.0.map_range(
            &MemoryRegion::new(start as usize, end as usize),
            PhysicalAddress(start as usize & !(addr::PAGE_SIZE as usize - 1)),
            attributes,
            Constraints::NO_CONTIGUOUS_HINT,
        )
    }

    /// Maps `range`, grown to whole pages. It must not be mapped yet.
    pub fn map(&mut self, range: PaRange, kind: Kind) -> Result<(), CannotMap> {
        let attributes = match kind {
            Kind::Ram => DATA,
            Kind::Constant => CONSTANTS,
            Kind::Device => DEVICE,
        };
        self.try_map(range.start.0, range.end().0, attributes)
            .map_err(|_| CannotMap(range))
    }

    /// Marks the tables as used by the hardware, so that later changes keep to break-before-make.
    pub fn set_live(&self) {
        self.0.mark_active();
    }

    /// Returns the registers that make a core use these tables.
    pub fn registers(&self) -> Registers {
        Registers {
            ttbr0: self.0.root_address().0 as u64,
            tcr: tcr(),
            mair: mair(),
            sctlr: sctlr(),
        }
    }
}

/// Values for TTBR0_EL2, TCR_EL2, MAIR_EL2 and SCTLR_EL2.
#[derive(Clone, Copy, Debug)]
pub struct Registers {
    /// TTBR0_EL2.
    pub ttbr0: u64,
    /// TCR_EL2, but for PS.
    pub tcr: u64,
    /// MAIR_EL2.
    pub mair: u64,
    /// SCTLR_EL2.
    pub sctlr: u64,
}

impl Registers {
    /// Moves this core onto the tables, through a moment with the MMU off.
    ///
    /// # Safety
    /// The tables map all code, data and stacks in use at their physical addresses and live for ever.
    pub unsafe fn switch(&self) {
        unsafe extern "C" {
            fn enable_mmu(ttbr0: u64, tcr: u64, mair: u64, sctlr: u64);
        }
        super::barrier::dsb();
        // SAFETY: the caller's promise; `enable_mmu` keeps to the C calling convention and touches no memory.
        unsafe { enable_mmu(self.ttbr0, self.tcr, self.mair, self.sctlr) }
    }
}
