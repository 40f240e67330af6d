//! Entering a guest, and the registers that decide what it can do.

use core::arch::global_asm;

use addr::{Pa, VmId};

use super::sysreg::{dsb, isb, read_sysreg, write_sysreg};

pub mod debug;
mod exception;
pub mod fp;
mod state;

pub use exception::raise;
pub use state::CpuState;

global_asm!(include_str!("../vectors.s"));

/// SPSR for a start at EL1 with SP_EL1 and everything masked (DEN0022F 6.4.3).
const SPSR_EL1H: u64 = 0x3c5;

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
    pub const TWI: u64 = 1 << 13;
    pub const TWE: u64 = 1 << 14;
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

/// FEAT_PAuth by any algorithm: APA, API, GPA, GPI, and APA3, GPA3.
fn has_pointer_authentication() -> bool {
    read_sysreg!("id_aa64isar1_el1") & 0xff00_0ff0 != 0
        || read_sysreg!("S3_0_C0_C6_2") & 0xff00 != 0
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
    let pmu = 1 << 5 | 1 << 6 | 1 << 14 | 1 << 19;
    // Debug registers: TDA, TDOSA, TDRA; see `debug`.
    let mdcr = counters | pmu | 1 << 9 | 1 << 10 | 1 << 11;
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

/// What a core needs to run a certain vCPU, beside the vCPU's own state.
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
    /// Whether WFI and WFE give the core away, or wait there.
    pub shares_core: bool,
}

impl Identity {
    /// # Safety
    /// As for [`CpuState::load`].
    unsafe fn load(&self, serror: bool) {
        let vmid = u64::from(self.vm.0) + 1;
        let vtcr = stage2::vtcr(read_sysreg!("id_aa64mmfr0_el1") & 0xf);
        let mut hcr = hcr_value();
        if serror {
            hcr |= hcr::VSE;
        }
        if self.shares_core {
            hcr |= hcr::TWI | hcr::TWE;
        }
        // SAFETY: the caller's promise.
        unsafe {
            write_sysreg!("hcr_el2", hcr);
            write_sysreg!("vtcr_el2", vtcr);
            write_sysreg!("vttbr_el2", vmid << 48 | self.stage2.0);
            write_sysreg!("vmpidr_el2", self.mpidr);
            write_sysreg!("cntvoff_el2", self.counter_offset);
        }
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
