// SPDX-License-Identifier: MIT OR Apache-2.0

//! Exceptions: interrupts go to the GIC's handler, synchronous ones to whoever expects them.

use super::{call::psci, console, cpu, gic};
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

/// The registers as entry.s stores them.
#[repr(C)]
pub struct Frame {
    x: [u64; 31],
    elr: u64,
    spsr: u64,
}

/// A synchronous exception that was expected.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Exception {
    /// ESR_EL1.
    pub esr: u64,
    /// FAR_EL1.
    pub far: u64,
}

/// ESR_EL1.EC of an UNDEFINED instruction (DDI 0487, D24.2, ESR_EL1).
pub const EC_UNKNOWN: u64 = 0x00;
/// A trapped MRS, MSR or system instruction.
pub const EC_SYSTEM_REGISTER: u64 = 0x18;
/// SVC from AArch64.
pub const EC_SVC: u64 = 0x15;
/// SVC from AArch32.
pub const EC_SVC32: u64 = 0x11;
const EC_INSTRUCTION_ABORT: u64 = 0x21;
const EC_DATA_ABORT: u64 = 0x25;
/// Software step, from the same exception level.
const EC_STEP: u64 = 0x33;
/// Fault status: synchronous external abort, not on a table walk.
const EXTERNAL: u64 = 0x10;
/// An external abort on a table walk; the low two bits are the level.
const EXTERNAL_ON_WALK: u64 = 0x14;

impl Exception {
    /// Returns the exception class.
    pub fn class(self) -> u64 {
        self.esr >> 26
    }

    /// Tells whether this is an UNDEFINED instruction.
    pub fn is_undefined(self) -> bool {
        self.class() == EC_UNKNOWN
    }

    /// Tells whether this is a synchronous external data abort at `address`, a write or not.
    pub fn is_data_abort(self, address: u64, write: bool) -> bool {
        self.class() == EC_DATA_ABORT
            && self.esr & 0x3f == EXTERNAL
            && (self.esr & 1 << 6 != 0) == write
            && self.far == address
    }

    /// Tells whether this is a synchronous external abort on a table walk, of any access.
    pub fn is_walk_abort(self) -> bool {
        let is_abort = matches!(self.class(), EC_INSTRUCTION_ABORT | EC_DATA_ABORT);
        is_abort && self.esr & 0x3c == EXTERNAL_ON_WALK
    }

    /// Tells whether this is an address size fault of stage 1 itself.
    pub fn is_address_size_fault(self) -> bool {
        self.class() == EC_DATA_ABORT && self.esr & 0x3c == 0
    }

    /// Tells whether this is a synchronous external instruction abort at `address`.
    pub fn is_instruction_abort(self, address: u64) -> bool {
        self.class() == EC_INSTRUCTION_ABORT && self.esr & 0x3f == EXTERNAL && self.far == address
    }
}

struct Slot {
    armed: AtomicBool,
    count: AtomicU64,
    esr: AtomicU64,
    far: AtomicU64,
}

static SLOTS: [Slot; cpu::MAX] = [const {
    Slot {
        armed: AtomicBool::new(false),
        count: AtomicU64::new(0),
        esr: AtomicU64::new(0),
        far: AtomicU64::new(0),
    }
}; cpu::MAX];

/// Runs `f` and returns its first synchronous exception, if any. The instruction that takes one is
/// skipped, or, when it could not be fetched, returned from.
pub fn catch(f: impl FnOnce()) -> Option<Exception> {
    let slot = &SLOTS[cpu::me()];
    slot.count.store(0, Relaxed);
    slot.armed.store(true, Relaxed);
    core::sync::atomic::compiler_fence(core::sync::atomic::Ordering::SeqCst);
    f();
    core::sync::atomic::compiler_fence(core::sync::atomic::Ordering::SeqCst);
    slot.armed.store(false, Relaxed);
    let taken = slot.count.load(Relaxed) > 0;
    taken.then(|| Exception {
        esr: slot.esr.load(Relaxed),
        far: slot.far.load(Relaxed),
    })
}

unsafe extern "C" {
    fn enter_el0(pc: u64, pstate: u64);
    fn leave_el0();
    fn enter_step(pc: u64, argument: u64);
}

unsafe extern "C" {
    static __l1_table: [AtomicU64; 512];
}

/// Where the page tables show RAM to EL0: high in AArch64, in the last of the 4 GiB in AArch32.
const EL0_ALIAS: u64 = 1 << 38;
const EL0_ALIAS_32: u64 = 0xc000_0000;

