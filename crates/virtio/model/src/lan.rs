// SPDX-License-Identifier: MIT OR Apache-2.0

//! Network devices and their switch, put together as a kernel does it.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use virtio::{Budget, Effect, Fault};
use vnet::{
    Device, Mac, Next, Port, RECEIVE, Rate, Receive, ReceiveCounters, Receivers, Switch, TRANSMIT,
    Transmit, TransmitCounters, Visit,
};

use crate::mmio::{Registers, register};
use crate::{LONGEST, Ram};

/// A guest's network device.
struct Wire {
    ram: Rc<Ram>,
    device: RefCell<Device>,
    transmit: RefCell<Transmit>,
    receive: RefCell<Receive>,
    next: Cell<Next>,
    /// Edges of the interrupt.
    interrupts: Cell<u64>,
}

/// A switch with its devices.
pub struct Lan {
    switch: Switch,
    wires: Vec<Wire>,
    /// What a visit may do.
    pub budget: Budget,
    /// The time.
    pub now: u64,
    /// Visits are made when a guest kicks; without, only by [`Self::visit`].
    pub visits_at_kicks: bool,
}

/// Receive sides as a visit has them: one at a time, and not the sender's own.
struct Others<'a> {
    wires: &'a [Wire],
    sender: usize,
    is_lent: bool,
}

impl Receivers for Others<'_> {
    type Memory = Ram;

    fn with<T>(&mut self, port: Port, act: impl FnOnce(&mut Receive, &Ram) -> T) -> T {
        assert!(!self.is_lent, "two receive sides at once");
        assert_ne!(port.index(), self.sender, "a frame for its sender");
        self.is_lent = true;
        let wire = &self.wires[port.index()];
        let result = act(&mut wire.receive.borrow_mut(), &wire.ram);
        self.is_lent = false;
        result
    }
}

impl Lan {
    /// Makes a switch with a port for each of these, by its address and its guest's RAM.
    pub fn new(mtu: u16, ports: &[(Mac, Rc<Ram>)], rate: Option<Rate>) -> Self {
        let mut switch = Switch::new(mtu);
        let wire = |(mac, ram): &(Mac, Rc<Ram>)| Wire {
            ram: ram.clone(),
            device: Device::new(*mac, mtu).into(),
            transmit: Transmit::new(switch.add(*mac).expect("an address"), rate).into(),
            receive: Receive::new().into(),
            next: Next::Kick.into(),
            interrupts: 0.into(),
        };
        Self {
            wires: ports.iter().map(wire).collect(),
            switch,
            budget: Budget::default(),
            now: 0,
            visits_at_kicks: true,
        }
    }

    /// Returns when the next visit of a port is due.
    pub fn next(&self, port: usize) -> Next {
        self.wires[port].next.get()
    }

    /// Returns how often a port's device has raised its interrupt.
    pub fn interrupts(&self, port: usize) -> u64 {
        self.wires[port].interrupts.get()
    }

    /// Returns what a port has counted.
    pub fn counters(&self, port: usize) -> (TransmitCounters, ReceiveCounters) {
        let wire = &self.wires[port];
        let sent = wire.transmit.borrow().counters();
        (sent, wire.receive.borrow().counters())
    }

    /// Reads so many bytes of a device's registers.
    pub fn read(&self, port: usize, offset: u64, size: u8) -> u64 {
        self.wires[port].device.borrow().read(offset, size)
    }

    /// Writes so many bytes of a device's registers, and does what comes of it.
    pub fn write(&mut self, port: usize, offset: u64, size: u8, value: u64) {
        let effect = self.wires[port]
            .device
            .borrow_mut()
            .write(offset, size, value);
        match effect {
            Effect::None => {}
            Effect::Queues(queues) => queues.iter().for_each(|queue| self.set(port, queue)),
            Effect::Notify(TRANSMIT) if self.visits_at_kicks => {
                let _ = self.visit(port);
            }
            Effect::Notify(_) => {}
        }
    }

    fn set(&self, port: usize, queue: usize) {
        let wire = &self.wires[port];
        let layout = wire.device.borrow().queue(queue);
        let result = match queue {
            RECEIVE => wire.receive.borrow_mut().set(&*wire.ram, layout),
            _ => {
                wire.next.set(Next::Kick);
                wire.transmit.borrow_mut().set(&*wire.ram, layout)
            }
        };
        if let Err(fault) = result {
            self.fail(port, fault);
        }
    }

    fn fail(&self, port: usize, _: Fault) {
        let wire = &self.wires[port];
        self.count(port, wire.device.borrow_mut().fail());
        wire.transmit.borrow_mut().stop();
        wire.receive.borrow_mut().stop();
    }

    fn count(&self, port: usize, rises: bool) {
        let interrupts = &self.wires[port].interrupts;
        interrupts.set(interrupts.get() + u64::from(rises));
    }

    /// Makes the guest of a port start anew.
    pub fn restart(&mut self, port: usize) {
        let wire = &self.wires[port];
        wire.device.borrow_mut().reset();
        wire.transmit.borrow_mut().stop();
        wire.receive.borrow_mut().stop();
        wire.next.set(Next::Kick);
    }

    /// Visits a port's transmit queue.
    ///
    /// # Panics
    /// If it does more than the budget allows.
    pub fn visit(&mut self, port: usize) -> Visit {
        self.wires.iter().for_each(|wire| wire.ram.begin());
        let wire = &self.wires[port];
        let mut others = Others {
            wires: &self.wires,
            sender: port,
            is_lent: false,
        };
        let (budget, now) = (self.budget, self.now);
        let mut transmit = wire.transmit.borrow_mut();
        let visit = transmit.visit(&self.switch, &*wire.ram, &mut others, budget, now);
        drop(transmit);
        self.judge_work(port);
        wire.next.set(visit.next);
        if visit.interrupt {
            self.count(port, wire.device.borrow_mut().interrupt());
        }
        for other in visit.interrupts {
            let mut device = self.wires[other.index()].device.borrow_mut();
            self.count(other.index(), device.interrupt());
        }
        for other in visit.broken {
            self.fail(other.index(), Fault::NotRam);
        }
        if let Next::Broken(fault) = visit.next {
            self.fail(port, fault);
        }
        visit
    }

    /// Per frame both sides read a chain of up to 32 pieces and a few words of their rings, and copy piece by piece.
    fn judge_work(&self, port: usize) {
        let (_, copied) = self.wires[port].ram.work();
        let most = u64::from(self.budget.bytes) + LONGEST as u64;
        assert!(copied <= most, "{copied} bytes in a visit, {most} at most");
        let accesses: u64 = self.wires.iter().map(|wire| wire.ram.work().0).sum();
        let most = u64::from(self.budget.frames) * 2 * (2 * 32 + 16) + 2 * (2 * 32 + 16);
        assert!(
            accesses <= most * 2,
            "{accesses} accesses in a visit, {most} at most"
        );
    }
}

impl Registers for (&mut Lan, usize) {
    fn read(&mut self, offset: u64) -> u32 {
        self.0.read(self.1, offset, 4) as u32
    }

    fn write(&mut self, offset: u64, value: u32) {
        self.0.write(self.1, offset, 4, value.into());
    }
}

impl Lan {
    /// Kicks a port's transmit queue.
    pub fn kick(&mut self, port: usize) {
        self.write(port, register::QUEUE_NOTIFY, 4, TRANSMIT as u64);
    }

    /// Tells whether the driver would be told that the device has given up.
    pub fn has_failed(&self, port: usize) -> bool {
        self.read(port, register::STATUS, 4) & 0x40 != 0
    }
}
