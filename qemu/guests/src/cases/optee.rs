// SPDX-License-Identifier: MIT OR Apache-2.0

//! OP-TEE through the mediator: both dialects, shared memory, and what a guest may not do.

use super::{Test, needs_hypervisor, needs_tee};
use crate::outcome::{Outcome, Stop};
use crate::rt::tee::{self, Page, command, status};
use crate::rt::{cpu, env};
use crate::{ensure, ensure_eq};
use platform::UART_BASE;

pub const TESTS: &[Test] = &[
    ("identity", identity),
    ("capabilities", capabilities),
    ("registers_preserved", registers_preserved),
    ("classic_session", || session(tee::WITH_ARG)),
    ("modern_session", || session(tee::WITH_RPC_ARG)),
    ("no_such_ta", no_such_ta),
    ("devices", devices),
    ("registered_message", registered_message),
    ("register_unregister", register_unregister),
    ("many_registrations", many_registrations),
    ("h05_same_cookie_twice", same_cookie_twice),
    ("h06_bad_cookies", bad_cookies),
    ("h04_pages_not_ours", pages_not_ours),
    ("bad_messages", bad_messages),
    ("h10_unknown_threads", unknown_threads),
    ("h21_cache_ends", cache_ends),
    ("not_for_guests", not_for_guests),
    ("all_vcpus_at_once", all_vcpus_at_once),
];

/// Skips when a message may not bring its own RPC argument.
fn needs_rpc_arg() -> Outcome {
    needs_tee()?;
    if tee::capabilities() & tee::CAP_RPC_ARG == 0 {
        return Err(Stop::Skipped("RPC_ARG is not offered"));
    }
    Ok(())
}

fn identity() -> Outcome {
    needs_tee()?;
    let uid = tee::raw([0xbf00_ff01]);
    ensure!(
        uid[..4] == [0x384f_b3e0, 0xe7f8_11e3, 0xaf63_0002, 0xa5d5_c51b],
        "CALLS_UID"
    );
    let os = tee::raw([0xb200_0000]);
    ensure!(
        os[..4] == [0x4861_78e0, 0xe7f8_11e3, 0xbc5e_0002, 0xa5d5_c51b],
        "GET_OS_UUID"
    );
    let revision = tee::raw([0xbf00_ff03]);
    ensure_eq!(revision[0], 2, "CALLS_REVISION");
    ensure!(tee::raw([0xb200_0001])[0] >= 3, "GET_OS_REVISION");
    let threads = tee::raw([tee::GET_THREAD_COUNT]);
    ensure!(
        threads[0] == 0 && threads[1] >= 1,
        "GET_THREAD_COUNT: {:#x?}",
        &threads[..2]
    );
    Ok(())
}

fn capabilities() -> Outcome {
    const RESERVED_SHM: u64 = 1;
    const DYNAMIC_SHM: u64 = 1 << 2;
    needs_tee()?;
    let out = tee::raw([tee::EXCHANGE_CAPABILITIES, 0]);
    ensure_eq!(out[0], status::OK, "EXCHANGE_CAPABILITIES");
    ensure!(
        out[1] & DYNAMIC_SHM != 0,
        "capabilities {:#x} lack dynamic shared memory",
        out[1]
    );
    needs_hypervisor()?;
    ensure_eq!(out[1] & RESERVED_SHM, 0, "reserved shared memory");
    ensure_eq!(
        tee::raw([0xb200_0007])[0],
        status::NOT_AVAILABLE,
        "GET_SHM_CONFIG"
    );
    Ok(())
}

/// Checks that x4 and up come back as they were; what is returned is zero-extended.
fn registers_preserved() -> Outcome {
    needs_tee()?;
    needs_hypervisor()?;
    for function in [
        0xbf00_ff01,
        tee::EXCHANGE_CAPABILITIES,
        0xb200_000f,
        0xb200_fdec,
    ] {
        let before = crate::rt::call::regs([function, 0]);
        let after = crate::rt::call::call(tee::conduit(), before);
        ensure!(before[4..] == after[4..], "{function:#x} changed x4-x17");
        ensure!(
            after[..4]
                .iter()
                .all(|x| x >> 32 == 0 || before.contains(x)),
            "{function:#x}"
        );
    }
    Ok(())
}

