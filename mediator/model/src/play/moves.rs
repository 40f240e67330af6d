// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a hostile guest does: calls with messages and without, answers to OP-TEE, scribbling.

use mediator::abi::{Function, ReturnCode};

use super::Player;
use crate::ops::{GOOD, KINDS, LISTS, cookie, param, word};

impl Player {
    /// A call of any function.
    pub(super) fn registers(&mut self, b: [u8; 16]) {
        const IDS: [Function; 10] = [
            Function::CALLS_UID,
            Function::EXCHANGE_CAPABILITIES,
            Function::ENABLE_ASYNC_NOTIF,
            Function::GET_ASYNC_NOTIF_VALUE,
            Function::CALL_WITH_ARG,
            Function::CALL_WITH_REGD_ARG,
            Function::CALL_RETURN_FROM_RPC,
            Function::DISABLE_SHM_CACHE,
            Function::VM_DESTROYED,
            Function::VM_CREATED,
        ];
        let id = IDS
            .get(usize::from(b[2] % 12))
            .unwrap_or(&Function::GET_OS_UUID);
        let pick = |n: usize| word(&self.world, b[n]);
        let [w1, w2, w3, w4, w5, w7] = [3, 4, 5, 6, 7, 8].map(pick);
        self.enter(b[1], [u64::from(*id), w1, w2, w3, w4, w5, 0, w7]);
    }

    pub(super) fn scribble(&mut self, b: [u8; 16]) {
        let page = match b[1] % 2 {
            0 => u64::from(b[2] % 16),
            _ => LISTS + u64::from(b[2] % 6),
        };
        let ram = &self.world.ram;
        let at = ram.page(page) + u64::from(b[3]) * 8 % 4096;
        let value = word(&self.world, b[4]);
        match b[5] % 2 {
            0 => ram.put(at, &[value]),
            _ => ram.race(at, value),
        }
    }

    pub(super) fn call(&mut self, b: [u8; 16]) {
        let at = self.world.ram.page(u64::from(b[4] % 12));
        let offset = u64::from(b[3] % 4) * 1024;
        let (id, w1_3, at) = match b[2] % 4 {
            0 => (Function::CALL_WITH_ARG, [at >> 32, at, 1], at),
            1 | 2 => (Function::CALL_WITH_RPC_ARG, [at >> 32, at, 1], at),
            _ => {
                let cookie = cookie(b[4]);
                let regs = [cookie >> 32, cookie & 0xFFFF_FFFF, offset];
                (
                    Function::CALL_WITH_REGD_ARG,
                    regs,
                    self.world.ram.page(16) + offset,
                )
            }
        };
        const COMMANDS: [u64; 16] = [0, 1, 1, 1, 1, 2, 3, 4, 4, 4, 4, 7, 5, 5, 6, 8];
        let command = COMMANDS[usize::from(b[5] % 16)];
        let count = match (command, b[6] % 16) {
            (_, 0) => u64::from(b[7] % 10),
            (0, more) => 2 + u64::from(more % 3),
            (1, more) => u64::from(more % 3),
            (4 | 5, _) => 1,
            _ => 0,
        };
        let session = self.world.optee.open_session(self.world.client, b[7]);
        let mut words = vec![command, session.into(), 0, count << 32];
        for n in 0..count.min(8) as u8 {
            let pick = usize::from(8 + n % 3 * 2);
            let any = usize::from(b[14].wrapping_add(n.wrapping_mul(b[15])));
            let kind = match (command, n) {
                (0, 0 | 1) if !b[7].is_multiple_of(8) => 14,
                (4, 0) if !b[7].is_multiple_of(8) => 11,
                (5, 0) if !b[7].is_multiple_of(8) => 4,
                (1, _) if b[7] >= 64 => GOOD[any % 16],
                _ => KINDS[any % 32],
            };
            words.extend(param(&self.world, kind, b[pick], b[pick + 1]));
        }
        self.world.ram.put(at, &words);
        let [w1, w2, w3] = w1_3;
        self.enter(b[1], [id.into(), w1, w2, w3, 0, 0, 0, 1]);
    }

    /// Serves an RPC where the guest of this play knows that it lies: behind each message page's
    /// message, or in the page that it gives to ALLOC.
    pub(super) fn serve(&mut self, b: [u8; 16]) {
        let answer = self.answer(b[2]);
        let home = self.world.ram.page(12 + u64::from(b[3] % 3));
        let mut regs = [
            Function::CALL_RETURN_FROM_RPC.into(),
            answer[1],
            answer[2],
            answer[3],
            0,
            0,
            0,
            0,
        ];
        match ReturnCode::of(answer[0]) {
            ReturnCode::RPC_ALLOC => {
                let cookie = cookie(b[4]);
                regs[1] = home >> 32;
                regs[2] = if b[5].is_multiple_of(8) {
                    word(&self.world, b[6])
                } else {
                    home
                };
                (regs[4], regs[5]) = (cookie >> 32, cookie & 0xFFFF_FFFF);
            }
            ReturnCode::RPC_CMD => {
                let result = if b[4].is_multiple_of(8) {
                    0xFFFF_0000_u64 << 32
                } else {
                    0
                };
                let kind = if b[6].is_multiple_of(8) { b[6] / 8 } else { 11 };
                let param = param(&self.world, kind, b[7], b[8]);
                let pages = (0..12).map(|n| self.world.ram.page(n));
                let beside =
                    pages.map(|page| page + 32 + (self.world.ram.get(page + 24) >> 32) % 7 * 32);
                let homes: Vec<u64> = beside.chain([home]).collect();
                for at in homes {
                    self.world.ram.put(at + 16, &[result]);
                    self.world.ram.put(at + 32, &param);
                }
            }
            _ => {}
        }
        self.enter(b[1], regs);
    }
}
