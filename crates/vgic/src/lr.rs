// SPDX-License-Identifier: MIT OR Apache-2.0

//! List registers: one abstract value, and its two encodings.

/// The state that a list register gives its interrupt.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// The register is free.
    Inactive,
    /// The guest has not acknowledged it yet.
    Pending,
    /// The guest is handling it.
    Active,
    /// The guest is handling it and it is pending again.
    PendingActive,
}

impl State {
    const fn from_bits(bits: u32) -> Self {
        match bits & 0b11 {
            0b00 => Self::Inactive,
            0b01 => Self::Pending,
            0b10 => Self::Active,
            _ => Self::PendingActive,
        }
    }

    const fn bits(self) -> u32 {
        match self {
            Self::Inactive => 0b00,
            Self::Pending => 0b01,
            Self::Active => 0b10,
            Self::PendingActive => 0b11,
        }
    }

    /// Whether the interrupt waits to be acknowledged.
    pub const fn is_pending(self) -> bool {
        matches!(self, Self::Pending | Self::PendingActive)
    }

    /// Whether the interrupt was acknowledged and not deactivated.
    pub const fn is_active(self) -> bool {
        matches!(self, Self::Active | Self::PendingActive)
    }
}

/// What stands behind the interrupt of a list register.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Origin {
    /// The physical interrupt with this INTID, active in the physical GIC: the guest's
    /// deactivation deactivates it too.
    Hardware(u16),
    /// This crate alone.
    Software {
        /// Raise a maintenance interrupt when the guest deactivates it.
        eoi: bool,
        /// The vCPU that sent a GICv2 SGI, 0 for all else.
        source: u8,
    },
}

/// The content of one list register. Aligned so that it moves in words.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(align(4))]
pub struct Lr {
    /// The INTID that the guest sees.
    pub intid: u16,
    /// Its priority, the lower the more urgent.
    pub priority: u8,
    /// Group 1 (signalled as IRQ) rather than group 0.
    pub group1: bool,
    /// Its state.
    pub state: State,
    /// What stands behind it.
    pub origin: Origin,
}

impl Lr {
    /// A free list register.
    pub const FREE: Self = Self {
        intid: 0,
        priority: 0,
        group1: false,
        state: State::Inactive,
        origin: Origin::Software {
            eoi: false,
            source: 0,
        },
    };

    /// The value for ICH_LR\<n\>_EL2 (IHI 0069H 12.4).
    pub const fn to_ich(self) -> u64 {
        let origin = match self.origin {
            Origin::Hardware(pintid) => 1 << 61 | (pintid as u64 & 0x1fff) << 32,
            Origin::Software { eoi, .. } => (eoi as u64) << 41,
        };
        (self.state.bits() as u64) << 62
            | origin
            | (self.group1 as u64) << 60
            | (self.priority as u64) << 48
            | self.intid as u64
    }

    /// What ICH_LR\<n\>_EL2 holds.
    pub const fn from_ich(value: u64) -> Self {
        let origin = if value & 1 << 61 != 0 {
            Origin::Hardware((value >> 32) as u16 & 0x1fff)
        } else {
            Origin::Software {
                eoi: value & 1 << 41 != 0,
                source: 0,
            }
        };
        Self {
            intid: value as u16,
            priority: (value >> 48) as u8,
            group1: value & 1 << 60 != 0,
            state: State::from_bits((value >> 62) as u32),
            origin,
        }
    }

    /// The value for GICH_LR\<n\> (IHI 0048B.b 5.3), which keeps the top 5 bits of the priority.
    pub const fn to_gich(self) -> u32 {
        let origin = match self.origin {
            Origin::Hardware(pintid) => 1 << 31 | (pintid as u32 & 0x3ff) << 10,
            Origin::Software { eoi, source } => (eoi as u32) << 19 | (source as u32 & 0b111) << 10,
        };
        origin
            | (self.group1 as u32) << 30
            | self.state.bits() << 28
            | (self.priority as u32 >> 3) << 23
            | self.intid as u32 & 0x3ff
    }

