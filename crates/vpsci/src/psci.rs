// SPDX-License-Identifier: MIT OR Apache-2.0

//! PSCI 1.1 (DEN0022F.b) for one guest, whose affinity levels above 0 hold a single instance.

use crate::smccc::{Function, Owner};
use addr::Ipa;
use arm_psci::{ErrorCode, FunctionId};
use platform::{MAX_VCPUS, VcpuId};

/// PSCI_VERSION's answer (DEN0022F.b 5.3).
const VERSION: u64 = 0x1_0001;
/// MIGRATE_INFO_TYPE's answer: no trusted OS that needs migration (DEN0022F.b 5.9).
const MIGRATION_NOT_REQUIRED: u64 = 2;

/// CPU_SUSPEND's power_state in the original format (DEN0022F.b 5.4.2.1).
mod power_state {
    pub const POWER_DOWN: u64 = 1 << 16;
    pub const STATE_ID: u64 = 0xffff;
}

/// The power state of a vCPU, as AFFINITY_INFO tells it (DEN0022F.b 5.7.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Power {
    /// Running, or suspended by its own CPU_SUSPEND.
    On = 0,
    /// Waits for a CPU_ON.
    Off = 1,
    /// CPU_ON was called, but it has not entered the guest yet.
    OnPending = 2,
}

/// What the kernel does for a call. Registers that are not named keep the guest's values.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// Put this into x0 and go on.
    Return(u64),
    /// Wait as WFI does, then return 0 in x0.
    Standby,
    /// Wait as WFI does, then enter the guest as [`Outcome::CpuOn`]'s target would.
    PowerDownSuspend {
        /// Where to enter.
        entry: Ipa,
        /// x0 at entry.
        context_id: u64,
    },
    /// Return 0 in x0 to the caller and start `target` in the reset state of DEN0022F.b 6.4 (EL1h,
    /// DAIF masked, MMU and caches off, the caller's endianness), calling [`Vpsci::on_started`] as
    /// it enters.
    CpuOn {
        /// The vCPU to start; it is [`Power::OnPending`] now.
        target: VcpuId,
        /// Where to enter.
        entry: Ipa,
        /// x0 at entry.
        context_id: u64,
    },
    /// The caller is off: park it until a CPU_ON.
    CpuOff,
    /// Stop the guest.
    SystemOff,
    /// Restart the guest, with a new [`Vpsci`].
    SystemReset,
    /// Issue this call to the firmware with no arguments, then return with the guest's registers
    /// as they were, as the call has no results (DEN0028 7.5, 7.7).
    Firmware(Function),
}

/// The power states of one guest's vCPUs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Vpsci {
    states: [Power; MAX_VCPUS],
    vcpus: usize,
}

impl Vpsci {
    /// Makes the state of a guest about to boot: vCPU 0 is on, the rest are off. A count beyond
    /// [`MAX_VCPUS`] is taken for that.
    pub fn new(vcpus: u8) -> Self {
        let mut states = [Power::Off; MAX_VCPUS];
        states[0] = Power::On;
        Self {
            states,
            vcpus: usize::from(vcpus).min(MAX_VCPUS),
        }
    }

    /// Returns the state of `vcpu`, or `None` if the guest has no such vCPU.
    pub fn power(&self, vcpu: VcpuId) -> Option<Power> {
        self.states[..self.vcpus].get(usize::from(vcpu.0)).copied()
    }

    /// Counts how many vCPUs are not off. When the last one turns itself off, nothing inside the
    /// guest can turn any on again.
    pub fn powered(&self) -> usize {
        self.states[..self.vcpus]
            .iter()
            .filter(|&&state| state != Power::Off)
            .count()
    }

    /// Notes that `vcpu`, which was [`Power::OnPending`], enters the guest.
    pub fn on_started(&mut self, vcpu: VcpuId) {
        if self.power(vcpu) == Some(Power::OnPending) {
            self.set(vcpu, Power::On);
        }
    }

    /// Tells whether a call is PSCI's: the first 32 numbers of the standard secure services
    /// (DEN0028 6.4, DEN0022F.b 5.1).
    pub const fn owns(function: Function) -> bool {
        matches!(function.owner(), Owner::StandardSecure) && function.number() < 0x20
    }

    /// Returns x0 for a call whose answer is the same whatever the vCPUs do, made with `x0` and `x1`: it takes no lock.
    /// `None` for all others.
    #[inline]
    pub fn constant(x0: u64, x1: u64) -> Option<u64> {
        const PSCI_VERSION: u32 = FunctionId::PsciVersion as u32;
        const MIGRATE_INFO_TYPE: u32 = FunctionId::MigrateInfoType as u32;
        const PSCI_FEATURES: u32 = FunctionId::PsciFeatures as u32;
        let function = Function::new(x0);
        match function.0 {
            PSCI_VERSION => Some(VERSION),
            MIGRATE_INFO_TYPE => Some(MIGRATION_NOT_REQUIRED),
            PSCI_FEATURES => Some(match features(x1 as u32) {
                Ok(flags) => flags,
                Err(error) => function.result(error.into()),
            }),
            _ => None,
        }
    }

    /// Answers the call that `caller` made with x0–x3 in `x`.
    ///
    /// Every function that is none of PSCI's, or is not offered, gets NOT_SUPPORTED. `is_ram` tells
    /// whether the guest has RAM at an address.
    pub fn call(&mut self, caller: VcpuId, x: [u64; 4], is_ram: impl Fn(Ipa) -> bool) -> Outcome {
        if let Some(x0) = Self::constant(x[0], x[1]) {
            return Outcome::Return(x0);
        }
        let function = Function::new(x[0]);
        let args = [x[1], x[2], x[3]].map(|x| function.argument(x));
        self.psci(function.0, caller, args, is_ram)
            .unwrap_or_else(|error| Outcome::Return(function.result(error.into())))
    }