/// Opens and closes a session by calls of `function`.
pub fn session(function: u64) -> Outcome {
    if function == tee::WITH_RPC_ARG {
        needs_rpc_arg()?
    } else {
        needs_tee()?
    }
    for _ in 0..3 {
        let (status, ret, session) = tee::open(function, tee::DEVICE_PTA);
        ensure_eq!((status, ret), (0, 0), "OPEN_SESSION");
        ensure_eq!(tee::close(function, session), (0, 0), "CLOSE_SESSION");
    }
    Ok(())
}

fn no_such_ta() -> Outcome {
    needs_tee()?;
    let (status, ret, _) = tee::open(tee::WITH_ARG, tee::NO_TA);
    ensure_eq!(status, 0, "OPEN_SESSION");
    ensure!(ret != 0, "a TA that does not exist opened");
    Ok(())
}

const LIST: usize = 14;

fn list() -> Page {
    Page::shared(LIST)
}

fn register_one(page: Page) -> Outcome {
    let done = tee::register(list(), &[page.address()], page.cookie());
    ensure_eq!(done, (0, 0), "REGISTER_SHM");
    Ok(())
}

fn unregister_one(page: Page) -> Outcome {
    ensure_eq!(tee::unregister(page.cookie()), (0, 0), "UNREGISTER_SHM");
    Ok(())
}

/// Asks the device enumeration pseudo TA: with no buffer, and with one.
fn devices() -> Outcome {
    const NULL_OUTPUT: u64 = 0xa;
    const REGISTERED_OUTPUT: u64 = 0x6;
    const GUARD: u32 = 0x6775_6172;
    needs_tee()?;
    let (_, ret, session) = tee::open(tee::WITH_ARG, tee::DEVICE_PTA);
    ensure_eq!(ret, 0, "OPEN_SESSION");
    let buffer = Page::shared(0);
    buffer.fill(GUARD);
    register_one(buffer)?;
    let invoke = |attr, values| {
        let page = Page::of_arguments()
            .message(command::INVOKE, 4)
            .target(0, session);
        let done = tee::perform_patiently(tee::WITH_ARG, page.param(0, attr, values));
        (done, page.values(0))
    };
    let (asked, [_, size, _]) = invoke(NULL_OUTPUT, [0, 0, 0]);
    let (told, values) = invoke(REGISTERED_OUTPUT, [0, 4096, buffer.cookie()]);
    unregister_one(buffer)?;
    ensure_eq!(tee::close(tee::WITH_ARG, session), (0, 0), "CLOSE_SESSION");
    if (asked, size) == ((0, 0), 0) {
        return Err(Stop::Skipped("this OP-TEE lists no devices"));
    }
    ensure_eq!(asked, (0, tee::SHORT_BUFFER), "without a buffer");
    ensure!(
        size > 0 && size % 16 == 0 && size <= 4096,
        "{size} bytes of UUIDs"
    );
    ensure_eq!(told, (0, 0), "with a buffer");
    ensure_eq!(
        values,
        [0, size, buffer.cookie()],
        "the parameter afterwards"
    );
    ensure!(buffer.word(0) != GUARD, "no UUID was written");
    ensure_eq!(
        buffer.word(size as usize),
        GUARD,
        "the word behind the UUIDs"
    );
    Ok(())
}

/// Tries CALL_WITH_REGD_ARG: the message itself lies in registered memory.
fn registered_message() -> Outcome {
    needs_rpc_arg()?;
    let page = Page::shared(1);
    register_one(page)?;
    let done = open_and_close_registered(page);
    unregister_one(page)?;
    done?;
    let gone = tee::perform_registered(page.message(command::CLOSE, 0));
    ensure!(
        gone.0 != 0,
        "a message under a cookie that is gone: {gone:x?}"
    );
    Ok(())
}

