// SPDX-License-Identifier: MIT OR Apache-2.0

//! The registers that hold a field for each interrupt. The distributor's and the redistributor's
//! have the same offsets (IHI 0069H 12.8 and 12.10); they differ in the interrupts they speak of.

use crate::{
    GicVersion, SGIS, VcpuSet, Vgic,
    irq::{Irq, NOBODY},
};
use core::ops::Range;
use platform::VcpuId;

/// Where an access goes and how many bytes it has.
#[derive(Clone, Copy)]
pub(crate) struct Access {
    pub(crate) offset: u64,
    pub(crate) size: u8,
}

impl Access {
    /// Whether it is the 32-bit register at `offset`.
    pub(crate) const fn is_word(self, offset: u64) -> bool {
        self.offset == offset && self.size == 4
    }

    /// The same access, counted from `base`; what lies before it is no register.
    pub(crate) fn from(self, base: u64) -> Self {
        Self {
            offset: self.offset.checked_sub(base).unwrap_or(u64::MAX),
            ..self
        }
    }
}

/// The interrupts that a frame's registers speak of; fields of others are RAZ/WI.
#[derive(Clone)]
pub(crate) struct Span {
    pub(crate) vcpu: VcpuId,
    pub(crate) intids: Range<u32>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Bank {
    Group,
    SetEnable,
    ClearEnable,
    SetPending,
    ClearPending,
    SetActive,
    ClearActive,
    Priority,
    Targets,
    Config,
    ClearSources,
    SetSources,
}

/// Priorities have 5 bits, as many as a GICv2 list register holds.
const PRIORITY_MASK: u8 = 0xf8;

impl Bank {
    /// The bank at an offset, where it starts, and how many bits each interrupt has.
    fn at(offset: u64) -> Option<(Self, u64, u32)> {
        Some(match offset {
            0x080..0x100 => (Self::Group, 0x080, 1),
            0x100..0x180 => (Self::SetEnable, 0x100, 1),
            0x180..0x200 => (Self::ClearEnable, 0x180, 1),
            0x200..0x280 => (Self::SetPending, 0x200, 1),
            0x280..0x300 => (Self::ClearPending, 0x280, 1),
            0x300..0x380 => (Self::SetActive, 0x300, 1),
            0x380..0x400 => (Self::ClearActive, 0x380, 1),
            0x400..0x800 => (Self::Priority, 0x400, 8),
            0x800..0xc00 => (Self::Targets, 0x800, 8),
            0xc00..0xd00 => (Self::Config, 0xc00, 2),
            0xf10..0xf20 => (Self::ClearSources, 0xf10, 8),
            0xf20..0xf30 => (Self::SetSources, 0xf20, 8),
            _ => return None,
        })
    }

    /// Registers of bytes take bytes too.
    const fn takes(size: u8, bits: u32) -> bool {
        size == 4 || (size == 1 && bits == 8)
    }
}

/// Tells whether the bank at an offset tells of state that list registers hold.
pub(crate) fn is_state(offset: u64) -> bool {
    Bank::at(offset).is_some_and(|(bank, ..)| {
        bank.is_state() || matches!(bank, Bank::SetSources | Bank::ClearSources)
    })
}

/// The fields that one access touches.
struct Fields {
    bank: Bank,
    first: u32,
    count: u32,
    bits: u32,
}

impl Fields {
    fn of(access: Access) -> Option<Self> {
        let (bank, start, bits) = Bank::at(access.offset)?;
        let aligned = access.offset.is_multiple_of(access.size.max(1).into());
        if !aligned || !Bank::takes(access.size, bits) {
            return None;
        }
        Some(Self {
            bank,
            first: (access.offset - start) as u32 * 8 / bits,
            count: u32::from(access.size) * 8 / bits,
            bits,
        })
    }

    /// Each interrupt with the position of its field.
    fn each(&self, span: &Span) -> impl Iterator<Item = (u32, u32)> {
        let (first, bits, intids) = (self.first, self.bits, span.intids.clone());
        (0..self.count)
            .map(move |n| (first + n, n * bits))
            .filter(move |(intid, _)| intids.contains(intid))
    }
}

impl Vgic {
    pub(crate) fn read_irqs(&self, span: Span, access: Access) -> (u64, VcpuSet) {
        let Some(fields) = Fields::of(access) else {
            return (0, VcpuSet::EMPTY);
        };
        let (mut word, mut stale) = (0, VcpuSet::EMPTY);
        for (intid, shift) in fields.each(&span) {
            let Some(slot) = self.slot(span.vcpu.0.into(), intid) else {
                continue;
            };
            let Some(irq) = self.irqs.get(slot) else {
                continue;
            };
            word |= self.field(fields.bank, span.vcpu, intid, irq) << shift;
            if fields.bank.is_state() && irq.resident.is_some() {
                stale |= VcpuSet::one(VcpuId(irq.owner));
            }
        }
        (word.into(), stale)
    }

    fn field(&self, bank: Bank, vcpu: VcpuId, intid: u32, irq: &Irq) -> u32 {
        match bank {
            Bank::Group => irq.group1.into(),
            Bank::SetEnable | Bank::ClearEnable => irq.enabled.into(),
            Bank::SetPending | Bank::ClearPending => irq.shows_pending().into(),
            Bank::SetActive | Bank::ClearActive => irq.shows_active().into(),
            Bank::Priority => irq.priority.into(),
            Bank::Targets => self.targets(vcpu, intid, irq),
            Bank::Config => u32::from(irq.edge) << 1,
            Bank::ClearSources | Bank::SetSources => irq.sources.into(),
        }
    }

