// SPDX-License-Identifier: MIT OR Apache-2.0

//! The model on list registers against an ideal GIC that has no list registers.
//!
//! When kicks are served at once, a guest cannot tell the two apart, however few registers
//! there are: every acknowledge gives the same interrupt and the state registers read the
//! same. So nothing is lost, doubled or out of order. When kicks are late, interrupts may
//! come late, but still none is lost and none comes that nobody sent.

mod machine;

use machine::{Core, CpuInterface, Fields, Machine, vcpu};
use platform::GicVersion;
use proptest::{collection::vec, prelude::*};
use std::collections::BTreeMap;
use vgic::Frame;

const SGIS: u32 = 3;
const PPI_LEVEL: u32 = 20;
const PPI_HW: u32 = 27;
const FIRST_SPI: u32 = 32;
const SPIS: u32 = 8;
const FIRST_HW_SPI: u32 = FIRST_SPI + SPIS - 2;

/// What the interrupts of the tests are: even SPIs edges, odd ones levels, the last two
/// physical levels.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Kind {
    Sgi,
    Edge,
    Level,
    Hardware,
}

fn kind(intid: u32) -> Kind {
    match intid {
        0..16 => Kind::Sgi,
        PPI_HW | FIRST_HW_SPI.. => Kind::Hardware,
        PPI_LEVEL => Kind::Level,
        _ if intid.is_multiple_of(2) => Kind::Edge,
        _ => Kind::Level,
    }
}

fn intids() -> impl Iterator<Item = u32> {
    (0..SGIS)
        .chain([PPI_LEVEL, PPI_HW])
        .chain(FIRST_SPI..FIRST_SPI + SPIS)
}

#[derive(Clone, Default)]
struct Irq {
    enabled: bool,
    group1: bool,
    priority: u8,
    target: Option<usize>,
    line: bool,
    latch: bool,
    sources: u8,
    active: Option<usize>,
    /// Whose SGI is active, on a GICv2.
    active_source: u8,
}

struct Ideal {
    version: GicVersion,
    groups: [bool; 2],
    irqs: BTreeMap<(usize, u32), Irq>,
    /// INTID, source and priority.
    running: Vec<Vec<(u32, u8, u8)>>,
    ended: Vec<Vec<(u32, u8)>>,
}

impl Ideal {
    fn new(version: GicVersion, vcpus: usize) -> Self {
        let mut irqs = BTreeMap::new();
        for n in 0..vcpus {
            for intid in intids().filter(|&intid| intid < FIRST_SPI || n == 0) {
                let irq = Irq {
                    enabled: true,
                    group1: version == GicVersion::V3,
                    target: Some(n),
                    ..Irq::default()
                };
                irqs.insert((n, intid), irq);
            }
        }
        Self {
            version,
            groups: [true; 2],
            irqs,
            running: vec![vec![]; vcpus],
            ended: vec![vec![]; vcpus],
        }
    }

    fn irq(&mut self, n: usize, intid: u32) -> &mut Irq {
        let n = if intid < FIRST_SPI { n } else { 0 };
        self.irqs.get_mut(&(n, intid)).unwrap()
    }

    fn pending(irq: &Irq, intid: u32) -> bool {
        let level = matches!(kind(intid), Kind::Level | Kind::Hardware);
        irq.latch || irq.sources != 0 || (level && irq.line)
    }

    fn acknowledge(&mut self, n: usize) -> Option<(u32, u8)> {
        let running = self.running[n]
            .last()
            .map_or(0xff, |&(.., priority)| priority);
        let groups = self.groups;
        let signalled = |&(&(_, intid), ref irq): &(&(usize, u32), &mut Irq)| {
            Self::pending(irq, intid)
                && irq.enabled
                && groups[usize::from(irq.group1)]
                && irq.active.is_none()
                && irq.target == Some(n)
        };
        let ((_, intid), irq) = self
            .irqs
            .iter_mut()
            .filter(signalled)
            .min_by_key(|((_, intid), irq)| (irq.priority, *intid))?;
        if irq.priority >= running.min(0xf0) {
            return None;
        }
        let source = if irq.sources == 0 {
            0
        } else {
            irq.sources.trailing_zeros() as u8
        };
        irq.sources &= !(1 << source);
        irq.latch = false;
        irq.active = Some(n);
        irq.active_source = source;
        self.running[n].push((*intid, source, irq.priority));
        Some((*intid, source))
    }

