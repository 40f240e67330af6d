// SPDX-License-Identifier: MIT OR Apache-2.0

//! The state of an SMMU and what is done with it.

mod init;
mod observe;

pub use init::{Setup, close, table_size};

use addr::{PAGE_SIZE, Pa};

use crate::command::{self, Command};
use crate::error::CommandError;
use crate::hardware::poll;
use crate::queue::Ring;
use crate::registers::{CMDQ_CONS, CMDQ_PROD, GERROR, GERROR_CMDQ, GERRORN};
use crate::ste::{self, Geometry};
use crate::{Error, Features, Hardware, Streams};

/// An SMMU that is on.
///
/// An operation that fails may be tried again. Until [`shut`](Self::shut) and then [`invalidate`](Self::invalidate) have
/// returned without an error the streams may reach the guest's memory, which must not become anybody else's; [`close`]
/// stops all of them.
pub struct Smmu<H> {
    hardware: H,
    features: Features,
    setup: Setup,
    geometry: Geometry,
    commands: Ring,
    /// CMDQ_PROD.
    produced: u32,
    events: Ring,
    /// EVENTQ_CONS.
    consumed: u32,
}

impl<H: Hardware> Smmu<H> {
    /// Lays out the entries of `streams`, which stay shut, for the guest of `vmid` whose tables begin at `root` (3.21.3.1).
    /// As often as that guest starts and ends they are opened and shut after that.
    pub fn prepare(&mut self, streams: Streams, vmid: u16, root: Pa) -> Result<(), Error> {
        self.check(streams)?;
        self.check_guest(vmid, root)?;
        let open = streams.ids().find(|&id| self.is_open(id));
        open.map_or(Ok(()), |stream| Err(Error::Taken(stream)))?;
        let words = ste::stage_2(self.geometry, vmid, root);
        for stream in streams.ids() {
            let at = self.at(stream, 0).0;
            for (index, word) in (1..).zip(words) {
                self.hardware.store(Pa(at + index * 8), word);
            }
        }
        // It may have read some words before they were written: it must forget these before the entry is valid.
        self.reread(streams)
    }

    /// Lets `streams`, which are prepared, reach their guest's memory. If that fails some of them may: shut them.
    ///
    /// This and [`shut`](Self::shut) take a few instructions for each stream: where time is short, open or shut some of
    /// them, then the others.
    pub fn open(&mut self, streams: Streams) -> Result<(), Error> {
        self.check(streams)?;
        self.enter(streams, ste::STAGE_2)
    }

    /// Keeps further accesses of `streams` from memory, and records each. When this has returned none is under way; its
    /// translation may be cached until [`invalidate`](Self::invalidate), which makes the guest's end complete.
    pub fn shut(&mut self, streams: Streams) -> Result<(), Error> {
        self.check(streams)?;
        self.enter(streams, ste::INVALID)
    }

    /// Ends the records of a stream that nobody has: it aborts without one, until it is opened or shut.
    pub fn silence(&mut self, stream: u32) -> Result<(), Error> {
        self.check(Streams::one(stream))?;
        match self.is_open(stream) {
            true => Err(Error::Taken(stream)),
            false => self.enter(Streams::one(stream), ste::ABORT),
        }
    }

    /// Drops what the SMMU holds of the tables of the guest of `vmid`: after a change of them, and when all the guest's
    /// streams are shut. Not before: an access that is under way until then leaves a translation.
    pub fn invalidate(&mut self, vmid: u16) -> Result<(), Error> {
        self.push(Command::tlbi(vmid))?;
        self.sync()
    }

    /// Returns what drives the SMMU.
    pub const fn hardware(&mut self) -> &mut H {
        &mut self.hardware
    }

    /// Returns what the SMMU can do.
    pub const fn features(&self) -> &Features {
        &self.features
    }

