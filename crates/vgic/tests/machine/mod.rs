// SPDX-License-Identifier: MIT OR Apache-2.0

//! A machine to run the model on: list registers that behave as the hardware's, physical
//! interrupts, and the little kernel that joins them to the model.
//!
//! The registers are kept encoded and taken apart here by the architecture's bit numbers, not
//! by the crate's own decoders, so that an encoding that is wrong both ways is found.

#![allow(dead_code)]

use core::cell::Cell;
use platform::{GicVersion, VcpuId};
use std::collections::{BTreeMap, BTreeSet};
use vgic::{Frame, Lr, Lrs, Registers, VcpuSet, Vgic};

pub const IDLE_PRIORITY: u8 = 0xff;

/// One list register, taken apart.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fields {
    pub state: u8,
    pub hw: bool,
    pub group1: bool,
    pub priority: u8,
    pub intid: u32,
    pub pintid: u32,
    pub eoi: bool,
    pub source: u8,
}

/// The list registers of one core, as the hardware has them.
struct Encoded<'a> {
    version: GicVersion,
    registers: &'a [Cell<u64>],
}

impl Registers for Encoded<'_> {
    fn read(&self, n: usize) -> Lr {
        let value = self.registers[n].get();
        match self.version {
            GicVersion::V3 => Lr::from_ich(value),
            GicVersion::V2 => Lr::from_gich(value as u32),
        }
    }

    fn write(&self, n: usize, lr: Lr) {
        self.registers[n].set(match self.version {
            GicVersion::V3 => lr.to_ich(),
            GicVersion::V2 => lr.to_gich().into(),
        });
    }
}

/// The virtual CPU interface of one core (IHI 0069H chapter 6; IHI 0048B.b chapter 5).
pub struct CpuInterface {
    version: GicVersion,
    pub lr: Vec<u64>,
    pub hcr: u32,
    pub split_eoi: bool,
    pub pmr: u8,
    /// The active priorities, the running one last.
    pub running: Vec<u8>,
}

impl CpuInterface {
    fn new(version: GicVersion, lrs: usize) -> Self {
        Self {
            version,
            lr: vec![0; lrs],
            hcr: 0,
            split_eoi: false,
            pmr: 0xf0,
            running: vec![],
        }
    }

    /// What the registers in use hold, in any order.
    pub fn in_use(&self) -> Vec<Fields> {
        let fields = (0..self.lr.len()).map(|n| self.fields(n));
        let mut in_use: Vec<_> = fields.filter(|fields| fields.state != 0).collect();
        in_use.sort_by_key(|fields| fields.intid);
        in_use
    }

    pub fn fields(&self, n: usize) -> Fields {
        let lr = self.lr[n];
        let bits = |low: u32, count: u32| (lr >> low) & ((1 << count) - 1);
        if self.version == GicVersion::V3 {
            let hw = bits(61, 1) == 1;
            Fields {
                state: bits(62, 2) as u8,
                hw,
                group1: bits(60, 1) == 1,
                priority: bits(48, 8) as u8,
                intid: bits(0, 32) as u32,
                pintid: if hw { bits(32, 13) as u32 } else { 0 },
                eoi: !hw && bits(41, 1) == 1,
                source: 0,
            }
        } else {
            let hw = bits(31, 1) == 1;
            Fields {
                state: bits(28, 2) as u8,
                hw,
                group1: bits(30, 1) == 1,
                priority: (bits(23, 5) as u8) << 3,
                intid: bits(0, 10) as u32,
                pintid: if hw { bits(10, 10) as u32 } else { 0 },
                eoi: !hw && bits(19, 1) == 1,
                source: if hw { 0 } else { bits(10, 3) as u8 },
            }
        }
    }

    fn set_state(&mut self, n: usize, state: u8) {
        let low = if self.version == GicVersion::V3 {
            62
        } else {
            28
        };
        self.lr[n] = self.lr[n] & !(0b11 << low) | u64::from(state) << low;
    }

    pub fn running_priority(&self) -> u8 {
        self.running.last().copied().unwrap_or(IDLE_PRIORITY)
    }

    /// The register whose interrupt is signalled.
    pub fn signalled(&self) -> Option<usize> {
        (0..self.lr.len())
            .filter(|&n| self.fields(n).state == 0b01)
            .min_by_key(|&n| (self.fields(n).priority, self.fields(n).intid))
            .filter(|&n| self.fields(n).priority < self.pmr.min(self.running_priority()))
    }

    fn acknowledge(&mut self) -> Option<(u32, u8)> {
        let n = self.signalled()?;
        let fields = self.fields(n);
        self.set_state(n, 0b10);
        self.running.push(fields.priority);
        Some((fields.intid, fields.source))
    }

