// SPDX-License-Identifier: MIT OR Apache-2.0

//! A client of OP-TEE in the fewest lines: one command buffer for each vCPU, and answers to the
//! remote procedure calls that pseudo TAs cause (OP-TEE optee_smc.h, optee_msg.h, optee_rpc_cmd.h).

use super::call::{Regs, call, regs};
use super::{cpu, env};
use core::cell::UnsafeCell;
use platform::Conduit;

/// CALL_RETURN_FROM_RPC.
pub const RETURN_FROM_RPC: u64 = 0x3200_0003;
/// CALL_WITH_ARG.
pub const WITH_ARG: u64 = 0x3200_0004;
/// CALL_WITH_RPC_ARG.
pub const WITH_RPC_ARG: u64 = 0x3200_0012;
/// CALL_WITH_REGD_ARG.
pub const WITH_REGD_ARG: u64 = 0x3200_0013;
/// a0 of a call that is suspended for an interrupt.
pub const FOREIGN_INTERRUPT: u64 = 0xffff_0004;
/// EXCHANGE_CAPABILITIES.
pub const EXCHANGE_CAPABILITIES: u64 = 0xb200_0009;
/// Fast call: the number of threads.
pub const GET_THREAD_COUNT: u64 = 0xb200_000f;
/// Capability bit 6: RPC_ARG.
pub const CAP_RPC_ARG: u64 = 1 << 6;

/// Commands of a message.
pub mod command {
    /// OPEN_SESSION.
    pub const OPEN: u32 = 0;
    /// INVOKE_COMMAND.
    pub const INVOKE: u32 = 1;
    /// CLOSE_SESSION.
    pub const CLOSE: u32 = 2;
    /// CANCEL.
    pub const CANCEL: u32 = 3;
    /// REGISTER_SHM.
    pub const REGISTER: u32 = 4;
    /// UNREGISTER_SHM.
    pub const UNREGISTER: u32 = 5;
}

/// GlobalPlatform's TEE_ERROR_SHORT_BUFFER.
pub const SHORT_BUFFER: u32 = 0xffff_0010;
const NOT_SUPPORTED: u32 = 0xffff_000a;
/// TEE_ERROR_OUT_OF_MEMORY.
pub const OUT_OF_MEMORY: u32 = 0xffff_000c;
/// Origin of a result: not OP-TEE, but what lies before it.
pub const COMMS: u32 = 2;

/// The device enumeration pseudo TA, 7011a688-ddde-4053-a5a9-7b3c4ddf13b8, as two words of memory.
pub const DEVICE_PTA: (u64, u64) = (
    u64::from_le_bytes([0x70, 0x11, 0xa6, 0x88, 0xdd, 0xde, 0x40, 0x53]),
    u64::from_le_bytes([0xa5, 0xa9, 0x7b, 0x3c, 0x4d, 0xdf, 0x13, 0xb8]),
);
/// A UUID that no TA has.
pub const NO_TA: (u64, u64) = (0x1111_2222_3333_4444, 0x5555_6666_7777_8888);

/// Attribute of a page list: TMEM_OUTPUT, NONCONTIG.
pub const NONCONTIG_OUTPUT: u64 = 0x20a;

const COUNT: usize = 32;

#[repr(C, align(4096))]
struct Pages(UnsafeCell<[[u8; 4096]; COUNT]>);

// SAFETY: only volatile accesses through addresses; each test says who uses which page.
unsafe impl Sync for Pages {}

static PAGES: Pages = Pages(UnsafeCell::new([[0; 4096]; COUNT]));

/// A page that can be shared with OP-TEE, by its address: virtual, and intermediate physical.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Page(u64);

impl Page {
    /// Returns the command buffer of the calling vCPU.
    pub fn of_arguments() -> Self {
        Self::numbered(cpu::me())
    }

    /// Returns what the calling vCPU answers to RPC ALLOC with.
    fn of_rpc() -> Self {
        Self::numbered(cpu::MAX + cpu::me())
    }

