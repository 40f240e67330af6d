// SPDX-License-Identifier: MIT OR Apache-2.0

//! A port's transmit side, which does the switch's work.

use virtio::{Budget, Chain, Fault, Layout, Memory, Queue};

use crate::rate::{Line, Rate};
use crate::receive::{Frame, Receive};
use crate::switch::{Port, Ports, Switch};
use crate::{ETHERNET, HEADER, Mac};

/// The receive sides of a switch's ports.
pub trait Receivers {
    /// RAM of any guest.
    type Memory: Memory;

    /// Lets `act` have the receive side of a port, which nobody else has meanwhile, and its guest's RAM. It is the
    /// only one that a visit has at a time.
    fn with<T>(&mut self, port: Port, act: impl FnOnce(&mut Receive, &Self::Memory) -> T) -> T;
}

/// When the next visit is due.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Next {
    /// When the guest kicks.
    Kick,
    /// As soon as the core has looked at its interrupts: there may be more to do.
    More,
    /// At this time: the rate is used up.
    At(u64),
    /// Not before the guest has reset its device, which has to fail.
    Broken(Fault),
}

/// What a visit has come to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub struct Visit {
    /// When the next one is due.
    pub next: Next,
    /// The sender wants an interrupt for frames that are sent.
    pub interrupt: bool,
    /// These ports' guests want an interrupt for frames that they have received.
    pub interrupts: Ports,
    /// These ports' guests have broken their receive queues: their devices have to fail.
    pub broken: Ports,
}

/// What has become of the frames of a port.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct TransmitCounters {
    /// Frames that went to a receiver or several.
    pub frames: u64,
    /// Bytes of those.
    pub bytes: u64,
    /// Frames refused as shorter than an Ethernet header.
    pub runts: u64,
    /// Frames refused as longer than the MTU allows, or as being in too many pieces.
    pub giants: u64,
    /// Frames refused because they claim to be from another address.
    pub forged: u64,
    /// Frames for an address that nobody else has.
    pub nobody: u64,
    /// Visits that ended because the rate was used up.
    pub waits: u64,
}

/// The queue of what a guest sends.
#[derive(Clone, Debug)]
pub struct Transmit {
    port: Port,
    queue: Queue,
    line: Line,
    counters: TransmitCounters,
    /// The frame at hand.
    chain: Chain,
    bytes: u32,
    header: [u8; ETHERNET as usize],
    /// Who has not got the frame at hand yet. Not empty between visits only if a visit has ended amid them.
    left: Ports,
    /// The frame at hand was taken and not given back.
    is_taken: bool,
}

impl Transmit {
    /// Makes the transmit side of a port whose guest has not set up its device.
    pub fn new(port: Port, rate: Option<Rate>) -> Self {
        Self {
            port,
            queue: Queue::new(),
            line: Line::new(rate),
            counters: TransmitCounters::default(),
            chain: Chain::new(),
            bytes: 0,
            header: [0; ETHERNET as usize],
            left: Ports::NONE,
            is_taken: false,
        }
    }