    /// Returns the physical interrupt that goes inactive with it.
    ///
    /// A GICv2 tells SGIs apart by their source too (IHI 0048B.b 5.3, GICH_LR\<n\>.CPUID).
    fn deactivate(&mut self, intid: u32, source: u8) -> Option<u32> {
        let held = |n: &usize| {
            let fields = self.fields(*n);
            fields.intid == intid && fields.source == source && fields.state & 2 != 0
        };
        let Some(n) = (0..self.lr.len()).find(held) else {
            self.hcr += 1 << 27;
            return None;
        };
        let fields = self.fields(n);
        self.set_state(n, fields.state & 0b01);
        fields.hw.then_some(fields.pintid)
    }

    /// Whether a maintenance interrupt is asserted.
    pub fn maintenance(&self) -> bool {
        let each = || (0..self.lr.len()).map(|n| self.fields(n));
        let eoi = each().any(|f| f.state == 0 && f.eoi);
        let no_pending = self.hcr & 1 << 3 != 0 && each().all(|f| f.state & 1 == 0);
        let unmatched = self.hcr & 1 << 2 != 0 && self.hcr >> 27 != 0;
        self.hcr & 1 != 0 && (eoi || no_pending || unmatched)
    }
}

/// A physical interrupt that a device's line drives.
#[derive(Clone, Copy, Default, Debug)]
pub struct Physical {
    pub line: bool,
    pub active: bool,
}

pub struct Core {
    pub lrs: Lrs,
    pub cpu: CpuInterface,
    pub dirty: bool,
    /// Physical PPIs, by INTID.
    pub ppis: BTreeMap<u32, Physical>,
}

pub struct Machine {
    pub version: GicVersion,
    pub vgic: Vgic,
    pub cores: Vec<Core>,
    pub spis: BTreeMap<u32, Physical>,
    /// Kicks are served at once; else when [`Machine::enter`] is called.
    pub prompt: bool,
    /// Every write takes back the list registers first and fills them anew, whatever it is to.
    pub thorough: bool,
    pub refreshes: usize,
    pub inserted: usize,
}

pub fn vcpu(n: usize) -> VcpuId {
    VcpuId(n as u8)
}

impl Machine {
    pub fn new(version: GicVersion, vcpus: usize, intids: usize, lrs: usize) -> Self {
        let core = |_| Core {
            lrs: Lrs::new(),
            cpu: CpuInterface::new(version, lrs),
            dirty: true,
            ppis: BTreeMap::new(),
        };
        let mut machine = Self {
            version,
            vgic: Vgic::new(version, vcpus, intids, lrs),
            cores: (0..vcpus).map(core).collect(),
            spis: BTreeMap::new(),
            prompt: true,
            thorough: false,
            refreshes: 0,
            inserted: 0,
        };
        machine.settle();
        machine
    }

    fn take(&mut self, kick: VcpuSet) {
        for vcpu in kick.iter() {
            self.cores[usize::from(vcpu.0)].dirty = true;
        }
        if self.prompt {
            self.settle();
        }
    }

    /// Lets every vCPU enter the guest and leaves nothing to do in EL2.
    pub fn settle(&mut self) {
        for round in 0.. {
            assert!(round < 100, "the machine never comes to rest");
            for n in 0..self.cores.len() {
                self.fire(n);
                self.enter(n);
            }
            let rest = |core: &Core| !core.dirty && !core.cpu.maintenance();
            if self.cores.iter().all(rest) {
                return;
            }
        }
    }

    /// Physical interrupts that are asserted and not active reach EL2.
    fn fire(&mut self, n: usize) {
        let due = |(&intid, p): (&u32, &mut Physical)| {
            let fires = p.line && !p.active;
            p.active |= fires;
            fires.then_some(intid)
        };
        let mut due: Vec<u32> = self.cores[n].ppis.iter_mut().filter_map(due).collect();
        if n == 0 {
            due.extend(self.spis.iter_mut().filter_map(|(&intid, p)| {
                let fires = p.line && !p.active;
                p.active |= fires;
                fires.then_some(intid)
            }));
        }
        for intid in due {
            for vcpu in self.vgic.hw_pending(vcpu(n), intid, intid).iter() {
                self.cores[usize::from(vcpu.0)].dirty = true;
            }
        }
    }

    /// What the kernel does before the vCPU runs guest code.
    pub fn enter(&mut self, n: usize) {
        if self.cores[n].dirty || self.cores[n].cpu.maintenance() {
            self.refresh(n);
        }
    }