    /// Returns the `n`th of 16 pages that tests share.
    pub fn shared(n: usize) -> Self {
        Self::numbered(2 * cpu::MAX + n % 16)
    }

    /// Returns every page of this program that OP-TEE may be given.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..COUNT).map(Self::numbered)
    }

    /// Returns RAM at `address`, a multiple of 8, which nothing else uses.
    pub fn at(address: u64) -> Self {
        assert!(address.is_multiple_of(8) && env::free_ram().contains(&address));
        Self(address)
    }

    fn numbered(n: usize) -> Self {
        Self(PAGES.0.get() as u64 + 4096 * n as u64)
    }

    /// Returns the page's address.
    pub fn address(self) -> u64 {
        self.0
    }

    /// Returns the cookie that this client uses for the page.
    pub fn cookie(self) -> u64 {
        0xc00c_1e00_0000_0000 + self.0 / 4096
    }

    /// Reads a word.
    pub fn word(self, offset: usize) -> u32 {
        // SAFETY: inside the page, which other vCPUs and OP-TEE may write at any time.
        unsafe { ((self.address() + offset as u64) as *const u32).read_volatile() }
    }

    /// Writes a word.
    pub fn set_word(self, offset: usize, value: u32) {
        // SAFETY: as above.
        unsafe { ((self.address() + offset as u64) as *mut u32).write_volatile(value) };
    }

    /// Reads a double word, at once.
    pub fn long(self, offset: usize) -> u64 {
        // SAFETY: as above.
        unsafe { ((self.address() + offset as u64) as *const u64).read_volatile() }
    }

    /// Writes a double word, at once.
    pub fn set_long(self, offset: usize, value: u64) {
        // SAFETY: as above.
        unsafe { ((self.address() + offset as u64) as *mut u64).write_volatile(value) };
    }

    /// Fills it.
    pub fn fill(self, value: u32) {
        for offset in (0..4096).step_by(4) {
            self.set_word(offset, value);
        }
    }

    /// Starts a message in it: header and empty parameters.
    pub fn message(self, command: u32, params: u32) -> Self {
        for offset in (0..HEADER + PARAM * params as usize).step_by(4) {
            self.set_word(offset, 0);
        }
        self.set_word(0, command);
        self.set_word(RET, 0xffff_ffff);
        self.set_word(NUM_PARAMS, params);
        self
    }

    /// Writes parameter `n`.
    pub fn param(self, n: usize, attr: u64, values: [u64; 3]) -> Self {
        let base = HEADER + PARAM * n;
        self.set_long(base, attr);
        for (index, value) in values.into_iter().enumerate() {
            self.set_long(base + 8 + 8 * index, value);
        }
        self
    }

    /// Returns the three values of parameter `n`.
    pub fn values(self, n: usize) -> [u64; 3] {
        core::array::from_fn(|index| self.long(HEADER + PARAM * n + 8 + 8 * index))
    }

    /// Sets func and session.
    pub fn target(self, function: u32, session: u32) -> Self {
        self.set_word(4, function);
        self.set_word(SESSION, session);
        self
    }
}

const HEADER: usize = 32;
const PARAM: usize = 32;
/// Offset of `session` in a message.
pub const SESSION: usize = 8;
/// Offset of `ret`.
pub const RET: usize = 20;
/// Offset of `ret_origin`.
pub const RET_ORIGIN: usize = 24;
const NUM_PARAMS: usize = 28;

/// Values of a0.
pub mod status {
    /// OK.
    pub const OK: u64 = 0;
    /// ETHREAD_LIMIT.
    pub const THREAD_LIMIT: u64 = 1;
    /// ERESUME.
    pub const RESUME: u64 = 3;
    /// EBADADDR.
    pub const BAD_ADDRESS: u64 = 4;
    /// ENOTAVAIL.
    pub const NOT_AVAILABLE: u64 = 7;
    /// Unknown function.
    pub const UNKNOWN: u64 = 0xffff_ffff;
}

