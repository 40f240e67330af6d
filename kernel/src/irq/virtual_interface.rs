// SPDX-License-Identifier: MIT OR Apache-2.0

//! The list registers of this core: ICH_* on GICv3 (IHI 0069H 12.4), GICH on GICv2 (IHI 0048B 5.3).

use tock_registers::interfaces::{Readable, Writeable};
use vgic::{Lr, Lrs, Registers};

use crate::arch::list_registers::{self as ich, ACTIVE_PRIORITIES};
use crate::arch::mmio;

use super::gich::{Gich, VgicType};

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
    V2(mmio::Registers<Gich>),
}

impl VirtualInterface {
    /// Returns the number of list registers.
    pub fn count(&self) -> usize {
        let count = match self {
            Self::V3 => ich::count(),
            Self::V2(gich) => gich.vgic_type.read(VgicType::LIST_REGISTERS) as usize + 1,
        };
        count.min(Lrs::MAX)
    }

    /// Clears all that this core holds, as after reset: what firmware left is no guest's.
    pub fn reset(&self) {
        match self {
            Self::V3 => ich::write_hcr(0),
            Self::V2(gich) => gich.control.set(0),
        }
        self.enter(&CpuInterface::default());
        (0..self.count()).for_each(|n| self.write(n, Lr::FREE));
    }

    /// Gives the hardware the state of a vCPU that comes to this core. Its list registers are
    /// loaded after that.
    pub fn enter(&self, state: &CpuInterface) {
        match self {
            Self::V3 => {
                for n in ich::active_priorities() {
                    ich::write_active_priority(n, u64::from(state.active_priorities[n]));
                }
                ich::write_vmcr(state.vmcr);
            }
            Self::V2(gich) => {
                gich.active_priorities.set(state.active_priorities[0]);
                gich.machine_control.set(state.vmcr);
            }
        }
    }

    /// Takes the state of a vCPU that leaves this core.
    pub fn leave(&self, state: &mut CpuInterface) {
        match self {
            Self::V3 => {
                for n in ich::active_priorities() {
                    state.active_priorities[n] = ich::read_active_priority(n) as u32;
                }
                state.vmcr = ich::read_vmcr();
            }
            Self::V2(gich) => {
                state.active_priorities[0] = gich.active_priorities.get();
                state.vmcr = gich.machine_control.get();
            }
        }
    }

    /// Takes what the hardware holds over into `lrs`.
    pub fn save(&self, lrs: &mut Lrs) {
        match self {
            Self::V3 => lrs.save(ich::read_hcr(), |n| self.read(n)),
            Self::V2(gich) => lrs.save(gich.control.get(), |n| self.read(n)),
        }
    }

    /// Gives the hardware what `lrs` holds.
    pub fn load(&self, lrs: &Lrs) {
        for (n, lr) in lrs.to_load().iter().enumerate() {
            self.write(n, *lr);
        }
        match self {
            Self::V3 => ich::write_hcr(lrs.hcr() & v3_hcr_bits()),
            Self::V2(gich) => gich.control.set(lrs.hcr() & !Lrs::HCR_TDIR),
        }
    }
}

impl Registers for VirtualInterface {
    #[inline(always)]
    fn read(&self, n: usize) -> Lr {
        match self {
            Self::V3 => Lr::from_ich(ich::read_list_register(n)),
            Self::V2(gich) => Lr::from_gich(gich.list[n].get()),
        }
    }

    #[inline(always)]
    fn write(&self, n: usize, lr: Lr) {
        match self {
            Self::V3 => ich::write_list_register(n, lr.to_ich()),
            Self::V2(gich) => gich.list[n].set(lr.to_gich()),
        }
    }
}

/// Returns the bits of ICH_HCR_EL2 that this core has: TDIR only by ICH_VTR_EL2.TDS.
fn v3_hcr_bits() -> u32 {
    if ich::can_trap_dir() {
        u32::MAX
    } else {
        !Lrs::HCR_TDIR
    }
}
