// SPDX-License-Identifier: MIT OR Apache-2.0

//! The client: its memory, its answers, its calls.

use crate::ensure_eq;
use crate::outcome::{Outcome, Stop};
use crate::rt::call::Regs;
use crate::rt::env;
use crate::rt::random::Random;
use crate::rt::tee::{self, Page, command};

/// xtest's small concurrency TA, e13010e0-2ae1-11e5-896a-0002a5d5c51b: it can do SHA-256.
const TA: (u64, u64) = (
    u64::from_le_bytes([0xe1, 0x30, 0x10, 0xe0, 0x2a, 0xe1, 0x11, 0xe5]),
    u64::from_le_bytes([0x89, 0x6a, 0x00, 0x02, 0xa5, 0xd5, 0xc5, 0x1b]),
);

const ITEM_NOT_FOUND: u32 = 0xffff_0008;
const NOT_IMPLEMENTED: u32 = 0xffff_0009;

/// Bytes of [`env::free_ram`], from its start, that the client uses.
pub const MEMORY: u64 = STEP * (PIECES + FILES) as u64;

/// What memory holds before it is given, and after it was freed.
pub const FRESH: u32 = 0xf8e5_4f8e;
const GONE: u32 = 0xdead_dead;
/// Bytes between two pieces of memory.
const STEP: u64 = 0x4_0000;
/// Buffers begin here in their first page, as those that malloc gives do.
const OFFSET: u64 = 0x340;
/// Lives of a piece: no cookie ever comes back.
const PIECES: usize = 8;
/// Most files.
const FILES: usize = 3;

/// A piece of memory.
#[derive(Clone, Copy)]
pub struct Piece {
    pub cookie: u64,
    pub address: u64,
    size: u64,
}

impl Piece {
    fn fill(&self, value: u32) {
        let end = (self.address + self.size).next_multiple_of(4096);
        for page in (self.address & !4095..end).step_by(4096) {
            Page::at(page).fill(value);
        }
    }
}

/// A file in [`STEP`] bytes of RAM: a number made of its name, and its length.
#[derive(Clone, Copy)]
struct Kept {
    name: u64,
    length: u64,
}

/// What happened so far.
#[derive(Default)]
pub struct Counts {
    /// RPC returns for the page of an argument.
    pub pages: u32,
    /// SHM_ALLOC commands.
    pub buffers: u32,
    /// Cookies that OP-TEE freed, or named, and that are not there.
    unknown: u32,
}

/// The client: its memory, and the file that it gives OP-TEE as the TA.
pub struct Client {
    pieces: [Option<Piece>; PIECES],
    given: u64,
    /// A page list that the driver frees when the next call returns.
    list: Option<Page>,
    file: &'static [u8],
    /// The files that OP-TEE keeps: which versions of TAs it saw.
    kept: [Option<Kept>; FILES],
    /// Decides which answers about files are lies, if any are.
    lies: Option<Random>,
    /// OP-TEE is creating a file, in this call.
    creates: bool,
    pub counts: Counts,
}

impl Client {
    /// Makes a client with the TA of the initrd.
    pub fn new() -> Result<Self, Stop> {
        let Some((start, end)) = env::get().initrd else {
            return Err(Stop::Skipped("no TA in the initrd"));
        };
        // SAFETY: the initrd is RAM that nobody writes to.
        let file =
            unsafe { core::slice::from_raw_parts(start as *const u8, (end - start) as usize) };
        Ok(Self::with_file(file))
    }

    /// Makes a client with a file of the caller's.
    pub fn with_file(file: &'static [u8]) -> Self {
        Self {
            pieces: [None; PIECES],
            given: 0,
            list: None,
            file,
            kept: [None; FILES],
            lies: None,
            creates: false,
            counts: Counts::default(),
        }
    }

    /// Lies about files from now on, as `seed` will have it, or no longer; then it has no files.
    ///
    /// While OP-TEE creates a file the client is honest, unless bootargs say `lie-at-creation`:
    /// OP-TEE up to 4.10 uses its directory once more after it could not read it (`set_name` in
    /// tee_ree_fs.c takes every error for "there is no such file"), and takes a data abort.
    pub fn lie(&mut self, seed: Option<u64>) {
        self.lies = seed.map(Random::new);
        if seed.is_none() {
            self.kept = [None; FILES];
        }
    }

