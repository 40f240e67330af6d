// SPDX-License-Identifier: MIT OR Apache-2.0

//! A guest's driver that does what Linux does: builds messages, serves RPCs, resumes.

use mediator::abi::{Command, Function, Header, ReturnCode, RpcCommand, TeeResult, attr};
use mediator::{Regs, Results};

use crate::world::World;

/// A message of the guest's.
#[derive(Clone, Debug, Default)]
pub struct Message {
    /// Command.
    pub command: Command,
    /// Function of the application.
    pub func: u32,
    /// Session.
    pub session: u32,
    /// Cancel id.
    pub cancel: u32,
    /// Parameters.
    pub params: Vec<[u64; 4]>,
}

impl Message {
    /// Returns a message with this command and these parameters.
    pub fn new(command: Command, params: &[[u64; 4]]) -> Self {
        Self {
            command,
            params: params.to_vec(),
            ..Self::default()
        }
    }

    /// Returns INVOKE in session 1.
    pub fn invoke(params: &[[u64; 4]]) -> Self {
        Self {
            session: 1,
            func: 7,
            ..Self::new(Command::INVOKE, params)
        }
    }

    /// Returns OPEN_SESSION of this application.
    pub fn open(uuid: [u8; 16], params: &[[u64; 4]]) -> Self {
        let half = |at: usize| u64::from_le_bytes(uuid[at..at + 8].try_into().expect("8"));
        let meta = attr::VALUE_IN | attr::META;
        let mut all = vec![[meta, half(0), half(8), 0], [meta, 0, 0, 0]];
        all.extend(params);
        Self::new(Command::OPEN_SESSION, &all)
    }

    /// Returns the words in memory. `ret` is 0, as Linux leaves it.
    pub fn words(&self) -> Vec<u64> {
        let header = Header {
            command: self.command,
            function: self.func,
            session: self.session,
            cancel: self.cancel,
            params: self.params.len() as u32,
            ..Header::default()
        };
        let mut words = header.words().to_vec();
        words.extend(self.params.iter().flatten());
        words
    }
}

/// Parameters as words.
pub struct Param;

impl Param {
    /// No parameter.
    pub const NONE: [u64; 4] = [0; 4];
    /// A NULL memory reference of 16 bytes.
    pub const NULL: [u64; 4] = [9, 0, 16, 0];

    /// Returns a value of kind 1 in, 2 out, 3 inout.
    pub fn value(kind: u64, a: u64, b: u64, c: u64) -> [u64; 4] {
        [kind, a, b, c]
    }

    /// Returns part of a registered buffer, of kind 5 in, 6 out, 7 inout.
    pub fn shm(kind: u64, cookie: u64, offset: u64, size: u64) -> [u64; 4] {
        [kind, offset, size, cookie]
    }

    /// Returns a page list, of kind 9 in, a out, b inout.
    pub fn list(kind: u64, list: u64, size: u64, cookie: u64) -> [u64; 4] {
        [kind | attr::NONCONTIG, list, size, cookie]
    }
}

/// How the client calls.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    /// CALL_WITH_RPC_ARG.
    RpcArg,
    /// CALL_WITH_ARG.
    Classic,
}

/// A well-behaved client on one vCPU.
pub struct Client {
    /// Its vCPU.
    pub vcpu: u8,
    /// Page of its messages.
    pub arg: u64,
    /// How it calls.
    pub way: Way,
    /// Page it gives for RPC arguments when asked.
    pub rpc_page: u64,
    /// Page from which it lays lists for SHM_ALLOC.
    pub lists: u64,
    /// Cookies it gives, counting up.
    pub next_cookie: u64,
    /// RPC commands it served, with their parameters as it saw them.
    pub served: Vec<(RpcCommand, Vec<[u64; 4]>)>,
    /// Cookies of buffers and pages it was told to free.
    pub freed: Vec<u64>,
    /// Times it was asked for the page of an RPC argument.
    pub asked: u32,
    /// Resumes because of an interrupt.
    pub interrupts: u32,
}

impl Client {
    /// Returns a client that uses pages 0 to 2 of RAM and lists from page 40 on.
    pub fn new(world: &World, vcpu: u8, way: Way) -> Self {
        let base = u64::from(vcpu) * 4;
        Self {
            vcpu,
            arg: world.ram.page(base),
            way,
            rpc_page: world.ram.page(base + 1),
            lists: world.ram.page(40),
            next_cookie: 0xffff_0000_1000_0000 + (u64::from(vcpu) << 24),
            served: Vec::new(),
            freed: Vec::new(),
            asked: 0,
            interrupts: 0,
        }
    }

    /// Returns a cookie never used before.
    pub fn cookie(&mut self) -> u64 {
        self.next_cookie += 0x100;
        self.next_cookie
    }

    /// Lays a page list for `pages` pages at `at`, cycling through the data pages of RAM.
    /// Gives the page after it.
    pub fn lay_list(world: &World, at: u64, pages: u64) -> u64 {
        let page = |n: u64| world.ram.page(16 + n % 16);
        let mut list = at;
        for first in (0..pages).step_by(511) {
            let last = pages.min(first + 511);
            let mut words: Vec<u64> = (first..last).map(page).collect();
            let more = last < pages;
            words.extend(more.then_some(list + 4096));
            world.ram.put(list, &words);
            list += if more { 4096 } else { 0 };
        }
        list + 4096
    }

