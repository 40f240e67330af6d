// SPDX-License-Identifier: MIT OR Apache-2.0

//! A hostile guest: malformed and random calls and accesses, `hostile-rounds` of each kind, from
//! the generator's `seed`; and that OP-TEE and the quotas are as before afterwards.

mod calls;
mod chaos;

use super::{Test, needs_hypervisor};
use crate::outcome::{Outcome, Stop};
use crate::rt::call::{Regs, call};
use crate::rt::sysreg::{self, Sysreg};
use crate::rt::tee::{self, Page, status};
use crate::rt::{cpu, env, gic, read8, read32, read64, trap, write8, write32, write64};
use crate::{ensure, ensure_eq, msr, println};
use calls::Attacker;
use chaos::Chaos;
use platform::Conduit;
use platform::{GICD_BASE, GICD_SIZE, GICR_BASE, GICR_STRIDE};

pub const TESTS: &[Test] = &[
    ("quota_before", quota_before),
    ("calls", || attack(false)),
    ("h01_calls_while_another_vcpu_writes", || attack(true)),
    ("services", services),
    ("immediates", immediates),
    ("interrupt_controller", interrupt_controller),
    ("system_registers", system_registers),
    ("h12_quota_afterwards", quota_afterwards),
    ("h11_threads_afterwards", threads_afterwards),
    ("session_afterwards", session_afterwards),
];

fn needs_tee() -> Outcome {
    needs_hypervisor()?;
    super::needs_tee()
}

/// Calls to OP-TEE. Now and then all that is suspended is served and a session must work.
fn attack(with_race: bool) -> Outcome {
    const BETWEEN: u64 = 64;
    needs_tee()?;
    if with_race {
        super::needs_second_vcpu()?;
    }
    ensure!(cpu::start_all(), "not all vCPUs are on");
    let written = chaos::writes();
    let mut attacker = Attacker::new();
    if with_race {
        chaos::start_other(chaos::race);
    }
    let result = (0..chaos::rounds()).try_for_each(|round| {
        attacker.act()?;
        if round % BETWEEN == BETWEEN - 1 {
            attacker.clean_up()?;
        }
        Ok(())
    });
    ensure!(!with_race || chaos::stop_other(), "the race never ends");
    // Threads must not stay suspended, whatever went wrong.
    let finished = attacker.finish_calls();
    result.and(finished)?;
    attacker.clean_up()?;
    calls::unregister_all();
    println!(
        "guest: {} rounds: {} suspended, {} OK, {} racing writes",
        chaos::rounds(),
        attacker.suspended,
        attacker.successes,
        chaos::writes() - written
    );
    // Else the rounds tested nothing.
    ensure!(
        attacker.suspended > 0 && attacker.successes > 0,
        "no call came through"
    );
    Ok(())
}

/// Calls random functions of the Arm architecture, PSCI and everybody else.
fn services() -> Outcome {
    needs_hypervisor()?;
    // Then CPU_ON cannot start any at a random address.
    ensure!(cpu::start_all(), "not all vCPUs are on");
    let mut chaos = Chaos::new(0x73);
    for _ in 0..chaos::rounds() {
        let function = random_function(&mut chaos);
        let mut before: Regs = core::array::from_fn(|_| chaos.bits());
        before[..8].copy_from_slice(&chaos.registers(function));
        let conduit = if chaos.once_in(2) {
            Conduit::Smc
        } else {
            Conduit::Hvc
        };
        let after = call(conduit, before);
        ensure!(
            before[4..] == after[4..],
            "{function:#x} by {conduit:?} changed x4-x17"
        );
        let leak = after[..4]
            .iter()
            .find(|x| chaos::is_leak(**x) && !before.contains(x));
        ensure!(leak.is_none(), "{function:#x} returned {leak:#x?}");
    }
    Ok(())
}