    /// Tells whether to lie now: one time in `of`.
    fn lies(&mut self, of: u64) -> bool {
        let random = self.lies.as_mut().filter(|_| !self.creates);
        random.is_some_and(|random| random.below(of) == 0)
    }

    /// Returns a number to lie with, below `bound`.
    fn lie_below(&mut self, bound: u64) -> u64 {
        self.lies.as_mut().map_or(0, |random| random.below(bound))
    }

    /// Returns memory of its own, `offset` bytes into its first page.
    fn allocate(&mut self, size: u64, offset: u64) -> Option<Piece> {
        let slot = self.pieces.iter().position(Option::is_none)?;
        let start = env::free_ram().start + STEP * slot as u64;
        if offset + size > STEP - 4096 {
            return None;
        }
        self.given += 1;
        let piece = Piece {
            cookie: 0x8000_0000 + 0x40 * self.given,
            // The first page is for the list.
            address: start + 4096 + offset,
            size,
        };
        piece.fill(FRESH);
        self.pieces[slot] = Some(piece);
        Some(piece)
    }

    fn find(&mut self, cookie: u64) -> Option<Piece> {
        let found = self.pieces.iter().flatten().find(|p| p.cookie == cookie);
        self.counts.unknown += u32::from(found.is_none());
        found.copied()
    }

    fn free(&mut self, cookie: u64) {
        if let Some(piece) = self.find(cookie) {
            piece.fill(GONE);
            let is_it = |slot: &&mut Option<Piece>| slot.is_some_and(|p| p.cookie == cookie);
            self.pieces
                .iter_mut()
                .filter(is_it)
                .for_each(|slot| *slot = None);
        }
    }

    /// Writes a piece's page list, in the page before it.
    fn write_list(&self, piece: &Piece) -> Page {
        let list = Page::at((piece.address & !4095) - 4096);
        let end = piece.address + piece.size;
        for (n, page) in (piece.address & !4095..end).step_by(4096).enumerate() {
            list.set_long(8 * n, page);
        }
        list
    }

    /// Makes a call and answers what OP-TEE asks for. a0 and `ret`.
    pub fn call(&mut self, page: Page) -> (u64, u32) {
        self.creates = false;
        tee::perform_with(tee::WITH_ARG, page, |out| self.answer(out))
    }

    fn answer(&mut self, out: &Regs) -> [u64; 8] {
        const ALLOC: u64 = 0;
        const FREE: u64 = 2;
        const COMMAND: u64 = 5;
        if let Some(list) = self.list.take() {
            list.fill(GONE);
        }
        let [a0, a1, a2, thread, ..] = *out;
        let mut reply = [tee::RETURN_FROM_RPC, a1, a2, thread, 0, 0, 0, 0];
        match a0 & 0xffff {
            ALLOC => {
                self.counts.pages += 1;
                let given = self.allocate(a1, 0).map(|p| (p.address, p.cookie));
                let (address, cookie) = given.unwrap_or((0, 0));
                [reply[1], reply[2]] = tee::split(address);
                [reply[4], reply[5]] = tee::split(cookie);
            }
            FREE => self.free(a1 << 32 | a2),
            COMMAND => {
                if let Some(argument) = self.find(a1 << 32 | a2) {
                    let ret = self.serve(Page::at(argument.address));
                    Page::at(argument.address).set_word(tee::RET, ret);
                }
            }
            _ => {}
        }
        reply
    }

    /// Serves the command in an RPC argument. Its result.
    fn serve(&mut self, argument: Page) -> u32 {
        const LOAD_TA: u32 = 0;
        const FS: u32 = 2;
        const GET_TIME: u32 = 3;
        const SHM_ALLOC: u32 = 6;
        const SHM_FREE: u32 = 7;
        match argument.word(0) {
            LOAD_TA | FS if self.lies(100) => NOT_IMPLEMENTED + self.lie_below(16) as u32,
            LOAD_TA => self.load(argument),
            SHM_ALLOC => self.give(argument),
            SHM_FREE => {
                self.free(argument.values(0)[1]);
                0
            }
            GET_TIME => 0,
            FS => self.store(argument),
            _ => NOT_IMPLEMENTED,
        }
    }

