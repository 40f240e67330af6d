// SPDX-License-Identifier: MIT OR Apache-2.0

//! Sessions that OP-TEE is still opening. Their numbers can be guessed, and OP-TEE lets other calls
//! use them. When the application then fails to load, OP-TEE frees the session under such a call:
//! without a hypervisor (`bare`) these tests bring OP-TEE 4.5 and 4.10 down.

use super::Test;
use crate::outcome::{Outcome, Stop};
use crate::rt::call::Regs;
use crate::rt::env;
use crate::rt::random::Random;
use crate::rt::tee::{self, Page, command};
use crate::{ensure, ensure_eq};

pub const TESTS: &[Test] = &[
    ("h27_invoke", || name_while_opening(command::INVOKE)),
    ("h27_close", || name_while_opening(command::CLOSE)),
    ("h27_cancel", || name_while_opening(command::CANCEL)),
    ("h27_at_random", at_random),
];

const BAD_PARAMETERS: u32 = 0xffff_0006;
/// RPCs after which a call that has not ended never will.
const PATIENCE: usize = 1000;

/// A call that may be suspended.
#[derive(Clone, Copy)]
struct Call {
    page: Page,
    out: Regs,
}

impl Call {
    fn begin(page: Page) -> Self {
        let out = tee::begin(page);
        Self { page, out }
    }

    /// Opens a session with a TA that is not there.
    fn open(page: Page) -> Self {
        Self::begin(tee::no_ta(page))
    }

    /// Does `command` to a session.
    fn name(page: Page, command: u32, session: u32) -> Self {
        let page = page.message(command, 0).target(0, session);
        tee::prepare_rpc(page);
        Self::begin(page)
    }

    fn is_suspended(&self) -> bool {
        tee::is_rpc(self.out[0])
    }

    /// Answers one request of OP-TEE's: nothing of what it asks for is there.
    fn answer(&mut self) {
        self.out = tee::raw(tee::reply(&self.out, self.page));
    }

    fn answer_if_asked(&mut self) {
        if self.is_suspended() {
            self.answer();
        }
    }

    fn finish(mut self) -> Outcome {
        for _ in 0..PATIENCE {
            if !self.is_suspended() {
                return Ok(());
            }
            self.answer();
        }
        ensure!(false, "a suspended call never ends");
        Ok(())
    }

    /// Checks what a call must end with that names a session which no client has been given.
    fn must_be_refused(self) -> Outcome {
        ensure!(
            !self.is_suspended(),
            "OP-TEE works on a session that is not open"
        );
        ensure_eq!(self.page.word(20), BAD_PARAMETERS, "its result");
        Ok(())
    }
}

/// Returns the number that OP-TEE gives a session now, which it then keeps open: it counts up from
/// there.
fn newest_session() -> Result<u32, Stop> {
    if env::get().tee.is_none() {
        return Err(Stop::Skipped("no OP-TEE in the tree"));
    }
    if tee::capabilities() & tee::CAP_RPC_ARG == 0 {
        return Err(Stop::Skipped("RPC_ARG is not offered"));
    }
    let (status, ret, session) = tee::open(tee::WITH_RPC_ARG, tee::DEVICE_PTA);
    ensure_eq!((status, ret), (0, 0), "OPEN_SESSION");
    Ok(session)
}

fn name_while_opening(command: u32) -> Outcome {
    let newest = newest_session()?;
    let opening = Call::open(Page::shared(0));
    ensure!(opening.is_suspended(), "OP-TEE asked for no TA");
    let other = Call::name(Page::shared(1), command, newest + 1);
    opening.finish()?;
    other.finish()?;
    let closed = tee::close(tee::WITH_RPC_ARG, newest);
    ensure_eq!(closed, (0, 0), "CLOSE_SESSION");
    other.must_be_refused()
}

/// Runs two threads of OP-TEE's, in any order.
fn at_random() -> Outcome {
    let newest = newest_session()?;
    let mut random = Random::new(env::number("seed").unwrap_or(1));
    let mut calls: [Option<Call>; 2] = [None; 2];
    let mut refused = Ok(());
    for _ in 0..env::number("hostile-rounds").unwrap_or(2000) {
        let n = random.below(2) as usize;
        let page = Page::shared(n);
        let call = match calls[n] {
            Some(mut call) => {
                call.answer();
                call
            }
            None if random.below(2) == 0 => Call::open(page),
            None => {
                let command = 1 + random.below(3) as u32;
                let call = Call::name(page, command, newest + 1 + random.below(2) as u32);
                refused = refused.and(call.must_be_refused());
                call
            }
        };
        calls[n] = call.is_suspended().then_some(call);
    }
    // In turns: one may wait for what the other holds.
    for _ in 0..PATIENCE {
        calls.iter_mut().flatten().for_each(Call::answer_if_asked);
    }
    calls.into_iter().flatten().try_for_each(Call::finish)?;
    let closed = tee::close(tee::WITH_RPC_ARG, newest);
    ensure_eq!(closed, (0, 0), "CLOSE_SESSION");
    refused
}