/// Returns a function: not the trusted OS's functions, and none that ends or suspends the vCPU or
/// the guest.
fn random_function(chaos: &mut Chaos) -> u64 {
    const SUSPEND_OR_OFF: [u64; 8] = [0x01, 0x02, 0x08, 0x09, 0x0b, 0x0c, 0x0e, 0x12];
    loop {
        let owner = match chaos.below(4) {
            0 => chaos.below(50),
            1 => 0,
            _ => 4,
        };
        let number = if chaos.once_in(4) {
            chaos.bits() & 0xffff
        } else {
            chaos.below(0x60)
        };
        let kind = chaos.bits() & !0x3f00_ffff;
        let is_psci = owner == 4 && SUSPEND_OR_OFF.contains(&number);
        if !is_psci {
            return kind | owner << 24 | number;
        }
    }
}

/// Checks that SMC and HVC with any immediate but 0 are nobody's.
fn immediates() -> Outcome {
    const SMC: u32 = 0xd400_0003;
    const HVC: u32 = 0xd400_0002;
    needs_hypervisor()?;
    let mut chaos = Chaos::new(0x69);
    for _ in 0..chaos::rounds() {
        let immediate = 1 + chaos.below(0xffff) as u32;
        let base = if chaos.once_in(2) { SMC } else { HVC };
        // PSCI_VERSION, an identification call of OP-TEE's, or anything.
        let function = [0x8400_0000, 0xbf00_ff01, chaos.bits()][chaos.below(3) as usize];
        let out = sysreg::run(base | immediate << 5, function);
        let unknown = matches!(out, Ok(0xffff_ffff | u64::MAX));
        ensure!(unknown, "{function:#x} with #{immediate:#x}: {out:x?}");
    }
    Ok(())
}

/// Reads and writes of any width anywhere in the GIC, then everything set up anew.
fn interrupt_controller() -> Outcome {
    needs_hypervisor()?;
    ensure!(cpu::start_all(), "not all vCPUs are on");
    if env::get().vcpus > 2 {
        return Err(Stop::Skipped("more than two vCPUs"));
    }
    let mut chaos = Chaos::new(0x67);
    chaos::start_other(chaos::hold);
    cpu::mask_irqs();
    let result = (0..chaos::rounds()).try_for_each(|_| touch_gic(&mut chaos));
    gic::init_distributor();
    gic::init_cpu();
    cpu::unmask_irqs();
    ensure!(chaos::stop_other(), "the second vCPU never comes back");
    result?;
    let before = gic::taken(0, 3);
    gic::send_sgi(3, 1);
    let arrived = crate::rt::time::eventually(|| gic::taken(0, 3) > before);
    ensure!(arrived, "an SGI does not arrive");
    if env::get().vcpus > 1 {
        ensure_eq!(cpu::run_on(1, |x| x + 1, 41), Some(42), "work by SGI");
    }
    Ok(())
}

fn touch_gic(chaos: &mut Chaos) -> Outcome {
    let redistributors = GICR_STRIDE * env::get().vcpus as u64;
    let (base, size) = if env::get().gicv3 && chaos.once_in(2) {
        (GICR_BASE.0, redistributors)
    } else {
        (GICD_BASE.0, GICD_SIZE)
    };
    // Most registers are in the first 4 KiB of a frame of 64 KiB.
    let offset = match chaos.below(3) {
        0 => chaos.below(size),
        _ => chaos.below(size / 0x1_0000) * 0x1_0000 + chaos.below(0x1000),
    };
    let (at, value) = (base + offset, chaos.bits());
    let taken = trap::catch(|| match chaos.below(6) {
        0 => drop(read8(at)),
        1 => drop(read32(at & !3)),
        2 => drop(read64(at & !7)),
        3 => write8(at, value as u8),
        4 => write32(at & !3, value as u32),
        _ => write64(at & !7, value),
    });
    let aborted = taken.is_none_or(|e| e.class() == 0x25);
    ensure!(aborted, "access to {at:#x}: {taken:x?}");
    Ok(())
}