    fn refresh(&mut self, n: usize) {
        self.refreshes += 1;
        self.cores[n].dirty = false;
        if self.thorough || !self.insert(n) {
            self.sync(n);
            self.flush(n);
        }
    }

    /// The kernel's way with a single interrupt. False if it takes more.
    fn insert(&mut self, n: usize) -> bool {
        let Core { lrs, cpu, .. } = &mut self.cores[n];
        let hardware = Encoded {
            version: self.version,
            registers: Cell::from_mut(&mut cpu.lr[..]).as_slice_of_cells(),
        };
        if self.vgic.insert(vcpu(n), lrs, &hardware).is_none() {
            return false;
        }
        self.inserted += 1;
        self.rest_of_flush(n);
        true
    }

    /// As the kernel does: what is saved already is not saved again.
    pub fn sync(&mut self, n: usize) {
        let Core { lrs, cpu, .. } = &mut self.cores[n];
        if lrs.is_idle() {
            return;
        }
        let version = self.version;
        lrs.save(cpu.hcr, |lr| match version {
            GicVersion::V3 => Lr::from_ich(cpu.lr[lr]),
            GicVersion::V2 => Lr::from_gich(cpu.lr[lr] as u32),
        });
        let kick = self.vgic.sync(vcpu(n), lrs);
        assert!(!kick.contains(vcpu(n)));
        for vcpu in kick.iter() {
            self.cores[usize::from(vcpu.0)].dirty = true;
        }
    }

    fn flush(&mut self, n: usize) {
        let Core { lrs, cpu, .. } = &mut self.cores[n];
        self.vgic.flush(vcpu(n), lrs);
        for (lr, value) in lrs.to_load().iter().enumerate() {
            cpu.lr[lr] = match self.version {
                GicVersion::V3 => value.to_ich(),
                GicVersion::V2 => value.to_gich().into(),
            };
        }
        cpu.hcr = lrs.hcr();
        self.rest_of_flush(n);
    }

    fn rest_of_flush(&mut self, n: usize) {
        self.check_registers(n);
        while let Some(pintid) = self.vgic.take_deactivation(vcpu(n)) {
            self.deactivate_physical(n, pintid);
        }
        // The kernel looks at the lines again before it runs the guest.
        self.fire(n);
        if self.cores[n].dirty {
            self.refresh(n);
        }
    }

    /// What the architecture forbids a hypervisor to write.
    fn check_registers(&self, n: usize) {
        let cpu = &self.cores[n].cpu;
        let mut seen = BTreeSet::new();
        for fields in (0..cpu.lr.len()).map(|lr| cpu.fields(lr)) {
            if fields.state != 0 {
                assert!(
                    seen.insert(fields.intid),
                    "two registers with {}",
                    fields.intid
                );
                assert!(
                    !(fields.hw && fields.state == 0b11),
                    "hardware, both states"
                );
            }
        }
    }

    fn deactivate_physical(&mut self, n: usize, pintid: u32) {
        let physical = match pintid {
            0..32 => self.cores[n].ppis.get_mut(&pintid),
            _ => self.spis.get_mut(&pintid),
        };
        let physical = physical.expect("deactivation of a physical interrupt that exists");
        assert!(
            physical.active,
            "deactivation of {pintid}, which is not active"
        );
        physical.active = false;
    }

    // What the guest does.

    pub fn acknowledge(&mut self, n: usize) -> Option<(u32, u8)> {
        let taken = self.cores[n].cpu.acknowledge();
        self.rest();
        taken
    }

    /// A write to the EOI register.
    pub fn eoi(&mut self, n: usize, intid: u32) {
        self.eoi_from(n, intid, 0);
    }

    /// The same for a GICv2 SGI from `source`.
    pub fn eoi_from(&mut self, n: usize, intid: u32, source: u8) {
        let cpu = &mut self.cores[n].cpu;
        cpu.running.pop().expect("an EOI with nothing running");
        if !cpu.split_eoi {
            self.end(n, intid, source);
        }
        self.rest();
    }

    /// A write to the deactivate register.
    pub fn dir(&mut self, n: usize, intid: u32) {
        self.dir_from(n, intid, 0);
    }

    /// The same for a GICv2 SGI from `source`.
    pub fn dir_from(&mut self, n: usize, intid: u32, source: u8) {
        assert!(self.cores[n].cpu.split_eoi);
        if self.version == GicVersion::V3 && self.cores[n].cpu.hcr & 1 << 14 != 0 {
            self.sync(n);
            let kick = self.vgic.deactivate(vcpu(n), intid);
            self.flush(n);
            self.take(kick);
        } else {
            self.end(n, intid, source);
        }
        self.rest();
    }