    /// Gives memory: the answer to SHM_ALLOC is a page list and where the buffer begins in the
    /// first page.
    fn give(&mut self, argument: Page) -> u32 {
        self.counts.buffers += 1;
        let Some(piece) = self.allocate(argument.values(0)[1], OFFSET) else {
            return tee::OUT_OF_MEMORY;
        };
        let list = self.write_list(&piece);
        let values = [list.address() + OFFSET, piece.size, piece.cookie];
        argument.param(0, tee::NONCONTIG_OUTPUT, values);
        self.list = Some(list);
        0
    }

    /// Serves LOAD_TA: OP-TEE first asks how large the file is, then for the file.
    fn load(&mut self, argument: Page) -> u32 {
        let length = self.file.len() as u64;
        if let Some((to, room)) = self.buffer_of(argument)
            && length <= room
        {
            copy(self.file.as_ptr() as u64, to, length);
            self.damage(to, length);
        }
        argument.set_long(32 + 32 + 16, self.size_to_tell(length));
        0
    }

    /// Changes a byte of what was given, perhaps.
    fn damage(&mut self, at: u64, bytes: u64) {
        if bytes > 0 && self.lies(50) {
            let (at, value) = (at + self.lie_below(bytes), self.lie_below(256) as u8);
            // SAFETY: in a buffer that was given to OP-TEE.
            unsafe { (at as *mut u8).write_volatile(value) };
        }
    }

    /// Tells how many bytes there are, perhaps not truly.
    fn size_to_tell(&mut self, size: u64) -> u64 {
        if self.creates && env::words().any(|word| word == "lie-at-creation") {
            return size / 2;
        }
        match self.lies(50) {
            false => size,
            true if self.lie_below(4) == 0 => self.lie_below(u64::MAX),
            true => self.lie_below(2 * size + 4096),
        }
    }

    /// Returns the buffer that parameter 1 of an RPC argument names, if it has a size.
    fn buffer_of(&mut self, argument: Page) -> Option<(u64, u64)> {
        let [offset, size, cookie] = argument.values(1);
        let buffer = (cookie != 0).then(|| self.find(cookie)).flatten()?;
        (offset + size <= buffer.size).then_some((buffer.address + offset, size))
    }

    /// Does what OP-TEE wants done with a file.
    fn store(&mut self, argument: Page) -> u32 {
        const OPEN: u64 = 0;
        const CREATE: u64 = 1;
        const CLOSE: u64 = 2;
        const READ: u64 = 3;
        const WRITE: u64 = 4;
        const TRUNCATE: u64 = 5;
        let [function, number, at] = argument.values(0);
        self.creates |= function == CREATE;
        let number = match function {
            OPEN | CREATE => match self.file_named(argument, function == CREATE) {
                Some(number) => number,
                None => return ITEM_NOT_FOUND,
            },
            _ => number as usize,
        };
        let number = match self.lies(100) {
            true => self.lie_below(FILES as u64) as usize,
            false => number,
        };
        let buffer = self.buffer_of(argument);
        let Some(Some(file)) = self.kept.get_mut(number) else {
            return ITEM_NOT_FOUND;
        };
        if at > STEP {
            return NOT_IMPLEMENTED;
        }
        let place = env::free_ram().start + STEP * (PIECES + number) as u64 + at;
        match (function, buffer) {
            (OPEN | CREATE, _) => argument.param(2, 0x2, [number as u64, 0, 0]),
            (CLOSE, _) => argument,
            (TRUNCATE, _) => {
                file.length = at;
                argument
            }
            (READ, Some((buffer, size))) => {
                let size = file.length.saturating_sub(at).min(size);
                copy(place, buffer, size);
                self.damage(buffer, size);
                argument.set_long(32 + 32 + 16, self.size_to_tell(size));
                argument
            }
            (WRITE, Some((buffer, size))) if at + size <= STEP => {
                copy(buffer, place, size);
                file.length = file.length.max(at + size);
                argument
            }
            _ => return NOT_IMPLEMENTED,
        };
        0
    }