    /// On a GICv2 the SGIs of other sources stay as they are (IHI 0048B.b 4.4.15).
    fn deactivate(&mut self, n: usize, intid: u32, source: u8) {
        let irq = self.irq(n, intid);
        if irq.active == Some(n) && irq.active_source == source {
            irq.active = None;
        }
    }
}

#[derive(Clone, Debug)]
enum Op {
    Sgi(usize, u8, u32),
    Raise(usize, u32),
    Lower(usize, u32),
    Acknowledge(usize),
    Eoi(usize),
    Dir(usize, prop::sample::Index),
    Enable(usize, u32, bool),
    Priority(usize, u32, u8),
    Route(u32, Option<usize>),
    Pending(usize, u32, bool),
    Active(usize, u32, bool),
    Group(usize, u32, bool),
    Groups(bool, bool),
}

fn op() -> impl Strategy<Value = Op> {
    let n = || 0..3_usize;
    let intid = || prop::sample::select(intids().collect::<Vec<_>>());
    prop_oneof![
        4 => (n(), any::<u8>(), 0..SGIS).prop_map(|(n, mask, sgi)| Op::Sgi(n, mask & 7, sgi)),
        8 => (n(), intid()).prop_map(|(n, i)| Op::Raise(n, i)),
        4 => (n(), intid()).prop_map(|(n, i)| Op::Lower(n, i)),
        10 => n().prop_map(Op::Acknowledge),
        6 => n().prop_map(Op::Eoi),
        3 => (n(), any::<prop::sample::Index>()).prop_map(|(n, i)| Op::Dir(n, i)),
        2 => (n(), intid(), any::<bool>()).prop_map(|(n, i, on)| Op::Enable(n, i, on)),
        2 => (n(), intid(), 0..5_u8).prop_map(|(n, i, p)| Op::Priority(n, i, p * 0x38)),
        2 => (FIRST_SPI..FIRST_SPI + SPIS, prop::option::weighted(0.9, n()))
            .prop_map(|(i, n)| Op::Route(i, n)),
        1 => (n(), intid(), any::<bool>()).prop_map(|(n, i, on)| Op::Pending(n, i, on)),
        1 => (n(), intid(), any::<bool>()).prop_map(|(n, i, on)| Op::Active(n, i, on)),
        1 => (n(), intid(), any::<bool>()).prop_map(|(n, i, on)| Op::Group(n, i, on)),
        1 => (any::<bool>(), any::<bool>()).prop_map(|(a, b)| Op::Groups(a, b)),
    ]
}

/// The two side by side.
struct Pair {
    machine: Machine,
    ideal: Ideal,
    /// Registers enough for everything, so that nothing is ever evicted.
    roomy: bool,
    split: bool,
}

impl Pair {
    fn new(version: GicVersion, lrs: usize, split: bool) -> Self {
        let mut machine = Machine::new(version, 3, 96, lrs);
        machine.enable_all();
        for intid in (FIRST_SPI..FIRST_SPI + SPIS).filter(|&i| kind(i) == Kind::Edge) {
            let shift = intid % 16 * 2;
            let config = machine.read(0, Frame::Dist, 0xc08, 4) as u32;
            machine.gicd(0xc08, config | 0b10 << shift);
        }
        for core in &mut machine.cores {
            core.cpu.split_eoi = split;
        }
        let mut pair = Self {
            machine,
            ideal: Ideal::new(version, 3),
            roomy: lrs == 16,
            split,
        };
        for intid in FIRST_SPI..FIRST_SPI + SPIS {
            pair.route(intid, Some(0));
        }
        pair
    }

    fn set_bit(&mut self, n: usize, bank: u64, intid: u32) {
        let word = u64::from(intid / 32) * 4;
        if intid < FIRST_SPI {
            self.machine.private(n, bank, 1 << intid);
        } else {
            self.machine
                .write(n, Frame::Dist, bank + word, 4, 1 << (intid % 32));
        }
    }

    fn route(&mut self, intid: u32, target: Option<usize>) {
        let (offset, size, value) = match self.machine.version {
            GicVersion::V3 => (0x6000 + 8 * u64::from(intid), 8, target.unwrap_or(0x10000)),
            GicVersion::V2 => (0x800 + u64::from(intid), 1, target.map_or(0, |n| 1 << n)),
        };
        self.machine
            .write(0, Frame::Dist, offset, size, value as u64);
        self.ideal.irq(0, intid).target = target;
    }