    /// What GICH_LR\<n\> holds.
    pub const fn from_gich(value: u32) -> Self {
        let origin = if value & 1 << 31 != 0 {
            Origin::Hardware((value >> 10) as u16 & 0x3ff)
        } else {
            Origin::Software {
                eoi: value & 1 << 19 != 0,
                source: (value >> 10) as u8 & 0b111,
            }
        };
        Self {
            intid: value as u16 & 0x3ff,
            priority: ((value >> 23) as u8 & 0x1f) << 3,
            group1: value & 1 << 30 != 0,
            state: State::from_bits(value >> 28),
            origin,
        }
    }
}

/// The hardware's list registers of one core.
pub trait Registers {
    /// Reads register `n`.
    fn read(&self, n: usize) -> Lr;
    /// Writes register `n`.
    fn write(&self, n: usize, lr: Lr);
}

/// The list registers of one vCPU: what they held when they were last written or saved.
///
/// The hardware's registers belong to the kernel; this value is what it loads into them and
/// saves out of them, on whatever core the vCPU runs.
#[derive(Clone, Debug)]
pub struct Lrs {
    pub(crate) regs: [Lr; Self::MAX],
    pub(crate) used: usize,
    /// Registers that the hardware has in use.
    pub(crate) held: usize,
    /// Registers to write: those in use now, and those that the hardware still has.
    pub(crate) load: usize,
    pub(crate) hcr: u32,
    pub(crate) eoi_count: u8,
}

impl Default for Lrs {
    fn default() -> Self {
        Self::new()
    }
}

impl Lrs {
    /// Most list registers that any GIC has.
    pub const MAX: usize = 16;
    /// ICH_HCR_EL2.En, GICH_HCR.En: the virtual CPU interface works.
    pub const HCR_EN: u32 = 1 << 0;
    /// LRENPIE: maintenance interrupt while EOIcount is not zero.
    pub const HCR_LRENPIE: u32 = 1 << 2;
    /// NPIE: maintenance interrupt while no list register is pending.
    pub const HCR_NPIE: u32 = 1 << 3;
    /// TDIR (GICv3 with ICH_VTR_EL2.TDS alone): the guest's writes to ICC_DIR_EL1 trap.
    pub const HCR_TDIR: u32 = 1 << 14;

    /// No interrupt in any register.
    pub const fn new() -> Self {
        Self {
            regs: [Lr::FREE; Self::MAX],
            used: 0,
            held: 0,
            load: 0,
            hcr: 0,
            eoi_count: 0,
        }
    }

    /// The number of the register that an interrupt is in.
    #[inline(always)]
    pub(crate) fn position(&self, intid: u32) -> Option<usize> {
        // A loop, which is inlined; `Iterator::position` is a call.
        for (n, lr) in self.regs.get(..self.used)?.iter().enumerate() {
            if u32::from(lr.intid) == intid {
                return Some(n);
            }
        }
        None
    }

    /// Whether the hardware holds these registers, and all that the vCPU wants is in them.
    pub(crate) const fn hold_all(&self) -> bool {
        self.hcr == Self::HCR_EN
    }

    /// Registers in use, from 0.
    pub const fn used(&self) -> usize {
        self.used
    }

    /// Whether nothing is in the registers and no EOI is to be counted, so that there is
    /// nothing to save.
    pub const fn is_idle(&self) -> bool {
        self.used == 0 && self.hcr & Self::HCR_LRENPIE == 0
    }

    /// The value for ICH_HCR_EL2 or GICH_HCR; its EOIcount is 0.
    pub const fn hcr(&self) -> u32 {
        self.hcr
    }

    /// The registers to write from number 0 on; on a core that another vCPU used last, write
    /// [`Lr::FREE`] to the rest.
    pub fn to_load(&self) -> &[Lr] {
        &self.regs[..self.load.min(Self::MAX)]
    }

    /// The vCPU, which is synced, leaves its core: [`to_load`](Self::to_load) frees what the
    /// hardware holds, and [`hcr`](Self::hcr) turns the virtual CPU interface off.
    pub fn vacate(&mut self) {
        self.load = core::mem::take(&mut self.held);
        self.hcr = 0;
    }

    /// Takes over what the hardware holds: `hcr` is ICH_HCR_EL2 or GICH_HCR now, and `read`
    /// gives register n for each one in use.
    pub fn save(&mut self, hcr: u32, mut read: impl FnMut(usize) -> Lr) {
        self.eoi_count = (hcr >> 27) as u8;
        for (n, lr) in self.regs.iter_mut().enumerate().take(self.used) {
            *lr = read(n);
        }
    }
}
