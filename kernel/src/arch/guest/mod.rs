// SPDX-License-Identifier: MIT OR Apache-2.0

//! Entering a guest, and the registers that decide what it can do.

use core::arch::global_asm;
use core::mem::offset_of;
use core::sync::atomic::{AtomicBool, Ordering};

use addr::Pa;
use controls::{Features, Vcpu};
use platform::VmId;

use super::barrier::{dsb, isb};
use super::registers::*;

pub mod debug;
mod exception;
pub mod fp;
pub mod serror;
mod state;
mod syndrome;
mod translate;

pub use exception::raise;
pub use state::CpuState;
pub use syndrome::{Abort, Class, Syndrome, SystemAccess};
pub use translate::{set_stack_pointer, stack_pointer, translate};

global_asm!(include_str!("../vectors.s"));

/// SPSR for a start at EL1 with SP_EL1 and everything masked (DEN0022F 6.4.3).
const SPSR_EL1H: u64 = Pstate::DAIF.val(0xf).value | Pstate::M::EL1h.value;

/// Log2 of the bytes that HPFAR_EL2 counts in.
const PAGE_SHIFT: u32 = 12;

/// What a trap leaves of the guest's registers. `vectors.s` relies on the layout, which is checked below.
#[repr(C)]
#[derive(Clone, Debug, Default)]
pub struct GuestRegs {
    /// x0 to x30.
    pub x: [u64; 31],
    /// ELR_EL2: where the guest goes on.
    pub pc: u64,
    /// SPSR_EL2: its PSTATE.
    pub spsr: u64,
}

const _: () = {
    assert!(offset_of!(GuestRegs, x) == 0);
    assert!(offset_of!(GuestRegs, pc) == 248);
    assert!(offset_of!(GuestRegs, spsr) == 256);
};

impl GuestRegs {
    /// Returns a vCPU that starts at `entry` with x0 = `context`.
    pub fn start(entry: u64, context: u64) -> Self {
        let mut regs = Self {
            pc: entry,
            spsr: SPSR_EL1H,
            ..Self::default()
        };
        regs.x[0] = context;
        regs
    }

    /// Returns register number `index` as an instruction names it: 31 is the zero register.
    pub fn get(&self, index: usize) -> u64 {
        self.x.get(index).copied().unwrap_or(0)
    }

    /// Sets register number `index`; writes to the zero register are lost.
    pub fn set(&mut self, index: usize, value: u64) {
        if let Some(register) = self.x.get_mut(index) {
            *register = value;
        }
    }

    /// Tells whether the guest is in AArch32 state.
    pub fn is_aarch32(&self) -> bool {
        Pstate::AARCH32.is_set(self.spsr)
    }

    /// Tells whether it is at EL0, in either state.
    pub fn is_at_el0(&self) -> bool {
        Pstate::M::EL0t.matches_all(self.spsr)
    }

    /// Steps over the instruction that trapped with `syndrome`.
    pub fn skip(&mut self, syndrome: Syndrome) {
        self.resume(insn::skip(syndrome.bits(), self.pc, self.spsr));
    }

    /// Steps over the trapped instruction, which is of AArch64.
    pub fn skip_a64(&mut self) {
        self.resume(insn::skip_a64(self.pc, self.spsr));
    }

    fn resume(&mut self, insn::Resume { pc, spsr }: insn::Resume) {
        (self.pc, self.spsr) = (pc, spsr);
    }
}

/// Why the guest stopped running.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// A synchronous exception.
    Sync(Syndrome),
    /// A physical interrupt is pending.
    Interrupt,
    /// A physical SError with this syndrome. What the guest was about to do, it does again.
    SError(u64),
}

/// Runs the guest on this core until it traps.
#[inline]
pub fn run(regs: &mut GuestRegs) -> Exit {
    unsafe extern "C" {
        fn enter_guest(regs: *mut GuestRegs) -> u64;
    }
    // SAFETY: `vectors.s` keeps to the C calling convention and writes only `*regs`; stage 2 and
    // the trap controls, set by `load`, keep the guest to what is its own.
    let vector = unsafe { enter_guest(regs) };
    match vector {
        0 => Exit::Sync(Syndrome::read()),
        1 | 2 => Exit::Interrupt,
        number => rare(number, regs),
    }
}

/// Returns the exit by the vector `number`: an SError, or any of a guest that can cause one.
#[cold]
#[inline(never)]
fn rare(number: u64, regs: &mut GuestRegs) -> Exit {
    const CHECK: u64 = super::cpu::CHECK_SERROR as u64;
    const SERROR: u64 = 3;
    let syndrome = Syndrome::read();
    if number & !CHECK == SERROR {
        // If there is another one behind it, the next exit finds that.
        return Exit::SError(syndrome.bits());
    }
    let is_sync = number == CHECK;
    match serror::pending() {
        Some(error) => {
            if is_sync && syndrome.is_hvc() {
                // It has stepped past itself.
                regs.resume(insn::before_hvc(regs.pc, regs.spsr));
            }
            Exit::SError(error.syndrome)
        }
        None if is_sync => Exit::Sync(syndrome),
        None => Exit::Interrupt,
    }
}

/// Returns FAR_EL2 of the last synchronous exit.
pub fn fault_address() -> u64 {
    FAR_EL2.get()
}

/// Returns the page that the last stage-2 fault was about: HPFAR_EL2.FIPA.
pub fn fault_page() -> addr::Ipa {
    addr::Ipa(HPFAR_EL2.read(HPFAR_EL2::FIPA) << PAGE_SHIFT)
}

