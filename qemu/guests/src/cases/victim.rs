// SPDX-License-Identifier: MIT OR Apache-2.0

//! A guest that uses OP-TEE for ever, from all vCPUs and in random order, until it is stopped:
//! sessions, shared buffers, calls left suspended in an RPC, page lists left half-way. Each start
//! is another one: the seed is the counter.

use super::{Test, needs_hypervisor, needs_tee};
use crate::outcome::Outcome;
use crate::rt::call::Regs;
use crate::rt::random::Random;
use crate::rt::tee::{self, Page, command};
use crate::rt::{cpu, env, time};
use crate::{ensure, ensure_eq};

pub const TESTS: &[Test] = &[
    ("h35_all_threads_are_free", all_threads_are_free),
    ("works_for_ever", works_for_ever),
];

/// Pages of the longest list; one page holds the addresses of 511.
const LIST_PAGES: u64 = 6;
const ENTRIES: u64 = 511;
/// Pages of RAM that each vCPU uses: the list's, and those after it.
const PAGES: u64 = LIST_PAGES + 3;
/// Most threads that are looked at.
const MOST_THREADS: usize = 8;
/// Most milliseconds that a call waits for its guest.
const LONGEST: u64 = 20;

/// Checks that no earlier life holds a thread of OP-TEE's: has all of them wait in an RPC at once, then
/// ends them, each a step at a time, since they may wait for each other.
fn all_threads_are_free() -> Outcome {
    needs_hypervisor()?;
    needs_tee()?;
    let [status, threads, ..] = tee::raw([tee::GET_THREAD_COUNT]);
    ensure_eq!(status, 0, "GET_THREAD_COUNT");
    let mut calls = [None; MOST_THREADS];
    for (n, call) in calls.iter_mut().enumerate().take(threads as usize) {
        let out = tee::begin(tee::no_ta(Page::shared(n)));
        ensure!(tee::is_rpc(out[0]), "thread {n} of {threads}: {out:#x?}");
        *call = Some(out);
    }
    while calls.iter().any(Option::is_some) {
        for (n, call) in calls.iter_mut().enumerate() {
            let out = call.map(|out| tee::raw(tee::reply(&out, Page::shared(n))));
            *call = out.filter(|out| tee::is_rpc(out[0]));
        }
    }
    Ok(())
}

fn works_for_ever() -> Outcome {
    needs_hypervisor()?;
    needs_tee()?;
    ensure!(cpu::start_all(), "not all vCPUs are on");
    (1..env::get().vcpus).for_each(|cpu| cpu::begin(cpu, work, 0));
    work(0);
    Ok(())
}

fn work(_: u64) -> u64 {
    let mut worker = Worker::new();
    loop {
        worker.act();
    }
}

/// What one vCPU does. Whether its calls succeed is nothing to it: the other vCPUs may have all of
/// OP-TEE's threads.
struct Worker {
    random: Random,
    /// The first page of RAM.
    start: u64,
}

impl Worker {
    fn new() -> Self {
        let me = cpu::me() as u64;
        let worker = Self {
            random: Random::new(time::now() ^ me),
            start: env::free_ram().start + 4096 * PAGES * me,
        };
        worker.write_list();
        worker
    }

    fn page(&self, n: u64) -> Page {
        Page::at(self.start + 4096 * n)
    }

    /// Returns a buffer, its list, and the message of a call that stays suspended.
    fn others(&self) -> [Page; 3] {
        [0, 1, 2].map(|n| self.page(LIST_PAGES + n))
    }

    /// Writes the list. The pages are any: a few, over and over.
    fn write_list(&self) {
        for n in 0..LIST_PAGES {
            let list = self.page(n);
            for entry in 0..ENTRIES {
                let page = self.page(LIST_PAGES + entry % 2);
                list.set_long(8 * entry as usize, page.address());
            }
            list.set_long(8 * ENTRIES as usize, list.address() + 4096);
        }
    }

    fn act(&mut self) {
        match self.random.below(4) {
            0 => self.session(),
            1 => self.list(),
            2 => self.suspend(|_| ()),
            _ => self.suspend(Self::list),
        }
    }

    /// Opens a session, has buffers filled, closes it.
    fn session(&mut self) {
        const REGISTERED_OUTPUT: u64 = 0x6;
        let [buffer, list, _] = self.others();
        tee::register(list, &[buffer.address()], buffer.cookie());
        let (status, ret, session) = tee::open(tee::WITH_ARG, tee::DEVICE_PTA);
        if (status, ret) == (0, 0) {
            for _ in 0..self.random.below(8) {
                let page = Page::of_arguments()
                    .message(command::INVOKE, 4)
                    .target(0, session)
                    .param(0, REGISTERED_OUTPUT, [0, 4096, buffer.cookie()]);
                tee::perform_patiently(tee::WITH_ARG, page);
            }
            tee::close(tee::WITH_ARG, session);
        }
        tee::unregister(buffer.cookie());
    }

    /// Registers a buffer of a random length, which is no hurry: the hypervisor comes back with
    /// each page of the list, as if for an interrupt.
    fn list(&mut self) {
        let pages = 1 + self.random.below(ENTRIES * LIST_PAGES);
        let cookie = 0x1157_0000_0000 + self.start;
        // What the last time left.
        tee::perform(tee::WITH_ARG, tee::unregistration(cookie));
        let message = tee::registration(self.page(0), 4096 * pages, cookie);
        let answer = |out: &Regs| {
            self.wait();
            tee::reply(out, message)
        };
        tee::perform_with(tee::WITH_ARG, message, answer);
        // Without patience: this vCPU and another may both hold the threads that both wait for.
        tee::perform(tee::WITH_ARG, tee::unregistration(cookie));
    }

    /// Does `meanwhile` while a call waits for the answer to its RPC for a TA.
    fn suspend(&mut self, meanwhile: fn(&mut Self)) {
        let [.., message] = self.others();
        let mut out = tee::begin(tee::no_ta(message));
        while tee::is_rpc(out[0]) {
            self.wait();
            meanwhile(self);
            out = tee::raw(tee::reply(&out, message));
        }
    }

    fn wait(&mut self) {
        time::pause(self.random.below(LONGEST));
    }
}