fn open_and_close_registered(page: Page) -> Outcome {
    let (uuid_0, uuid_1) = tee::DEVICE_PTA;
    page.message(command::OPEN, 2)
        .param(0, 0x101, [uuid_0, uuid_1, 0])
        .param(1, 0x101, [0, 0, 0x8000_0000]);
    tee::prepare_rpc(page);
    ensure_eq!(tee::perform_registered(page), (0, 0), "OPEN_SESSION");
    let session = page.word(8);
    page.message(command::CLOSE, 0).target(0, session);
    tee::prepare_rpc(page);
    ensure_eq!(tee::perform_registered(page), (0, 0), "CLOSE_SESSION");
    Ok(())
}

/// Uses a session in each dialect that there is, and buffers.
pub fn use_optee() -> Outcome {
    session(tee::WITH_ARG)?;
    if needs_rpc_arg().is_ok() {
        session(tee::WITH_RPC_ARG)?;
    }
    devices()?;
    register_unregister()
}

/// Registers and unregisters often enough that a lost record or page would be missed.
fn register_unregister() -> Outcome {
    needs_tee()?;
    let pages: [u64; 8] = core::array::from_fn(|n| Page::shared(n).address());
    for _ in 0..200 {
        let cookie = Page::shared(0).cookie();
        ensure_eq!(
            tee::register(list(), &pages, cookie),
            (0, 0),
            "REGISTER_SHM"
        );
        ensure_eq!(tee::unregister(cookie), (0, 0), "UNREGISTER_SHM");
    }
    Ok(())
}

fn many_registrations() -> Outcome {
    needs_tee()?;
    let page = Page::shared(0);
    let cookies = (1..=64).map(|n| page.cookie() + 0x1000 * n);
    for cookie in cookies.clone() {
        let done = tee::register(list(), &[page.address()], cookie);
        ensure_eq!(done, (0, 0), "REGISTER_SHM");
    }
    for cookie in cookies {
        ensure_eq!(tee::unregister(cookie), (0, 0), "UNREGISTER_SHM");
    }
    Ok(())
}

fn same_cookie_twice() -> Outcome {
    needs_tee()?;
    needs_hypervisor()?;
    let page = Page::shared(0);
    register_one(page)?;
    let (status, ret) = tee::register(list(), &[page.address()], page.cookie());
    ensure!(status != 0 || ret != 0, "the same cookie twice");
    unregister_one(page)
}

fn bad_cookies() -> Outcome {
    needs_tee()?;
    for cookie in [0, 1, Page::shared(2).cookie(), u64::MAX] {
        let (status, ret) = tee::unregister(cookie);
        ensure!(status != 0 || ret != 0, "UNREGISTER_SHM of {cookie:#x}");
    }
    needs_hypervisor()?;
    let (_, ret, session) = tee::open(tee::WITH_ARG, tee::DEVICE_PTA);
    ensure_eq!(ret, 0, "OPEN_SESSION");
    for (offset, size, cookie) in [(0, 16, 0), (0, 16, 0xdead), (u64::MAX, 16, 1)] {
        let page = Page::of_arguments()
            .message(command::INVOKE, 4)
            .target(0, session);
        let page = page.param(0, 0x6, [offset, size, cookie]);
        let (status, ret) = tee::perform_patiently(tee::WITH_ARG, page);
        let refused = status != 0 || ret != 0 && ret != tee::SHORT_BUFFER;
        ensure!(
            refused,
            "buffer of cookie {cookie:#x}: {status:#x}, {ret:#x}"
        );
    }
    ensure_eq!(tee::close(tee::WITH_ARG, session), (0, 0), "CLOSE_SESSION");
    Ok(())
}

/// Offers pages of devices, of the secure world, of none, and of what lies behind the guest's
/// RAM.
fn pages_not_ours() -> Outcome {
    needs_tee()?;
    needs_hypervisor()?;
    let (start, size) = env::get().ram;
    let page = Page::shared(0);
    for other in [
        0,
        0x0e10_0000,
        UART_BASE.0,
        start - 4096,
        start + size,
        1 << 47,
        !4095,
    ] {
        for pages in [[other, page.address()], [page.address(), other]] {
            let (status, ret) = tee::register(list(), &pages, page.cookie());
            ensure!(
                status != 0 || ret != 0,
                "a page at {other:#x} was registered"
            );
        }
    }
    // The cookie of a refused registration is free.
    register_one(page)?;
    unregister_one(page)
}

