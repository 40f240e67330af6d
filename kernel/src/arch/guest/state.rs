// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a core holds of a vCPU beside its general registers, kept while another one runs there.

use tock_registers::LocalRegisterCopy;

use super::super::barrier::{dsb, isb};
use super::super::registers::*;
use super::{Identity, debug::Debug, serror::has_ras};

/// SCTLR_EL1 with MMU and caches off: its RES1 bits.
const SCTLR_EL1_RESET: u64 = 0x30d0_0800;
/// SCTLR_EL1.M.
const MMU_ON: u64 = SCTLR_EL1::M::Enable.value;
/// TCR_EL1.EPD0 and EPD1: no walk is begun.
const NO_WALKS: u64 = TCR_EL1::EPD0::SET.value | TCR_EL1::EPD1::SET.value;

macro_rules! registers {
    ($(#[$doc:meta])* $state:ident: $($field:ident = $name:ident),* $(,)?) => {
        $(#[$doc])*
        #[derive(Clone, Default)]
        struct $state {
            $($field: u64,)*
        }

        impl $state {
            fn save(&mut self) {
                $(self.$field = $name.get();)*
            }

            /// # Safety
            /// This core has the registers, and the vCPU whose values these are is next to run.
            unsafe fn load(&self) {
                // EL2 itself uses none of these.
                $($name.set(self.$field);)*
            }
        }
    };
}

registers!(
    /// What EL1 and EL0 write without a trap. SCTLR and TCR are apart: they open the way to
    /// all others.
    El1:
    cpacr = CPACR_EL1,
    ttbr0 = TTBR0_EL1,
    ttbr1 = TTBR1_EL1,
    mair = MAIR_EL1,
    amair = AMAIR_EL1,
    vbar = VBAR_EL1,
    esr = ESR_EL1,
    far = FAR_EL1,
    afsr0 = AFSR0_EL1,
    afsr1 = AFSR1_EL1,
    contextidr = CONTEXTIDR_EL1,
    par = PAR_EL1,
    csselr = CSSELR_EL1,
    elr = ELR_EL1,
    spsr = SPSR_EL1,
    sp_el0 = SP_EL0,
    sp_el1 = SP_EL1,
    tpidr_el0 = TPIDR_EL0,
    tpidr_el1 = TPIDR_EL1,
    tpidrro = TPIDRRO_EL0,
    cntkctl = CNTKCTL_EL1,
);
registers!(
    /// FEAT_PAuth's keys: APIA, APIB, APDA, APDB, APGA, low half first.
    Keys:
    ia_lo = APIAKEYLO_EL1,
    ia_hi = APIAKEYHI_EL1,
    ib_lo = APIBKEYLO_EL1,
    ib_hi = APIBKEYHI_EL1,
    da_lo = APDAKEYLO_EL1,
    da_hi = APDAKEYHI_EL1,
    db_lo = APDBKEYLO_EL1,
    db_hi = APDBKEYHI_EL1,
    ga_lo = APGAKEYLO_EL1,
    ga_hi = APGAKEYHI_EL1,
);
registers!(
    /// FEAT_RAS: what an ESB instruction of the guest has found, and the syndrome of its virtual SError.
    Deferred:
    vdisr = VDISR_EL2,
    vsesr = VSESR_EL2,
);

registers!(
    /// FEAT_SME: it is hidden, but only fine-grained traps would keep the guest from this one.
    Tpidr2:
    tpidr2 = TPIDR2_EL0,
);

/// One of the guest's timers.
#[derive(Clone, Copy, Default)]
struct Timer {
    ctl: u64,
    cval: u64,
}

impl Timer {
    /// Returns when it fires on its own counter, if it is going to.
    fn fires(self) -> Option<u64> {
        let ctl = LocalRegisterCopy::<u64, CNTV_CTL_EL0::Register>::new(self.ctl);
        ctl.matches_all(CNTV_CTL_EL0::ENABLE::SET + CNTV_CTL_EL0::IMASK::CLEAR)
            .then_some(self.cval)
    }
}

/// The state of a vCPU that is not on its core; while it is there, the core's registers count.
#[derive(Clone)]
pub struct CpuState {
    sctlr: u64,
    tcr: u64,
    el1: El1,
    keys: Keys,
    deferred: Deferred,
    tpidr2: Tpidr2,
    debug: Debug,
    virtual_timer: Timer,
    physical_timer: Timer,
    /// A virtual SError is pending.
    serror: bool,
    /// It has not run since reset: the TLBs may hold what was before.
    fresh: bool,
}

impl CpuState {
    /// Returns the state after a warm reset, and nothing of a former guest's.
    pub fn reset() -> Self {
        Self {
            sctlr: SCTLR_EL1_RESET,
            tcr: 0,
            el1: El1::default(),
            keys: Keys::default(),
            deferred: Deferred::default(),
            tpidr2: Tpidr2::default(),
            debug: Debug::reset(),
            virtual_timer: Timer::default(),
            physical_timer: Timer::default(),
            serror: false,
            fresh: true,
        }
    }

    /// Takes the vCPU off this core: nothing is walked, cached or timed for it any more.
    pub fn save(&mut self) {
        self.sctlr = SCTLR_EL1.get();
        self.tcr = TCR_EL1.get();
        self.el1.save();
        if super::has_pointer_authentication() {
            self.keys.save();
        }
        if has_ras() {
            self.deferred.save();
        }
        if has_sme() {
            self.tpidr2.save();
        }
        self.debug.leave();
        self.virtual_timer = Timer {
            ctl: CNTV_CTL_EL0.get(),
            cval: CNTV_CVAL_EL0.get(),
        };
        self.physical_timer = Timer {
            ctl: CNTP_CTL_EL0.get(),
            cval: CNTP_CVAL_EL0.get(),
        };
        self.serror = HCR_EL2.is_set(HCR_EL2::VSE);
        super::super::timer::stop_guest_timers();
        stop_walks();
        // Another core may zero the guest's RAM next: no store of the vCPU's comes later.
        dsb();
    }

    /// Gives this core to the vCPU.
    ///
    /// # Safety
    /// `identity.stage2` is the root of live tables that map nothing but the guest's own memory
    /// and devices, and this is the state of the vCPU that `identity` names.
    pub unsafe fn load(&mut self, identity: &Identity) {
        stop_walks();
        // SAFETY: stage 2 is the caller's promise; the rest is state that only the guest sees.
        unsafe {
            identity.load(self.serror);
            self.el1.load();
            if super::has_pointer_authentication() {
                self.keys.load();
            }
            if has_ras() {
                self.deferred.load();
            }
            if has_sme() {
                self.tpidr2.load();
            }
            self.debug.load();
            CNTV_CVAL_EL0.set(self.virtual_timer.cval);
            CNTV_CTL_EL0.set(self.virtual_timer.ctl);
            CNTP_CVAL_EL0.set(self.physical_timer.cval);
            CNTP_CTL_EL0.set(self.physical_timer.ctl);
            isb();
            // In this order: with walks still off there is never a walk by half of the vCPU's registers.
            SCTLR_EL1.set(self.sctlr);
            isb();
            TCR_EL1.set(self.tcr);
        }
        isb();
        if core::mem::take(&mut self.fresh) {
            super::invalidate_tlbs();
        }
    }

    /// Returns when a timer of the vCPU, which is off its core, is going to fire, in ticks of the
    /// physical counter. Those `owed`, the virtual one first, have an interrupt that it is handling.
    pub fn timer_deadline(&self, counter_offset: u64, owed: [bool; 2]) -> Option<u64> {
        let unless_owed = |timer: Timer, owed: bool| timer.fires().filter(|_| !owed);
        let virtual_ = unless_owed(self.virtual_timer, owed[0])
            .map(|cval| cval.saturating_add(counter_offset));
        let physical = unless_owed(self.physical_timer, owed[1]);
        [virtual_, physical].into_iter().flatten().min()
    }

    /// Returns the debug registers, which trap while the vCPU is on its core.
    pub fn debug(&mut self) -> &mut Debug {
        &mut self.debug
    }
}

fn has_sme() -> bool {
    PFR1.is_set(Pfr1::SME)
}

/// Stops EL1's translations: none is begun from here until a vCPU's own TCR_EL1 is back, whatever the
/// registers hold meanwhile. Cortex-A57 and A72 may otherwise keep in their TLBs what they found
/// by registers of two vCPUs (errata 1319537 and 1319367).
fn stop_walks() {
    // The sizes stay: another T0SZ beside the old tables would be a translation of its own.
    TCR_EL1.set(TCR_EL1.get() | NO_WALKS);
    isb();
    SCTLR_EL1.set(SCTLR_EL1_RESET | MMU_ON);
    isb();
}
