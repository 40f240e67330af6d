//! Entering a guest, and the registers that decide what it can do.

use core::arch::global_asm;

use addr::{Pa, VmId};

use super::sysreg::{dsb, isb, read_sysreg, write_sysreg};

global_asm!(include_str!("vectors.s"));

/// SPSR for a start at EL1 with SP_EL1 and everything masked (DEN0022F 6.4.3).
const SPSR_EL1H: u64 = 0x3c5;
/// SCTLR_EL1 with MMU and caches off: its RES1 bits.
const SCTLR_EL1_RESET: u64 = 0x30d0_0800;

/// What a trap leaves of the guest's registers. `vectors.s` relies on the layout.
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

impl GuestRegs {
    /// A vCPU that starts at `entry` with x0 = `context`.
    pub fn start(entry: u64, context: u64) -> Self {
        let mut regs = Self {
            pc: entry,
            spsr: SPSR_EL1H,
            ..Self::default()
        };
        regs.x[0] = context;
        regs
    }

    /// Register number `index` as an instruction names it: 31 is the zero register.
    pub fn get(&self, index: usize) -> u64 {
        self.x.get(index).copied().unwrap_or(0)
    }

    /// Sets register number `index`; writes to the zero register are lost.
    pub fn set(&mut self, index: usize, value: u64) {
        if let Some(register) = self.x.get_mut(index) {
            *register = value;
        }
    }

    /// Steps over the trapped instruction.
    pub fn advance(&mut self) {
        // SPSR.IL marks a 32-bit instruction only in ESR; an AArch64 one is always 4 bytes.
        self.pc = self.pc.wrapping_add(4);
    }
}

/// Why the guest stopped running.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// A synchronous exception, with ESR_EL2.
    Sync(u64),
    /// A physical interrupt is pending.
    Interrupt,
    /// A physical SError.
    SError,
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
    match vector & 3 {
        0 => Exit::Sync(read_sysreg!("esr_el2")),
        1 | 2 => Exit::Interrupt,
        _ => Exit::SError,
    }
}

/// FAR_EL2 of the last synchronous exit.
pub fn fault_address() -> u64 {
    read_sysreg!("far_el2")
}

/// The page that the last stage-2 fault was about: HPFAR_EL2.FIPA.
pub fn fault_page() -> addr::Ipa {
    addr::Ipa((read_sysreg!("hpfar_el2") & 0xfff_ffff_fff0) << 8)
}

/// Bits of HCR_EL2 (DDI 0487 D19.2.48).
mod hcr {
    pub const VM: u64 = 1 << 0;
    pub const SWIO: u64 = 1 << 1;
    pub const FMO: u64 = 1 << 3;
    pub const IMO: u64 = 1 << 4;
    pub const AMO: u64 = 1 << 5;
    pub const VSE: u64 = 1 << 8;
    pub const FB: u64 = 1 << 9;
    pub const BSU_INNER: u64 = 1 << 10;
    pub const TID1: u64 = 1 << 16;
    pub const TID3: u64 = 1 << 18;
    pub const TSC: u64 = 1 << 19;
    pub const TIDCP: u64 = 1 << 20;
    pub const TACR: u64 = 1 << 21;
    pub const RW: u64 = 1 << 31;
    pub const TLOR: u64 = 1 << 35;
    pub const TERR: u64 = 1 << 36;
    pub const TID5: u64 = 1 << 58;
    pub const APK: u64 = 1 << 40;
    pub const API: u64 = 1 << 41;
}

fn hcr_value() -> u64 {
    let mut value = hcr::VM
        | hcr::SWIO
        | hcr::FMO
        | hcr::IMO
        | hcr::AMO
        | hcr::FB
        | hcr::BSU_INNER
        | hcr::TID1
        | hcr::TID3
        | hcr::TSC
        | hcr::TIDCP
        | hcr::TACR
        | hcr::RW;
    // Each of these is RES0 on a CPU without the feature.
    if has(read_sysreg!("id_aa64mmfr1_el1"), 16) {
        value |= hcr::TLOR;
    }
    if has(read_sysreg!("id_aa64pfr0_el1"), 28) {
        value |= hcr::TERR;
    }
    if has(read_sysreg!("id_aa64pfr1_el1"), 8) {
        value |= hcr::TID5;
    }
    // The keys are the guest's.
    if has_pointer_authentication() {
        value |= hcr::APK | hcr::API;
    }
    value
}

/// Whether the field of an identification register at `shift` says that there is something.
fn has(register: u64, shift: u32) -> bool {
    register >> shift & 0xf != 0
}

/// FEAT_PAuth: APA, API, GPA, GPI.
fn has_pointer_authentication() -> bool {
    read_sysreg!("id_aa64isar1_el1") & 0xff00_0ff0 != 0
}