    /// Returns the number of the file with the name in parameter 1, which is made if it is to be.
    fn file_named(&mut self, argument: Page, create: bool) -> Option<usize> {
        let (start, bytes) = self.buffer_of(argument)?;
        // SAFETY: inside a piece of this client's, which OP-TEE may write to.
        let byte = |at| unsafe { (at as *const u8).read_volatile() };
        let text = (start..start + bytes)
            .map(byte)
            .take_while(|&byte| byte != 0);
        // FNV-1a.
        let name = text.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
        });
        let is_it = |file: &Option<Kept>| file.is_some_and(|file| file.name == name);
        let found = self.kept.iter().position(is_it);
        if found.is_none() && create {
            let free = self.kept.iter().position(Option::is_none)?;
            self.kept[free] = Some(Kept { name, length: 0 });
            return Some(free);
        }
        found
    }

    /// Opens a session. The TA's result and the session.
    pub fn open(&mut self, (a, b): (u64, u64)) -> (u32, u32) {
        let page = Page::of_arguments()
            .message(command::OPEN, 2)
            .param(0, 0x101, [a, b, 0])
            .param(1, 0x101, [0, 0, 0]);
        let (status, ret) = self.call(page);
        let ret = if status == 0 { ret } else { status as u32 };
        (ret, page.word(tee::SESSION))
    }

    /// Opens the user TA.
    pub fn open_ta(&mut self) -> Result<u32, Stop> {
        let (ret, session) = self.open(TA);
        ensure_eq!(ret, 0, "OPEN_SESSION of the user TA");
        Ok(session)
    }

    /// Computes SHA-256 by the user TA, of the bytes at `offset` of a registered buffer.
    pub fn sha256(
        &mut self,
        session: u32,
        [offset, size, cookie]: [u64; 3],
    ) -> Result<[u64; 4], Stop> {
        let scratch = self.register(2 * OFFSET)?;
        scratch.fill(0);
        let page = Page::of_arguments()
            .message(command::INVOKE, 4)
            .target(1, session)
            // How many calls are under way; how often to do it; the input; the output.
            .param(0, 0x7, [0, 8, scratch.cookie])
            .param(1, 0x3, [1, 0, 0])
            .param(2, 0x5, [offset, size, cookie])
            .param(3, 0x6, [OFFSET, 32, scratch.cookie]);
        let done = self.call(page);
        let out = Page::at(scratch.address + OFFSET);
        let digest = [0, 8, 16, 24].map(|at| out.long(at).swap_bytes());
        self.unregister(scratch)?;
        ensure_eq!(done, (0, 0), "INVOKE_COMMAND of the user TA");
        Ok(digest)
    }

    /// Closes a session.
    pub fn close(&mut self, session: u32) -> Outcome {
        let page = Page::of_arguments().message(command::CLOSE, 0);
        let done = self.call(page.target(0, session));
        ensure_eq!(done, (0, 0), "CLOSE_SESSION");
        Ok(())
    }

    /// Registers new memory of `size` bytes.
    pub fn register(&mut self, size: u64) -> Result<Piece, Stop> {
        let piece = self.allocate(size, OFFSET);
        let piece = piece.ok_or(Stop::Skipped("no memory left"))?;
        let list = self.write_list(&piece);
        let at = Page::at(list.address() + OFFSET);
        let done = self.call(tee::registration(at, size, piece.cookie));
        list.fill(GONE);
        ensure_eq!(done, (0, 0), "REGISTER_SHM");
        Ok(piece)
    }

    /// Unregisters and frees it.
    pub fn unregister(&mut self, piece: Piece) -> Outcome {
        let page = Page::of_arguments().message(command::UNREGISTER, 1).param(
            0,
            0x5,
            [0, 0, piece.cookie],
        );
        let done = self.call(page);
        ensure_eq!(done, (0, 0), "UNREGISTER_SHM");
        self.free(piece.cookie);
        Ok(())
    }

    /// Checks that everything that was given was freed, once.
    pub fn finish(&self) -> Outcome {
        let left = self.pieces.iter().flatten().count();
        ensure_eq!(left, 0, "pieces that were never freed");
        ensure_eq!(self.counts.unknown, 0, "cookies that were never given");
        Ok(())
    }
}

/// Copies bytes between memory that OP-TEE may use too, or the initrd.
fn copy(from: u64, to: u64, bytes: u64) {
    assert!(env::free_ram().contains(&to) && to + bytes <= env::free_ram().end);
    for n in 0..bytes {
        // SAFETY: from the initrd or RAM that nothing else uses, to such RAM; OP-TEE may write to it.
        unsafe { ((to + n) as *mut u8).write_volatile(((from + n) as *const u8).read_volatile()) };
    }
}