    /// Starts or stops, as the device's registers say. A frame that has not got to all its receivers is forgotten.
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
        self.left = Ports::NONE;
        self.is_taken = false;
    }

    /// Returns what was counted since the port was made.
    pub fn counters(&self) -> TransmitCounters {
        self.counters
    }

    /// Sends frames, at the time `now` in ticks of the [`Rate`]'s clock, as far as the budget goes.
    pub fn visit<R: Receivers>(
        &mut self,
        switch: &Switch,
        memory: &R::Memory,
        receivers: &mut R,
        budget: Budget,
        now: u64,
    ) -> Visit {
        let mut visit = Visit {
            next: Next::Kick,
            interrupt: false,
            interrupts: Ports::NONE,
            broken: Ports::NONE,
        };
        let mut work = Work {
            switch,
            memory,
            receivers,
            budget,
            visit: &mut visit,
        };
        let ended = self.send_all(&mut work, now);
        let wants = |next| Ok((next, self.queue.wants_interrupt(memory)?));
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

    fn send_all<R: Receivers>(&mut self, work: &mut Work<'_, R>, now: u64) -> Result<Next, Fault> {
        let first = work.budget.frames;
        loop {
            if !self.finish(work)? {
                self.queue.spare_kicks(work.memory)?;
                return Ok(Next::More);
            }
            // What is known of is done: instead of a look and then another one, look when a kick is asked for.
            let is_done = work.budget.frames < first && self.queue.is_drained();
            if is_done || !self.queue.peek(work.memory, &mut self.chain, u64::MAX)? {
                if self.queue.ask_for_kick(work.memory)? {
                    continue;
                }
                return Ok(Next::Kick);
            }
            if let Some(until) = self.line.busy(now) {
                self.counters.waits += 1;
                self.queue.spare_kicks(work.memory)?;
                return Ok(Next::At(until));
            }
            self.queue.take();
            self.is_taken = true;
            self.judge(work)?;
            self.line.send(self.bytes, now);
            work.budget.spend(0);
        }
    }

    /// Delivers the frame at hand and gives it back. False, and something of that is left to do, if the budget is
    /// spent.
    fn finish<R: Receivers>(&mut self, work: &mut Work<'_, R>) -> Result<bool, Fault> {
        while let Some(port) = self.left.first() {
            if work.budget.is_spent() {
                return Ok(false);
            }
            self.left.next();
            work.budget.spend(self.bytes);
            self.deliver(work, port)?;
        }
        if core::mem::take(&mut self.is_taken) {
            self.queue.put(work.memory, &self.chain, 0)?;
        }
        Ok(!work.budget.is_spent())
    }

    /// Finds out who gets the frame that was taken.
    fn judge<R: Receivers>(&mut self, work: &Work<'_, R>) -> Result<(), Fault> {
        if self.chain.writable() > 0 {
            return Err(Fault::Direction);
        }
        let bytes = self.chain.readable().saturating_sub(HEADER.into());
        self.bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        if self.bytes > work.switch.longest() || self.chain.is_cut() {
            // What was not looked at costs nothing.
            self.bytes = 0;
            self.counters.giants += 1;
            return Ok(());
        }
        if self.bytes < ETHERNET {
            self.counters.runts += 1;
            return Ok(());
        }
        let mut reader = self.chain.reader();
        reader.skip(HEADER)?;
        reader.read(work.memory, &mut self.header)?;
        let [to @ .., _, _, _, _, _, _, _, _] = self.header;
        let [_, _, _, _, _, _, from @ .., _, _] = self.header;
        if !work.switch.is_own(self.port, Mac(from)) {
            self.counters.forged += 1;
            return Ok(());
        }
        self.left = work.switch.route(self.port, Mac(to));
        if self.left.is_empty() {
            self.counters.nobody += 1;
            return Ok(());
        }
        self.counters.frames += 1;
        self.counters.bytes += u64::from(self.bytes);
        Ok(())
    }

    /// Delivers the frame at hand to a port. What its guest has done wrong is not the sender's fault.
    fn deliver<R: Receivers>(&self, work: &mut Work<'_, R>, port: Port) -> Result<(), Fault> {
        let mut rest = self.chain.reader();
        rest.skip(HEADER + ETHERNET)?;
        let frame = Frame {
            header: &self.header,
            rest,
            bytes: self.bytes,
            memory: work.memory,
        };
        let with = |receive: &mut Receive, memory: &_| receive.deliver(memory, frame);
        match work.receivers.with(port, with) {
            Ok(true) => work.visit.interrupts.add(port),
            Ok(false) => {}
            Err(_) => work.visit.broken.add(port),
        }
        Ok(())
    }
}

/// What a visit works with.
struct Work<'a, R: Receivers> {
    switch: &'a Switch,
    memory: &'a R::Memory,
    receivers: &'a mut R,
    budget: Budget,
    visit: &'a mut Visit,
}
