// SPDX-License-Identifier: MIT OR Apache-2.0

//! Hostile calls to OP-TEE, and what must hold of every answer.

use super::chaos::{self, Chaos};
use crate::outcome::Outcome;
use crate::rt::call::Regs;
use crate::rt::tee::{self, Page, command, status};
use crate::{ensure, ensure_eq};

/// More than a guest has calls by default.
const CALLS: usize = 32;
/// RPC answers after which a call that does not end never will.
const PATIENCE: usize = 20_000;

/// A call that OP-TEE suspended.
#[derive(Clone, Copy)]
struct Parked {
    page: Page,
    out: Regs,
}

/// A client that does everything wrong but keeps count of its calls.
pub struct Attacker {
    chaos: Chaos,
    parked: [Option<Parked>; CALLS],
    /// Calls that came as far as an RPC.
    pub suspended: u64,
    /// Messages that OP-TEE, or the mediator, answered with success.
    pub successes: u64,
}

impl Attacker {
    pub fn new() -> Self {
        Self {
            chaos: Chaos::new(0x63),
            parked: [None; CALLS],
            suspended: 0,
            successes: 0,
        }
    }

    /// Does one act of hostility.
    pub fn act(&mut self) -> Outcome {
        match self.chaos.below(8) {
            0 => self.random_call(),
            1..4 => self.mutated_message(),
            4 => self.random_resume(),
            5 => self.garbage_reply(),
            _ => self.proper_reply(),
        }?;
        check_pages()
    }

    fn random_call(&mut self) -> Outcome {
        let low = match self.chaos.below(4) {
            0 => self.chaos.bits() & 0xffff,
            1 => 0xff00 + self.chaos.below(4),
            _ => self.chaos.below(0x18),
        };
        let base = [0x3200_0000, 0xb200_0000, 0xbf00_0000][self.chaos.below(3) as usize];
        let above = if self.chaos.once_in(4) {
            self.chaos.bits() << 32
        } else {
            0
        };
        let regs = self.chaos.registers(above | base | low);
        if base | low == tee::RETURN_FROM_RPC {
            return self.resume(regs);
        }
        let page = self.chaos.page();
        self.start(regs, page)
    }

    /// Sends a message as it should be, but for up to two of its fields.
    fn mutated_message(&mut self) -> Outcome {
        let page = self.chaos.page();
        self.write_message(page);
        for _ in 0..self.chaos.below(3) {
            self.mutate(page);
        }
        let (function, at) = match self.chaos.below(5) {
            0..2 => (tee::WITH_ARG, page.address()),
            2..4 => (tee::WITH_RPC_ARG, page.address()),
            _ => (tee::WITH_REGD_ARG, self.chaos.cookie()),
        };
        let [high, low] = tee::split(at);
        let offset = if function == tee::WITH_REGD_ARG {
            8 * self.chaos.below(8) * self.chaos.below(100)
        } else {
            1
        };
        self.start([function, high, low, offset, 0, 0, 0, 0], page)
    }

    fn write_message(&mut self, page: Page) {
        let chaos = &mut self.chaos;
        match chaos.below(8) {
            0..3 => {
                let (a, b) = if chaos.once_in(2) {
                    tee::DEVICE_PTA
                } else {
                    (chaos.value(), chaos.value())
                };
                page.message(command::OPEN, 2 + chaos.below(3) as u32)
                    .param(0, 0x101, [a, b, 0])
                    .param(1, 0x101, [0, 0, 0x8000_0000]);
            }
            3..5 => {
                let (cookie, size) = (chaos.cookie(), 8 * chaos.below(600));
                page.message(command::INVOKE, 4)
                    .target(chaos.below(2) as u32, chaos.below(4) as u32)
                    .param(0, 5 + chaos.below(3), [8 * chaos.below(64), size, cookie]);
            }
            5..7 => {
                let list = write_list(chaos);
                let size = 4096 * (1 + chaos.below(16));
                page.message(command::REGISTER, 1).param(
                    0,
                    0x20a,
                    [list.address(), size, chaos.cookie()],
                );
            }
            _ => {
                page.message(command::UNREGISTER, 1)
                    .param(0, 5, [0, 0, chaos.cookie()]);
            }
        }
        tee::prepare_rpc(page);
    }