    fn apply(&mut self, op: &Op) {
        match *op {
            Op::Sgi(n, mask, sgi) => self.sgi(n, mask, sgi),
            Op::Raise(n, intid) => self.line(n, intid, true),
            Op::Lower(n, intid) => self.line(n, intid, false),
            Op::Acknowledge(n) => {
                let expected = self.ideal.acknowledge(n);
                assert_eq!(self.machine.acknowledge(n), expected, "{op:?}");
            }
            Op::Eoi(n) => self.eoi(n),
            Op::Dir(n, index) => self.dir(n, index),
            Op::Enable(n, intid, on) => {
                self.set_bit(n, if on { 0x100 } else { 0x180 }, intid);
                self.ideal.irq(n, intid).enabled = on;
            }
            Op::Priority(n, intid, priority) => self.priority(n, intid, priority),
            Op::Route(intid, target) => self.route(intid, target),
            Op::Pending(n, intid, on) => self.pend(n, intid, on),
            Op::Active(n, intid, on) => self.activate(n, intid, on),
            Op::Group(n, intid, on) => self.group(n, intid, on),
            Op::Groups(group0, group1) => {
                self.machine
                    .gicd(0, u32::from(group0) | u32::from(group1) << 1);
                self.ideal.groups = [group0, group1];
            }
        }
    }

    fn sgi(&mut self, n: usize, mask: u8, sgi: u32) {
        self.machine.sgi(n, mask, sgi);
        for target in (0..3).filter(|target| mask & 1 << target != 0) {
            let v2 = self.ideal.version == GicVersion::V2;
            let irq = self.ideal.irq(target, sgi);
            if v2 {
                irq.sources |= 1 << n;
            } else {
                irq.latch = true;
            }
        }
    }

    fn line(&mut self, n: usize, intid: u32, level: bool) {
        let n = if intid < FIRST_SPI { n } else { 0 };
        match kind(intid) {
            Kind::Sgi => {}
            Kind::Edge if level => {
                self.machine.pulse(n, intid);
                self.ideal.irq(n, intid).latch = true;
            }
            Kind::Edge => {}
            Kind::Level => {
                self.machine.set_level(n, intid, level);
                self.ideal.irq(n, intid).line = level;
            }
            Kind::Hardware => {
                self.machine.physical(n, intid, level);
                self.ideal.irq(n, intid).line = level;
            }
        }
    }

    fn eoi(&mut self, n: usize) {
        let Some((intid, source, _)) = self.ideal.running[n].pop() else {
            return;
        };
        self.machine.eoi_from(n, intid, source);
        if self.split {
            self.ideal.ended[n].push((intid, source));
        } else {
            self.ideal.deactivate(n, intid, source);
        }
    }

    fn dir(&mut self, n: usize, index: prop::sample::Index) {
        if self.ideal.ended[n].is_empty() {
            return;
        }
        let at = index.index(self.ideal.ended[n].len());
        let (intid, source) = self.ideal.ended[n].remove(at);
        self.machine.dir_from(n, intid, source);
        self.ideal.deactivate(n, intid, source);
    }

    /// Which evicted interrupt an EOI ended is told by their priorities: with few registers
    /// those of active ones stay.
    fn priority(&mut self, n: usize, intid: u32, priority: u8) {
        if !self.roomy && self.ideal.irq(n, intid).active.is_some() {
            return;
        }
        let offset = 0x400 + u64::from(intid);
        let value = u64::from(priority);
        match self.machine.version {
            GicVersion::V3 if intid < FIRST_SPI => {
                let frame = Frame::Redist(vcpu(n));
                self.machine.write(n, frame, 0x1_0000 + offset, 1, value);
            }
            _ => self.machine.write(n, Frame::Dist, offset, 1, value),
        }
        self.ideal.irq(n, intid).priority = priority;
    }

    fn is_v2_sgi(&self, intid: u32) -> bool {
        self.machine.version == GicVersion::V2 && kind(intid) == Kind::Sgi
    }

    fn pend(&mut self, n: usize, intid: u32, on: bool) {
        // Software's and the line's pending are one for a physical interrupt.
        if self.is_v2_sgi(intid) || (on && kind(intid) == Kind::Hardware) {
            return;
        }
        self.set_bit(n, if on { 0x200 } else { 0x280 }, intid);
        self.ideal.irq(n, intid).latch = on;
    }

