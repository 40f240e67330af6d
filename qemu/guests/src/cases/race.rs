// SPDX-License-Identifier: MIT OR Apache-2.0

//! Calls of two vCPUs that meet inside OP-TEE where a single-minded driver's never do: a buffer is
//! unregistered while another call names it, and both make the guest's first call at once. Without
//! a hypervisor the former brings OP-TEE down.

use core::sync::atomic::{AtomicBool, Ordering::SeqCst};

use super::Test;
use crate::outcome::Outcome;
use crate::rt::call::Regs;
use crate::rt::random::Random;
use crate::rt::tee::{self, Page, command, status};
use crate::rt::{cpu, env, gic, time};
use crate::{ensure, ensure_eq, println};

pub const TESTS: &[Test] = &[
    ("h30_two_first_calls", two_first_calls),
    ("h28_unregister_under_a_parked_call", under_a_parked_call),
    ("h28_unregister_at_random", at_random),
];

const COOKIE: u64 = 0x1234_5000;
const BAD_PARAMETERS: u32 = 0xffff_0006;
/// Pages of the list that makes a call stop half-way: one more than EL2 translates in a step.
const PAGES: u64 = 512;
/// An SGI that means nothing to its receiver, but interrupts OP-TEE there.
const NUDGE_SGI: u32 = 5;

/// Tells how often the race is tried.
fn tries() -> u64 {
    env::number("race-tries").unwrap_or(120)
}

/// Makes two first calls: OP-TEE initializes a guest's partition in its first call. It must be this
/// guest's first, so this test is.
fn two_first_calls() -> Outcome {
    super::needs_tee()?;
    super::needs_second_vcpu()?;
    ensure!(cpu::start_all(), "not all vCPUs are on");
    let at = time::now() + time::ticks(20);
    cpu::begin(1, open_at, at);
    let mine = open_at(at);
    let other = cpu::finish(1);
    ensure_eq!((mine, other), (0, Some(0)), "calls that failed");
    Ok(())
}

/// Opens and closes a session once the counter says `at`. 0 if both went well.
fn open_at(at: u64) -> u64 {
    while time::now() < at {}
    let (status, ret, session) = tee::open(tee::WITH_RPC_ARG, tee::DEVICE_PTA);
    if (status, ret) != (0, 0) {
        return 1;
    }
    u64::from(tee::close(tee::WITH_RPC_ARG, session) != (0, 0))
}

/// Stops an INVOKE that names the buffer half-way through its list at EL2. UNREGISTER then begins
/// so late in the turn of this vCPU that the next interrupt finds it inside OP-TEE, and the INVOKE
/// goes on.
fn under_a_parked_call() -> Outcome {
    let session = prepare()?;
    cpu::begin(1, nudge, 0);
    let mut tally = Tally::default();
    for n in 0..tries() {
        // Where in OP-TEE the interrupt comes: some ticks later each time.
        try_once(session, 500 + n * 2 % 400, &mut tally)?;
    }
    STOP.store(true, SeqCst);
    ensure!(cpu::finish(1).is_some(), "the other vCPU is stuck");
    let Tally {
        held,
        interrupted,
        done,
    } = tally;
    println!("guest: {held} held, {interrupted} interrupted, {done} done under a parked call");
    ensure_eq!(
        (interrupted, done),
        (0, 0),
        "UNREGISTER met a call that names its buffer"
    );
    ensure_eq!(
        tee::close(tee::WITH_RPC_ARG, session),
        (0, 0),
        "CLOSE_SESSION"
    );
    Ok(())
}

/// What became of UNREGISTER beside a call that names its buffer.
#[derive(Default)]
struct Tally {
    /// The call was told to wait.
    held: u32,
    /// The call was interrupted inside OP-TEE.
    interrupted: u32,
    /// The call was done.
    done: u32,
}

/// Prepares a session and the lists that all calls name, and turns all vCPUs on.
fn prepare() -> Result<u32, crate::outcome::Stop> {
    super::needs_hypervisor()?;
    super::needs_tee()?;
    super::needs_second_vcpu()?;
    let (status, ret, session) = tee::open(tee::WITH_RPC_ARG, tee::DEVICE_PTA);
    ensure_eq!((status, ret), (0, 0), "OPEN_SESSION");
    let [first, second] = lists();
    let data = Page::shared(3).address();
    (0..PAGES - 1).for_each(|n| first.set_long(8 * n as usize, data));
    first.set_long(511 * 8, second.address());
    second.set_long(0, data);
    ensure!(cpu::start_all(), "not all vCPUs are on");
    STOP.store(false, SeqCst);
    Ok(session)
}

fn lists() -> [Page; 2] {
    let start = env::free_ram().start;
    [start, start + 4096].map(Page::at)
}

fn register() -> (u64, u32) {
    tee::register(Page::shared(5), &[Page::shared(4).address()], COOKIE)
}

fn unregistration() -> Page {
    let page = Page::shared(7)
        .message(command::UNREGISTER, 1)
        .param(0, 5, [0, 0, COOKIE]);
    tee::prepare_rpc(page);
    page
}