    /// Returns the registers of a call with the message at `at`.
    pub fn regs(&self, at: u64) -> Regs {
        let id = match self.way {
            Way::RpcArg => Function::CALL_WITH_RPC_ARG,
            Way::Classic => Function::CALL_WITH_ARG,
        };
        [id.into(), at >> 32, at & 0xFFFF_FFFF, 1, 0, 0, 0, 0x7777]
    }

    /// Makes one call from beginning to end. Gives w0 and the message afterwards.
    pub fn call(&mut self, world: &mut World, message: &Message) -> (ReturnCode, Vec<u64>) {
        let (w0, words) = self.call_at(world, message, self.arg, self.regs(self.arg));
        (w0, words)
    }

    /// Makes one call with the message laid at `at` and these registers.
    pub fn call_at(
        &mut self,
        world: &mut World,
        message: &Message,
        at: u64,
        regs: Regs,
    ) -> (ReturnCode, Vec<u64>) {
        let words = message.words();
        world.ram.put(at, &words);
        let first = world.call(self.vcpu, regs);
        let w0 = self.serve(world, first, at + words.len() as u64 * 8);
        let after = (0..words.len() as u64)
            .map(|n| world.ram.get(at + n * 8))
            .collect();
        (w0, after)
    }

    /// Registers a buffer of `pages` pages, with its list at `list`. Gives its cookie.
    pub fn register(&mut self, world: &mut World, list: u64, pages: u64) -> u64 {
        let cookie = self.cookie();
        Self::lay_list(world, list, pages);
        let param = Param::list(0xa, list, pages * 4096, cookie);
        let (w0, words) = self.call(world, &Message::new(Command::REGISTER_SHM, &[param]));
        let done = (ReturnCode::OK, TeeResult::SUCCESS);
        assert_eq!((w0, result(&words)), done, "REGISTER_SHM");
        cookie
    }

    /// Unregisters a buffer. Gives w0 and the TEE result.
    pub fn unregister(&mut self, world: &mut World, cookie: u64) -> (ReturnCode, TeeResult) {
        let message = Message::new(Command::UNREGISTER_SHM, &[Param::shm(5, cookie, 0, 0)]);
        let (w0, words) = self.call(world, &message);
        (w0, result(&words))
    }

    /// Serves RPCs until the call ends. `beside` is where the RPC argument is when the caller
    /// supplies it.
    pub fn serve(&mut self, world: &mut World, mut answer: Results, beside: u64) -> ReturnCode {
        loop {
            let [w0, w1, w2, w3] = answer;
            let mut regs = [
                Function::CALL_RETURN_FROM_RPC.into(),
                w1,
                w2,
                w3,
                0,
                0,
                0,
                0,
            ];
            match ReturnCode::of(w0) {
                ReturnCode::RPC_FOREIGN_INTR => self.interrupts += 1,
                ReturnCode::RPC_CMD => {
                    let at = if self.way == Way::Classic {
                        self.rpc_page
                    } else {
                        beside
                    };
                    self.serve_command(world, at);
                }
                ReturnCode::RPC_ALLOC => {
                    self.asked += 1;
                    let cookie = self.cookie();
                    assert_eq!(w1, 160, "size of an RPC argument");
                    regs[1..3].copy_from_slice(&[self.rpc_page >> 32, self.rpc_page & 0xFFFF_FFFF]);
                    regs[4..6].copy_from_slice(&[cookie >> 32, cookie & 0xFFFF_FFFF]);
                }
                ReturnCode::RPC_FREE => self.freed.push(w1 << 32 | w2),
                w0 => return w0,
            }
            answer = world.call(self.vcpu, regs);
        }
    }

    /// Serves the command in the RPC argument at `at`.
    pub fn serve_command(&mut self, world: &World, at: u64) {
        let header = [0, 8, 16, 24].map(|byte| world.ram.get(at + byte));
        let Header {
            command,
            params: count,
            ..
        } = Header::of(&header);
        let count = u64::from(count);
        assert!(count <= 4, "{count} parameters in an RPC");
        let word = |n: u64| world.ram.get(at + n * 8);
        let params: Vec<[u64; 4]> = (0..count)
            .map(|n| [0, 1, 2, 3].map(|w| word(4 + 4 * n + w)))
            .collect();
        self.served.push((command, params.clone()));
        match command {
            RpcCommand::SHM_ALLOC => {
                let size = params[0][2];
                Self::lay_list(world, self.lists, size.div_ceil(4096));
                let cookie = self.cookie();
                world
                    .ram
                    .put(at + 32, &Param::list(0xa, self.lists, size, cookie));
            }
            RpcCommand::SHM_FREE => self.freed.push(params[0][2]),
            _ => {
                for (n, param) in (0_u64..).zip(&params) {
                    match param[0] {
                        2 | 3 => world.ram.put(at + 40 + 32 * n, &[0x51, 0x52, 0x53]),
                        6 | 7 => world.ram.put(at + 48 + 32 * n, &[0x54]),
                        _ => {}
                    }
                }
            }
        }
        world.ram.put(at + 16, &[TeeResult::SUCCESS.word()]);
    }
}

/// Returns the result in the words of a message.
pub fn result(words: &[u64]) -> TeeResult {
    header(words).result
}

/// Returns the fields in front of the parameters in the words of a message.
pub fn header(words: &[u64]) -> Header {
    Header::of(words.first_chunk().expect("a header"))
}