/// Returns OP-TEE's conduit: there is an OP-TEE.
pub fn conduit() -> Conduit {
    env::get().tee.unwrap_or(Conduit::Smc)
}

/// Makes one call.
pub fn raw<const N: usize>(args: [u64; N]) -> Regs {
    call(conduit(), regs(args))
}

/// Returns high and low word, as addresses and cookies travel.
pub fn split(value: u64) -> [u64; 2] {
    [value >> 32, value & 0xffff_ffff]
}

/// Returns the secure world's capabilities.
pub fn capabilities() -> u64 {
    raw([EXCHANGE_CAPABILITIES, 0])[1]
}

/// Makes the call of `function` with the message in `page`, answering OP-TEE until it is through.
/// a0, and the message's `ret`.
pub fn perform(function: u64, page: Page) -> (u64, u32) {
    perform_with(function, page, |out| reply(out, page))
}

/// Performs a call with other answers to what OP-TEE asks for.
pub fn perform_with(
    function: u64,
    page: Page,
    mut answer: impl FnMut(&Regs) -> [u64; 8],
) -> (u64, u32) {
    let [high, low] = split(page.address());
    let mut out = raw([function, high, low, 1, 0, 0, 0, 0]);
    while is_rpc(out[0]) {
        out = raw(answer(&out));
    }
    (out[0], page.word(RET))
}

/// Returns a message that makes OP-TEE ask for a TA that is not there.
pub fn no_ta(page: Page) -> Page {
    let (a, b) = NO_TA;
    let page = page
        .message(command::OPEN, 2)
        .param(0, 0x101, [a, b, 0])
        .param(1, 0x101, [0, 0, 0x8000_0000]);
    prepare_rpc(page);
    page
}

/// Makes the call with the message in `page` up to its end or to its first RPC that is no
/// interrupt.
pub fn begin(page: Page) -> Regs {
    let [high, low] = split(page.address());
    let mut out = raw([WITH_RPC_ARG, high, low, 1, 0, 0, 0, 0]);
    while out[0] == FOREIGN_INTERRUPT {
        out = raw(reply(&out, page));
    }
    out
}

/// Performs a call by CALL_WITH_REGD_ARG: the message is in registered memory.
pub fn perform_registered(page: Page) -> (u64, u32) {
    let [high, low] = split(page.cookie());
    let mut out = raw([WITH_REGD_ARG, high, low, 0, 0, 0, 0, 0]);
    while is_rpc(out[0]) {
        out = raw(reply(&out, page));
    }
    (out[0], page.word(RET))
}

/// Waits for a thread, as ETHREAD_LIMIT only means that others have them all.
pub fn perform_patiently(function: u64, page: Page) -> (u64, u32) {
    loop {
        let (status, ret) = perform(function, page);
        if status != status::THREAD_LIMIT {
            return (status, ret);
        }
        core::hint::spin_loop();
    }
}

/// Tells whether a0 says that OP-TEE waits for something.
pub fn is_rpc(a0: u64) -> bool {
    a0 >> 16 == 0xffff && a0 != status::UNKNOWN
}

/// Does what an RPC return asks for the call with the message in `page`. The registers to go on
/// with.
pub fn reply(out: &Regs, page: Page) -> [u64; 8] {
    let [a0, a1, a2, thread, ..] = *out;
    let mut reply = [RETURN_FROM_RPC, a1, a2, thread, out[4], out[5], 0, 0];
    match a0 & 0xffff {
        0 => {
            let fits = a1 <= 4096;
            let address = if fits { Page::of_rpc().address() } else { 0 };
            [reply[1], reply[2]] = split(address);
            [reply[4], reply[5]] = split(Page::of_rpc().cookie());
        }
        5 => answer(if a1 | a2 == 0 {
            behind(page)
        } else {
            (Page::of_rpc(), 0)
        }),
        // FREE and FOREIGN_INTR need nothing.
        _ => {}
    }
    reply
}