/// Makes the guest's next instruction take a virtual SError.
pub fn pend_serror() {
    let value = read_sysreg!("hcr_el2") | hcr::VSE;
    // SAFETY: VSE only affects the guest.
    unsafe { write_sysreg!("hcr_el2", value) };
}

/// Settings of this core that hold for every guest.
pub fn init_core() {
    // CPTR: trap SVE, SME, trace and activity monitors; the rest are RES1 (DDI 0487 D19.2.34).
    let cptr = 0x33ff | 1 << 20 | 1 << 30;
    // MDCR: trap the PMU, statistical profiling and trace filters; leave all PMU counters to EL1 as reset does.
    let counters = match read_sysreg!("id_aa64dfr0_el1") >> 8 & 0xf {
        0 | 0xf => 0,
        _ => read_sysreg!("pmcr_el0") >> 11 & 0x1f,
    };
    let mdcr = counters | 1 << 5 | 1 << 6 | 1 << 14 | 1 << 19;
    // CNTHCTL: the guest may use the physical counter and timer.
    let cnthctl = 3;
    // SAFETY: these only choose what traps from EL1 and EL0.
    unsafe {
        write_sysreg!("cptr_el2", cptr);
        write_sysreg!("mdcr_el2", mdcr);
        write_sysreg!("cnthctl_el2", cnthctl);
        write_sysreg!("hstr_el2", 0);
        init_fine_grained_traps();
        write_sysreg!("vpidr_el2", super::cpu::midr());
    }
    isb();
}

/// Fine-grained traps all off, and features behind HCRX_EL2 all off.
///
/// # Safety
/// EL3 must let EL2 use the registers of the features it shows, as Linux's boot protocol asks.
unsafe fn init_fine_grained_traps() {
    let mmfr0 = read_sysreg!("id_aa64mmfr0_el1");
    let mmfr1 = read_sysreg!("id_aa64mmfr1_el1");
    let pfr0 = read_sysreg!("id_aa64pfr0_el1");
    // SAFETY: the registers exist by their features; zero turns every trap off and hides what
    // must be turned on.
    unsafe {
        if mmfr0 >> 56 & 0xf != 0 {
            write_sysreg!("S3_4_C1_C1_4", 0); // HFGRTR_EL2
            write_sysreg!("S3_4_C1_C1_5", 0); // HFGWTR_EL2
            write_sysreg!("S3_4_C1_C1_6", 0); // HFGITR_EL2
            write_sysreg!("S3_4_C3_C1_4", 0); // HDFGRTR_EL2
            write_sysreg!("S3_4_C3_C1_5", 0); // HDFGWTR_EL2
        }
        if mmfr1 >> 40 & 0xf != 0 {
            write_sysreg!("S3_4_C1_C2_2", 0); // HCRX_EL2
        }
        if pfr0 >> 40 & 0xf != 0 {
            write_sysreg!("S3_4_C10_C5_0", 3 << 48); // MPAM2_EL2: trap EL1's and EL0's accesses
        }
    }
}

/// What a core needs to run a certain vCPU.
#[derive(Clone, Copy, Debug)]
pub struct Identity {
    /// The guest; its VMID is one more, so that 0 stays unused.
    pub vm: VmId,
    /// MPIDR_EL1 as the guest reads it.
    pub mpidr: u64,
    /// Root of its stage-2 tables.
    pub stage2: Pa,
    /// CNTVOFF_EL2: CNTPCT at the guest's start.
    pub counter_offset: u64,
}

/// Gives this core to a vCPU, with the EL1 and EL0 state of a core after reset.
///
/// # Safety
/// `identity.stage2` is the root of live tables that map nothing but the guest's own memory.
pub unsafe fn load(identity: &Identity) {
    let vmid = u64::from(identity.vm.0) + 1;
    let vtcr = stage2::vtcr(read_sysreg!("id_aa64mmfr0_el1") & 0xf);
    // SAFETY: stage 2 is the caller's promise; the rest is state that only the guest sees.
    unsafe {
        write_sysreg!("hcr_el2", hcr_value());
        write_sysreg!("vtcr_el2", vtcr);
        write_sysreg!("vttbr_el2", vmid << 48 | identity.stage2.0);
        write_sysreg!("vmpidr_el2", identity.mpidr);
        write_sysreg!("cntvoff_el2", identity.counter_offset);
    }
    super::timer::stop_guest_timers();
    reset_el1();
    isb();
    invalidate_tlbs();
}

