// SPDX-License-Identifier: MIT OR Apache-2.0

//! A device's transmit side, which carries the packets.

use virtio::{Budget, Chain, Fault, Layout, Memory, Queue};

use crate::control::{Control, MOST};
use crate::packet::{EL2, HEADER, Header, Op};
use crate::peers::{Peer, Peers};
use crate::receive::{Data, Delivered, Receive};

/// The other ends: receive sides of guests, and EL2's.
pub trait Ends {
    /// RAM of any guest.
    type Memory: Memory;

    /// Lets `act` have the receive side of a device, which nobody else has meanwhile, and its guest's RAM. It is the
    /// only one that a visit has at a time, and may be the sender's own.
    fn with<T>(&mut self, peer: Peer, act: impl FnOnce(&mut Receive, &Self::Memory) -> T) -> T;

    /// Lets `act` have EL2's end of the streams of the guest that sends, if it may have any. Not while it has a
    /// receive side.
    fn control<T>(&mut self, act: impl FnOnce(&mut Control) -> T) -> Option<T>;
}

/// When the next visit is due.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Next {
    /// When the guest kicks.
    Kick,
    /// As soon as the core has looked at its interrupts: there may be more to do.
    More,
    /// When this guest kicks its receive queue, or at this time, whichever comes first.
    Buffer(Peer, u64),
    /// Not before the guest has reset its device, which has to fail.
    Broken(Fault),
}

/// What a visit has come to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub struct Visit {
    /// When the next one is due.
    pub next: Next,
    /// The sender wants an interrupt for packets that are sent.
    pub interrupt: bool,
    /// The guests with these numbers, by bits, want an interrupt for packets that they have received.
    pub interrupts: u32,
    /// The guests with these numbers, by bits, have broken their receive queues: their devices have to fail.
    pub broken: u32,
    /// EL2's end has something new.
    pub control: bool,
}

/// What has become of the packets of a device.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counters {
    /// Packets that went to another guest or to EL2.
    pub packets: u64,
    /// Bytes of data in them.
    pub bytes: u64,
    /// Packets that were none, or claimed to be from another address.
    pub refused: u64,
    /// Packets answered with a reset because nobody takes them.
    pub resets: u64,
    /// Packets given up because they had waited too long.
    pub stuck: u64,
}

/// A packet under way.
#[derive(Clone, Copy, Debug)]
struct Pending {
    to: Peer,
    header: Header,
    /// Bytes of its data that are delivered.
    done: u32,
    /// Until when it waits, once it does.
    until: Option<u64>,
}

/// The queue of what a guest sends.
#[derive(Clone, Debug)]
pub struct Transmit {
    own: Peer,
    queue: Queue,
    /// Ticks that a packet waits for a buffer.
    patience: u64,
    counters: Counters,
    /// The packet at hand, as it is in the guest's RAM.
    chain: Chain,
    is_taken: bool,
    pending: Option<Pending>,
}

impl Transmit {
    /// Makes the transmit side of a guest that has not set up its device. Its packets wait for `patience` ticks at
    /// most.
    pub fn new(own: Peer, patience: u64) -> Self {
        Self {
            own,
            queue: Queue::new(),
            patience,
            counters: Counters::default(),
            chain: Chain::new(),
            is_taken: false,
            pending: None,
        }
    }

    /// Starts or stops, as the device's registers say. A packet that waits is forgotten.
    ///
    /// # Errors
    /// What is wrong with it: the device fails.
    pub fn set<M: Memory>(&mut self, memory: &M, layout: Option<Layout>) -> Result<(), Fault> {
        self.stop();
        self.queue.set(memory, layout)
    }

    /// Stops: nothing of the guest's RAM is used any more.
    pub fn stop(&mut self) {
        self.queue.stop();
        self.is_taken = false;
        self.pending = None;
    }