/// Returns the RPC argument behind the message in the same page. Another vCPU may have written
/// nonsense to the message: the argument is inside the page all the same.
pub fn behind(page: Page) -> (Page, usize) {
    const MOST: usize = 16;
    let params = page.word(NUM_PARAMS) as usize;
    (page, HEADER + PARAM * params.min(MOST))
}

/// Answers an RPC command: time, and memory of one page; nothing else.
fn answer((page, base): (Page, usize)) {
    const GET_TIME: u32 = 3;
    const SHM_ALLOC: u32 = 6;
    const SHM_FREE: u32 = 7;
    let size = page.long(base + HEADER + 16);
    let ret = match page.word(base) {
        GET_TIME | SHM_FREE => 0,
        SHM_ALLOC if size <= 4096 => {
            let buffer = Page::shared(15);
            page.set_long(base + HEADER, 0xa);
            page.set_long(base + HEADER + 8, buffer.address());
            page.set_long(base + HEADER + 16, 4096);
            page.set_long(base + HEADER + 24, buffer.cookie());
            0
        }
        SHM_ALLOC => OUT_OF_MEMORY,
        _ => NOT_SUPPORTED,
    };
    page.set_word(base + RET, ret);
}

/// Opens a session by `function`: a0, ret and the session.
pub fn open(function: u64, uuid: (u64, u64)) -> (u64, u32, u32) {
    const META_VALUE: u64 = 0x101;
    const LOGIN_KERNEL: u64 = 0x8000_0000;
    let page = Page::of_arguments()
        .message(command::OPEN, 2)
        .param(0, META_VALUE, [uuid.0, uuid.1, 0])
        .param(1, META_VALUE, [0, 0, LOGIN_KERNEL]);
    prepare_rpc(page);
    let (status, ret) = perform_patiently(function, page);
    (status, ret, page.word(SESSION))
}

/// Closes a session.
pub fn close(function: u64, session: u32) -> (u64, u32) {
    let page = Page::of_arguments()
        .message(command::CLOSE, 0)
        .target(0, session);
    prepare_rpc(page);
    perform_patiently(function, page)
}

/// Registers `pages` under `cookie` by a page list in `list`.
pub fn register(list: Page, pages: &[u64], cookie: u64) -> (u64, u32) {
    for (n, &page) in pages.iter().enumerate().take(511) {
        list.set_long(8 * n, page);
    }
    list.set_long(511 * 8, 0);
    let size = 4096 * pages.len() as u64;
    perform_patiently(WITH_ARG, registration(list, size, cookie))
}

/// Returns the message that registers `size` bytes under `cookie`, whose pages `list` names.
pub fn registration(list: Page, size: u64, cookie: u64) -> Page {
    let values = [list.address(), size, cookie];
    let page = Page::of_arguments().message(command::REGISTER, 1);
    page.param(0, NONCONTIG_OUTPUT, values)
}

/// Unregisters `cookie`.
pub fn unregister(cookie: u64) -> (u64, u32) {
    perform_patiently(WITH_ARG, unregistration(cookie))
}

/// Returns the message that unregisters `cookie`.
pub fn unregistration(cookie: u64) -> Page {
    const REGISTERED_INPUT: u64 = 0x5;
    let page = Page::of_arguments().message(command::UNREGISTER, 1);
    page.param(0, REGISTERED_INPUT, [0, 0, cookie])
}

/// Lays out the RPC argument's header behind the message, for WITH_RPC_ARG and REGD_ARG.
pub fn prepare_rpc(page: Page) {
    const RPC_PARAMS: u32 = 4;
    let (page, base) = behind(page);
    for offset in (0..HEADER + PARAM * RPC_PARAMS as usize).step_by(4) {
        page.set_word(base + offset, 0);
    }
    page.set_word(base + NUM_PARAMS, RPC_PARAMS);
}
