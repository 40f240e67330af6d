// SPDX-License-Identifier: MIT OR Apache-2.0

//! An SMMU as unhelpful as the specification lets it be.
//!
//! It acknowledges late, takes a command only now and then, and sees what is stored only after a barrier. It reads words
//! of stream table entries whenever it likes, one by one, and keeps them until they are invalidated; it keeps
//! translations by VMID. An access that it has begun goes by the entry of that moment, and ends when a CMD_SYNC is
//! complete, or before. It panics if it is programmed in an order that the specification leaves unpredictable.
#![allow(dead_code, reason = "each test uses a part")]

pub mod device;
pub mod walk;

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use addr::Pa;
use smmu::{Error, Hardware, Smmu, Streams};

use device::{Flight, Leaf};

pub const CR0: u64 = 0x20;
pub const GBPA: u64 = 0x44;
pub const IRQ_CTRL: u64 = 0x50;
const GERROR: u64 = 0x60;
const GERRORN: u64 = 0x64;
const STRTAB_BASE: u64 = 0x80;
const STRTAB_BASE_CFG: u64 = 0x88;
const CMDQ_BASE: u64 = 0x90;
const CMDQ_PROD: u64 = 0x98;
pub const CMDQ_CONS: u64 = 0x9c;
const EVENTQ_BASE: u64 = 0xa0;
const EVENTQ_PROD: u64 = 0x1_00a8;
const EVENTQ_CONS: u64 = 0x1_00ac;
const SMMUEN: u32 = 1;
const EVENTQEN: u32 = 1 << 2;
const CMDQEN: u32 = 1 << 3;
/// Not a register: what GBPA has in force.
const GBPA_IN_FORCE: u64 = 0x45;
const ABORT: u32 = 1 << 20;
const UPDATE: u32 = 1 << 31;

pub struct Model {
    /// What the SMMU sees of the memory, by words.
    memory: BTreeMap<u64, u64>,
    /// Stores that it doesn't see yet.
    buffered: Vec<(u64, u64)>,
    pub registers: BTreeMap<u64, u64>,
    /// Registers that are to change, and in how many ticks.
    late: Vec<(u64, u64, u32)>,
    entries: BTreeMap<(u32, usize), u64>,
    translations: BTreeMap<(u64, u64), Leaf>,
    flights: VecDeque<Flight>,
    /// Physical addresses that devices reached, since they were last taken.
    pub reached: Vec<(u32, u64)>,
    /// Opcodes of the commands that were consumed.
    pub consumed: Vec<u8>,
    /// A register that is never acknowledged any more; CMDQ_CONS: no command is consumed.
    pub stuck: Option<u64>,
    /// The opcode that is refused once, and how; then where, as long as it stays there.
    pub refuse: Option<(u8, u8)>,
    refused: Option<u32>,
    /// Streams below it try something now and then.
    pub busy: u64,
    /// Accesses that a device tries at each tick.
    pub restless: Option<(u32, u64)>,
    random: u64,
}

/// One for the driver and one for the test.
#[derive(Clone)]
pub struct Shared(pub Rc<RefCell<Model>>);

impl Shared {
    pub fn new(seed: u64) -> Self {
        let registers = [
            // STALL_MODEL 1, TTENDIAN 2, VMID16, ATS, COHACC, TTF 2, S2P.
            (
                0x00,
                1 << 24 | 2 << 21 | 1 << 18 | 1 << 10 | 1 << 4 | 2 << 2 | 1,
            ),
            // CMDQS, EVENTQS, SIDSIZE.
            (0x04, 3 << 21 | 3 << 16 | 8),
            // GRAN4K, OAS of 44 bits.
            (0x14, 1 << 4 | 4),
        ];
        Self(Rc::new(RefCell::new(Model {
            memory: BTreeMap::new(),
            buffered: Vec::new(),
            registers: registers.into(),
            late: Vec::new(),
            entries: BTreeMap::new(),
            translations: BTreeMap::new(),
            flights: VecDeque::new(),
            reached: Vec::new(),
            consumed: Vec::new(),
            stuck: None,
            refuse: None,
            refused: None,
            busy: 0,
            restless: None,
            random: seed | 1,
        })))
    }
}

/// Gives streams to a guest that starts for the first time.
pub fn assign(
    smmu: &mut Smmu<Shared>,
    streams: Streams,
    vmid: u16,
    root: u64,
) -> Result<(), Error> {
    smmu.prepare(streams, vmid, Pa(root))?;
    smmu.open(streams)
}