/// Returns what this core has of the features that HCR_EL2 speaks of.
fn features() -> Features {
    Features {
        lor: ID_AA64MMFR1_EL1.is_set(ID_AA64MMFR1_EL1::LO),
        ras: serror::has_ras(),
        mte: ID_AA64PFR1_EL1.is_set(ID_AA64PFR1_EL1::MTE),
        pointer_authentication: has_pointer_authentication(),
    }
}

/// Tells whether the core has FEAT_PAuth by any algorithm: APA, API, GPA, GPI, and APA3, GPA3.
fn has_pointer_authentication() -> bool {
    let first = ISAR1.extract();
    let second = ISAR2.extract();
    first.is_set(Isar1::GENERIC) || first.is_set(Isar1::ADDRESS) || second.is_set(Isar2::BY_QARMA3)
}

/// Settings of this core that hold for every guest.
pub fn init_core() {
    CPTR.set(controls::CPTR);
    let counters = match ID_AA64DFR0_EL1.read(ID_AA64DFR0_EL1::PMUVer) {
        0 | 0xf => 0,
        _ => PMCR_EL0.read(Pmcr::N),
    };
    MDCR_EL2.set(controls::mdcr(counters));
    CNTHCTL_EL2.set(controls::CNTHCTL);
    HCR_EL2.set(controls::HCR_NO_GUEST);
    HSTR_EL2.set(0);
    init_fine_grained_traps();
    VPIDR_EL2.set(super::cpu::midr());
    debug::init_core();
    isb();
}

/// Whether MPAM's registers are left alone.
///
/// Protocol: stored by the first core before it starts others.
static SKIP_MPAM: AtomicBool = AtomicBool::new(false);

/// Leaves MPAM's registers as they are: the board's firmware traps them to EL3, and does not expect it. To be said
/// before the first [`init_core`].
pub fn skip_mpam() {
    SKIP_MPAM.store(true, Ordering::Relaxed);
}

/// Turns fine-grained traps and features behind HCRX_EL2 all off. EL3 must let EL2 use the
/// registers of the features it shows, as Linux's boot protocol asks.
fn init_fine_grained_traps() {
    // The registers exist by their features; zero turns every trap off and hides what must be
    // turned on.
    let fgt = MMFR0.read(Mmfr0::FGT);
    if fgt >= 1 {
        HFGRTR_EL2.set(0);
        HFGWTR_EL2.set(0);
        HFGITR_EL2.set(0);
        HDFGRTR_EL2.set(0);
        HDFGWTR_EL2.set(0);
        if PFR0.is_set(Pfr0::AMU) {
            HAFGRTR_EL2.set(0);
        }
    }
    if fgt >= 2 {
        HFGRTR2_EL2.set(0);
        HFGWTR2_EL2.set(0);
        HFGITR2_EL2.set(0);
        HDFGRTR2_EL2.set(0);
        HDFGWTR2_EL2.set(0);
    }
    if MMFR1.is_set(Mmfr1::HCX) {
        HCRX_EL2.set(0);
    }
    if PFR0.is_set(Pfr0::MPAM) && !SKIP_MPAM.load(Ordering::Relaxed) {
        init_mpam();
    }
}

/// Gives all guests the default partition (DDI 0598).
fn init_mpam() {
    MPAM2_EL2.set(controls::MPAM2);
    MPAM1_EL1.set(0);
    MPAM0_EL1.set(0);
    if MPAMIDR.is_set(Mpamidr::HAS_HCR) {
        MPAMHCR_EL2.set(0);
    }
}

/// What a core needs to run a certain vCPU, beside the vCPU's own state.
#[derive(Clone, Copy, Debug)]
pub struct Identity {
    /// The guest.
    pub vm: VmId,
    /// MPIDR_EL1 as the guest reads it.
    pub mpidr: u64,
    /// Root of its stage-2 tables.
    pub stage2: Pa,
    /// CNTVOFF_EL2: CNTPCT at the guest's start.
    pub counter_offset: u64,
    /// Whether WFI and WFE give the core away, or wait there.
    pub shares_core: bool,
}

impl Identity {
    /// # Safety
    /// As for [`CpuState::load`].
    unsafe fn load(&self, serror: bool) {
        let vcpu = Vcpu {
            serror,
            shares_core: self.shares_core,
        };
        HCR_EL2.set(controls::hcr(features(), vcpu));
        VTCR_EL2.set(stage2::vtcr(super::mmu::pa_range()));
        VTTBR_EL2.set(controls::vttbr(self.vm, self.stage2));
        VMPIDR_EL2.set(self.mpidr);
        CNTVOFF_EL2.set(self.counter_offset);
    }
}

/// Drops what this core's TLBs hold for the vCPU that is on it: another one of the same guest
/// has been here, and the two may use an ASID for different things.
pub fn invalidate_own_tlb() {
    // SAFETY: TLB maintenance.
    unsafe {
        core::arch::asm!("tlbi vmalle1", "dsb nsh", options(nostack, preserves_flags));
    }
    isb();
}

/// Drops all TLB entries of the current VMID, on all cores.
pub fn invalidate_tlbs() {
    dsb();
    // SAFETY: TLB maintenance.
    unsafe { core::arch::asm!("tlbi vmalls12e1is", options(nostack, preserves_flags)) };
    dsb();
    isb();
}