/// Reads of any system register: a value, or UNDEFINED. Group 12 would acknowledge interrupts.
fn system_registers() -> Outcome {
    const TIMERS: u32 = 14;
    const CTR_EL0: Sysreg = Sysreg(3, 3, 0, 0, 1);
    needs_hypervisor()?;
    // The guest's own traps would come before the hypervisor's.
    msr!("cpacr_el1", 3 << 20 | 3 << 16 | 3 << 24);
    let mut chaos = Chaos::new(0x72);
    for _ in 0..chaos::rounds() {
        let mut field = |bound| chaos.below(bound) as u32;
        let register = Sysreg(2 + field(2), field(8), field(16), field(16), field(8));
        if register.2 == 12 {
            continue;
        }
        match register.read() {
            // Counters take every value, and the cache types of some cores look like an address.
            Ok(value) => ensure!(
                register.2 == TIMERS
                    || register == CTR_EL0
                    || chaos::is_ours(value)
                    || !chaos::is_leak(value),
                "{register:?} is {value:#x}"
            ),
            Err(e) => ensure!(e.is_undefined(), "{register:?}: {e:x?}"),
        }
    }
    Ok(())
}

static QUOTA: spin::Once<[Option<usize>; 2]> = spin::Once::new();

/// Tells how many buffers of one page, and of a whole list, can be registered at once. `None` where
/// it is OP-TEE's heap that is used up, not the quota: what others do shows there, and its own
/// holes.
fn quota() -> Result<[Option<usize>; 2], Stop> {
    Ok([registrations(1)?, registrations(511)?])
}

/// Registers buffers of `pages` pages until there is no room, and drops them again.
fn registrations(pages: usize) -> Result<Option<usize>, Stop> {
    const MOST: usize = 5000;
    const LIST: usize = 14;
    let entries = [Page::shared(13).address(); 511];
    let cookie = |n: usize| 0xfee1_0000_0000 + n as u64;
    let refused = |&n: &usize| {
        let done = tee::register(Page::shared(LIST), &entries[..pages], cookie(n));
        done != (0, 0)
    };
    let count = (0..MOST).find(refused).unwrap_or(MOST);
    let by_hypervisor = Page::of_arguments().word(tee::RET_ORIGIN) == tee::COMMS;
    for n in 0..count {
        ensure_eq!(tee::unregister(cookie(n)), (0, 0), "UNREGISTER_SHM");
    }
    Ok(by_hypervisor.then_some(count))
}

fn quota_before() -> Outcome {
    needs_tee()?;
    let found = quota()?;
    println!("guest: quota {found:?}");
    ensure!(found[0] > Some(0), "no quota: {found:?}");
    QUOTA.call_once(|| found);
    Ok(())
}

fn quota_afterwards() -> Outcome {
    needs_tee()?;
    let (before, after) = (QUOTA.get(), quota()?);
    ensure!(
        Some(&after) == before,
        "{after:?} buffers, {before:?} before"
    );
    Ok(())
}

/// As many calls can be suspended at once as OP-TEE has threads, and one more cannot.
fn threads_afterwards() -> Outcome {
    const THREADS: u64 = 0xb200_000f;
    needs_tee()?;
    let threads = tee::raw([THREADS])[1] as usize;
    ensure!((1..8).contains(&threads), "{threads} threads");
    let mut outs = [None; 8];
    for (n, slot) in outs.iter_mut().take(threads).enumerate() {
        *slot = Some(suspend(Page::shared(n))?);
    }
    // The mediator has more calls than OP-TEE has threads.
    let more = tee::perform(tee::WITH_ARG, tee::no_ta(Page::shared(12)));
    for (n, out) in outs.iter().take(threads).enumerate() {
        let mut out = out.unwrap_or([0; 18]);
        while tee::is_rpc(out[0]) {
            out = tee::raw(tee::reply(&out, Page::shared(n)));
        }
        ensure_eq!(out[0], status::OK, "a suspended call's end");
    }
    ensure_eq!(more.0, status::THREAD_LIMIT, "one call more");
    Ok(())
}

/// Leaves a call suspended in its first RPC that is no interrupt.
fn suspend(page: Page) -> Result<Regs, Stop> {
    let out = tee::begin(tee::no_ta(page));
    ensure!(tee::is_rpc(out[0]), "a call for a TA: {:#x}", out[0]);
    Ok(out)
}

/// Opens a session, invokes with a registered buffer, and closes it.
fn session_afterwards() -> Outcome {
    needs_tee()?;
    super::optee::use_optee()
}