    fn mutate(&mut self, page: Page) {
        let chaos = &mut self.chaos;
        match chaos.below(8) {
            0 => page.set_word(0, chaos.below(16) as u32),
            1 => page.set_word(28, chaos.below(130) as u32),
            2 => page.set_word(4 * chaos.below(8) as usize, chaos.word() as u32),
            _ => page.set_long(32 + 8 * chaos.below(12) as usize, chaos.value()),
        }
    }

    fn random_resume(&mut self) -> Outcome {
        let function = tee::RETURN_FROM_RPC;
        let mut regs = self.chaos.registers(function);
        if let (true, Some(n)) = (self.chaos.once_in(2), self.any_parked()) {
            // One bit beside a thread that there is, and its neighbours in number.
            let thread = self.parked[n].map_or(0, |call| call.out[3]);
            regs[3] = thread ^ 1 << self.chaos.below(32);
        }
        self.resume(regs)
    }

    /// Replies with garbage in the registers, and, as the race goes on, in the RPC argument.
    fn garbage_reply(&mut self) -> Outcome {
        let Some(n) = self.any_parked() else {
            return Ok(());
        };
        let mut regs = self.chaos.registers(tee::RETURN_FROM_RPC);
        if let Some(call) = self.parked[n] {
            regs[3] = call.out[3];
            let (page, base) = tee::behind(call.page);
            for _ in 0..self.chaos.below(4) {
                let offset = base + 8 * self.chaos.below(20) as usize;
                page.set_long(offset, self.chaos.value());
            }
            // Success, so that the rest of the answer is looked at.
            page.set_long(base + 16, 0);
        }
        self.resume(regs)
    }

    fn proper_reply(&mut self) -> Outcome {
        match self.any_parked() {
            Some(n) => self.answer(n),
            None => Ok(()),
        }
    }

    fn any_parked(&mut self) -> Option<usize> {
        let first = self.chaos.below(CALLS as u64) as usize;
        let mut order = (first..CALLS).chain(0..first);
        order.find(|&n| self.parked[n].is_some())
    }

    fn answer(&mut self, n: usize) -> Outcome {
        match self.parked[n] {
            Some(call) => self.resume(tee::reply(&call.out, call.page)),
            None => Ok(()),
        }
    }

    /// Makes a call that may begin something, if not enough has begun already.
    fn start(&mut self, regs: [u64; 8], page: Page) -> Outcome {
        if self.parked.iter().flatten().count() >= chaos::threads() {
            return Ok(());
        }
        let out = call_and_check(regs)?;
        if !tee::is_rpc(out[0]) {
            self.successes += u64::from(out[0] == status::OK);
            return Ok(());
        }
        self.suspended += 1;
        let free = self.parked.iter_mut().find(|parked| parked.is_none());
        ensure!(free.is_some(), "more calls than there can be");
        if let Some(parked) = free {
            *parked = Some(Parked { page, out });
        }
        Ok(())
    }

    /// Resumes whatever `regs` name: nothing, unless it is a call of ours.
    fn resume(&mut self, regs: [u64; 8]) -> Outcome {
        let thread = regs[3];
        let known = |call: &&mut Option<Parked>| call.is_some_and(|call| call.out[3] == thread);
        let call = self.parked.iter_mut().find(known);
        let out = call_and_check(regs)?;
        match call {
            None => ensure_eq!(out[0], status::RESUME, "resume of a thread that is not"),
            Some(call) if tee::is_rpc(out[0]) => {
                ensure_eq!(out[3], thread, "thread of a resumed call");
                if let Some(call) = call {
                    call.out = out;
                }
            }
            Some(call) => {
                ensure!(out[0] != status::RESUME, "thread {thread:#x} is lost");
                *call = None;
            }
        }
        Ok(())
    }

    /// Serves every suspended call, in turn, until it ends.
    pub fn finish_calls(&mut self) -> Outcome {
        for n in (0..CALLS).cycle().take(PATIENCE) {
            self.answer(n)?;
            if self.parked.iter().all(Option::is_none) {
                return Ok(());
            }
        }
        ensure!(false, "a suspended call never ends");
        Ok(())
    }