/// Names the buffer, and brings a list too long for one step.
fn invocation(session: u32) -> Page {
    let [list, _] = lists();
    let page = Page::shared(6)
        .message(command::INVOKE, 2)
        .target(0x77, session)
        .param(0, 5, [0, 16, COOKIE])
        .param(1, 0x209, [list.address(), PAGES * 4096, 0x77_7000]);
    tee::prepare_rpc(page);
    page
}

fn go(page: Page) -> Regs {
    let [high, low] = tee::split(page.address());
    tee::raw([tee::WITH_RPC_ARG, high, low, 1, 0, 0, 0, 0])
}

/// Answers until the call is through. Its a0.
fn finish(mut out: Regs, page: Page) -> u64 {
    while tee::is_rpc(out[0]) {
        out = tee::raw(tee::reply(&out, page));
    }
    out[0]
}

fn try_once(session: u32, before_end: u64, tally: &mut Tally) -> Outcome {
    ensure_eq!(register(), (0, 0), "REGISTER_SHM");
    let invoke = invocation(session);
    let parked = go(invoke);
    ensure_eq!(parked[0], tee::FOREIGN_INTERRUPT, "INVOKE is parked");
    let gone = unregistration();
    let out = cpu::without_irqs(|| {
        wait_for_turns_end(before_end);
        go(gone)
    });
    match out[0] {
        status::THREAD_LIMIT => tally.held += 1,
        tee::FOREIGN_INTERRUPT => tally.interrupted += 1,
        _ => tally.done += 1,
    }
    finish(tee::raw(tee::reply(&parked, invoke)), invoke);
    let ended = match finish(out, gone) {
        status::THREAD_LIMIT => tee::perform(tee::WITH_RPC_ARG, unregistration()),
        a0 => (a0, gone.word(tee::RET)),
    };
    ensure_eq!(ended, (0, 0), "UNREGISTER_SHM after INVOKE");
    Ok(())
}

/// Waits until `before_end` ticks of this vCPU's turn are left, if it shares its core: then the
/// other one has just had its turn. A turn is what the manifest says, 500 us.
fn wait_for_turns_end(before_end: u64) {
    let turn = time::ticks(1000) / 2000;
    let limit = time::now() + 4 * turn;
    let mut last = time::now();
    let begin = loop {
        let now = time::now();
        if now - last > turn / 8 || now > limit {
            break now;
        }
        last = now;
    };
    let at = begin + turn - before_end;
    while time::now() < at {}
}

static STOP: AtomicBool = AtomicBool::new(false);

/// Computes, and interrupts the first vCPU where it has a core to itself.
fn nudge(_: u64) -> u64 {
    let mut random = Random::new(1);
    let mut sent = 0;
    while !STOP.load(SeqCst) {
        (0..random.below(2000)).for_each(|_| core::hint::spin_loop());
        gic::send_sgi(NUDGE_SGI, 1);
        sent += 1;
    }
    sent
}

/// Lets one vCPU name the buffer all the time, while the other registers and unregisters it.
fn at_random() -> Outcome {
    let session = prepare()?;
    cpu::begin(1, invoke_on, session.into());
    let mut random = Random::new(env::number("seed").unwrap_or(1));
    let mut waits = 0;
    for _ in 0..tries() {
        ensure_eq!(register(), (0, 0), "REGISTER_SHM");
        (0..random.below(20_000)).for_each(|_| core::hint::spin_loop());
        waits += unregister_patiently()?;
    }
    STOP.store(true, SeqCst);
    let results = cpu::finish(1);
    ensure!(results.is_some(), "the other vCPU is stuck");
    let named = results.unwrap_or(0);
    println!(
        "guest: {} tries at random: {waits} waits, {named} calls named the buffer",
        tries()
    );
    ensure!(named != u64::MAX, "INVOKE ended in an unexpected way");
    ensure_eq!(
        tee::close(tee::WITH_RPC_ARG, session),
        (0, 0),
        "CLOSE_SESSION"
    );
    Ok(())
}

/// Unregisters the buffer; how often that had to wait for a call that names it.
fn unregister_patiently() -> Result<u64, crate::outcome::Stop> {
    for waits in 0..10_000_000 {
        match tee::perform(tee::WITH_RPC_ARG, unregistration()) {
            (status::THREAD_LIMIT, _) => core::hint::spin_loop(),
            ended => {
                ensure_eq!(ended, (0, 0), "UNREGISTER_SHM");
                return Ok(waits);
            }
        }
    }
    ensure!(false, "UNREGISTER_SHM waits for ever");
    Ok(0)
}

/// Names the buffer until told to stop: how often OP-TEE took the call. All bits set if one of
/// them ended as none may.
fn invoke_on(session: u64) -> u64 {
    let mut taken = 0;
    while !STOP.load(SeqCst) {
        let invoke = invocation(session as u32);
        let (status, ret) = tee::perform_patiently(tee::WITH_RPC_ARG, invoke);
        if status != status::OK || ret == 0 {
            return u64::MAX;
        }
        let by_el2 = ret == BAD_PARAMETERS && invoke.word(tee::RET_ORIGIN) == tee::COMMS;
        taken += u64::from(!by_el2);
    }
    taken
}
