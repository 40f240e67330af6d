//! What a core holds of a vCPU beside its general registers, kept while another one runs there.

use super::super::sysreg::{isb, read_sysreg, write_sysreg};
use super::{Identity, debug::Debug, has, hcr};

/// SCTLR_EL1 with MMU and caches off: its RES1 bits.
const SCTLR_EL1_RESET: u64 = 0x30d0_0800;
/// SCTLR_EL1.M.
const MMU_ON: u64 = 1;
/// TCR_EL1.EPD0 and EPD1: no walk is begun.
const NO_WALKS: u64 = 1 << 7 | 1 << 23;
/// ENABLE without IMASK in a timer's CTL.
const TIMER_ON: u64 = 1;

macro_rules! registers {
    ($(#[$doc:meta])* $state:ident: $($field:ident = $name:literal),* $(,)?) => {
        $(#[$doc])*
        #[derive(Clone, Default)]
        struct $state {
            $($field: u64,)*
        }

        impl $state {
            fn save(&mut self) {
                $(self.$field = read_sysreg!($name);)*
            }

            /// # Safety
            /// This core has the registers, and the vCPU whose values these are is next to run.
            unsafe fn load(&self) {
                // SAFETY: the caller's promise; EL2 itself uses none of these.
                unsafe {
                    $(write_sysreg!($name, self.$field);)*
                }
            }
        }
    };
}

registers!(
    /// What EL1 and EL0 write without a trap. SCTLR and TCR are apart: they open the way to
    /// all others.
    El1:
    cpacr = "cpacr_el1",
    ttbr0 = "ttbr0_el1",
    ttbr1 = "ttbr1_el1",
    mair = "mair_el1",
    amair = "amair_el1",
    vbar = "vbar_el1",
    esr = "esr_el1",
    far = "far_el1",
    afsr0 = "afsr0_el1",
    afsr1 = "afsr1_el1",
    contextidr = "contextidr_el1",
    par = "par_el1",
    csselr = "csselr_el1",
    elr = "elr_el1",
    spsr = "spsr_el1",
    sp_el0 = "sp_el0",
    sp_el1 = "sp_el1",
    tpidr_el0 = "tpidr_el0",
    tpidr_el1 = "tpidr_el1",
    tpidrro = "tpidrro_el0",
    cntkctl = "cntkctl_el1",
);
registers!(
    /// FEAT_PAuth's keys: APIA, APIB, APDA, APDB, APGA, low half first.
    Keys:
    ia_lo = "S3_0_C2_C1_0",
    ia_hi = "S3_0_C2_C1_1",
    ib_lo = "S3_0_C2_C1_2",
    ib_hi = "S3_0_C2_C1_3",
    da_lo = "S3_0_C2_C2_0",
    da_hi = "S3_0_C2_C2_1",
    db_lo = "S3_0_C2_C2_2",
    db_hi = "S3_0_C2_C2_3",
    ga_lo = "S3_0_C2_C3_0",
    ga_hi = "S3_0_C2_C3_1",
);
registers!(
    /// FEAT_RAS: VDISR_EL2, what an ESB instruction of the guest has found.
    Deferred:
    vdisr = "S3_4_C12_C1_1",
);

registers!(
    /// FEAT_SME: it is hidden, but only fine-grained traps would keep the guest from this one.
    Tpidr2:
    tpidr2 = "S3_3_C13_C0_5",
);

/// One of the guest's timers.
#[derive(Clone, Copy, Default)]
struct Timer {
    ctl: u64,
    cval: u64,
}

impl Timer {
    /// When it fires on its own counter, if it is going to.
    fn fires(self) -> Option<u64> {
        (self.ctl & 3 == TIMER_ON).then_some(self.cval)
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
    /// As after a warm reset, and nothing of a former guest's.
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
        self.sctlr = read_sysreg!("sctlr_el1");
        self.tcr = read_sysreg!("tcr_el1");
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
        self.debug.save();
        self.virtual_timer = Timer {
            ctl: read_sysreg!("cntv_ctl_el0"),
            cval: read_sysreg!("cntv_cval_el0"),
        };
        self.physical_timer = Timer {
            ctl: read_sysreg!("cntp_ctl_el0"),
            cval: read_sysreg!("cntp_cval_el0"),
        };
        self.serror = read_sysreg!("hcr_el2") & hcr::VSE != 0;
        super::super::timer::stop_guest_timers();
        stop_walks();
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
            write_sysreg!("cntv_cval_el0", self.virtual_timer.cval);
            write_sysreg!("cntv_ctl_el0", self.virtual_timer.ctl);
            write_sysreg!("cntp_cval_el0", self.physical_timer.cval);
            write_sysreg!("cntp_ctl_el0", self.physical_timer.ctl);
            isb();
            write_sysreg!("tcr_el1", self.tcr);
            write_sysreg!("sctlr_el1", self.sctlr);
        }
        isb();
        if core::mem::take(&mut self.fresh) {
            super::invalidate_tlbs();
        }
    }

    /// When a timer of the vCPU, which is off its core, is going to fire, in ticks of the
    /// physical counter. Timers in `owed` (bit n: INTID n) have an interrupt that it is handling.
    pub fn timer_deadline(&self, counter_offset: u64, owed: u32) -> Option<u64> {
        use addr::platform::{PHYSICAL_TIMER_INTID, VIRTUAL_TIMER_INTID};
        let unless_owed =
            |timer: Timer, intid: u32| timer.fires().filter(|_| owed & 1 << intid == 0);
        let virtual_ = unless_owed(self.virtual_timer, VIRTUAL_TIMER_INTID)
            .map(|cval| cval.saturating_add(counter_offset));
        let physical = unless_owed(self.physical_timer, PHYSICAL_TIMER_INTID);
        [virtual_, physical].into_iter().flatten().min()
    }

    /// The debug registers, which trap while the vCPU is on its core.
    pub fn debug(&mut self) -> &mut Debug {
        &mut self.debug
    }
}

fn has_ras() -> bool {
    has(read_sysreg!("id_aa64pfr0_el1"), 28)
}

fn has_sme() -> bool {
    has(read_sysreg!("id_aa64pfr1_el1"), 24)
}

/// No translation of EL1's is begun from here until a vCPU's own TCR_EL1 is back, whatever the
/// registers hold meanwhile. Cortex-A57 and A72 may otherwise keep in their TLBs what they found
/// by registers of two vCPUs (errata 1319537 and 1319367).
fn stop_walks() {
    // SAFETY: registers that only guests use.
    unsafe {
        write_sysreg!("tcr_el1", NO_WALKS);
        isb();
        write_sysreg!("sctlr_el1", SCTLR_EL1_RESET | MMU_ON);
    }
    isb();
}