fn bad_messages() -> Outcome {
    needs_tee()?;
    needs_hypervisor()?;
    let (start, size) = env::get().ram;
    for address in [
        0,
        start - 4096,
        start + size,
        UART_BASE.0,
        Page::shared(0).address() + 8,
        1 << 52,
    ] {
        let [high, low] = tee::split(address);
        let out = tee::raw([tee::WITH_ARG, high, low, 1, 0, 0, 0, 0]);
        ensure!(
            out[0] == status::BAD_ADDRESS,
            "message at {address:#x}: {:#x}",
            out[0]
        );
    }
    for params in [128, 1000, u32::MAX] {
        let page = Page::of_arguments().message(command::INVOKE, 0);
        page.set_word(28, params);
        let (status, ret) = tee::perform(tee::WITH_ARG, page);
        ensure!(status != 0 || ret != 0, "{params} parameters");
    }
    let page = Page::of_arguments().message(0x1234, 0);
    let (status, ret) = tee::perform(tee::WITH_ARG, page);
    ensure!(status != 0 || ret != 0, "command 0x1234");
    Ok(())
}

fn unknown_threads() -> Outcome {
    needs_tee()?;
    for thread in [0, 1, 2, 1000, 0x8000_0000, 0xffff_ffff] {
        let out = tee::raw([tee::RETURN_FROM_RPC, 0, 0, thread, 0, 0, 0, 0]);
        ensure!(
            out[0] == status::RESUME,
            "resume of thread {thread:#x}: {:#x}",
            out[0]
        );
    }
    Ok(())
}

fn cache_ends() -> Outcome {
    needs_tee()?;
    for _ in 0..1000 {
        if tee::raw([0xb200_000a])[0] == status::NOT_AVAILABLE {
            return Ok(());
        }
    }
    ensure!(false, "DISABLE_SHM_CACHE never ends");
    Ok(())
}

/// Calls that belong to the hypervisor, the boot loader or other machines.
fn not_for_guests() -> Outcome {
    needs_tee()?;
    needs_hypervisor()?;
    for (function, name) in [
        (0xbf00_0002, "LOAD_IMAGE"),
        (0xb200_0008, "L2CC_MUTEX"),
        (0xb200_000c, "BOOT_SECONDARY"),
        (0xb200_000d, "VM_CREATED"),
        (0xb200_000e, "VM_DESTROYED"),
        (0xb200_0014, "GET_PROTMEM_CONFIG"),
        (0xb200_fdec, "an undefined fast call"),
        (0x3200_fdec, "an undefined yielding call"),
    ] {
        for id in 0..3 {
            let out = tee::raw([function, id, 0, 0, 0, 0, 0, id]);
            ensure!(
                out[0] != 0 && out[0] <= status::UNKNOWN,
                "{name}: {:#x}",
                out[0]
            );
        }
    }
    session(tee::WITH_ARG)
}

/// Sessions from every vCPU; there may be fewer threads than vCPUs.
fn all_vcpus_at_once() -> Outcome {
    needs_tee()?;
    super::needs_second_vcpu()?;
    ensure!(cpu::start_all(), "not all vCPUs are on");
    for cpu in 1..env::get().vcpus {
        cpu::begin(cpu, open_and_close, 50);
    }
    ensure_eq!(open_and_close(50), 50, "sessions of vCPU 0");
    for cpu in 1..env::get().vcpus {
        ensure_eq!(cpu::finish(cpu), Some(50), "sessions of another vCPU");
    }
    Ok(())
}

/// Counts how many sessions were fine.
fn open_and_close(count: u64) -> u64 {
    (0..count)
        .take_while(|_| {
            let (status, ret, session) = tee::open(tee::WITH_ARG, tee::DEVICE_PTA);
            (status, ret) == (0, 0) && tee::close(tee::WITH_ARG, session) == (0, 0)
        })
        .count() as u64
}