    fn psci(
        &mut self,
        function: u32,
        caller: VcpuId,
        args: [u64; 3],
        is_ram: impl Fn(Ipa) -> bool,
    ) -> Result<Outcome, ErrorCode> {
        let function = FunctionId::try_from(function)?;
        match function {
            FunctionId::CpuSuspend32 | FunctionId::CpuSuspend64 => suspend(args, is_ram),
            FunctionId::CpuOff => Ok(self.cpu_off(caller)),
            FunctionId::CpuOn32 | FunctionId::CpuOn64 => self.cpu_on(args, is_ram),
            FunctionId::AffinityInfo32 | FunctionId::AffinityInfo64 => self.affinity_info(args),
            FunctionId::SystemOff => Ok(Outcome::SystemOff),
            FunctionId::SystemReset => Ok(Outcome::SystemReset),
            _ => Err(ErrorCode::NotSupported),
        }
    }

    /// Handles CPU_OFF (DEN0022F.b 5.5). DENIED is for a trusted OS on the core, which is never so
    /// here.
    fn cpu_off(&mut self, caller: VcpuId) -> Outcome {
        self.set(caller, Power::Off);
        Outcome::CpuOff
    }

    /// Handles CPU_ON (DEN0022F.b 5.6).
    fn cpu_on(
        &mut self,
        [mpidr, entry, context_id]: [u64; 3],
        is_ram: impl Fn(Ipa) -> bool,
    ) -> Result<Outcome, ErrorCode> {
        let (target, power) = self.target(mpidr)?;
        let entry = entry_point(entry, is_ram)?;
        match power {
            Power::On => Err(ErrorCode::AlreadyOn),
            Power::OnPending => Err(ErrorCode::OnPending),
            Power::Off => {
                self.set(target, Power::OnPending);
                Ok(Outcome::CpuOn {
                    target,
                    entry,
                    context_id,
                })
            }
        }
    }

    /// Answers AFFINITY_INFO (DEN0022F.b 5.7). Levels above 0 are optional since PSCI 1.0, and not
    /// offered.
    fn affinity_info(&self, [mpidr, level, _]: [u64; 3]) -> Result<Outcome, ErrorCode> {
        if level != 0 {
            return Err(ErrorCode::InvalidParameters);
        }
        let (_, power) = self.target(mpidr)?;
        Ok(Outcome::Return(power as u64))
    }

    /// Finds the vCPU at `mpidr`: affinity fields alone, of which only Aff0 is ever non-zero here.
    fn target(&self, mpidr: u64) -> Result<(VcpuId, Power), ErrorCode> {
        let vcpu = u8::try_from(mpidr).map(VcpuId).ok();
        vcpu.and_then(|vcpu| Some((vcpu, self.power(vcpu)?)))
            .ok_or(ErrorCode::InvalidParameters)
    }

    fn set(&mut self, vcpu: VcpuId, power: Power) {
        if let Some(state) = self.states[..self.vcpus].get_mut(usize::from(vcpu.0)) {
            *state = power;
        }
    }
}

/// Handles CPU_SUSPEND (DEN0022F.b 5.4) of the core alone: the guest's tree describes no idle
/// states, so every StateID of power level 0 means the same, and there are no deeper levels.
fn suspend(
    [state, entry, context_id]: [u64; 3],
    is_ram: impl Fn(Ipa) -> bool,
) -> Result<Outcome, ErrorCode> {
    if state as u32 as u64 & !(power_state::POWER_DOWN | power_state::STATE_ID) != 0 {
        return Err(ErrorCode::InvalidParameters);
    }
    if state & power_state::POWER_DOWN == 0 {
        return Ok(Outcome::Standby);
    }
    let entry = entry_point(entry, is_ram)?;
    Ok(Outcome::PowerDownSuspend { entry, context_id })
}

/// Checks that the guest can be entered at `address`.
fn entry_point(address: u64, is_ram: impl Fn(Ipa) -> bool) -> Result<Ipa, ErrorCode> {
    let entry = Ipa(address);
    if entry.is_aligned(4) && is_ram(entry) {
        Ok(entry)
    } else {
        Err(ErrorCode::InvalidAddress)
    }
}

/// Answers PSCI_FEATURES (DEN0022F.b 5.1.15): flags are 0 for all of them; for CPU_SUSPEND that
/// says original power_state format and platform-coordinated mode.
fn features(function: u32) -> Result<u64, ErrorCode> {
    if function == ::smccc::arch::SMCCC_VERSION {
        return Ok(0);
    }
    match FunctionId::try_from(function)? {
        FunctionId::PsciVersion
        | FunctionId::CpuSuspend32
        | FunctionId::CpuSuspend64
        | FunctionId::CpuOff
        | FunctionId::CpuOn32
        | FunctionId::CpuOn64
        | FunctionId::AffinityInfo32
        | FunctionId::AffinityInfo64
        | FunctionId::MigrateInfoType
        | FunctionId::SystemOff
        | FunctionId::SystemReset
        | FunctionId::PsciFeatures => Ok(0),
        // Left out on purpose: SYSTEM_RESET2's warm reset would promise that memory survives, but
        // a reset scrubs it. SYSTEM_SUSPEND, CPU_DEFAULT_SUSPEND, CPU_FREEZE, NODE_HW_STATE, the
        // statistics, MEM_PROTECT and the MIGRATE calls have nothing behind them.
        _ => Err(ErrorCode::NotSupported),
    }
}