    /// With few registers an EOI could mean either the interrupt made active by a register or
    /// the one that was taken.
    ///
    /// Nor does a register say from which source it makes a GICv2's SGI active.
    fn activate(&mut self, n: usize, intid: u32, on: bool) {
        if !self.roomy || (on && self.is_v2_sgi(intid)) {
            return;
        }
        self.set_bit(n, if on { 0x300 } else { 0x380 }, intid);
        let irq = self.ideal.irq(n, intid);
        irq.active = match (irq.active, on) {
            (_, false) => None,
            (None, true) => Some(irq.target.unwrap_or(0)),
            (active, true) => active,
        };
    }

    fn group(&mut self, n: usize, intid: u32, on: bool) {
        let offset = 0x80 + u64::from(intid / 32) * 4;
        let bit = 1 << (intid % 32);
        let change = |word: u32| if on { word | bit } else { word & !bit };
        if intid < FIRST_SPI {
            let word = self.machine.read_private(n, 0x80);
            self.machine.private(n, 0x80, change(word));
        } else {
            let word = self.machine.read(0, Frame::Dist, offset, 4) as u32;
            self.machine.gicd(offset, change(word));
        }
        self.ideal.irq(n, intid).group1 = on;
    }

    /// The state registers read the same.
    fn compare(&mut self) {
        for n in 0..3 {
            let pending = self.machine.read_private(n, 0x200);
            let active = self.machine.read_private(n, 0x300);
            self.compare_word(n, 0, pending, active);
        }
        let pending = self.machine.read(0, Frame::Dist, 0x204, 4) as u32;
        let active = self.machine.read(0, Frame::Dist, 0x304, 4) as u32;
        self.compare_word(0, FIRST_SPI, pending, active);
    }

    fn compare_word(&mut self, n: usize, first: u32, pending: u32, active: u32) {
        for intid in intids().filter(|&i| (first..first + 32).contains(&i)) {
            let bit = 1 << (intid % 32);
            let irq = self.ideal.irq(n, intid);
            assert_eq!(
                active & bit != 0,
                irq.active.is_some(),
                "active {n} {intid}"
            );
            // The line of a physical interrupt is not seen while it is active.
            if kind(intid) != Kind::Hardware || irq.active.is_none() {
                let expected = Ideal::pending(irq, intid);
                assert_eq!(pending & bit != 0, expected, "pending {n} {intid}");
            }
        }
    }

    /// A physical interrupt is active exactly while the guest owes it something.
    fn compare_physical(&mut self) {
        for (n, intid) in [(0, PPI_HW), (1, PPI_HW), (2, PPI_HW)]
            .into_iter()
            .chain((FIRST_HW_SPI..FIRST_SPI + SPIS).map(|i| (0, i)))
        {
            let irq = self.ideal.irq(n, intid).clone();
            if irq.active.is_none() {
                assert_eq!(
                    self.machine.physical_active(n, intid),
                    irq.line,
                    "{n} {intid}"
                );
            }
        }
    }
}

fn same_as_ideal(version: GicVersion, lrs: usize, split: bool, ops: &[Op]) {
    let mut pair = Pair::new(version, lrs, split);
    for op in ops {
        pair.apply(op);
        pair.compare();
        pair.compare_physical();
    }
}

/// A write that takes nothing back leaves the list registers as one does that takes all back and chooses anew. There is
/// room in them: without, which of the active ones stay may differ. Whether it is told of their end may, too: a line may
/// have fallen since.
fn same_as_thorough(version: GicVersion, split: bool, ops: &[Op]) {
    let mut short = Pair::new(version, 16, split);
    let mut long = Pair::new(version, 16, split);
    long.machine.thorough = true;
    for op in ops {
        short.apply(op);
        long.apply(op);
        for (short, long) in short.machine.cores.iter().zip(&long.machine.cores) {
            assert_eq!(seen(&short.cpu), seen(&long.cpu), "{op:?}");
            // EOIcount is apart: it counts ends of what is not active, too.
            let control = |core: &Core| core.cpu.hcr & !(0x1f << 27);
            assert_eq!(control(short), control(long), "{op:?}");
        }
    }
    short.compare();
    short.compare_physical();
}

