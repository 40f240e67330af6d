//! The list registers of this core: ICH_* on GICv3 (IHI 0069H 12.4), GICH on GICv2 (IHI 0048B 5.3).

use vgic::{Lr, Lrs};

use crate::arch::{
    mmio::Mmio,
    sysreg::{read_sysreg, write_sysreg},
};

mod gich {
    pub const HCR: u64 = 0x0;
    pub const VTR: u64 = 0x4;
    pub const VMCR: u64 = 0x8;
    pub const APR: u64 = 0xf0;
    pub const LR: u64 = 0x100;
}

/// Most active priority registers: AP0R and AP1R.
const ACTIVE_PRIORITIES: usize = 8;

/// What the virtual CPU interface holds of a vCPU beside its list registers. The default is the
/// state after reset: nothing active, everything masked.
#[derive(Clone, Default)]
pub struct CpuInterface {
    vmcr: u32,
    active_priorities: [u32; ACTIVE_PRIORITIES],
}

/// The virtual CPU interface of the core that uses this value.
pub enum VirtualInterface {
    /// System registers.
    V3,
    /// The banked GICH frame.
    V2(Mmio),
}

macro_rules! ich_lr {
    ($($n:literal)*) => {
        fn read_ich_lr(n: usize) -> u64 {
            match n {
                $( $n => read_sysreg!(concat!("ich_lr", $n, "_el2")), )*
                _ => 0,
            }
        }

        fn write_ich_lr(n: usize, value: u64) {
            // SAFETY: only the guest of this core sees its list registers.
            unsafe {
                match n {
                    $( $n => write_sysreg!(concat!("ich_lr", $n, "_el2"), value), )*
                    _ => {}
                }
            }
        }
    };
}

ich_lr!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15);

impl VirtualInterface {
    /// Number of list registers.
    pub fn count(&self) -> usize {
        let vtr = match self {
            Self::V3 => read_sysreg!("ich_vtr_el2") as u32 & 0x1f,
            Self::V2(gich) => gich.read32(gich::VTR) & 0x3f,
        };
        (vtr as usize + 1).min(Lrs::MAX)
    }

    /// Gives the hardware the state of a vCPU that comes to this core. Its list registers are
    /// loaded after that.
    pub fn enter(&self, state: &CpuInterface) {
        match self {
            Self::V3 => {
                for (n, value) in active_priorities(&state.active_priorities) {
                    write_active_priority(n, *value);
                }
                // SAFETY: only the guest of this core is affected.
                unsafe { write_sysreg!("ich_vmcr_el2", u64::from(state.vmcr)) }
            }
            Self::V2(gich) => {
                gich.write32(gich::APR, state.active_priorities[0]);
                gich.write32(gich::VMCR, state.vmcr);
            }
        }
    }

    /// Takes the state of a vCPU that leaves this core.
    pub fn leave(&self, state: &mut CpuInterface) {
        match self {
            Self::V3 => {
                for (n, value) in active_priorities_mut(&mut state.active_priorities) {
                    *value = read_active_priority(n);
                }
                state.vmcr = read_sysreg!("ich_vmcr_el2") as u32;
            }
            Self::V2(gich) => {
                state.active_priorities[0] = gich.read32(gich::APR);
                state.vmcr = gich.read32(gich::VMCR);
            }
        }
    }

    /// Takes what the hardware holds over into `lrs`.
    pub fn save(&self, lrs: &mut Lrs) {
        match self {
            Self::V3 => lrs.save(read_sysreg!("ich_hcr_el2") as u32, |n| {
                Lr::from_ich(read_ich_lr(n))
            }),
            Self::V2(gich) => {
                let read = |n| Lr::from_gich(gich.read32(gich::LR + 4 * n as u64));
                lrs.save(gich.read32(gich::HCR), read);
            }
        }
    }

    /// Gives the hardware what `lrs` holds.
    pub fn load(&self, lrs: &Lrs) {
        for (n, lr) in lrs.to_load().iter().enumerate() {
            self.write(n, *lr);
        }
        match self {
            Self::V3 => {
                // SAFETY: only the guest of this core is affected.
                unsafe { write_sysreg!("ich_hcr_el2", u64::from(lrs.hcr() & v3_hcr_bits())) }
            }
            Self::V2(gich) => gich.write32(gich::HCR, lrs.hcr() & !Lrs::HCR_TDIR),
        }
    }

    fn write(&self, n: usize, lr: Lr) {
        match self {
            Self::V3 => write_ich_lr(n, lr.to_ich()),
            Self::V2(gich) => gich.write32(gich::LR + 4 * n as u64, lr.to_gich()),
        }
    }
}

/// Those that this core has: one, two or four of each group, by ICH_VTR_EL2.PREbits. AP0R\<n\> is
/// number n and AP1R\<n\> is number 4 + n.
fn has_active_priority(n: usize) -> bool {
    let preemption_bits = read_sysreg!("ich_vtr_el2") >> 26 & 7;
    n % 4 < 1 << preemption_bits.saturating_sub(4)
}

fn active_priorities(all: &[u32; ACTIVE_PRIORITIES]) -> impl Iterator<Item = (usize, &u32)> {
    all.iter()
        .enumerate()
        .filter(|(n, _)| has_active_priority(*n))
}

fn active_priorities_mut(
    all: &mut [u32; ACTIVE_PRIORITIES],
) -> impl Iterator<Item = (usize, &mut u32)> {
    all.iter_mut()
        .enumerate()
        .filter(|(n, _)| has_active_priority(*n))
}

macro_rules! active_priority {
    ($($n:literal = $name:literal)*) => {
        fn read_active_priority(n: usize) -> u32 {
            match n {
                $( $n => read_sysreg!($name) as u32, )*
                _ => 0,
            }
        }

        fn write_active_priority(n: usize, value: u32) {
            // SAFETY: only the guest of this core is affected; callers ask `has_active_priority`.
            unsafe {
                match n {
                    $( $n => write_sysreg!($name, u64::from(value)), )*
                    _ => {}
                }
            }
        }
    };
}

active_priority!(
    0 = "ich_ap0r0_el2" 1 = "ich_ap0r1_el2" 2 = "ich_ap0r2_el2" 3 = "ich_ap0r3_el2"
    4 = "ich_ap1r0_el2" 5 = "ich_ap1r1_el2" 6 = "ich_ap1r2_el2" 7 = "ich_ap1r3_el2"
);

/// The bits of ICH_HCR_EL2 that this core has: TDIR only by ICH_VTR_EL2.TDS.
fn v3_hcr_bits() -> u32 {
    if read_sysreg!("ich_vtr_el2") & 1 << 19 != 0 {
        u32::MAX
    } else {
        !Lrs::HCR_TDIR
    }
}