    /// Returns what was counted since the device was made.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Carries packets, at the time `now`, as far as the budget goes: those of the guest, and those that EL2 has for
    /// it.
    pub fn visit<E: Ends>(
        &mut self,
        peers: &Peers,
        memory: &E::Memory,
        ends: &mut E,
        budget: Budget,
        now: u64,
    ) -> Visit {
        let mut work = Work {
            peers,
            memory,
            ends,
            budget,
            now,
            visit: Visit {
                next: Next::Kick,
                interrupt: false,
                interrupts: 0,
                broken: 0,
                control: false,
            },
        };
        let ended = self.carry_all(&mut work);
        let wants = |next| Ok((next, self.queue.wants_interrupt(memory)?));
        let mut visit = work.visit;
        match ended.and_then(wants) {
            Ok((next, interrupt)) => {
                visit.next = next;
                visit.interrupt = interrupt;
            }
            Err(fault) => {
                self.stop();
                visit.next = Next::Broken(fault);
            }
        }
        visit
    }

    fn carry_all<E: Ends>(&mut self, work: &mut Work<'_, E>) -> Result<Next, Fault> {
        loop {
            if work.budget.is_spent() {
                self.queue.spare_kicks(work.memory)?;
                return Ok(Next::More);
            }
            if self.pending.is_some() {
                if let Some(wait) = self.deliver(work)? {
                    self.queue.spare_kicks(work.memory)?;
                    return Ok(wait);
                }
                continue;
            }
            self.give_back(work)?;
            if self.speak(work) {
                continue;
            }
            if !self.queue.peek(work.memory, &mut self.chain, u64::MAX)? {
                if self.queue.ask_for_kick(work.memory)? {
                    continue;
                }
                return Ok(Next::Kick);
            }
            self.queue.take();
            self.is_taken = true;
            work.budget.spend(0);
            self.pending = self.judge(work)?;
        }
    }

    fn give_back<E: Ends>(&mut self, work: &Work<'_, E>) -> Result<(), Fault> {
        match core::mem::take(&mut self.is_taken) {
            true => self.queue.put(work.memory, &self.chain, 0),
            false => Ok(()),
        }
    }

    /// Finds out where the packet that was taken goes.
    fn judge<E: Ends>(&mut self, work: &mut Work<'_, E>) -> Result<Option<Pending>, Fault> {
        if self.chain.writable() > 0 {
            return Err(Fault::Direction);
        }
        let own = work.peers.cid(self.own);
        let Some(header) = self
            .header(work.memory)?
            .filter(|header| header.from == own)
        else {
            self.counters.refused += 1;
            return Ok(None);
        };
        if header.to == EL2 {
            return self.hear(work, header);
        }
        match work.peers.route(self.own, header.to) {
            Some(to) => {
                self.count(&header);
                Ok(Some(pending(to, header)))
            }
            None => Ok(self.reset(&header)),
        }
    }

    fn header<M: Memory>(&self, memory: &M) -> Result<Option<Header>, Fault> {
        let mut bytes = [0; HEADER];
        let Some(data) = self.chain.readable().checked_sub(HEADER as u64) else {
            return Ok(None);
        };
        self.chain.reader().read(memory, &mut bytes)?;
        let header = Header::read(&bytes);
        // Data that is not there, or that we have not looked at.
        Ok(header.filter(|header| u64::from(header.len) == data && !self.chain.is_cut()))
    }

    fn count(&mut self, header: &Header) {
        self.counters.packets += 1;
        self.counters.bytes += u64::from(header.len);
    }

    /// Returns the answer to a packet that nobody takes.
    fn reset(&mut self, header: &Header) -> Option<Pending> {
        if header.is_last() {
            return None;
        }
        self.counters.resets += 1;
        Some(pending(self.own, header.answer(Op::Reset)))
    }

    /// Lets EL2's end have a packet, and returns what it answers.
    fn hear<E: Ends>(
        &mut self,
        work: &mut Work<'_, E>,
        header: Header,
    ) -> Result<Option<Pending>, Fault> {
        let mut data = [0; MOST];
        let Some(data) = data.get_mut(..header.len as usize) else {
            return Ok(self.reset(&header));
        };
        let mut reader = self.chain.reader();
        reader.skip(HEADER as u32)?;
        reader.read(work.memory, data)?;
        let Some(answer) = work.ends.control(|control| control.hear(&header, data)) else {
            return Ok(self.reset(&header));
        };
        self.count(&header);
        work.budget.spend(header.len);
        work.visit.control = true;
        Ok(answer.map(|answer| pending(self.own, answer)))
    }