    pub(crate) fn write_irqs(&mut self, span: Span, access: Access, value: u32) -> VcpuSet {
        let Some(fields) = Fields::of(access) else {
            return VcpuSet::EMPTY;
        };
        let Fields {
            bank, first, bits, ..
        } = fields;
        let mask = u32::MAX >> (32 - bits);
        let all = u32::MAX >> (32 - 8 * u32::from(access.size));
        let mut left = if bank.takes_ones() { value & all } else { all };
        let mut kick = VcpuSet::EMPTY;
        while left != 0 {
            let n = left.trailing_zeros() / bits;
            let shift = n * bits;
            left &= !(mask << shift);
            if span.intids.contains(&(first + n)) {
                kick |= self.set_field(bank, span.vcpu, first + n, value >> shift & mask);
            }
        }
        kick
    }

    fn set_field(&mut self, bank: Bank, vcpu: VcpuId, intid: u32, field: u32) -> VcpuSet {
        let Some(slot) = self.slot(vcpu.0.into(), intid) else {
            return VcpuSet::EMPTY;
        };
        // What is there already changes nothing, and nobody is to be kicked for it.
        let is_there = |irq: &Irq| self.field(bank, vcpu, intid, irq) == field & bank.writable();
        if !bank.takes_ones() && self.irqs.get(slot).is_some_and(is_there) {
            return VcpuSet::EMPTY;
        }
        match bank {
            Bank::Targets => self.set_targets(slot, intid, field),
            Bank::SetSources if self.is_v2_sgi(intid) => {
                self.add_sources(vcpu.0.into(), intid, field as u8)
            }
            Bank::ClearSources if self.is_v2_sgi(intid) => self.update(slot, |irq| {
                irq.sources &= !(field as u8);
            }),
            Bank::SetSources | Bank::ClearSources => VcpuSet::EMPTY,
            // GICv2: the pending bits of SGIs are read-only (IHI 0048B.b 4.3.7).
            Bank::SetPending | Bank::ClearPending if self.is_v2_sgi(intid) => VcpuSet::EMPTY,
            Bank::SetPending => self.latch(slot),
            Bank::Config if intid < SGIS => VcpuSet::EMPTY,
            _ => self.update(slot, |irq| set(bank, irq, field)),
        }
    }

    fn update(&mut self, slot: usize, change: impl FnOnce(&mut Irq)) -> VcpuSet {
        if let Some(irq) = self.irqs.get_mut(slot) {
            change(irq);
        }
        self.settle(slot)
    }

    /// GICD_ITARGETSR (IHI 0048B.b 4.3.12): RAZ/WI with one CPU interface and with affinity
    /// routing; a private interrupt shows the vCPU that reads.
    fn targets(&self, vcpu: VcpuId, intid: u32, irq: &Irq) -> u32 {
        match self.version {
            GicVersion::V2 if self.vcpus > 1 && intid < crate::FIRST_SPI => {
                VcpuSet::one(vcpu).bits().into()
            }
            GicVersion::V2 => irq.route,
            GicVersion::V3 => 0,
        }
    }

    /// With several targets the first of them gets the interrupt.
    fn set_targets(&mut self, slot: usize, intid: u32, field: u32) -> VcpuSet {
        if self.version == GicVersion::V3 || self.vcpus == 1 || intid < crate::FIRST_SPI {
            return VcpuSet::EMPTY;
        }
        let route = field & self.all();
        self.update(slot, |irq| {
            irq.route = route;
            irq.target = match route {
                0 => NOBODY,
                mask => mask.trailing_zeros() as u8,
            };
        })
    }

    /// The vCPU that GICD_IROUTER names.
    pub(crate) const fn target_of_route(&self, route: u32) -> u8 {
        if (route as usize) < self.vcpus {
            route as u8
        } else {
            NOBODY
        }
    }
}

impl Bank {
    /// The bits of a field that can be written.
    const fn writable(self) -> u32 {
        match self {
            Self::Priority => PRIORITY_MASK as u32,
            Self::Config => 0b10,
            _ => u32::MAX,
        }
    }

    /// Whether only the ones that are written to it do something.
    const fn takes_ones(self) -> bool {
        !matches!(
            self,
            Self::Group | Self::Priority | Self::Targets | Self::Config
        )
    }

    /// Whether the guest's CPU interface changes it, in the list registers.
    const fn is_state(self) -> bool {
        matches!(
            self,
            Self::SetPending | Self::ClearPending | Self::SetActive | Self::ClearActive
        )
    }
}

/// Writes a field of the banks that concern the interrupt alone.
fn set(bank: Bank, irq: &mut Irq, field: u32) {
    match bank {
        Bank::Group => irq.group1 = field != 0,
        Bank::SetEnable => enable(irq),
        Bank::ClearEnable => irq.enabled = false,
        Bank::ClearPending => irq.clear_pending(),
        Bank::SetActive => activate(irq),
        Bank::ClearActive => irq.clear_active(),
        Bank::Priority => irq.priority = field as u8 & PRIORITY_MASK,
        Bank::Config => irq.edge = field & 0b10 != 0,
        Bank::SetPending | Bank::Targets | Bank::SetSources | Bank::ClearSources => {}
    }
}

/// A level-sensitive physical interrupt that came while this one was disabled may have been
/// served by polling since: it is let go, and fires again if its line is still high.
fn enable(irq: &mut Irq) {
    if !irq.enabled && irq.owed && !irq.edge && !irq.active && irq.resident.is_none() {
        irq.latch = false;
    }
    irq.enabled = true;
}

fn activate(irq: &mut Irq) {
    if !irq.active && irq.resident.is_none() {
        irq.owner = if irq.target == NOBODY { 0 } else { irq.target };
    }
    irq.active = true;
}