    fn check(&self, streams: Streams) -> Result<(), Error> {
        match streams.fit(self.setup.stream_bits) {
            true => Ok(()),
            false => Err(Error::Beyond(streams)),
        }
    }

    fn check_guest(&self, vmid: u16, root: Pa) -> Result<(), Error> {
        if vmid > 0xff && !self.features.wide_vmids {
            return Err(Error::Vmid(vmid));
        }
        match root.is_aligned(PAGE_SIZE) && root.0 >> self.features.output_bits() == 0 {
            true => Ok(()),
            false => Err(Error::Address(root)),
        }
    }

    /// Returns where a word of an entry is.
    const fn at(&self, stream: u32, index: usize) -> Pa {
        Pa(self.setup.table.0 + stream as u64 * ste::SIZE + index as u64 * 8)
    }

    fn write(&mut self, stream: u32, index: usize, word: u64) {
        self.hardware.store(self.at(stream, index), word);
    }

    fn is_open(&mut self, stream: u32) -> bool {
        self.hardware.load(self.at(stream, 0)) == ste::STAGE_2
    }

    /// Writes word 0 of entries, which says what the others are for, and waits until it counts.
    fn enter(&mut self, streams: Streams, word: u64) -> Result<(), Error> {
        streams.ids().for_each(|id| self.write(id, 0, word));
        self.reread(streams)
    }

    /// Makes the SMMU read entries again, and ends what goes by the old ones.
    fn reread(&mut self, streams: Streams) -> Result<(), Error> {
        for (first, log2) in streams.blocks() {
            self.push(Command::cfgi(first, log2))?;
        }
        self.sync()
    }

    /// Waits until all commands are complete (4.7.3).
    fn sync(&mut self) -> Result<(), Error> {
        self.push(Command::SYNC)?;
        self.until(|ring, prod, cons| ring.pointer(cons) == prod)
    }

    /// Hands a command to the SMMU (4.1.2), which sees all that was stored before when it sees the command.
    fn push(&mut self, command: Command) -> Result<(), Error> {
        self.until(|ring, prod, cons| !ring.full(prod, cons))?;
        self.place(self.produced, command);
        self.produced = self.commands.next(self.produced);
        self.hardware.write32(CMDQ_PROD, self.produced);
        Ok(())
    }

    /// Puts a command into the queue's memory.
    fn place(&mut self, pointer: u32, command: Command) {
        let at = self.command_at(pointer);
        for (index, word) in command.0.into_iter().enumerate() {
            self.hardware.store(Pa(at.0 + index as u64 * 8), word);
        }
        self.hardware.barrier();
    }

    const fn command_at(&self, pointer: u32) -> Pa {
        Pa(self.setup.commands.0 + self.commands.index(pointer) * command::SIZE)
    }

    /// Waits for what CMDQ_CONS has to say.
    fn until(&mut self, done: impl Fn(Ring, u32, u32) -> bool) -> Result<(), Error> {
        let (ring, prod) = (self.commands, self.produced);
        let mut failed = false;
        poll(&mut self.hardware, self.setup.polls, "CMDQ_CONS", |hw| {
            failed = (hw.read32(GERROR) ^ hw.read32(GERRORN)) & GERROR_CMDQ != 0;
            failed || done(ring, prod, hw.read32(CMDQ_CONS))
        })?;
        if failed { Err(self.skip()) } else { Ok(()) }
    }

    /// Replaces the command that the SMMU refused, so that it goes on with the next one (7.1).
    fn skip(&mut self) -> Error {
        let register = self.hardware.read32(CMDQ_CONS);
        let at = self.command_at(register);
        let opcode = self.hardware.load(at) as u8;
        self.place(register, Command::SYNC);
        let acknowledged = self.hardware.read32(GERRORN) ^ GERROR_CMDQ;
        self.hardware.write32(GERRORN, acknowledged);
        let error = CommandError::from((register >> 24) as u8 & 0x7f);
        Error::Command { opcode, error }
    }
}