    /// Lets EL2's end say something. Whether it has, or would have.
    fn speak<E: Ends>(&mut self, work: &mut Work<'_, E>) -> bool {
        let mut data = [0; MOST];
        let said = work
            .ends
            .control(|control| control.speak(&mut data))
            .flatten();
        let Some(header) = said else { return false };
        let own = self.own;
        let with = |receive: &mut Receive, memory: &_| {
            let data = data.get(..header.len as usize).unwrap_or(&[]);
            receive.deliver(memory, &header, &mut Data::Own(data))
        };
        work.budget.spend(header.len);
        let delivered = work.deliver(own, with);
        let bytes = match delivered {
            Delivered::Yes { bytes, .. } => Some(bytes),
            _ => None,
        };
        work.ends.control(|control| control.said(&header, bytes));
        bytes.is_some()
    }

    /// Delivers the packet at hand, or a part of it. Returns what it has to wait for, if it has to.
    fn deliver<E: Ends>(&mut self, work: &mut Work<'_, E>) -> Result<Option<Next>, Fault> {
        let Some(mut pending) = self.pending.take() else {
            return Ok(None);
        };
        let header = Header {
            len: pending.header.len - pending.done,
            ..pending.header
        };
        let mut from = self.chain.reader();
        if header.len > 0 {
            from.skip(HEADER as u32 + pending.done)?;
        }
        // No more at once than the budget has, or one packet would be a visit beyond it.
        let header = Header {
            len: header.len.min(work.budget.bytes),
            ..header
        };
        let mut data = Data::Guest(from, work.memory);
        let with = |receive: &mut Receive, memory: &_| receive.deliver(memory, &header, &mut data);
        match work.deliver(pending.to, with) {
            Delivered::Yes { bytes, .. } => {
                work.budget.spend(bytes);
                pending.done += bytes;
                pending.until = None;
                self.pending = (pending.done < pending.header.len).then_some(pending);
                Ok(None)
            }
            Delivered::NoBuffer => {
                let until = pending
                    .until
                    .unwrap_or(work.now.saturating_add(self.patience));
                if work.now < until {
                    pending.until = Some(until);
                    self.pending = Some(pending);
                    return Ok(Some(Next::Buffer(pending.to, until)));
                }
                self.counters.stuck += 1;
                work.ends.with(pending.to, |receive, _| receive.give_up());
                self.pending = self.give_up(&pending);
                Ok(None)
            }
            Delivered::Down => {
                work.budget.spend(0);
                self.pending = self.give_up(&pending);
                Ok(None)
            }
        }
    }

    /// Returns what the sender is told of a packet that nobody has taken: nothing, if it was an answer for itself.
    fn give_up(&mut self, pending: &Pending) -> Option<Pending> {
        match pending.to == self.own {
            true => None,
            false => self.reset(&pending.header),
        }
    }
}

fn pending(to: Peer, header: Header) -> Pending {
    Pending {
        to,
        header,
        done: 0,
        until: None,
    }
}

/// What a visit works with.
struct Work<'a, E: Ends> {
    peers: &'a Peers,
    memory: &'a E::Memory,
    ends: &'a mut E,
    budget: Budget,
    now: u64,
    visit: Visit,
}

impl<E: Ends> Work<'_, E> {
    /// Delivers by `act` to a guest. What that guest has done wrong is not the sender's fault.
    fn deliver(
        &mut self,
        to: Peer,
        act: impl FnOnce(&mut Receive, &E::Memory) -> Result<Delivered, Fault>,
    ) -> Delivered {
        let bit = 1 << to.index();
        match self.ends.with(to, act) {
            Ok(delivered) => {
                if matches!(
                    delivered,
                    Delivered::Yes {
                        interrupt: true,
                        ..
                    }
                ) {
                    self.visit.interrupts |= bit;
                }
                delivered
            }
            Err(_) => {
                self.visit.broken |= bit;
                Delivered::Down
            }
        }
    }
}