/// Runs the code at `address` in RAM at EL0, in AArch64 or (if `aarch32`) A32 state, until its
/// first exception.
pub fn run_at_el0(address: u64, aarch32: bool) -> Option<Exception> {
    if !aarch32 {
        return enter(address + EL0_ALIAS, 0x3c0);
    }
    run_in_aarch32(address, 0x1d0)
}

/// Runs the T32 code at `address` in RAM at EL0, until its first exception.
pub fn run_thumb_at_el0(address: u64) -> Option<Exception> {
    run_in_aarch32(address, 0x1f0)
}

fn run_in_aarch32(address: u64, pstate: u64) -> Option<Exception> {
    let table = l1_table();
    let identity = table[3].load(Relaxed);
    remap(
        &table[3],
        table[256 + (address >> 30) as usize].load(Relaxed),
    );
    let exception = enter(EL0_ALIAS_32 | address & 0x3fff_ffff, pstate);
    remap(&table[3], identity);
    exception
}

/// Calls the function at `code` with `argument` in x1, one step of software step, and then the
/// rest without. Returns where the step ended; 0 if it never did.
pub fn step(code: u64, argument: u64) -> u64 {
    STEPPED.store(0, Relaxed);
    crate::msr!("oslar_el1", 0);
    // SAFETY: a function that ends by itself, and changes what a function may.
    cpu::without_irqs(|| catch(|| unsafe { enter_step(code, argument) }));
    STEPPED.load(Relaxed)
}

/// Where the last software step ended.
static STEPPED: AtomicU64 = AtomicU64::new(0);

/// Ends the step: the rest runs freely, with debug exceptions masked.
fn end_step(frame: &mut Frame) {
    const SS: u64 = 1 << 21;
    const D: u64 = 1 << 9;
    STEPPED.store(frame.elr, Relaxed);
    frame.spsr = frame.spsr & !SS | D;
    crate::msr!("mdscr_el1", 0);
}

/// Enters `pc`. PSTATE: all interrupts masked, and EL0t or A32 User mode.
fn enter(pc: u64, pstate: u64) -> Option<Exception> {
    // SAFETY: EL0 sees only its alias, and its first exception comes back here.
    catch(|| unsafe { enter_el0(pc, pstate) })
}

/// Returns the page tables: entry `n` shows the `n`th GiB.
pub(super) fn l1_table() -> &'static [AtomicU64; 512] {
    // SAFETY: the table lives as long as the program; entries are changed as a whole.
    unsafe { &__l1_table }
}

/// Remaps by break before make (DDI 0487, D8.16.1).
pub(super) fn remap(entry: &AtomicU64, value: u64) {
    entry.store(0, Relaxed);
    flush();
    entry.store(value, Relaxed);
    flush();
}

fn flush() {
    // SAFETY: no mapping of what the program uses is changed.
    unsafe { core::arch::asm!("dsb ish", "tlbi vmalle1is", "dsb ish", "isb") };
}

const SYNC: u64 = 4;
const IRQ: u64 = 5;
const EL0_SYNC: u64 = 8;
const EL0_SYNC_32: u64 = 12;

#[unsafe(no_mangle)]
extern "C" fn on_exception(kind: u64, frame: &mut Frame) {
    match kind {
        IRQ => gic::on_irq(),
        SYNC if note() => skip(frame),
        EL0_SYNC | EL0_SYNC_32 if note() => {
            frame.elr = leave_el0 as *const () as u64;
            frame.spsr = 0x3c5;
        }
        _ => die(kind, frame),
    }
}

/// Records the exception if this vCPU expects one.
fn note() -> bool {
    let slot = &SLOTS[cpu::me()];
    if slot.count.fetch_add(1, Relaxed) == 0 {
        slot.esr.store(crate::mrs!("esr_el1"), Relaxed);
        slot.far.store(crate::mrs!("far_el1"), Relaxed);
    }
    slot.armed.load(Relaxed)
}

fn skip(frame: &mut Frame) {
    match crate::mrs!("esr_el1") >> 26 {
        EC_INSTRUCTION_ABORT => frame.elr = frame.x[30],
        EC_STEP => end_step(frame),
        // A trapped SVC or HVC returns behind itself already; none is caught from EL1.
        _ => frame.elr += 4,
    }
}

fn die(kind: u64, frame: &Frame) -> ! {
    console::print_last_words(format_args!(
        "\nguest: FAILED: exception {kind} on vCPU {}: esr {:#x} far {:#x} elr {:#x}\n",
        cpu::me(),
        crate::mrs!("esr_el1"),
        crate::mrs!("far_el1"),
        frame.elr,
    ));
    psci::system_off()
}