/// Takes this core's guest away: nothing can be walked or cached for it any more.
pub fn unload() {
    super::timer::stop_guest_timers();
    // SAFETY: no guest runs; with VM off the guest's tables are unused.
    unsafe { write_sysreg!("hcr_el2", hcr::RW | hcr::FMO | hcr::IMO | hcr::AMO) };
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

/// EL1 and EL0 registers as a warm reset would leave them, and nothing of a former guest's.
fn reset_el1() {
    macro_rules! clear {
        ($($name:literal)*) => { $( write_sysreg!($name, 0); )* };
    }
    let has_ras = has(read_sysreg!("id_aa64pfr0_el1"), 28);
    let has_sme = has(read_sysreg!("id_aa64pfr1_el1"), 24);
    // SAFETY: only the guest uses these registers, which exist by their features.
    unsafe {
        write_sysreg!("sctlr_el1", SCTLR_EL1_RESET);
        clear!("actlr_el1" "cpacr_el1" "ttbr0_el1" "ttbr1_el1" "tcr_el1" "mair_el1" "amair_el1"
            "vbar_el1" "esr_el1" "far_el1" "afsr0_el1" "afsr1_el1" "contextidr_el1" "par_el1"
            "cntkctl_el1" "csselr_el1" "elr_el1" "spsr_el1" "sp_el0" "sp_el1" "tpidr_el0"
            "tpidr_el1" "tpidrro_el0" "mdscr_el1" "cntv_cval_el0" "cntp_cval_el0");
        if has_ras {
            clear!("S3_4_C12_C1_1"); // VDISR_EL2: a guest's DISR_EL1
        }
        if has_sme {
            clear!("S3_3_C13_C0_5"); // TPIDR2_EL0: of SME, but only fine-grained traps hide it
        }
        if has_pointer_authentication() {
            clear!("S3_0_C2_C1_0" "S3_0_C2_C1_1" "S3_0_C2_C1_2" "S3_0_C2_C1_3" "S3_0_C2_C2_0"
                "S3_0_C2_C2_1" "S3_0_C2_C2_2" "S3_0_C2_C2_3" "S3_0_C2_C3_0" "S3_0_C2_C3_1");
        }
        clear_fp();
    }
}

/// Zeroes the FP and SIMD registers.
///
/// # Safety
/// Only the guest may use them: EL2 is built without.
unsafe fn clear_fp() {
    macro_rules! zero {
        ($($n:literal)*) => {
            core::arch::asm!(
                ".arch_extension fp",
                ".arch_extension simd",
                $( concat!("movi v", $n, ".2d, #0"), )*
                "msr fpcr, xzr",
                "msr fpsr, xzr",
                options(nomem, nostack)
            )
        };
    }
    // SAFETY: the caller's promise; CPTR_EL2 lets EL2 use FP.
    unsafe {
        zero!("0" "1" "2" "3" "4" "5" "6" "7" "8" "9" "10" "11" "12" "13" "14" "15" "16" "17"
            "18" "19" "20" "21" "22" "23" "24" "25" "26" "27" "28" "29" "30" "31");
    }
}

/// The vector of an exception that EL2 raises in the guest (DDI 0487 D1.3.1).
fn vector_offset(spsr: u64) -> u64 {
    match spsr & 0x1f {
        0b0_0100 => 0x000, // EL1t
        0b0_0101 => 0x200, // EL1h
        mode if mode & 0x10 == 0 => 0x400,
        _ => 0x600, // from AArch32
    }
}

/// Makes the guest take a synchronous exception to its EL1, as hardware without EL2 would
/// (DDI 0487 D1.3.3).
pub fn raise(regs: &mut GuestRegs, esr: u64, far: Option<u64>) {
    let sctlr = read_sysreg!("sctlr_el1");
    let from_el1 = matches!(regs.spsr & 0x1f, 4 | 5);
    let class = if from_el1 && matches!(esr >> 26, 0x20 | 0x24) {
        1 << 26
    } else {
        0
    };
    // SAFETY: registers that only the guest uses.
    unsafe {
        write_sysreg!("esr_el1", esr | class);
        write_sysreg!("elr_el1", regs.pc);
        write_sysreg!("spsr_el1", regs.spsr);
        if let Some(far) = far {
            write_sysreg!("far_el1", far);
        }
    }
    regs.pc = read_sysreg!("vbar_el1").wrapping_add(vector_offset(regs.spsr));
    regs.spsr = pstate_after_exception(regs.spsr, sctlr);
}

/// EL1h, everything masked; PAN unless SCTLR_EL1.SPAN, SSBS from SCTLR_EL1.DSSBS, DIT kept, the
/// condition flags kept.
fn pstate_after_exception(spsr: u64, sctlr: u64) -> u64 {
    let kept = if spsr & 0x10 == 0 {
        spsr & (0xf << 28 | 1 << 24)
    } else {
        spsr & 0xf << 28
    };
    let has_pan = read_sysreg!("id_aa64mmfr1_el1") >> 20 & 0xf != 0;
    let span_off = sctlr & 1 << 23 == 0;
    let pan = if has_pan && (span_off || spsr & 1 << 22 != 0) {
        1 << 22
    } else {
        0
    };
    let has_ssbs = read_sysreg!("id_aa64pfr1_el1") >> 4 & 0xf != 0;
    let ssbs = if has_ssbs && sctlr & 1 << 44 != 0 {
        1 << 12
    } else {
        0
    };
    kept | pan | ssbs | SPSR_EL1H
}
