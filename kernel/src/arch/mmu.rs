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
use controls::stage1::{CODE, CONSTANTS, DATA, DEVICE, MAIR, SCTLR, TCR};

use super::registers::*;

/// 48-bit addresses: walks start at level 0.
const ROOT_LEVEL: usize = 0;

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
    END.load(Ordering::Relaxed) <= Tables::end()
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

    /// Returns the end of what this core and the tables can address.
    pub fn end() -> u64 {
        1 << addr::pa_bits(own_pa_range())
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
            // `enable_mmu` adds PS: as much of physical memory as the core can address.
            tcr: TCR,
            mair: MAIR,
            sctlr: SCTLR,
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
