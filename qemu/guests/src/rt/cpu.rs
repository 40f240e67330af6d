// SPDX-License-Identifier: MIT OR Apache-2.0

//! The other vCPUs: start them by PSCI, hand them work by SGI.

use super::call::psci::{AFFINITY_INFO, CPU_OFF, CPU_ON, psci};
use super::{env, gic, time};
use crate::{mrs, msr};
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst};

/// Most vCPUs a guest has.
pub const MAX: usize = platform::MAX_VCPUS;

/// The SGI that says there is work. Firmware may keep 8–15 for the secure world.
pub const WORK_SGI: u32 = 7;

struct Mailbox {
    /// How often the vCPU entered by [`CPU_ON`].
    entries: AtomicU64,
    context_id: AtomicU64,
    sctlr: AtomicU64,
    /// A `fn(u64) -> u64`, or 0.
    work: AtomicUsize,
    argument: AtomicU64,
    result: AtomicU64,
}

static MAILBOXES: [Mailbox; MAX] = [const {
    Mailbox {
        entries: AtomicU64::new(0),
        context_id: AtomicU64::new(0),
        sctlr: AtomicU64::new(0),
        work: AtomicUsize::new(0),
        argument: AtomicU64::new(0),
        result: AtomicU64::new(0),
    }
}; MAX];

/// Returns the calling vCPU.
pub fn me() -> usize {
    (mrs!("mpidr_el1") & 7) as usize
}

/// Masks interrupts.
pub fn mask_irqs() {
    msr!("daif", 0x3c0);
}

/// Unmasks IRQs.
pub fn unmask_irqs() {
    msr!("daif", 0x340);
}

/// Runs `f` with interrupts masked.
pub fn without_irqs<T>(f: impl FnOnce() -> T) -> T {
    mask_irqs();
    let result = f();
    unmask_irqs();
    result
}

/// Tells that this vCPU waits in a loop. An emulator that runs one core at a time changes over.
pub fn relax() {
    // SAFETY: a hint.
    unsafe { core::arch::asm!("yield") };
}

/// Waits for an interrupt, pending ones included.
pub fn wait_for_interrupt() {
    // SAFETY: a hint.
    unsafe { core::arch::asm!("dsb sy", "wfi") };
}

unsafe extern "C" {
    fn secondary_entry();
}

/// Tells where a vCPU enters after CPU_ON.
pub fn entry_point() -> u64 {
    secondary_entry as *const () as u64
}

/// Tells how a vCPU was entered last: how often, x0, SCTLR_EL1.
pub fn entered(cpu: usize) -> (u64, u64, u64) {
    let mailbox = &MAILBOXES[cpu];
    (
        mailbox.entries.load(SeqCst),
        mailbox.context_id.load(SeqCst),
        mailbox.sctlr.load(SeqCst),
    )
}

/// Starts `cpu` and waits until it is here. CPU_ON's result.
pub fn start(cpu: usize, context_id: u64) -> i64 {
    let before = entered(cpu).0;
    let result = psci([CPU_ON, cpu as u64, entry_point(), context_id]);
    if result == 0 && !time::eventually(|| entered(cpu).0 > before) {
        return i64::MIN;
    }
    result
}

/// Starts the vCPUs that are not on yet. Whether all are on.
pub fn start_all() -> bool {
    (1..env::get().vcpus).all(|cpu| is_on(cpu) || start(cpu, 0) == 0)
}

/// Tells whether AFFINITY_INFO says that `cpu` is on.
pub fn is_on(cpu: usize) -> bool {
    psci([AFFINITY_INFO, cpu as u64, 0]) == 0
}

/// Gives `cpu`, which idles, some work, without waiting for its end.
pub fn begin(cpu: usize, work: fn(u64) -> u64, argument: u64) {
    let mailbox = &MAILBOXES[cpu];
    mailbox.argument.store(argument, SeqCst);
    mailbox.work.store(work as usize, SeqCst);
    gic::send_sgi(WORK_SGI, 1 << cpu);
}

/// Waits for the work's result; `None` if it never ends.
pub fn finish(cpu: usize) -> Option<u64> {
    let mailbox = &MAILBOXES[cpu];
    time::eventually(|| mailbox.work.load(SeqCst) == 0).then(|| mailbox.result.load(SeqCst))
}

/// Runs `work` on `cpu`, which idles.
pub fn run_on(cpu: usize, work: fn(u64) -> u64, argument: u64) -> Option<u64> {
    begin(cpu, work, argument);
    finish(cpu)
}

/// Tells `cpu`, which idles, to turn itself off, and waits until it is.
pub fn stop(cpu: usize) -> bool {
    begin(cpu, turn_off, 0);
    time::eventually(|| psci([AFFINITY_INFO, cpu as u64, 0]) == 1)
}

fn turn_off(_: u64) -> u64 {
    mask_irqs();
    MAILBOXES[me()].work.store(0, SeqCst);
    psci([CPU_OFF]) as u64
}

#[unsafe(no_mangle)]
extern "C" fn secondary_main(context_id: u64, sctlr: u64) -> ! {
    let mailbox = &MAILBOXES[me()];
    gic::init_cpu();
    mailbox.context_id.store(context_id, SeqCst);
    mailbox.sctlr.store(sctlr, SeqCst);
    mailbox.entries.fetch_add(1, SeqCst);
    loop {
        mask_irqs();
        if mailbox.work.load(SeqCst) == 0 {
            wait_for_interrupt();
        }
        unmask_irqs();
        do_work(mailbox);
    }
}

fn do_work(mailbox: &Mailbox) {
    let work = mailbox.work.load(SeqCst);
    if work == 0 {
        return;
    }
    // SAFETY: `begin` stored a function of this type, and no other core writes but to clear it.
    let work = unsafe { core::mem::transmute::<usize, fn(u64) -> u64>(work) };
    mailbox
        .result
        .store(work(mailbox.argument.load(SeqCst)), SeqCst);
    mailbox.work.store(0, SeqCst);
}