/// What the guest sees of its list registers.
fn seen(cpu: &CpuInterface) -> Vec<Fields> {
    let mut fields = cpu.in_use();
    fields.iter_mut().for_each(|fields| fields.eoi = false);
    fields
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn v3_is_ideal_with_room(split: bool, ops in vec(op(), 1..120)) {
        same_as_ideal(GicVersion::V3, 16, split, &ops);
    }

    #[test]
    fn v3_is_ideal_with_few_registers(lrs in 1..5_usize, split: bool, ops in vec(op(), 1..120)) {
        same_as_ideal(GicVersion::V3, lrs, split, &ops);
    }

    #[test]
    fn v2_is_ideal_with_room(split: bool, ops in vec(op(), 1..120)) {
        same_as_ideal(GicVersion::V2, 16, split, &ops);
    }

    #[test]
    fn v2_is_ideal_with_few_registers(lrs in 1..5_usize, ops in vec(op(), 1..120)) {
        same_as_ideal(GicVersion::V2, lrs, false, &ops);
    }

    #[test]
    fn a_write_without_taking_back_ends_like_one_with(
        v2: bool,
        split: bool,
        ops in vec(op(), 1..120),
    ) {
        same_as_thorough(if v2 { GicVersion::V2 } else { GicVersion::V3 }, split, &ops);
    }

    #[test]
    fn late_kicks_lose_and_invent_nothing(
        v2: bool,
        lrs in 1..5_usize,
        steps in vec((0..3_usize, 0..10_u8, 0..16_u32), 1..300),
    ) {
        late_kicks(if v2 { GicVersion::V2 } else { GicVersion::V3 }, lrs, &steps);
    }
}

/// SGIs and edges sent, and taken by guests that enter whenever they like.
fn late_kicks(version: GicVersion, lrs: usize, steps: &[(usize, u8, u32)]) {
    let mut pair = Pair::new(version, lrs, false);
    let machine = &mut pair.machine;
    machine.gicd(0xc08, 0xaaaa_aaaa);
    for n in 0..3_u64 {
        for sgi in 0..SGIS {
            machine.private(n as usize, 0x400, 0x8060_a040 >> (8 * sgi));
        }
    }
    machine.prompt = false;
    let mut sent: BTreeMap<(usize, u32), usize> = BTreeMap::new();
    let mut taken: BTreeMap<(usize, u32), usize> = BTreeMap::new();
    let mut unseen: BTreeMap<(usize, u32), bool> = BTreeMap::new();
    let mut stack: Vec<Vec<(u32, u8)>> = vec![vec![]; 3];
    let home = |n: usize, intid: u32| if intid < FIRST_SPI { n } else { 0 };
    let mut acknowledge = |machine: &mut Machine, n: usize, stack: &mut Vec<Vec<(u32, u8)>>| {
        let Some((intid, source)) = machine.acknowledge(n) else {
            return (false, None);
        };
        *taken.entry((n, intid)).or_default() += 1;
        stack[n].push((intid, source));
        (true, Some((n, intid, taken[&(n, intid)])))
    };
    let check = |sent: &BTreeMap<(usize, u32), usize>, seen: Option<(usize, u32, usize)>| {
        if let Some((n, intid, taken)) = seen {
            let sent = sent.get(&(n, intid)).copied().unwrap_or(0);
            assert!(taken <= sent, "{intid} on {n}: {sent} sent, {taken} taken");
        }
    };
    for &(n, what, which) in steps {
        match what {
            0..3 => {
                let (to, sgi) = ((which as usize) % 3, which % SGIS);
                machine.sgi(n, 1 << to, sgi);
                *sent.entry((to, sgi)).or_default() += 1;
                unseen.insert((to, sgi), true);
            }
            3..5 => {
                let intid = FIRST_SPI + which % SPIS;
                machine.pulse(0, intid);
                *sent.entry((0, intid)).or_default() += 1;
                unseen.insert((home(n, intid), intid), true);
            }
            5 => machine.enter(n),
            6..8 => {
                let (_, seen) = acknowledge(machine, n, &mut stack);
                check(&sent, seen);
                if let Some((n, intid, _)) = seen {
                    unseen.insert((n, intid), false);
                }
            }
            _ => {
                if let Some((intid, source)) = stack[n].pop() {
                    machine.eoi_from(n, intid, source);
                }
            }
        }
    }
    // All that is left arrives once the guests come round to it.
    machine.prompt = true;
    machine.settle();
    for n in 0..3 {
        loop {
            let (more, seen) = acknowledge(machine, n, &mut stack);
            check(&sent, seen);
            if let Some((n, intid, _)) = seen {
                unseen.insert((n, intid), false);
            }
            match stack[n].pop() {
                Some((intid, source)) => machine.eoi_from(n, intid, source),
                None if !more => break,
                None => {}
            }
        }
    }
    let lost: Vec<_> = unseen.iter().filter(|&(_, &unseen)| unseen).collect();
    assert!(lost.is_empty(), "{lost:?}");
}