/// Takes streams from a guest that ends.
pub fn revoke(smmu: &mut Smmu<Shared>, streams: Streams, vmid: u16) -> Result<(), Error> {
    smmu.shut(streams)?;
    smmu.invalidate(vmid)
}

impl Hardware for Shared {
    fn read32(&mut self, offset: u64) -> u32 {
        let mut model = self.0.borrow_mut();
        model.tick();
        model.get(offset)
    }

    fn write32(&mut self, offset: u64, value: u32) {
        self.0.borrow_mut().write(offset, value.into());
    }

    fn write64(&mut self, offset: u64, value: u64) {
        self.0.borrow_mut().write(offset, value);
    }

    fn load(&mut self, at: Pa) -> u64 {
        let model = self.0.borrow();
        let own = model.buffered.iter().rev().find(|store| store.0 == at.0);
        own.map_or_else(|| model.word(at.0), |store| store.1)
    }

    fn store(&mut self, at: Pa, word: u64) {
        self.0.borrow_mut().buffered.push((at.0, word));
    }

    fn zero(&mut self, at: Pa, size: u64) {
        (0..size / 8).for_each(|word| self.store(Pa(at.0 + word * 8), 0));
    }

    fn barrier(&mut self) {
        let mut model = self.0.borrow_mut();
        let stores = std::mem::take(&mut model.buffered);
        model.memory.extend(stores);
    }

    fn pause(&mut self) {
        self.0.borrow_mut().tick();
    }
}

impl Model {
    pub fn get(&self, offset: u64) -> u32 {
        self.registers.get(&offset).copied().unwrap_or(0) as u32
    }

    pub fn set(&mut self, offset: u64, value: u32) {
        self.registers.insert(offset, value.into());
    }

    fn get64(&self, offset: u64) -> u64 {
        self.registers.get(&offset).copied().unwrap_or(0)
    }

    pub fn word(&self, at: u64) -> u64 {
        self.memory.get(&at).copied().unwrap_or(0)
    }

    pub fn put(&mut self, at: u64, word: u64) {
        self.memory.insert(at, word);
    }

    pub fn random(&mut self, below: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % below
    }

    /// CR0ACK: what is in force.
    fn on(&self, bits: u32) -> bool {
        self.get(CR0 + 4) & bits == bits
    }

    /// Some time goes by.
    fn tick(&mut self) {
        for (register, value, left) in std::mem::take(&mut self.late) {
            match left {
                0 => self.set(register, value as u32),
                _ => self.late.push((register, value, left - 1)),
            }
        }
        if self.on(SMMUEN) && self.random(2) == 0 {
            self.prefetch();
        }
        if self.random(3) == 0 {
            self.consume();
        }
        if self.random(8) == 0 {
            self.land_one();
        }
        if self.busy > 0 && self.random(3) == 0 {
            let stream = self.random(self.busy) as u32;
            let address = 0x4000_0000 + self.random(4) * 0x1000;
            self.begin(stream, address, true);
        }
        if let Some((stream, address)) = self.restless {
            self.begin(stream, address, true);
            self.land_one();
        }
    }

    fn write(&mut self, offset: u64, value: u64) {
        self.must_be_allowed(offset, value as u32);
        if self.stuck == Some(offset) {
            return;
        }
        let delay = self.random(4) as u32;
        match offset {
            CR0 | IRQ_CTRL => self.late.push((offset + 4, value, delay)),
            GBPA => {
                let value = value & !u64::from(UPDATE);
                self.late
                    .extend([(GBPA, value, delay), (GBPA_IN_FORCE, value, delay)]);
            }
            _ => {}
        }
        self.registers.insert(offset, value);
    }