    fn end(&mut self, n: usize, intid: u32, source: u8) {
        if let Some(pintid) = self.cores[n].cpu.deactivate(intid, source) {
            self.deactivate_physical(n, pintid);
        }
    }

    fn rest(&mut self) {
        if self.prompt {
            self.settle();
        }
    }

    pub fn write(&mut self, n: usize, frame: Frame, offset: u64, size: u8, value: u64) {
        let thorough = self.thorough || frame.is_state(offset);
        if thorough {
            self.sync(n);
        }
        let kick = self.vgic.write(vcpu(n), frame, offset, size, value);
        if thorough {
            self.flush(n);
        } else if kick.contains(vcpu(n)) {
            self.refresh(n);
        }
        self.take(kick);
    }

    pub fn read(&mut self, n: usize, frame: Frame, offset: u64, size: u8) -> u64 {
        let (value, stale) = self.read_once(n, frame, offset, size);
        if stale.is_empty() {
            return value;
        }
        for vcpu in stale.iter() {
            self.refresh(vcpu.0.into());
        }
        self.read_once(n, frame, offset, size).0
    }

    fn read_once(&mut self, n: usize, frame: Frame, offset: u64, size: u8) -> (u64, VcpuSet) {
        self.sync(n);
        let read = self.vgic.read(vcpu(n), frame, offset, size);
        self.flush(n);
        assert!(!read.1.contains(vcpu(n)), "what is synced is not stale");
        read
    }

    /// A 32-bit write to the distributor by vCPU 0.
    pub fn gicd(&mut self, offset: u64, value: u32) {
        self.write(0, Frame::Dist, offset, 4, value.into());
    }

    /// A 32-bit write to the SGI frame of the redistributor of `n`.
    pub fn gicr(&mut self, n: usize, offset: u64, value: u32) {
        self.write(
            n,
            Frame::Redist(vcpu(n)),
            0x1_0000 + offset,
            4,
            value.into(),
        );
    }

    /// A 32-bit write to the bank of registers that holds the private interrupts of `n`.
    pub fn private(&mut self, n: usize, offset: u64, value: u32) {
        match self.version {
            GicVersion::V3 => self.gicr(n, offset, value),
            GicVersion::V2 => self.write(n, Frame::Dist, offset, 4, value.into()),
        }
    }

    pub fn read_private(&mut self, n: usize, offset: u64) -> u32 {
        (match self.version {
            GicVersion::V3 => self.read(n, Frame::Redist(vcpu(n)), 0x1_0000 + offset, 4),
            GicVersion::V2 => self.read(n, Frame::Dist, offset, 4),
        }) as u32
    }

    /// Sends an SGI to the vCPUs in `mask`.
    pub fn sgi(&mut self, n: usize, mask: u8, sgi: u32) {
        match self.version {
            GicVersion::V3 => {
                let kick = self
                    .vgic
                    .sgi1r(vcpu(n), u64::from(sgi) << 24 | u64::from(mask));
                self.take(kick);
            }
            GicVersion::V2 => {
                self.write(
                    n,
                    Frame::Dist,
                    0xf00,
                    4,
                    u64::from(mask) << 16 | u64::from(sgi),
                );
            }
        }
    }

    // What devices do.

    pub fn pulse(&mut self, n: usize, intid: u32) {
        let kick = self.vgic.pulse(vcpu(n), intid);
        self.take(kick);
    }

    pub fn set_level(&mut self, n: usize, intid: u32, level: bool) {
        let kick = self.vgic.set_level(vcpu(n), intid, level);
        self.take(kick);
    }

    /// The line of a passed-through interrupt.
    pub fn physical(&mut self, n: usize, intid: u32, line: bool) {
        let physical = match intid {
            0..32 => self.cores[n].ppis.entry(intid),
            _ => self.spis.entry(intid),
        }
        .or_default();
        let fell = physical.line && !line;
        physical.line = line;
        if fell {
            let kick = self.vgic.hw_withdraw(vcpu(n), intid);
            self.take(kick);
        }
        self.rest();
    }

    pub fn physical_active(&self, n: usize, intid: u32) -> bool {
        match intid {
            0..32 => self.cores[n].ppis.get(&intid),
            _ => self.spis.get(&intid),
        }
        .is_some_and(|physical| physical.active)
    }

    /// Enables everything there is, with both groups on.
    pub fn enable_all(&mut self) {
        self.gicd(0, 3);
        for n in 0..self.cores.len() {
            self.private(n, 0x100, u32::MAX);
        }
        for word in 1..32 {
            self.gicd(0x100 + 4 * word, u32::MAX);
        }
    }
}
