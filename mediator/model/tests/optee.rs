// SPDX-License-Identifier: MIT OR Apache-2.0

//! The model itself, without a mediator: it does what OP-TEE does, and notices what must not reach
//! OP-TEE.

use mediator::abi::{Command, Function, ReturnCode, RpcCommand, TeeResult, attr};
use mediator::{Config, TaPolicy, Uuid};
use mediator_model::{Act, CLIENT, FakeOptee, POOL_PA, Pool, RAM_PA, Rpc};

const COOKIE: u64 = 0x1234;
const LIST: u64 = POOL_PA + 0x3000;

/// An OP-TEE with one guest, and pages that it shares.
struct Bench {
    optee: FakeOptee,
    pool: Pool,
}

impl Bench {
    fn new() -> Self {
        Self::slow(0)
    }

    fn slow(slow_start: u32) -> Self {
        let mut optee = FakeOptee::default();
        optee.slow_start = slow_start;
        let mut pool = Pool::new(4, CLIENT);
        pool.poke(LIST, RAM_PA + 0x5000);
        let created = [Function::VM_CREATED.0, CLIENT, 0, 0, 0, 0, 0, 0];
        assert_eq!(optee.smc(created.map(u64::from), &mut pool), [0; 4]);
        Self { optee, pool }
    }

    fn smc(&mut self, id: Function, [w1, w2, w3]: [u32; 3]) -> [u32; 4] {
        let regs = [id.0, w1, w2, w3, 0, 0, 0, CLIENT].map(u64::from);
        self.optee.smc(regs, &mut self.pool).map(|x| x as u32)
    }

    fn message(&self, page: u64) -> u64 {
        POOL_PA + page * 4096
    }

    /// A call with a message in this page, which does this.
    fn call(
        &mut self,
        page: u64,
        command: Command,
        session: u64,
        params: &[[u64; 4]],
        acts: &[Act],
    ) -> [u32; 4] {
        let at = self.message(page);
        let count = (params.len() as u64) << 32;
        let header = [
            command.into(),
            session,
            TeeResult::COMMUNICATION.word(),
            count,
        ];
        let words = header.iter().chain(params.iter().flatten());
        for (n, &word) in (0..).zip(words) {
            self.pool.poke(at + n * 8, word);
        }
        self.optee.plans.push_back(acts.to_vec());
        self.smc(
            Function::CALL_WITH_RPC_ARG,
            [(at >> 32) as u32, at as u32, 1],
        )
    }

    /// The result of the message in this page.
    fn result(&self, page: u64) -> TeeResult {
        let word = self.pool.peek(self.message(page) + 16).expect("a page");
        TeeResult((word >> 32) as u32)
    }

    fn resume(&mut self, [_, _, _, thread]: [u32; 4]) -> [u32; 4] {
        self.smc(Function::CALL_RETURN_FROM_RPC, [0, 0, thread])
    }

    fn open(&mut self, byte: u8) {
        let half = u64::from_le_bytes([byte; 8]);
        let meta = attr::VALUE_IN | attr::META;
        let params = [[meta, half, half, 0], [meta, 0, 0, 0]];
        assert_eq!(self.call(0, Command::OPEN_SESSION, 0, &params, &[]), [0; 4]);
        assert_eq!(self.result(0), TeeResult::SUCCESS);
    }

    fn register(&mut self) {
        let list = [attr::TMEM_OUT | attr::NONCONTIG, LIST, 4096, COOKIE];
        assert_eq!(self.call(0, Command::REGISTER_SHM, 0, &[list], &[]), [0; 4]);
        assert_eq!(self.result(0), TeeResult::SUCCESS);
    }

    fn unregister(&mut self, page: u64, acts: &[Act]) -> [u32; 4] {
        self.call(
            page,
            Command::UNREGISTER_SHM,
            0,
            &[[attr::RMEM_IN, 0, 0, COOKIE]],
            acts,
        )
    }

    fn invoke(&mut self, page: u64, acts: &[Act]) -> [u32; 4] {
        let named = [attr::RMEM_IN, 0, 16, COOKIE];
        self.call(page, Command::INVOKE, 1, &[named], acts)
    }
}

/// An OP-TEE with a session and a buffer.
fn ready() -> Bench {
    let mut bench = Bench::new();
    bench.open(9);
    bench.register();
    bench
}

#[test]
#[should_panic(expected = "`mobj_get` of the dead buffer")]
fn a_buffer_amid_its_unregistering_must_not_be_named() {
    let mut bench = ready();
    let waits = bench.unregister(0, &[Act::Interrupt]);
    assert_eq!(ReturnCode(waits[0]), ReturnCode::RPC_FOREIGN_INTR);
    bench.invoke(1, &[]);
}

