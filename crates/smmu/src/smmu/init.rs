// SPDX-License-Identifier: MIT OR Apache-2.0

//! How an SMMU is turned off and on (3.11, 6.3.9).

use addr::{PAGE_SIZE, Pa};

use super::Smmu;
use crate::command::Command;
use crate::hardware::poll;
use crate::queue::Ring;
use crate::registers::*;
use crate::ste::{self, Geometry};
use crate::{Error, Features, Hardware};

/// Where the SMMU's own memory is, and what it is to work with.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    /// The stream table: [`table_size`] bytes, aligned to that.
    pub table: Pa,
    /// Bits of the largest stream id that a device has: there are `1 << stream_bits` entries.
    pub stream_bits: u32,
    /// The command queue: a page.
    pub commands: Pa,
    /// The event queue: a page.
    pub events: Pa,
    /// How guests' tables are walked.
    pub vtcr: u64,
    /// One past the last byte of the board's RAM.
    pub ram_end: u64,
    /// How often a register is looked at before the SMMU counts as dead.
    pub polls: u32,
}

/// Returns the bytes of a table for stream ids of so many bits.
pub const fn table_size(stream_bits: u32) -> u64 {
    let size = ste::SIZE << stream_bits;
    if size > PAGE_SIZE { size } else { PAGE_SIZE }
}

/// Makes an SMMU that is in any state abort all accesses, without a moment in which one goes past it.
///
/// What is under way already may still arrive; [`Smmu::init`] waits for its end.
pub fn close(hardware: &mut impl Hardware, polls: u32) -> Result<(), Error> {
    // 6.3.15: one update after the other. It counts where translation is off, so it comes first.
    let updated = |hw: &mut _| Hardware::read32(hw, GBPA) & GBPA_UPDATE == 0;
    poll(hardware, polls, "GBPA", updated)?;
    let others = hardware.read32(GBPA);
    hardware.write32(GBPA, others | GBPA_ABORT | GBPA_UPDATE);
    poll(hardware, polls, "GBPA", updated)?;
    set(hardware, polls, (CR0, CR0ACK, "CR0ACK"), 0)?;
    set(hardware, polls, INTERRUPTS, 0)
}

const INTERRUPTS: (u64, u64, &str) = (IRQ_CTRL, IRQ_CTRLACK, "IRQ_CTRLACK");
/// The bits of CR0 and IRQ_CTRL that are used; no others are waited for.
const USED: u32 = CR0_SMMUEN | CR0_PRIQEN | CR0_EVENTQEN | CR0_CMDQEN | CR0_ATSCHK;

/// Writes a control register and waits until the SMMU has taken it over.
fn set(
    hardware: &mut impl Hardware,
    polls: u32,
    (control, ack, name): (u64, u64, &'static str),
    value: u32,
) -> Result<(), Error> {
    hardware.write32(control, value);
    poll(hardware, polls, name, |hw| {
        hw.read32(ack) & USED == value & USED
    })
}

impl<H: Hardware> Smmu<H> {
    /// Turns an SMMU on, with all streams invalid. It aborts all accesses until then, and if this fails.
    pub fn init(mut hardware: H, setup: Setup) -> Result<Self, Error> {
        close(&mut hardware, setup.polls)?;
        let features = Features::read(&mut hardware)?;
        features.suffice(setup.stream_bits, setup.ram_end)?;
        let geometry = Geometry::new(setup.vtcr, &features)?;
        setup.check()?;
        let mut smmu = Self {
            hardware,
            features,
            setup,
            geometry,
            commands: Ring(features.command_bits),
            produced: 0,
            events: Ring(features.event_bits),
            consumed: 0,
        };
        smmu.lay_out();
        smmu.turn_on()?;
        Ok(smmu)
    }

    /// Writes the tables and says where they are. Nothing is enabled.
    fn lay_out(&mut self) {
        let setup = self.setup;
        self.hardware.zero(setup.table, setup.table_size());
        self.hardware.barrier();
        let hw = &mut self.hardware;
        hw.write32(CR1, CR1_WRITE_BACK);
        hw.write32(CR2, CR2_RECINVSID | CR2_PTM);
        hw.write64(STRTAB_BASE, setup.table.0 | BASE_ALLOCATE);
        hw.write32(STRTAB_BASE_CFG, setup.stream_bits);
        let queue = |at: Pa, ring: Ring| at.0 | BASE_ALLOCATE | ring.0 as u64;
        hw.write64(CMDQ_BASE, queue(setup.commands, self.commands));
        hw.write32(CMDQ_PROD, 0);
        hw.write32(CMDQ_CONS, 0);
        hw.write64(EVENTQ_BASE, queue(setup.events, self.events));
        hw.write32(EVENTQ_PROD, 0);
        hw.write32(EVENTQ_CONS, 0);
        self.forget_the_past();
    }

    /// Acknowledges errors of the firmware's, and makes interrupts wired ones.
    fn forget_the_past(&mut self) {
        let errors = self.hardware.read32(GERROR);
        self.hardware.write32(GERRORN, errors);
        if self.features.msi {
            self.hardware.write64(GERROR_IRQ_CFG0, 0);
            self.hardware.write64(EVENTQ_IRQ_CFG0, 0);
        }
    }

    /// Enables one thing after the other (3.11); what was cached is dropped before the table counts.
    fn turn_on(&mut self) -> Result<(), Error> {
        let ats = if self.features.ats { CR0_ATSCHK } else { 0 };
        let commands = ats | CR0_CMDQEN;
        self.enable(commands)?;
        self.push(Command::CFGI_ALL)?;
        self.push(Command::TLBI_NSNH_ALL)?;
        if self.features.hyp {
            self.push(Command::TLBI_EL2_ALL)?;
        }
        self.sync()?;
        self.enable(commands | CR0_EVENTQEN)?;
        let interrupts = IRQ_CTRL_EVENTQ | IRQ_CTRL_GERROR;
        set(&mut self.hardware, self.setup.polls, INTERRUPTS, interrupts)?;
        self.enable(commands | CR0_EVENTQEN | CR0_SMMUEN)
    }

    fn enable(&mut self, what: u32) -> Result<(), Error> {
        let control = (CR0, CR0ACK, "CR0ACK");
        set(&mut self.hardware, self.setup.polls, control, what)
    }
}

impl Setup {
    const fn table_size(&self) -> u64 {
        table_size(self.stream_bits)
    }

    /// Checks where tables are: the SMMU takes the low bits of their addresses for zero (6.3.24, 6.3.26).
    fn check(&self) -> Result<(), Error> {
        let places = [
            (self.table, self.table_size()),
            (self.commands, PAGE_SIZE),
            (self.events, PAGE_SIZE),
        ];
        let wrong = places.iter().find(|(at, size)| {
            let end = at.checked_add(*size);
            !at.is_aligned(*size) || end.is_none_or(|end| end.0 > self.ram_end)
        });
        wrong.map_or(Ok(()), |(at, _)| Err(Error::Address(*at)))
    }
}
