// SPDX-License-Identifier: MIT OR Apache-2.0

//! Attacks through OP-TEE, and on the mediator before it.

use super::{cpu_time, repeat};
use crate::rt::call::psci::{SYSTEM_RESET, psci};
use crate::rt::tee::{self, Page, WITH_ARG};
use crate::rt::{cpu, env};

/// Entries of a page of a list, before the address of the next page.
const ENTRIES: usize = 511;
const LARGE: usize = 8_192;
const COOKIE: u64 = 0xde1a_0000_0000;

pub fn fast_calls(until: u64) {
    // CALLS_REVISION, OS_REVISION, EXCHANGE_CAPABILITIES, GET_THREAD_COUNT, GET_ASYNC_NOTIF_VALUE.
    let functions = [
        0xbf00_ff03,
        0xbf00_0001,
        0xb200_0009,
        0xb200_000f,
        0xb200_0011,
    ];
    repeat(until, || {
        for function in functions {
            tee::raw([function, 0]);
        }
    });
}

pub fn unknown_functions(until: u64) {
    repeat(until, || {
        for function in [
            0xb200_fdec,
            0x3200_fdec,
            0xbf00_0002,
            0x3200_0003,
            0xb700_0000,
        ] {
            tee::raw([function, 0, 0, 0, 0, 0, 0, 0]);
        }
    });
}

/// Messages that lie nowhere, have too many parameters, or a command that there is not.
pub fn bad_messages(until: u64) {
    repeat(until, || {
        tee::raw([WITH_ARG, 0xff, 0, 1, 0, 0, 0, 0]);
        tee::perform(WITH_ARG, Page::of_arguments().message(1, 100));
        tee::perform(WITH_ARG, Page::of_arguments().message(0x1234, 0));
    });
}

pub fn sessions(until: u64) {
    repeat(until, || {
        let (_, _, session) = tee::open(WITH_ARG, tee::DEVICE_PTA);
        tee::close(WITH_ARG, session);
    });
}

pub fn sessions_twice(until: u64) {
    cpu_time::on_two(until, |until| {
        sessions(until);
        0
    });
}

pub fn small_buffers(until: u64) {
    let [page, list] = [0, 1].map(Page::shared);
    repeat(until, || {
        tee::register(list, &[page.address()], page.cookie());
        tee::unregister(page.cookie());
    });
}

pub fn large_buffers(until: u64) {
    let list = long_list(None);
    repeat(until, || {
        tee::perform(
            WITH_ARG,
            tee::registration(list, 4096 * LARGE as u64, COOKIE),
        );
        tee::unregister(COOKIE);
    });
}

/// Lists whose last page names the first as the next.
pub fn endless_lists(until: u64) {
    let list = long_list(Some(0));
    repeat(until, || {
        tee::perform(WITH_ARG, tee::registration(list, u64::MAX >> 12, COOKIE));
        tee::perform(WITH_ARG, tee::registration(list, 100 << 20, COOKIE));
        tee::unregister(COOKIE);
    });
}

/// Writes a list of many pages, which are the same one. Behind its last page comes the one of this number, if any.
fn long_list(last: Option<usize>) -> Page {
    let start = env::free_ram().start;
    let at = |n: usize| Page::at(start + 4096 * n as u64);
    let count = LARGE.div_ceil(ENTRIES);
    for n in 0..count {
        for entry in 0..ENTRIES {
            at(n).set_long(8 * entry, Page::shared(0).address());
        }
        let next = Some(n + 1).filter(|&next| next < count).or(last);
        at(n).set_long(8 * ENTRIES, next.map_or(0, |next| at(next).address()));
    }
    at(0)
}

/// Has calls wait for its answer until OP-TEE has no thread left, then answers.
pub fn suspended_calls(until: u64) {
    repeat(until, || {
        let calls = [0, 1, 2].map(|n| (n, tee::begin(tee::no_ta(Page::shared(n)))));
        for (n, mut out) in calls {
            while tee::is_rpc(out[0]) {
                out = tee::raw(tee::reply(&out, Page::shared(n)));
            }
        }
    });
}

/// Resets while OP-TEE has much of it.
pub fn resets(until: u64) {
    tee::perform(
        WITH_ARG,
        tee::registration(long_list(None), 4096 * LARGE as u64, COOKIE),
    );
    for n in 1..100 {
        tee::register(
            Page::shared(1),
            &[Page::shared(0).address()],
            COOKIE + 0x1000 * n,
        );
    }
    tee::open(WITH_ARG, tee::DEVICE_PTA);
    tee::begin(tee::no_ta(Page::shared(2)));
    cpu::start_all();
    repeat(until, || {
        psci([SYSTEM_RESET]);
    });
}