    fn must_be_allowed(&self, offset: u64, value: u32) {
        let enabled = |bit: u32| (self.get(CR0) | self.get(CR0 + 4)) & bit != 0;
        let ok = match offset {
            GBPA => value & UPDATE != 0 && self.get(GBPA) & UPDATE == 0,
            CR0 => {
                let settled = self.late.iter().all(|late| late.0 != CR0 + 4);
                settled && (value & SMMUEN == 0 || self.on(CMDQEN | EVENTQEN))
            }
            0x28 | 0x2c => self.get(CR0 + 4) & 0xf == 0 && self.get(CR0) & 0xf == 0,
            STRTAB_BASE | STRTAB_BASE_CFG => !enabled(SMMUEN),
            CMDQ_BASE | CMDQ_CONS => !enabled(CMDQEN),
            EVENTQ_BASE | EVENTQ_PROD => !enabled(EVENTQEN),
            CMDQ_PROD if enabled(CMDQEN) => {
                let size = 1 << (self.get64(CMDQ_BASE) & 0x1f);
                value.wrapping_sub(self.get(CMDQ_CONS)) & (2 * size - 1) <= size
            }
            GERRORN => (value ^ self.get(GERRORN)) & !(self.get(GERROR) ^ self.get(GERRORN)) == 0,
            _ => true,
        };
        assert!(ok, "unpredictable: {value:#x} to {offset:#x}");
    }

    /// Takes a command from the queue, if there is one and no error.
    pub fn consume(&mut self) {
        let bits = (self.get64(CMDQ_BASE) & 0x1f) as u32;
        let (prod, cons) = (self.get(CMDQ_PROD), self.get(CMDQ_CONS) & 0xf_ffff);
        let error = (self.get(GERROR) ^ self.get(GERRORN)) & 1 != 0;
        if !self.on(CMDQEN) || prod == cons || error || self.stuck == Some(CMDQ_CONS) {
            return;
        }
        let at = (self.get64(CMDQ_BASE) & 0x000f_ffff_ffff_ffe0)
            + u64::from(cons & ((1 << bits) - 1)) * 16;
        let command = [self.word(at), self.word(at + 8)];
        let opcode = command[0] as u8;
        let refuse = self.refuse.filter(|refuse| refuse.0 == opcode);
        let refuse = refuse.filter(|_| self.is_refused(cons, opcode));
        let error = refuse.map(|refuse| refuse.1);
        let error = error.or_else(|| self.execute(command).err());
        match error {
            Some(code) => {
                self.set(CMDQ_CONS, cons | u32::from(code) << 24);
                self.set(GERROR, self.get(GERROR) ^ 1);
            }
            None => {
                self.consumed.push(opcode);
                self.set(CMDQ_CONS, (cons + 1) & ((2 << bits) - 1));
            }
        }
    }

    /// Tells whether it is the first one of its kind, or that one again; a CMD_SYNC may be the one that replaced it.
    fn is_refused(&mut self, cons: u32, opcode: u8) -> bool {
        let again = self.refused.replace(self.refused.unwrap_or(cons));
        again.is_none_or(|at| at == cons && opcode != 0x46)
    }

    fn execute(&mut self, [low, high]: [u64; 2]) -> Result<(), u8> {
        let stream = (low >> 32) as u32;
        match low as u8 {
            0x03 => self.entries.retain(|key, _| key.0 != stream),
            0x04 => {
                let log2 = (high & 0x1f) + 1;
                let block = u64::from(stream) >> log2;
                self.entries
                    .retain(|key, _| u64::from(key.0) >> log2 != block);
            }
            0x28 => {
                let vmid = low >> 32 & 0xffff;
                self.translations.retain(|key, _| key.0 != vmid);
            }
            0x20 if self.get(0) >> 9 & 1 == 0 => return Err(1),
            0x20 => {}
            0x30 => self.translations.clear(),
            // What has begun ends by what it began with.
            0x46 => while self.land_one() {},
            _ => return Err(1),
        }
        Ok(())
    }

    /// Lets the time go by that a driver that doesn't wait hasn't.
    pub fn settle(&mut self) {
        (self.restless, self.busy) = (None, 0);
        (0..200).for_each(|_| self.tick());
    }

    /// Puts into the caches what a former driver left there.
    pub fn remember(&mut self, stream: u32, entry: [u64; 4], vmid: u64, page: u64, pa: u64) {
        for (index, word) in entry.into_iter().enumerate() {
            self.entries.insert((stream, index), word);
        }
        let leaf = Leaf {
            pa,
            read: true,
            write: true,
        };
        self.translations.insert((vmid, page), leaf);
    }

    /// Reads all words of an entry but the one that says whether they count.
    pub fn keep_all_but_the_first(&mut self, stream: u32) {
        for index in 1..4 {
            let at = self.get64(STRTAB_BASE) & 0xffff_ffff_ffc0;
            let word = self.word(at + u64::from(stream) * 64 + index as u64 * 8);
            self.entries.insert((stream, index), word);
        }
    }
}