#[test]
#[should_panic(expected = "`mobj_get` of the dead buffer")]
fn nor_by_a_call_that_was_interrupted_before_it_took_its_message_over() {
    let mut bench = ready();
    let waits = bench.invoke(1, &[Act::Interrupt]);
    bench.unregister(0, &[Act::Interrupt]);
    bench.resume(waits);
}

#[test]
fn unregistering_waits_for_calls_that_hold_the_buffer() {
    let mut bench = ready();
    let sleep = Act::Rpc(Rpc::of(RpcCommand::SUSPEND, [attr::VALUE_IN, 0, 0, 0]));
    let call = bench.invoke(1, &[sleep]);
    assert_eq!(
        bench.optee.buffer(CLIENT, COOKIE).map(|shm| shm.refs),
        Some(2)
    );
    let waits = bench.unregister(0, &[]);
    assert_eq!(ReturnCode(waits[0]), ReturnCode::RPC_CMD);
    assert_eq!(
        ReturnCode(bench.resume(waits)[0]),
        ReturnCode::RPC_CMD,
        "it sleeps on"
    );
    assert_eq!(bench.resume(call), [0; 4]);
    assert_eq!(bench.resume(waits), [0; 4]);
    assert_eq!(bench.result(0), TeeResult::SUCCESS);
    assert_eq!(bench.optee.shm_count(CLIENT), 0);
    assert_eq!(bench.optee.bad_cookies, 0);
}

#[test]
fn what_is_not_there_is_counted_and_refused() {
    let mut bench = ready();
    assert_eq!(bench.unregister(0, &[]), [0; 4]);
    bench.unregister(0, &[]);
    assert_eq!(
        (bench.result(0), bench.optee.bad_cookies),
        (TeeResult::BAD_PARAMETERS, 1)
    );
    bench.invoke(0, &[]);
    assert_eq!(bench.optee.bad_cookies, 2);
    bench.call(0, Command::INVOKE, 7, &[], &[]);
    assert_eq!(
        (bench.result(0), bench.optee.bad_sessions),
        (TeeResult::BAD_PARAMETERS, 1)
    );
}

/// Neither DO_BOTTOM_HALF nor STOP_ASYNC_NOTIF has a result.
#[test]
fn some_commands_answer_by_w0_alone() {
    let mut bench = Bench::new();
    bench.smc(Function::ENABLE_ASYNC_NOTIF, [0, 0, 0]);
    for command in [Command::DO_BOTTOM_HALF, Command::STOP_ASYNC_NOTIF] {
        assert_eq!(bench.call(0, command, 0, &[], &[]), [0; 4]);
        assert_eq!(bench.result(0), TeeResult::COMMUNICATION, "as it was");
    }
    assert!(!bench.optee.is_notified(CLIENT));
}

#[test]
fn a_second_first_call_asks_for_a_page_until_the_partition_is_set_up() {
    let mut bench = Bench::slow(2);
    let meta = [attr::VALUE_IN | attr::META, 0, 0, 0];
    let open = [meta, meta];
    let first = bench.call(0, Command::OPEN_SESSION, 0, &open, &[]);
    let second = bench.call(1, Command::OPEN_SESSION, 0, &open, &[]);
    assert_eq!(
        [first, second].map(|answer| ReturnCode(answer[0])),
        [ReturnCode::RPC_FOREIGN_INTR, ReturnCode::RPC_ALLOC]
    );
    assert_eq!(ReturnCode(bench.resume(second)[0]), ReturnCode::RPC_ALLOC);
    assert_eq!(
        ReturnCode(bench.resume(first)[0]),
        ReturnCode::RPC_FOREIGN_INTR
    );
    assert_eq!(ReturnCode(bench.resume(second)[0]), ReturnCode::RPC_ALLOC);
    assert_eq!(bench.resume(first), [0; 4]);
    assert_eq!(bench.resume(second), [0; 4]);
}

#[test]
#[should_panic(expected = "guest 1 opens")]
fn a_forbidden_application_must_not_be_opened() {
    let mut bench = Bench::new();
    let policy = TaPolicy::Only([Uuid([0x11; 16])].into());
    let config = Config {
        policy,
        ..Config::default()
    };
    bench.optee.allowed.insert(CLIENT, config);
    bench.open(0x22);
}

#[test]
#[should_panic(expected = "whose page")]
fn another_guests_page_must_not_be_shared() {
    let mut bench = Bench::new();
    bench.pool.poke(LIST, mediator_model::ram_pa(CLIENT + 1));
    bench.register();
}