    /// Finishes the calls and closes the sessions that they opened. OP-TEE counts sessions up
    /// from the newest one, so none has a higher number than one opened now.
    pub fn clean_up(&mut self) -> Outcome {
        self.finish_calls()?;
        let (status, ret, newest) = tee::open(tee::WITH_ARG, tee::DEVICE_PTA);
        ensure_eq!((status, ret), (0, 0), "OPEN_SESSION between hostile calls");
        for session in (1..newest).rev() {
            tee::close(tee::WITH_ARG, session);
        }
        let closed = tee::close(tee::WITH_ARG, newest);
        ensure_eq!(closed, (0, 0), "CLOSE_SESSION between hostile calls");
        Ok(())
    }
}

/// Writes a page list: most often of pages that can be shared, and at its end whatever there is.
fn write_list(chaos: &mut Chaos) -> Page {
    let list = chaos.page();
    for n in 0..16 {
        let entry = if chaos.once_in(24) {
            chaos.value()
        } else {
            chaos.page().address()
        };
        list.set_long(8 * n, entry);
    }
    // The next list page: this one again, another, or nothing that is memory.
    let next = if chaos.once_in(2) {
        list.address()
    } else {
        chaos.value()
    };
    list.set_long(511 * 8, next);
    list
}

/// Drops every registration that a hostile call may have left.
pub fn unregister_all() {
    for &cookie in chaos::table() {
        tee::unregister(cookie);
    }
}

fn call_and_check(regs: [u64; 8]) -> Result<Regs, crate::outcome::Stop> {
    let before = crate::rt::call::regs(regs);
    let out = crate::rt::call::call(tee::conduit(), before);
    let function = regs[0] & 0xffff_ffff;
    ensure!(
        is_answer(function, &out),
        "{function:#x} answers {:#x}",
        out[0]
    );
    ensure!(
        out[4..] == before[4..],
        "{function:#x} changed x4-x17: {:x?}",
        &regs[1..4]
    );
    let pair = out[1] << 32 | out[2] & 0xffff_ffff;
    // A thread id is a number of any shape.
    let third = if tee::is_rpc(out[0]) { 0 } else { out[3] };
    for value in [out[1], out[2], third, pair] {
        // Identification is full of words; addresses of pages are rare among them.
        let leaks = value % 4096 == 0 && chaos::is_leak(value) && !before.contains(&value);
        ensure!(
            !leaks,
            "{function:#x} {:x?} returned {:x?}",
            &regs[1..4],
            &out[..4]
        );
    }
    Ok(out)
}

/// Codes, or the words that identify OP-TEE.
fn is_answer(function: u64, out: &Regs) -> bool {
    match function {
        0xbf00_ff00 | 0xb200_0001 => out[0] < 1 << 16,
        0xbf00_ff01 => out[..4] == [0x384f_b3e0, 0xe7f8_11e3, 0xaf63_0002, 0xa5d5_c51b],
        0xbf00_ff03 => out[0] == 2,
        0xb200_0000 => out[..4] == [0x4861_78e0, 0xe7f8_11e3, 0xbc5e_0002, 0xa5d5_c51b],
        tee::RETURN_FROM_RPC | tee::WITH_ARG | tee::WITH_RPC_ARG | tee::WITH_REGD_ARG => {
            let rpc = matches!(
                out[0],
                0xffff_0000 | 0xffff_0002 | 0xffff_0004 | 0xffff_0005
            );
            rpc || is_code(out[0])
        }
        _ => is_code(out[0]),
    }
}

fn is_code(a0: u64) -> bool {
    a0 <= status::NOT_AVAILABLE || a0 == status::UNKNOWN
}

/// Checks that no double word of the pages that are, or were, shared is an address of the host's.
fn check_pages() -> Outcome {
    for page in Page::all() {
        for offset in (0..4096).step_by(8) {
            let value = page.long(offset);
            ensure!(
                !chaos::is_leak(value),
                "{value:#x} appeared in {page:?} at {offset:#x}"
            );
        }
    }
    Ok(())
}
